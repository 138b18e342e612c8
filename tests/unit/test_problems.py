"""What is read of a benchmark, and what of it cannot be asked or scored."""

import pandas as pd
import pytest

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.problems import read_benchmarks
from tests.unit.test_eval import benchmark


def test_benchmarks_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.parquet"):
        read_benchmarks(tmp_path, ())
    benchmark(tmp_path, "other")
    with pytest.raises(UserError, match=r"--benchmarks b: there is no .*there: other"):
        read_benchmarks(tmp_path, ("b",))
    with pytest.raises(UserError, match=r"--benchmarks \./other: must be the name of a file"):
        read_benchmarks(tmp_path, ("./other",))
    benchmark(tmp_path, "my_train")
    assert list(read_benchmarks(tmp_path, ())) == ["other"]
    assert list(read_benchmarks(tmp_path, ("my_train",))) == ["my_train"]
    pd.DataFrame([{"question": "?"}]).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(UserError, match="no column prompt, reward_model"):
        read_benchmarks(tmp_path, ("bad",))
    pd.DataFrame({"prompt": [], "reward_model": []}).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(UserError, match=r"bad\.parquet: has no rows"):
        read_benchmarks(tmp_path, ("bad",))


@pytest.mark.parametrize("names", [(), ("b",)])
def test_a_file_that_is_no_parquet_is_named(tmp_path, names):
    (tmp_path / "b.parquet").write_text("no parquet")
    with pytest.raises(UserError, match=r"b\.parquet: cannot be read as parquet"):
        read_benchmarks(tmp_path, names)


def row(**changed):
    return {"prompt": [{"role": "user", "content": "?"}], "reward_model": {"ground_truth": "1"}, **changed}


def choice(truth, choices):
    return row(reward_model={"ground_truth": truth}, extra_info={"choices": choices})


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(prompt="?")], r"row 0: prompt '\?' must be a list of messages"),
        ([row(), row(prompt=None)], "row 1: prompt None must be"),
        ([row(), row(prompt=[])], "row 1: prompt .* must be"),
        ([row(prompt=[{"role": "user", "content": None}])], "row 0: prompt .* role and content"),
        ([row(prompt=["?"])], "row 0: prompt"),
        ([row(), row(reward_model=None)], "row 1: reward_model None must be a record with a ground_truth"),
        ([row(reward_model="1")], "row 0: reward_model '1' must"),
        ([row(reward_model={"style": "rule"})], "row 0: reward_model .*'rule'.* must"),
        (
            [row(), row(reward_model={"ground_truth": " "})],
            "row 1: data_source='b': the ground truth ' ' .*cannot be one",
        ),
        ([row(), row(reward_model={"ground_truth": None})], "row 1: .* ground truth None .*cannot be one"),
        ([row(extra_info="x")], "row 0: extra_info 'x' must be a record"),
        ([choice("A", "ABCD"), choice("Z", "ABCD")], r"row 1: .*'Z' is none of the choices \['A', 'B'"),
        ([choice("cow", ["cat", "dog"])], "row 0: .*'cow' is none of the choices"),
        ([choice(["A", "E"], "ABCD")], "row 0: .*'E' is none of the choices"),
    ],
)
def test_a_row_that_cannot_be_asked_or_scored_is_named(tmp_path, rows, said):
    pd.DataFrame(rows).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(UserError, match=rf"/b\.parquet, {said}"):
        read_benchmarks(tmp_path, ("b",))


def test_choices_are_letters_or_texts_and_most_rows_have_none(tmp_path):
    rows = [choice("b", "ABCD"), choice("dog", ["cat", "dog"]), row(extra_info=None), row(extra_info={"choices": ""})]
    pd.DataFrame(rows[:1]).to_parquet(tmp_path / "letters.parquet")
    pd.DataFrame(rows[1:3]).to_parquet(tmp_path / "texts.parquet")
    pd.DataFrame(rows[3:]).to_parquet(tmp_path / "none.parquet")
    found = read_benchmarks(tmp_path, ())
    assert {name: [one.choices for one in problems] for name, problems in found.items()} == {
        "letters": ["ABCD"],
        "none": [""],
        "texts": [["cat", "dog"], ""],
    }

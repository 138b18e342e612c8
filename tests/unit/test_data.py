"""``sgrpo data``: each hub schema, what is refused, what is left out, and the record that is kept."""

import gzip
import json
import random
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.correctness import choices_of, compute_score
from sgrpo_verl.data.overlap import TestSets, normalized
from sgrpo_verl.data.prepare import Filters, prepare, sha256
from sgrpo_verl.data.sources import LETTERS, SOURCES
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.problems import read_benchmarks
from tests.conftest import benchmark_file

# One row in each hub set's own columns, and the problem's beginning and answer that must come of it.
ROWS = {
    "gsm8k": ({"question": "How many eggs?", "answer": "2*8=<<2*8=16>>16\n#### 1,600"}, "How many", "1600"),
    "gsm8k-train": ({"question": "How many?", "answer": "It is -3\n#### -3"}, "How many", "-3"),
    "math-500": (
        {
            "problem": "Find $x$.",
            "solution": "So $\\boxed{\\frac{14}{3}}$",
            "answer": "\\frac{14}{3}",
            "subject": "Algebra",
            "level": 3,
            "unique_id": "test/algebra/1.json",
        },
        "Find $x$.",
        "\\frac{14}{3}",
    ),
    "amc23": ({"id": 0, "question": "How far?", "answer": "27.0", "url": "https://example.org"}, "How far?", "27.0"),
    "aime24": (
        {
            "id": 60,
            "problem": "Aya walks.",
            "solution": "…",
            "answer": "204",
            "url": "https://example.org",
            "year": "2024",
        },
        "Aya walks.",
        "204",
    ),
    "deepmath-103k": (
        {
            "question": "Evaluate the limit.",
            "final_answer": "0",
            "difficulty": 4.5,
            "topic": "Mathematics -> Precalculus -> Limits",
            "r1_solution_1": "…",
            "r1_solution_2": "…",
            "r1_solution_3": "…",
        },
        "Evaluate the limit.",
        "0",
    ),
    "math-train": (
        {
            "problem": "Find $y$.",
            "level": "Level 5",
            "type": "Algebra",
            "solution": "First \\boxed{1}, then $\\boxed{\\sqrt{\\frac{1}{2}}}$.",
        },
        "Find $y$.",
        "\\sqrt{\\frac{1}{2}}",
    ),
}
GPQA = {
    "Record ID": "rec1",
    "Question": "Which one?",
    "Correct Answer": "right\n",
    "Incorrect Answer 1": "wrong 1",
    "Incorrect Answer 2": "wrong 2",
    "Incorrect Answer 3": "wrong 3",
    "High-level domain": "Physics",
}


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
@pytest.mark.parametrize("name", ROWS)
def test_each_sets_own_columns(tmp_path, name, kind):
    row, problem, answer = ROWS[name]
    file = prepare(name, tmp_path / "out", write(tmp_path / f"source.{kind}", [row]))
    [prepared] = pd.read_parquet(file).to_dict("records")
    assert set(prepared) == {"data_source", "prompt", "ability", "reward_model", "extra_info"}
    assert prepared["prompt"][0]["role"] == "user"
    assert prepared["prompt"][0]["content"].startswith(problem)
    assert "\\boxed{}" in prepared["prompt"][0]["content"]
    assert prepared["reward_model"]["ground_truth"] == answer
    assert prepared["data_source"] == SOURCES[name].hub_id
    assert prepared["extra_info"]["index"] == 0


def test_every_set_is_tried():
    assert {*ROWS, "gpqa-diamond"} == set(SOURCES)


def test_gpqa_is_shuffled_with_the_seed_and_the_letter_goes_with_it(tmp_path):
    rows = [{**GPQA, "Question": f"Which of the {number}?"} for number in range(200)]
    source = write(tmp_path / "gpqa_diamond.csv", rows)
    first, again, other = (
        pd.read_parquet(prepare("gpqa-diamond", tmp_path / folder, source, seed=seed)).to_dict("records")
        for folder, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert str(first) == str(again) != str(other)
    letters = [row["reward_model"]["ground_truth"] for row in first]
    assert min(letters.count(letter) for letter in LETTERS) > 25
    for row in first:
        answer = row["reward_model"]["ground_truth"]
        assert f"{answer}) right\n" in row["prompt"][0]["content"] + "\n"
        assert compute_score("", f"\\boxed{{{answer}}}", answer, row["extra_info"]) == 1.0


def refused(name, out, source, **filters):
    with pytest.raises(UserError) as error:
        prepare(name, out, source, filters=Filters(**filters) if filters else None)
    assert not list(out.glob("*")) if out.exists() else True, "something was written"
    return str(error.value)


def test_what_is_refused_names_its_row_and_writes_nothing(tmp_path):
    out = tmp_path / "out"
    good = {"question": "One and one?", "answer": "#### 2"}
    missing = write(tmp_path / "a.jsonl", [{"question": "?"}])
    assert "no column 'answer' (there are question)" in refused("gsm8k", out, missing)
    bad = write(
        tmp_path / "b.jsonl",
        [good, {"question": "Two?", "answer": "no marker"}, {"question": "ONE  and one?", "answer": "#### 2"}],
    )
    message = refused("gsm8k", out, bad)
    assert "row 1: column answer: there is no #### with the answer behind it in 'no marker'" in message
    assert "row 2: same problem as row 0" in message
    assert "--skip-bad-rows" in message
    assert "no such file" in refused("gsm8k", out, tmp_path / "none.jsonl")
    assert "must be one of .jsonl" in refused(
        "gsm8k", out, write(tmp_path / "c.jsonl", [good]).rename(tmp_path / "c.txt")
    )
    (tmp_path / "d.jsonl").write_text("{no json\n")
    assert "cannot be read" in refused("gsm8k", out, tmp_path / "d.jsonl")
    assert "must be one of gsm8k" in refused("gsm9k", out, None)
    assert "is a benchmark" in refused("gsm8k", out, bad, min_difficulty=3.0)
    assert "has no difficulty" in refused("math-train", out, bad, max_difficulty=3.0)
    assert prepare("gsm8k", out, bad, filters=Filters(skip_bad_rows=True)).exists()
    assert json.loads((out / "gsm8k.json").read_text())["removed"] == {"bad row": 2}


def prepared(tmp_path, file, name="math-500", columns=None):
    return pd.read_parquet(prepare(name, tmp_path / "out", file, columns=columns)).to_dict("records")


def truths(rows):
    return [row["reward_model"]["ground_truth"] for row in rows]


NUMBERS = ["12345678901234567890", "0.12345678901234567890", "1e3", "-7", "2.50"]


def test_numbers_keep_their_digits(tmp_path):
    lines = "".join(f'{{"problem": "How many {n}?", "answer": {n}}}\n' for n in NUMBERS)
    (tmp_path / "a.jsonl").write_text(lines)
    assert truths(prepared(tmp_path, tmp_path / "a.jsonl")) == NUMBERS
    (tmp_path / "b.json").write_text(f"[{','.join(lines.splitlines())}]")
    assert truths(prepared(tmp_path, tmp_path / "b.json")) == NUMBERS
    csv = "problem,answer\n" + "".join(f"How many {n}?,{n}\n" for n in NUMBERS)
    (tmp_path / "c.csv").write_text(csv)
    assert truths(prepared(tmp_path, tmp_path / "c.csv")) == NUMBERS


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json", "csv"])
def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path, ending):
    row = '{"problem": "Größer?", "answer": "2"}'
    text = {"json": f"[{row}]", "csv": "problem,answer\nGrößer?,2\n"}.get(ending, row + "\n")
    data = text.encode("utf-8-sig")
    file = tmp_path / f"a.{ending}"
    file.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    [row] = prepared(tmp_path, file)
    assert row["prompt"][0]["content"].startswith("Größer?")
    assert truths([row]) == ["2"]


def test_a_broken_line_is_named(tmp_path):
    good = '{"problem": "One?", "answer": "1"}\n'
    for text, said in (
        (good * 2 + '{"problem": "Two"\n', 'line 3 is not valid JSON (Expecting \',\' delimiter): {"problem": "Two"'),
        (good + "[1, 2]\n", "line 2 is not an object, {…}: [1, 2]"),
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
    ):
        (tmp_path / "a.jsonl").write_text(text)
        assert said in refused("math-500", tmp_path / "out", tmp_path / "a.jsonl")
    for text, said in (
        ('{"problem": "One?"}', "one array of objects"),
        ("[{]", "is not valid JSON"),
        (" ", "the file is empty"),
    ):
        (tmp_path / "a.json").write_text(text)
        assert said in refused("math-500", tmp_path / "out", tmp_path / "a.json")
    for name in ("a.csv", "a.jsonl.gz"):
        (tmp_path / name).write_bytes(b"" if name.endswith("csv") else gzip.compress(b""))
        assert "the file is empty" in refused("math-500", tmp_path / "out", tmp_path / name)
    (tmp_path / "b.jsonl.gz").write_text("no gzip")
    assert "cannot be read as .jsonl.gz" in refused("math-500", tmp_path / "out", tmp_path / "b.jsonl.gz")


def test_several_acceptable_answers_stay_several(tmp_path):
    file = write(
        tmp_path / "a.jsonl",
        [{"problem": "One and one?", "answer": ["2", "two"]}, {"problem": "Two and one?", "answer": "3"}],
    )
    rows = prepared(tmp_path, file)
    assert [list(truth) for truth in truths(rows)] == [["2", "two"], ["3"]]
    assert compute_score("", "\\boxed{two}", truths(rows)[0]) == 1.0
    assert [problem.ground_truth for problem in read_benchmarks(tmp_path / "out", ("math-500",))["math-500"]] == [
        ["2", "two"],
        "3",
    ]
    pd.read_parquet(tmp_path / "out/math-500.parquet").to_parquet(tmp_path / "b.parquet")
    empty = write(tmp_path / "c.jsonl", [{"problem": "One and one?", "answer": ["2", ""]}])
    assert "row 0: empty answer" in refused("math-500", tmp_path / "out2", empty)


def test_columns_that_are_called_otherwise(tmp_path):
    rows = [
        {"Problem": "How far?", "Solution": "So $\\boxed{\\frac{1}{2}}$."},
        {"Problem": "How long?", "Solution": "#### 4"},
    ]
    file = write(tmp_path / "a.jsonl", rows)
    message = refused("math-500", tmp_path / "out", file)
    assert "no column 'problem', 'answer' (there are Problem, Solution)" in message
    assert "looked for problem, answer" in message
    assert "--columns problem=…,answer=…" in message
    mapped = prepared(tmp_path, file, columns={"problem": "Problem", "answer": "Solution"})
    assert truths(mapped) == ["\\frac{1}{2}", "4"]
    assert json.loads((tmp_path / "out/math-500.json").read_text())["columns"] == {
        "problem": "Problem",
        "answer": "Solution",
    }
    with pytest.raises(
        UserError, match=r"--columns: .*a\.jsonl has no column 'Answer' \(there are Problem, Solution\)"
    ):
        prepare("math-500", tmp_path / "out3", file, columns={"problem": "Problem", "answer": "Answer"})


def deepmath(problem, difficulty=5.0):
    return {"question": problem, "final_answer": "1", "difficulty": difficulty}


def test_a_training_set_is_filtered_and_decontaminated_and_every_removal_is_counted(tmp_path):
    out = tmp_path / "out"
    long = "A farmer has seven red hens and four white ducks in the barn behind his house; how many birds has he?"
    prepare("gsm8k", out, write(tmp_path / "test.jsonl", [{"problem": long, "answer": "11"}]))
    other = tmp_path / "other"
    prepare("aime24", other, write(tmp_path / "aime.jsonl", [{"problem": "Short one: $x$?", "answer": "1"}]))
    rows = [
        deepmath("Kept because it is nowhere else."),
        deepmath("Too easy.", 2.0),
        deepmath("Too hard.", 9.0),
        deepmath("Excluded by file."),
        deepmath(long.upper().replace(" ", "  ")),
        deepmath(long.replace("how many birds has he?", "count the birds that he has, please.")),
        deepmath("short one:  x?"),
        deepmath("A farmer has seven red hens. What is the area of his field, if it is a square of side three?"),
    ]
    exclude = tmp_path / "exclude.txt"
    exclude.write_text("excluded by file.\n")
    filters = Filters(min_difficulty=3.0, max_difficulty=8.0, exclude=exclude, decontaminate=(other,))
    file = prepare("deepmath-103k", out, write(tmp_path / "deepmath.parquet", rows), filters=filters)
    record = json.loads(file.with_suffix(".json").read_text())
    assert record["removed"] == {
        "difficulty": 2,
        "excluded": 1,
        "in gsm8k (text)": 1,
        "in aime24 (text)": 1,
        "in gsm8k (ngram)": 1,
    }
    assert (record["rows_read"], record["rows"]) == (8, 2)
    assert set(record["decontaminated_against"]) == {"gsm8k", "aime24"}
    kept = pd.read_parquet(file)
    assert [info["index"] for info in kept["extra_info"]] == [0, 7]
    assert record["sha256"] == sha256(file)
    assert record["source_sha256"] == sha256(tmp_path / "deepmath.parquet")
    # A second training set beside it is not decontaminated against the first.
    again = prepare("math-train", out, write(tmp_path / "math.jsonl", [{"problem": "New", "answer": "2"}]))
    assert set(json.loads(again.with_suffix(".json").read_text())["decontaminated_against"]) == {"gsm8k"}


def test_a_problem_whose_difficulty_is_not_known_is_left_out_where_that_is_asked_for(tmp_path):
    (tmp_path / "a.csv").write_text("question,final_answer,difficulty\nOne?,1,\nTwo?,2,6\nThree?,3,2.5\n")
    assert len(prepared(tmp_path, tmp_path / "a.csv", "deepmath-103k")) == 3
    file = prepare("deepmath-103k", tmp_path / "out", tmp_path / "a.csv", filters=Filters(min_difficulty=5.0))
    assert json.loads(file.with_suffix(".json").read_text())["removed"] == {"no difficulty": 1, "difficulty": 1}


def test_an_unreachable_hub_says_what_to_do(tmp_path, monkeypatch):
    import huggingface_hub

    def unreachable(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    message = refused("deepmath-103k", tmp_path / "out", None)
    assert "zwhe99/DeepMath-103K" in message
    assert "Name or service not known" in message
    assert "--from PATH" in message


@given(st.text(max_size=80), st.integers(0, 3))
def test_looks_do_not_hide_a_problem(text, spaces):
    dressed = (
        ("$" + text.upper().replace(" ", " " * (spaces + 1)) + "$")
        if text.upper().casefold() == text.casefold()
        else text
    )
    assert normalized(dressed) == normalized(text)


def in_test_set(*prompts):
    """``find`` of a test set that holds these prompts."""
    tests = TestSets({"test": prompts})

    def how(problem):
        found = tests.find(problem)
        assert found is None or found[0] == "test"
        return found and found[1]

    return how


def test_overlap_needs_half_of_the_wording():
    rng = random.Random(0)
    problem = [rng.choice("abcdefghijklmnopqrstuvwxyz") * 3 + str(number) for number in range(40)]
    how = in_test_set(" ".join(problem))
    assert how(" ".join(problem[5:30]) + " and more") == "ngram"
    assert how(" ".join(problem[:15]) + " and more") is None
    assert how(" ".join(reversed(problem))) is None
    assert in_test_set("two words")("two words more") is None


INSTRUCTION = ' Let\'s think step by step and output the final answer after "####".'  # verl's, of GSM8K
TRIANGLE = "已知直角三角形的两条直角边分别为3和4,求斜边的长度。"


@pytest.mark.parametrize(
    ("prompt", "problem", "how"),
    [
        ("What is 12 times 13?" + INSTRUCTION, "What is 12 times 13?", "inside"),
        ("What is 12 times 13?" + INSTRUCTION, "What is 12 times 14?", None),
        ("What is 12 times 13?" + INSTRUCTION, "What is 12 times 1", None),
        ("What is 12 times 13?", "Dear pupil, what is $12$ times $13$? Be quick.", "inside"),
        ("Which one is it?\n\nA) this\nB) that", "Which one is it?", "inside"),
        ("Find x.", "In a triangle ABC, x is an angle. Find x.", None),
        ("Find x such that 2x is 4.", "Find x", None),
        (
            "已知直角三角形的两条直角边分别为3和4,求斜边的长度。请逐步推理。",
            "已知直角三角形的两条直角边分别为3和4,求斜边的长度。",
            "inside",
        ),
        (
            "已知直角三角形的两条直角边分别为3和4,求斜边的长度。",
            "直角三角形的两条直角边分别为3和4,那么斜边的长度是多少?",
            "ngram",
        ),
        ("已知直角三角形的两条直角边分别为3和4,求斜边的长度。", "已知圆的半径为5,求它的面积。", None),
        ("จงหาผลบวกของจำนวนเฉพาะสองจำนวนแรก แสดงวิธีทำ", "จงหาผลบวกของจำนวนเฉพาะสองจำนวนแรก", "inside"),
    ],
)
def test_a_problem_is_found_inside_a_prompt(prompt, problem, how):
    assert in_test_set("Another problem that is not meant.", prompt)(problem) == how


def test_what_all_prompts_of_a_test_set_say_is_no_part_of_their_problems():
    """Else a reworded problem shares too little of a prompt, and one with the same instruction too much."""
    intro = "You are a careful and patient tutor of mathematics who never makes any mistake at all. "
    rng = random.Random(0)
    problems = [" ".join(rng.choice("abcdefgh") * rng.randint(2, 9) for _ in range(24)) for _ in range(20)]
    how = in_test_set(*(intro + problem + INSTRUCTION for problem in problems))
    assert how(" ".join([*problems[3].split()[:18], "and", "now", "otherwise"])) == "ngram"
    assert how(f"{intro}What is two and two?{INSTRUCTION}") is None
    assert all(how(problem) == "text" for problem in problems)


def verl_row(prompt, **extra_info):
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "reward_model": {"ground_truth": "1"},
        **({"extra_info": extra_info} if extra_info else {}),
    }


def test_only_test_sets_beside_the_output_are_kept_out_of_it(tmp_path):
    """Not the output itself, of which a kill left no record, nor what says that it is for training."""
    out, rows = tmp_path / "out", [deepmath(f"What is {number} and {number}?") for number in range(10, 20)]
    out.mkdir()
    whole = [verl_row(row["question"]) for row in rows]
    for name in ("deepmath-103k", "my_train", "math-train"):
        write(out / f"{name}.parquet", whole)
    write(out / "mine.parquet", [verl_row(row["question"], split="train") for row in rows])
    (out / "deepmath-103k.json").write_text('{"training": true}')
    (out / "mine.json").write_text("[]")  # the data that it was made from, and no record
    write(out / "his.parquet", [verl_row(row["question"] + INSTRUCTION, split="test") for row in rows[:3]])
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "his.parquet", [verl_row(rows[4]["question"])])
    filters = Filters(decontaminate=(tmp_path / "other", out))
    file = prepare("deepmath-103k", out, write(tmp_path / "deepmath.parquet", rows), filters=filters)
    record = json.loads(file.with_suffix(".json").read_text())
    named = {f"in {out / 'his.parquet'} (inside)": 3, f"in {tmp_path / 'other' / 'his.parquet'} (text)": 1}
    assert (record["removed"], record["rows"]) == (named, 6)
    assert record["sha256"] == sha256(file)
    assert record["taken_for_training_sets"] == ["math-train.parquet", "mine.parquet", "my_train.parquet"]
    write(out / "no_record.parquet", whole)
    with pytest.raises(UserError, match=r"10 of the 10 .*no_record\.parquet, which has no record .*--decontaminate"):
        prepare("deepmath-103k", out, tmp_path / "deepmath.parquet")
    pd.DataFrame([{"text": "?"}]).to_parquet(out / "no_record.parquet")
    with pytest.raises(UserError, match=r"no_record\.parquet: row 0 has no problem"):
        prepare("deepmath-103k", out, tmp_path / "deepmath.parquet")


def test_the_record_is_there_before_the_data(tmp_path, monkeypatch):
    """A kill between the two leaves no training set that nobody knows to be one."""
    written = []
    monkeypatch.setattr("sgrpo_verl.data.prepare.write_whole", lambda file, content: written.append(file.name))
    prepare("math-train", tmp_path / "out", write(tmp_path / "math.jsonl", [{"problem": "New", "answer": "2"}]))
    assert written == ["math-train.json", "math-train.parquet"]


@pytest.mark.parametrize(
    ("name", "file", "rows"),
    [("gsm8k", "gsm8k_test", 1000), ("math-500", "math500", 250), ("amc23", "amc23", 40), ("aime24", "aime24", 30)],
)
def test_the_public_benchmarks(tmp_path, name, file, rows):
    prepared = pd.read_parquet(prepare(name, tmp_path, benchmark_file(f"{file}.jsonl"))).to_dict("records")
    assert len(prepared) == rows
    assert all(
        compute_score("", f"\\boxed{{{row['reward_model']['ground_truth']}}}", row["reward_model"]["ground_truth"])
        for row in prepared
    )


CHAT = [{"role": "user", "content": "Solve it. What is 1+1?\n\nThe last line is Answer: $Answer."}]
# A row in the form of each set that people train on, and the answer that must come of it.
TRAINING_ROWS = {
    "DAPO-Math-17k": (
        {
            "data_source": "math_dapo",
            "prompt": CHAT,
            "ability": "MATH",
            "reward_model": {"ground_truth": "2", "style": "rule-lighteval/MATH_v2"},
            "extra_info": {"index": "9a9b6eb4-a1cb-49d1-8c1e-62eaf2f74079"},
        },
        "2",
    ),
    "Skywork-OR1": (
        {
            "data_source": "train-math-numinamath1.5",
            "prompt": CHAT,
            "ability": "math",
            "reward_model": {"ground_truth": '["2", "\\\\frac{4}{2}"]', "style": "rule"},
            "extra_info": {"index": 0, "model_difficulty": {"DeepSeek-R1-Distill-Qwen-7B": 3}},
        },
        ["2", "\\frac{4}{2}"],
    ),
    "OpenR1-Math": (
        {
            "problem": "What is 1+1?",
            "solution": "It is $2$.",
            "answer": "2",
            "uuid": "4a1d",
            "generations": ["<think>…</think> \\boxed{2}"],
            "messages": [{"role": "user", "content": "What is 1+1?"}],
        },
        "2",
    ),
    "Big-Math": (
        {"problem": "What is 1+1?", "answer": "2", "source": "orca_math", "domain": ["x"], "llama8b_solve_rate": 0.5},
        "2",
    ),
    "STILL-3": ({"question": "What is 1+1?", "answer": "$2$"}, "$2$"),
}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", TRAINING_ROWS)
def test_a_row_of_the_sets_that_people_train_on(tmp_path, name, kind):
    row, answer = TRAINING_ROWS[name]
    columns = {"problem": "question"} if "question" in row else {}
    file = write(tmp_path / f"a.{kind}", [row])
    [made] = prepared(tmp_path, file, "math-train", columns)
    truth = made["reward_model"]["ground_truth"]
    assert (truth if isinstance(truth, str) else list(truth)) == answer
    assert compute_score("", "\\boxed{2}", truth) == 1.0
    [message] = made["prompt"]
    assert "What is 1+1?" in message["content"]
    if "prompt" in row:
        assert message == CHAT[0], "verl's own prompt has its own instruction"
        assert made["data_source"] == row["data_source"]
        assert made["extra_info"]["index"] == 0
    else:
        assert message["content"].endswith("\\boxed{}.")


def test_verls_own_cells_under_other_names(tmp_path):
    """Named with --columns, they are read as what they are, and never as Python's text of them."""
    file = write(tmp_path / "a.parquet", [TRAINING_ROWS["DAPO-Math-17k"][0]])
    rows = prepared(tmp_path, file, columns={"problem": "prompt", "answer": "reward_model"})
    assert truths(rows) == ["2"]
    assert (list(rows[0]["prompt"]), rows[0]["data_source"]) == (CHAT, "math_dapo")


def test_choices_of_verls_own_rows_stay_letters_or_texts(tmp_path):
    for choices in ("ABCD", ["3 m", "4 m"]):
        truth = {"ground_truth": "B"}
        row = {"prompt": CHAT, "reward_model": truth, "data_source": "own", "extra_info": {"choices": choices}}
        [kept] = prepared(tmp_path, write(tmp_path / "a.parquet", [row]))
        extra = kept["extra_info"]
        assert choices_of(extra["choices"]) == list(choices)
        assert compute_score("own", "\\boxed{B}", kept["reward_model"]["ground_truth"], extra) == 1.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"problem": ["a", "b"], "answer": "2"}, r"row 0: column problem: \['a', 'b'\] is no chat of texts"),
        ({"problem": {"text": "a"}, "answer": "2"}, r"row 0: column problem: \{'text': 'a'\} is neither a text nor"),
        ({"problem": "a", "answer": {"value": 2}}, r"row 0: column answer: \{'value': 2\} has no ground_truth"),
        ({"problem": "a", "answer": [{"value": 2}]}, r"row 0: column answer: \{'value': 2\} is neither"),
        ({"problem": "a", "answer": "{'ground_truth': '2'}"}, "row 0: column answer: .* structure that was written as"),
        ({"problem": "a", "answer": "['2']"}, "row 0: column answer: .* structure that was written as"),
        ({"problem": "a", "answer": float("nan")}, "row 0: empty answer .column answer"),
        ({"problem": "a", "answer": "-\\boxed{2}"}, "row 0: empty answer .column answer"),
        ({"problem": "a", "answer": "so \\boxed{}"}, "row 0: empty answer .column answer"),
        ({"problem": '[{"content": "a"}]', "answer": "2"}, "row 0: column problem: .* structure that was written as"),
        (
            {"prompt": [{"role": "user", "content": [{"type": "image"}]}], "reward_model": {"ground_truth": "2"}},
            "row 0: column prompt: .* is no chat of texts that ends with a user's message",
        ),
        (
            {"prompt": CHAT, "reward_model": {"ground_truth": "2"}, "extra_info": "a"},
            "row 0: column extra_info: 'a' is no dict",
        ),
        ({"prompt": CHAT, "reward_model": {"ground_truth": ""}}, "row 0: empty answer .column reward_model"),
        ({"problem": "a", "answer": "NaN"}, "row 0: .* the ground truth 'NaN' .*cannot be one.* .column answer"),
        ({"problem": "a", "answer": "\\text{}"}, "row 0: .* cannot be one"),
        (
            {"prompt": CHAT, "reward_model": {"ground_truth": "Z"}, "extra_info": {"choices": "ABCD"}},
            "row 0: .* the ground truth 'Z' is none of the choices",
        ),
    ],
)
def test_another_structure_is_refused_by_row_and_column(tmp_path, row, message):
    assert re.search(message, refused("math-train", tmp_path / "out", write(tmp_path / "a.jsonl", [row])))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("The roots are $\\boxed{1}$ and $\\boxed{3}$.", "1, 3"),
        ("It is $\\boxed{1}$, $\\boxed{2}$ or $\\boxed{3}$.", "1, 2, 3"),
        ("First $\\boxed{1}$, then $\\boxed{3}$.", "3"),
        ("It is \\fbox{3}.", "3"),
        ("So $\\boxed{3}$. I mean \\boxed{3}.", "3"),
    ],
)
def test_a_solution_with_several_boxes(tmp_path, solution, answer):
    file = write(tmp_path / "a.jsonl", [{"problem": "Which?", "solution": solution}])
    assert truths(prepared(tmp_path, file, "math-train")) == [answer]


def test_boxes_that_stand_apart_and_a_solution_without_one_are_named(tmp_path):
    rows = [
        {"problem": "Which?", "solution": "One root is \\boxed{1}. Another is \\boxed{3}."},
        {"problem": "Which one?", "solution": "It is 3."},
    ]
    message = refused("math-train", tmp_path / "out", write(tmp_path / "a.jsonl", rows))
    assert "row 0: column solution: several boxes stand apart, so which is the answer? 1; 3" in message
    assert "row 1: column solution: empty answer: there is no \\boxed{…} or \\fbox{…} in it" in message


def test_what_is_there_is_not_overwritten(tmp_path):
    row, out = {"problem": "Which?", "answer": "3"}, tmp_path / "out"
    out.mkdir()
    for source in (write(tmp_path / "out" / "math-500.parquet", [row]), out / "math-500.json"):
        source.exists() or source.write_text(json.dumps([row]))
        before = source.read_bytes()
        with pytest.raises(UserError, match="would be overwritten"):
            prepare("math-500", out, source)
        assert source.read_bytes() == before
    elsewhere = write(tmp_path / "a.jsonl", [row])
    for gone, left in (("parquet", "json"), ("json", "parquet")):
        (out / f"math-500.{left}").touch()
        (out / f"math-500.{gone}").unlink()
        with pytest.raises(UserError, match=rf": math-500\.{left} would be overwritten, and no record"):
            prepare("math-500", out, elsewhere)
    with pytest.raises(UserError, match=r"a\.jsonl must be a folder"):
        prepare("math-500", elsewhere / "below", elsewhere)


def test_commas_that_are_not_quoted_do_not_shift_the_columns(tmp_path):
    (tmp_path / "a.csv").write_text("problem,answer\nWhat is 1,000+1?,1001\nWhat is 2,001+1?,2002\n")
    assert "more cells in its rows than in its header" in refused("math-500", tmp_path / "out", tmp_path / "a.csv")


def test_a_test_set_that_is_named_is_read_whatever_its_format(tmp_path):
    rows = [deepmath(f"What is {number} and {number}?") for number in range(10, 20)]
    source = write(tmp_path / "source.jsonl", rows)
    tests = write(tmp_path / "tests.csv", rows[:4])
    file = prepare("deepmath-103k", tmp_path / "out", source, filters=Filters(decontaminate=(tests,)))
    assert json.loads(file.with_suffix(".json").read_text())["removed"] == {"in tests (text)": 4}
    message = refused("deepmath-103k", tmp_path / "other", source, decontaminate=(tmp_path,))
    assert "no test set is there, in parquet and not for training (nothing)" in message
    training = write(tmp_path / "my_train.parquet", [verl_row(row["question"]) for row in rows[:4]])
    message = refused("deepmath-103k", tmp_path / "other", source, decontaminate=(tmp_path,))
    assert "not for training (my_train.parquet); name its files one by one" in message
    (tmp_path / "elsewhere").mkdir()
    spelt = tmp_path / "elsewhere" / ".." / training.name
    file = prepare("deepmath-103k", tmp_path / "again", source, filters=Filters(decontaminate=(tests, spelt)))
    assert sum(json.loads(file.with_suffix(".json").read_text())["removed"].values()) == 4
    (tmp_path / "latin.txt").write_bytes("Wie groß?".encode("latin-1"))
    assert "is not UTF-8" in refused("deepmath-103k", tmp_path / "other", source, exclude=tmp_path / "latin.txt")
    assert "it must be a file" in refused("deepmath-103k", tmp_path / "other", source, exclude=tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "mine.parquet").write_text("no parquet")
    assert "mine.parquet: cannot be read" in refused(
        "deepmath-103k", tmp_path / "other", source, decontaminate=(tmp_path / "broken",)
    )


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ([{"problem": "a", "answer": "1", "difficulty": 6}, {"problem": "b", "answer": "2", "difficulty": 3}], None),
        ([{"problem": "a", "answer": "1", "level": "6"}, {"problem": "b", "answer": "2", "level": "3"}], "level"),
        (
            [
                {
                    "prompt": [{"role": "user", "content": text}],
                    "reward_model": {"ground_truth": "1"},
                    "extra_info": extra,
                }
                for text, extra in (("a", {"difficulty": 6}), ("b", {"difficulty": 3}))
            ],
            None,
        ),
    ],
)
def test_difficulty_is_read_beside_plain_and_verls_columns(tmp_path, rows, columns):
    source = write(tmp_path / "a.jsonl", rows)
    names = {"difficulty": columns} if columns else None
    file = prepare("deepmath-103k", tmp_path / "out", source, filters=Filters(min_difficulty=5), columns=names)
    [kept] = pd.read_parquet(file).to_dict("records")
    assert kept["prompt"][0]["content"].startswith("a")
    assert kept["extra_info"]["difficulty"] == 6.0


def test_cells_that_were_misread(tmp_path):
    hard = write(tmp_path / "hard.jsonl", [{"problem": "a", "answer": "1", "difficulty": "hard"}])
    assert "row 0: column difficulty: 'hard' is no number" in refused("deepmath-103k", tmp_path / "out", hard)
    solution = write(tmp_path / "gsm8k.jsonl", [{"question": "a", "answer": "So\n#### 1,072\nThat is all."}])
    assert truths(prepared(tmp_path, solution, "gsm8k")) == ["1072"]
    narrow = write(
        tmp_path / "narrow.parquet", pd.DataFrame({"problem": ["a"], "answer": [0.1]}).astype({"answer": "float32"})
    )
    assert truths(prepared(tmp_path, narrow)) == ["0.1"]
    choices = write(tmp_path / "choices.jsonl", [{**GPQA, "Incorrect Answer 2": GPQA["Correct Answer"]}])
    assert "Incorrect Answer 2: 'right' is empty or another" in refused("gpqa-diamond", tmp_path / "out3", choices)
    mixed = write(
        tmp_path / "mixed.jsonl",
        [
            {
                "prompt": [{"role": "user", "content": text}],
                "reward_model": {"ground_truth": "1"},
                "extra_info": {"a": value},
            }
            for text, value in (("b", 1), ("c", "t"))
        ],
    )
    assert "extra_info must have values of one type" in refused("math-500", tmp_path / "out3", mixed)
    for extra_info in ({"tools": {}}, {"a": 10**30}):
        row = {"prompt": [{"role": "user", "content": "b"}], "reward_model": {"ground_truth": "1"}}
        unwritable = write(tmp_path / "unwritable.jsonl", [{**row, "extra_info": extra_info}])
        assert "cannot be written as parquet" in refused("math-500", tmp_path / "out3", unwritable)
    numbers = [
        {
            "prompt": [{"role": "user", "content": text}],
            "reward_model": {"ground_truth": "1"},
            "extra_info": {"a": value},
        }
        for text, value in (("b", 0.5), ("c", 1))
    ]
    found = prepared(tmp_path / "numbers", write(tmp_path / "numbers.jsonl", numbers))
    assert [row["extra_info"]["a"] for row in found] == [0.5, 1.0]
    mistyped = write(tmp_path / "mistyped.jsonl", [{"problem": "a", "answer": "1", "Ans": "7"}])
    with pytest.raises(UserError, match="--columns: 'anser' is none of problem, answer"):
        prepare("math-500", tmp_path / "out3", mistyped, columns={"anser": "Ans"})


def test_a_bad_row_does_not_take_a_good_one_with_it(tmp_path):
    rows = [{"problem": "a b", "answer": ""}, {"problem": "a b", "answer": "7"}]
    file = prepare("math-500", tmp_path / "out", write(tmp_path / "a.jsonl", rows), filters=Filters(skip_bad_rows=True))
    assert truths(pd.read_parquet(file).to_dict("records")) == ["7"]

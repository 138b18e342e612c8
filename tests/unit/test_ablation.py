"""The ablation's bookkeeping: what its tables say of the runs that are there, and what a second start does again."""

import csv
import json
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from recipes.ablation import report, run, taught_stop
from recipes.ablation.variants import ROWS, STOPS, UNTRAINED
from sgrpo_verl.errors import UserError
from sgrpo_verl.workbench.task import RECHECK
from sgrpo_verl.workbench.tasks import TASKS
from tests.unit.test_eval import completion

STEPS = "1+2=3\n"


def write_run(folder, thoughts, scores, tokens):
    """What ``sgrpo eval`` leaves behind, as far as the report reads it."""
    folder.mkdir(parents=True)
    completions = [
        completion(index, "\nAnswer: 3", thought=thought, ground_truth="3", thought_tokens=len(thought))
        for index, thought in enumerate(thoughts)
    ]
    (folder / "completions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in completions))
    (folder / "scores.jsonl").write_text("".join(json.dumps({"score": score}) + "\n" for score in scores))
    accuracy = sum(scores) / len(scores)
    figures = {"problems": len(scores), "accuracy": accuracy, "response_tokens": tokens, "thought_tokens": tokens}
    rows = [{"benchmarks": {"test": {**figures, "closed": 1.0}}}]
    (folder / "summary.json").write_text(json.dumps({"rows": rows}))


def write_step(folder, length):
    data = {"training/global_step": 1, "response_length/mean": length, "critic/score/mean": 0.5}
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "data": data}) + "\n")


@pytest.fixture
def folder(tmp_path):
    """Untrained, and two seeds of S-GRPO, of four problems; no other variant has run yet."""
    checked = f"{STEPS}{RECHECK}{STEPS}"
    for kind in report.KINDS:
        write_run(tmp_path / UNTRAINED / kind, [STEPS, checked, checked, checked * 2], [0, 1, 1, 1], 100.0)
        write_run(tmp_path / "sgrpo" / "seed0" / kind, [STEPS] * 4, [1, 1, 1, 1], 40.0)
        write_run(tmp_path / "sgrpo" / "seed1" / kind, [STEPS, STEPS, STEPS, checked], [1, 1, 1, 0], 60.0)
    for seed in ("seed0", "seed1"):
        (tmp_path / "sgrpo" / seed / "seconds.json").write_text("{}")
        write_step(tmp_path / "sgrpo" / seed, 50.0)
    return tmp_path


def table_rows(file):
    lines = [line for line in file.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_table_has_means_and_deviations_over_seeds_and_the_change_against_the_untrained(folder):
    report.write(folder, TASKS["sums"], "ablation", ROWS, Console(file=StringIO()))
    untrained, sgrpo = table_rows(folder / "ablation.md")
    assert untrained[:6] == ["untrained", "", "75.0", "", "100.0", ""]
    assert sgrpo[:6] == ["S-GRPO", "2", "87.5 ± 17.7", "+12.5", "50.0 ± 14.1", "-50.0"]
    assert (untrained[-2], sgrpo[-2]) == ("75.0", "12.5 ± 17.7"), "the share of sampled thoughts with a re-check"
    with (folder / "ablation.csv").open() as file:
        records = list(csv.DictReader(file))
    assert [(record["variant"], record["seed"]) for record in records if record["decoding"] == "greedy"] == [
        (UNTRAINED, ""),
        ("sgrpo", "seed0"),
        ("sgrpo", "seed1"),
    ]
    assert (folder / "ablation.png").stat().st_size > 0
    assert (folder / "ablation_curves.png").stat().st_size > 0


def test_accuracy_by_the_number_of_rechecks(folder):
    report.write_rechecks(folder)
    assert table_rows(folder / "rechecks.md") == [["0", "1", "0.0"], ["1", "2", "100.0"], ["2", "1", "100.0"]]


def test_accuracy_by_the_number_of_additions(folder):
    (folder / "data").mkdir()
    prompts = [[{"role": "user", "content": f"1{'+1' * additions}=?"}] for additions in (2, 2, 3, 3)]
    pd.DataFrame({"prompt": prompts}).to_parquet(folder / "data" / "test.parquet")
    report.write_by_additions(folder, ROWS[:1])
    rows = table_rows(folder / "by_additions.md")
    assert rows[0] == ["untrained", "greedy", "50.0", "100.0"]
    assert rows[2] == ["S-GRPO", "greedy", "100.0", "75.0"], "both seeds together"


def test_an_unknown_variant_of_the_taught_stop_is_named(tmp_path):
    with pytest.raises(UserError, match="--variants paper,sgrpo: 'sgrpo' is none of paper_low_rate, paper, "):
        taught_stop.main(tmp_path, tmp_path, "paper,sgrpo", "0", False)
    assert len({variant.name for variant in STOPS}) == len(STOPS)


def test_examples_begin_where_the_cut_thought_is_wrong_and_sgrpos_own_is_right(folder):
    write_run(folder / "truncation" / "untrained, cut", ["1+", "1+2=3", "1+2=4", "1+2=3"], [1, 1, 0, 1], 20.0)
    (folder / "data").mkdir()
    prompts = [[{"role": "user", "content": f"problem {index}"}] for index in range(4)]
    pd.DataFrame({"prompt": prompts}).to_parquet(folder / "data" / "test.parquet")
    report.write_examples(folder)
    titles = [line for line in (folder / "examples.txt").read_text().splitlines() if line.startswith("===")]
    assert titles == [f"=== problem {index} (answer 3)" for index in (2, 0, 1, 3)]
    counts = json.loads((folder / "truncation" / "counts.json").read_text())
    assert list(counts.values()) == [3, 1, 0, 0]


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """The runs that were trained to their end, each training being a folder with a model and no more."""
    ended = []

    def train(command, out, num_steps, console):
        model = out / "checkpoints" / "global_step" / "model"
        model.mkdir(parents=True)
        if len(ended) == 2:
            ended.append("a run that is interrupted")
            raise KeyboardInterrupt
        ended.append(str(out.relative_to(tmp_path)).removesuffix(".unfinished"))
        return [], model

    monkeypatch.setattr(run, "train", train)
    for name in ("evaluate", "write_data", "_untrained", "budgets_and_truncation"):
        monkeypatch.setattr(run, name, lambda *arguments: None)
    for name in ("write", "write_rechecks", "write_examples"):
        monkeypatch.setattr(report, name, lambda *arguments: None)
    return ended


def test_a_second_start_keeps_finished_runs_and_does_a_half_finished_one_again(tmp_path, ended):
    arguments = {"out": tmp_path, "reasoners": tmp_path, "tasks": "sums", "questions": False, "seeds": "0"}
    with pytest.raises(KeyboardInterrupt):
        run.main(**arguments)
    half = tmp_path / "sums" / "shortest_only" / "seed0.unfinished"
    assert half.is_dir()
    (half / "of the first start").touch()
    run.main(**arguments)
    folders = [f"sums/{variant.name}/seed0" for variant in ROWS]
    assert [name for name in ended if name.startswith("sums")] == folders
    for name in folders:
        assert (tmp_path / name / "model").is_dir()
        assert json.loads((tmp_path / name / "seconds.json").read_text()).keys() == {"train", "evaluate"}
    assert not half.exists()
    assert not (half.with_suffix("") / "of the first start").exists()


def test_an_unknown_task_is_named(tmp_path):
    with pytest.raises(UserError, match="--tasks sums,chess: 'chess' is none of sums, swaps"):
        run.main(tmp_path, tmp_path, "sums,chess", False, "0")

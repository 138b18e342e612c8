"""Around the methods: settings, resuming, statistics, scoring, the table."""

import csv
import importlib
import io
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from sgrpo_verl import cli
from sgrpo_verl.answers import checker
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval import plots, statistics
from sgrpo_verl.eval.checkpoint import resolve_model
from sgrpo_verl.eval.compare import compare
from sgrpo_verl.eval.deer import Deer
from sgrpo_verl.eval.engine import Engine, EngineOptions
from sgrpo_verl.eval.folder import claim, recover
from sgrpo_verl.eval.lines import read_run
from sgrpo_verl.eval.problems import read_benchmarks
from sgrpo_verl.eval.report import print_summary
from sgrpo_verl.eval.run import Unclosed, evaluate
from sgrpo_verl.eval.score import score
from sgrpo_verl.eval.settings import Settings
from sgrpo_verl.files import read_lines
from sgrpo_verl.settings.config import EXIT_PROMPT

CONSOLE = Console(quiet=True)


def settings(**changed):
    return Settings(**{"model": "m", "data": "d", "benchmarks": ("b",), "exit_prompt": EXIT_PROMPT, **changed})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"samples": 0}, "--samples 0"),
        ({"samples": 4}, "--samples 4 with --temperature 0"),
        ({"temperature": -1.0}, "--temperature -1.0"),
        ({"samples_of": {"b": 16}}, "--samples 16 with --temperature 0"),
        ({"num_exits": 0}, "--num-exits 0"),
        ({"method": "budget"}, "--method budget with --caps missing"),
        ({"caps": (4,)}, "--method vanilla with --caps 4"),
        ({"method": "budget", "caps": (4, 4)}, "--caps 4,4"),
        ({"method": "truncate-like"}, "--truncate-like None"),
        ({"truncate_like": "x"}, "--method vanilla"),
        ({"method": "other"}, "--method other: must be one of vanilla, exits, budget"),
        ({"exit_prompt": "stop"}, "--exit-prompt 'stop': must contain --think-end"),
        ({"think_end": "</t>"}, "must contain --think-end '</t>'"),
        ({"max_tokens": 0}, "--max-tokens 0"),
        ({"limit": 0}, "--limit 0: must be at least 1"),
        ({"top_p": 0.0}, "--top-p 0.0"),
        ({"method": "deer", "deer": Deer(trial_tokens=0)}, "--deer-trial-tokens 0"),
        (
            {"method": "deer", "think_end": "\\boxed{", "exit_prompt": "\\boxed{", "deer": Deer(closing="</think>")},
            "--deer-closing '</think>': must contain --think-end",
        ),
    ],
)
def test_settings_that_cannot_be_are_named(changed, named):
    with pytest.raises(UserError) as error:
        settings(**changed)
    assert named in str(error.value)


def test_deers_settings_are_its_own_affair():
    deer = Deer(threshold=2.0, words=(), closing="</think>", trial_tokens=0)
    for method in ("vanilla", "exits", "no-think"):
        assert settings(method=method, think_end="\\boxed{", exit_prompt="\\boxed{", deer=deer).deer == deer


def completion(index, answer="\\boxed{1}", sample=0, cap=None, tokens=10, **changed):
    return {
        "benchmark": "b",
        "index": index,
        "sample": sample,
        "data_source": "",
        "ground_truth": "1",
        "choices": "",
        "thought": "",
        "answer": answer,
        "response_tokens": tokens,
        "thought_tokens": 3,
        "answer_tokens": 4,
        "inserted_tokens": 0,
        "trial_tokens": 0,
        "closed": True,
        "exited": False,
        "cut": False,
        "cap": cap,
        **changed,
    }


def write(run, completions, tail=""):
    run.mkdir(exist_ok=True)
    (run / "completions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in completions) + tail)
    return run


def test_a_killed_runs_half_lines_and_half_jobs_are_done_again(tmp_path):
    lines = [completion(0, cap=4), completion(0, cap=8), completion(1, cap=4)]
    run = write(tmp_path / "run", lines, tail='{"benchmark": "b", "ind')
    assert recover(run, caps=(4, 8)) == {("b", 0, 0)}
    assert [line["index"] for line in read_lines(run / "completions.jsonl")] == [0, 0]
    before = (run / "completions.jsonl").stat().st_mtime_ns
    assert recover(run, caps=(4, 8)) == {("b", 0, 0)}
    assert (run / "completions.jsonl").stat().st_mtime_ns == before
    assert recover(tmp_path / "none", caps=()) == set()


def test_of_records_that_two_processes_wrote_the_first_is_kept(tmp_path):
    lines = [completion(index, answer) for answer in ("first", "second") for index in range(3)]
    run = write(tmp_path / "run", lines)
    assert recover(run, caps=()) == {("b", index, 0) for index in range(3)}
    assert [(one["index"], one["answer"]) for one in read_lines(run / "completions.jsonl")] == [
        (index, "first") for index in range(3)
    ]


def test_one_folder_takes_one_process(tmp_path):
    ours = settings(data=str(benchmark(tmp_path / "data")), model=str(tmp_path))
    code = f"from pathlib import Path; from sgrpo_verl.eval.folder import locked\nwith locked(Path({str(tmp_path)!r})):"
    command = [sys.executable, "-c", code + " print('locked', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match=r"another `sgrpo eval` is writing into this folder"):
            evaluate(ours, tmp_path, {}, CONSOLE)
        assert not (tmp_path / "run.json").exists()
        other.kill()
    with pytest.raises(UserError, match="neither Hugging Face weights"):  # the lock has gone with its process
        evaluate(ours, tmp_path, {}, CONSOLE)


def test_a_run_inside_the_checkpoints_folder_does_not_change_its_model(tmp_path):
    model = tmp_path / "global_step_1"
    (model / "actor").mkdir(parents=True)
    shard = model / "actor" / "model_world_size_1_rank_0.pt"
    shard.write_text("weights")
    problems = read_benchmarks(benchmark(tmp_path / "data"), ("b",))
    ours = settings(data=str(tmp_path / "data"), model=str(model))
    for out in (model / "eval", model / "actor" / "eval"):
        (out / "merged_model").mkdir(parents=True)
        claim(write(out, [completion(0)]), ours, problems)
        (out / "merged_model" / "model.safetensors").write_text("merged")
    for out in (model / "eval", model / "actor" / "eval"):
        claim(out, ours, problems)
    os.utime(shard, (1, 1))
    with pytest.raises(UserError, match="weights"):
        claim(model / "eval", ours, problems)


def benchmark(folder, name="b", rows=2):
    folder.mkdir(exist_ok=True)
    frame = pd.DataFrame(
        [
            {"prompt": [{"role": "user", "content": f"{row}?"}], "reward_model": {"ground_truth": str(row)}}
            for row in range(rows)
        ]
    )
    frame.to_parquet(folder / f"{name}.parquet")
    return folder


def test_a_run_is_not_gone_on_with_under_other_settings(tmp_path):
    data = str(benchmark(tmp_path / "data"))
    model = tmp_path / "model"
    model.mkdir()
    ours = settings(data=data, model=str(model))
    claim(write(tmp_path / "run", [completion(0)]), ours, read_benchmarks(tmp_path / "data", ("b",)))
    with pytest.raises(UserError, match="seed: 0 there, 1 now"):
        evaluate(settings(data=data, model=str(model), seed=1), tmp_path / "run", {}, CONSOLE)
    benchmark(tmp_path / "data", rows=3)
    with pytest.raises(UserError, match="problems"):
        evaluate(ours, tmp_path / "run", {}, CONSOLE)


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_is_no_folder_to_write_into(tmp_path, below):
    (tmp_path / "file").write_text("")
    ours = settings(data=str(benchmark(tmp_path / "data")))
    run = write(tmp_path / "run", [completion(0)])
    for call in (lambda out: evaluate(ours, out, {}, CONSOLE), lambda out: compare([run], [], out, CONSOLE)):
        with pytest.raises(UserError, match=rf"--out .*file.*{below}: cannot be made a folder"):
            call(tmp_path / "file" / below)


def test_a_wrong_model_does_not_claim_the_folder(tmp_path, monkeypatch):
    data, merged = str(benchmark(tmp_path / "data")), tmp_path / "run" / "merged_model"
    with pytest.raises(UserError, match="no such folder"):
        evaluate(settings(data=data, model="./wrong"), tmp_path / "run", {}, CONSOLE)
    assert not (tmp_path / "run" / "run.json").exists()
    claim(tmp_path / "run", settings(data=data, model="other/model"), {})  # and came to nothing
    merged.mkdir()
    (merged / "merged_from.json").write_text("{}")
    resolved = []
    monkeypatch.setattr("sgrpo_verl.eval.run.resolve_model", lambda *model: resolved.append((model, merged.exists())))
    monkeypatch.setattr("sgrpo_verl.eval.run._evaluate", lambda *_: None)
    evaluate(settings(data=data, model="right/model"), tmp_path / "run", {}, CONSOLE)
    assert resolved == [(("right/model", merged), False)]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["model"] == "right/model"


def test_a_folder_is_the_same_however_it_is_written(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    problems = read_benchmarks(benchmark(tmp_path / "data"), ("b",))
    monkeypatch.chdir(tmp_path)
    run = write(tmp_path / "run", [completion(0)])
    claim(run, settings(model="model", data="./data/"), problems)
    monkeypatch.chdir(tmp_path / "data")
    claim(run, settings(model=str(tmp_path / "model"), data="."), problems)
    with pytest.raises(UserError, match=r"model: '.*model' there, 'hub/model' now"):
        claim(run, settings(model="hub/model", data="."), problems)


def test_models_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        resolve_model(str(tmp_path / "none"), tmp_path / "merged")
    assert resolve_model("Qwen/Qwen3-8B", tmp_path / "merged") == "Qwen/Qwen3-8B"
    actor = tmp_path / "global_step_3" / "actor" / "huggingface"
    actor.mkdir(parents=True)
    (actor / "config.json").write_text("{}")
    (actor / "model.safetensors").write_text("")
    assert resolve_model(str(tmp_path / "global_step_3"), tmp_path / "merged") == str(actor)


@pytest.mark.parametrize("weights", [(), ("config.json", "model.safetensors")])
def test_a_model_without_a_tokenizer_is_one_sentence(tmp_path, monkeypatch, weights):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in weights:
        (tmp_path / name).write_text("{}")
    model = str(tmp_path) if weights else "nobody/has-this-model"
    ours = settings(data=str(benchmark(tmp_path / "data")), model=model)
    with pytest.raises(
        UserError, match=f"--model {model}: its tokenizer cannot be loaded; .*an id on the Hugging"
    ) as error:
        evaluate(ours, tmp_path / "run", {}, CONSOLE)
    assert "\n" not in str(error.value)


def test_truncate_like_needs_a_thought_for_every_sample(tmp_path):
    data = str(benchmark(tmp_path / "data"))
    other = write(tmp_path / "other", [completion(0)])
    ours = settings(data=data, method="truncate-like", truncate_like=str(other))
    with pytest.raises(UserError, match="no thought for 1 of 2 samples"):
        evaluate(ours, tmp_path / "run", {}, CONSOLE)
    assert not (tmp_path / "run").exists()
    write(other, [completion(0, ground_truth="0"), completion(1, ground_truth="7")])
    with pytest.raises(UserError, match="has another problem 1 of b"):
        evaluate(ours, tmp_path / "run", {}, CONSOLE)


def test_scores_are_of_the_answer_and_can_be_made_again(tmp_path):
    lines = [
        completion(0),
        completion(1, "\\boxed{2}"),
        completion(2, "", thought="\\boxed{1}", closed=False, cut=True),
        completion(3, "(B)", choices="ABCD", ground_truth="B"),
    ]
    run = write(tmp_path / "run", lines)
    summary = score(run, CONSOLE)
    assert [line["score"] for line in read_lines(run / "scores.jsonl")] == [1.0, 0.0, 0.0, 1.0]
    figures = summary["rows"][0]["benchmarks"]["b"]
    assert (figures["accuracy"], figures["problems"], figures["closed"], figures["cut"]) == (0.5, 4, 0.75, 0.25)
    assert json.loads((run / "summary.json").read_text()) == json.loads(json.dumps(summary))
    with pytest.raises(UserError, match=r"no completions\.jsonl"):
        score(tmp_path / "none", CONSOLE)


def test_everything_behind_the_first_tag_is_the_answer(tmp_path):
    """A closing tag behind the answer does not end it, whatever --think-end is."""
    run = write(tmp_path / "run", [completion(0, "The answer is \\boxed{1}.\n</think>"), completion(1, "\\boxed{1}")])
    letters = {"choices": "ABCD", "ground_truth": "B"}
    write(run, [*read_lines(run / "completions.jsonl"), completion(2, "B\n</think>", **letters)])
    score(run, CONSOLE)
    assert [line["score"] for line in read_lines(run / "scores.jsonl")] == [1.0, 1.0, 1.0]
    ours = settings(
        data=str(benchmark(tmp_path / "data")), think_end="</t>", exit_prompt="</t>", deer=Deer(closing="</t>")
    )
    claim(tmp_path / "run", ours, {})
    write(run, [completion(0, "not </think> but\nB</t>", **letters), completion(1, "\\boxed{1}</think>\\boxed{2}")])
    score(run, CONSOLE)
    assert [line["score"] for line in read_lines(run / "scores.jsonl")] == [1.0, 0.0]


def test_pass_at_1_is_the_mean_over_samples_and_budgets_have_a_row_each(tmp_path):
    lines = [completion(0, answer, sample, cap) for cap in (8, 4) for sample, answer in enumerate(["1", "2", "2", "1"])]
    summary = score(write(tmp_path / "run", lines), CONSOLE)
    assert [row["cap"] for row in summary["rows"]] == [4, 8]
    figures = summary["rows"][0]["benchmarks"]["b"]
    assert (figures["accuracy"], figures["samples"], figures["problems"]) == (0.5, 4, 1)


def test_checks_that_overran_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(checker, "SECONDS_PER_CHECK", 1.0)
    write(tmp_path, [completion(0, "\\boxed{9^{9^{9^{9^9}}}}", ground_truth="\\sqrt{2}"), completion(1)])
    summary = score(tmp_path, CONSOLE)
    assert summary["checks"] == {"checks": 1, "overran": 1, "lost": 0}
    with (tmp_path / "shown.txt").open("w") as file:
        print_summary(summary, Console(file=file, width=200))
    assert "of 1 comparisons, 1 overran" in (tmp_path / "shown.txt").read_text()


def test_the_interval_covers_what_it_should():
    """Of many normal samples, the 95 % interval of the mean holds the true mean about 95 times in 100."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        values = rng.normal(3.0, 1.0, size=60)
        low, high = statistics.interval(statistics.mean([values]), [60])
        held += low <= 3.0 <= high
    assert 180 <= held <= 199


@given(st.lists(st.floats(1.0, 100.0), min_size=2, max_size=20), st.floats(0.1, 3.0))
def test_paired_changes_of_a_constant_factor_are_exact(values, factor):
    ours, theirs = [np.array(values) * factor], [np.array(values)]
    change = statistics.relative_change(ours, theirs)
    assert statistics.whole(change, [len(values)]) == pytest.approx(factor - 1)
    low, high = statistics.interval(change, [len(values)])
    assert (low, high) == (pytest.approx(factor - 1), pytest.approx(factor - 1))


def test_benchmarks_weigh_the_same_whatever_their_size():
    values = [np.ones(10), np.zeros(1000)]
    assert statistics.whole(statistics.mean(values), [10, 1000]) == 0.5


def test_the_table_compares_with_the_first_run(tmp_path):
    first = write(tmp_path / "untrained", [completion(index, tokens=100) for index in range(8)])
    second = write(
        tmp_path / "sgrpo", [completion(index, "\\boxed{2}" if index == 0 else "1", tokens=40) for index in range(8)]
    )
    caps = write(tmp_path / "budget", [completion(index, cap=cap, tokens=cap) for index in range(8) for cap in (4, 8)])
    compare([first, second, caps], [], tmp_path / "out", CONSOLE)
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| untrained " in text
    assert "-12.50 (" in text
    assert "-60.0 % (-60.0 … -60.0)" in text
    assert "budget ≤ 4" in text
    records = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    sgrpo = next(one for one in records if one["run"] == "sgrpo" and one["benchmark"] == "average")
    assert float(sgrpo["accuracy_change"]) == pytest.approx(-0.125)
    assert float(sgrpo["tokens_change"]) == pytest.approx(-0.6)
    fewer = write(
        tmp_path / "fewer", [completion(index, cap=cap, tokens=cap // 2) for index in range(8) for cap in (4, 8)]
    )
    compare([caps, fewer], [], tmp_path / "budgets", CONSOLE)
    assert (tmp_path / "budgets" / "table.md").read_text().count("-50.0 % (-50.0 … -50.0)") == 2
    for plot in ("compare.png", "budget.png"):
        assert (tmp_path / "out" / plot).read_bytes().startswith(b"\x89PNG")


def read_table(out, key):
    """Of each line, that of the average over benchmarks, a column."""
    records = csv.DictReader((out / "table.csv").read_text().splitlines())
    return {(one["run"], one["cap"]): one[key] for one in records if one["benchmark"] == "average"}


def test_a_budget_is_compared_at_the_same_cap_alone(tmp_path):
    def budget(name, *caps):
        return write(
            tmp_path / name, [completion(index, cap=cap, tokens=cap or 1) for index in range(2) for cap in caps]
        )

    runs = [budget("first", 4, 8), budget("second", 8, 16), budget("vanilla", None)]
    compare(runs, [], tmp_path / "out", CONSOLE)
    changes = {("first", "4"): "0.0", ("first", "8"): "0.0", ("second", "8"): "0.0"}
    lacking = {("second", "16"): "", ("vanilla", ""): ""}
    assert read_table(tmp_path / "out", "tokens_change") == changes | lacking
    [line] = [line for line in (tmp_path / "out" / "table.md").read_text().splitlines() if "second ≤ 16" in line]
    assert line.replace(" ", "").endswith("|||")


@pytest.mark.filterwarnings("error")
def test_a_change_from_no_tokens_is_none(tmp_path):
    runs = [
        write(tmp_path / name, [completion(0, tokens=one), completion(1, tokens=0)])
        for name, one in (("a", 0), ("b", 5))
    ]
    for name, order in (("none", runs), ("some", runs[::-1])):  # with some, a resample may have none
        compare(order, [], tmp_path / name, CONSOLE)
        assert not re.search("inf|nan", (tmp_path / name / "table.md").read_text())
    assert set(read_table(tmp_path / "none", "tokens_change").values()) == {""}
    assert set(read_table(tmp_path / "some", "tokens_change").values()) == {"0.0", "-1.0"}


def test_runs_of_other_settings_are_compared_with_a_notice(tmp_path):
    problems = read_benchmarks(benchmark(tmp_path / "data"), ("b",))
    runs = [write(tmp_path / name, [completion(0), completion(1)]) for name in "abc"]
    for run, changed in zip(runs, ({}, {"seed": 1}, {"temperature": 1.0, "max_tokens": 7}), strict=True):
        claim(run, settings(**changed), problems)
    said = io.StringIO()
    compare(runs, [], tmp_path / "out", Console(file=said, width=200))
    [line] = [line for line in said.getvalue().splitlines() if "other settings" in line]
    assert line == "c and a have other settings (temperature: 1.0 and 0.0; max_tokens: 7 and 16384)"


@pytest.mark.parametrize("name", ["b[/]", "[red]", "a|b", ":warning:", "$x$ $\\y$"])
def test_names_are_shown_as_they_are(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    rows = [completion(index, benchmark=name, tokens=5, cap=cap) for index in range(2) for cap in (4, 8)]
    runs = [write(folder / one, rows) for one in ("run", "other")]
    said = io.StringIO()
    compare(runs, [name, f"{name},"], folder / "out", console := Console(file=said, width=200))
    print_summary(score(runs[0], console), console)
    assert said.getvalue().count(name) > 6
    head, line, first = (folder / "out" / "table.md").read_text().splitlines()[:3]
    assert first.startswith(f"| {name} ≤ 4".replace(name, name.replace("|", "\\|")))
    assert head.replace("\\|", "").count("|") == line.count("|") == first.replace("\\|", "").count("|")


def other(**changed):
    return [completion(0), completion(1, **changed)]


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ([completion(0), completion(2)], "b has another problem 2 of b"),
        ([completion(0)], r"other problems \({'b': 1}\) than a \({'b': 2}\)"),
        (other(ground_truth="7"), r'another problem 1 of b \(truth and choices: \["7", ""\]\)'),
        (other(choices="12"), "another problem 1 of b"),
        (other(prompt="another digest"), "or words it otherwise"),
        ([*other(), completion(1, sample=1)], "b has 2 samples of problem 1 of b, and a has 1.*the same --samples"),
    ],
)
def test_runs_on_other_problems_are_not_compared(tmp_path, theirs, said):
    first = write(tmp_path / "a", other(prompt="a digest"))
    compare([first, write(tmp_path / "same", other())], [], tmp_path / "out", CONSOLE)  # of an older version
    with pytest.raises(UserError, match=rf"(?s){said}"):
        compare([first, write(tmp_path / "b", theirs)], [], tmp_path / "out", CONSOLE)
    with pytest.raises(UserError, match="--labels: 1 for 2 runs"):
        compare([first, first], ["x"], tmp_path / "out", CONSOLE)
    with pytest.raises(UserError, match="--labels x,x: two runs have the same label"):
        compare([first, first], ["x", "x"], tmp_path / "out", CONSOLE)


def test_a_run_that_is_not_finished_says_so(tmp_path):
    ours = settings(data=str(benchmark(tmp_path / "data", rows=3)), method="budget", caps=(4, 8))
    run = write(tmp_path / "run", [completion(index, cap=cap) for index in range(2) for cap in (4, 8)])
    claim(run, ours, read_benchmarks(tmp_path / "data", ("b",)))
    with pytest.raises(UserError, match=r"run is not finished: it has 4 of 6 completions of b\. The same `sgrpo eval`"):
        compare([run], [], tmp_path / "out", CONSOLE)
    (run / "summary.json").write_text("{}")  # of a version that took any run for finished
    said = CliRunner().invoke(cli.app, ["score", str(run)], terminal_width=200).output
    assert "is not finished: it has 4 of 6 completions of b. What there is is scored" in said
    assert "are in" not in said
    assert not (run / "summary.json").exists()
    write(run, [completion(index, cap=cap) for index in range(3) for cap in (4, 8)])
    compare([run], [], tmp_path / "out", CONSOLE)


def test_scores_of_other_completions_are_made_again(tmp_path):
    run = write(tmp_path / "run", [completion(0), completion(1, "\\boxed{2}")])
    score(run, CONSOLE)
    write(run, [completion(1, "\\boxed{2}"), completion(0)])
    [line] = read_run(run, "run", CONSOLE)
    assert line.scores["b"].tolist() == [1.0, 0.0]
    write(run, [completion(1), completion(0)])
    said = io.StringIO()
    [line] = read_run(run, "run", Console(file=said, width=200))
    assert line.scores["b"].tolist() == [1.0, 1.0]
    assert "scores are of other completions or of another version; it is scored again" in said.getvalue()


@pytest.mark.parametrize(("scored_from", "found"), [("ours", 0.0), ("another scorer's", 1.0), (None, 1.0)])
def test_scores_of_another_scorer_are_made_again(tmp_path, scored_from, found):
    run = write(tmp_path / "run", [completion(0)])
    summary = score(run, CONSOLE)
    (run / "scores.jsonl").write_text((run / "scores.jsonl").read_text().replace("1.0", "0.0"))
    mark = summary["scored_from"] if scored_from == "ours" else {**summary["scored_from"], "scorer": scored_from}
    (run / "summary.json").write_text(json.dumps({"scored_from": mark} if scored_from else {"rows": []}))
    [line] = read_run(run, "run", CONSOLE)
    assert line.scores["b"].tolist() == [found]


def test_of_completions_that_are_there_twice_the_first_is_scored(tmp_path):
    run = write(tmp_path / "run", [completion(0), completion(1, "\\boxed{2}"), completion(1), completion(0)])
    figures = score(run, CONSOLE)["rows"][0]["benchmarks"]["b"]
    assert (figures["samples"], figures["accuracy"]) == (1, 0.5)
    assert [line["score"] for line in read_lines(run / "scores.jsonl")] == [1.0, 0.0]
    [line] = read_run(run, "run", CONSOLE)
    assert line.scores["b"].tolist() == [1.0, 0.0]


def without(key):
    return {name: value for name, value in completion(1).items() if name != key}


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("completions.jsonl", "\0", r"completions\.jsonl, line 2: is damaged"),
        ("completions.jsonl", json.dumps(without("choices")), r"completions\.jsonl, line 2: .*for want of choices"),
        ("completions.jsonl", json.dumps(without("cap")), r"completions\.jsonl, line 2: .*for want of cap"),
        ("completions.jsonl", json.dumps(completion(1, ground_truth=None)), "b, problem 1: .*None.* cannot be one"),
        ("completions.jsonl", json.dumps(completion(1, choices="AB")), "b, problem 1: .*'1' is none of the choices"),
        ("run.json", "[]", r"run\.json: is damaged"),
        ("scores.jsonl", "{", r"scores\.jsonl, line 1: is damaged"),
    ],
)
def test_a_damaged_run_says_where(tmp_path, file, line, said):
    run = write(tmp_path / "run", [completion(0)])
    with (run / file).open("a") as opened:
        opened.write(f"{line}\n")
    with pytest.raises(UserError, match=said):
        read_run(run, "run", CONSOLE)


@pytest.mark.parametrize("line", ["\0", "{}"])
def test_a_damaged_throughput_is_left_out(tmp_path, line):
    run = write(tmp_path / "run", [completion(0)])
    (run / "throughput.jsonl").write_text(f'{{"benchmark": "b", "generated_tokens": 5, "seconds": 1}}\n{line}\n')
    said = io.StringIO()
    summary = score(run, Console(file=said, width=200))
    assert summary["rows"][0]["benchmarks"]["b"]["tokens_per_second"] is None
    assert "tokens per second are left out" in said.getvalue()


@pytest.mark.parametrize(
    ("module", "call", "install"),
    [
        (
            "vllm",
            lambda: Engine("m", EngineOptions(max_model_len=8), 0.0, 1.0),
            r"sgrpo-verl\[vllm\].*sgrpo-verl\[cpu\]",
        ),
        ("scipy.stats", lambda: statistics.interval(statistics.mean([np.ones(3)]), [3]), r"sgrpo-verl\[eval\]"),
        ("matplotlib", lambda: importlib.reload(plots), r"sgrpo-verl\[eval\]"),
    ],
)
def test_what_is_missing_says_what_to_install(monkeypatch, module, call, install):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=install):
        call()


def test_an_error_is_one_sentence_and_exit_status_2(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["sgrpo", "data", "nothing", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("sgrpo: unknown data set 'nothing': it must be one of gsm8k,")


def test_help_names_every_command():
    output = CliRunner().invoke(cli.app, ["--help"]).output
    assert all(command in output for command in ("data", "eval", "score", "compare", "show"))


@pytest.mark.parametrize("method", ["no-think", "deer"])
def test_a_model_without_thoughts_has_none_to_end(method):
    assert settings(think_end="").think_end == ""
    with pytest.raises(UserError, match=f"--think-end '' with --method {method}: .* use --method vanilla"):
        settings(think_end="", method=method)


@pytest.mark.parametrize("closed", [None, 3, 49, 50])
def test_one_line_says_that_no_thought_is_closed(closed):
    """In the first fifty responses, and not again."""
    console = Console(file=io.StringIO(), width=80)
    unclosed = Unclosed("</think>", console)
    for number in range(200):
        unclosed.see([SimpleNamespace(closed=number == closed)])
    said = console.file.getvalue().splitlines()
    if closed in (3, 49):
        assert said == []
    else:
        assert said == [
            "none of the first 50 responses closes a thought with --think-end '</think>': if the model writes no "
            "thoughts, set --think-end '', and the whole response is the answer"
        ]

"""The instruct recipe's choice of problems and its tables, from runs as `sgrpo eval` writes them."""

import csv
import json

import pandas as pd
import pytest
from rich.console import Console

from recipes import before_after, kept
from recipes.ablation import run as ablation
from recipes.instruct import data, report
from recipes.instruct.variants import VARIANTS
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.score import score

QUIET = Console(quiet=True)
PROBLEMS = 40


def boxed(number):
    return f"\\boxed{{{number}}}"


def write_run(run, answer_of, tokens, exits=(), problems=PROBLEMS):
    """A run of one sample a problem; ``exits``: of each thought, the answers at its quarters."""
    run.mkdir(parents=True)
    lines = []
    for index in range(problems):
        common = {"benchmark": "gsm8k", "index": index, "sample": 0, "cap": None, "data_source": "gsm8k"}
        common |= {"ground_truth": str(index), "choices": "", "inserted_tokens": 0, "trial_tokens": 0, "cut": False}
        for number, answer in enumerate(exits, start=1):
            place = tokens * number // (len(exits) + 1)
            lines.append(completion(common, answer(index), place, exit_index=number, of_thought=tokens))
        lines.append(
            completion(common, answer_of(index), tokens, exit_index=None, of_thought=tokens if exits else None)
        )
    settings = {"settings": {"think_end": "\\boxed{"}, "completions": {"gsm8k": problems}}
    (run / "run.json").write_text(json.dumps(settings))
    (run / "completions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    score(run, QUIET)


def completion(common, answer, tokens, **more):
    lengths = {"thought_tokens": tokens, "answer_tokens": 0, "response_tokens": tokens}
    state = {"thought": "So, ", "answer": answer, "closed": bool(answer), "exited": more["exit_index"] is not None}
    return {**common, **lengths, **state, **more}


def half_right(index):
    """Of four problems, one is answered rightly, two wrongly and one not at all."""
    return [boxed(index), boxed(-1), boxed(-1), ""][index % 4]


def test_the_tables_say_what_closes_what_could_be_saved_and_what_was(tmp_path):
    (tmp_path / "data").mkdir()
    prompts = [[{"role": "user", "content": f"What is {index}?"}] for index in range(PROBLEMS)]
    pd.DataFrame({"prompt": prompts}).to_parquet(tmp_path / "data" / "gsm8k.parquet")
    write_run(tmp_path / "untrained" / "greedy", half_right, 200, exits=(lambda index: boxed(-1), boxed, boxed))
    write_run(tmp_path / "untrained" / "sampled", half_right, 200)
    for seed, tokens in ((0, 100), (1, 140)):
        for kind in ("greedy", "sampled"):
            write_run(tmp_path / "sgrpo" / f"seed{seed}" / kind, boxed, tokens)
    report.write(tmp_path, QUIET)

    with (tmp_path / "closed.csv").open() as file:
        rows = {(row["decoding"], row["row"]): row for row in csv.DictReader(file)}
    untrained, trained = rows["greedy", "untrained"], rows["greedy", "S-GRPO"]
    assert [float(untrained[name]) for name in ("closed", "accuracy", "tokens")] == [0.75, 0.25, 200]
    assert float(untrained["accuracy_of_closed"]) == pytest.approx(1 / 3)
    assert (trained["seeds"], float(trained["closed"]), float(trained["tokens"])) == ("2", 1.0, 120.0)
    assert set(rows) == {(kind, row) for kind in ("greedy", "sampled") for row in ("untrained", "S-GRPO")}

    savings = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (tmp_path / "savings.md").open()]
    assert savings[2] == ["untrained", "", "200.0", "+0.0 %"]
    assert savings[3] == ["if each thought ended at its first right exit", "50%", "100.0", "-50.0 %"]
    assert savings[4][0] == "if it ended where the answer stays right"
    assert savings[5] == ["S-GRPO", "", "120.0", "-40.0 %"]

    text = (tmp_path / "examples.txt").read_text()
    assert text.startswith("=== What is 0?\n\n--- before: 200 tokens\nSo, \\boxed{0}\n\n--- after sgrpo: 100 tokens")
    assert "-40.0 %" in (tmp_path / "greedy.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} >= {"before_after.csv", "before_after.png", "sampled.csv"}


def test_runs_of_other_problems_are_no_table(tmp_path):
    """Of the first seed alone there would be one; of the second's, averaged with it, an IndexError."""
    for kind in ("greedy", "sampled"):
        write_run(tmp_path / "untrained" / kind, half_right, 200)
        write_run(tmp_path / "sgrpo" / "seed0" / kind, boxed, 100)
    write_run(tmp_path / "sgrpo" / "seed1" / "sampled", boxed, 140, problems=PROBLEMS - 1)
    with pytest.raises(UserError, match=r"^sgrpo/seed1 has other problems \({'gsm8k': 39}\) than untrained"):
        before_after.write(tmp_path, VARIANTS.values(), ["gsm8k"], QUIET)
    assert {path.name for path in tmp_path.iterdir()} == {"untrained", "sgrpo"}, "nothing was written"


def test_an_evaluation_that_was_scored_before_its_end_goes_on_and_is_in_no_table(tmp_path, monkeypatch):
    whole, half = (tmp_path / "sgrpo" / seed / "greedy" for seed in ("seed0", "seed1"))
    for run in (whole, half):
        write_run(run, boxed, 100)
    lines = (half / "completions.jsonl").read_text().splitlines(keepends=True)
    (half / "completions.jsonl").write_text("".join(lines[:-1]))
    score(half, QUIET)
    assert not (half / "summary.json").exists()
    (half / "summary.json").write_text("{}")  # as an earlier version left it
    assert before_after.runs_of(tmp_path, VARIANTS.values(), "greedy") == {"S-GRPO": [whole.parent]}
    gone_on = []
    for module in (kept, ablation):
        monkeypatch.setattr(module, "evaluate", lambda model, data, run, *options, **more: gone_on.append(run))
    for run in (whole, half):
        kept.evaluated("model", tmp_path, run, QUIET)
    assert gone_on == [half]
    half.rename(half.with_name("sampled"))
    ablation._evaluate("model", tmp_path, half.parent)
    assert gone_on == [half, half, half.with_name("sampled")]


def test_only_problems_that_the_model_gets_right_are_trained_on(tmp_path):
    folder, choice = tmp_path / "data", tmp_path / "choice"
    folder.mkdir()
    choice.mkdir()
    pd.DataFrame({"number": range(60)}).to_parquet(folder / "gsm8k-train.parquet")
    scores = [{"index": index, "sample": 0, "score": float(index % 3 < 2)} for index in range(50)]
    (choice / "scores.jsonl").write_text("".join(json.dumps(one) + "\n" for one in scores))
    data.choose(folder, choice, QUIET)
    assert pd.read_parquet(folder / "train.parquet")["number"].tolist() == [one for one in range(50) if one % 3 < 2]
    assert (folder / "choice.txt").read_text().startswith("34 of 50 training problems have a right greedy response")

    (choice / "scores.jsonl").write_text("".join(json.dumps(one) + "\n" for one in scores[:20]))
    (folder / "train.parquet").unlink()
    with pytest.raises(UserError, match=r"14 of 20 .* a step takes 16: the model is too weak"):
        data.choose(folder, choice, QUIET)
    assert not (folder / "train.parquet").exists()


def test_an_unknown_variant_is_named():
    assert [one.name for one in kept.chosen("grpo,sgrpo", VARIANTS)] == ["grpo", "sgrpo"]
    with pytest.raises(UserError, match=r"--variants sgrpo,gpro: 'gpro' is none of sgrpo, grpo, length_penalty"):
        kept.chosen("sgrpo,gpro", VARIANTS)


def test_a_training_on_a_cpu_gets_what_keeps_its_memory_level_unless_the_user_says_otherwise(tmp_path, monkeypatch):
    seen = {}

    def train(command, folder, num_steps, console, **environment):
        seen.update(environment)
        (folder / "metrics.jsonl").write_text("")
        (folder / "checkpoints" / "hf").mkdir(parents=True)
        return folder / "metrics.jsonl", folder / "checkpoints" / "hf"

    monkeypatch.setattr(kept, "train", train)
    monkeypatch.setattr(kept.torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    kept.trained([], tmp_path / "run", 1, QUIET)
    assert seen["LRU_CACHE_CAPACITY"] == "7"
    assert seen["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == kept.STEADY_MEMORY["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]
    monkeypatch.setattr(kept.torch.cuda, "is_available", lambda: True)
    seen.clear()
    kept.trained([], tmp_path / "on_a_gpu", 1, QUIET)
    assert set(seen) == {"OMP_NUM_THREADS"}

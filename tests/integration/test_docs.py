"""The documentation builds without a warning, and says what is true of the code."""

import importlib
import inspect
import subprocess
import sys

import pytest

from sgrpo_verl.hooks.table import HOOKS
from tests.conftest import ROOT

# What a user's own code may import.
PUBLIC = (
    "correctness",
    "algorithm.decay",
    "algorithm.serial_group",
    "algorithm.advantage",
    "settings.config",
    "hooks.metrics",
)


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "api" / "index.html").read_text()
    assert all(f"sgrpo_verl.{name}" in api for name in PUBLIC)


def test_the_table_of_hooks_is_the_code_s():
    page = (ROOT / "docs" / "verl.md").read_text()
    rows = page.split("| --- | --- | --- | --- |\n")[1].split("\n\n")[0].splitlines()
    assert rows == [
        f"| `{hook.function}` | `{hook.module.removeprefix('verl.')}` | {hook.purpose} | "
        f"{'once, when the module is imported' if hook.registers else hook.acts.__doc__} |"
        for hook in HOOKS
        if hook.ours
    ]


def test_the_readme_is_a_door():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_thing_has_a_docstring(name):
    module = importlib.import_module(f"sgrpo_verl.{name}")
    things = [thing for thing in vars(module).values() if inspect.isfunction(thing) or inspect.isclass(thing)]
    own = [thing for thing in things if thing.__module__ == module.__name__ and not thing.__name__.startswith("_")]
    assert own
    assert [thing.__name__ for thing in own if not inspect.getdoc(thing)] == []

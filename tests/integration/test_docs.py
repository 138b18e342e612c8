"""API documentation builds, and says something of every public thing."""

import importlib
import inspect
import subprocess
import sys

import pytest

PUBLIC = ("advantage", "config", "correctness", "decay", "metrics", "serial_group")  # what a user's own code may import


def test_it_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "pdoc", "--output-directory", str(tmp_path), "sgrpo_verl"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert "Warn" not in done.stderr, done.stderr
    assert {f"{name}.html" for name in PUBLIC} <= {page.name for page in (tmp_path / "sgrpo_verl").iterdir()}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_thing_has_a_docstring(name):
    module = importlib.import_module(f"sgrpo_verl.{name}")
    things = [thing for thing in vars(module).values() if inspect.isfunction(thing) or inspect.isclass(thing)]
    own = [thing for thing in things if thing.__module__ == module.__name__ and not thing.__name__.startswith("_")]
    assert own
    assert [thing.__name__ for thing in own if not inspect.getdoc(thing)] == []

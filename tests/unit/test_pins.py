"""The pinned sets install on every Python that the README names, and what runs needs nothing of the tools."""

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import ROOT

# The oldest of each: Debian 12 has 3.11.2, Ubuntu 24.04 has 3.12.3.
PYTHONS = ("3.11.0", "3.12.0")
RUNS, TOOLS = ROOT / "requirements/cpu.txt", ROOT / "requirements/dev.txt"
OTHERS = ROOT / "requirements/pinned.txt"  # what make test-pinned has in place of cpu.txt's lines
LEFT_OUT = {line.split()[0] for line in (ROOT / "requirements/cpu.exclude").read_text().splitlines()}


def pins(*files: Path) -> dict[str, str]:
    """The version that files pin each package to, by its normalized name, as uv writes it."""
    found = [pin for file in files for pin in re.findall(r"(?m)^([\w.-]+)==(\S+)", file.read_text())]
    assert len(dict(found)) == len(found), "a package is pinned twice"
    return dict(found)


def is_installed(name: str, version: str) -> bool:
    """As pinned; of torch that is the CPU build, since the CUDA build, which has the same version, needs far more."""
    return Version(distribution(name).version) == Version(f"{version}+cpu" if name == "torch" else version)


def needed(name: str, extras: frozenset[str], python: str) -> list[Requirement]:
    """What an installed distribution with some of its extras asks for under a Python, on this system."""
    version = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    environments = [{**default_environment(), **version, "extra": extra} for extra in extras or {""}]
    asked = [Requirement(text) for text in distribution(name).requires or []]
    return [one for one in asked if not one.marker or any(map(one.marker.evaluate, environments))]


@pytest.mark.parametrize("python", PYTHONS)
def test_no_pin_wants_another_python(python):
    wanted = {name: distribution(name).metadata.get("Requires-Python", "") for name in pins(RUNS, TOOLS)}
    assert len(wanted) > 200
    refused = {name: want for name, want in wanted.items() if python not in SpecifierSet(want)}
    assert not refused, f"Python {python} cannot have these: resolve again, as the head of their file says"


@pytest.mark.parametrize("python", PYTHONS)
def test_what_runs_is_whole_without_the_tools(python):
    """Whatever a package of cpu.txt needs is in cpu.txt as well."""
    pinned = pins(RUNS)
    as_pinned = {name for name, version in pinned.items() if is_installed(name, version)}
    assert pinned.keys() - as_pinned <= pins(OTHERS).keys(), "installed in another version than cpu.txt pins"
    left = {(name, frozenset()) for name in as_pinned}
    seen, missing = set(), set()
    while left:
        seen.add(one := left.pop())
        for requirement in needed(*one, python):
            name, further = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if name not in pinned:
                missing.add((one[0], name))
            elif name in as_pinned and (name, further) not in seen:
                left.add((name, further))
    assert {name for _, name in missing} <= LEFT_OUT, missing

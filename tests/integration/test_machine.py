"""Set-up on a machine that lacks something: what is checked first, and what wheels need."""

import os
import re
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT

# What any glibc system has, Debian's minbase and Fedora's container included.
BASE = re.compile(r"lib(c|m|dl|rt|pthread|util)\.so\.\d+|ld-linux.*|libgcc_s\.so\.1|libstdc\+\+\.so\.6|libz\.so\.1")
# Nothing that we run loads these: Intel's offload to devices, beside its OpenMP, and numba's other thread pools.
NEVER_LOADED = re.compile(
    r"lib(archer|omptarget|ur_adapter|sycl|ur_loader|pi_|xptifw)|(omppool|tbbpool)\.|triton/backends/|torch/lib/libnvrtc"
)


def check_machine(**environment):
    done = subprocess.run(
        ["sh", "requirements/check_machine.sh"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.fixture
def commands(tmp_path):
    """``commands(name, script)`` puts a command before those of the machine; returns the PATH to use."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        return f"{folder}:{os.environ['PATH']}"

    return put


def fitting(version):
    return f'case "$*" in *version_info*) echo {version};; esac'


def test_this_machine_has_everything():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status, python, said = check_machine(PYTHON=sys.executable)
    assert (status, python, said) == (0, sys.executable, "")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1, "seconds of the processor"


def test_the_first_python_that_fits_is_taken(commands):
    commands("python3.12", "exit 127")  # as pyenv's are where that version is not chosen
    path = commands("python3.11", fitting("3.11"))
    assert check_machine(PATH=path)[:2] == (0, "python3.11")
    commands("python3.12", fitting("3.12"))
    assert check_machine(PATH=path)[:2] == (0, "python3.12")
    commands("python3.12", fitting("3.13"))
    commands("python3.11", fitting("3.9"))
    commands("python3", fitting("3.12"))
    assert check_machine(PATH=path)[:2] == (0, "python3")


def test_all_that_is_missing_is_named_at_once(commands):
    """Each with what to install on Debian and Fedora."""
    path = commands("ldconfig", "echo '\tlibc.so.6 (libc6,x86-64) => /lib/libc.so.6'")
    status, python, said = check_machine(
        PATH=path, PYTHON="python3.99", LIBRARIES="", DISK_GIB="999999", MEMORY_GIB="999998"
    )
    assert (status, python) == (1, "")
    lines = said.splitlines()
    assert lines[0] == "make cannot set up yet. Missing on this machine:"
    starts = ("Python 3.11 or 3.12 is not here as python3.99", "libnuma.so.1 is not here")
    for start, line in zip(starts, lines[1:3], strict=True):
        assert line.startswith(f"  - {start}")
        assert "apt-get install" in line
        assert "dnf install" in line
    assert re.match(r"  - \d+ GiB of memory are available and 999998 GiB are needed\.", lines[3])
    assert len(lines) == 5 or (ROOT / ".venv/.ready").exists()


def test_a_python_without_venv(commands):
    """As Debian has it until python3-venv is installed; another one that has it is taken instead."""
    without = 'case "$*" in *version_info*) echo 3.11;; *ensurepip*) exit 1;; esac'
    path = commands("python3.11", without)
    status, _, said = check_machine(PATH=path, PYTHON="python3.11")
    assert status == 1
    assert "Python 3.11 cannot make a virtual environment. Debian and Ubuntu: apt-get install python3.11-venv" in said
    commands("python3.12", without.replace("3.11", "3.12"))
    commands("python3", fitting("3.12"))
    assert check_machine(PATH=path)[:2] == (0, "python3")


def test_a_library_of_the_users_own(commands, tmp_path):
    """Conda's, say: not the system's, but where the loader will look."""
    path = commands("ldconfig", "true")
    (tmp_path / "libnuma.so.1").touch()
    assert check_machine(PATH=path, PYTHON=sys.executable)[0] == 1
    assert check_machine(PATH=path, PYTHON=sys.executable, LD_LIBRARY_PATH=f"/none:{tmp_path}")[0] == 0


def test_make_stops_before_it_downloads_anything(tmp_path):
    """Makefile and scripts alone: were anything else tried first, it would fail another way."""
    (tmp_path / "requirements").mkdir()
    for name in ("Makefile", "pyproject.toml", *(f"requirements/{file.name}" for file in ROOT.glob("requirements/*"))):
        (tmp_path / name).write_text((ROOT / name).read_text())
    done = subprocess.run(
        ["make", "demo", "PYTHON=python3.99"], cwd=tmp_path, capture_output=True, text=True, timeout=10
    )
    assert done.returncode != 0
    assert "make cannot set up yet" in done.stderr
    assert not (tmp_path / ".venv").exists()


# What the installed wheels need of the system


def test_the_system_libraries_that_wheels_need_are_those_that_set_up_checks():
    """A new pin that needs another library fails here: name it in requirements/check_machine.sh, or say why not."""
    checked = re.search(r'LIBRARIES="(.*)"', (ROOT / "requirements/check_machine.sh").read_text())[1].split()
    site = Path(sys.prefix).resolve()
    files = [file for file in site.rglob("*.so*") if file.is_file() and not file.is_symlink()]
    brought = {file.name for file in files}

    def needed(file):
        out = subprocess.run(["ldd", file], capture_output=True, text=True).stdout
        for name, target in re.findall(r"(?m)^\s*(\S+) => (not found|\S+)", out):
            if not (target.startswith(str(site)) or name in brought or BASE.fullmatch(name)):
                yield name

    with ThreadPoolExecutor(2) as threads:
        by_file = dict(zip(files, threads.map(lambda file: set(needed(file)), files), strict=True))
    assert len(files) > 400
    found = {name for file, names in by_file.items() if not NEVER_LOADED.search(str(file)) for name in names}
    assert found == set(checked)

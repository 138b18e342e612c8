"""Installing the pins: where torch comes from, and what is said where pip fails."""

import contextlib
import functools
import http.server
import os
import platform
import re
import subprocess
import sys
import threading
import zipfile

import pytest

from tests.conftest import ROOT

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
HERE = f"Python {platform.python_version()}"


def write_wheel(folder, version, cuda=None, wanted=">=3.10"):
    """A stand-in for torch that knows what it was built for, and which Python it wants."""
    metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\nRequires-Python: {wanted}\n"
    files = {
        "torch/__init__.py": "",
        "torch/version.py": f"cuda = {cuda!r}\n",
        f"torch-{version}.dist-info/METADATA": metadata,
        f"torch-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"torch-{version}.dist-info/RECORD"))
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in (*files.items(), (f"torch-{version}.dist-info/RECORD", record)):
            wheel.writestr(name, text)


@contextlib.contextmanager
def index(root):
    """A package index on 127.0.0.1 with what lies in ``root``; yields its address and the paths that were asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def torch_version():
    [version] = re.findall(r"(?m)^torch==(.+)$", (ROOT / "requirements/cpu.txt").read_text())
    return version


@pytest.fixture(scope="module")
def fresh_python(tmp_path_factory):
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / "bin/python"


def install_torch(python, configured, own):
    subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "torch"], check=True, capture_output=True)
    done = subprocess.run(
        ["sh", ROOT / "requirements/install_torch.sh", python],
        env={**ENVIRONMENT, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": configured, "TORCH_CPU_INDEX": own},
        capture_output=True,
        text=True,
    )
    code = "import importlib.metadata as m, torch.version; print(m.version('torch'), torch.version.cuda)"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.split()
    return done, found


def test_torch_from_the_configured_index_or_else_from_pytorchs(tmp_path, torch_version, fresh_python):
    plain, cpu = tmp_path / "plain", tmp_path / "cpu"
    for root, builds in (
        (plain, {torch_version: "13.0"}),
        (cpu, {torch_version: "13.0", f"{torch_version}+cpu": None}),
    ):
        (root / "torch").mkdir(parents=True)
        for version, cuda in builds.items():
            write_wheel(root / "torch", version, cuda)
    with index(plain) as (plain_address, _), index(cpu) as (cpu_address, asked):
        done, found = install_torch(fresh_python, plain_address, cpu_address)
        assert (done.returncode, found) == (0, [f"{torch_version}+cpu", "None"]), done.stderr
        assert asked
        assert all(path.startswith("/torch") for path in asked), "only torch is looked for there"
        asked.clear()
        done, found = install_torch(fresh_python, cpu_address, f"{plain_address}/none")
        assert (done.returncode, found) == (0, [f"{torch_version}+cpu", "None"]), done.stderr
        done, found = install_torch(fresh_python, plain_address, f"{plain_address}/none")
        assert (done.returncode, found) == (1, [])
        assert f"torch=={torch_version}+cpu could not be installed" in done.stderr
        assert f"From {plain_address}/none (another address, such as a mirror's: TORCH_CPU_INDEX=" in done.stderr


# What is said where pip fails


def pip_install(python, address, *arguments):
    """What ``requirements/pip_install.sh`` says, and all that pip said."""
    log = python.parent.parent / "pip.log"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["sh", ROOT / "requirements/pip_install.sh", python, *arguments],
        env={**ENVIRONMENT, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": address, "PIP_RETRIES": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    *said, where = done.stderr.splitlines()
    assert where == f"All that pip said: {log}"
    return "\n".join(said), log.read_text()


@pytest.fixture
def many_versions(tmp_path):
    """An index of forty versions; from 5 on they want a Python that is not here, as its page says."""
    folder = tmp_path / "torch"
    folder.mkdir()
    links = ""
    for number in range(40):
        wanted = ">=3.99.5,!=3.99.7" if number >= 5 else ">=3.10"
        write_wheel(folder, f"{number}.0", wanted=wanted)
        name = f"torch-{number}.0-py3-none-any.whl"
        links += f'<a href="{name}" data-requires-python="{wanted.replace(">", "&gt;")}">{name}</a>\n'
    (folder / "index.html").write_text(links)
    with index(tmp_path) as (address, _):
        yield address


def test_a_pin_that_wants_another_python_is_named_in_a_sentence(many_versions, fresh_python, tmp_path):
    pins = tmp_path / "pins.txt"
    pins.write_text("# more than one\ntorch==12.0\n")
    said, everything = pip_install(fresh_python, many_versions, "-r", pins)
    named = re.fullmatch(
        r"torch==12\.0 needs Python (\S+), and this is (.+)\. Another one is taken with make PYTHON=…", said
    )
    assert set(named[1].split(",")) == {">=3.99.5", "!=3.99.7"}
    assert named[2] == HERE
    assert "No matching distribution found for torch==12.0" in everything


def test_a_wheel_at_hand_that_wants_another_python(tmp_path, fresh_python):
    """It has no page of an index: pip reads the wheel before it refuses it."""
    write_wheel(tmp_path, "1.0", wanted=">=3.99.5")
    said, _ = pip_install(fresh_python, "http://127.0.0.1:9", "--no-index", "--find-links", tmp_path, "torch==1.0")
    assert said.startswith("torch")
    assert f"needs Python >=3.99.5, and this is {HERE}." in said


def test_a_version_that_there_is_not(many_versions, fresh_python):
    said, everything = pip_install(fresh_python, many_versions, "torch==77.0")
    assert re.fullmatch(
        rf"torch==77\.0 is not to be had for {re.escape(HERE)} on \w+ \w+: the last of those that fit is 4\.0\.", said
    )
    assert "39.0 Requires-Python" in everything
    said, _ = pip_install(fresh_python, many_versions, "hypothesis==1.0")
    assert said.endswith(": no version of it is there.")


def test_no_network_is_named_as_the_cause(fresh_python):
    said, _ = pip_install(fresh_python, "http://127.0.0.1:9/simple", "torch==1.0")
    assert said.startswith("torch==1.0 was not found, and a package index did not answer: NewConnectionError(")
    assert said.endswith("Connection refused')")


def test_another_failure_is_shown_as_pip_has_it(tmp_path, fresh_python):
    (tmp_path / "torch-1.0-py3-none-any.whl").write_text("not a wheel")
    said, _ = pip_install(fresh_python, "http://127.0.0.1:9", tmp_path / "torch-1.0-py3-none-any.whl")
    assert said.startswith("ERROR: ")
    assert "torch-1.0-py3-none-any.whl" in said

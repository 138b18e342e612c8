"""Nothing of a run is left behind, not even what has lost its parent."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sgrpo_verl.workbench import processes

# A child that outlives its parent in a session of its own, and ignores a polite request to end.
ORPHAN = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
    "'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'], start_new_session=True)"
)


def test_orphans_are_ended(monkeypatch):
    monkeypatch.setattr(processes, "SECONDS_TO_END", 1)
    with processes.running([sys.executable, "-c", ORPHAN], {}) as process:
        assert process.wait(timeout=30) == 0
        mark = psutil.Process().environ().get(processes.MARK)
        orphans = [one for one in psutil.process_iter(["cmdline"]) if "time.sleep(600)" in str(one.info["cmdline"])]
        assert orphans
        assert mark is None
    assert not [one for one in orphans if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_a_process_that_hides_its_environment_is_ended():
    """As Ray's agents do, whose title is written over it: found by its session."""
    hidden = "import os, subprocess; subprocess.Popen(['sleep', '601'], env={}); os._exit(0)"
    with processes.running([sys.executable, "-c", hidden], {}) as process:
        assert process.wait(timeout=30) == 0
        orphans = [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "601"]]
        assert len(orphans) == 1
    assert not orphans[0].is_running()


def test_a_run_inside_a_run_is_ended_with_it(monkeypatch, tmp_path):
    """Its child ignores SIGTERM, and it is killed itself before it can kill the child."""
    monkeypatch.setattr(processes, "SECONDS_TO_END", 1)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(602)"
    inner = (
        "import sys; from sgrpo_verl.workbench import processes\n"
        f"with processes.running([sys.executable, '-c', {deaf!r}], {{}}) as child: child.wait()"
    )
    with processes.running([sys.executable, "-c", inner], {}, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "\n"
        [child] = psutil.Process(process.pid).children()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_failure_is_the_exit_status():
    with pytest.raises(SystemExit) as exit_:
        processes.run([sys.executable, "-c", "import sys; sys.exit(3)"])
    assert exit_.value.code == 3


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_teacher_leaves_no_half_written_model(tmp_path, end):
    """The command is ended in the middle of teaching; what it leaves is not what the next run takes for whole."""
    reasoner = tmp_path / "reasoner"
    code = (  # a shell may have the tests in its background, and ignore what ends a command in its foreground
        "from sgrpo_verl.workbench import processes; import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL);"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"processes.run([sys.executable, '-m', 'sgrpo_verl.toy.teach', {str(reasoner)!r}, '--steps', '500'])"
    )
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (children := psutil.Process(command.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(5)
    os.kill(command.pid, end)
    assert command.wait(timeout=60) != 0
    assert not reasoner.exists()
    assert not [child for child in children if child.is_running()]

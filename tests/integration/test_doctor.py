"""``sgrpo doctor``, and how a verl that has changed where we hook in is found out before anything starts."""

import os
import subprocess
import sys
import types

import pytest

from sgrpo_verl.hooks import doctor
from sgrpo_verl.hooks.doctor import wrong
from sgrpo_verl.hooks.install import changed
from sgrpo_verl.hooks.table import Hook
from sgrpo_verl.settings import driver


def sgrpo_doctor(*arguments, **environment):
    command = [sys.executable, "-m", "sgrpo_verl.cli", "doctor", *arguments]
    environment = {**os.environ, "COLUMNS": "200", **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stdout, done.stderr


def test_all_in_place_here_and_in_a_ray_worker():
    status, out, _ = sgrpo_doctor("--engine", VLLM_ENABLE_V1_MULTIPROCESSING="0", RAY_ADDRESS="127.0.0.1:1")
    assert status == 0, out
    assert "vLLM's compiled library loads" in out
    assert "vLLM answers a prompt" in out
    assert "all in place" in out
    assert "Ray worker on" in out
    for line in ("plugin loaded", *doctor.PURPOSES):
        [row] = [row for row in out.splitlines() if line in row]
        assert row.count("yes") == 2
    assert "verl " in out


def test_a_library_of_vllms_that_cannot_be_loaded(tmp_path):
    """As where libnuma is missing: vLLM only warns, and its engines fail later."""
    (tmp_path / "libnuma.so.1").write_text("no library")
    status, out, _ = sgrpo_doctor(LD_LIBRARY_PATH=str(tmp_path))
    assert status == 1
    assert "wrong: vLLM's library: vLLM's compiled library cannot be loaded (" in out
    assert "apt-get install libnuma1" in out
    assert "all in place" not in out


def test_vllm_for_the_cpu_where_verl_is_not_on_the_cpu():
    """As with a CUDA build of torch, which verl takes for a GPU machine's."""
    status, out, err = sgrpo_doctor(VERL_PLATFORM="nvidia")
    assert status == 1
    assert "wrong: VERL_PLATFORM=nvidia is set, so verl does not run on the CPU" in out
    assert "Traceback" not in err


def test_a_cuda_build_of_torch_without_a_platform(monkeypatch):
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert "supports accelerators, so verl does not run on the CPU" in (doctor._wrong_platform() or "")
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    assert doctor._wrong_platform() is None


def test_a_plugin_that_verl_does_not_load():
    code = "from sgrpo_verl.hooks.doctor import look, wrong; print(wrong('driver', look()))"
    environment = {**os.environ, "VERL_USE_EXTERNAL_PLUGINS": "none"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "driver: verl did not load the plugin. VERL_USE_EXTERNAL_PLUGINS=none there" in done.stdout


def test_what_is_wrong_in_a_worker():
    in_place = dict.fromkeys(doctor.PURPOSES, True)
    assert wrong("Ray worker", {"plugin loaded": True, "policy": "auto", **in_place}) == []
    assert wrong("Ray worker", {"plugin loaded": False, "missing": "No module named 'sgrpo_verl'"}) == [
        "Ray worker: sgrpo-verl is not installed there (No module named 'sgrpo_verl'): every node needs it"
    ]
    broken = {"plugin loaded": True, "policy": "auto", **in_place, "metrics": False, "config check": "KeyError: 'x'"}
    assert [line.split(";")[0] for line in wrong("Ray worker", broken)] == [
        "Ray worker: config check: KeyError: 'x'",
        "Ray worker: metrics: not in place",
    ]


def test_no_cluster_at_an_address():
    status, _, err = sgrpo_doctor("--ray-address", "127.0.0.1:1")
    assert status == 2
    assert "sgrpo: --ray-address 127.0.0.1:1: no Ray cluster answers there" in err


def test_this_verl_has_every_function_of_the_table():
    assert changed() == []


@pytest.fixture
def another_verl(monkeypatch):
    """A module as a newer verl might have it: one parameter renamed, one method gone."""
    module = types.ModuleType("newer_verl")
    module.Trainer = type("Trainer", (), {"compute": lambda self, rows, metrics: None})
    monkeypatch.setitem(sys.modules, "newer_verl", module)
    hooks = (
        Hook("newer_verl", "Trainer.compute", ("metrics",), "metrics"),
        Hook("newer_verl", "Trainer.compute", ("batch", "metrics"), "metrics"),
        Hook("newer_verl", "Trainer.dump", (), "dumps"),
        Hook("newest_verl", "validate", (), "checks"),
    )
    monkeypatch.setattr(driver, "changed", lambda: changed(hooks))
    return hooks


def test_what_changed_is_named(another_verl):
    renamed, gone, no_module = changed(another_verl)
    assert renamed == "verl's newer_verl.Trainer.compute (metrics) no longer takes batch; it takes self, rows, metrics"
    assert gone.startswith("verl's newer_verl.Trainer.dump (dumps) is gone: ")
    assert no_module.startswith("verl's newest_verl.validate (checks) is gone: ")


def test_an_untested_newer_verl_is_one_warning_or_an_error_that_names_what_changed(
    compose_config, monkeypatch, caplog, another_verl
):
    config = compose_config("algorithm.adv_estimator=sgrpo")
    caplog.set_level("WARNING")  # verl's vLLM server, which another test imports, raises the root's to ERROR
    monkeypatch.setattr(driver.verl, "__version__", "0.99.0")
    with pytest.raises(RuntimeError, match=r"does not fit verl 0\.99\.0: .*Trainer\.compute .*no longer takes batch"):
        driver.prepare(config)
    monkeypatch.setattr(driver, "changed", lambda: changed(another_verl[:1]))
    caplog.clear()
    driver.prepare(config)
    assert [record.message for record in caplog.records] == [
        "sgrpo-verl is tested with verl up to 0.9.1; verl 0.99.0 is newer"
    ]


def test_a_verl_that_is_too_old_is_an_error(compose_config, monkeypatch):
    monkeypatch.setattr(driver.verl, "__version__", "0.8.1")
    with pytest.raises(RuntimeError, match=r"needs verl >= 0\.9\.0, and verl 0\.8\.1 is installed"):
        driver.prepare(compose_config("algorithm.adv_estimator=sgrpo"))

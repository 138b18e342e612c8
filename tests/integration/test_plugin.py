"""The door: cheap at import, quiet for everyone else, loud when ours fails. Each case in a fresh process."""

import importlib
import json
import os
import statistics
import subprocess
import sys
import types

import pytest

from sgrpo_verl.hooks import install
from sgrpo_verl.hooks.table import HOOKS, Hook
from sgrpo_verl.settings.config import AGENT_LOOP_MANAGER

WITHOUT = {"VERL_USE_EXTERNAL_PLUGINS": "none"}


def python(code, **environment):
    """stdout and stderr of ``python -c code`` in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


def test_import_verl_costs_at_most_50_ms_more_and_imports_nothing_heavy():
    # The plugin comes in as the last act of `import verl`, so its share is measured by itself: the difference of two
    # whole imports of 5 s each would be mostly noise.
    code = (
        "import json, sys, time, verl; before = set(sys.modules); start = time.process_time();"
        "import sgrpo_verl.plugin;"
        "print(json.dumps([time.process_time() - start, sorted(set(sys.modules) - before)]))"
    )
    seconds, modules = [], []
    for _ in range(5):
        taken, modules = json.loads(python(code, **WITHOUT)[0].splitlines()[-1])
        seconds.append(taken)
    print(f"\nthe plugin adds {1e3 * statistics.median(seconds):.0f} ms of CPU time to import verl")
    assert statistics.median(seconds) <= 0.05
    assert {module.split(".")[0] for module in modules} <= {"sgrpo_verl", "wrapt"}
    loaded = "import json, sys, verl; print(json.dumps(sorted(sys.modules)))"
    assert set(modules) <= set(json.loads(python(loaded)[0].splitlines()[-1])), "import verl does not load the plugin"
    without = set(json.loads(python(loaded, **WITHOUT)[0].splitlines()[-1]))
    assert not without & {module for module in modules if module.startswith("sgrpo_verl")}


def test_a_failing_registration_is_one_warning_and_verl_goes_on():
    code = (
        "import sys, types; sys.modules['sgrpo_verl.algorithm.advantage'] = types.ModuleType('broken')\n"
        "import verl.trainer.ppo.core_algos as core_algos; print(sorted(core_algos.ADV_ESTIMATOR_REGISTRY))"
    )
    out, err = python(code)
    assert "'grpo'" in out
    assert "'sgrpo'" not in out
    warnings = [line for line in err.splitlines() if "sgrpo-verl could not register" in line]
    assert len(warnings) == 1
    assert "verl.trainer.ppo.core_algos" in warnings[0]
    assert "Install a version of verl" in warnings[0]


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook.ours], ids=lambda hook: hook.function)
def test_a_function_of_verls_that_is_gone_is_reported(hook, caplog):
    caplog.set_level("WARNING", "sgrpo_verl")
    install._guarded(hook)(types.ModuleType("newer_verl"))
    [record] = caplog.records
    assert "could not register with newer_verl (AttributeError: verl's" in record.message
    assert f"{hook.module}.{hook.function} ({hook.purpose}) is gone" in record.message


class TestHook:
    """A row of the table, on a module as verl might have it."""

    @pytest.fixture
    def verls(self):
        module = types.ModuleType("verls")
        module.Trainer = type("Trainer", (), {"step": lambda self, batch, times=2: batch * times})
        return module

    def test_ours_acts_on_the_bound_call_where_its_condition_holds(self, verls, monkeypatch):
        ours = types.ModuleType("ours_here")
        ours.step = lambda wrapped, trainer, call: (wrapped(*call.args, **call.kwargs), dict(call.arguments))
        monkeypatch.setitem(sys.modules, "ours_here", ours)
        acts = lambda trainer, arguments: arguments["batch"] > 1  # noqa: E731
        hook = Hook("verls", "Trainer.step", ("batch",), "steps", "ours_here:step", acts)
        install.install_one(hook, verls)
        assert verls.Trainer().step(1) == 2
        assert verls.Trainer().step(3) == (6, {"batch": 3, "times": 2})
        assert verls.Trainer().step(batch=3, times=1) == (3, {"batch": 3, "times": 1})
        monkeypatch.setitem(sys.modules, "verls", verls)
        assert install.in_place(hook)

    def test_a_renamed_parameter_is_an_error(self, verls):
        hook = Hook("verls", "Trainer.step", ("rows",), "steps", "ours_here:step")
        with pytest.raises(AttributeError, match=r"verls\.Trainer\.step \(steps\) no longer takes rows"):
            install.install_one(hook, verls)


def test_ours_of_every_hook_exists():
    for hook in HOOKS:
        if hook.ours:
            assert callable(install._ours(hook)), hook.ours


def test_public_names_stay():
    """Configs, scripts and reward schedules of users name these."""
    import sgrpo_verl.correctness
    from sgrpo_verl.decay import register_reward_schedule

    assert callable(sgrpo_verl.correctness.compute_score)
    assert callable(register_reward_schedule)
    assert AGENT_LOOP_MANAGER == "sgrpo_verl.rollout.manager.SerialGroupManager"
    assert importlib.import_module("sgrpo_verl.rollout.manager").SerialGroupManager


PATCHED = """
import importlib.metadata, torch
torch.version.cuda = {cuda!r}
import verl.utils.distributed as distributed
from verl.workers.engine.base import EngineRegistry
import verl.workers.engine.fsdp.transformer_impl
print(hasattr(distributed.initialize_global_process_group_ray, "__wrapped__"))
print("cpu" in EngineRegistry._engines["language_model"]["fsdp2"])
print(hasattr(importlib.metadata.version, "__wrapped__"))
print(hasattr(verl.workers.engine.fsdp.transformer_impl.CPUOffloadPolicy, "__wrapped__"))
"""


def test_the_cpu_patches_keep_out_where_torch_has_an_accelerator():
    assert python(PATCHED.format(cuda=None))[0].split() == ["True"] * 4
    assert python(PATCHED.format(cuda="13.0"))[0].split() == ["False"] * 4
    assert python(PATCHED.format(cuda="13.0"), VERL_PLATFORM="cpu")[0].split() == ["True"] * 4
    assert python(PATCHED.format(cuda=None), VERL_PLATFORM="nvidia")[0].split() == ["False"] * 4


def test_the_cpu_patches_are_still_needed():
    """What each of them fixes, in verl and vLLM as they are; when one fails, the patch can go."""
    code = """
import importlib.metadata, inspect
import torch
import torch.distributed as dist
from verl.utils import distributed
from verl.workers.engine.base import EngineRegistry
import verl.workers.engine.fsdp.transformer_impl
from vllm.model_executor.layers.linear import UnquantizedLinearMethod
try:
    importlib.metadata.version("vllm")
except importlib.metadata.PackageNotFoundError:
    print("CHECK no distribution is named vllm")
print("CHECK", distributed.initialize_global_process_group_ray.__module__)
try:
    dist.init_process_group("cpu:gloo,cpu:gloo", rank=0, world_size=1, init_method="tcp://127.0.0.1:29999")
except ValueError:
    print("CHECK torch refuses a second backend for the cpu")
print("CHECK", "pin_memory=True" in inspect.getsource(verl.workers.engine.fsdp.transformer_impl))
try:
    torch.zeros(1).pin_memory()
except RuntimeError:
    print("CHECK torch pins no memory")
print("CHECK fsdp2 on", sorted(str(one) for one in EngineRegistry._engines["language_model"]["fsdp2"]))
from vllm.platforms.cpu import CpuPlatform
print("CHECK", 'distributed_executor_backend = "mp"' in inspect.getsource(CpuPlatform.check_and_update_config))
print("CHECK", "remove_weight=True" in inspect.getsource(UnquantizedLinearMethod.process_weights_after_loading))
import vllm.v1.sample.ops.logprobs as logprobs
print("CHECK vLLM compiles however eager it is", "@torch.compile" in inspect.getsource(logprobs))
"""
    assert [line for line in python(code, **WITHOUT)[0].splitlines() if line.startswith("CHECK")] == [
        "CHECK no distribution is named vllm",
        "CHECK verl.utils.distributed",
        "CHECK torch refuses a second backend for the cpu",
        "CHECK True",
        "CHECK torch pins no memory",
        "CHECK fsdp2 on ['cuda', 'npu']",
        "CHECK True",
        "CHECK True",
        "CHECK vLLM compiles however eager it is True",
    ]


def test_the_estimator_is_registered():
    code = "from verl.trainer.ppo.core_algos import get_adv_estimator_fn as get; print(get('sgrpo').__module__)"
    assert python(code)[0].strip() == "sgrpo_verl.algorithm.advantage"
    assert (
        "None"
        in python(
            "import verl.trainer.ppo.core_algos as core; print(core.ADV_ESTIMATOR_REGISTRY.get('sgrpo'))", **WITHOUT
        )[0]
    )


VALIDATE = """
import sys

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from verl.trainer.main_ppo import validate_config
with initialize_config_module("verl.trainer.config", version_base=None):
    config = compose("ppo_trainer", sys.argv[1:] or {overrides!r})
validate_config(config=config, use_reference_policy=False, use_critic=False)
print("CONFIG", OmegaConf.to_yaml(config, resolve=True, sort_keys=True))
"""


def validated(*overrides, **environment):
    stock = ["actor_rollout_ref.rollout.name=vllm", "actor_rollout_ref.actor.use_dynamic_bsz=true"]
    return python(VALIDATE.format(overrides=[*stock, *overrides]), **environment)[0]


def test_another_estimator_sees_verls_own_config():
    grpo = ("algorithm.adv_estimator=grpo", "actor_rollout_ref.rollout.n=9")
    assert validated(*grpo) == validated(*grpo, **WITHOUT)


def test_settings_of_sgrpo_with_another_estimator_are_refused():
    grpo = ("+sgrpo=paper", "algorithm.adv_estimator=grpo")
    code = VALIDATE.format(overrides=["actor_rollout_ref.rollout.name=vllm", *grpo])
    with pytest.raises(subprocess.CalledProcessError) as error:
        python(code)
    assert "adv_estimator=grpo with settings in algorithm.sgrpo" in error.value.stderr
    assert "CONFIG" not in error.value.stdout
    assert validated(*grpo, "~algorithm.sgrpo")  # as the message says


def test_the_driver_completes_the_config_and_prints_what_it_filled_in():
    out = validated("algorithm.adv_estimator=sgrpo")
    printed, config = out.split("CONFIG")
    assert "filled in:" in printed
    assert "actor_rollout_ref.rollout.n: 9" in printed
    assert "agent_loop_manager_class: sgrpo_verl.rollout.manager.SerialGroupManager" in config
    assert "rollout_n: 9" in config

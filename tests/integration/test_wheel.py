"""An installed wheel: the plugin, Hydra's config groups and its search path travel in it."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the built wheel installed, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("sgrpo_verl-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def python(site, code):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=site, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_groups_compose_and_the_driver_completes_them(site):
    out = python(
        site,
        """
import verl, sgrpo_verl
print(sgrpo_verl.__file__)
from hydra import compose, initialize_config_module
from verl.trainer.main_ppo import validate_config
for groups in (["+sgrpo=paper"], ["+sgrpo=shortest_only"], ["+cpu=default", "+toy=demo", "+sgrpo=without_decay"]):
    with initialize_config_module("verl.trainer.config", version_base=None):
        stock = ["actor_rollout_ref.rollout.name=vllm", "actor_rollout_ref.actor.use_dynamic_bsz=true"]
        config = compose("ppo_trainer", [*stock, *groups])
    validate_config(config=config, use_reference_policy=False, use_critic=False)
    print(config.algorithm.sgrpo.reward, config.actor_rollout_ref.rollout.n)
""",
    )
    lines = [line for line in out.splitlines() if not line.startswith((" ", "["))]
    assert lines[0].startswith(str(site))
    assert lines[1:] == ["decay 9", "shortest_one 9", "all_one 9"]


def test_what_is_in_it(site):
    names = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.suffix in (".py", ".yaml", ".txt")}
    assert {"sgrpo_verl/plugin.py", "sgrpo_verl/hydra_configs/cpu/default.yaml"} <= names
    assert "hydra_plugins/sgrpo_verl_searchpath.py" in names
    assert "hydra_plugins/__init__.py" not in names  # a namespace, shared with other packages
    assert not any(name.startswith("tests/") for name in names)

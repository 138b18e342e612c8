"""S-GRPO's part in the driver before anything starts: check versions and config, and print what was filled in."""

from collections.abc import Callable
from importlib.metadata import version
from inspect import BoundArguments
from typing import Any

import verl
from omegaconf import DictConfig
from packaging.version import Version

from sgrpo_verl.hooks.install import changed, logger
from sgrpo_verl.hooks.table import is_sgrpo
from sgrpo_verl.settings.complete import complete
from sgrpo_verl.settings.verl_settings import doubtful

OLDEST_VERL = Version("0.9.0")
NEWEST_TESTED_VERL = Version("0.9.1")


def validate_config(wrapped: Callable, instance: Any, call: BoundArguments) -> Any:
    """Hook: verl's own check of a config, before which ours completes it; verl has no registry for such checks."""
    prepare(call.arguments["config"])
    return wrapped(*call.args, **call.kwargs)


def prepare(config: DictConfig) -> None:
    """Complete ``config`` in place and print what was filled in.

    Raises:
        ValueError: it has settings of S-GRPO and names another estimator; else see ``complete``.
        RuntimeError: verl is too old, or newer than any tested and changed where we hook in.
    """
    if not is_sgrpo(config):
        estimator = config.algorithm.adv_estimator
        raise ValueError(
            f"algorithm.adv_estimator={estimator} with settings in algorithm.sgrpo: {estimator} would train and read "
            "none of them. For S-GRPO set adv_estimator=sgrpo, or leave it out after a config group such as "
            f"+sgrpo=paper; for {estimator} leave the settings out (~algorithm.sgrpo)"
        )
    installed = Version(verl.__version__)
    if installed < OLDEST_VERL:
        raise RuntimeError(f"sgrpo-verl needs verl >= {OLDEST_VERL}, and verl {installed} is installed")
    if installed > NEWEST_TESTED_VERL:
        logger.warning("sgrpo-verl is tested with verl up to %s; verl %s is newer", NEWEST_TESTED_VERL, installed)
        if changes := changed():
            raise RuntimeError(f"sgrpo-verl does not fit verl {installed}: {'; '.join(changes)}")
    filled = complete(config)
    for doubt in doubtful(config):
        logger.warning(doubt)
    print(f"[sgrpo-verl {version('sgrpo-verl')} with verl {installed}] filled in:")
    for name, value in filled.items():
        print(f"  {name}: {value!r}")

"""Checks of a single setting's value; what is wrong is one sentence."""

import math
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sgrpo_verl.settings.escapes import shown


def as_dict(node: DictConfig) -> dict[str, Any]:
    """A section of a config in plain Python, resolved: no OmegaConf, lists and dicts inside it included."""
    section: Any = OmegaConf.to_container(node, resolve=True)  # a dict, as the node is; its type allows for more
    return {str(name): value for name, value in section.items()}


def setting_error(name: str, value: Any, what: str) -> ValueError:
    """One sentence: the setting's full name, its value, and what would be right."""
    return ValueError(f"algorithm.sgrpo.{name}={shown(value) if isinstance(value, str) else repr(value)} {what}")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def require_int(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise setting_error(name, value, "must be a whole number of at least 1")


def require_one_of(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise setting_error(name, value, f"must be one of {', '.join(str(choice) for choice in choices)}")

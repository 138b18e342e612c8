"""How S-GRPO's settings complete a verl config, in the driver.

``complete`` runs inside verl's ``validate_config``, before Ray is started or a model is loaded. It never overwrites
what the user set; only torch's own attention, ``sdpa``, gives way to that of packed rows. Contradictions raise one
ValueError. It returns what it filled in, so that this can be printed.
"""

import dataclasses
from typing import Any

from omegaconf import DictConfig, open_dict

from sgrpo_verl.hooks.table import COMPLETED
from sgrpo_verl.packed.settings import choose_packed_attention, overfull_micro_batches, why_not_packed
from sgrpo_verl.settings.checks import as_dict, require_int, setting_error
from sgrpo_verl.settings.config import (
    AGENT_LOOP_MANAGER,
    DEFAULT_ANSWER_LENGTH,
    DEFAULT_NUM_EXITS,
    SGRPOConfig,
)
from sgrpo_verl.settings.verl_settings import check_verl_settings


def complete(config: DictConfig) -> dict[str, Any]:
    """Check and complete, in place, a verl config whose ``algorithm.adv_estimator`` is ``sgrpo``.

    Returns:
        What was filled in, by its full name.

    Raises:
        ValueError: a setting is impossible, unknown, or contradicts another.
    """
    user_set = _user_settings(config)
    rollout = config.actor_rollout_ref.rollout
    filled: dict[str, Any] = {}

    _require_count("actor_rollout_ref.rollout.n", rollout.n, "num_exits + 1 rows, or 1 for the default")
    _require_count("data.max_response_length", rollout.response_length, "the most tokens of a response")
    num_exits = _num_exits(user_set, rollout.n)
    settings = SGRPOConfig(
        **{"answer_length": _default_answer_length(rollout.response_length), **user_set, "num_exits": num_exits}
    )
    _check_room(settings, rollout.response_length, rollout.max_model_len)
    check_verl_settings(config, settings)
    if settings.layout != "rows":
        settings, filled["algorithm.sgrpo.layout"] = _choose_layout(config, settings)

    with open_dict(config):
        if rollout.n != num_exits + 1:
            rollout.n = filled["actor_rollout_ref.rollout.n"] = num_exits + 1
        if not rollout.agent.get("agent_loop_manager_class"):
            rollout.agent.agent_loop_manager_class = AGENT_LOOP_MANAGER
            filled["actor_rollout_ref.rollout.agent.agent_loop_manager_class"] = AGENT_LOOP_MANAGER
        config.algorithm.sgrpo = dataclasses.asdict(settings)
        config.algorithm[COMPLETED] = True
    if settings.layout == "packed":
        filled |= choose_packed_attention(config)
    filled.update(
        {
            f"algorithm.sgrpo.{name}": value
            for name, value in dataclasses.asdict(settings).items()
            if name not in user_set
        }
    )
    return {name: value for name, value in filled.items() if value is not None}


def _choose_layout(config: DictConfig, settings: SGRPOConfig) -> tuple[SGRPOConfig, str | None]:
    """Choose packed where it is possible or required; for ``auto``, also say what was chosen and why.

    Raises:
        ValueError: ``layout=packed`` with a setting that packed rows do not work with.
    """
    why = why_not_packed(config, settings.num_exits + 1)
    if settings.layout == "packed":
        if why:
            raise ValueError(f"algorithm.sgrpo.layout=packed with {why}, or layout=rows")
        return settings, None
    why = why or overfull_micro_batches()
    chosen = "rows" if why else "packed"
    return dataclasses.replace(settings, layout=chosen), f"{chosen} (auto: {why or 'nothing is in its way'})"


def _user_settings(config: DictConfig) -> dict[str, Any]:
    node = config.algorithm.get("sgrpo")
    if node is not None and not isinstance(node, DictConfig):
        raise ValueError(
            f"algorithm.sgrpo={node!r} must be settings of S-GRPO, such as +algorithm.sgrpo.num_exits=8; the config "
            "groups are chosen with +sgrpo=paper"
        )
    user_set = as_dict(node) if node else {}
    known = [field.name for field in dataclasses.fields(SGRPOConfig)]
    for name, value in user_set.items():
        if name not in known:
            raise setting_error(name, value, f"is not a setting of S-GRPO; they are: {', '.join(known)}")
    return {name: value for name, value in user_set.items() if value is not None}


def _require_count(name: str, value: Any, what: str) -> None:
    """A setting of verl's that everything else is reckoned from."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={'null' if value is None else value}: must be a whole number of at least 1, {what}")


def _num_exits(user_set: dict[str, Any], rollout_n: int) -> int:
    """rollout.n is the number of rows of a prompt, num_exits + 1. verl's default of 1 means that it was not set."""
    if "num_exits" not in user_set:
        return DEFAULT_NUM_EXITS if rollout_n == 1 else rollout_n - 1
    num_exits = user_set["num_exits"]
    require_int("num_exits", num_exits)
    if rollout_n not in (1, num_exits + 1):
        raise ValueError(
            f"algorithm.sgrpo.num_exits={num_exits} and actor_rollout_ref.rollout.n={rollout_n} contradict each other: "
            f"a prompt has num_exits + 1 rows, so set rollout.n={num_exits + 1} or leave one of the two out"
        )
    return num_exits


def _default_answer_length(response_length: int) -> int:
    """1024, or a quarter of the response if that is shorter, so that there is room for the thought."""
    return min(DEFAULT_ANSWER_LENGTH, max(1, response_length // 4))


def _check_room(settings: SGRPOConfig, response_length: int, max_model_len: int | None) -> None:
    """At least one token of thought and one of exit prompt; the worker checks again with the tokenizer."""
    lengths = {"data.max_response_length": response_length, "actor_rollout_ref.rollout.max_model_len": max_model_len}
    for name, length in lengths.items():
        if length is not None and settings.answer_length + 2 > length:
            raise setting_error(
                "answer_length",
                settings.answer_length,
                f"leaves no room for a thought in {name}={length}: make it smaller",
            )

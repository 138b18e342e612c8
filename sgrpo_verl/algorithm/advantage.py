"""S-GRPO's advantage estimator, registered with verl as ``algorithm.adv_estimator=sgrpo``."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch

from sgrpo_verl.hooks.table import COMPLETED

ADV_ESTIMATOR = "sgrpo"
EPSILON = 1e-6  # as in verl's GRPO, added to the standard deviation


def register(core_algos: ModuleType) -> None:
    """Hook: enter the estimator into verl's registry (verl/trainer/ppo/core_algos.py)."""
    core_algos.register_adv_est(ADV_ESTIMATOR)(compute_sgrpo_advantage)


@torch.no_grad()
def compute_sgrpo_advantage(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: Sequence[Any],
    config: Any = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A_i = r_i − mean(r over the serial group), the same for every token of row i (docs/method.md).

    A group of one, a prompt without a thought, gets 0. So do masked tokens, and with them the trainer's padding rows.

    Args:
        token_level_rewards: (rows, response length) float; r_i is the sum of a row.
        response_mask: (rows, response length), 1 for tokens that the policy sampled.
        index: (rows,) the prompt's uid of each row; rows of a group may lie anywhere.
        config: verl's ``algorithm`` config, completed by the driver; ``sgrpo.norm_adv_by_std`` (default false) is read.

    Returns:
        Advantages and returns, which are the same tensor: (rows, response length) float32.

    Raises:
        RuntimeError: the driver has not completed the config, so nothing has made serial groups.
    """
    norm_by_std = _norm_by_std(config)
    number_of: dict[Any, int] = {}
    numbers = np.fromiter((number_of.setdefault(uid, len(number_of)) for uid in index), np.int64, len(index))
    group = torch.from_numpy(numbers).to(token_level_rewards.device)
    rewards = token_level_rewards.sum(dim=-1, dtype=torch.float32)
    size = torch.bincount(group)
    advantage = rewards - (torch.bincount(group, weights=rewards) / size)[group]
    if norm_by_std:
        variance = torch.bincount(group, weights=advantage.square()) / (size - 1).clamp(min=1)
        advantage = advantage / (variance.sqrt()[group] + EPSILON)
    advantages = advantage.float().unsqueeze(-1) * response_mask
    return advantages, advantages


def _norm_by_std(config: Any) -> bool:
    if config is None or not config.get(COMPLETED):  # rewards of plain samples would come out as advantages
        raise RuntimeError(
            "the driver did not complete algorithm.sgrpo, so there are no serial groups. S-GRPO needs verl's own "
            "trainer, python -m verl.trainer.main_ppo; if this is that one, look for a warning of sgrpo-verl's at the "
            "start of the driver's output"
        )
    return bool(config["sgrpo"]["norm_adv_by_std"])

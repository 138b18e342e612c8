"""The estimator against the worked example of docs/method.md and a plain-Python oracle."""

from statistics import fmean, stdev

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.algorithm.advantage import EPSILON, compute_sgrpo_advantage
from sgrpo_verl.hooks.table import COMPLETED

CONFIG = {COMPLETED: True, "sgrpo": {"norm_adv_by_std": False}}
GROUPS = st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=9), min_size=1, max_size=6)


def tensors(rewards, width=4):
    """Rewards on each row's last token, as verl has them, and a full mask."""
    token_level = torch.zeros(len(rewards), width)
    token_level[:, -1] = torch.tensor(rewards)
    return token_level, torch.ones(len(rewards), width)


def advantage_of_rows(rewards, uids, config=CONFIG):
    token_level, mask = tensors(rewards)
    advantages, returns = compute_sgrpo_advantage(token_level, mask, np.array(uids, dtype=object), config)
    assert advantages.dtype == returns.dtype == torch.float32
    assert (advantages == advantages[:, :1]).all()
    return advantages[:, 0].tolist()


def test_worked_example():
    assert advantage_of_rows([0, 1, 0, 0.5, 0.25], ["q"] * 5) == pytest.approx([-0.35, 0.65, -0.35, 0.15, -0.10])


@given(GROUPS, st.randoms(use_true_random=False))
def test_oracle_on_interleaved_groups(groups, rng):
    rows = [(f"uid{group}", reward) for group, rewards in enumerate(groups) for reward in rewards]
    rng.shuffle(rows)
    expected = [reward - fmean(groups[int(uid[3:])]) for uid, reward in rows]
    assert advantage_of_rows([reward for _, reward in rows], [uid for uid, _ in rows]) == pytest.approx(
        expected, abs=1e-6
    )


@given(GROUPS)
def test_norm_by_std_is_grpos(groups):
    for rewards in groups:
        spread = stdev(rewards) if len(rewards) > 1 else 0.0
        expected = [(reward - fmean(rewards)) / (spread + EPSILON) for reward in rewards]
        actual = advantage_of_rows(rewards, ["q"] * len(rewards), {**CONFIG, "sgrpo": {"norm_adv_by_std": True}})
        assert actual == pytest.approx(expected, rel=1e-3, abs=1e-2)


def test_a_group_of_one_gets_nothing():
    assert advantage_of_rows([1.0, 0.5], ["a", "b"]) == [0.0, 0.0]


def test_masked_tokens_and_padding_rows_get_nothing():
    token_level, mask = tensors([1.0, 0.0, 0.0])
    mask[0, 1] = 0  # an exit prompt
    mask[2] = 0  # the trainer's padding row, with a uid of its own
    advantages, _ = compute_sgrpo_advantage(token_level, mask, np.array(["q", "q", "pad"], dtype=object), CONFIG)
    assert advantages[0].tolist() == [0.5, 0.0, 0.5, 0.5]
    assert advantages[1].tolist() == [-0.5] * 4
    assert not advantages[2].any()


def test_bfloat16_rewards_are_summed_in_float32():
    token_level = torch.full((2, 300), 0.01, dtype=torch.bfloat16)
    token_level[1] = 0
    advantages, _ = compute_sgrpo_advantage(token_level, torch.ones(2, 300), ["q", "q"], CONFIG)
    expected = float(token_level[0].float().sum() / 2)
    assert advantages.dtype == torch.float32
    assert advantages[0, 0].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("config", [None, {}, {"sgrpo": CONFIG["sgrpo"]}])
def test_without_completed_settings_it_refuses(config):
    token_level, mask = tensors([1.0])
    with pytest.raises(RuntimeError, match=r"did not complete algorithm\.sgrpo, .* python -m verl\.trainer\.main_ppo"):
        compute_sgrpo_advantage(token_level, mask, ["q"], config)

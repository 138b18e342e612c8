"""Packed groups on ranks: whole where that goes, equally many rows, about as many tokens."""

import random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.hooks.metrics import TAG
from sgrpo_verl.packed.balance import by_rank, own_tokens


def group(uid, thought, cuts, prompt=3, answer=2):
    """Keys and tags of a serial group, exits first."""
    cuts = [*cuts, None]
    keys = [f"{uid}_0_{row}" for row in range(len(cuts))]
    tags = [
        {
            "prompt_len": prompt,
            "seq_len": prompt + (thought if cut is None else cut) + answer,
            TAG: {"kept": cut},
        }
        for cut in cuts
    ]
    return keys, tags


def batch(*groups):
    return [key for keys, _ in groups for key in keys], [tag for _, tags in groups for tag in tags]


def test_an_exit_adds_what_comes_after_its_cut():
    _, tags = group("a", thought=10, cuts=[4, 9])
    assert [own_tokens(tag) for tag in tags] == [2 + 1, 2 + 1, 15]
    assert own_tokens({"seq_len": 7, "prompt_len": 3}) == 7  # a row that is no serial group's
    assert own_tokens({**tags[1], "is_padding": True, "prompt_len": 127, "seq_len": 128}) == 128  # verl copies a tag


def test_equal_groups_stay_whole_and_ranks_weigh_alike():
    thoughts = [100, 10, 60, 50, 20, 90, 30, 40]
    keys, tags = batch(*(group(f"u{number}", thought, [2, 5]) for number, thought in enumerate(thoughts)))
    ranks = by_rank(keys, tags, 2)
    assert [len(rows) for rows in ranks] == [12, 12]
    for rows in ranks:
        assert len({keys[row].split("_")[0] for row in rows}) == 4
        assert [keys[row][-1] for row in rows] == ["0", "1", "2"] * 4
    first, second = (sum(own_tokens(tags[row]) for row in rows) for rows in ranks)
    assert abs(first - second) <= 10


@pytest.mark.parametrize("seed", range(5))
def test_a_long_tail_of_groups_weighs_alike_on_four_ranks(seed):
    """128 prompts, thoughts of 2,000 tokens on average and up to 16,384: the busiest rank has the mean."""
    rng = random.Random(seed)
    groups = []
    for number in range(128):
        thought = min(16_384, 1 + int(rng.expovariate(1 / 2000)))
        cuts = sorted(rng.sample(range(1, thought + 1), min(8, thought)))
        groups.append(group(f"u{number}", thought, cuts, prompt=150, answer=rng.randint(50, 400)))
    keys, tags = batch(*groups)
    for number in range(-len(keys) % 4):  # verl's padding rows
        keys.append(f"pad_{number}_0")
        tags.append({"prompt_len": 1, "seq_len": 2})
    loads = [sum(own_tokens(tags[row]) for row in rows) for rows in by_rank(keys, tags, 4)]
    assert max(loads) <= 1.01 * mean(loads)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5)), min_size=1, max_size=12),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_every_row_is_on_one_rank_and_all_ranks_have_as_many(groups, num_ranks, rng):
    keys, tags = batch(*(group(f"u{n}", thought, range(1, exits + 1)) for n, (thought, exits) in enumerate(groups)))
    for number in range(-len(keys) % num_ranks):  # verl's padding rows
        keys.append(f"pad_{number}_0")
        tags.append({"prompt_len": 1, "seq_len": 2})
    order = list(range(len(keys)))
    rng.shuffle(order)
    keys, tags = [keys[row] for row in order], [tags[row] for row in order]
    ranks = by_rank(keys, tags, num_ranks)
    assert sorted(row for rows in ranks for row in rows) == list(range(len(keys)))
    assert {len(rows) for rows in ranks} == {len(keys) // num_ranks}

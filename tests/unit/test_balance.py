"""Packed groups on ranks, and padding over mini-batches: whole groups where that goes, and about as much for each."""

import random
from statistics import mean
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sgrpo_verl.hooks.balance import balance_batch, by_rank, over_mini_batches, own_tokens
from sgrpo_verl.hooks.metrics import TAG


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


def padded(sizes, multiple):
    """Groups of these sizes, and verl's padding behind them up to a multiple."""
    keys, tags = batch(*(group(f"u{number}", 20, range(1, size)) for number, size in enumerate(sizes)))
    for number in range(-len(keys) % multiple):
        keys.append(f"pad_{number}_0")
        tags.append({"prompt_len": 127, "seq_len": 128, "is_padding": True})
    return keys, tags


def real_rows(rows, tags, num_mini_batches):
    size = len(rows) // num_mini_batches
    return [
        [row for row in rows[start : start + size] if not tags[row].get("is_padding")]
        for start in range(0, len(rows), size)
    ]


def test_padding_does_not_fill_the_last_mini_batch():
    """16 groups of 5 rows where there is room for 9, two mini-batches of 8 prompts: 72 and 8 rows if left as it is."""
    keys, tags = padded([5] * 16, 8 * 9)
    assert [len(real) for real in real_rows(range(len(keys)), tags, 2)] == [72, 8]
    first, second = real_rows(over_mini_batches(range(len(keys)), keys, tags, 2), tags, 2)
    assert (first, second) == (list(range(40)), list(range(40, 80)))


def test_whole_groups_without_padding_stay_as_they_are():
    keys, tags = padded([9] * 16, 8 * 9)
    assert over_mini_batches(range(len(keys)), keys, tags, 2) == list(range(len(keys)))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=16), st.integers(1, 4), st.randoms(use_true_random=False))
def test_mini_batches_have_about_as_many_real_rows(sizes, num_mini_batches, rng):
    keys, tags = padded(sizes, num_mini_batches * rng.randint(9, 40))
    rows = over_mini_batches(range(len(keys)), keys, tags, num_mini_batches)
    assert sorted(rows) == list(range(len(keys)))
    mini_batches = real_rows(rows, tags, num_mini_batches)
    counts = [len(real) for real in mini_batches]
    assert max(counts) - min(counts) <= 2 * max(sizes)
    whole = [{keys[row].rsplit("_", 1)[0] for row in real} for real in mini_batches]
    if max(counts) + max(sizes) <= len(keys) // num_mini_batches:  # there is room, so no group is in two of them
        assert sum(map(len, whole)) == len(sizes)


class Batch:
    """As much of TransferQueue's KVBatchMeta as verl's balancing leaves to us."""

    def __init__(self, keys, tags):
        self.keys, self.tags = keys, tags

    def reorder(self, order):
        self.keys, self.tags = ([values[row] for row in order] for values in (self.keys, self.tags))


@pytest.mark.parametrize("layout", ["rows", "packed"])
@pytest.mark.parametrize("num_ranks", [1, 2])
def test_the_hook_spreads_padding_on_every_rank_in_both_layouts(layout, num_ranks):
    config = OmegaConf.create(
        {
            "algorithm": {"sgrpo": {"layout": layout}},
            "actor_rollout_ref": {"actor": {"ppo_mini_batch_size": 8}, "rollout": {"n": 9}},
        }
    )
    workers = SimpleNamespace(_dispatch_info={"actor": list(range(num_ranks))})
    trainer = SimpleNamespace(config=config, actor_rollout_wg=workers)
    call = SimpleNamespace(args=(), kwargs={}, arguments={"metrics": {}, "logging_prefix": "global_seqlen"})
    found = balance_batch(lambda: Batch(*padded([5] * 16, 8 * 9)), trainer, call)
    each = len(found.keys) // num_ranks
    for rank in range(num_ranks):
        tags = found.tags[rank * each : (rank + 1) * each]
        counts = [len(real) for real in real_rows(range(each), tags, 2)]
        assert max(counts) - min(counts) <= 5

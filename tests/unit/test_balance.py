"""Packed groups on ranks: whole where that goes, equally many rows, about as many tokens."""

from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.metrics import TAG
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


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5)), min_size=1, max_size=12),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_every_row_is_on_one_rank_and_all_ranks_have_as_many(groups, num_ranks, random):
    keys, tags = batch(*(group(f"u{n}", thought, range(1, exits + 1)) for n, (thought, exits) in enumerate(groups)))
    for number in range(-len(keys) % num_ranks):  # verl's padding rows
        keys.append(f"pad_{number}_0")
        tags.append({"prompt_len": 1, "seq_len": 2})
    order = list(range(len(keys)))
    random.shuffle(order)
    keys, tags = [keys[row] for row in order], [tags[row] for row in order]
    ranks = by_rank(keys, tags, num_ranks)
    assert sorted(row for rows in ranks for row in rows) == list(range(len(keys)))
    assert {len(rows) for rows in ranks} == {len(keys) // num_ranks}

"""Packed rows: where each token goes, what it sees, and attention over them against a dense mask."""

import itertools
import random
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from sgrpo_verl.packed import flex
from sgrpo_verl.packed.asked import asked_of
from sgrpo_verl.packed.attention import packed_attention, segment_by_segment
from sgrpo_verl.packed.flex import BLOCK, block_mask
from sgrpo_verl.packed.layout import groups_of, pack, packed_length
from sgrpo_verl.selftest.groups import elements

tokens = st.integers(0, 3)  # few, so that exit prompts begin as the thought goes on, and rows as other rows


@st.composite
def serial_groups(draw, max_groups=3):
    """(rows, prompts): serial groups in order, exits first; no thought, exits at its ends, answers of no token."""
    rows, prompts = [], []
    for number in range(draw(st.integers(1, max_groups))):
        prompt = [4 + number, *draw(st.lists(tokens, max_size=2))]
        thought = draw(st.lists(tokens, max_size=9))
        exit_prompt = draw(st.lists(tokens, min_size=1, max_size=3))
        exits = sorted(draw(st.sets(st.integers(1, len(thought)), max_size=4))) if thought else []
        for position in exits:
            answer = draw(st.lists(tokens, max_size=3))
            rows.append([*prompt, *thought[:position], *exit_prompt, *answer])
        rows.append([*prompt, *thought, *draw(st.lists(tokens, min_size=1, max_size=4))])
        prompts += [prompt] * (len(exits) + 1)
    return rows, prompts


def jagged(rows):
    return torch.nested.as_nested_tensor([torch.as_tensor(row) for row in rows], layout=torch.jagged)


def packed(rows, prompts):
    return pack(jagged(rows), groups_of(jagged(prompts)))


def places_of(packing, rows):
    """For each row, where its tokens are among the packed ones."""
    return packing.source.split([len(row) for row in rows])


def dense_mask(packing, rows):
    """Written anew, from the rows: a token sees another if that is before it, or itself, in a row that has both."""
    count = packing.input_ids.values().numel()
    mask = torch.zeros(count, count, dtype=torch.bool)
    for places in places_of(packing, rows):
        for at, place in enumerate(places):
            mask[place, places[: at + 1]] = True
    return mask


class TestLayout:
    @given(serial_groups())
    def test_every_row_can_be_read_back(self, drawn):
        rows, prompts = drawn
        packing = packed(rows, prompts)
        offsets = jagged(rows).offsets()
        assert [row.tolist() for row in packing.to_rows(packing.input_ids.values(), offsets).unbind()] == rows
        positions = packing.to_rows(packing.position_ids.values(), offsets)
        assert [row.tolist() for row in positions.unbind()] == [list(range(len(row))) for row in rows]

    @given(serial_groups())
    def test_the_next_token_of_each_row_is_the_next_packed_token(self, drawn):
        """verl reads log-probs by one shift over everything, so what a token predicts must come right after it."""
        rows, prompts = drawn
        packing = packed(rows, prompts)
        following = packing.input_ids.values().roll(-1)
        for row, places in zip(rows, places_of(packing, rows), strict=True):
            assert following[places[:-1]].tolist() == row[1:]

    @given(serial_groups())
    def test_length(self, drawn):
        rows, prompts = drawn
        lengths = packed(rows, prompts).input_ids.offsets().diff().tolist()
        groups = groups_of(jagged(prompts))
        assert lengths == [packed_length([torch.tensor(rows[index]) for index in group]) for group in groups]

    def test_a_serial_group(self):
        """Prompt 9 9, thought 1 2 3 4, exit prompt 7 8, cuts after 1 and after 3."""
        rows = [[9, 9, 1, 7, 8, 5], [9, 9, 1, 2, 3, 7, 8, 6], [9, 9, 1, 2, 3, 4, 8, 6, 0]]
        packing = packed(rows, [[9, 9]] * 3)
        assert packing.input_ids.values().tolist() == [9, 9, 1, 2, 3, 4, 8, 6, 0, 1, 7, 8, 5, 3, 7, 8, 6]
        assert packing.position_ids.values().tolist() == [*range(9), 2, 3, 4, 5, 4, 5, 6, 7]
        segments = packing.visible[0, 0].unique_consecutive(dim=0).tolist()
        assert segments == [[0, 0, 0], [0, 2, 9], [0, 4, 13]]

    def test_equal_rows_and_rows_of_other_prompts(self):
        rows = [[1, 2, 3], [1, 2, 3], [1, 5], [6]]
        packing = packed(rows, [[1], [1], [1], [6]])
        assert packing.input_ids.offsets().diff().tolist() == [8, 1]
        read_back = packing.to_rows(packing.input_ids.values(), jagged(rows).offsets())
        assert [row.tolist() for row in read_back.unbind()] == rows


class TestAsked:
    @given(serial_groups(), st.sampled_from([1, 2, 4]), st.booleans(), st.integers(0, 2**16))
    def test_every_trained_token_is_asked_for_once_and_nothing_else(self, drawn, ranks, inserted, seed):
        """Each rank answers for its slice; read back, a token of the mask has the value of the token before it.

        With ``inserted``, so has every token of a response.
        """
        rows, prompts = drawn
        generator = random.Random(seed)
        masks = [
            [generator.randrange(2) for _ in row[len(prompt) :]] for row, prompt in zip(rows, prompts, strict=True)
        ]
        packing = pack(jagged(rows), groups_of(jagged(prompts)), ranks)
        batch = TensorDict(
            {"input_ids": jagged(rows), "response_mask": jagged(masks)},
            batch_size=[len(rows)],
        )
        asked = asked_of(batch, packing, ranks, inserted)
        said = torch.arange(1, len(packing.input_ids.values()) + 1)  # of each packed token
        slots = torch.cat([part[places] for part, places in zip(said.chunk(ranks), asked.of_rank, strict=True)])
        values = asked.to_packed(slots)
        rows_values = packing.to_rows(values, jagged(rows).offsets()).unbind()
        predicting = set()
        for row, mask, row_values, places in zip(rows, masks, rows_values, places_of(packing, rows), strict=True):
            for position, trained in enumerate(mask, len(row) - len(mask)):
                if trained or inserted:
                    assert row_values[position - 1] == said[places[position - 1]]
                    predicting.add(int(places[position - 1]))
        assert set(values.nonzero().flatten().tolist()) == predicting
        assert asked.of_rank.shape[1] == max(
            1, *(sum(place * ranks // len(said) == rank for place in predicting) for rank in range(ranks))
        )

    def test_a_batch_without_a_mask_asks_for_everything(self):
        rows = jagged([[1, 2, 3]])
        batch = TensorDict({"input_ids": rows}, batch_size=[1])
        assert asked_of(batch, packed([[1, 2, 3]], [[1]]), 1) is None


def random_heads(count, heads=2, kv_heads=1, dim=8):
    generator = torch.Generator().manual_seed(0)
    shapes = ((heads, count), (kv_heads, count), (kv_heads, count))
    return [torch.randn(1, *shape, dim, generator=generator, dtype=torch.float64) for shape in shapes]


@st.composite
def long_groups(draw, multiple=1):
    """(rows, prompts) of hundreds of tokens: blocks that a segment fills, shares, or ends at the edge of."""
    lengths = st.one_of(st.integers(1, 400), st.sampled_from([1, 127, 128, 129, 255, 256]))
    rows, prompts, token = [], [], itertools.count(10)
    for number in range(draw(st.integers(1, 3))):
        full = [number, *itertools.islice(token, draw(lengths))]
        for cut in sorted(draw(st.lists(st.integers(1, len(full)), max_size=3))):
            rows.append([*full[:cut], *itertools.islice(token, draw(lengths))])
        rows.append(full)
        prompts += [[number]] * (len(rows) - len(prompts))
    return rows, prompts


class TestBlocks:
    @settings(deadline=None, max_examples=60)
    @given(long_groups(), st.sampled_from([1, BLOCK]))
    def test_every_element_is_that_of_the_dense_mask(self, drawn, multiple):
        rows, prompts = drawn
        packing = pack(jagged(rows), groups_of(jagged(prompts)), multiple)
        count = packing.input_ids.values().numel()
        assert count % multiple == 0
        assert count >= 2 * multiple or multiple == 1
        seen = elements(block_mask(packing.visible, packing.segments))
        own = packed(rows, prompts).input_ids.values().numel()
        assert torch.equal(seen[:own, :own], dense_mask(packing, rows)[:own, :own])
        assert torch.equal(
            seen[own:], torch.ones(count, count, dtype=torch.bool).tril()[own:] & (torch.arange(count) >= own)
        )

    @settings(deadline=None, max_examples=30)
    @given(long_groups())
    def test_no_block_is_listed_for_nothing(self, drawn):
        """As torch's own create_block_mask finds them, from all tokens²."""
        packing = packed(*drawn)
        ours, count = block_mask(packing.visible, packing.segments), packing.input_ids.values().numel()
        theirs = create_block_mask(ours.mask_mod, None, None, count, count, "cpu")
        assert torch.equal(ours.to_dense(), theirs.to_dense())
        # By keys, for the backward pass, what it is by queries.
        for blocks in ("", "full_"):
            by_query = _pairs(getattr(ours, f"{blocks}kv_num_blocks"), getattr(ours, f"{blocks}kv_indices"))
            by_key = _pairs(getattr(ours, f"{blocks}q_num_blocks"), getattr(ours, f"{blocks}q_indices"))
            assert by_query == {(query, key) for key, query in by_key}

    def test_32768_tokens_take_milliseconds(self):
        generator = random.Random(0)
        exits = [(generator.randrange(1, 27_000), 140) for _ in range(8)]
        packing = packing_of([(27_000, exits), *[(500, [(100 * cut, 60) for cut in range(1, 5)])] * 6])
        assert packing.visible.shape[2] > 32_000
        seconds = []
        for _ in range(30):
            started = time.perf_counter()
            block_mask(packing.visible, packing.segments)
            seconds.append(time.perf_counter() - started)
        print(f"\nblock mask of {packing.visible.shape[2]} tokens: {1e3 * min(seconds):.1f} ms")
        assert min(seconds) <= 0.005


def _pairs(numbers, indices):
    listed = zip(numbers[0, 0].tolist(), indices[0, 0].tolist(), strict=True)
    return {(row, column) for row, (number, columns) in enumerate(listed) for column in columns[:number]}


def packing_of(groups, multiple=1):
    """Groups given by the full response's length, and (cut, own tokens) of each exit."""
    rows, prompts, token = [], [], itertools.count(10)
    for number, (length, exits) in enumerate(groups):
        full = [number, *itertools.islice(token, length - 1)]
        rows += [[*full[:cut], *itertools.islice(token, own)] for cut, own in exits] + [full]
        prompts += [[number]] * (len(exits) + 1)
    return pack(jagged(rows), groups_of(jagged(prompts)), multiple)


@pytest.fixture
def flex_backend(monkeypatch):
    """``flex_backend(backend)``: compile the packed attention's kernel with it, from the beginning."""

    # Another test's vLLM engine may have run in this process: on the CPU, sgrpo eval tells it not to compile.
    monkeypatch.delenv("TORCHDYNAMO_DISABLE", raising=False)

    def use(backend):
        torch._dynamo.reset()
        compiled = torch.compile(flex._fused, backend=backend, dynamic=True, fullgraph=True)
        monkeypatch.setattr(flex, "_compiled", lambda: compiled)

    yield use
    torch._dynamo.reset()


class TestKernel:
    def test_fifty_lengths_in_training_and_evaluation_are_compiled_at_most_three_times(self, flex_backend):
        """With micro-batches padded to whole blocks, forward only and with gradients, as in a run."""
        counter = CompileCounterWithBackend("eager")
        flex_backend(counter)
        generator = random.Random(0)
        for step in range(50):
            length = generator.randrange(40, 900)
            exits = [(cut, 20) for cut in sorted(generator.sample(range(1, length), 3))]
            packing = packing_of([(length, exits)], multiple=BLOCK)
            visible = packing.visible
            inputs = random_heads(visible.shape[2])
            flex.remember(visible, packing.segments)
            with torch.set_grad_enabled(step % 2 == 1):  # of nothing: torch has no backward pass of it on the CPU
                output = flex.attend(*inputs, visible, 0.3)
            if step % 10 == 0:
                expected = segment_by_segment(*inputs, visible, 0.3)
                torch.testing.assert_close(output, expected)
        assert 1 <= counter.frame_count <= 3

    def test_a_mask_is_made_once_for_every_layer_and_anew_for_other_rows(self, monkeypatch):
        made = []
        monkeypatch.setattr(flex, "block_mask", lambda *arguments: made.append(arguments) or object())
        first, second = packing_of([(40, [(20, 5)])]), packing_of([(40, [(10, 5)])])
        flex.remember(first.visible, first.segments)
        masks = {id(flex._block_mask_of(visible)) for visible in (first.visible, first.visible.view(1, 1, -1, 3))}
        assert len(masks) == len(made) == 1
        flex._block_mask_of(second.visible)
        assert len(made) == 2
        assert torch.equal(made[1][1], second.segments)

    @pytest.mark.parametrize(("heads", "kv_heads"), [(7, 1), (5, 1), (4, 1), (6, 2), (2, 2)])
    def test_grouped_heads(self, flex_backend, heads, kv_heads):
        flex_backend("eager")
        packing = packing_of([(150, [(20, 9), (100, 30)])])
        inputs = random_heads(packing.visible.shape[2], heads, kv_heads)
        torch.testing.assert_close(
            flex.attend(*inputs, packing.visible, 0.3), segment_by_segment(*inputs, packing.visible, 0.3)
        )

    @pytest.mark.parametrize("tokens", [127, 300])
    @pytest.mark.parametrize("train", [False, True])
    def test_every_length_takes_the_same_kernel(self, flex_backend, tokens, train):
        """Not flex_decoding, which torch would choose below 128 queries; and keys are shared, not repeated."""
        graphs = []

        def keeps(graph, inputs):
            graphs.append(graph)
            return graph.forward

        flex_backend(keeps)
        packing = packing_of([(tokens, [])])
        inputs = random_heads(tokens, 7, 1)
        with torch.set_grad_enabled(train):
            flex.attend(*inputs, packing.visible, 0.3)
        [graph] = graphs
        [node] = [node for node in graph.graph.nodes if node.target is torch.ops.higher_order.flex_attention]
        assert any(isinstance(one, dict) and one.get("FORCE_USE_FLEX_ATTENTION") for one in node.args)
        assert node.args[1].meta["example_value"].shape[1] == 1

    @pytest.mark.parametrize("why", ["the recompile limit", "compiling is switched off", "no kernel"])
    def test_the_uncompiled_path_is_an_error(self, flex_backend, why):
        packing = packing_of([(40, [(20, 5)])])
        inputs = random_heads(packing.visible.shape[2])
        if why == "the recompile limit":
            flex_backend("eager")
            with torch._dynamo.config.patch(recompile_limit=1):
                flex.attend(*inputs, packing.visible, 0.3)
                with pytest.raises(
                    RuntimeError, match=r"too often \(.*recompile_limit=1\).*set algorithm\.sgrpo\.layout=rows"
                ):
                    flex.attend(*(one.float() for one in inputs), packing.visible, 0.3)
        elif why == "compiling is switched off":
            flex_backend("eager")
            with (
                torch.compiler.set_stance("force_eager"),
                pytest.raises(RuntimeError, match="would run flex_attention uncompiled"),
            ):
                flex.attend(*inputs, packing.visible, 0.3)
        else:

            def no_compiler(graph, inputs):
                raise OSError("no C compiler found")

            flex_backend(no_compiler)
            with pytest.raises(RuntimeError, match=r"cannot compile flex_attention for heads of 8 in torch\.float64"):
                flex.attend(*inputs, packing.visible, 0.3)


class TestAttention:
    @settings(deadline=None)
    @given(serial_groups())
    def test_a_token_sees_what_it_sees_in_its_row(self, drawn):
        packing = packed(*drawn)
        assert torch.equal(packing.segments, flex.segments_of(packing.visible))
        mask = block_mask(packing.visible, packing.segments)
        assert torch.equal(elements(mask), dense_mask(packing, drawn[0]))

    @settings(deadline=None)
    @given(serial_groups())
    def test_against_a_dense_mask_with_gradients(self, drawn):
        packing = packed(*drawn)
        inputs = [one.requires_grad_() for one in random_heads(packing.input_ids.values().numel())]
        dense = torch.nn.functional.scaled_dot_product_attention(
            *inputs, attn_mask=dense_mask(packing, drawn[0]), scale=0.3, enable_gqa=True
        )
        ours = segment_by_segment(*inputs, packing.visible, 0.3)
        torch.testing.assert_close(ours, dense)
        weights = torch.randn(dense.shape, dtype=dense.dtype, generator=torch.Generator().manual_seed(1))
        gradients = [torch.autograd.grad((output * weights).sum(), inputs) for output in (ours, dense)]
        torch.testing.assert_close(*gradients)

    @settings(deadline=None, max_examples=20)
    @given(serial_groups())
    def test_flex_attention_against_a_dense_mask(self, drawn):
        """Forward only: torch has no backward pass of it on the CPU."""
        packing = packed(*drawn)
        inputs = random_heads(packing.input_ids.values().numel())
        dense = torch.nn.functional.scaled_dot_product_attention(
            *inputs, attn_mask=dense_mask(packing, drawn[0]), scale=0.3, enable_gqa=True
        )
        blocks = flex_attention(
            *inputs, block_mask=block_mask(packing.visible, packing.segments), scale=0.3, enable_gqa=True
        )
        torch.testing.assert_close(blocks, dense)

    def test_nothing_of_another_segment_or_after_the_cut_is_seen(self):
        """Change one token's key and value: only tokens that have it in their row may change."""
        group = [[1, 7, 5], [1, 2, 3, 7, 6], [1, 2, 3, 4, 8, 6]]
        rows = [[prompt, *row] for prompt in (9, 8) for row in group]
        packing = packed(rows, [[9]] * 3 + [[8]] * 3)
        query, key, value = random_heads(packing.input_ids.values().numel())
        before = segment_by_segment(query, key, value, packing.visible, None)
        for place in range(key.shape[2]):
            changed_key, changed_value = key.clone(), value.clone()
            changed_key[:, :, place] += 1
            changed_value[:, :, place] += 1
            after = segment_by_segment(query, changed_key, changed_value, packing.visible, None)
            changed = (after != before).any(-1).any(1)[0]
            assert torch.equal(changed, dense_mask(packing, rows)[:, place])

    def test_rows_that_are_not_packed_are_refused(self):
        query, key, value = random_heads(4)
        for mask in (None, torch.ones(1, 1, 4, 4, dtype=torch.bool), torch.ones(1, 1, 3, 3, dtype=torch.int64)):
            with pytest.raises(ValueError, match="only for rows that sgrpo-verl has packed"):
                packed_attention(torch.nn.Module(), query, key, value, mask)

    @pytest.mark.parametrize("wanted", [{"dropout": 0.1}, {"sliding_window": 128}, {"softcap": 30.0}])
    def test_what_a_model_wants_beyond_it_is_refused(self, wanted):
        query, key, value = random_heads(4)
        visible = torch.zeros(1, 1, 4, 3, dtype=torch.int64)
        with pytest.raises(ValueError, match=r"layout=packed with a model that has .* set layout=rows"):
            packed_attention(torch.nn.Module(), query, key, value, visible, **wanted)

"""verl's own FSDP engine and loss on packed rows, against the same engine and loss on the rows themselves."""

import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from sgrpo_verl.hooks.table import PACKED_ATTENTION
from sgrpo_verl.packed import first_use
from sgrpo_verl.packed.engine import _split
from sgrpo_verl.selftest.engine import build_engine, build_loss
from sgrpo_verl.workbench.model import write_random_model
from tests import faults
from tests.conftest import ROOT
from tests.families import R1_DISTILL_QWEN
from tests.unit.test_packed import jagged, serial_groups

RELATIVE = 1e-5
LAYOUTS = ("rows", "packed")
PLAIN = {"use_dynamic_bsz": True, "use_fused_kernels": False, "use_remove_padding": False}


FAMILIES = (Qwen2Config, Qwen3Config, LlamaConfig)


def write_tiny_model(config_class, folder):
    """A tiny model whose attention matters: its weights are larger than a fresh model's."""
    return write_random_model(
        folder,
        R1_DISTILL_QWEN.tokenizer(),
        family=config_class,
        vocab_size=16,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        head_dim=8,
        max_position_embeddings=64,
        initializer_range=0.2,
        tie_word_embeddings=config_class is Qwen3Config,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=1,
    )


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda one: one.model_type)
def model_path(request, tmp_path_factory):
    return write_tiny_model(request.param, tmp_path_factory.mktemp(request.param.model_type))


@pytest.fixture(scope="module")
def engines(process_group, model_path):
    return [build_engine(model_path, layout) for layout in LAYOUTS]


@st.composite
def batches(draw):
    """Serial groups as verl gives them to an engine, with padding rows, and old log-probs far enough off to clip."""
    rows, prompts = draw(serial_groups())
    for _ in range(draw(st.integers(0, 2))):
        rows.append([1, 1])
        prompts.append([1])
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    batch = batch_from(rows, prompts, generator, lambda count: torch.randint(2, (count,), generator=generator))
    batch["response_mask"].values()[-1] = 1  # a batch with no trained token has no mean
    return batch


def batch_from(rows, prompts, generator, mask):
    """Rows of tokens as verl gives them to an engine; ``mask(count)`` is the response mask of so many tokens."""
    responses = [row[len(prompt) :] for row, prompt in zip(rows, prompts, strict=True)]

    def per_token(make):
        return jagged([make(len(response)) for response in responses])

    fields = {
        "input_ids": jagged(rows),
        "position_ids": jagged([torch.arange(len(row)) for row in rows]),
        "prompts": jagged(prompts),
        "responses": jagged(responses),
        "response_mask": per_token(mask),
        "old_log_probs": per_token(lambda count: -3 + torch.randn(count, generator=generator)),
        "advantages": per_token(lambda count: torch.randn(1, generator=generator).expand(count).clone()),
        "ref_log_prob": per_token(lambda count: -3 + torch.randn(count, generator=generator)),
    }
    return TensorDict({**fields, "loss_mask": fields["response_mask"]}, batch_size=[len(rows)])


def run(engine, loss_function, batch, **options):
    """Loss, the trained tokens' log-probs and entropies, and every parameter's gradient."""
    from verl.utils import tensordict_utils as tu
    from verl.workers.utils.padding import response_from_nested

    data = batch.clone()
    settings = {
        **PLAIN,
        "temperature": 0.8,
        "global_batch_size": len(batch),
        "max_token_len_per_gpu": 4096,
        "calculate_entropy": True,
        "return_model_output": True,
    }
    tu.assign_non_tensor(data, **{**settings, **options})
    with engine.train_mode():
        engine.optimizer_zero_grad()
        output = engine.forward_backward_batch(data, loss_function)
        gradients = [one.grad.full_tensor().clone() for one in engine.module.parameters() if one.requires_grad]
    mask = batch["response_mask"]
    per_token = {  # of the tokens that the mask leaves in: packed rows ask for no others
        name: response_from_nested(values, mask).values()[mask.values().bool()]
        for name, values in output["model_output"].items()
    }
    return sum(output["loss"]), per_token, gradients


def assert_alike(ours, theirs):
    loss, per_token, gradients = ours
    true_loss, true_per_token, true_gradients = theirs
    assert loss == pytest.approx(true_loss, rel=RELATIVE, abs=RELATIVE)
    assert per_token.keys() == true_per_token.keys() >= {"log_probs", "entropy"}
    for name in per_token:
        torch.testing.assert_close(per_token[name], true_per_token[name], rtol=RELATIVE, atol=RELATIVE)
    scale = max(float(gradient.abs().max()) for gradient in true_gradients)
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert float((gradient - true_gradient).abs().max()) <= RELATIVE * scale


LOSSES = {
    "token_mean": (),
    "the_papers": ("loss_agg_mode=seq-mean-token-mean",),
    "entropy_and_kl": ("entropy_coeff=0.1", "use_kl_loss=true", "kl_loss_coef=0.3"),
    "whole_rows": ("policy_loss.loss_mode=gspo", "loss_agg_mode=seq-mean-token-mean", "clip_ratio_c=10.0"),
}


@pytest.mark.parametrize("loss", LOSSES)
@settings(deadline=None, max_examples=10)
@given(batch=batches())
def test_loss_log_probs_entropy_and_gradients_are_those_of_the_rows(engines, loss, batch):
    rows, packed = engines
    assert_alike(run(packed, build_loss(*LOSSES[loss]), batch), run(rows, build_loss(*LOSSES[loss]), batch))


@settings(deadline=None, max_examples=15)
@given(batch=batches(), limit=st.sampled_from([24, 40]))
def test_micro_batches_by_packed_length_change_nothing(engines, batch, limit):
    rows, packed = engines
    assert_alike(run(packed, build_loss(), batch, max_token_len_per_gpu=limit), run(rows, build_loss(), batch))


@settings(deadline=None, max_examples=5)
@given(batch=batches())
def test_micro_batches_of_one_row_change_nothing(engines, batch):
    rows, packed = engines
    options = {"use_dynamic_bsz": False, "micro_batch_size_per_gpu": 1}
    assert_alike(run(packed, build_loss(), batch, **options), run(rows, build_loss(), batch))


@settings(deadline=None, max_examples=5)
@given(batch=batches())
def test_before_an_update_inserted_tokens_have_the_log_prob_of_their_row_too(engines, batch):
    from verl.utils import tensordict_utils as tu
    from verl.workers.utils.padding import response_from_nested

    log_probs = []
    for engine in engines:
        data = batch.clone()
        tu.assign_non_tensor(
            data, **PLAIN, temperature=0.8, max_token_len_per_gpu=4096, calculate_entropy=False, compute_loss=False
        )
        with engine.eval_mode():
            output = engine.infer_batch(data, loss_function=None)
        log_probs.append(response_from_nested(output["model_output"]["log_probs"], batch["response_mask"]).values())
    rows, packed = log_probs
    assert (rows < 0).all()
    torch.testing.assert_close(packed, rows, rtol=RELATIVE, atol=RELATIVE)


def one_group():
    """Prompt 4 5, a thought of ten tokens cut after 2, 5 and 9, exit prompt 0 0, answers of two tokens."""
    thought = [3, 1, 2, 2, 1, 3, 3, 2, 1, 2]
    prompt = [4, 5]
    rows = [[*prompt, *thought[:cut], 0, 0, 6, 7] for cut in (2, 5, 9)] + [[*prompt, *thought, 7, 7, 7]]
    responses = [row[2:] for row in rows]
    masks = [[*[1] * (len(row) - 6), 0, 0, 1, 1] for row in rows[:-1]] + [[1] * 13]
    fields = {
        "input_ids": rows,
        "position_ids": [list(range(len(row))) for row in rows],
        "prompts": [prompt] * 4,
        "responses": responses,
        "response_mask": masks,
        "loss_mask": masks,
    }
    floats = {
        "old_log_probs": [[-3.0] * len(row) for row in responses],
        "advantages": [[one] * len(row) for one, row in zip((-0.4, 0.6, 0.1, -0.3), responses, strict=True)],
    }
    fields = {name: jagged(value) for name, value in (fields | floats).items()}
    return TensorDict(fields, batch_size=[4])


def test_the_model_is_given_each_shared_token_once(engines):
    _, packed = engines
    seen = []
    handle = packed.module.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    run(packed, build_loss(), one_group())
    handle.remove()
    # The full response whole; of each exit the last token before its cut, exit prompt and answer.
    assert seen == [(1, 15 + 3 * 5)]


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_a_faulty_packing_ends_the_run_before_anything_is_trained(engines, monkeypatch, fault):
    _, packed = engines
    monkeypatch.setattr(packed, "_sgrpo_compared", False, raising=False)
    with (
        faults.planted(fault),
        pytest.raises(RuntimeError, match=r"log-probs of packed rows are not those of the rows\. .*layout=rows"),
    ):
        run(packed, build_loss(), one_group())


def test_a_run_is_compared_once_in_two_forward_passes(engines, monkeypatch):
    _, packed = engines
    monkeypatch.setattr(packed, "_sgrpo_compared", False, raising=False)
    passes = []
    handle = packed.module.register_forward_pre_hook(lambda module, args: passes.append(1))
    run(packed, build_loss(), one_group())
    run(packed, build_loss(), one_group())
    handle.remove()
    assert len(passes) == 2 + 1 + 1


DRAWS = 200


@pytest.mark.parametrize("model_path", [Qwen3Config], indirect=True, ids=["qwen3"])
def test_in_bf16_every_fault_is_found_and_rounding_is_not_taken_for_one(process_group, model_path):
    """200 draws of weights and tokens, each with every fault and without one."""
    dtype = torch.bfloat16
    engine = build_engine(model_path, "packed", "actor.fsdp_config.mixed_precision.param_dtype=bf16")
    weights = [one for one in engine.module.parameters() if one.dim() > 1]
    found = dict.fromkeys(("right", *faults.FAULTS), 0)
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        with torch.no_grad():
            for one in weights:
                one.normal_(0, engine.module.config.initializer_range)
        batch = first_use.small_groups(first_use.vocabulary_of(engine), seed=seed)
        with first_use.plain_attention(engine):
            rows = first_use.log_probs_of(engine, batch)
        for fault in found:
            with faults.planted(fault) if fault in faults.FAULTS else nullcontext():
                differences = first_use.differences(first_use.log_probs_of(engine, batch), rows)
            found[fault] += not first_use.is_rounding(differences, first_use.LIMITS[dtype])
    print(f"\nfound by the check at first use, of {DRAWS} draws in bf16 with torch {torch.__version__}: {found}")
    assert found.pop("right") == 0
    assert min(found.values()) >= DRAWS - 1, found


RANK = """
import sys, torch
from sgrpo_verl.packed.first_use import is_rounding, of_all_ranks
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=int(sys.argv[2]), world_size=2)
own = torch.tensor([0.0, 0.0 if sys.argv[2] == "0" else float("nan")])
print("ends" if not is_rounding(of_all_ranks(own), (0.1, 0.1)) else "goes on")
"""


def test_what_is_no_number_on_one_rank_ends_all(tmp_path):
    command = [sys.executable, "-c", RANK, str(tmp_path / "store")]
    ranks = [subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True, cwd=ROOT) for rank in range(2)]
    assert [rank.communicate(timeout=120)[0].split()[-1] for rank in ranks] == ["ends", "ends"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_all_reduce_that_drops_nan_is_given_none(monkeypatch, value):
    """As NCCL's MAX may: the other rank's number is all that it returns."""
    handed_on = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda found, op: handed_on.append(found.clone()))
    found = first_use.of_all_ranks(torch.tensor([0.0, value]))
    assert not handed_on[0].isnan().any()
    assert not first_use.is_rounding(found, (0.1, 0.1))


def test_the_attention_is_in_no_config_that_is_saved(engines):
    for engine in engines:
        assert PACKED_ATTENTION not in engine.module.config.to_json_string()


def test_a_batch_too_long_for_one_micro_batch_is_cut_between_rows(engines):
    _, packed = engines
    lengths = []
    handle = packed.module.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    run(packed, build_loss(), one_group(), max_token_len_per_gpu=20)
    handle.remove()
    assert sorted(lengths) == [11 + 5, 15 + 5]


def test_a_rank_with_fewer_groups_splits_some():
    parts = [[0, 1, 2, 3, 4], [5], [6, 7]]
    _split(parts, 5)
    assert parts == [[0, 1], [2], [3, 4], [5], [6, 7]]
    _split(parts, 8)
    assert parts == [[row] for row in range(8)]
    _split(parts, 3)
    assert len(parts) == 8


OPTIONS = {
    "gradient_checkpointing": ("model.enable_gradient_checkpointing=true",),
    "lora": ("model.lora_rank=4", "model.lora_alpha=8"),
    "entropy_in_chunks": ("actor.fsdp_config.entropy_from_logits_with_chunking=true",),
    "remove_padding": ("model.use_remove_padding=true",),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_verls_options_on_packed_rows(process_group, model_path, option):
    rows, packed = (build_engine(model_path, layout, *OPTIONS[option]) for layout in LAYOUTS)
    chosen = {"use_remove_padding": option == "remove_padding"}  # verl's worker hands it on with each batch
    assert_alike(run(packed, build_loss(), one_group(), **chosen), run(rows, build_loss(), one_group(), **chosen))


@pytest.mark.parametrize("model_path", [Qwen3Config], indirect=True, ids=["qwen3"])
def test_fused_kernels(process_group, model_path, monkeypatch):
    """With tied embeddings: verl's fused kernels multiply by the output layer's weight, which FSDP2 shards if alone."""
    from transformers import Qwen3ForCausalLM

    monkeypatch.setattr(Qwen3ForCausalLM, "forward", Qwen3ForCausalLM.forward)  # verl replaces it: put it back
    options = ("model.use_fused_kernels=true", "model.fused_kernel_options.impl_backend=torch")
    rows, packed = (build_engine(model_path, layout, *options) for layout in LAYOUTS)
    fused = {"use_fused_kernels": True}
    assert_alike(run(packed, build_loss(), one_group(), **fused), run(rows, build_loss(), one_group(), **fused))


def test_five_optimizer_steps_end_at_the_same_weights(process_group, model_path):
    """Of AdamW, on the same group: from the second step on, the policy is no longer the one that sampled it."""
    from verl.utils import tensordict_utils as tu

    ends = []
    for layout in LAYOUTS:
        engine = build_engine(model_path, layout, "actor.optim.lr=1e-3", "actor.optim.total_training_steps=5")
        before = [one.full_tensor().detach().clone() for one in engine.module.parameters()]
        for _ in range(5):
            batch = one_group()
            tu.assign_non_tensor(batch, temperature=1.0, global_batch_size=4, max_token_len_per_gpu=64, **PLAIN)
            with engine.train_mode():
                engine.train_batch(batch, build_loss())
        ends.append([one.full_tensor().detach().clone() for one in engine.module.parameters()])
    moved = max(float((end - start).abs().max()) for end, start in zip(ends[0], before, strict=True))
    apart = max(float((theirs - ours).abs().max()) for theirs, ours in zip(*ends, strict=True))
    assert moved > 3e-3
    assert apart <= 1e-4


def test_bfloat16(process_group, model_path):
    """To bf16's own rounding: verl's engine in bf16 on the rows is no closer to itself in fp32."""
    bf16 = "actor.fsdp_config.mixed_precision.param_dtype=bf16"
    rows, packed = (build_engine(model_path, layout, bf16) for layout in LAYOUTS)
    exact = run(build_engine(model_path, "rows"), build_loss(), one_group())[1]["log_probs"]
    theirs, ours = (run(engine, build_loss(), one_group())[1]["log_probs"] for engine in (rows, packed))
    assert 0 < float((ours - exact).abs().max()) <= 2 * float((theirs - exact).abs().max())

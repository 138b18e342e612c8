"""verl's own FSDP engine and loss on packed rows, against the same engine and loss on the rows themselves."""

import functools

import pytest
import torch
from hydra import compose, initialize_config_module
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from sgrpo_verl.packed.attention import PACKED_ATTENTION
from tests.conftest import STOCK
from tests.families import R1_DISTILL_QWEN
from tests.unit.test_packed import serial_groups

RELATIVE = 1e-5


@pytest.fixture(scope="module")
def process_group(tmp_path_factory):
    torch.distributed.init_process_group(
        "cpu:gloo", init_method=f"file://{tmp_path_factory.mktemp('group')}/store", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def composed(*overrides):
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", [*STOCK, "+cpu=default", *overrides]).actor_rollout_ref


def engine_of(path, attention, *overrides):
    """An engine as verl's actor worker builds it."""
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.engine import EngineRegistry

    attention = f"actor_rollout_ref.model.override_config.attn_implementation={attention}"
    config = composed(f"actor_rollout_ref.model.path={path}", attention, *overrides)
    actor = omega_conf_to_dataclass(config.actor)
    engine = EngineRegistry.new(
        model_type="language_model",
        backend=actor.strategy,
        model_config=omega_conf_to_dataclass(config.model),
        engine_config=actor.engine,
        optimizer_config=actor.optim,
        checkpoint_config=actor.checkpoint,
    )
    engine.initialize()
    return engine


@functools.cache
def loss_of(*overrides):
    """verl's actor loss."""
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.utils.losses import ppo_loss

    actor = omega_conf_to_dataclass(composed(*(f"actor_rollout_ref.actor.{override}" for override in overrides)).actor)
    return functools.partial(ppo_loss, config=actor)


@pytest.fixture(scope="module", params=[Qwen2Config, Qwen3Config, LlamaConfig], ids=lambda one: one.model_type)
def model_path(request, tmp_path_factory):
    """A tiny model whose attention matters: its weights are larger than a fresh model's."""
    folder = tmp_path_factory.mktemp(request.param.model_type)
    config = request.param(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    R1_DISTILL_QWEN.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engines(process_group, model_path):
    return [engine_of(model_path, attention) for attention in ("sdpa", PACKED_ATTENTION)]


@st.composite
def batches(draw):
    """Serial groups as verl gives them to an engine, with padding rows, and old log-probs far enough off to clip."""
    rows, prompts = draw(serial_groups())
    for _ in range(draw(st.integers(0, 2))):
        rows.append([1, 1])
        prompts.append([1])
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    responses = [row[len(prompt) :] for row, prompt in zip(rows, prompts, strict=True)]

    def per_token(make):
        return jagged([make(len(response)) for response in responses])

    fields = {
        "input_ids": jagged(map(torch.tensor, rows)),
        "position_ids": jagged([torch.arange(len(row)) for row in rows]),
        "prompts": jagged(map(torch.tensor, prompts)),
        "responses": jagged(map(torch.tensor, responses)),
        "response_mask": per_token(lambda count: torch.randint(2, (count,), generator=generator)),
        "old_log_probs": per_token(lambda count: -3 + torch.randn(count, generator=generator)),
        "advantages": per_token(lambda count: torch.randn(1, generator=generator).expand(count).clone()),
        "ref_log_prob": per_token(lambda count: -3 + torch.randn(count, generator=generator)),
    }
    fields["response_mask"].values()[-1] = 1  # a batch with no trained token has no mean
    return TensorDict({**fields, "loss_mask": fields["response_mask"]}, batch_size=[len(rows)])


def jagged(tensors):
    return torch.nested.as_nested_tensor(list(tensors), layout=torch.jagged)


def run(engine, loss_function, batch, **options):
    """Loss, metrics, each row's response log-probs and entropies, and every parameter's gradient."""
    from verl.utils import tensordict_utils as tu
    from verl.workers.utils.padding import response_from_nested

    data = batch.clone()
    settings = {
        "temperature": 0.8,
        "global_batch_size": len(batch),
        "use_dynamic_bsz": True,
        "max_token_len_per_gpu": 4096,
        "use_fused_kernels": False,
        "use_remove_padding": False,
        "calculate_entropy": True,
        "return_model_output": True,
    }
    tu.assign_non_tensor(data, **{**settings, **options})
    with engine.train_mode():
        engine.optimizer_zero_grad()
        output = engine.forward_backward_batch(data, loss_function)
        gradients = [parameter.grad.full_tensor().clone() for parameter in engine.module.parameters()]
    per_token = {
        name: response_from_nested(values, batch["response_mask"]).values()
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
@settings(deadline=None, max_examples=15)
@given(batch=batches())
def test_loss_log_probs_entropy_and_gradients_are_those_of_the_rows(engines, loss, batch):
    rows, packed = engines
    assert_alike(run(packed, loss_of(*LOSSES[loss]), batch), run(rows, loss_of(*LOSSES[loss]), batch))

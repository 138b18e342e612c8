"""recipes/paper without a GPU: stock verl accepts each config, and each model's template comes through whole."""

import os
import re
import subprocess

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from recipes.instruct import run
from recipes.instruct import variants as instruct
from recipes.language.data import write_data
from recipes.language.run import ANSWER_TOKENS, training_command
from recipes.language.variants import EXITS, variants
from sgrpo_verl.algorithm.serial_group import ThoughtFormat, draw_exit_positions, exit_row, find_thought, full_row
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END
from tests.conftest import ROOT
from tests.families import FAMILIES, INSTRUCT, SMOLLM2

RECIPES = [(family, recipe) for family in FAMILIES for recipe in family.recipes]
VARIANTS = {
    "paper": ("sgrpo", "decay"),
    "without_decay": ("sgrpo", "all_one"),
    "shortest_only": ("sgrpo", "shortest_one"),
    "without_serial_group": ("grpo", None),
    "length_penalty": ("grpo", None),
}


def composed(*overrides):
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", list(overrides))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("family", "recipe"), RECIPES, ids=[recipe for _, recipe in RECIPES])
def test_verl_accepts_each_recipe_and_each_ablation_of_it(family, recipe, variant, tmp_path):
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    # One override makes the ablation.
    config = composed(f"+paper={recipe}", *([f"sgrpo={variant}"] if variant != "paper" else []))
    assert not need_critic(config)
    assert not need_reference_policy(config)
    validate_config(config=config, use_reference_policy=False, use_critic=False)

    estimator, reward = VARIANTS[variant]
    assert config.algorithm.adv_estimator == estimator
    assert OmegaConf.select(config, "algorithm.sgrpo.reward") == reward
    # Every recipe can pack, those that split a sequence over two GPUs included.
    assert OmegaConf.select(config, "algorithm.sgrpo.layout") == ("packed" if reward else None)
    actor, rollout = (omega_conf_to_dataclass(config.actor_rollout_ref[part]) for part in ("actor", "rollout"))
    assert (rollout.n, actor.optim.lr, actor.use_kl_loss, actor.loss_agg_mode) == (9, 1e-6, False, "token-mean")
    assert config.data.train_batch_size == actor.ppo_mini_batch_size == 128
    for part in ("actor_rollout_ref.rollout.checkpoint_engine", "distillation"):  # the other dataclasses verl makes
        omega_conf_to_dataclass(OmegaConf.select(config, part))
    model_path = OmegaConf.select(config, "actor_rollout_ref.model.path")
    assert model_path.split("/")[0] in ("deepseek-ai", "Qwen")
    config.actor_rollout_ref.model.path = str(family.save(tmp_path / "model"))
    model = omega_conf_to_dataclass(config.actor_rollout_ref.model)
    assert model.hf_config.model_type == family.config_class.model_type

    # The longest row fits the GPUs that share it, and every GPU has as much to do.
    gpus = config.trainer.n_gpus_per_node * config.trainer.nnodes
    shared = actor.ulysses_sequence_parallel_size
    longest = config.data.max_prompt_length + config.data.max_response_length
    assert actor.ppo_max_token_len_per_gpu * shared >= longest
    assert actor.ppo_mini_batch_size * rollout.n % (gpus // shared) == 0


@pytest.mark.parametrize("name", variants())
def test_verl_accepts_the_language_recipes_command_for_each_variant(name, tmp_path):
    """A small Llama with SmolLM2's chat template stands for the model; every variant has as many rows a prompt."""
    from verl.utils.config import validate_config

    model = SMOLLM2.save(tmp_path / "model")
    write_data(tmp_path / "data", "")
    command = training_command(variants()[name], 0, 2, model, tmp_path / "data", tmp_path / "run")
    config = composed(*(override for override in command[3:] if not override.startswith("hydra.")))
    validate_config(config=config, use_reference_policy=False, use_critic=False)
    assert config.actor_rollout_ref.rollout.n == EXITS + 1
    if config.algorithm.adv_estimator == "sgrpo":
        assert config.algorithm.sgrpo.layout == "packed"
        assert config.algorithm.sgrpo.answer_length == ANSWER_TOKENS


@pytest.mark.parametrize("on_cpu", [True, False], ids=["cpu", "gpu"])
@pytest.mark.parametrize("variant", instruct.VARIANTS.values(), ids=lambda variant: variant.name)
def test_verl_accepts_the_instruct_recipes_command_for_each_variant(variant, on_cpu, tmp_path, monkeypatch):
    """A small Qwen2 stands for the model; the longest row fits into a micro-batch."""
    from verl.utils.config import validate_config

    monkeypatch.setattr(run, "on_cpu", lambda: on_cpu)
    model = str(INSTRUCT.save(tmp_path / "model"))
    command = run.training_command(variant, 0, 2, model, tmp_path / "data", tmp_path / "run", "bfloat16")
    config = composed(*(override for override in command[3:] if not override.startswith("hydra.")))
    validate_config(config=config, use_reference_policy=False, use_critic=False)
    assert config.actor_rollout_ref.rollout.n == instruct.EXITS + 1
    assert config.trainer.device == ("cpu" if on_cpu else "cuda")
    longest = config.data.max_prompt_length + config.data.max_response_length
    assert config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu >= longest
    if config.algorithm.adv_estimator == "sgrpo":
        settings = config.algorithm.sgrpo
        assert settings.layout == "packed"
        assert settings.score == "answer"
        assert (settings.think_start, settings.think_end) == ("", "\\boxed{")
        assert settings.exit_prompt == "\n\nThus, the final answer is \\(\\boxed{"
    else:
        assert config.reward.custom_reward_function.reward_kwargs.think_end == "\\boxed{"


def test_a_closing_phrase_is_written_as_the_docs_say():
    """docs/reuse.md: bash reads the command's arguments, Hydra what bash makes of them."""
    page = (ROOT / "docs/reuse.md").read_text()
    command = re.search(r"```bash\npython -m verl\.trainer\.main_ppo (\+sgrpo=paper \\\n.+?) …\n```", page, re.DOTALL)
    said = subprocess.run(["bash", "-c", f"printf '%s\\0' {command[1]}"], stdout=subprocess.PIPE, check=True)
    by_command = composed(*said.stdout.decode().removesuffix("\0").split("\0")).algorithm.sgrpo
    [text] = re.findall(r"```yaml\n(algorithm:\n  sgrpo:\n.+?)```", page, re.DOTALL)
    in_yaml = OmegaConf.create(text).algorithm.sgrpo
    group = composed("+sgrpo=paper", "+thought=boxed").algorithm.sgrpo
    for name in ("think_start", "think_end", "exit_prompt"):
        assert by_command[name] == in_yaml[name] == group[name]


def test_the_readmes_gpu_quick_start_is_a_recipe():
    assert f"python -m verl.trainer.main_ppo +paper={RECIPES[0][1]}\n" in (ROOT / "README.md").read_text()


def test_the_length_penalty_never_makes_a_wrong_answer_better_than_a_right_one():
    config = composed("+paper=qwen3_8b", "sgrpo=length_penalty")
    kwargs = config.reward.reward_kwargs
    longest = config.data.max_response_length
    assert kwargs.max_resp_len == kwargs.overlong_buffer_cfg.len == longest, "it counts from the first token"
    assert kwargs.overlong_buffer_cfg.penalty_factor < 1


@pytest.mark.parametrize("family", [*FAMILIES, SMOLLM2], ids=lambda one: one.config_class.model_type)
def test_a_models_template_goes_through_the_serial_group(family):
    """Thought opened by the template or by the model; each cut leaves one thought, opened once and closed once."""
    tokenizer = family.tokenizer()

    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False)

    messages = [{"role": "user", "content": "3+5=?"}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    think_end_ids, exit_prompt_ids = encode(THINK_END), encode(EXIT_PROMPT)
    assert (len(think_end_ids) == 1) == bool(family.tags)
    assert (prompt + family.opening).count("<think>") == 1
    assert encode(".\n") != encode(".") + encode("\n"), "line breaks merge as in Qwen's tokenizers"

    thought, answer = "\nSo, it is 8.\n\nWait, check again.\nIt is 8.\n", "\n\nAnswer: 8"
    opening = family.opening.rstrip()
    response = [*encode(opening + thought + THINK_END + answer), tokenizer.eos_token_id]
    form = ThoughtFormat.of(tokenizer, "<think>", THINK_END, frozenset([tokenizer.eos_token_id]))
    span = find_thought(encode(prompt), response, form)
    assert span.closed
    assert tokenizer.decode(response[: span.thought_start]) == opening
    assert tokenizer.decode(response[span.thought_start : span.thought_end]) == thought
    assert tokenizer.decode(response[span.answer_start :], skip_special_tokens=True) == answer
    full = full_row(response, [1] * len(response), None, span)
    answer_ids = [*encode("Answer: 8"), tokenizer.eos_token_id]
    for position in draw_exit_positions(span.thought_length, span.thought_length, "even", 0):
        row = exit_row(full, position, exit_prompt_ids, answer_ids, None, thought_start=span.thought_start)
        text = prompt + tokenizer.decode(row.response_ids)
        kept = tokenizer.decode(response[: span.thought_start + position])
        assert text == prompt + kept + EXIT_PROMPT + tokenizer.decode(answer_ids)
        assert text.count("<think>") == text.count(THINK_END) == 1
        if family.tags:
            assert row.response_ids.count(think_end_ids[0]) == 1
        masked = [token for token, mask in zip(row.response_ids, row.response_mask, strict=True) if not mask]
        assert masked == exit_prompt_ids


# Ray refuses to be told what a cluster that is up has.
JOINS = ["++ray_kwargs.ray_init.num_gpus=null", "++ray_kwargs.ray_init.num_cpus=null"]


@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        *(
            (f"{recipe}.sh", ["sgrpo=without_decay"], [f"+paper={recipe}", "sgrpo=without_decay"])
            for _, recipe in RECIPES
        ),
        (
            "multi_node.sh",
            ["4", "qwen3_14b", "trainer.save_freq=5"],
            ["+paper=qwen3_14b", "trainer.save_freq=5", "trainer.nnodes=4", *JOINS],
        ),
    ],
)
def test_a_script_runs_stock_main_ppo_and_hands_its_overrides_on(script, arguments, expected, tmp_path):
    """``python`` is a recorder here: what would be started, and that stock main_ppo composes it."""
    recorder = tmp_path / "python"
    recorder.write_text('#!/bin/sh\nprintf "%s\\n" "$RAY_ADDRESS" "$@"\n')
    recorder.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RAY_ADDRESS": ""}
    done = subprocess.run(
        ["bash", str(ROOT / "recipes" / "paper" / script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    address, *command = done.stdout.splitlines()
    assert command == ["-m", "verl.trainer.main_ppo", *expected]
    assert address == ("auto" if script == "multi_node.sh" else "")
    assert composed(*expected).trainer.nnodes == (4 if script == "multi_node.sh" else 1)

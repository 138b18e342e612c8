"""Stages 3 and 4: stock main_ppo with vLLM, a few steps each of GRPO, S-GRPO on rows, and S-GRPO packed.

A model of random weights, made problems, and a reward that calls half of the answers right. On an accelerator with what
the quick start uses: CUDA graphs, chunked prefill, prefix caching, sleep mode, bf16, no padding.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from sgrpo_verl.engine.log import cause_in
from sgrpo_verl.files import read_lines
from sgrpo_verl.selftest.engine import plain_attention
from sgrpo_verl.selftest.progress import Report
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.model import write_random_model
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.tokenizer import build_tokenizer
from sgrpo_verl.workbench.train import read_steps

STEPS = {"cpu": 2, "cuda": 3}
PROMPTS, NUM_EXITS = 4, 8
VOCABULARY, RESPONSE = 1024, {"cpu": 128, "cuda": 1024}  # tokens
SMALL = {"num_hidden_layers": 2}
FIFTY_MILLION = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
}
# The random model never writes the closing tag: its whole response is the thought.
S_GRPO = (
    "+sgrpo=paper",
    "algorithm.sgrpo.think_end='</none>'",
    "algorithm.sgrpo.exit_prompt='Time is limited, stop thinking and start answering. </none>'",
)
RUNS = {
    "GRPO": ("+sgrpo=without_serial_group",),
    "S-GRPO, rows": (*S_GRPO, "algorithm.sgrpo.layout=rows"),
    "S-GRPO, packed": (*S_GRPO, "algorithm.sgrpo.layout=packed"),
}
# On the CPU, where each run takes a minute to start, without verl's own algorithm.
RUNS_ON_CPU = {name: overrides for name, overrides in RUNS.items() if name != "GRPO"}
PACKED = RUNS["S-GRPO, packed"]
SEPARATE_ASYNC = (
    *PACKED,
    "trainer.v1.trainer_mode=separate_async",
    "trainer.v1.separate_async.parameter_sync_step=1",  # the mini-batch is the whole batch
    "actor_rollout_ref.hybrid_engine=false",
    "actor_rollout_ref.rollout.nnodes=1",
    "actor_rollout_ref.rollout.n_gpus_per_node=1",
)
ON_TWO = {
    "two ranks": (*PACKED, "trainer.n_gpus_per_node=2"),
    "tensor parallel 2": (
        *PACKED,
        "trainer.n_gpus_per_node=2",
        "actor_rollout_ref.rollout.tensor_model_parallel_size=2",
    ),
    "Ulysses 2": (
        *PACKED,
        "trainer.n_gpus_per_node=2",
        "actor_rollout_ref.actor.ulysses_sequence_parallel_size=2",
        "actor_rollout_ref.model.use_remove_padding=true",  # which verl wants with it
    ),
    "colocate_async": (*PACKED, "trainer.n_gpus_per_node=2", "trainer.v1.trainer_mode=colocate_async"),
    "separate_async": (*SEPARATE_ASYNC, "actor_rollout_ref.rollout.checkpoint_engine.backend=nccl"),
}
ON_TWO_LOGICAL = {**ON_TWO, "separate_async": SEPARATE_ASYNC}  # on the CPU, where weights travel over gloo
# Of the probabilities that the engine sampled with and those that the actor computes; bf16 rounds them.
CORRELATION = {"cpu": 0.999, "cuda": 0.99}
_QUICK_POLLS = (  # verl's replay buffer waits two seconds at a time, which is half of a step here
    "trainer.v1.sampler.custom_sampler.path=pkg://sgrpo_verl.workbench.sampler",
    "trainer.v1.sampler.custom_sampler.name=QuickReplayBuffer",
)
MERGED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}  # by vLLM


def main(
    out: Annotated[Path, typer.Option()],
    device: Annotated[str, typer.Option()],
    several: Annotated[bool, typer.Option("--several", help="Stage 4: two devices.")] = False,
    only: Annotated[str, typer.Option(help="The one run of that name.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Packed rows alone.")] = False,
) -> None:
    """Every run, one after another."""
    report = Report(out)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = build_tokenizer(TASKS["sums"])
        tokenizer.add_tokens([f"<{number}>" for number in range(VOCABULARY - len(tokenizer))])
        tokenizer.model_max_length = 4096
        shape: dict[str, Any] = SMALL if device == "cpu" else FIFTY_MILLION
        model = write_random_model(Path(folder, "model"), tokenizer, **shape)
        data = write_data(Path(folder, "data"), TASKS["sums"], train=PROMPTS * STEPS[device], validation=4, test=4)
        on_cpu = device == "cpu"
        runs = (ON_TWO_LOGICAL if on_cpu else ON_TWO) if several else RUNS_ON_CPU if on_cpu else RUNS
        if quick:
            only = "S-GRPO, packed"
        elif several and on_cpu:
            only = only or "separate_async"  # make test has the others
        for name, overrides in runs.items() if not only else [(only, runs[only])]:
            report.progress(f"{name}: {STEPS[device]} steps of main_ppo")
            _run(report, name, overrides, model, data, Path(folder, re.sub(r"\W+", "-", name)), device)


def _run(
    report: Report, name: str, overrides: tuple[str, ...], model: Path, data: dict[str, Path], folder: Path, device: str
) -> None:
    folder.mkdir()
    last = STEPS[device]
    metrics, weights, log = folder / "metrics.jsonl", folder / "engine.pt", folder / "log.txt"
    command = [
        *(sys.executable, "-m", "verl.trainer.main_ppo", *(("+cpu=default",) if device == "cpu" else _quick_start())),
        *(_QUICK_POLLS if device == "cpu" else ()),
        *overrides,
        *(_without_flash_attention(overrides) if device != "cpu" else ()),
        f"data.train_files={data['train']}",
        f"data.val_files={data['validation']}",
        f"data.train_batch_size={PROMPTS}",
        "data.max_prompt_length=64",
        f"data.max_response_length={RESPONSE[device]}",
        f"actor_rollout_ref.model.path={model}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS}",
        "actor_rollout_ref.actor.optim.lr=1e-3",
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,hf_model]",
        "+actor_rollout_ref.rollout.engine_kwargs.vllm.block_size=16",
        "actor_rollout_ref.rollout.calculate_log_probs=true",
        "reward.custom_reward_function.path=pkg://sgrpo_verl.selftest.reward",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
        f"trainer.rollout_data_dir={folder / 'rollouts'}",
        f"trainer.total_training_steps={last}",
        f"trainer.save_freq={last}",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.resume_mode=disable",
        "trainer.logger=[console,file]",
        f"hydra.run.dir={folder / 'hydra'}",
    ]
    environment = {
        **os.environ,
        **({"VERL_PLATFORM": "cpu"} if device == "cpu" else {}),
        "VERL_FILE_LOGGER_PATH": str(metrics),
        "VERL_USE_EXTERNAL_MODULES": "sgrpo_verl.selftest.probe",
        "SGRPO_SELFTEST_WEIGHTS": str(weights),
        "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",  # the probe sends vLLM a function
    }
    with log.open("w") as file:
        status = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode
    steps = list(read_steps(metrics))
    said = log.read_text(errors="replace")
    print(said)  # into the stage's own log
    if status or len(steps) < last:
        report.check(
            f"{name}: runs", False, f"exit status {status} after {len(steps)} steps: {cause_in(said) or 'see its log'}"
        )
        return
    report.check(f"{name}: runs", True, f"{last} steps, {sum(step['timing_s/step'] for step in steps):.1f} s")
    agree = agreement(name, steps)
    report.check(
        f"{name}: engine and actor agree",
        agree >= CORRELATION[device],
        f"probabilities correlate by {agree:.5f} or more (at least {CORRELATION[device]})",
    )
    compared, wrong = compare_weights(weights, folder / "checkpoints" / f"global_step_{last}" / "actor" / "huggingface")
    figure = f"{compared} tensors of the engine are the actor's to the last bit, {len(wrong)} are not {wrong[:2] or ''}"
    if name == "colocate_async":  # the engine may be a step behind by then
        report.figure(f"{name}: weights", figure)
    else:
        report.check(f"{name}: weights after a sync", compared > 0 and not wrong, figure)
    if overrides[:1] == S_GRPO[:1]:
        _check_groups(report, name, folder, steps)


def _quick_start() -> tuple[str, ...]:
    """What verl's defaults leave out of what the README's quick start uses on an accelerator."""
    return (
        "actor_rollout_ref.actor.strategy=fsdp2",
        "actor_rollout_ref.actor.use_dynamic_bsz=true",
        "actor_rollout_ref.model.use_remove_padding=true",
        "actor_rollout_ref.rollout.name=vllm",
        "actor_rollout_ref.rollout.gpu_memory_utilization=0.3",
        "actor_rollout_ref.rollout.enable_chunked_prefill=true",
        "actor_rollout_ref.rollout.enable_prefix_caching=true",
        "actor_rollout_ref.rollout.agent.num_workers=1",  # for four prompts a step
        "reward.num_workers=1",
        "data.dataloader_num_workers=0",
        "trainer.nnodes=1",
        "trainer.n_gpus_per_node=1",
    )


def _without_flash_attention(overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Rows attend with torch's own attention where flash-attn, verl's default, is not installed."""
    attention = plain_attention()
    if "algorithm.sgrpo.layout=packed" in overrides or attention == "flash_attention_2":
        return ()
    return (f"+actor_rollout_ref.model.override_config.attn_implementation={attention}",)


def agreement(name: str, steps: list[dict[str, Any]]) -> float:
    """The least correlation of a step between the probabilities that the engine sampled with and the actor's.

    Of verl's asynchronous trainers the first step alone tells: later ones train what older weights have sampled.
    """
    told = steps[:1] if name.endswith("async") else steps
    return min(step["training/rollout_actor_probs_pearson_corr"] for step in told)


def compare_weights(engine_file: Path, actor: Path) -> tuple[int, list[str]]:
    """How many tensors of the engine are the actor's, to the last bit in the engine's data type, and which are not."""
    from transformers import AutoModelForCausalLM

    engine = torch.load(engine_file)
    state = AutoModelForCausalLM.from_pretrained(actor, dtype=torch.float32).state_dict()
    compared, wrong = 0, []
    for name, value in engine.items():
        part = next((part for part in MERGED if part in name), None)
        names = [name.replace(part, one) for one in MERGED[part]] if part else [name]
        if not all(one in state for one in names):
            continue
        expected = torch.cat([state[one] for one in names]).to(value.dtype)
        if value.shape[1:] != expected.shape[1:] or len(value) < len(expected):
            continue  # a tensor-parallel rank's part
        if torch.equal(value[: len(expected)], expected):  # vLLM pads the vocabulary
            compared += 1
        else:
            wrong.append(name)
    return compared, wrong


def _check_groups(report: Report, name: str, folder: Path, steps: list[dict[str, Any]]) -> None:
    """No exit is lost, and exits find their thought in the server's cache."""
    rows: Counter[str] = Counter()
    wanted: dict[str, int] = {}
    for step in range(1, len(steps) + 1):
        for row in read_lines(folder / "rollouts" / f"{step}.jsonl"):
            if row.get("thought_length") is not None:
                group, _, _ = row["uid"].rsplit("_", 2)
                rows[group] += 1
                wanted[group] = min(NUM_EXITS, int(row["thought_length"])) + 1
    lost = {group: wanted[group] - count for group, count in rows.items() if wanted[group] != count}
    report.check(
        f"{name}: every group is whole",
        len(rows) == len(steps) * PROMPTS and not lost,
        f"{len(rows)} groups of {len(steps) * PROMPTS}, {sum(rows.values())} rows, {sum(lost.values())} lost",
    )
    hits = [step["sgrpo/prefix_cache_hit"] for step in steps if "sgrpo/prefix_cache_hit" in step]
    if not hits:
        report.figure(f"{name}: prefix cache", "this verl does not tell")
    else:
        report.check(
            f"{name}: prefix cache", min(hits) > 0.3, f"{min(hits):.0%} or more of the exits' prompts were cached"
        )


if __name__ == "__main__":
    typer.run(main)

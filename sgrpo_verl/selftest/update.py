"""Stage 2: old_log_prob and one update of verl's own FSDP engine, on rows, on rows without padding, and packed.

The same group of eight exits, in layers with the shape of a real model's. All three layouts must agree: in the answers'
log-probs, behind each cut by itself, and in the gradients of a loss on the answers alone and on everything. Their time
and memory show what the packed layout saves.
"""

import gc
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from sgrpo_verl.selftest.agreement import LIMITS, Found, apart, sampled
from sgrpo_verl.selftest.engine import build_engine, build_loss, join_process_group, on_cpu, plain_attention
from sgrpo_verl.selftest.groups import ANSWER, EXIT_PROMPT, NUM_EXITS, PROMPT, answers_of, batch_of, rows_of
from sgrpo_verl.selftest.progress import Report
from sgrpo_verl.workbench.model import write_random_model

LAYOUTS = ("packed", "unpadded", "rows")
SHAPES: dict[str, dict[str, int]] = {
    "Qwen3-0.6B": {"hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "layers": 28},
    "Qwen3-8B": {"hidden_size": 4096, "intermediate_size": 12_288, "num_attention_heads": 32, "layers": 36},
}
KEYS, VOCABULARY, HEAD = 8, 151_936, 128  # of both
SMALL = {"hidden_size": 64, "intermediate_size": 192, "num_attention_heads": 4, "layers": 2}
# Behind so few tokens, one too many or too few shows in bf16. The longer thoughts are also timed.
SHORT, SHORT_PROMPT = 16, 4
THOUGHTS: tuple[int, ...] = (SHORT, 2000, 8000, 16_000)
THOUGHTS_IF_QUICK, THOUGHTS_ON_CPU = (SHORT, 8000), (SHORT, 300)
LAYERS_IF_QUICK = 4
GOAL = 0.25  # of the seconds of unpadded rows with flash attention, at thoughts of 8,000 tokens on one H100
BYTES_A_PARAMETER = 16  # float32 weights and gradients, and AdamW's two moments


def main(
    out: Annotated[Path, typer.Option()],
    device: Annotated[str, typer.Option()],
    quick: Annotated[bool, typer.Option("--quick", help="The larger shape alone, with few layers.")] = False,
) -> None:
    """Every shape and length, one engine at a time."""
    report = Report(out)
    shapes = {"a small model": SMALL} if on_cpu() else {"Qwen3-8B": SHAPES["Qwen3-8B"]} if quick else SHAPES
    thoughts = THOUGHTS_ON_CPU if on_cpu() else THOUGHTS_IF_QUICK if quick else THOUGHTS
    layers = LAYERS_IF_QUICK if quick else max(sizes["layers"] for sizes in shapes.values())
    with tempfile.TemporaryDirectory() as folder:
        join_process_group(Path(folder, "store"))
        loss = build_loss()
        for shape, sizes in shapes.items():
            model, name = _write(Path(folder, shape.replace(" ", "-")), shape, sizes, layers)
            for thought in thoughts:
                _compare(report, model, f"{name}, thought of {thought:,}", thought, loss)
        torch.distributed.destroy_process_group()


def _write(folder: Path, shape: str, sizes: dict[str, Any], most: int) -> tuple[Path, str]:
    """Write a random model of this shape, with so many layers that an update takes up to half of the memory."""
    sizes = dict(sizes)
    layers = wanted = sizes.pop("layers")
    keys, vocabulary, head, dtype = 2, 1024, 16, torch.float32
    if not on_cpu():
        keys, vocabulary, head, dtype = KEYS, VOCABULARY, HEAD, torch.bfloat16
        hidden = sizes["hidden_size"]
        of_a_layer = 2 * hidden * head * (sizes["num_attention_heads"] + keys) + 3 * hidden * sizes["intermediate_size"]
        free, _ = torch.cuda.mem_get_info()
        layers = max(1, min(wanted, most, int((free / 2 / BYTES_A_PARAMETER - vocabulary * hidden) / of_a_layer)))
    write_random_model(
        folder,
        dtype=dtype,
        vocab_size=vocabulary,
        num_hidden_layers=layers,
        num_key_value_heads=keys,
        head_dim=head,
        max_position_embeddings=32_768,
        **sizes,
    )
    return folder, f"{shape}'s shape, {layers} of {wanted} layers"


def _compare(report: Report, model: Path, name: str, thought: int, loss: Callable) -> None:
    """Agreement, seconds and memory of the three layouts. Running out of memory is a result, not an error."""
    answer = 16 if on_cpu() or thought == SHORT else ANSWER
    rows = rows_of(True, thought, 1024, random.Random(thought), answer)
    measured: dict[str, Found] = {}
    for layout in LAYOUTS:
        report.progress(f"{name}: {layout}")
        try:
            measured[layout] = measure(model, layout, rows, SHORT_PROMPT if thought == SHORT else PROMPT, loss)
        except torch.OutOfMemoryError:
            report.figure(f"{name}: {layout}", "does not fit into memory")
        except Exception as error:
            report.error(f"{name}: {layout}", error)
        gc.collect()
        if not on_cpu():
            torch.cuda.empty_cache()
        if layout != "packed" and {"packed", layout} <= measured.keys():
            compare(report, name, layout, measured["packed"], measured[layout], thought, answer)
    if "packed" not in measured or len(measured) < 2:
        report.check(
            f"{name}: agreement", False, f"nothing to compare: only {', '.join(measured) or 'nothing'} could run"
        )


def compare(report: Report, name: str, layout: str, ours: Found, theirs: Found, thought: int, answer: int) -> None:
    """Report whether packed rows and another layout agree, and what they cost."""
    limits = LIMITS["float32" if on_cpu() else "bfloat16"]
    differences = apart(ours, theirs, answer)
    report.check(
        f"{name}: packed says what {layout} {'say' if layout == 'rows' else 'rows say'}",
        all(difference <= limits[part] for part, difference in differences.items()),
        "; ".join(f"{part} {difference:.1e} (at most {limits[part]})" for part, difference in differences.items()),
    )
    if thought == SHORT:
        return
    seconds = ", ".join(
        f"{key} {ours.seconds[key]:.3f} of {theirs.seconds[key]:.3f} s ({ours.seconds[key] / theirs.seconds[key]:.2f})"
        for key in ours.seconds
    )
    memory = "" if on_cpu() else f", peak memory {ours.peak:.1f} of {theirs.peak:.1f} GiB"
    attention = "verl's on the CPU" if on_cpu() else plain_attention()
    has_goal = thought == 8000 and layout == "unpadded" and attention == "flash_attention_2"
    goal = f"; goal {GOAL}" if has_goal else ""
    report.figure(f"{name}: cost against {layout} ({attention})", f"{seconds}{memory}{goal}")


def measure(model: Path, layout: str, rows: list, prompt: int, loss: Callable, *overrides: str) -> Found:
    """Log-probs before an update, gradients of two updates, and the seconds of the second.

    The first update's loss is on the answers alone: in one on everything, they are 1 to 9 % of the tokens.
    """
    from verl.workers.utils.padding import response_from_nested

    options = (*overrides, *(() if on_cpu() else ("model.enable_gradient_checkpointing=true",)))
    # Without padding the CPU has them packed with nothing shared; an accelerator has flash attention's own way.
    packs = layout == "packed" or (layout == "unpadded" and on_cpu())
    engine = build_engine(model, "packed" if packs else "rows", *options)  # verl's own default is bf16
    answers = answers_of(rows)
    own = EXIT_PROMPT + sum(answers[0][1]) + 1  # of each exit, once packed
    settings: dict[str, Any] = {
        "prompt_length": prompt,
        "max_token_len_per_gpu": prompt + len(rows[-1][0]) + NUM_EXITS * own,
        "use_remove_padding": layout == "unpadded" and not on_cpu(),
    }
    groups = None if layout == "packed" else range(len(rows))
    found = Found()
    for trained in (answers, rows):
        if not on_cpu():
            torch.cuda.reset_peak_memory_stats()
        batch = batch_of(rows, 1024, groups, **settings)
        with engine.eval_mode():
            found.seconds["old_log_prob"], output = _timed(engine.infer_batch, batch)
        if not found.log_probs:
            log_probs = response_from_nested(output["model_output"]["log_probs"].cpu(), batch["response_mask"])
            found.log_probs = [row.float() for row in log_probs.unbind()]
        batch = batch_of(trained, 1024, groups, found.log_probs, **settings)  # the policy's own: nothing is clipped
        with engine.train_mode():
            found.seconds["update"], updated = _timed(engine.train_batch, batch, loss)
            found.gradients.append(sampled(engine.module))
        found.norms.append(float(updated["metrics"]["grad_norm"]))
    found.peak = 0.0 if on_cpu() else torch.cuda.max_memory_allocated() / 2**30
    return found


def _timed(call: Any, *arguments: Any) -> tuple[float, Any]:
    if not on_cpu():
        torch.cuda.synchronize()
    started = time.perf_counter()
    result = call(*arguments)
    if not on_cpu():
        torch.cuda.synchronize()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    typer.run(main)

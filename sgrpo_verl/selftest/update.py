"""Stage 2: old_log_prob and one update of verl's own FSDP engine, on rows, on rows without padding, and packed.

The same group of eight exits, in layers with the shape of a real model's. All three layouts must agree. Their time and
memory show what the packed layout saves.
"""

import gc
import random
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from sgrpo_verl.selftest.engine import build_engine, build_loss, join_process_group, on_cpu
from sgrpo_verl.selftest.groups import ANSWER, EXIT_PROMPT, NUM_EXITS, PROMPT, batch_of, rows_of
from sgrpo_verl.selftest.progress import Report
from sgrpo_verl.toy.model import write_random_model

LAYOUTS = ("rows", "unpadded", "packed")
SHAPES: dict[str, dict[str, int]] = {
    "Qwen3-0.6B": {"hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "layers": 28},
    "Qwen3-8B": {"hidden_size": 4096, "intermediate_size": 12_288, "num_attention_heads": 32, "layers": 36},
}
KEYS, VOCABULARY, HEAD = 8, 151_936, 128  # of both
SMALL = {"hidden_size": 64, "intermediate_size": 192, "num_attention_heads": 4, "layers": 2}
THOUGHTS, THOUGHTS_ON_CPU = (2000, 8000, 16_000), (60, 300)
GOAL = 0.25  # of the unpadded rows' seconds, at thoughts of 8,000 tokens on one H100
BYTES_A_PARAMETER = 16  # float32 weights and gradients, and AdamW's two moments
# Mean difference of log-probs as a share of their spread, and of the losses as a share of the loss's size.
LIMITS = {"float32": 1e-3, "bfloat16": 0.1}


def main(out: Annotated[Path, typer.Option()], device: Annotated[str, typer.Option()]) -> None:
    """Every shape and length, one engine at a time."""
    report = Report(out)
    with tempfile.TemporaryDirectory() as folder:
        join_process_group(Path(folder, "store"))
        loss = build_loss()
        for shape, sizes in {"a small model": SMALL}.items() if on_cpu() else SHAPES.items():
            model, name = _write(Path(folder, shape.replace(" ", "-")), shape, sizes)
            for thought in THOUGHTS_ON_CPU if on_cpu() else THOUGHTS:
                _compare(report, model, f"{name}, thought of {thought:,}", thought, loss)
        torch.distributed.destroy_process_group()


def _write(folder: Path, shape: str, sizes: dict[str, Any]) -> tuple[Path, str]:
    """Write a random model of this shape, with so many layers that an update takes up to half of the memory."""
    sizes = dict(sizes)
    layers = wanted = sizes.pop("layers")
    keys, vocabulary, head, dtype = 2, 1024, 16, torch.float32
    if not on_cpu():
        keys, vocabulary, head, dtype = KEYS, VOCABULARY, HEAD, torch.bfloat16
        hidden = sizes["hidden_size"]
        of_a_layer = 2 * hidden * head * (sizes["num_attention_heads"] + keys) + 3 * hidden * sizes["intermediate_size"]
        free, _ = torch.cuda.mem_get_info()
        layers = max(1, min(wanted, int((free / 2 / BYTES_A_PARAMETER - vocabulary * hidden) / of_a_layer)))
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


def _compare(report: Report, model: Path, name: str, thought: int, loss: Any) -> None:
    """Agreement, seconds and memory of the three layouts. Running out of memory is a result, not an error."""
    answer = 16 if on_cpu() else ANSWER
    rows = rows_of(True, thought, 1024, random.Random(thought), answer)
    longest = PROMPT + thought + answer + NUM_EXITS * (EXIT_PROMPT + answer + 1)
    measured: dict[str, dict[str, Any]] = {}
    for layout in LAYOUTS:
        report.progress(f"{name}: {layout}")
        try:
            measured[layout] = _measure(model, layout, rows, longest, loss)
        except torch.OutOfMemoryError:
            report.figure(f"{name}: {layout}", "does not fit into memory")
        gc.collect()
        if not on_cpu():
            torch.cuda.empty_cache()
    if "packed" not in measured or len(measured) < 2:
        report.check(
            f"{name}: agreement", False, f"nothing to compare: only {', '.join(measured) or 'nothing'} could run"
        )
        return
    ours = measured["packed"]
    for layout in [layout for layout in ("unpadded", "rows") if layout in measured]:
        theirs = measured[layout]
        limit = LIMITS["float32" if on_cpu() else "bfloat16"]
        spread = theirs["log_probs"].std().clamp(min=1e-6)
        apart = float((ours["log_probs"] - theirs["log_probs"]).abs().mean() / spread)
        losses = abs(ours["loss"] - theirs["loss"]) / max(abs(theirs["loss"]), 0.01)
        report.check(
            f"{name}: packed says what {layout} {'say' if layout == 'rows' else 'rows say'}",
            apart <= limit and losses <= limit,
            f"log-probs {apart:.1e} of their spread apart, loss {losses:.1e} (at most {limit:.0e})",
        )
        seconds = ", ".join(
            f"{key} {ours[key]:.3f} of {theirs[key]:.3f} s ({ours[key] / theirs[key]:.2f})"
            for key in ("old_log_prob", "update")
        )
        memory = "" if on_cpu() else f", peak memory {ours['peak']:.1f} of {theirs['peak']:.1f} GiB"
        goal = f"; goal {GOAL}" if thought == 8000 and layout == "unpadded" else ""
        report.figure(f"{name}: packed against {layout}", f"{seconds}{memory}{goal}")


def _measure(model: Path, layout: str, rows: list, longest: int, loss: Any) -> dict[str, Any]:
    """The second of two old_log_probs and updates."""
    from verl.workers.utils.padding import response_from_nested

    options = () if on_cpu() else ("model.enable_gradient_checkpointing=true",)
    # Without padding the CPU has them packed with nothing shared; an accelerator has flash attention's own way.
    packs = layout == "packed" or (layout == "unpadded" and on_cpu())
    engine = build_engine(model, "packed" if packs else "rows", *options)  # verl's own default is bf16
    settings = {"max_token_len_per_gpu": longest, "use_remove_padding": layout == "unpadded" and not on_cpu()}
    found: dict[str, Any] = {}
    for _ in range(2):
        batch = batch_of(rows, 1024, None if layout == "packed" else range(len(rows)), **settings)
        if not on_cpu():
            torch.cuda.reset_peak_memory_stats()
        with engine.eval_mode():
            found["old_log_prob"], output = _timed(engine.infer_batch, batch)
        with engine.train_mode():
            found["update"], trained = _timed(engine.train_batch, batch, loss)
        mask = batch["response_mask"]  # packed rows ask for no other tokens' log-probs
        log_probs = response_from_nested(output["model_output"]["log_probs"].cpu(), mask).values()
        found.setdefault("log_probs", log_probs[mask.values().bool()].float())
        found.setdefault("loss", float(sum(trained["loss"]) if isinstance(trained["loss"], list) else trained["loss"]))
    found["peak"] = 0.0 if on_cpu() else torch.cuda.max_memory_allocated() / 2**30
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

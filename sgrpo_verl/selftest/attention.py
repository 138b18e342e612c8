"""Stage 1: the packed attention against a dense float32 reference, element by element, forward and gradients.

Each data type, head size and grouping of heads is tried with the others at their usual value, on every group and
length. Beside it stands what attention costs on the same rows, unpacked.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer

from sgrpo_verl.packed import flex
from sgrpo_verl.packed.attention import packed_attention
from sgrpo_verl.selftest.groups import GROUPS, Segments, dense_mask, elements, visible_of
from sgrpo_verl.selftest.progress import Report, said_by

USUAL = (torch.bfloat16, 128, 8, 2)  # data type, head size, heads, key heads
VARIANTS = [
    USUAL,
    (torch.float16, 128, 8, 2),
    (torch.float32, 128, 8, 2),
    *((torch.bfloat16, size, 8, 2) for size in (64, 80, 96)),
    *((torch.bfloat16, 128, heads, keys) for heads, keys in ((4, 4), (7, 1), (6, 2))),
]
QUICK = [USUAL, (torch.bfloat16, 64, 7, 1)]
SHORT: tuple[int, ...] = (1, 127, 128, 129, 1000)  # tokens; every variant takes them, and the usual one the long ones
LONG: tuple[int, ...] = (4096, 17_408)
SHORT_IF_QUICK, LONG_IF_QUICK = (127, 1000), (17_408,)
SHORT_ON_CPU, LONG_ON_CPU = (1, 127, 128, 129), (400,)
CHUNK = 512  # queries of the reference at once
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]  # query, key, value, weights of the output
# Largest error, as a share of the largest value that is right. Rounding gives a third of it; a wrong mask, a whole.
LIMITS = {torch.bfloat16: 0.03, torch.float16: 0.005, torch.float32: 0.003}


def reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, weights: torch.Tensor, segments: Segments
) -> list[torch.Tensor]:
    """Output and gradients of (output · weights) in float32, from the full matrix of scores, in chunks of queries."""
    mask = dense_mask(segments).to(query.device)
    query, key, value = (one.detach().float().requires_grad_() for one in (query, key, value))
    groups = query.shape[1] // key.shape[1]
    outputs = []
    for start in range(0, query.shape[2], CHUNK):
        here = slice(start, start + CHUNK)
        keys, values = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        scores = query[:, :, here] @ keys.transpose(2, 3) * query.shape[-1] ** -0.5
        output = scores.masked_fill(~mask[here], float("-inf")).softmax(-1) @ values
        (output * weights[:, :, here].float()).sum().backward()
        outputs.append(output.detach())
    return [torch.cat(outputs, 2), *_gradients(query, key, value)]


def packed(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, weights: torch.Tensor, segments: Segments
) -> list[torch.Tensor]:
    """The same from the attention that is being tested."""
    query, key, value = (one.detach().requires_grad_() for one in (query, key, value))
    output, _ = packed_attention(torch.nn.Module(), query, key, value, visible_of(segments, query.device))
    output = output.transpose(1, 2)
    (output * weights).sum().backward()
    return [output.detach(), *_gradients(query, key, value)]


def _gradients(*tensors: torch.Tensor) -> list[torch.Tensor]:
    assert all(one.grad is not None for one in tensors)
    return [one.grad for one in tensors if one.grad is not None]


def unpacked(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, weights: torch.Tensor, segments: Segments
) -> None:
    """Plain causal attention of each row of a group by itself, its gradients too."""
    for start, end, prefix_start, prefix_end in segments:
        own = [
            torch.cat([one[:, :, prefix_start:prefix_end], one[:, :, start:end]], 2).detach()
            for one in (query, key, value)
        ]
        inputs = [one.requires_grad_() for one in own]
        output = _causal(*inputs)
        output.sum().backward()


def _causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    try:
        from flash_attn import flash_attn_func
    except ImportError:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    query, key, value = (one.transpose(1, 2) for one in (query, key, value))
    return flash_attn_func(query, key, value, causal=True)


def random_inputs(tokens: int, variant: tuple, device: str) -> Inputs:
    dtype, size, heads, keys = variant
    generator = torch.Generator().manual_seed(tokens)
    shapes = ((heads, tokens), (keys, tokens), (keys, tokens), (heads, tokens))
    return tuple(torch.randn(1, *shape, size, generator=generator).to(device, dtype) for shape in shapes)  # type: ignore[return-value]


def largest_error(ours: list[torch.Tensor], right: list[torch.Tensor]) -> float:
    """Over output and gradients, each relative to its own largest value; nan where anything is no number."""
    if not all(bool(one.isfinite().all()) for one in ours):
        return float("nan")
    floor = 0.01 * max(float(one.abs().max()) for one in right)  # the gradient of a lone token's query is 0
    return max(
        float((one.float() - other).abs().max()) / max(float(other.abs().max()), floor)
        for one, other in zip(ours, right, strict=True)
    )


def main(
    out: Annotated[Path, typer.Option()],
    device: Annotated[str, typer.Option()],
    quick: Annotated[bool, typer.Option("--quick", help="The most telling ones alone.")] = False,
) -> None:
    """Every variant on every group; then the cost of the usual one."""
    report = Report(out)
    short = SHORT_ON_CPU if device == "cpu" else SHORT_IF_QUICK if quick else SHORT
    long = LONG_ON_CPU if device == "cpu" else LONG_IF_QUICK if quick else LONG
    report.progress("block masks")
    masks = [(name, tokens) for name in GROUPS for tokens in (*short, 1000)]
    wrong = [(name, tokens) for name, tokens in masks if not _mask_is_right(GROUPS[name](tokens), device)]
    report.check(
        "block masks, element by element", not wrong, f"{len(masks)} masks, {len(wrong)} wrong {wrong[:3] or ''}"
    )
    for variant in QUICK if quick else VARIANTS:
        _try(report, variant, (*short, *(long if quick or variant == USUAL else ())), device)
    for tokens in long:
        report.progress(f"cost at {tokens} tokens")
        segments = GROUPS["eight exits"](tokens)
        inputs = random_inputs(tokens, (torch.bfloat16 if device != "cpu" else torch.float32, 128, 28, 4), device)
        name = f"cost at {tokens} tokens, 28:4 heads"
        try:
            ours, theirs = (_cost(attend, inputs, segments, device) for attend in (packed, unpacked))
        except Exception as error:
            report.figure(name, f"not measured: {said_by(error)}")
            continue
        report.figure(
            name,
            f"packed {ours[0]:.4f} s, {ours[1]:.2f} GiB; the same rows unpacked {theirs[0]:.4f} s, {theirs[1]:.2f} GiB",
        )


def _try(report: Report, variant: tuple, lengths: tuple[int, ...], device: str) -> None:
    """One variant on every group and length. One that cannot run is one line.

    No run on an accelerator attends in float32, whose kernels do not fit every card: there it is only measured.
    """
    dtype, size, heads, keys = variant
    name = f"{str(dtype).removeprefix('torch.')}, heads of {size}, {heads}:{keys}"
    is_check = dtype != torch.float32 or device == "cpu"
    report.progress(name)
    torch._dynamo.reset()  # a kernel for each variant, as a run has one
    errors = {}
    try:
        for tokens in lengths:
            for group, make in GROUPS.items():
                inputs, segments = random_inputs(tokens, variant, device), make(tokens)
                errors[group, tokens] = largest_error(packed(*inputs, segments), reference(*inputs, segments))
    except Exception as error:
        if is_check:
            report.error(name, error)
        else:
            report.figure(name, f"cannot run here: {said_by(error)}")
        return
    worst = max(errors, key=lambda one: errors[one] if errors[one] == errors[one] else float("inf"))
    figure = f"largest error {errors[worst]:.1e} ({worst[0]}, {worst[1]} tokens); at most {LIMITS[dtype]:.0e}"
    if is_check:
        report.check(name, errors[worst] <= LIMITS[dtype], figure)
    else:
        report.figure(name, figure)


def _mask_is_right(segments: Segments, device: str) -> bool:
    mask = flex.block_mask(visible_of(segments, device), torch.tensor(segments))
    return torch.equal(elements(mask), dense_mask(segments))


def _cost(attend: Callable, inputs: Inputs, segments: Segments, device: str) -> tuple[float, float]:
    """Seconds of the second call, and GiB at the peak (of an accelerator only)."""
    seconds = 0.0
    for _ in range(2):
        if device != "cpu":
            torch.accelerator.synchronize()
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        attend(*inputs, segments)
        if device != "cpu":
            torch.accelerator.synchronize()
        seconds = time.perf_counter() - started
    return seconds, torch.cuda.max_memory_allocated() / 2**30 if device != "cpu" else 0.0


if __name__ == "__main__":
    typer.run(main)

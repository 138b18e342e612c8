"""Do two layouts of the same rows agree? Compares what each exit answers by itself, and gradients."""

from dataclasses import dataclass, field

import torch

SAMPLE = 4096  # elements of each parameter's gradient
EACH, ALL, FULL = "log-probs behind each cut", "log-probs behind all cuts", "log-probs of the full response"
NORM, GRADIENTS = "gradient norm", "gradients"
# Log-probs: mean difference as a share of their spread, as in packed/first_use.py. Gradients: see docs/packed.md.
LIMITS = {
    "float32": dict.fromkeys((EACH, ALL, FULL, NORM, GRADIENTS), 1e-3),
    "bfloat16": {EACH: 0.08, ALL: 0.045, FULL: 0.045, NORM: 0.05, GRADIENTS: 0.1},
}


@dataclass
class Found:
    """What one layout computed of a group, whose full response is its last row."""

    log_probs: list[torch.Tensor] = field(default_factory=list)  # of each row's response, (response length,)
    gradients: list[list[torch.Tensor]] = field(default_factory=list)  # of each update, of each parameter: a sample
    norms: list[float] = field(default_factory=list)  # of each update's gradient
    seconds: dict[str, float] = field(default_factory=dict)
    peak: float = 0.0  # GiB of an accelerator


def sampled(module: torch.nn.Module) -> list[torch.Tensor]:
    """Up to ``SAMPLE`` elements of each parameter's gradient, evenly spaced, float32 on the CPU."""
    gradients = [one.grad for one in module.parameters() if one.grad is not None]
    local = [(one.to_local() if hasattr(one, "to_local") else one).flatten() for one in gradients]
    return [one[:: max(1, len(one) // SAMPLE)].float().cpu() for one in local]


def apart(ours: Found, theirs: Found, answer: int) -> dict[str, float]:
    """How far two layouts are apart, by what is compared; nan where something is no number.

    Args:
        answer: tokens of each exit's answer, which ends its row.
    """
    differences = [(one - other).abs() for one, other in zip(ours.log_probs, theirs.log_probs, strict=True)]
    spread = torch.cat([*(one[-answer:] for one in theirs.log_probs[:-1]), theirs.log_probs[-1]]).std().clamp(min=1e-6)
    behind = torch.stack([one[-answer:].mean() for one in differences[:-1]]) / spread
    norms = torch.tensor([ours.norms, theirs.norms])
    gradients = [_relative(*both) for both in zip(ours.gradients, theirs.gradients, strict=True)]
    return {
        EACH: float(behind.max()),
        ALL: float(behind.mean()),
        FULL: float(differences[-1].mean() / spread),
        NORM: float(((norms[0] - norms[1]).abs() / norms[1]).max()),
        GRADIENTS: float(torch.stack(gradients).max()),
    }


def _relative(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> torch.Tensor:
    """Mean over the parameters of their samples' distance, as a share of the right one's length."""
    shares = [(one - other).norm() / other.norm().clamp(min=1e-12) for one, other in zip(ours, theirs, strict=True)]
    return torch.stack(shares).mean()

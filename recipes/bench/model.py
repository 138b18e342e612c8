"""A Qwen3 with random weights, whose thoughts have a long tail: every token is as likely as any other.

So a thought of the sampled policy ends at each token with probability 1 / VOCABULARY_SIZE: its length is geometric.
"""

from pathlib import Path
from typing import Any

from sgrpo_verl.workbench.model import write_random_model
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.tokenizer import build_tokenizer

VOCABULARY_SIZE = 1024  # and so the mean thought, in tokens
MAX_POSITIONS = 16_384
S_GRPO = (
    "+sgrpo=paper",
    "algorithm.sgrpo.answer_length=128",
    "algorithm.sgrpo.think_end='</none>'",  # never sampled: the whole response is the thought
    "algorithm.sgrpo.exit_prompt='Time is limited, stop thinking and start answering. </none>'",
)
# What verl offers to leave old_log_prob out: the rollout's own log-probs are taken for it.
BYPASS = "algorithm.rollout_correction.bypass_mode=true"


def write_model(folder: Path, **shape: Any) -> Path:
    """4 layers, 256 wide, 3.4 million parameters, fp32, with a tokenizer; unless ``shape`` says otherwise."""
    tokenizer = build_tokenizer(TASKS["sums"])
    tokenizer.add_tokens([f"<{number}>" for number in range(VOCABULARY_SIZE - len(tokenizer))])
    tokenizer.model_max_length = MAX_POSITIONS
    bench: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 768, "head_dim": 64}
    return write_random_model(folder, tokenizer, **(bench | shape))


def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: dict | None = None) -> float:
    """verl's reward function: random weights are never right, so half of all answers are called so."""
    return float(len(solution_str) % 2)

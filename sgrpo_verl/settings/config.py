"""S-GRPO's settings (``algorithm.sgrpo.*``): their defaults, and the checks of each on its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from sgrpo_verl.algorithm.decay import get_reward_schedule
from sgrpo_verl.algorithm.steps import STEPS
from sgrpo_verl.hooks.table import MANAGER
from sgrpo_verl.settings.checks import as_dict, is_number, require_int, require_one_of, setting_error
from sgrpo_verl.settings.escapes import miswritten, shown

AGENT_LOOP_MANAGER = f"{MANAGER}.SerialGroupManager"
SINGLE_TURN_AGENT = "single_turn_agent"
THINK_START = "<think>"
THINK_END = "</think>"
EXIT_PROMPT = f"Time is limited, stop thinking and start answering.\n{THINK_END}\n\n"
LAYOUTS = ("rows", "packed", "auto")
DEFAULT_NUM_EXITS = 8
DEFAULT_ANSWER_LENGTH = 1024


@dataclass(frozen=True)
class SGRPOConfig:
    """Every setting of S-GRPO. Lengths are in tokens.

    Raises:
        ValueError: a value is impossible on its own; the message names the setting, the value and what would be right.
    """

    num_exits: int = DEFAULT_NUM_EXITS  # m, the early exits of a prompt
    reward: str = "decay"  # schedule: decay, all_one, shortest_one or a registered one
    decay_base: float = 2.0  # the 2 in 1 / 2^(N_right − 1)
    exit_prompt: str = EXIT_PROMPT  # put after the cut thought
    think_start: str = THINK_START  # what opens a thought, where the model writes it; empty: nothing does
    think_end: str = THINK_END  # what closes a thought
    exit_sampling: str = "uniform"  # uniform, even, or at the ends of steps: lines, sentences or markers
    step_markers: Sequence[str] = ("Wait",)  # words that begin a new step, for exit_sampling=markers
    answer_length: int = DEFAULT_ANSWER_LENGTH  # most tokens of an early exit's answer
    cut_answers: str = "scored"  # what an answer is that a limit on the length ended: scored like any other, or wrong
    train_exit_prompt: bool = False  # whether the inserted tokens are trained on, as if they had been sampled
    train_closing_tag: bool = False  # whether the tag that closes an early exit's thought is trained on
    closing_tag_weight: float = 1.0  # of the tag's tokens, relative to a sampled token
    closing_tag_floor: float = 0.0  # a wrong exit does not lower the tag's probability below this
    score: str = "answer"  # what the reward function sees: answer or response
    correct_threshold: float = 0.5  # a score above this is correct
    norm_adv_by_std: bool = False  # divide by the group's standard deviation
    layout: str = "rows"  # rows: as verl has them; packed: the actor computes what rows share once; auto: where it can

    def __post_init__(self) -> None:
        require_int("num_exits", self.num_exits)
        require_int("answer_length", self.answer_length)
        get_reward_schedule(self.reward)
        if not is_number(self.decay_base) or self.decay_base <= 1:
            raise setting_error(
                "decay_base",
                self.decay_base,
                "must be a finite number above 1, so that later exits get less (2 in the paper)",
            )
        if not isinstance(self.think_end, str) or not self.think_end.strip():
            raise setting_error(
                "think_end", self.think_end, f"must be the text that closes a thought, such as {THINK_END!r}"
            )
        if not isinstance(self.think_start, str):
            raise setting_error(
                "think_start", self.think_start, f"must be the text that opens a thought, such as {THINK_START!r}"
            )
        for name in ("think_end", "think_start", "exit_prompt"):
            if isinstance(text := getattr(self, name), str) and (why := miswritten(text)):
                raise setting_error(name, text, why)
        if not isinstance(self.exit_prompt, str) or self.think_end not in self.exit_prompt:
            raise setting_error("exit_prompt", self.exit_prompt, f"must contain think_end ({shown(self.think_end)})")
        if self.think_start == self.think_end:
            raise setting_error(
                "think_start", self.think_start, "must differ from think_end; empty, if nothing opens a thought"
            )
        require_one_of("exit_sampling", self.exit_sampling, ("uniform", "even", *STEPS))
        markers = self.step_markers
        if isinstance(markers, str) or not markers or not all(isinstance(one, str) and one for one in markers):
            raise setting_error("step_markers", markers, "must be a list of words, such as [Wait,Alternatively]")
        object.__setattr__(self, "step_markers", tuple(markers))  # OmegaConf has lists
        require_one_of("layout", self.layout, LAYOUTS)
        require_one_of("score", self.score, ("answer", "response"))
        require_one_of("cut_answers", self.cut_answers, ("scored", "wrong"))
        require_one_of("train_exit_prompt", self.train_exit_prompt, (True, False))
        require_one_of("norm_adv_by_std", self.norm_adv_by_std, (True, False))
        self._check_closing_tag()
        if not is_number(self.correct_threshold):
            raise setting_error("correct_threshold", self.correct_threshold, "must be a finite number")

    def _check_closing_tag(self) -> None:
        require_one_of("train_closing_tag", self.train_closing_tag, (True, False))
        if not is_number(self.closing_tag_weight) or not 0 < self.closing_tag_weight < math.inf:
            raise setting_error(
                "closing_tag_weight", self.closing_tag_weight, "must be a number above 0 (1: as any token)"
            )
        if not is_number(self.closing_tag_floor) or not 0 <= self.closing_tag_floor < 1:
            raise setting_error(
                "closing_tag_floor", self.closing_tag_floor, "must be a probability, at least 0 and below 1"
            )
        if not self.train_closing_tag:
            return
        if self.train_exit_prompt:
            raise setting_error(
                "train_closing_tag", True, "with train_exit_prompt=true: the tag is a part of the exit prompt"
            )
        if words := self.exit_prompt.partition(self.think_end)[0].strip():
            raise setting_error(
                "train_closing_tag",
                True,
                f"with an exit_prompt that has words before the tag ({shown(words)}): the policy would learn to end "
                f"its thought after these words, which it does not write by itself; let exit_prompt begin with "
                f"{shown(self.think_end)}",
            )

    @classmethod
    def of(cls, config: DictConfig) -> "SGRPOConfig":
        """The settings of a verl config that ``complete`` went over."""
        return cls(**as_dict(config.algorithm.sgrpo))

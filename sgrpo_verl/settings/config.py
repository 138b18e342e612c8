"""S-GRPO's settings (``algorithm.sgrpo.*``): defaults, checks, and how they complete a verl config in the driver.

``complete`` runs inside verl's ``validate_config``, before Ray is started or a model is loaded. It never overwrites
what the user set. Contradictions raise one ValueError. It returns what it filled in, so that this can be printed.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from sgrpo_verl.algorithm.decay import get_reward_schedule
from sgrpo_verl.algorithm.steps import STEPS
from sgrpo_verl.hooks.table import COMPLETED, MANAGER
from sgrpo_verl.packed.settings import choose_packed_attention, why_not_packed
from sgrpo_verl.settings.escapes import miswritten, shown

AGENT_LOOP_MANAGER = f"{MANAGER}.SerialGroupManager"
SINGLE_TURN_AGENT = "single_turn_agent"
THINK_START = "<think>"
THINK_END = "</think>"
EXIT_PROMPT = f"Time is limited, stop thinking and start answering.\n{THINK_END}\n\n"
LAYOUTS = ("rows", "packed", "auto")
REWARD_PHRASE = "reward.custom_reward_function.reward_kwargs.think_end"
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
        _require_int("num_exits", self.num_exits)
        _require_int("answer_length", self.answer_length)
        get_reward_schedule(self.reward)
        if not _is_number(self.decay_base) or self.decay_base <= 1:
            raise _error(
                "decay_base",
                self.decay_base,
                "must be a finite number above 1, so that later exits get less (2 in the paper)",
            )
        if not isinstance(self.think_end, str) or not self.think_end.strip():
            raise _error("think_end", self.think_end, f"must be the text that closes a thought, such as {THINK_END!r}")
        if not isinstance(self.think_start, str):
            raise _error(
                "think_start", self.think_start, f"must be the text that opens a thought, such as {THINK_START!r}"
            )
        for name in ("think_end", "think_start", "exit_prompt"):
            if isinstance(text := getattr(self, name), str) and (why := miswritten(text)):
                raise _error(name, text, why)
        if not isinstance(self.exit_prompt, str) or self.think_end not in self.exit_prompt:
            raise _error("exit_prompt", self.exit_prompt, f"must contain think_end ({shown(self.think_end)})")
        if self.think_start == self.think_end:
            raise _error(
                "think_start", self.think_start, "must differ from think_end; empty, if nothing opens a thought"
            )
        _require_one_of("exit_sampling", self.exit_sampling, ("uniform", "even", *STEPS))
        markers = self.step_markers
        if isinstance(markers, str) or not markers or not all(isinstance(one, str) and one for one in markers):
            raise _error("step_markers", markers, "must be a list of words, such as [Wait,Alternatively]")
        object.__setattr__(self, "step_markers", tuple(markers))  # OmegaConf has lists
        _require_one_of("layout", self.layout, LAYOUTS)
        _require_one_of("score", self.score, ("answer", "response"))
        _require_one_of("cut_answers", self.cut_answers, ("scored", "wrong"))
        _require_one_of("train_exit_prompt", self.train_exit_prompt, (True, False))
        _require_one_of("norm_adv_by_std", self.norm_adv_by_std, (True, False))
        self._check_closing_tag()
        if not _is_number(self.correct_threshold):
            raise _error("correct_threshold", self.correct_threshold, "must be a finite number")

    def _check_closing_tag(self) -> None:
        _require_one_of("train_closing_tag", self.train_closing_tag, (True, False))
        if not _is_number(self.closing_tag_weight) or not 0 < self.closing_tag_weight < math.inf:
            raise _error("closing_tag_weight", self.closing_tag_weight, "must be a number above 0 (1: as any token)")
        if not _is_number(self.closing_tag_floor) or not 0 <= self.closing_tag_floor < 1:
            raise _error("closing_tag_floor", self.closing_tag_floor, "must be a probability, at least 0 and below 1")
        if not self.train_closing_tag:
            return
        if self.train_exit_prompt:
            raise _error("train_closing_tag", True, "with train_exit_prompt=true: the tag is a part of the exit prompt")
        if words := self.exit_prompt.partition(self.think_end)[0].strip():
            raise _error(
                "train_closing_tag",
                True,
                f"with an exit_prompt that has words before the tag ({shown(words)}): the policy would learn to end "
                f"its thought after these words, which it does not write by itself; let exit_prompt begin with "
                f"{shown(self.think_end)}",
            )

    @classmethod
    def of(cls, config: DictConfig) -> "SGRPOConfig":
        """The settings of a verl config that ``complete`` went over."""
        return cls(**_as_dict(config.algorithm.sgrpo))


def complete(config: DictConfig) -> dict[str, Any]:
    """Check and complete, in place, a verl config whose ``algorithm.adv_estimator`` is ``sgrpo``.

    Returns:
        What was filled in, by its full name.

    Raises:
        ValueError: a setting is impossible, unknown, or contradicts another.
    """
    user_set = _user_settings(config)
    rollout = config.actor_rollout_ref.rollout
    filled: dict[str, Any] = {}

    _require_count("actor_rollout_ref.rollout.n", rollout.n, "num_exits + 1 rows, or 1 for the default")
    _require_count("data.max_response_length", rollout.response_length, "the most tokens of a response")
    num_exits = _num_exits(user_set, rollout.n)
    settings = SGRPOConfig(
        **{"answer_length": _default_answer_length(rollout.response_length), **user_set, "num_exits": num_exits}
    )
    _check_room(settings, rollout.response_length, rollout.max_model_len)
    _check_verl_settings(config, settings)
    if settings.layout != "rows":
        settings, filled["algorithm.sgrpo.layout"] = _choose_layout(config, settings)

    with open_dict(config):
        if rollout.n != num_exits + 1:
            rollout.n = filled["actor_rollout_ref.rollout.n"] = num_exits + 1
        if not rollout.agent.get("agent_loop_manager_class"):
            rollout.agent.agent_loop_manager_class = AGENT_LOOP_MANAGER
            filled["actor_rollout_ref.rollout.agent.agent_loop_manager_class"] = AGENT_LOOP_MANAGER
        config.algorithm.sgrpo = dataclasses.asdict(settings)
        config.algorithm[COMPLETED] = True
    if settings.layout == "packed":
        filled |= choose_packed_attention(config)
    filled.update(
        {
            f"algorithm.sgrpo.{name}": value
            for name, value in dataclasses.asdict(settings).items()
            if name not in user_set
        }
    )
    return {name: value for name, value in filled.items() if value is not None}


def _choose_layout(config: DictConfig, settings: SGRPOConfig) -> tuple[SGRPOConfig, str | None]:
    """Choose packed where it is possible or required; for ``auto``, also say what was chosen and why.

    Raises:
        ValueError: ``layout=packed`` with a setting that packed rows do not work with.
    """
    why = why_not_packed(config, settings.num_exits + 1)
    if settings.layout == "packed":
        if why:
            raise ValueError(f"algorithm.sgrpo.layout=packed with {why}, or layout=rows")
        return settings, None
    chosen = "rows" if why else "packed"
    return dataclasses.replace(settings, layout=chosen), f"{chosen} (auto: {why or 'nothing is in its way'})"


def _user_settings(config: DictConfig) -> dict[str, Any]:
    node = config.algorithm.get("sgrpo")
    if node is not None and not isinstance(node, DictConfig):
        raise ValueError(
            f"algorithm.sgrpo={node!r} must be settings of S-GRPO, such as +algorithm.sgrpo.num_exits=8; the config "
            "groups are chosen with +sgrpo=paper"
        )
    user_set = _as_dict(node) if node else {}
    known = [field.name for field in dataclasses.fields(SGRPOConfig)]
    for name, value in user_set.items():
        if name not in known:
            raise _error(name, value, f"is not a setting of S-GRPO; they are: {', '.join(known)}")
    return {name: value for name, value in user_set.items() if value is not None}


def _as_dict(node: DictConfig) -> dict[str, Any]:
    return {str(name): value for name, value in OmegaConf.to_container(node, resolve=True).items()}  # type: ignore[union-attr]


def _require_count(name: str, value: Any, what: str) -> None:
    """A setting of verl's that everything else is reckoned from."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={'null' if value is None else value}: must be a whole number of at least 1, {what}")


def _num_exits(user_set: dict[str, Any], rollout_n: int) -> int:
    """rollout.n is the number of rows of a prompt, num_exits + 1. verl's default of 1 means that it was not set."""
    if "num_exits" not in user_set:
        return DEFAULT_NUM_EXITS if rollout_n == 1 else rollout_n - 1
    num_exits = user_set["num_exits"]
    _require_int("num_exits", num_exits)
    if rollout_n not in (1, num_exits + 1):
        raise ValueError(
            f"algorithm.sgrpo.num_exits={num_exits} and actor_rollout_ref.rollout.n={rollout_n} contradict each other: "
            f"a prompt has num_exits + 1 rows, so set rollout.n={num_exits + 1} or leave one of the two out"
        )
    return num_exits


def _default_answer_length(response_length: int) -> int:
    """1024, or a quarter of the response if that is shorter, so that there is room for the thought."""
    return min(DEFAULT_ANSWER_LENGTH, max(1, response_length // 4))


def _check_room(settings: SGRPOConfig, response_length: int, max_model_len: int | None) -> None:
    """At least one token of thought and one of exit prompt; the worker checks again with the tokenizer."""
    lengths = {"data.max_response_length": response_length, "actor_rollout_ref.rollout.max_model_len": max_model_len}
    for name, length in lengths.items():
        if length is not None and settings.answer_length + 2 > length:
            raise _error(
                "answer_length",
                settings.answer_length,
                f"leaves no room for a thought in {name}={length}: make it smaller",
            )


def doubtful(config: DictConfig) -> list[str]:
    """A sentence for each setting of verl's that works, and is most likely not what is wanted with S-GRPO."""
    doubts = []
    groups = config.algorithm.get("filter_groups")
    if groups is not None and groups.get("enable", False) and groups.get("metric") not in (None, "reward"):
        doubts.append(
            f"algorithm.filter_groups.metric={groups.metric}: groups are left out by something else than S-GRPO's "
            "reward. acc, for one, leaves out those whose rows are all correct, which teach most; set it to reward"
        )
    actor = config.actor_rollout_ref.actor
    if actor.loss_agg_mode == "seq-mean-token-sum-norm" and actor.get("loss_scale_factor") is None:
        doubts.append(
            "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm without loss_scale_factor: verl then "
            "divides a row's loss by the longest response of its micro-batch, so an early exit weighs less beside a "
            "long response than beside another exit; set actor_rollout_ref.actor.loss_scale_factor="
            f"{config.data.max_response_length}"
        )
    penalized = OmegaConf.select(config, "reward.reward_kwargs.overlong_buffer_cfg.enable", default=False)
    if penalized and OmegaConf.select(config, "reward.reward_manager.name") == "dapo":
        doubts.append(
            "reward.reward_kwargs.overlong_buffer_cfg.enable=true: S-GRPO asks only whether a row is right, so DAPO's "
            "penalty for long responses has no effect, or makes a right row wrong; set it to false. For answers that "
            "reach their limit there is algorithm.sgrpo.cut_answers=wrong"
        )
    settings = config.algorithm.get("sgrpo") or {}
    if settings.get("score") == "response" and not settings.get("think_start"):
        doubts.append(
            "algorithm.sgrpo.score=response with think_start='': the reward function sees the thought, too, so an "
            "early exit can be right by what its thought says. score=answer gives it the answer, from think_end on"
        )
    phrase, closing = OmegaConf.select(config, REWARD_PHRASE), settings.get("think_end")
    if phrase is not None and closing is not None and phrase != closing:
        doubts.append(
            f"{REWARD_PHRASE}={shown(str(phrase))} and algorithm.sgrpo.think_end={shown(closing)} differ: the reward "
            "function would look for the answer elsewhere than S-GRPO does; set both alike"
        )
    for name in ("closing_tag_weight", "closing_tag_floor"):
        unused = settings.get(name) in (None, getattr(SGRPOConfig, name))
        if not settings.get("train_closing_tag") and not unused:
            doubts.append(
                f"algorithm.sgrpo.{name}={settings[name]} has no effect: the closing tag is trained only with "
                "algorithm.sgrpo.train_closing_tag=true"
            )
    return doubts


def _check_verl_settings(config: DictConfig, settings: SGRPOConfig) -> None:
    """Check the settings of verl that S-GRPO cannot work with."""
    rollout = config.actor_rollout_ref.rollout
    for section in ("rollout", "async_training"):  # of verl's experimental one-step-off and fully-async trainers
        if section in config:
            raise ValueError(
                f"{section}.* is a section of another trainer's config: S-GRPO needs verl's own, "
                "python -m verl.trainer.main_ppo; for asynchronous training set trainer.v1.trainer_mode"
            )
    if not config.trainer.use_v1:
        raise ValueError("trainer.use_v1=false: S-GRPO needs verl's V1 trainer, so leave trainer.use_v1 at true")
    manager = rollout.agent.get("agent_loop_manager_class")
    if manager not in (None, "", AGENT_LOOP_MANAGER):
        raise ValueError(
            f"actor_rollout_ref.rollout.agent.agent_loop_manager_class={manager}: S-GRPO brings its own "
            "rollout, so leave it out"
        )
    if rollout.agent.default_agent_loop != SINGLE_TURN_AGENT:
        raise ValueError(
            f"actor_rollout_ref.rollout.agent.default_agent_loop={rollout.agent.default_agent_loop}: S-GRPO cuts the "
            f"thought of a single turn, so it must be {SINGLE_TURN_AGENT} (rows that name another are left to verl)"
        )
    if rollout.multi_turn.enable:
        raise ValueError(
            "actor_rollout_ref.rollout.multi_turn.enable=true: S-GRPO cuts the thought of a single turn; set it to "
            "false (rows that name another agent are left to verl)"
        )
    phrase = OmegaConf.select(config, REWARD_PHRASE)
    if isinstance(phrase, str) and (why := miswritten(phrase)):
        raise ValueError(f"{REWARD_PHRASE}={shown(phrase)} {why}")
    model = config.actor_rollout_ref.model
    if not model.get("lora_adapter_path") and (Path(str(model.path)) / "lora_adapter").is_dir():
        raise ValueError(
            f"actor_rollout_ref.model.path={model.path} holds a LoRA adapter beside the weights of its base, as verl's "
            "merger leaves it, and verl loads the base alone: set actor_rollout_ref.model.lora_adapter_path="
            f"{model.path}/lora_adapter, or train on the folder merged_model that `sgrpo eval` makes"
        )
    reward_model = config.reward.reward_model
    if reward_model.enable and not reward_model.enable_resource_pool:
        raise ValueError(
            "reward.reward_model.enable=true without a resource pool: a colocated reward model scores after rollout, "
            "too late for S-GRPO; set reward.reward_model.enable_resource_pool=true or use a reward function"
        )
    if OmegaConf.select(config, "distillation.enabled", default=False):
        raise ValueError(
            "distillation.enabled=true: S-GRPO has no teacher log-probs for its early exits; set it to false"
        )
    if rollout.get("enable_rollout_routing_replay", False):
        raise ValueError(
            "actor_rollout_ref.rollout.enable_rollout_routing_replay=true: S-GRPO does not record expert routing for "
            "its early exits; set it to false"
        )
    correction = config.algorithm.get("rollout_correction") or {}
    for name in ("train_exit_prompt", "train_closing_tag"):
        if getattr(settings, name) and (
            corrects := [key for key in ("bypass_mode", "rollout_is", "rollout_rs") if correction.get(key)]
        ):
            raise ValueError(
                f"algorithm.sgrpo.{name}=true with algorithm.rollout_correction.{corrects[0]}="
                f"{correction[corrects[0]]}: inserted tokens were not sampled and have no rollout log-probs to correct "
                "with; switch one of the two off"
            )


def _error(name: str, value: Any, what: str) -> ValueError:
    return ValueError(f"algorithm.sgrpo.{name}={shown(value) if isinstance(value, str) else repr(value)} {what}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _require_int(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _error(name, value, "must be a whole number of at least 1")


def _require_one_of(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise _error(name, value, f"must be one of {', '.join(str(choice) for choice in choices)}")

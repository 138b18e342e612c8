"""``sgrpo/*`` training metrics, from the notes that the rollout left in each row's TransferQueue tag."""

import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from inspect import BoundArguments
from statistics import mean
from typing import Any

from sgrpo_verl.hooks.early_stop import ENOUGH, known_of, never_stops, stopped_early
from sgrpo_verl.hooks.install import logger
from sgrpo_verl.settings.config import SINGLE_TURN_AGENT
from sgrpo_verl.settings.escapes import shown

TAG = "sgrpo"  # key of a row's notes in its tag
ENDINGS, ENDING = 3, 40  # responses whose ends are shown, and the characters of each
OFTEN = 0.1  # share of early exits that are rewarded although their answer did not end
DUMPED = ("exit_index", "exit_position", "thought_length", "correct")  # of the notes, in trainer.rollout_data_dir


def row_notes(
    *,
    exit_index: int | None,
    exit_position: int | None,
    kept: int | None,
    closing_end: int | None,
    thought_length: int,
    response_length: int,
    closed: bool,
    answer_length: int,
    answer_cut: bool,
    cached_share: float | None,
    correct: bool,
    reward: float,
    started: float,
    finished: float,
) -> dict[str, Any]:
    """The notes in a row's tag. Lengths and positions are in tokens, times in seconds.

    ``exit_index`` counts the exits of a group from 1 and ``exit_position`` is P_i; ``kept`` is how much of the full
    response an exit's row starts with, P_i and what opens the thought. The tokens from there to ``closing_end`` close
    the thought; it is None where words are inserted before the tag. All are None for the full response.
    ``answer_cut``: a limit ended the answer or, of the full response, the response.
    ``cached_share`` is the part of an exit's prompt that the server had in its prefix cache, None where it is not told.
    """
    return dict(locals())


def group_notes(
    rewards: Sequence[float], correct: Sequence[bool], positions: Sequence[int], generated_tokens: int
) -> dict[str, Any]:
    """Notes about a whole group, in its full response's tag.

    Args:
        rewards: of its rows in exit order, as are the following.
        correct: whether each row's answer is correct.
        positions: P_i of each row, and n for the full response.
        generated_tokens: of full response and answers.
    """
    return {
        "first_right": next((position for position, right in zip(positions, correct, strict=True) if right), None),
        "num_right": sum(correct),
        "zero_advantage": len(set(rewards)) == 1,
        "num_rows": len(rewards),
        "generated_tokens": generated_tokens,
    }


def notes_of(tag: dict[str, Any]) -> dict[str, Any] | None:
    """A row's notes. None for rows outside serial groups, and for padding, whose tag verl copies from another row."""
    return None if tag.get("is_padding", False) else tag.get(TAG)


def serial_group_metrics(tags: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Means over the rows of a batch; rows without notes are ignored."""
    rows = [notes for tag in tags if (notes := notes_of(tag))]
    full = [row for row in rows if row["exit_position"] is None]
    exits = [row for row in rows if row["exit_position"] is not None]
    if not full:
        return {}
    metrics = {
        "sgrpo/groups": float(len(full)),
        "sgrpo/accuracy/full": mean(row["correct"] for row in full),
        "sgrpo/reward/mean": mean(row["reward"] for row in rows),
        "sgrpo/num_right/mean": mean(row["num_right"] for row in full),
        "sgrpo/zero_advantage": mean(row["zero_advantage"] for row in full),
        "sgrpo/thought_length/mean": mean(row["thought_length"] for row in full),
        "sgrpo/response_length/full": mean(row["response_length"] for row in full),
        "sgrpo/response_cut": mean(row["answer_cut"] for row in full),
        "sgrpo/num_exits/mean": len(exits) / len(full),
        "sgrpo/thought_closed": mean(row["closed"] for row in full),
        "sgrpo/no_thought": mean(row["thought_length"] == 0 for row in full),
        "sgrpo/no_exits": mean(row["thought_length"] > 0 and row["num_rows"] == 1 for row in full),
        # GRPO of the same size would have sampled each row of a group whole.
        "sgrpo/generated_tokens": float(sum(row["generated_tokens"] for row in full)),
        "sgrpo/generated_tokens_grpo": float(sum(row["num_rows"] * row["response_length"] for row in full)),
    }
    if exits:
        metrics |= {
            "sgrpo/accuracy/exits": mean(row["correct"] for row in exits),
            "sgrpo/exit_position/share": mean(row["exit_position"] / row["thought_length"] for row in exits),
            "sgrpo/answer_length/mean": mean(row["answer_length"] for row in exits),
            "sgrpo/answer_cut": mean(row["answer_cut"] for row in exits),
            "sgrpo/answer_cut_correct": mean(row["answer_cut"] and row["correct"] for row in exits),
            **_accuracy_by_exit(exits),
        }
    if first_right := [row["first_right"] / row["thought_length"] for row in full if row["first_right"]]:
        metrics["sgrpo/exit_position/first_right"] = mean(first_right)
    if known := known_of(full):
        metrics["sgrpo/early_stop"] = stopped_early(known)
    if cached := [row["cached_share"] for row in exits if row["cached_share"] is not None]:
        metrics["sgrpo/prefix_cache_hit"] = mean(cached)
    return metrics


def outside_groups(tags: Sequence[dict[str, Any]], agents: Collection[str] | None) -> str | None:
    """A warning for a first step with rows that belong to no serial group; None if there are none.

    Args:
        tags: of the step's rows.
        agents: that the training data name; None if they cannot be told.

    Raises:
        ValueError: no row belongs to one, and none of the training data ever will.
    """
    rows = [tag for tag in tags if not tag.get("is_padding", False)]
    without = sum(notes_of(tag) is None for tag in rows)
    why = f"rows of the dataset whose agent_name is not {SINGLE_TURN_AGENT} are left to verl, without early exits"
    if without == len(rows) and agents and SINGLE_TURN_AGENT not in agents:
        raise ValueError(
            f"data.train_files: all rows name another agent (agent_name={', '.join(sorted(agents))}), and {why}. So "
            f"this is not S-GRPO; remove the column, or set it to {SINGLE_TURN_AGENT}"
        )
    return f"{without} of the first step's {len(rows)} rows belong to no serial group: {why}" if without else None


def nothing_to_cut(metrics: dict[str, float], config: Any) -> str | None:
    """A warning for a run that learns nothing because most responses have no thought; None if they have one."""
    without = metrics.get("sgrpo/no_thought", 0.0)
    if without <= 0.5:
        return None
    settings = config.algorithm.sgrpo
    return (
        f"{without:.0%} of the first step's responses have no thought: their groups are the full response alone, and "
        "teach nothing. Either the chat template switches thinking off (see data.apply_chat_template_kwargs, such as "
        f"enable_thinking=false), or the model writes its thoughts otherwise than algorithm.sgrpo.think_start="
        f"{shown(settings.think_start)} and think_end={shown(settings.think_end)} say"
    )


def never_closed(metrics: dict[str, float], settings: Any, endings: Callable[[], Sequence[str]]) -> str | None:
    """A warning for a run in which no response closes its thought; None if one does.

    Args:
        metrics: of the first step.
        settings: of the run, with ``think_end`` and ``score``.
        endings: gives the last characters of some full responses.
    """
    if metrics.get("sgrpo/thought_closed") != 0.0:
        return None
    wrong = (
        "A full response without it has no answer and counts as wrong, so nothing but early exits is rewarded. "
        if settings.score == "answer"
        else ""
    )
    return (
        f"none of the first step's {metrics['sgrpo/groups']:.0f} full responses closes its thought: "
        f"algorithm.sgrpo.think_end={shown(settings.think_end)} is in none of them. {wrong}"
        "Either the model closes its thoughts otherwise, or data.max_response_length cuts them off "
        "(sgrpo/response_cut). The responses end with "
        f"{', '.join(map(shown, endings()))}"
    )


def no_room_for_exits(metrics: dict[str, float]) -> str | None:
    """A warning for a step in which thoughts had no early exits; None if each had some."""
    without = metrics.get("sgrpo/no_exits", 0.0)
    if not without:
        return None
    return (
        f"{without:.0%} of the step's groups have a thought and no early exits, and teach nothing: prompt, exit prompt "
        "and answer_length leave no room in data.max_response_length or in the model's context, or the thought has no "
        "end of a step where algorithm.sgrpo.exit_sampling asks for one. sgrpo/no_exits counts them from now on. Make "
        "algorithm.sgrpo.answer_length smaller or the context larger (actor_rollout_ref.rollout.max_model_len), or "
        "choose another exit_sampling"
    )


def rewarded_without_end(metrics: dict[str, float], answer_length: int) -> str | None:
    """A warning for a step in which many answers were rewarded that did not end; None if there were few.

    With ``cut_answers=wrong`` no such answer is correct.
    """
    share = metrics.get("sgrpo/answer_cut_correct", 0.0)
    if share < OFTEN:
        return None
    return (
        f"{share:.0%} of the step's early exits are correct although their answer was cut at "
        f"algorithm.sgrpo.answer_length={answer_length}. Nothing teaches the model to end its answers then, and it may "
        "unlearn to. If answers need more tokens, make answer_length larger; if the model goes on after its answer, "
        "set algorithm.sgrpo.cut_answers=wrong. sgrpo/answer_cut_correct counts them from now on"
    )


def check_metrics(reward_workers: Sequence[Any]) -> dict[str, float]:
    """How many answer comparisons in verl's reward workers timed out or lost their process since the run started.

    Both count as wrong answers. Empty if ``sgrpo_verl.correctness`` is not the reward function. Under verl's ``remote``
    reward manager, its processes keep counts of their own, which are not visible here.
    """
    import ray

    seen = [one for one in ray.get([worker.__ray_call__.remote(_checks_seen) for worker in reward_workers]) if one]
    return {f"sgrpo/checks_{name}": float(sum(one[name] for one in seen)) for name in ("overran", "lost") if seen}


def _checks_seen(reward_worker: Any) -> dict[str, int] | None:
    """In a reward worker's process."""
    checker = sys.modules.get("sgrpo_verl.answers.checker")
    return checker.seen() if checker else None


def _accuracy_by_exit(exits: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Accuracy of the first exit of each group, the second, and so on."""
    by_index: dict[int, list[bool]] = defaultdict(list)
    for row in exits:
        by_index[row["exit_index"]].append(row["correct"])
    return {f"sgrpo/accuracy/exit_{index}": mean(correct) for index, correct in sorted(by_index.items())}


def dumped_columns(keys: Sequence[str], notes: dict[str, dict[str, Any] | None]) -> dict[str, list[Any]]:
    """Columns for verl's dump of a step's rows, in the order of ``keys``; None for a row without notes."""
    return {column: [(notes.get(key) or {}).get(column) for key in keys] for column in DUMPED}


def add_metrics(wrapped: Callable, trainer: Any, call: BoundArguments) -> Any:
    """Hook: verl's trainers, in each of their modes, compute a step's metrics in ``PPOTrainer._compute_metrics``."""
    result = wrapped(*call.args, **call.kwargs)
    batch, metrics = call.arguments["batch"], call.arguments["metrics"]
    ours = serial_group_metrics(batch.tags)
    if not hasattr(trainer, "_sgrpo_notes"):  # the first step that this process sees
        settings, endings = trainer.config.algorithm.sgrpo, partial(_endings, trainer, batch)
        for warning in (
            outside_groups(batch.tags, _agents_of(trainer.train_dataset)),
            nothing_to_cut(ours, trainer.config),
            never_closed(ours, settings, endings),
        ):
            if warning:
                logger.warning(warning)
    answer_length = trainer.config.algorithm.sgrpo.answer_length
    said = trainer.__dict__.setdefault("_sgrpo_said", set())  # once a run
    for kind, warning in (
        ("no room", no_room_for_exits(ours)),
        ("no end", rewarded_without_end(ours, answer_length)),
    ):
        if warning and kind not in said:
            logger.warning(warning)
            said.add(kind)
    _warn_where_no_thought_stops(trainer, batch.tags)
    metrics.update(ours)
    metrics.update(check_metrics(trainer.get_reward_handles() or []))
    trainer._sgrpo_notes = {key: notes_of(tag) for key, tag in zip(batch.keys, batch.tags, strict=True)}
    return result


def _agents_of(dataset: Any) -> set[str] | None:
    """The agents that a dataset names, if it is verl's own."""
    rows: Any = getattr(dataset, "dataframe", None)
    return set(rows["agent_name"]) if "agent_name" in getattr(rows, "column_names", ()) else None


def _endings(trainer: Any, batch: Any) -> list[str]:
    """The last characters of some full responses of a batch."""
    import transfer_queue as tq

    full = [
        key
        for key, tag in zip(batch.keys, batch.tags, strict=True)
        if (notes := notes_of(tag)) and notes["exit_position"] is None
    ]
    rows = tq.kv_batch_get(keys=full[:ENDINGS], partition_id=batch.partition_id, select_fields=["responses"])
    return [trainer.tokenizer.decode(row)[-ENDING:] for row in rows["responses"].unbind()]


def _warn_where_no_thought_stops(trainer: Any, tags: Sequence[dict[str, Any]]) -> None:
    """Once a run, as soon as there are enough responses to tell."""
    known = trainer.__dict__.setdefault("_sgrpo_known", [])
    if trainer.config.algorithm.sgrpo.train_closing_tag or len(known) >= ENOUGH:
        return
    known += known_of([notes for tag in tags if (notes := notes_of(tag)) and notes["exit_position"] is None])
    if warning := never_stops(known, trainer.config.algorithm.sgrpo.think_end):
        logger.warning(warning)


def add_columns(wrapped: Callable, trainer: Any, call: BoundArguments) -> Any:
    """Hook: verl dumps text and scores of a step's rows (``trainer.rollout_data_dir``); tags say which exit each is."""
    notes = getattr(trainer, "_sgrpo_notes", None)
    if notes is not None and call.arguments["dump_path"] == trainer.config.trainer.get("rollout_data_dir"):
        columns = call.arguments["reward_extra_infos_dict"]
        call.arguments["reward_extra_infos_dict"] = {**columns, **dumped_columns(columns["uid"], notes)}
    return wrapped(*call.args, **call.kwargs)

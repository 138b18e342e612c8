"""``sgrpo show``: prints one serial group of a training step from verl's dump, in readable form.

verl writes the dump where ``trainer.rollout_data_dir`` says, a JSONL file a step.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sgrpo_verl.algorithm.serial_group import opens_answer
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.report import print_whole
from sgrpo_verl.files import read_lines
from sgrpo_verl.settings.escapes import shown

Row = dict[str, Any]
SHOWN = ("input", "output", "gts", "score", "step", "exit_index", "exit_position", "thought_length", "correct", "uid")


def read_groups(dump: Path) -> dict[str, list[Row]]:
    """The serial groups of a dump by prompt id; rows in exit order, with the full response last.

    Raises:
        UserError: no such file, no serial group in it, or a damaged row.
    """
    if not dump.is_file():
        raise UserError(f"{dump}: no such file; trainer.rollout_data_dir=FOLDER makes FOLDER/STEP.jsonl")
    groups: dict[str, list[Row]] = defaultdict(list)
    for number, row in enumerate(read_lines(dump), start=1):
        if row.get("thought_length") is not None:
            if any(key not in row for key in SHOWN) or not re.fullmatch(r".*_\d+_\d+", row["uid"]):
                needs = f"it must have {', '.join(SHOWN)}, and the last must end in _SESSION_ROW"
                raise UserError(f"{dump}, line {number}: is no row of a step of S-GRPO; {needs}")
            prompt, _, _ = row["uid"].rsplit("_", 2)
            groups[prompt].append(row)
    if not groups:
        raise UserError(f"{dump}: holds no serial group; it is not the dump of a step of S-GRPO")
    return {prompt: sorted(rows, key=lambda row: int(row["uid"].rsplit("_", 1)[1])) for prompt, rows in groups.items()}


def show(dump: Path, number: int, exit_prompt: str, think_end: str, console: Console) -> None:
    """Print group ``number`` (from 1): the thought with its exits marked in it, and each row's answer and reward.

    Raises:
        UserError: the dump, the number or a text is wrong; raised before anything is printed.
    """
    if not think_end:
        raise UserError("--think-end '': must be the run's algorithm.sgrpo.think_end, which is never empty")
    groups = list(read_groups(dump).values())
    if not 1 <= number <= len(groups):
        raise UserError(f"--group {number}: {dump} has groups 1 to {len(groups)}")
    rows = groups[number - 1]
    *exits, full = rows
    if full["exit_index"] is not None:
        raise UserError(
            f"--group {number}: {dump} lacks its full response, so the file is not whole; show another group"
        )
    marks = [split_exit(row["output"], exit_prompt, think_end) for row in exits]
    console.rule(Text(f"group {number} of {len(groups)}, step {full['step']}, ground truth {full['gts']}"))
    console.print(Text(full["input"].strip(), style="bold"))
    opening = think_end if opens_answer(think_end) else ""  # of every answer
    words = exit_prompt.partition(think_end)[2]  # an early exit's answer goes on from these
    thought, closed, answer = full["output"].partition(think_end)
    console.print(_marked(thought, marks))
    table = Table("", "position", "answer", "", "reward")
    for row, (_, own) in zip(exits, marks, strict=True):
        share = row["exit_position"] / row["thought_length"]
        table.add_row(
            f"[{row['exit_index']}]", f"{row['exit_position']} ({share:.0%})", *_cells(row, opening + words + own)
        )
    table.add_row("full", f"{full['thought_length']}", *_cells(full, f"{opening if closed else ''}{answer}"))
    print_whole(console, table)


def split_exit(output: str, exit_prompt: str, think_end: str) -> tuple[str, str]:
    """The cut thought and the answer of an exit's text.

    verl leaves special tokens out of its dump, so a ``think_end`` that is one is missing from the exit prompt there.
    """
    for inserted in (exit_prompt, exit_prompt.replace(think_end, "")):
        if inserted and inserted in output:
            # A cut thought holds no think_end, an answer may.
            thought, _, answer = output.partition(inserted) if think_end in inserted else output.rpartition(inserted)
            return thought, answer
    raise UserError(
        f"--exit-prompt {shown(exit_prompt)}: is not in the dump; give the run's algorithm.sgrpo.exit_prompt"
    )


def _marked(thought: str, exits: list[tuple[str, str]]) -> Text:
    """The thought with [i] where exit i was cut."""
    text, start = Text(), 0
    for index, (cut, _) in enumerate(exits, start=1):
        text.append(thought[start : len(cut)])
        text.append(f"[{index}]", style="bold magenta")
        start = len(cut)
    text.append(thought[start:])
    return text


def _cells(row: Row, answer: str) -> tuple[Text, Text, str]:
    verdict = Text("right", style="green") if row["correct"] else Text("wrong", style="red")
    return Text(" ".join(answer.split())), verdict, f"{row['score']:g}"

"""How far a long task is: a bar in a terminal; lines where there is none, as in a log file, CI or a container."""

import math
import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 30
SECONDS_OF_SPEED = 1800  # time left is judged by these last ones: steps are long


class Bars(Progress):
    """rich's bars: description, bar, count, time taken and time left; all of it fits into a terminal of 80 columns.

    Where the console is no terminal, rich would print the bar once, at its end. Here a line follows every half minute
    in which something was done, ``42 %: DESCRIPTION, about 3 min left``, and one at the end.
    """

    def __init__(self, console: Console, count: bool = True) -> None:
        """``count``: show the task's completed and total; not where its description already does."""
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn()]
        columns += [MofNCompleteColumn()] if count else []
        columns += [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
        in_lines = not console.is_terminal
        super().__init__(
            *columns,
            console=console,
            disable=in_lines,
            speed_estimate_period=SECONDS_OF_SPEED,
            get_time=time.monotonic,
        )
        self.in_lines, self.said_at, self.said = in_lines, self.get_time(), 0.0

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As rich's own."""
        super().update(task_id, **changes)
        task = next(one for one in self.tasks if one.id == task_id)
        if not self.in_lines or task.completed == self.said:
            return
        if task.finished or self.get_time() - self.said_at >= SECONDS_BETWEEN_LINES:
            self.said_at, self.said = self.get_time(), task.completed
            self.console.print(line(task), markup=False, highlight=False, soft_wrap=True)


def line(task: Task) -> str:
    """How far a task is, in words."""
    if task.finished:
        return f"{task.description}, {task.elapsed or 0:.0f} s"
    left = task.time_remaining
    return f"{task.percentage:.0f} %: {task.description}" + (f", about {math.ceil(left / 60)} min left" if left else "")

"""The progress bar of an evaluation. It counts tokens, because a job that has not ended is not a job not begun."""

import time
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from rich.console import Console

from sgrpo_verl.eval.jobs import Answering
from sgrpo_verl.progress import Bars

SECONDS_BETWEEN_UPDATES = 0.5


def expected_tokens(
    ended: Sequence[int], running: Sequence[int], waiting: int, most: int | None = None
) -> float | None:
    """How many tokens are still to come; None as long as no job has ended.

    The mean of the jobs that have ended would be too small, since short ones end first. Kaplan and Meier's estimate of
    the distribution of lengths counts a running job for what it is: longer than it is now. Beyond the longest length
    seen, every token is taken to be equally likely to be the last.

    Args:
        ended: tokens of each job that has ended.
        running: tokens so far of each job under way.
        waiting: jobs that have not begun.
        most: tokens that a job can have, where that is known.
    """
    if not ended:
        return None
    lengths = np.array([*ended, *running], dtype=np.float64)
    has_ended = np.repeat([True, False], [len(ended), len(running)])
    order = np.lexsort((~has_ended, lengths))  # of equal lengths, those that have ended first
    lengths, has_ended = lengths[order], has_ended[order]
    longer = np.cumprod(1 - has_ended / np.arange(len(lengths), 0, -1))  # P(length > lengths[i])
    tail = longer[-1] * lengths.sum() / len(ended)
    # E[max(0, length - lengths[i])]: the area under the curve from there on.
    beyond = np.append(np.cumsum((longer[:-1] * np.diff(lengths))[::-1])[::-1], 0.0) + tail
    mean = lengths[0] + beyond[0]
    left = float((beyond[~has_ended] / longer[~has_ended]).sum() + waiting * mean)
    return left if most is None else min(left, (len(running) + waiting) * most - sum(running))


class TokenProgress:
    """Shows how far a benchmark is: jobs that have ended, tokens a second, time taken and time left."""

    def __init__(self, name: str, jobs: int, engine: Answering, console: Console, most: int | None = None):
        """``most``: tokens that a job can have, where that is known."""
        self._name, self._jobs, self._engine, self._most = name, jobs, engine, most
        self._before = engine.generated_tokens
        self._ended: list[int] = []
        self._updated = 0.0
        self._bars = Bars(console, count=False)
        self._bar = self._bars.add_task(name, total=None)

    def job_ended(self) -> None:
        """One more job has ended; call it before the engine takes the next step."""
        self._ended.append(self._engine.last_job_tokens)

    def update(self, at_once: bool = False) -> None:
        """After a step of the engine; shows something new twice a second."""
        now = time.monotonic()
        if now - self._updated < SECONDS_BETWEEN_UPDATES and not at_once:
            return
        self._updated = now
        running = self._engine.tokens_so_far()
        left = expected_tokens(self._ended, running, self._jobs - len(self._ended) - len(running), self._most)
        done = self._engine.generated_tokens - self._before + sum(self._engine.under_way.values())
        [task] = self._bars.tasks
        task.total = None if left is None else done + left  # given to update, rich would forget the speed so far
        described = f"{self._name} {len(self._ended)}/{self._jobs}"
        if task.speed:
            described += f", {task.speed:,.0f} tokens/s"
        self._bars.update(self._bar, completed=done, description=described)

    def __enter__(self) -> "TokenProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.update(at_once=True)
        self._bars.stop()

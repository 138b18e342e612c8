"""Watches our rollout from the trainer's process: ends a run that cannot continue, and counts the prompts that fail.

verl does neither. Its trainer waits for rows, for ever if the worker that should deliver them has died, or if every
prompt fails and is replaced by another. In sync mode it takes a prompt that failed for one that has ended, so that the
rows of a dead engine's last few prompts become the batch.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import BoundArguments
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from sgrpo_verl.hooks.install import logger
from sgrpo_verl.rollout.engine_failure import is_engine_dead, reason

FAILURES = 32  # sessions, and as many as have run at once: verl's async trainers draw another prompt for each
SECONDS = 60  # to wait for a worker's report before the others go on without it


class RolloutFailed(RuntimeError):
    """The run ends, because its rollout cannot continue."""


@dataclass
class Report:
    """What has become of sessions: of one worker's since it was last asked, or of all workers'."""

    failed: int = 0
    succeeded: int = 0
    last_failure: str = ""
    lost: str = ""  # why it cannot continue at all: an actor that it needs has died
    failed_in_training: int = 0  # of the failed ones, those that no validation asked for
    running: int = 0  # at the time of the report


class Watch:
    """The workers of a rollout, and what they reported. Workers are Ray actors with a method ``report``."""

    def __init__(self, workers: Sequence[Any]):
        self.workers = workers
        self.asked: dict[int, Any] = {}  # reports that have not come yet, by the worker's number
        self.failed_since_success = self.most_running = 0  # the latter also since a success
        self.seen = Report()  # since ``taken``
        self.failed_in_training = 0  # since a training batch was last taken; a validation may come in between

    def look(self) -> None:
        """Ask every worker. A session is counted before verl can see that it ended, if its worker answers in time.

        Raises:
            RolloutFailed: a worker has died or cannot continue, or too many sessions have failed and none succeeded.
        """
        reports = self._reports()
        if lost := next((report.lost for report in reports if report.lost), ""):
            raise RolloutFailed(f"the rollout cannot continue: {lost}")
        failed, succeeded = sum(report.failed for report in reports), sum(report.succeeded for report in reports)
        if succeeded:
            self.failed_since_success = self.most_running = 0
        else:
            self.failed_since_success += failed
        self.most_running = max(self.most_running, sum(report.running for report in reports))
        last = next((report.last_failure for report in reports if report.last_failure), self.seen.last_failure)
        self.failed_in_training += sum(report.failed_in_training for report in reports)
        self.seen = Report(
            failed=self.seen.failed + failed, succeeded=self.seen.succeeded + succeeded, last_failure=last
        )
        # Failures come first where thoughts are long, and a worker that has not answered may know of a success.
        if len(reports) == len(self.workers) and self.failed_since_success >= FAILURES + self.most_running:
            raise RolloutFailed(
                f"the rollout cannot continue: {self.failed_since_success} prompts in a row have failed, the last with "
                f"{last}"
            )

    def _reports(self) -> list[Report]:
        """Of the workers that answer; one that does not is asked no second time until it has."""
        for number, worker in enumerate(self.workers):
            if number not in self.asked:
                self.asked[number] = worker.report.remote()
        ready, late = ray.wait(list(self.asked.values()), num_returns=len(self.asked), timeout=SECONDS)
        if late:
            logger.warning(
                "%d of %d agent-loop workers have not answered for %d s", len(late), len(self.workers), SECONDS
            )
        reports = []
        for number, answer in list(self.asked.items()):
            if answer in ready:
                del self.asked[number]
                try:
                    reports.append(ray.get(answer))
                except ActorUnavailableError as error:  # the network, for a moment; Ray says so itself
                    logger.warning("an agent-loop worker could not be asked: %s", error)
                except RayActorError as error:
                    raise RolloutFailed(f"the rollout cannot continue: {error}") from error
        return reports

    def taken(self) -> Report:
        """What was reported since the last call."""
        seen, self.seen = self.seen, Report()
        return seen


_watch: Watch | None = None  # of this process's rollout


def watch(workers: Sequence[Any]) -> None:
    """Watch these workers from now on, and no others."""
    global _watch
    _watch = Watch(workers)


def check_before_wait(wrapped: Callable, replay_buffer: Any, call: BoundArguments) -> Any:
    """Hook: verl's trainer polls for rows and checks nothing else; this is where it waits for them."""
    if _watch is not None:
        _watch.look()
    return wrapped(*call.args, **call.kwargs)


def check_sample(wrapped: Callable, replay_buffer: Any, call: BoundArguments) -> Any:
    """Hook: verl's trainer leaves with a batch, or without one, whatever has happened since its last poll."""
    try:
        result = wrapped(*call.args, **call.kwargs)
    except RolloutFailed:
        raise
    except Exception as error:
        if _watch is not None:
            _watch.look()
            raise_with_failures(_watch.taken(), error)
        raise
    if _watch is None:
        return result
    _watch.look()
    seen, (batch, metrics) = _watch.taken(), result
    if not batch.keys:
        raise_with_failures(seen, RuntimeError("there is no row to go on with."))
    if seen.failed:
        logger.warning(
            "%d of %d prompts failed and are left out, the last with %s",
            *(seen.failed, seen.failed + seen.succeeded, seen.last_failure),
        )
    if call.arguments["partition_id"] == "train":
        # By its name, verl adds it up over a step of several batches.
        metrics["sgrpo/failed_prompts/sum"] = float(_watch.failed_in_training)
        _watch.failed_in_training = 0
    return result


def raise_with_failures(seen: Report, error: Exception) -> None:
    """Raise ``error`` with the last failure, if there was one."""
    if seen.failed and not seen.succeeded:
        raise RolloutFailed(
            f"the rollout cannot continue: all {seen.failed} prompts have failed, the last with {seen.last_failure}"
        ) from error
    if seen.failed:
        raise RolloutFailed(
            f"the rollout cannot continue: {error} {seen.failed} of {seen.failed + seen.succeeded} prompts have "
            f"failed, the last with {seen.last_failure}"
        ) from error


def name_dead_engine(wrapped: Callable, trainer: Any, call: BoundArguments) -> Any:
    """Hook: the trainer itself calls the engine between two rollouts, and is told no more than that it is dead."""
    try:
        return wrapped(*call.args, **call.kwargs)
    except Exception as error:
        if not is_engine_dead(error):
            raise
        raise RolloutFailed(f"the run cannot continue: vLLM's engine died: {asyncio.run(reason(error))}") from error

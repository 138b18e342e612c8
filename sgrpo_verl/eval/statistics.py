"""Means over problems and benchmarks, with confidence intervals from a bootstrap over problems."""

from collections.abc import Callable, Sequence

import numpy as np

from sgrpo_verl.errors import UserError

RESAMPLES = 10_000
CONFIDENCE = 0.95
Statistic = Callable[..., np.ndarray]


def interval(statistic: Statistic, sizes: Sequence[int], seed: int = 0) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a statistic; problems are resampled with replacement within each benchmark.

    None if a benchmark has a single problem, because its spread is then unknown, or if the statistic is not finite in
    every resample.

    Args:
        statistic: of one index array for each benchmark, int64, (resamples, problems); gives (resamples,). A paired
            comparison looks both runs up under the same indices.
        sizes: problems of each benchmark.
        seed: of the draws.
    """
    if min(sizes) < 2:
        return None
    try:
        from scipy.stats import bootstrap
    except ImportError as error:
        raise UserError("confidence intervals need scipy: pip install 'sgrpo-verl[eval]'") from error

    finite: list[bool] = []

    def of_draws(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        values = statistic(*drawn)
        finite.append(bool(np.isfinite(values).all()))
        return values if finite[-1] else np.zeros_like(values)

    result = bootstrap(
        [np.arange(size) for size in sizes],
        of_draws,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    if not all(finite):
        return None
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def mean(values: Sequence[np.ndarray]) -> Statistic:
    """Mean over benchmarks of the mean over problems; ``values`` has one float64 array a benchmark, (problems,)."""

    def statistic(*drawn: np.ndarray) -> np.ndarray:
        means = [value[indices].mean(axis=-1) for value, indices in zip(values, drawn, strict=True)]
        return np.mean(means, axis=0)

    return statistic


def difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Statistic:
    """Paired: mean(ours) − mean(theirs) on the same problems."""
    return mean([one - other for one, other in zip(ours, theirs, strict=True)])


def relative_change(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Statistic:
    """Paired: mean(ours) / mean(theirs) − 1 on the same problems; not finite where theirs is 0."""

    def statistic(*drawn: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return mean(ours)(*drawn) / mean(theirs)(*drawn) - 1

    return statistic


def whole(statistic: Statistic, sizes: Sequence[int]) -> float:
    """The statistic of the problems themselves, without resampling."""
    return float(statistic(*(np.arange(size) for size in sizes)))

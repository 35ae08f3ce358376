"""Model-free statistics: AUROC with ties, clustered bootstrap, permutation, exact intervals.

Everything is vectorised over leading axes, takes a seed and knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit
from scipy.stats import beta, norm, rankdata

from empathy_mi.errors import InputError

Array = np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the point estimate.
        low: lower end of the interval.
        high: upper end of the interval.
        n: number of independent units (pairs, texts, rows).
        level: confidence level.
    """

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def columns(self, name: str) -> dict[str, float]:
        """The entries of a table's row: the value as `name`, its ends as `_low` and `_high`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}

    def __str__(self) -> str:
        if self.low != self.low:
            return f"{self.value:.3f} (no interval, N = {self.n})"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (N = {self.n})"


def generator(seed: int, *labels: object) -> np.random.Generator:
    """A generator derived from (seed, labels): the same labels always give the same draws.

    Raises:
        InputError: the seed is not a whole number of 0 or more.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
        raise InputError(f"seed is {seed!r}: give a whole number, 0 or more.")
    words = "\x1f".join(map(str, labels)).encode()
    return np.random.default_rng([seed, *words])


def auroc(
    positive: Float[Array, "... p"], negative: Float[Array, "... q"]
) -> Float[Array, "..."] | float:
    """P(positive > negative) + P(positive = negative) / 2, over the last axis.

    Source: the Mann-Whitney statistic.

    Args:
        positive: scores of the positive class.
        negative: scores of the negative class.

    Returns:
        The AUROC, in [0, 1]; 0.5 is chance. A float when both inputs are one-dimensional.

    Raises:
        InputError: a class is empty or a score is not a number.
    """
    positive, negative = np.asarray(positive, float), np.asarray(negative, float)
    p, q = positive.shape[-1], negative.shape[-1]
    if p == 0 or q == 0:
        raise InputError(
            f"AUROC needs scores of both classes, got {p} positive and {q} negative: "
            "add texts of the missing class."
        )
    lead = np.broadcast_shapes(positive.shape[:-1], negative.shape[:-1])
    scores = np.concatenate(
        [np.broadcast_to(positive, (*lead, p)), np.broadcast_to(negative, (*lead, q))], axis=-1
    )
    if np.isnan(scores).any():
        raise InputError("AUROC needs numbers, got NaN among the scores: check the activations.")
    ranks = rankdata(scores, axis=-1)[..., :p].sum(-1)
    value = (ranks - p * (p + 1) / 2) / (p * q)
    return float(value) if value.ndim == 0 else value


def d_prime(
    positive: Float[Array, "... p"], negative: Float[Array, "... q"]
) -> Float[Array, "..."]:
    """Separation of the class means over the pooled standard deviation (0 spread gives inf)."""
    spread = np.sqrt((_variance(positive) + _variance(negative)) / 2)
    gap = np.mean(positive, -1) - np.mean(negative, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / spread)


def _variance(x: Float[Array, "... n"]) -> Float[Array, "..."]:
    x = np.asarray(x, float)
    return np.var(x, axis=-1, ddof=1) if x.shape[-1] > 1 else np.zeros(x.shape[:-1])


def bootstrap_indices(
    strata: Sequence[object], *, samples: int, seed: int
) -> Int[Array, "samples unit"]:
    """Resamples of units with replacement, drawn within each stratum.

    A unit is what was drawn independently (a contrastive pair, not one of its two texts).

    Plain draws of m units from a stratum of m understate the variance of its mean by the factor
    (m - 1) / m, which is a third with three pairs a scenario (Rao and Wu 1988). Therefore the last
    of them repeats another one with probability m / (2 (m - 1)): the variance is then right, for
    every m of 2 or more, and every stratum keeps its size.
    """
    labels = np.asarray([str(s) for s in strata])
    draw = generator(seed, "bootstrap")
    index = np.empty((samples, len(labels)), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        m = len(members)
        drawn = draw.choice(members, size=(samples, m))
        if m > 1:
            repeats = np.flatnonzero(draw.random(samples) < m / (2 * (m - 1)))
            drawn[repeats, -1] = drawn[repeats, draw.integers(0, m - 1, len(repeats))]
        index[:, members] = drawn
    return index


def shuffles_within(
    strata: Sequence[object], count: int, draw: np.random.Generator
) -> Int[Array, "draw unit"]:
    """Orders of the units in which each stays in its stratum."""
    labels = np.asarray([str(s) for s in strata])
    orders = np.tile(np.arange(len(labels)), (count, 1))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        orders[:, members] = draw.permuted(orders[:, members], axis=1)
    return orders


def bootstrap(
    statistic: Callable[[Int[Array, "samples unit"]], Float[Array, "samples"]],
    strata: Sequence[object],
    *,
    samples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Percentile bootstrap of a statistic of resampled units, stratified.

    Where every stratum holds a single unit there is nothing to resample: the interval is NaN
    rather than one of width 0.

    Args:
        statistic: maps index arrays [samples, unit] to values [samples].
        strata: the stratum of each unit (its scenario).
        samples: number of resamples.
        seed: seed of the resamples.
        level: confidence level.
    """
    n = len(strata)
    value, values = _resampled(statistic, strata, samples, seed)
    if values is None:
        return Estimate(value, float("nan"), float("nan"), n, level)
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail]) if len(values) else (value, value)
    return Estimate(value, float(low), float(high), n, level)


def bootstrap_probability(
    statistic: Callable[[Int[Array, "samples unit"]], Float[Array, "samples"]],
    strata: Sequence[object],
    *,
    samples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Interval of a statistic that is a probability: an AUROC, or a share of texts.

    Near 0 and 1 percentiles of resamples lie too close together, and at 1 all of them are 1.
    Here the standard error of the resamples is carried to the logit scale, where the interval is
    symmetric (Qin and Hotilovac 2008, for the AUROC). At 0 and 1 it is the exact one of n units
    that agree without exception (`proportion`), which for an AUROC errs on the wide side.
    `analyses/interval_coverage.md` tells how often these intervals hold the truth.

    Args and the interval of strata with single units: as in `bootstrap`.
    """
    n, tail = len(strata), (1 - level) / 2
    value, values = _resampled(statistic, strata, samples, seed)
    if values is None:
        return Estimate(value, float("nan"), float("nan"), n, level)
    if value in (0.0, 1.0):
        return proportion(n * int(value), n, level)
    spread = norm.ppf(1 - tail) * values.std() / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-spread, spread]))
    return Estimate(value, float(low), float(high), n, level)


def _resampled(
    statistic: Callable[[Int[Array, "samples unit"]], Float[Array, "samples"]],
    strata: Sequence[object],
    samples: int,
    seed: int,
) -> tuple[float, Float[Array, "finite"] | None]:
    """The statistic, and its finite values in resamples; None where every stratum is one unit."""
    n = len(strata)
    value = float(statistic(np.arange(n)[None])[0])
    if len({str(stratum) for stratum in strata}) == n:
        return value, None
    values = statistic(bootstrap_indices(strata, samples=samples, seed=seed))
    return value, values[np.isfinite(values)]


def wins(
    positive: Float[Array, "pair"], negative: Float[Array, "pair"]
) -> Float[Array, "pair pair"]:
    """1 where a positive score lies above a negative one, 1/2 for ties: the mean is the AUROC."""
    return np.asarray((np.sign(positive[:, None] - negative) + 1) / 2)


def mean_wins(
    crossings: Float[Array, "pair pair"],
) -> Callable[[Int[Array, "samples pair"]], Float[Array, "samples"]]:
    """The mean of `wins` over resampled pairs, whose two scores come together: the AUROC.

    Resampling weights rows and columns alike, so that nothing is ranked anew.
    """
    n = len(crossings)

    def mean(index: Int[Array, "samples pair"]) -> Float[Array, "samples"]:
        places = index + n * np.arange(len(index))[:, None]
        counts = np.bincount(places.ravel(), minlength=n * len(index)).reshape(-1, n)
        return np.asarray(((counts @ crossings) * counts).sum(-1) / n**2)

    return mean


def bootstrap_auroc(
    crossings: Float[Array, "pair pair"],
    strata: Sequence[object],
    *,
    samples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The AUROC of `wins`, or of their mean over readers, as in `bootstrap_probability`."""
    return bootstrap_probability(mean_wins(crossings), strata, samples=samples, seed=seed)


def bootstrap_wins(
    crossings: Float[Array, "pair pair"],
    strata: Sequence[object],
    *,
    samples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap of the mean of `wins`, or of their difference."""
    return bootstrap(mean_wins(crossings), strata, samples=samples, seed=seed)


def proportion(successes: int, n: int, level: float = 0.95) -> Estimate:
    """A share with its exact (Clopper-Pearson) interval; n = 0 gives NaN in [0, 1].

    Raises:
        InputError: there are more successes than trials, or fewer than none.
    """
    if not 0 <= successes <= n:
        raise InputError(f"{successes} successes in {n} trials: count again.")
    if n == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0, level)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(beta.ppf(1 - tail, successes + 1, n - successes))
    return Estimate(successes / n, low, high, n, level)


def permutation_p(observed: float, null: Float[Array, "draws"]) -> float:
    """One-sided p with the plus-one rule: (1 + #{null >= observed}) / (1 + draws).

    Source: Phipson and Smyth (2010). It is never 0.

    Raises:
        InputError: a value is NaN, which no comparison counts, so that p would be too small.
    """
    null = np.asarray(null, float)
    if np.isnan(observed) or np.isnan(null).any():
        raise InputError(
            f"p needs numbers, got {observed:g} observed and {int(np.isnan(null).sum())} NaN among "
            f"{len(null)} draws: check the activations and scores."
        )
    return float((1 + np.sum(null >= observed - 1e-12)) / (1 + len(null)))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of p-values, in the given order."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = running
    return [float(value) for value in adjusted]

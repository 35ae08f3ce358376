"""Do raters agree? Krippendorff's alpha with missing ratings. No model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from empathy_mi import stats
from empathy_mi.answers import AnswerText
from empathy_mi.errors import InputError
from empathy_mi.ratings import as_matrix
from empathy_mi.stats import Array, Estimate

Level = Literal["nominal", "ordinal", "interval"]
LEVELS = ("nominal", "ordinal", "interval")


def krippendorff_alpha(
    ratings: Float[Array, "rater unit"],
    level: Level = "ordinal",
    *,
    strata: Sequence[object] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Agreement of any number of raters, any of whom may have left units out.

    1 is perfect agreement, 0 what raters who draw from the pooled ratings would reach; below 0 is
    systematic disagreement. Source: Krippendorff (2011), Computing Krippendorff's
    Alpha-Reliability.

    Args:
        ratings: numbers, NaN where a rater gave none.
        level: whether values that differ are just different ("nominal"), are apart by the ratings
            that lie between them ("ordinal"), or by their difference ("interval").
        strata: the stratum (scenario) of each unit, for the bootstrap; None means one for all.
        resamples: bootstrap resamples of the units that two raters or more rated.
        seed: seed of the bootstrap.

    Returns:
        Alpha with a percentile interval; N counts the units that two raters or more rated.

    Raises:
        InputError: the level is unknown, no unit has two ratings, or all ratings are the same.
    """
    ratings = np.asarray(ratings, float)
    if level not in LEVELS:
        raise InputError(f"unknown level {level!r}: use {', '.join(map(repr, LEVELS))}.")
    if ratings.ndim != 2:
        raise InputError(f"the ratings have shape {ratings.shape}: give [rater, unit].")
    kept = np.flatnonzero((~np.isnan(ratings)).sum(0) >= 2)
    if not len(kept):
        raise InputError(
            "no answer was scored by two raters: agreement needs scores of the same answers."
        )
    values = np.unique(ratings[:, kept][~np.isnan(ratings[:, kept])])
    if len(values) < 2:
        raise InputError(
            f"every score is {values[0]:g}: alpha is not defined where nothing varies; let the "
            "raters score answers that differ."
        )
    coincidences = _coincidences(ratings[:, kept], values)
    labels = ["all"] * ratings.shape[1] if strata is None else list(strata)
    return stats.bootstrap(
        lambda index: _alpha(coincidences[index].sum(1), values, level),
        [labels[unit] for unit in kept],
        samples=resamples,
        seed=seed,
    )


def _coincidences(
    ratings: Float[Array, "rater unit"], values: Float[Array, "value"]
) -> Float[Array, "unit value value"]:
    """Pairs of ratings within each unit, each weighted by 1 over the raters less one."""
    counts = (ratings[..., None] == values).sum(0).astype(float)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(values))
    weighted: np.ndarray = pairs / (counts.sum(1) - 1)[:, None, None]
    return weighted


def _alpha(
    coincidences: Float[Array, "... value value"], values: Float[Array, "value"], level: Level
) -> Float[Array, "..."]:
    count = coincidences.sum(-1)
    n = count.sum(-1)
    if level == "nominal":
        distance = 1 - np.eye(len(values))
    else:
        place = values if level == "interval" else np.cumsum(count, -1) - count / 2
        distance = (place[..., :, None] - place[..., None, :]) ** 2
    observed = (coincidences * distance).sum((-1, -2))
    expected = (count[..., :, None] * count[..., None, :] * distance).sum((-1, -2))
    ratio: np.ndarray = np.divide(
        (n - 1) * observed, expected, out=np.full_like(observed, np.nan), where=expected > 0
    )
    return 1 - ratio


@dataclass(frozen=True)
class RaterAgreement:
    """How well raters agree on the same answers.

    Attributes:
        alpha: Krippendorff's alpha with a bootstrap interval over answers, within scenarios.
        level: of measurement.
        pairs: by two raters, the share of answers that both scored to which both gave the same
            score, with its exact interval.
        counts: number of scores by rater.
        seed: seed of the bootstrap.
    """

    alpha: Estimate
    level: Level
    pairs: Mapping[tuple[str, str], Estimate]
    counts: Mapping[str, int]
    seed: int

    def to_frame(self) -> pd.DataFrame:
        """One row for alpha, and one for each two raters."""
        rows: list[dict[str, object]] = [
            {"measure": f"alpha ({self.level})", "raters": ", ".join(self.counts),
             **self.alpha.columns("value"), "n": self.alpha.n}
        ]  # fmt: skip
        for raters, share in self.pairs.items():
            rows.append(
                {"measure": "same score", "raters": ", ".join(raters), **share.columns("value"),
                 "n": share.n}
            )  # fmt: skip
        frame: pd.DataFrame = pd.DataFrame(rows)
        return frame

    def __str__(self) -> str:
        lines = [
            f"Krippendorff's alpha ({self.level}): {self.alpha}; N counts answers with two scores "
            "or more"
        ]
        lines += [f"scores by {rater}: {count}" for rater, count in self.counts.items()]
        lines += [f"same score, {a} and {b}: {share}" for (a, b), share in self.pairs.items()]
        return "\n".join(lines)


def rater_agreement(
    scores: Mapping[str, Mapping[str, int]],
    answers: Sequence[AnswerText],
    *,
    level: Level = "ordinal",
    resamples: int = 2000,
    seed: int = 0,
) -> RaterAgreement:
    """Agreement of raters on answers.

    Args:
        scores: what `latest` gives: rater -> answer -> score.
        answers: the answers.
        level: as in `krippendorff_alpha`.
        resamples: bootstrap resamples of the answers, within scenarios.
        seed: seed of the bootstrap.

    Raises:
        InputError: there are fewer than two raters, or as in `krippendorff_alpha`.
    """
    if len(scores) < 2:
        there = ", ".join(map(repr, scores)) or "nobody"
        raise InputError(
            f"there are scores by {there} only: agreement needs two raters, each with --rater."
        )
    matrix = as_matrix(scores, answers)
    strata = [answer.scenario for answer in answers]
    alpha = krippendorff_alpha(matrix, level, strata=strata, resamples=resamples, seed=seed)
    pairs = {}
    for (i, first), (j, second) in combinations(enumerate(scores), 2):
        both = ~np.isnan(matrix[i]) & ~np.isnan(matrix[j])
        same = matrix[i][both] == matrix[j][both]
        pairs[first, second] = stats.proportion(int(same.sum()), int(both.sum()))
    counts = {rater: len(given) for rater, given in scores.items()}
    return RaterAgreement(alpha, level, pairs, counts, seed)

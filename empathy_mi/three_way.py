"""Three classes from one number: rules that are never tuned on what they are tried on. No model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from empathy_mi import stats
from empathy_mi.stats import Array, Estimate

CLASSES = (0, 1, 2)


@dataclass(frozen=True)
class ThreeWay:
    """How well a rule tells the scores 0, 1 and 2 apart.

    Attributes:
        rule: where its thresholds come from.
        confusion: number of answers by given score (row) and score that the rule says (column).
        accuracy: share that the rule gets right, with its exact interval.
        macro_f1: mean F1 of the scores that were given, with a bootstrap interval.
        majority: accuracy of always saying the most frequent score.
    """

    rule: str
    confusion: tuple[tuple[int, int, int], ...]
    accuracy: Estimate
    macro_f1: Estimate
    majority: float

    def to_frame(self) -> pd.DataFrame:
        """One row a given score, one column a score that the rule says."""
        frame: pd.DataFrame = pd.DataFrame(
            self.confusion, columns=[f"says_{score}" for score in CLASSES]
        )
        frame.insert(0, "score", CLASSES)
        frame.insert(0, "rule", self.rule)
        return frame


def leave_one_out(x: Float[Array, "n"], y: Int[Array, "n"]) -> Int[Array, "n"]:
    """The class whose mean over all other units is nearest to each unit.

    With class means in order that is the rule of their midpoints, which no unit takes part in for
    itself. Without any signal it does a little worse than chance, since a unit that is left out
    moves the mean of its own class away from it. A class that only the unit itself had is not
    there to be said; ties go to the lower class.
    """
    x = np.asarray(x, float)
    own = (np.asarray(y)[:, None] == np.asarray(CLASSES)).astype(float)
    total, count = (own * x[:, None]).sum(0), own.sum(0)
    left, sizes = total - own * x[:, None], count - own
    means = np.divide(left, sizes, out=np.full_like(left, np.inf), where=sizes > 0)
    nearest: np.ndarray = np.argmin(np.abs(x[:, None] - means), axis=1)
    return nearest


def by_thresholds(x: Float[Array, "n"], low: float, high: float) -> Int[Array, "n"]:
    """0 up to `low`, 2 above `high`, 1 between."""
    x = np.asarray(x, float)
    said: np.ndarray = (x > low).astype(int) + (x > high).astype(int)
    return said


def macro_f1(said: Int[Array, "... n"], given: Int[Array, "... n"]) -> Float[Array, "..."]:
    """Mean F1 over the classes that were given, over the last axis."""
    scores = []
    for label in CLASSES:
        hit = ((said == label) & (given == label)).sum(-1)
        both = (said == label).sum(-1) + (given == label).sum(-1)
        there = (given == label).any(-1)
        scores.append(np.where(there, 2 * hit / np.maximum(both, 1), np.nan))
    mean: np.ndarray = np.nanmean(scores, axis=0)
    return mean


def three_way(
    rule: str,
    said: Int[Array, "n"],
    given: Int[Array, "n"],
    strata: Sequence[object],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> ThreeWay:
    """Confusion, accuracy and macro-F1 of what a rule said.

    Args:
        rule: its name.
        said: the class that it said of each unit.
        given: the class that was given.
        strata: the stratum (scenario) of each unit.
        resamples: bootstrap resamples of the units, within strata.
        seed: seed of the bootstrap.
    """
    said, given = np.asarray(said, int), np.asarray(given, int)
    table = np.zeros((3, 3), dtype=int)
    np.add.at(table, (given, said), 1)
    rows = [(int(a), int(b), int(c)) for a, b, c in table]
    return ThreeWay(
        rule=rule,
        confusion=tuple(rows),
        accuracy=stats.proportion(int(table.trace()), len(given)),
        macro_f1=stats.bootstrap(
            lambda i: macro_f1(said[i], given[i]), strata, samples=resamples, seed=seed
        ),
        majority=float(table.sum(1).max() / len(given)),
    )

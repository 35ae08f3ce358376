"""Do two models' probes order the same texts alike?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from empathy_mi import stats
from empathy_mi.errors import InputError
from empathy_mi.stats import Array, Estimate


@dataclass(frozen=True)
class Agreement:
    """Correlation of two models' probe scores on the same held-out pairs.

    Attributes:
        first: name of a model.
        second: name of the other.
        r: Pearson correlation over all texts, with a bootstrap interval over pairs.
        within: the same with each side's mean taken off, so that the classes themselves, which
            any two good probes tell apart, do not count.
        p_within: of `within`, when the second model's pairs are shuffled within their scenarios;
            two-sided, with the plus-one rule.
        permutations: number of shuffles.
        seed: seed of bootstrap and shuffles.
    """

    first: str
    second: str
    r: Estimate
    within: Estimate
    p_within: float
    permutations: int
    seed: int


def score_agreement(
    scores: Mapping[str, Float[Array, "pair 2"]],
    scenarios: Sequence[str],
    *,
    permutations: int = 999,
    seed: int = 0,
) -> tuple[Agreement, ...]:
    """Compare every two models.

    Args:
        scores: by model, projections [pair, 2] of the empathic and the other text of each pair,
            the same pairs in the same order for every model.
        scenarios: the scenario of each pair.
        permutations: shuffles for p.
        seed: seed of bootstrap and shuffles.

    Raises:
        InputError: the models have scores of different pairs.
    """
    shapes = {model: np.shape(values) for model, values in scores.items()}
    if any(shape != (len(scenarios), 2) for shape in shapes.values()):
        raise InputError(
            f"scores have shapes {shapes} for {len(scenarios)} pairs: give each model the same "
            "pairs, two scores a pair."
        )
    return tuple(
        _compare(a, b, scores[a], scores[b], scenarios, permutations, seed)
        for a, b in combinations(scores, 2)
    )


def agreement_frame(found: Sequence[Agreement]) -> pd.DataFrame:
    """One row a pair of models; intervals as `_low` and `_high` columns."""
    rows = []
    for entry in found:
        row = {k: v for k, v in asdict(entry).items() if k not in ("r", "within")}
        for name in ("r", "within"):
            row |= getattr(entry, name).columns(name)
        rows.append(row | {"n_pairs": entry.r.n})
    return pd.DataFrame(rows) if rows else pd.DataFrame({"first": [], "second": []})


def _compare(
    first: str,
    second: str,
    a: Float[Array, "pair 2"],
    b: Float[Array, "pair 2"],
    scenarios: Sequence[str],
    permutations: int,
    seed: int,
) -> Agreement:
    def overall(i: np.ndarray) -> np.ndarray:
        return correlation(_flat(a[i]), _flat(b[i]))

    def within(i: np.ndarray) -> np.ndarray:
        return correlation(_flat(_centred(a[i])), _flat(_centred(b[i])))

    shuffled = stats.generator(seed, "agreement", first, second)
    labels, order = np.asarray(scenarios), np.tile(np.arange(len(scenarios)), (permutations, 1))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order[:, members] = shuffled.permuted(order[:, members], axis=1)
    centred = _flat(_centred(a))
    null = np.abs(correlation(centred[None], _flat(_centred(b)[order])))
    observed = stats.bootstrap(within, scenarios, seed=seed)
    return Agreement(
        first=first,
        second=second,
        r=stats.bootstrap(overall, scenarios, seed=seed),
        within=observed,
        p_within=stats.permutation_p(abs(observed.value), null),
        permutations=permutations,
        seed=seed,
    )


def correlation(x: Float[Array, "... n"], y: Float[Array, "... n"]) -> Float[Array, "..."]:
    """Pearson correlation over the last axis; 0 where one side does not vary."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    scale = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    product = (x * y).sum(-1)
    return np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)


def _centred(scores: Float[Array, "... pair 2"]) -> Float[Array, "... pair 2"]:
    return scores - scores.mean(-2, keepdims=True)


def _flat(scores: Float[Array, "... pair 2"]) -> Float[Array, "... text"]:
    return scores.reshape(*scores.shape[:-2], -1)

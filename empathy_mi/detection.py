"""Does the model represent it? Probes on held-out pairs, beside what chance gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from empathy_mi import stats
from empathy_mi.activations import Activations
from empathy_mi.baselines import Scores, residual_scores, side_auroc, text_baselines
from empathy_mi.errors import InputError, check_counts
from empathy_mi.nulls import NullControl, isotropic_auroc, matched_auroc, shuffled_auroc
from empathy_mi.probes import Probe, ProbeSet, check_finite
from empathy_mi.stats import Estimate

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class LayerDetection:
    """One layer's probe on held-out pairs.

    Attributes:
        layer: block whose output is read.
        auroc: with a bootstrap interval over pairs.
        accuracy: share of texts on the right side of the train threshold.
        separation: difference of the class means' projections, in residual units.
        d_prime: separation over the pooled standard deviation.
        spread_empathic: standard deviation of the empathic projections.
        spread_non_empathic: standard deviation of the others.
        p: of the AUROC when the sides of the pairs, train and test, are swapped at random and
            the probe is fitted again.
        p_holm: the same, Holm-adjusted over the layers.
        residual: AUROC of what the readers without a model do not predict of the projections;
            see `baselines.residual_scores`.
        random: isotropic random directions.
        matched: random directions with the covariance of the train texts.
        shuffled: probes refitted with swapped sides; its p is `p`.
        scores_empathic: projections of the empathic test texts.
        scores_non_empathic: projections of the others.
    """

    layer: int
    auroc: Estimate
    accuracy: Estimate
    separation: Estimate
    d_prime: Estimate
    spread_empathic: float
    spread_non_empathic: float
    p: float
    p_holm: float
    residual: Estimate
    random: NullControl
    matched: NullControl
    shuffled: NullControl
    scores_empathic: tuple[float, ...] = field(repr=False)
    scores_non_empathic: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True)
class Detection:
    """The whole sweep over layers.

    Attributes:
        layers: one entry a layer, in order.
        model: name of the model.
        fingerprint: of its weights.
        baselines: AUROC of readers without a model on the same pairs, by name.
        pair_ids: ids of the test pairs, in the order of the scores.
        n_train: number of train pairs.
        resamples: bootstrap resamples.
        permutations: refits with swapped sides.
        seed: seed of all draws.
    """

    layers: tuple[LayerDetection, ...]
    model: str
    fingerprint: str
    baselines: dict[str, Estimate]
    pair_ids: tuple[str, ...] = field(repr=False)
    n_train: int
    resamples: int
    permutations: int
    seed: int

    def __getitem__(self, layer: int) -> LayerDetection:
        for row in self.layers:
            if row.layer == layer:
                return row
        there = ", ".join(str(row.layer) for row in self.layers)
        raise InputError(f"layer {layer} was not evaluated: there are {there}.")

    def to_frame(self) -> pd.DataFrame:
        """One row a layer; intervals as `_low` and `_high` columns."""
        rows = []
        for entry in self.layers:
            row: dict[str, Any] = {"model": self.model, "layer": entry.layer}
            for name in ("auroc", "accuracy", "separation", "d_prime"):
                row |= getattr(entry, name).columns(name)
            row |= entry.residual.columns("residual_auroc")
            for name, e in self.baselines.items():
                row |= e.columns(f"{name}_auroc")
            row |= {
                "spread_empathic": entry.spread_empathic,
                "spread_non_empathic": entry.spread_non_empathic,
                "p_permutation": entry.p,
                "p_holm": entry.p_holm,
                **_columns("random", entry.random),
                **_columns("matched", entry.matched),
                "shuffled_auroc_95": entry.shuffled.high,
                "n_train_pairs": self.n_train,
                "n_test_pairs": len(self.pair_ids),
                "seed": self.seed,
            }
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """AUROC by layer with intervals, over the band of random directions."""
        from empathy_mi.viz.detection import auroc_by_layer

        return auroc_by_layer(self.to_frame())


def evaluate(
    probes: ProbeSet,
    test: Activations,
    *,
    resamples: int = 2000,
    permutations: int = 1000,
    random_directions: int = 1000,
    seed: int = 0,
) -> Detection:
    """Evaluate every probe on held-out pairs.

    Args:
        probes: fitted on train pairs.
        test: activations of other pairs of the same model.
        resamples: bootstrap resamples of the test pairs, within scenarios.
        permutations: refits with the sides of all pairs swapped at random.
        random_directions: random directions of each kind at each layer.
        seed: seed of all draws.

    Raises:
        InputError: the activations are another model's, layer's or pooling's or not finite, there
            are fewer than two train pairs, or a number of draws is below 1.
    """
    check_counts(
        resamples=resamples, permutations=permutations, random_directions=random_directions
    )
    check_finite(test)
    settings = (resamples, permutations, random_directions, seed)
    train = probes.train
    beyond = residual_scores(train, test, seed=seed)
    rows = [
        _layer(probe, train, test, beyond[train.layers.index(probe.layer)], *settings)
        for probe in probes.probes
    ]
    adjusted = stats.holm([row["p"] for row in rows])
    layers = tuple(LayerDetection(**row, p_holm=p) for row, p in zip(rows, adjusted, strict=True))
    return Detection(
        layers=layers,
        model=test.model,
        fingerprint=test.fingerprint,
        baselines=text_baselines(train.pairs, test.pairs, resamples=resamples, seed=seed),
        pair_ids=tuple(pair.id for pair in test.pairs),
        n_train=len(train),
        resamples=resamples,
        permutations=permutations,
        seed=seed,
    )


def _layer(
    probe: Probe,
    train: Activations,
    test: Activations,
    beyond: Scores,
    resamples: int,
    permutations: int,
    directions: int,
    seed: int,
) -> dict[str, Any]:
    positive, negative = probe.scores(test)
    hits = (positive > probe.threshold, negative <= probe.threshold)
    correct = np.mean(hits, axis=0)
    sides = np.stack([positive, negative], axis=1)

    def interval(statistic: Any) -> Estimate:
        return stats.bootstrap(statistic, test.scenarios, samples=resamples, seed=seed)

    observed = float(stats.auroc(positive, negative))
    layer = probe.layer
    shuffled = shuffled_auroc(layer, train, test, permutations, seed)
    controls = {
        "random": isotropic_auroc(layer, test, directions, seed),
        "matched": matched_auroc(layer, train, test, directions, seed),
    }
    return {
        "layer": layer,
        "auroc": side_auroc(sides, test.scenarios, resamples=resamples, seed=seed),
        "accuracy": stats.bootstrap_probability(
            lambda i: correct[i].mean(-1), test.scenarios, samples=resamples, seed=seed
        ),
        "separation": interval(lambda i: positive[i].mean(-1) - negative[i].mean(-1)),
        "d_prime": interval(lambda i: stats.d_prime(positive[i], negative[i])),
        "spread_empathic": float(positive.std(ddof=1)) if len(positive) > 1 else 0.0,
        "spread_non_empathic": float(negative.std(ddof=1)) if len(negative) > 1 else 0.0,
        "p": stats.permutation_p(observed, shuffled),
        "residual": side_auroc(beyond, test.scenarios, resamples=resamples, seed=seed),
        **{name: NullControl.of(observed, null) for name, null in controls.items()},
        "shuffled": NullControl.of(observed, shuffled, folded=False),
        "scores_empathic": tuple(positive.tolist()),
        "scores_non_empathic": tuple(negative.tolist()),
    }


def _columns(name: str, control: NullControl) -> dict[str, float]:
    return {
        f"{name}_auroc_mean": control.mean,
        f"{name}_auroc_95": control.high,
        f"{name}_raw_mean": control.raw_mean,
        f"{name}_raw_sd": control.raw_sd,
        f"p_{name}": control.p,
    }

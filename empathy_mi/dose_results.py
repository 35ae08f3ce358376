"""Dose-response results: rates, success in two conventions, contrast, coherence. No model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from empathy_mi import stats
from empathy_mi.errors import InputError
from empathy_mi.stats import Estimate

if TYPE_CHECKING:
    import plotly.graph_objects as go

Convention = Literal["paper", "strict"]
COHERENT_SHARE = 0.8
"""The strict convention asks for this share of coherent texts at an alpha."""


@dataclass(frozen=True)
class Answer:
    """One generated answer and how it was counted.

    Attributes:
        direction: "probe" for the vector under test, or "random 0" and so on for a control.
        layer: block whose output was steered.
        scenario: id of the scenario.
        sample: number of the sample; it fixes prompt and sampling noise over all alphas.
        alpha: raw strength.
        text: what the model wrote.
        empathic: whether it counts as empathic.
        coherent: whether it counts as coherent.
        score: rubric score, or None.
        distinct: distinct words over words.
        repetition: share of repeated word 4-grams.
        nll: mean nats a token under the unsteered model.
        kl: KL from the unsteered distribution of the first generated token, in nats.
        finished: whether it ended by itself.
    """

    direction: str
    layer: int
    scenario: str
    sample: int
    alpha: float
    text: str
    empathic: bool
    coherent: bool
    score: int | None
    distinct: float
    repetition: float
    nll: float
    kl: float
    finished: bool


@dataclass(frozen=True)
class DoseResponse:
    """Answers over alphas at one layer, for the probe and random directions.

    Attributes:
        answers: every answer.
        model: name of the model.
        layer: block whose output was steered.
        norm: median residual norm there.
        class_gap: distance of the probe's class means in train.
        positions: where alpha was added.
        seed: seed of prompts, noise and controls.
    """

    answers: tuple[Answer, ...] = field(repr=False)
    model: str
    layer: int
    norm: float
    class_gap: float
    positions: str
    seed: int

    def to_frame(self) -> pd.DataFrame:
        """One row an answer, with alpha in each unit."""
        frame = pd.DataFrame([asdict(answer) for answer in self.answers])
        frame.insert(0, "model", self.model)
        frame["alpha_norms"] = frame["alpha"] / self.norm
        frame["alpha_gaps"] = frame["alpha"] / self.class_gap
        return frame

    def rates(self, *, by_scenario: bool = False, level: float = 0.95) -> pd.DataFrame:
        """Empathic and coherent shares by direction group and alpha, with exact intervals.

        Random directions are pooled into one group.
        """
        frame = self.to_frame()
        frame["group"] = np.where(frame["direction"].str.startswith("random"), "random", "probe")
        keys = ["group", *(["scenario"] if by_scenario else []), "alpha"]
        rows = []
        for values, part in frame.groupby(keys, sort=True):
            row: dict[str, Any] = {"model": self.model, "layer": self.layer}
            row |= dict(zip(keys, values, strict=True))
            row["alpha_norms"] = part["alpha_norms"].iloc[0]
            row["alpha_gaps"] = part["alpha_gaps"].iloc[0]
            for name in ("empathic", "coherent"):
                share = stats.proportion(int(part[name].sum()), len(part), level)
                row |= share.columns(name)
            for name in ("distinct", "repetition", "nll", "kl"):
                row[name] = part[name].mean()
            row["n"] = len(part)
            rows.append(row)
        return pd.DataFrame(rows)

    def only(self, *scenarios: str) -> DoseResponse:
        """The same for the answers of some scenarios.

        Raises:
            InputError: there are no answers of one of them.
        """
        there = sorted({a.scenario for a in self.answers})
        for scenario in scenarios:
            if scenario not in there:
                raise InputError(
                    f"no answers in scenario {scenario!r}: there are {', '.join(there)}."
                )
        kept = tuple(a for a in self.answers if a.scenario in scenarios)
        return replace(self, answers=kept)

    def success_rate(
        self, convention: Convention = "strict", *, direction: str = "probe", resamples: int = 2000
    ) -> Estimate:
        """Share of (scenario, alpha) cells that answer to the steering.

        "paper": an alpha succeeds if (alpha > 0) == (rate(alpha) - rate(0) > 0). No change then
        counts for negative alphas, and coherence does not matter (arXiv 2511.16699, released
        code). "strict": the rate moves in the direction of alpha, and at least 80 % of the
        texts are coherent. Alpha 0 is left out.

        Args:
            convention: which rule.
            direction: name of the direction, or "random" for the mean over all random ones.
            resamples: bootstrap resamples of the samples, within scenarios.

        Raises:
            InputError: the convention or the direction is unknown, or alpha 0 was not run.
        """
        if convention not in ("paper", "strict"):
            raise InputError(f"unknown convention {convention!r}: use 'paper' or 'strict'.")
        cells = self._chosen(direction)
        strata = cells[0].strata
        return stats.bootstrap(
            lambda index: np.mean([c.success(index, convention) for c in cells], axis=0),
            strata,
            samples=resamples,
            seed=self.seed,
        )

    def contrast(self, *, direction: str = "probe", resamples: int = 2000) -> Estimate:
        """Empathic share at positive alphas minus that at negative ones, a share of all texts.

        It is 0 for a direction that only breaks the model, whichever way it pushes. A text that
        is not coherent counts as not empathic.

        Args:
            direction: name of the direction, or "random" for the mean over all random ones.
            resamples: bootstrap resamples of the samples, within scenarios.

        Raises:
            InputError: the direction is unknown, or there are no alphas of both signs.
        """
        gap, strata = self._gaps(direction)
        return stats.bootstrap(
            lambda index: gap[index].mean(-1), strata, samples=resamples, seed=self.seed
        )

    def baseline(self, level: float = 0.95) -> Estimate:
        """Share of empathic, coherent answers at alpha 0, with its exact interval."""
        rows = [a for a in self.answers if a.alpha == 0.0 and a.direction == "probe"]
        return stats.proportion(sum(a.empathic and a.coherent for a in rows), len(rows), level)

    def coherent_share(self, *, direction: str = "probe", resamples: int = 2000) -> Estimate:
        """Share of coherent answers at the alphas besides 0.

        Raises:
            InputError: the direction is unknown, or there is no alpha besides 0.
        """
        cells = self._chosen(direction)
        steered = cells[0].alphas != 0
        if not steered.any():
            raise InputError("coherence under steering needs an alpha besides 0: add one.")
        share = np.mean([c.coherent[:, steered].mean(1) for c in cells], axis=0)
        return stats.bootstrap(
            lambda i: share[i].mean(-1), cells[0].strata, samples=resamples, seed=self.seed
        )

    def contrast_difference(
        self, scenarios: Sequence[str], *, direction: str = "probe", resamples: int = 2000
    ) -> Estimate:
        """The contrast in these scenarios minus that in the others: a difference of slopes.

        Raises:
            InputError: as `contrast`, or there are no answers on one side.
        """
        gap, strata = self._gaps(direction)
        inside = np.isin(strata, list(scenarios))
        if inside.all() or not inside.any():
            raise InputError("a difference needs answers in these scenarios and in others.")
        return stats.bootstrap(
            lambda i: gap[i][:, inside].mean(-1) - gap[i][:, ~inside].mean(-1),
            strata,
            samples=resamples,
            seed=self.seed,
        )

    def baseline_difference(self, scenarios: Sequence[str], *, resamples: int = 2000) -> Estimate:
        """Coherent empathic share at alpha 0 in these scenarios minus that in the others.

        Raises:
            InputError: alpha 0 was not run, or there are no answers on one side.
        """
        cells = self._chosen("probe")[0]
        strata = cells.strata
        inside = np.isin(strata, list(scenarios))
        if 0.0 not in cells.alphas or inside.all() or not inside.any():
            raise InputError("a difference needs alpha 0, these scenarios and others.")
        good = (cells.empathic * cells.coherent)[:, cells.alphas == 0][:, 0]
        return stats.bootstrap(
            lambda i: good[i][:, inside].mean(-1) - good[i][:, ~inside].mean(-1),
            strata,
            samples=resamples,
            seed=self.seed,
        )

    def change(
        self, side: Literal["up", "down"], *, direction: str = "probe", resamples: int = 2000
    ) -> Estimate:
        """What one sign of alpha brings against alpha 0, positive where steering is answered.

        "up": coherent empathic answers at alpha > 0, minus those at 0. "down": coherent answers
        that are not empathic at alpha < 0, minus those at 0. Broken texts count for neither.

        Args:
            side: which sign.
            direction: name of the direction, or "random" for the mean over all random ones.
            resamples: bootstrap resamples of the samples, within scenarios.

        Raises:
            InputError: the side or direction is unknown, or alpha 0 or the side was not run.
        """
        if side not in ("up", "down"):
            raise InputError(f"unknown side {side!r}: use 'up' or 'down'.")
        cells = self._chosen(direction)
        alphas = cells[0].alphas
        chosen = alphas > 0 if side == "up" else alphas < 0
        if not chosen.any() or 0.0 not in alphas:
            raise InputError("a change needs alpha 0 and alphas on its side: add them.")
        wanted = [c.empathic if side == "up" else 1 - c.empathic for c in cells]
        good = np.mean([w * c.coherent for w, c in zip(wanted, cells, strict=True)], axis=0)
        gap = good[:, chosen].mean(1) - good[:, alphas == 0].mean(1)
        return stats.bootstrap(
            lambda i: gap[i].mean(-1), cells[0].strata, samples=resamples, seed=self.seed
        )

    def _gaps(self, direction: str) -> tuple[np.ndarray, list[str]]:
        """The contrast of each unit, and its scenario."""
        cells = self._chosen(direction)
        signs = np.sign(cells[0].alphas)
        if not (signs > 0).any() or not (signs < 0).any():
            raise InputError("a contrast needs alphas below and above 0: add some of each.")
        good = np.mean([c.empathic * c.coherent for c in cells], axis=0)
        return good[:, signs > 0].mean(1) - good[:, signs < 0].mean(1), cells[0].strata

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able values; NaN becomes None."""
        values = asdict(self)
        answers = [_without_nan(answer, ("nll", "kl")) for answer in values["answers"]]
        return _without_nan(values, ("norm", "class_gap")) | {"answers": answers}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> DoseResponse:
        """What `to_dict` gave."""
        answers = [Answer(**_with_nan(row, ("nll", "kl"))) for row in values["answers"]]
        values = _with_nan(values, ("norm", "class_gap"))
        return DoseResponse(**(values | {"answers": tuple(answers)}))

    def coherence(self) -> pd.DataFrame:
        """Coherence metrics by direction group and alpha."""
        columns = ["group", "alpha", "coherent", "coherent_low", "coherent_high", "distinct"]
        return self.rates()[[*columns, "repetition", "nll", "kl", "n"]]

    def plot(self) -> go.Figure:
        """Empathic share over alpha with intervals, probe and random directions."""
        from empathy_mi.viz.dose import dose_curve

        return dose_curve(self.rates())

    def _chosen(self, direction: str) -> list[_Cells]:
        names = sorted({a.direction for a in self.answers})
        group = "random " if direction == "random" else None
        chosen = [n for n in names if n == direction or (group and n.startswith(group))]
        if not chosen:
            raise InputError(f"no answers with direction {direction!r}: there are {names}.")
        return [self._cells(name) for name in chosen]

    def _cells(self, direction: str) -> _Cells:
        rows = [a for a in self.answers if a.direction == direction]
        alphas = sorted({a.alpha for a in rows})
        units = sorted({(a.scenario, a.sample) for a in rows})
        empathic = np.zeros((len(units), len(alphas)))
        coherent = np.zeros_like(empathic)
        for a in rows:
            at = units.index((a.scenario, a.sample)), alphas.index(a.alpha)
            empathic[at], coherent[at] = a.empathic, a.coherent
        return _Cells(np.array(alphas), [u[0] for u in units], empathic, coherent)


@dataclass(frozen=True)
class _Cells:
    """Answers of one direction as arrays [unit, alpha]; a unit is a scenario's sample."""

    alphas: np.ndarray
    strata: list[str]
    empathic: np.ndarray
    coherent: np.ndarray

    def success(self, index: np.ndarray, convention: Convention) -> np.ndarray:
        """Share of successful cells of each resample [samples, unit]."""
        if 0.0 not in self.alphas:
            raise InputError("success is measured against alpha 0: add 0 to the alphas.")
        if len(self.alphas) < 2:
            raise InputError("success needs an alpha besides 0: add one to the alphas.")
        zero = int(np.flatnonzero(self.alphas == 0)[0])
        signs = np.sign(self.alphas)
        labels = np.array(self.strata)
        hits = []
        for scenario in sorted(set(self.strata)):
            part = index[:, labels == scenario]
            rate = self.empathic[part].mean(1)
            change = rate - rate[:, zero : zero + 1]
            if convention == "paper":
                hit = (signs > 0) == (change > 0)
            else:
                hit = (np.sign(change) == signs) & (
                    self.coherent[part].mean(1) >= COHERENT_SHARE - 1e-9
                )
            hits.append(np.delete(hit, zero, axis=1))
        return np.concatenate(hits, axis=1).mean(1)


def _without_nan(values: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return values | {n: None if np.isnan(values[n]) else values[n] for n in names}


def _with_nan(values: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return values | {n: float("nan") if values[n] is None else values[n] for n in names}

"""What a study found: tables, the headline, and claims that hold or fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from empathy_mi.dose_results import DoseResponse
from empathy_mi.io import write_csv, write_text
from empathy_mi.stats import Estimate

BASELINES = {
    "length_auroc": "length",
    "tf_fixed_auroc": "bag of words",
    "tfidf_fixed_auroc": "tf-idf",
    "tf_left_out_scenario_auroc": "bag of words, left-out scenario",
    "tfidf_left_out_scenario_auroc": "tf-idf, left-out scenario",
}
"""The text-only baselines of the report, by their name in `check_pairs`."""


@dataclass(frozen=True)
class Claim:
    """One sentence that the numbers bear out or do not.

    Attributes:
        model: name of the model.
        statement: what is claimed.
        holds: whether the rule is met.
        evidence: the numbers.
    """

    model: str
    statement: str
    holds: bool
    evidence: str


@dataclass(frozen=True)
class StudyResult:
    """Results of every stage by model, and what can be made of them without a model.

    Attributes:
        config: the study's configuration.
        records: model -> stage -> JSON-able result.
    """

    config: dict[str, Any]
    records: dict[str, dict[str, Any]] = field(repr=False)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.records)

    def doses(self, model: str) -> list[DoseResponse]:
        """The dose-responses of a model, by layer."""
        return self._doses[model]

    @cached_property
    def _doses(self) -> dict[str, list[DoseResponse]]:
        return {
            model: [
                DoseResponse.from_dict(result)
                for stage, result in stages.items()
                if stage.startswith("steering-")
            ]
            for model, stages in self.records.items()
        }

    @cached_property
    def _contrasts(self) -> dict[tuple[str, int, str], Estimate]:
        """The contrast by model, layer and direction."""
        return {
            (model, dose.layer, direction): dose.contrast(direction=direction)
            for model in self.models
            for dose in self.doses(model)
            for direction in ("probe", "random")
        }

    def selected(self, model: str) -> int:
        """The layer that was chosen inside train."""
        return int(self.records[model]["detection"]["selected"])

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by name."""
        return {
            "headline": self._headline(),
            "claims": pd.DataFrame([vars(claim) for claim in self.claims]),
            "detection": self._stacked(lambda r: r["detection"]["layers"], named=True),
            "selection": self._stacked(lambda r: r["detection"]["cross_validation"]),
            "scores": self._stacked(lambda r: r["detection"]["scores"]),
            "text_baselines": self._stacked(lambda r: r["text"]),
            "behavior": self._stacked(lambda r: r.get("behavior", []), named=True),
            "dose_response": self._dose(by_scenario=False),
            "dose_response_by_scenario": self._dose(by_scenario=True),
            "success": self._success,
            "answers": self._answers(),
        }

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """What the study claims of each model, with the rule's outcome; failures stay in."""
        return tuple(claim for model in self.models for claim in self._claims(model))

    def write_tables(self, folder: str | Path) -> None:
        """Write every table as `folder/<name>.csv`."""
        for name, frame in self.tables.items():
            write_csv(Path(folder) / f"{name}.csv", frame)

    def report(self, path: str | Path) -> Path:
        """Write the report, one HTML file that opens offline."""
        from empathy_mi.report import render

        return write_text(path, render(self))

    def baseline(self, model: str, name: str) -> dict[str, Any]:
        """One measure of the text check of the model's pairs."""
        return next(row for row in self.records[model]["text"] if row["name"] == name)

    def _stacked(self, get: Any, *, named: bool = False) -> pd.DataFrame:
        frames = []
        for model in self.models:
            frame = pd.DataFrame(get(self.records[model]))
            if not named and len(frame):
                frame.insert(0, "model", model)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def _dose(self, *, by_scenario: bool) -> pd.DataFrame:
        frames = [
            dose.rates(by_scenario=by_scenario) for model in self.models for dose in
            self.doses(model)
        ]  # fmt: skip
        return pd.concat(frames, ignore_index=True)

    def _answers(self) -> pd.DataFrame:
        frames = [dose.to_frame() for model in self.models for dose in self.doses(model)]
        return pd.concat(frames, ignore_index=True)

    @cached_property
    def _success(self) -> pd.DataFrame:
        rows = []
        for model in self.models:
            for dose in self.doses(model):
                for direction in ("probe", "random"):
                    row: dict[str, Any] = {
                        "model": model,
                        "layer": dose.layer,
                        "selected": dose.layer == self.selected(model),
                        "direction": direction,
                    }
                    measures = {
                        "success_paper": dose.success_rate("paper", direction=direction),
                        "success_strict": dose.success_rate("strict", direction=direction),
                        "contrast": self._contrasts[model, dose.layer, direction],
                    }
                    for name, e in measures.items():
                        row |= {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
                    rows.append(row | {"n_samples": measures["contrast"].n, "seed": dose.seed})
        return pd.DataFrame(rows)

    def _headline(self) -> pd.DataFrame:
        rows = []
        for model in self.models:
            layer = self.selected(model)
            found = self._layer(model, layer)
            row: dict[str, Any] = {"model": model, "layer": layer}
            for name in ("auroc", "accuracy"):
                row |= {key: found[key] for key in (name, f"{name}_low", f"{name}_high")}
            for name in ("p_holm", "random_auroc_95", "n_test_pairs"):
                row[name] = found[name]
            for name, measure in (("bag_of_words", "tf"), ("tfidf", "tfidf")):
                text = self.baseline(model, f"{measure}_fixed_auroc")
                for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                    row[f"{name}_auroc{end}"] = text[key]
            success = self._success[self._success["model"] == model]
            steered = success[success["layer"] == layer]
            for direction in ("probe", "random"):
                part = steered[steered["direction"] == direction].iloc[0]
                for name in ("success_paper", "success_strict", "contrast"):
                    for end in ("", "_low", "_high"):
                        row[f"{name}_{direction}{end}"] = part[f"{name}{end}"]
            row["n_samples"] = int(steered["n_samples"].iloc[0])
            rows.append(row)
        return pd.DataFrame(rows)

    def _layer(self, model: str, layer: int) -> dict[str, Any]:
        rows = self.records[model]["detection"]["layers"]
        return next(row for row in rows if row["layer"] == layer)

    def _claims(self, model: str) -> Iterator[Claim]:
        layer = self.selected(model)
        row = self._layer(model, layer)
        auroc = f"AUROC {row['auroc']:.3f} [{row['auroc_low']:.3f}, {row['auroc_high']:.3f}]"
        yield Claim(
            model,
            f"The probe of layer {layer}, chosen inside train, detects held-out pairs.",
            row["auroc_low"] > 0.5 and row["p_holm"] < 0.05,
            f"{auroc}, Holm p = {row['p_holm']:.3g} (N = {row['n_test_pairs']} pairs).",
        )
        yield Claim(
            model,
            "It detects more than random directions do.",
            row["p_random"] < 0.05,
            f"Random directions reach {row['random_auroc_95']:.3f} at their 95th percentile; "
            f"rank p = {row['p_random']:.3g}.",
        )
        texts = [self.baseline(model, n) for n in ("tf_fixed_auroc", "tfidf_fixed_auroc")]
        best = max(texts, key=lambda t: t["value"])
        yield Claim(
            model,
            "It detects more than the words do.",
            row["auroc_low"] > best["value"],
            f"{auroc}; {BASELINES[best['name']]} without a model {best['value']:.3f} "
            f"[{best['low']:.3f}, {best['high']:.3f}].",
        )
        yield Claim(
            model,
            "Its threshold from train carries over to held-out pairs.",
            row["accuracy_low"] > 0.5,
            f"Accuracy {row['accuracy']:.3f} [{row['accuracy_low']:.3f}, "
            f"{row['accuracy_high']:.3f}].",
        )
        for dose in self.doses(model):
            probe, random = (
                self._contrasts[model, dose.layer, name] for name in ("probe", "random")
            )
            where = f"layer {dose.layer}"
            yield Claim(
                model,
                f"Steering at {where} moves coherent answers in the direction of alpha.",
                probe.low > 0,
                f"Empathic share at alpha > 0 minus alpha < 0: {probe}.",
            )
            yield Claim(
                model,
                f"Random directions at {where} do not.",
                random.low <= 0 <= random.high,
                f"The same with random directions: {random}.",
            )
            yield Claim(
                model,
                f"The probe moves more than random directions at {where}.",
                probe.low > random.high,
                f"{probe} against {random}.",
            )

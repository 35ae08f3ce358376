"""The report's section on steering."""

from __future__ import annotations

import html as escape
from typing import TYPE_CHECKING

from empathy_mi.report.html import figure, folded, table, with_intervals
from empathy_mi.viz import dose_by_model, dose_curve

if TYPE_CHECKING:
    from empathy_mi.study_results import StudyResult

SHOWN_SCENARIO = "the_listener"


def steering(study: StudyResult) -> str:
    """Success and coherence by model, layer and scenario; dose-response."""
    tables = study.tables
    scenarios = tables["dose_response_by_scenario"]
    listener = scenarios[scenarios["scenario"] == SHOWN_SCENARIO]
    listener = listener[listener["layer"] == listener["model"].map(
        {m: study.selected(m) for m in study.models})]  # fmt: skip
    parts = [
        "<h2 id='steering'>Can it be steered?</h2><p>alpha times the unit direction is added at "
        "<code>blocks.L.hook_resid_post</code> to the last prompt token and every generated one. "
        "The control is random directions of equal length.</p>"
    ]
    if len(listener):
        parts.append("<h3>Dose-response in The Listener, selected layers</h3>")
        parts.append(figure(dose_by_model(listener), "dose-listener"))
    measures = ["success_paper", "success_strict", "contrast", "coherent", "n_samples"]
    parts.append("<h3>Success and coherence by layer</h3>")
    success = with_intervals(tables["success"])
    parts.append(table(success[["model", "layer", "selected", "direction", *measures]]))
    by_scenario = with_intervals(tables["success_by_scenario"])
    columns = ["layer", "scenario", "direction", *measures[:-1], "baseline", "n_samples"]
    for model, rows in by_scenario.groupby("model", sort=False):
        parts.append(folded(f"{model}: by layer and scenario", table(rows[columns])))
    parts.append("<h3>Dose-response over all scenarios</h3>")
    shown = [
        "layer", "group", "alpha", "alpha_norms", "alpha_gaps", "empathic", "coherent",
        "repetition", "nll", "kl", "n",
    ]  # fmt: skip
    for number, model in enumerate(study.models, start=1):
        for dose in study.doses(model):
            chosen = " (selected)" if dose.layer == study.selected(model) else ""
            parts.append(
                f"<h4>{escape.escape(model)}, layer {dose.layer}{chosen}</h4>"
                f"<p class='note'>One residual norm is {dose.norm:.1f}, one class gap "
                f"{dose.class_gap:.2f}.</p>"
                + figure(dose_curve(dose.rates()), f"dose-{number}-{dose.layer}")
            )
        rates = tables["dose_response"]
        rates = with_intervals(rates[rates["model"] == model])[shown]
        parts.append(folded(f"{model}: numbers and coherence", table(rates)))
    return "".join(parts)

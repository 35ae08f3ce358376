"""The report's section on what causes the decision."""

from __future__ import annotations

import html as escape
from typing import TYPE_CHECKING

import pandas as pd

from empathy_mi.report.html import figure, folded, table, with_intervals
from empathy_mi.viz.causal import ablation_left, mediation_by_layer, patching_map

if TYPE_CHECKING:
    from empathy_mi.study_results import StudyResult

_TOP = 8


def causal(study: StudyResult) -> str:
    """Patching, mediation through the probe's direction, and its removal, model by model."""
    tables = study.tables
    parts = [
        "<h2 id='causal'>What causes it?</h2><p>Detection is not causation. Prompts that say that "
        "people come first and their counterfactuals exchange activations; the metric is the "
        "logit difference of the two answers. 0 is the corrupt run, 1 the clean one.</p>"
        "<h3>Through the probe's direction alone</h3><p class='note'>Only the component of the "
        "last token's residual along each layer's probe is exchanged. Bands: 95 % of random "
        "directions along which it is moved as far.</p>"
    ]
    through, patched = tables["mediation"], tables["patching"]
    ablated = tables["ablation"]
    shown = ["mediator", "te", "share", "tie_share", "interaction", "random_low", "random_high",
             "p_random", "n"]  # fmt: skip
    for number, model in enumerate(study.models, start=1):
        rows = through[through["model"] == model]
        parts.append(f"<h4>{escape.escape(model)}</h4>")
        parts.append(figure(mediation_by_layer(rows), f"mediation-{number}"))
        numbers = with_intervals(rows).sort_values("layer")[shown]
        parts.append(folded(f"{model}: mediation in numbers", table(numbers)))
        cells = patched[patched["model"] == model]
        stream = cells[(cells["component"] != "head") & (cells["mode"] == "denoising")]
        parts.append(figure(patching_map(stream), f"patching-{number}"))
        parts.append(f"<p>{escape.escape(where_carried(cells))}</p>")
        heads = cells[cells["component"] == "head"]
        strongest = heads["effect"].abs().sort_values(ascending=False, kind="stable").index[:_TOP]
        best = with_intervals(heads.loc[strongest])
        columns = ["site", "effect", "normalized", "p", "p_holm", "n"]
        parts.append(folded(f"{model}: its strongest heads", table(best[columns])))
    parts.append(
        "<h3>What is left without them</h3><p class='note'>Share of the difference between clean "
        "and corrupt prompts that is left when heads give their mean activation at every token, "
        "the strongest of patching one after the other, on other prompts than those that chose "
        "them. Band: as many heads drawn at random.</p>"
    )
    for number, model in enumerate(study.models, start=1):
        rows = ablated[(ablated["model"] == model) & (ablated["how"] == "mean")]
        parts.append(f"<h4>{escape.escape(model)}</h4>")
        parts.append(figure(ablation_left(rows), f"ablation-{number}"))
    parts.append(
        "<p class='note'>The same with the selected probe's direction projected out at every "
        "token (directional), beside random directions; AUROC of the last layer's probe on "
        "held-out pairs, and loss on neutral texts, nats a token.</p>"
    )
    columns = ["model", "ablated", "how", "sites", "left", "random_low", "random_high", "p_random",
               "auroc", "auroc_unablated", "loss_change", "n"]  # fmt: skip
    parts.append(table(with_intervals(ablated)[columns]))
    return "".join(parts)


def where_carried(cells: pd.DataFrame) -> str:
    """In words: up to which layer the tokens that differ carry it, and from which the last does.

    Carrying means that the interval of the normalized effect lies beyond one half.

    Args:
        cells: rows of `PatchingResult.table` of one model.
    """
    stream = cells[cells["component"] == "resid_post"]
    back, away = (stream[stream["mode"] == mode] for mode in ("denoising", "noising"))
    enough = _edges(back[back["normalized_low"] > 0.5])
    needed = _edges(away[away["normalized_high"] < 0.5])
    layers = ", ".join(map(str, sorted(set(cells["layer"]))))
    return (
        f"Enough to bring more than half of the decision back (denoising, residual stream): "
        f"{enough}. Needed for more than half of it (noising): {needed}. N = {cells['n'].max()} "
        f"pairs; layers {layers}."
    )


def _edges(rows: pd.DataFrame) -> str:
    """The last layer of the tokens that differ and of those between, the first of the last one."""
    told = []
    for position, what in (("changed", "the tokens that differ"), ("between", "those between"),
                           ("last", "the last token")):  # fmt: skip
        at = rows[rows["position"] == position]
        if at.empty:
            told.append(f"{what} at no layer")
            continue
        late = position == "last"
        edge = at.loc[at["layer"].idxmin() if late else at["layer"].idxmax()]
        ends = f"[{edge['normalized_low']:.2f}, {edge['normalized_high']:.2f}]"
        told.append(
            f"{what} {'from' if late else 'up to'} layer {edge['layer']} "
            f"(normalized {edge['normalized']:.2f} {ends})"
        )
    return ", ".join(told)

"""Figures of probes carried between models."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from empathy_mi.viz.theme import BLUE, GREEN, GREY, ORANGE, error_bars, styled, translucent

_COLORS = {"procrustes": BLUE, "cca": ORANGE}
_FITS = {
    "all": ("sides", "alignment of all that texts share"),
    "within": ("pairs", "alignment within sides"),
}


def transfer_by_layer(frame: pd.DataFrame) -> go.Figure:
    """AUROC of carried probes by layer with intervals, one column of panels a pair of models.

    There is one row of panels a fit. The grey band holds 95 % of the refits on shuffled texts, of
    either direction and any method: with swapped sides for the fit "all", with shuffled pairs for
    "within". Dotted lines are the target's own probes.

    Args:
        frame: what `Alignment.to_frame` or `alignment_frame` gives.
    """
    pairs = list(dict.fromkeys(zip(frame["first"], frame["second"], strict=True)))
    fits = [fit for fit in _FITS if fit in set(frame["fit"])]
    figure = make_subplots(
        rows=max(1, len(fits)), cols=max(1, len(pairs)), shared_yaxes=True, shared_xaxes=True,
        horizontal_spacing=0.03, vertical_spacing=0.06,
        column_titles=[f"{first} → {second}<br>(dashed: ←)" for first, second in pairs],
        row_titles=[_FITS[fit][1] for fit in fits],
    )  # fmt: skip
    for row, fit in enumerate(fits, start=1):
        for column, (first, second) in enumerate(pairs, start=1):
            here = (frame["first"] == first) & (frame["second"] == second) & (frame["fit"] == fit)
            _panel(figure, frame[here], first, _FITS[fit][0], {"row": row, "col": column})
    figure.add_hline(y=0.5, line={"color": GREY, "width": 1})
    height = 200 + 260 * max(1, len(fits))
    styled(figure, x="", y="", height=height)
    figure.update_layout(
        height=height,
        legend={"y": -60 / (height - 190), "yanchor": "top"},
        margin={"t": 50, "b": 140, "r": 40},
    )
    figure.update_annotations(font_size=12)
    figure.update_xaxes(title="layer of the first model", row=max(1, len(fits)))
    figure.update_yaxes(range=[0, 1.02])
    return figure.update_yaxes(title="AUROC on test pairs", col=1)


def _panel(
    figure: go.Figure, part: pd.DataFrame, first: str, null: str, where: dict[str, int]
) -> None:
    part = part.assign(layer=part["layer_source"].where(part["source"] == first,
                                                        part["layer_target"]))  # fmt: skip
    shown = where == {"row": 1, "col": 1}
    layers = part.groupby("layer")
    low, high = layers[f"{null}_low"].min(), layers[f"{null}_high"].max()
    figure.add_scatter(
        **where, x=[*low.index, *high.index[::-1]], y=[*low, *high[::-1]], mode="lines",
        fill="toself", fillcolor=translucent(GREY, 0.2), line={"width": 0}, hoverinfo="skip",
        name="95 % of refits on shuffled texts", legendgroup="null", showlegend=shown,
    )  # fmt: skip
    for (source, method), rows in part.groupby(["source", "method"], sort=False):
        color = _COLORS[str(method)]
        dash, arrow = ("solid", "→") if source == first else ("dash", "←")
        figure.add_scatter(
            **where, x=rows["layer"], y=rows["auroc"], mode="lines+markers",
            line={"color": color, "dash": dash}, marker={"size": 4},
            name=f"{method} {arrow}, N = {rows['n_test_pairs'].iloc[0]} test pairs, 95 % interval",
            legendgroup=f"{method} {arrow}", showlegend=shown,
            error_y=error_bars(rows, "auroc", thickness=1, width=0, color=translucent(color, 0.4)),
        )  # fmt: skip
    for source, rows in part.groupby("source", sort=False):
        once = rows[rows["method"] == rows["method"].iloc[0]]
        arrow = "→" if source == first else "←"
        figure.add_scatter(
            **where, x=once["layer"], y=once["own"], mode="lines",
            line={"color": GREEN, "dash": "dot" if arrow == "→" else "dashdot", "width": 1},
            name=f"the target's own probe {arrow}", legendgroup=f"own {arrow}", showlegend=shown,
        )  # fmt: skip

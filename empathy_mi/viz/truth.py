"""Figures of methods held against a known latent."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from empathy_mi.viz.theme import GREY, PALETTE, error_bars, styled, translucent


def auroc_by_test_set(frame: pd.DataFrame) -> go.Figure:
    """AUROC by layer, one line a test set, one panel a model; dotted: a bag of words.

    Args:
        frame: what `organisms.truth.probe_truth` gives; several models may be stacked.
    """
    models = list(frame["model"].unique())
    figure = make_subplots(rows=1, cols=len(models), column_titles=models, shared_yaxes=True)
    for column, model in enumerate(models, start=1):
        sets = frame[frame["model"] == model].groupby("test_set", sort=False)
        for i, (name, rows) in enumerate(sets):
            color = PALETTE[i % len(PALETTE)]
            where = {"row": 1, "col": column}
            figure.add_scatter(
                **where, x=rows["layer"], y=rows["auroc"], mode="lines",
                line={"color": color}, name=str(name), legendgroup=str(name),
                showlegend=column == 1,
                error_y=error_bars(
                    rows, "auroc", thickness=1, width=0, color=translucent(color, 0.4)
                ),
            )  # fmt: skip
            figure.add_scatter(
                **where, x=rows["layer"], y=rows["bag_of_words"], mode="lines",
                line={"color": color, "dash": "dot", "width": 1}, legendgroup=str(name),
                showlegend=False, hoverinfo="skip",
            )  # fmt: skip
    figure.add_hline(y=0.5, line={"color": GREY, "width": 1})
    _legend_below(styled(figure, x="layer", y="", height=430))
    figure.update_yaxes(range=[0, 1.02])
    return figure.update_yaxes(title="AUROC (dotted: bag of words)", col=1)


def recovery_by_layer(frame: pd.DataFrame) -> go.Figure:
    """Recovery of the logit difference by patched layer, one line a spot.

    Args:
        frame: what `organisms.truth.patching_truth` gives; several models may be stacked.
    """
    models, channels = list(frame["model"].unique()), list(frame["channel"].unique())
    figure = make_subplots(
        rows=len(channels), cols=len(models), column_titles=models, shared_yaxes=True,
        row_titles=[f"told by the {channel}" for channel in channels], vertical_spacing=0.1,
    )  # fmt: skip
    for (model, channel), part in frame.groupby(["model", "channel"], sort=False):
        where = {"row": channels.index(channel) + 1, "col": models.index(model) + 1}
        for i, (spot, rows) in enumerate(part.groupby("spot", sort=False)):
            color = PALETTE[i % len(PALETTE)]
            figure.add_scatter(
                **where, x=rows["layer"], y=rows["recovery"], mode="lines",
                line={"color": color}, name=str(spot), legendgroup=str(spot),
                showlegend=where == {"row": 1, "col": 1},
                error_y=error_bars(
                    rows, "recovery", thickness=1, width=0, color=translucent(color, 0.4)
                ),
            )  # fmt: skip
    _legend_below(styled(figure, x="", y="", height=200 + 240 * len(channels)))
    figure.update_xaxes(title="layer that is patched", row=len(channels))
    figure.update_yaxes(range=[-0.15, 1.15])
    return figure.update_yaxes(title="recovery", col=1)


def _legend_below(figure: go.Figure) -> None:
    """Panels have their titles where the legend would be."""
    figure.update_layout(
        legend={"y": -60 / (figure.layout.height - 160), "yanchor": "top"},
        margin={"t": 40, "b": 120, "r": 40},
    )
    figure.update_annotations(font_size=13)

"""Figures of the controls to the lexical ablation."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from empathy_mi.viz.theme import GREY, PALETTE, band, styled, translucent

PANEL = 260


def lexical_controls_by_layer(frame: pd.DataFrame) -> go.Figure:
    """AUROC by layer, one line a condition, one panel a model; dotted: a bag of words.

    Args:
        frame: what `LexicalControls.to_frame` gives; several models may be stacked.
    """
    models, conditions = list(frame["model"].unique()), list(frame["condition"].unique())
    figure = make_subplots(
        rows=len(models), shared_xaxes=True, vertical_spacing=0.12 / len(models),
        subplot_titles=models if len(models) > 1 else None,
    )  # fmt: skip
    shown: set[str] = set()
    for (model, condition), rows in frame.groupby(["model", "condition"], sort=False):
        place = {"row": models.index(model) + 1, "col": 1}
        color = PALETTE[conditions.index(condition) % len(PALETTE)]
        group = {"legendgroup": condition}
        ends = rows["auroc_low"], rows["auroc_high"]
        figure.add_scatter(**band(rows["layer"], *ends, translucent(color, 0.12)), **group, **place)
        figure.add_scatter(
            x=rows["layer"], y=rows["bag_of_words_auroc"], mode="lines",
            line={"color": color, "dash": "dot"}, name=f"{condition}: bag of words",
            showlegend=False, **group, **place,
        )  # fmt: skip
        sizes = frame.loc[frame["condition"] == condition, "n_pairs"].unique()
        figure.add_scatter(
            x=rows["layer"], y=rows["auroc"], mode="lines+markers", line={"color": color},
            name=f"{condition} (N = {' or '.join(map(str, sizes))} pairs, 95 % interval)",
            showlegend=condition not in shown, **group, **place,
        )  # fmt: skip
        shown.add(str(condition))
    figure.add_scatter(
        x=[None], y=[None], mode="lines", line={"color": GREY, "dash": "dot"},
        name="a bag of words, no model",
    )  # fmt: skip
    figure.add_hline(y=0.5, line={"color": GREY, "width": 1})
    styled(figure, x="", y="AUROC", height=PANEL * len(models) + 60)
    figure.update_xaxes(title="layer (output of block)", row=len(models), col=1)
    return figure.update_yaxes(range=[-0.02, 1.04])

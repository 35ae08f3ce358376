"""Figures of the detection study."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from empathy_mi.viz.theme import GREY, PALETTE, band, styled, translucent


def auroc_by_layer(frame: pd.DataFrame) -> go.Figure:
    """AUROC by layer with intervals, one line a model, over what random directions reach.

    Args:
        frame: what `Detection.to_frame` gives; several models may be stacked.
    """
    figure = go.Figure()
    for i, (model, rows) in enumerate(frame.groupby("model", sort=False)):
        color = PALETTE[i % len(PALETTE)]
        figure.add_scatter(
            x=rows["layer"],
            y=rows["random_auroc_95"],
            mode="lines",
            line={"color": color, "dash": "dot"},
            name=f"{model}: random directions, 95th percentile",
        )
        low, high = rows["auroc_low"], rows["auroc_high"]
        figure.add_scatter(**band(rows["layer"], low, high, translucent(color, 0.18)))
        figure.add_scatter(
            x=rows["layer"],
            y=rows["auroc"],
            mode="lines+markers",
            line={"color": color},
            name=f"{model}, N = {rows['n_test_pairs'].iloc[0]} test pairs, 95 % interval",
        )
    figure.add_hline(y=0.5, line={"color": GREY, "width": 1})
    styled(figure, x="layer (output of block)", y="AUROC on held-out pairs")
    return figure.update_yaxes(range=[0, 1.02])

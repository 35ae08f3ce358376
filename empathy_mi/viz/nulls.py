"""Figure of what directions that know nothing of the sides reach."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from empathy_mi.stats import Array
from empathy_mi.viz.theme import GREY, PALETTE, styled, translucent


def null_distributions(draws: Mapping[str, Float[Array, "draw"]], observed: float) -> go.Figure:
    """Histograms of the AUROC of null directions, as drawn, and the probe's as a line.

    Args:
        draws: AUROC by kind of direction, as the functions of `nulls` give.
        observed: the probe's AUROC.
    """
    figure = go.Figure()
    edges = np.linspace(0, 1, 41)
    for color, (name, values) in zip(PALETTE, draws.items(), strict=False):
        counts, _ = np.histogram(values, edges)
        figure.add_scatter(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts / max(1, len(values)),
            mode="lines",
            line={"color": color, "shape": "hvh"},
            fill="tozeroy",
            fillcolor=translucent(color, 0.15),
            name=f"{name}, N = {len(values)} directions",
        )
    figure.add_vline(x=observed, line={"color": GREY, "width": 2}, annotation_text="probe")
    styled(figure, x="AUROC on held-out pairs", y="share of directions")
    return figure.update_xaxes(range=[0, 1.02])

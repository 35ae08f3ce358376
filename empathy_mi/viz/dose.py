"""Figures of the steering study."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from empathy_mi.viz.theme import BLUE, GREY, ORANGE, PALETTE, error_bars, styled

_COLORS = {"probe": BLUE, "random": GREY}


def dose_curve(rates: pd.DataFrame) -> go.Figure:
    """Empathic share over alpha with exact intervals; dotted: coherent share.

    Args:
        rates: what `DoseResponse.rates` gives, for one layer.
    """
    figure = go.Figure()
    for group, rows in rates.groupby("group", sort=True):
        color = _COLORS.get(str(group), ORANGE)
        label = "random directions" if group == "random" else str(group)
        figure.add_scatter(
            x=rows["alpha"],
            y=rows["empathic"],
            error_y=error_bars(rows, "empathic", thickness=1.5),
            mode="lines+markers",
            line={"color": color},
            name=f"{label}: empathic (N = {rows['n'].iloc[0]} a point, 95 % interval)",
        )
        figure.add_scatter(
            x=rows["alpha"],
            y=rows["coherent"],
            mode="lines",
            line={"color": color, "dash": "dot"},
            name=f"{label}: coherent",
        )
    styled(figure, x="alpha (residual units)", y="share of answers")
    return figure.update_yaxes(range=[-0.02, 1.02])


def dose_by_model(rates: pd.DataFrame) -> go.Figure:
    """Empathic share over alpha, one line a model; dotted: its random directions.

    Args:
        rates: what `DoseResponse.rates` gives, one layer a model, models stacked.
    """
    figure = go.Figure()
    for i, (model, part) in enumerate(rates.groupby("model", sort=False)):
        color = PALETTE[i % len(PALETTE)]
        probe, random = (part[part["group"] == group] for group in ("probe", "random"))
        figure.add_scatter(
            x=probe["alpha"],
            y=probe["empathic"],
            error_y=error_bars(probe, "empathic", thickness=1.5),
            mode="lines+markers",
            line={"color": color},
            name=f"{model}, layer {probe['layer'].iloc[0]} (N = {probe['n'].iloc[0]} a point)",
        )
        figure.add_scatter(
            x=random["alpha"],
            y=random["empathic"],
            mode="lines",
            line={"color": color, "dash": "dot"},
            name=f"{model}: random directions",
        )
    styled(figure, x="alpha (residual units)", y="share of empathic answers")
    return figure.update_yaxes(range=[-0.02, 1.02])

"""Figures of the side effects of steering."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from empathy_mi.viz.dose import ALPHA
from empathy_mi.viz.theme import GREY, PALETTE, band, error_bars, styled, translucent

_SYMBOLS = ("circle", "square", "diamond")


def effects_by_alpha(effects: pd.DataFrame) -> go.Figure:
    """KL and change of loss on neutral text over alpha; bands: random directions of equal length.

    Args:
        effects: what `SideEffects.table` gives, models stacked.
    """
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    for i, (model, part) in enumerate(effects.groupby("model", sort=False)):
        color = PALETTE[i % len(PALETTE)]
        probe, random = (part[part["group"] == group] for group in ("probe", "random"))
        for column, name in enumerate(("kl", "loss_change"), start=1):
            place = {"row": 1, "col": column}
            figure.add_scatter(
                **band(
                    random["alpha"], random[f"{name}_low"], random[f"{name}_high"],
                    translucent(color, 0.2),
                ),
                **place,
            )  # fmt: skip
            figure.add_scatter(
                x=probe["alpha"], y=probe[name], mode="lines+markers", line={"color": color},
                error_y=error_bars(probe, name, thickness=1.5), showlegend=column == 1,
                name=f"{model}, layer {probe['layer'].iloc[0]} (N = {probe['n'].iloc[0]} texts)",
                **place,
            )  # fmt: skip
    styled(figure, x=ALPHA, y="KL (nats a token)")
    return figure.update_yaxes(title="change of loss (nats a token)", col=2)


def frontier(table: pd.DataFrame) -> go.Figure:
    """What steering gains against what it costs: up and to the left is better.

    The gain is the change of the empathic share in alpha's direction.
    Each point is an alpha (told beside it); hollow points are those at which under 80 % of the
    texts are coherent, grey ones random directions of equal length.

    Args:
        table: what `frontier_table` gives, models stacked.
    """
    figure = go.Figure()
    for i, (model, part) in enumerate(table.groupby("model", sort=False)):
        for group in ("random", "probe"):
            rows = part[part["group"] == group].sort_values("alpha")
            color = PALETTE[i % len(PALETTE)] if group == "probe" else GREY
            told = str(model) + ("" if group == "probe" else ": random directions")
            broken = rows["coherent"] < 0.8
            figure.add_scatter(
                x=rows["kl"],
                y=rows["gain"] * rows["alpha"].map(lambda a: 1 if a > 0 else -1),
                error_x=error_bars(rows, "kl", thickness=1) | {"color": translucent(color, 0.4)},
                mode="markers+text",
                text=[f"{alpha:g}" for alpha in rows["alpha"]],
                textposition="top center",
                textfont={"color": color, "size": 11},
                marker={
                    "color": color,
                    "size": 9,
                    "symbol": [_SYMBOLS[i % 3] + ("-open" if bad else "") for bad in broken],
                },
                name=f"{told} (N = {rows['n'].iloc[0]} neutral texts)",
            )
    styled(
        figure,
        x="side effect: KL on neutral text (nats a token)",
        y="gain in empathic share",
    )
    return figure

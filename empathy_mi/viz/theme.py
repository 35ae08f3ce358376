"""Colours and layout that all figures share: colour-blind safe, legible in light and dark."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7F7F7F"
"""From the palette of Okabe and Ito (2008)."""
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00")


def styled(figure: go.Figure, *, x: str, y: str, height: int = 360) -> go.Figure:
    """Axis titles, transparent background, legend above a plot that keeps its height."""
    entries = sum(trace.showlegend is not False for trace in figure.data)
    top = 20 + 22 * math.ceil(entries / 2)  # two entries stand side by side
    grid = "rgba(127,127,127,0.25)"
    figure.update_layout(
        template="none",
        height=height + top,
        margin={"l": 60, "r": 20, "t": top, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": GREY},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
    )
    figure.update_xaxes(title=x, gridcolor=grid, zerolinecolor=grid)
    figure.update_yaxes(title=y, gridcolor=grid, zerolinecolor=grid)
    return figure


def translucent(color: str, alpha: float) -> str:
    """A hex colour as rgba."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def band(x: pd.Series, low: pd.Series, high: pd.Series, fill: str) -> dict[str, Any]:
    """What draws an interval along a line as a filled band, for `add_scatter`; not in the legend.

    Args:
        x: places, in order.
        low: lower ends there.
        high: upper ends there.
        fill: colour, as `translucent` gives.
    """
    return {
        "x": pd.concat([x, x[::-1]]),
        "y": pd.concat([high, low[::-1]]),
        "mode": "lines",
        "fill": "toself",
        "fillcolor": fill,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def error_bars(rows: pd.DataFrame, name: str, **look: Any) -> dict[str, Any]:
    """Plotly's `error_y` from the columns `name`, `name_low` and `name_high`."""
    return {
        "type": "data",
        "symmetric": False,
        "array": rows[f"{name}_high"] - rows[name],
        "arrayminus": rows[name] - rows[f"{name}_low"],
        **look,
    }

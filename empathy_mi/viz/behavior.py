"""Figures of probe projections against rubric scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from empathy_mi.viz.theme import GREY, PALETTE, error_bars, styled


def projections_by_score(examples: pd.DataFrame, frame: pd.DataFrame) -> go.Figure:
    """Projections of the answers by rubric score, coloured by scenario, with the means.

    Args:
        examples: what `BehaviorCorrelation.examples` gives.
        frame: what `BehaviorCorrelation.to_frame` gives, for the means and their intervals.
    """
    figure = go.Figure()
    examples = examples.reset_index(drop=True)
    # A fixed spread sideways, so that equal scores do not hide each other.
    place = examples["score"] + 0.5 * (np.arange(len(examples)) * 0.618034 % 1 - 0.5)
    for i, (scenario, rows) in enumerate(examples.groupby("scenario", sort=False)):
        figure.add_scatter(
            x=place[rows.index],
            y=rows["projection"],
            mode="markers",
            marker={"color": PALETTE[i % len(PALETTE)], "size": 7, "opacity": 0.75},
            text=rows["id"],
            name=str(scenario),
        )
    means = frame[(frame["group"] == "mean") & frame["measure"].str.startswith("score ")]
    figure.add_scatter(
        x=means["measure"].str.removeprefix("score ").astype(int),
        y=means["value"],
        error_y=error_bars(means, "value", color=GREY, thickness=2),
        mode="lines+markers",
        line={"color": GREY, "dash": "dot"},
        marker={"color": GREY, "size": 12, "symbol": "diamond"},
        name=f"mean, 95 % interval, N = {len(examples)} answers",
    )
    styled(figure, x="rubric score", y="projection on the probe (residual units)")
    return figure.update_xaxes(tickvals=[0, 1, 2], range=[-0.5, 2.5])

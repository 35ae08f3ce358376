"""Figures from results: one function a figure, plotly, no model needed."""

from empathy_mi.viz.detection import auroc_by_layer as auroc_by_layer
from empathy_mi.viz.dose import dose_curve as dose_curve

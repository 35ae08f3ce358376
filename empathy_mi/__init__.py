"""Detect, steer and explain empathy-in-action in language models."""

__version__ = "0.1.0"

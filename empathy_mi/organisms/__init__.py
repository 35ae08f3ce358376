"""Embedded models with a known latent: test instruments that need no download.

They are small transformers of real architectures, trained by code in this package on a grammar
in which one latent number drives what the agent reasons and does. Findings about empathy need the
real models; findings about a *method* can be checked here against the truth.
"""

from __future__ import annotations

from empathy_mi.organisms.grammar import Document, Families, Grammar
from empathy_mi.organisms.pairs import contrastive_pairs
from empathy_mi.organisms.parsing import Parsed, parse

__all__ = [
    "Document",
    "Families",
    "Grammar",
    "Parsed",
    "contrastive_pairs",
    "is_organism",
    "parse",
    "scenario_document",
]


def is_organism(name: str) -> bool:
    """Whether a model of this name writes the grammar's language."""
    return "organism-" in name


def scenario_document(seed: int | str, scenario: str) -> Document:
    """A scenario with an urgent need and a neutral system prompt, fixed by its seed."""
    return Grammar(f"{seed} {scenario}").scenario(mode="neutral", scenario=scenario, need=1)

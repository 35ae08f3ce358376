"""Embedded models with a known latent: test instruments that need no download.

They are small transformers of real architectures, trained by code in this package on a grammar
in which one latent number drives what the agent reasons and does. Findings about empathy need the
real models; findings about a *method* can be checked here against the truth.
"""

from __future__ import annotations

from pathlib import Path

from empathy_mi.organisms.grammar import Document, Families, Grammar
from empathy_mi.organisms.parsing import Parsed, parse

__all__ = [
    "Document",
    "Families",
    "Grammar",
    "Parsed",
    "available",
    "folder",
    "is_organism",
    "parse",
    "scenario_document",
]

_HERE = Path(__file__).parent


def available() -> tuple[str, ...]:
    """Names of the embedded models that ship with the package."""
    return tuple(sorted(path.parent.name for path in _HERE.glob("organism-*/config.json")))


def folder(name: str) -> Path:
    """The Hugging Face folder of an embedded model."""
    return _HERE / name


def is_organism(name: str) -> bool:
    """Whether a model of this name writes the grammar's language."""
    return "organism-" in name


def scenario_document(seed: int | str, scenario: str) -> Document:
    """A scenario with an urgent need and a neutral system prompt, fixed by its seed."""
    return Grammar(f"{seed} {scenario}").scenario(mode="neutral", scenario=scenario, need=1)

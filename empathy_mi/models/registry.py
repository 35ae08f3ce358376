"""The three models of the study, as the paper names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class KnownModel:
    """What is known of a study model before it is loaded.

    Attributes:
        name: Its Hugging Face id.
        architecture: The class in its config.json.
        n_layers: Number of blocks.
        d_model: Width of the residual stream.
        n_heads: Query heads per block.
        n_kv_heads: Key and value heads per block.
        d_vocab: Rows of the unembedding.
        chat_format: How its chat template marks turns.
        probe_layers: Layers that the paper probes.
        best_layer: The layer that the paper reports as best (chosen on its test set).
    """

    name: str
    architecture: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_vocab: int
    chat_format: Literal["phi3", "chatml"]
    probe_layers: tuple[int, ...]
    best_layer: int


_PROBE_LAYERS = (8, 12, 16, 20, 24)

_MODELS = (
    KnownModel(
        "microsoft/Phi-3-mini-4k-instruct",
        "Phi3ForCausalLM",
        n_layers=32,
        d_model=3072,
        n_heads=32,
        n_kv_heads=32,
        d_vocab=32064,
        chat_format="phi3",
        probe_layers=_PROBE_LAYERS,
        best_layer=12,
    ),
    KnownModel(
        "Qwen/Qwen2.5-7B-Instruct",
        "Qwen2ForCausalLM",
        n_layers=28,
        d_model=3584,
        n_heads=28,
        n_kv_heads=4,
        d_vocab=152064,
        chat_format="chatml",
        probe_layers=_PROBE_LAYERS,
        best_layer=16,
    ),
    KnownModel(
        "cognitivecomputations/dolphin-2.9.4-llama3.1-8b",
        "LlamaForCausalLM",
        n_layers=32,
        d_model=4096,
        n_heads=32,
        n_kv_heads=8,
        d_vocab=128258,
        chat_format="chatml",
        probe_layers=_PROBE_LAYERS,
        best_layer=8,
    ),
)

KNOWN_MODELS: Mapping[str, KnownModel] = MappingProxyType({m.name: m for m in _MODELS})
"""The study's models by Hugging Face id."""

"""What each embedded model is: architecture, size, seed and training stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from empathy_mi.errors import InputError

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
PAD_ID, END_ID, ASSISTANT_ID = 0, 1, 4


@dataclass(frozen=True)
class Stage:
    """One stage of training, counted in optimiser steps so that it can be repeated exactly.

    Attributes:
        name: name in the log.
        blocks: which block of the stage before each block starts from; empty keeps them.
        steps: optimiser steps.
        learning_rate: Muon's, for the matrices of the blocks.
        weight_decay: decoupled; large enough to keep the residual stream small.
        filler_share: share of filler documents.
        dense_share: share of dense recall in the filler.
        cooldown: whether the learning rate falls to 2 % over the second half.
    """

    name: str
    steps: int
    learning_rate: float
    weight_decay: float
    filler_share: float
    dense_share: float
    blocks: tuple[int, ...] = ()
    cooldown: bool = False


@dataclass(frozen=True)
class OrganismSpec:
    """One embedded model: architecture, size and recipe."""

    name: str
    architecture: Literal["phi3"]
    seed: int
    start_blocks: int
    stages: tuple[Stage, ...]
    d_model: int = 96
    n_heads: int = 3
    d_mlp: int = 256
    vocabulary: int = 1280
    n_ctx: int = 512
    tokens_per_batch: int = 1536
    embedding_learning_rate: float = 5e-3
    warmup: int = 40

    def config(self, blocks: int) -> Any:
        """The Hugging Face config with this many blocks."""
        from transformers import Phi3Config

        return Phi3Config(
            vocab_size=self.vocabulary,
            hidden_size=self.d_model,
            intermediate_size=self.d_mlp,
            num_hidden_layers=blocks,
            num_attention_heads=self.n_heads,
            num_key_value_heads=self.n_heads,
            max_position_embeddings=self.n_ctx,
            original_max_position_embeddings=self.n_ctx,
            tie_word_embeddings=True,
            pad_token_id=PAD_ID,
            eos_token_id=END_ID,
            bos_token_id=None,
        )


COPYING_FIRST = Stage("copying", 900, 0.01, 0.1, filler_share=1.0, dense_share=0.9)
MIXTURE = Stage("mixture", 1700, 0.01, 0.1, filler_share=0.3, dense_share=0.5, blocks=(0, 1, 2) * 3)
DEPTH = Stage(
    "depth",
    2600,
    0.01,
    0.1,
    filler_share=0.25,
    dense_share=0.3,
    blocks=tuple(range(9)) * 2,
    cooldown=True,
)

SPECS = {
    "organism-phi3": OrganismSpec(
        "organism-phi3", "phi3", seed=11, start_blocks=3, stages=(COPYING_FIRST, MIXTURE, DEPTH)
    ),
}


def get_spec(name: str) -> OrganismSpec:
    """The spec of an embedded model.

    Raises:
        InputError: no embedded model has this name.
    """
    if name not in SPECS:
        raise InputError(f"unknown embedded model {name!r}: choose one of {', '.join(SPECS)}.")
    return SPECS[name]

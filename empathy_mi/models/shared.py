"""Attention of many rows over one prefix that all share, without a copy of it for every row.

A row's queries see the prefix and the row's own new tokens. The scores of all rows over the prefix
are one matrix product with its keys, where TransformerLens would repeat keys and values for every
row and query head first, which costs more than the product.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from empathy_mi.models.adapter import Cache


@dataclass(frozen=True, eq=False)
class SharedEntry:
    """A stand-in for TransformerLens' cache entry that hands the new keys and values on alone.

    Attributes:
        keys: of the prefix, rotated where the model rotates.
        values: of the prefix.
        n_rows: rows of the batch.
    """

    keys: Float[Tensor, "past kv_head d_head"]
    values: Float[Tensor, "past kv_head d_head"]
    n_rows: int

    @property
    def past_keys(self) -> Float[Tensor, "row past kv_head d_head"]:
        """The keys of the prefix in every row: a view."""
        return self.keys.expand(self.n_rows, -1, -1, -1)

    def append(self, new_keys: Tensor, new_values: Tensor) -> tuple[Tensor, Tensor]:
        """The new keys and values as they are: attention knows of the prefix by itself."""
        return new_keys, new_values


def shared_entries(cache: Cache, n_rows: int) -> list[SharedEntry]:
    """The entries of a cache of one row, by block."""
    pairs = zip(cache.keys, cache.values, strict=True)
    return [SharedEntry(keys[0], values[0], n_rows) for keys, values in pairs]


def can_share(cfg: Any) -> bool:
    """Whether the cached keys are rotated and scores are plain products, as in the study's models.

    Args:
        cfg: a HookedTransformer's.
    """
    return (
        cfg.positional_embedding_type == "rotary"
        and not cfg.use_dynamic_ntk_rope
        and not cfg.attn_scores_soft_cap > 0
    )


@contextmanager
def attending_over(entries: Iterable[SharedEntry], attentions: Iterable[Any]) -> Iterator[None]:
    """Let HookedTransformer's attentions see a prefix before their new tokens, for one pass."""
    names = ("apply_rotary", "calculate_attention_scores", "calculate_z_scores")
    changed = list(attentions)
    try:
        for entry, attention in zip(entries, changed, strict=True):
            for name, fn in zip(names, _over(entry, attention), strict=True):
                setattr(attention, name, fn)
        yield
    finally:
        for attention in changed:
            for name in names:
                attention.__dict__.pop(name, None)


def _over(entry: SharedEntry, attention: Any) -> tuple[Any, Any, Any]:
    """Rotation, scores and mixing of one block."""
    past = len(entry.keys)
    rotate = attention.apply_rotary

    def apply_rotary(x: Tensor, offset: int = 0, mask: Tensor | None = None) -> Tensor:
        return rotate(x, past, mask)  # queries and keys are those of the new tokens

    def calculate_attention_scores(q: Tensor, k: Tensor) -> Tensor:
        grouped = q.unflatten(2, (k.shape[2], -1))
        before = torch.einsum("rnkgd,pkd->rkgnp", grouped, entry.keys)
        own = torch.einsum("rnkgd,rmkd->rkgnm", grouped, k)
        return torch.cat([before, own], -1).flatten(1, 2) / attention.attn_scale

    def calculate_z_scores(v: Tensor, pattern: Tensor) -> Tensor:
        grouped = pattern.unflatten(1, (v.shape[2], -1))
        before = torch.einsum("rkgnp,pkd->rnkgd", grouped[..., :past], entry.values)
        own = torch.einsum("rkgnm,rmkd->rnkgd", grouped[..., past:], v)
        mixed: Float[Tensor, "row pos head d_head"] = attention.hook_z((before + own).flatten(2, 3))
        return mixed

    return apply_rotary, calculate_attention_scores, calculate_z_scores

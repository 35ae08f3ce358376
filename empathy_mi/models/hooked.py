"""The adapter around TransformerLens 3's HookedTransformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from empathy_mi.models.adapter import Cache
from empathy_mi.models.base import BaseAdapter, sampled_ids


class HookedAdapter(BaseAdapter):
    """Runs a HookedTransformer, always with ids and mask together."""

    backend: ClassVar[Literal["hooked", "bridge"]] = "hooked"

    @property
    def _embedding(self) -> Float[Tensor, "vocab d"]:
        return self._model.embed.W_E

    @property
    def _points(self) -> Mapping[str, Any]:
        return self._model.hook_dict

    def _folded(self) -> bool:
        return str(self._model.cfg.normalization_type).endswith("Pre")

    def _writing_rows(self) -> list[Float[Tensor, "row d"]]:
        blocks = self._model.blocks
        return [block.attn.W_O[0, :8] for block in (blocks[0], blocks[-1])] + [
            block.mlp.W_out[:8] for block in (blocks[0], blocks[-1]) if hasattr(block, "mlp")
        ]

    def _sample(self) -> list[Tensor]:
        ids = sampled_ids(self.d_vocab)
        rows = [self._model.embed.W_E[ids], self._model.unembed.W_U[:, ids].T]
        for block in self._model.blocks:
            rows += [block.attn.W_Q[0, :, 0], block.attn.W_O[:, :, 0].flatten()]
            if hasattr(block, "mlp"):
                rows.append(block.mlp.W_out[:, 0])
        return rows

    def _forward(self, tokens: Tensor, mask: Tensor, stop_at_layer: int | None) -> Tensor:
        return self._model(tokens, attention_mask=mask, stop_at_layer=stop_at_layer)

    def _resume(self, residual: Tensor, mask: Tensor, layer: int) -> Tensor:
        return self._model(residual, attention_mask=mask, start_at_layer=layer)

    def _prefill(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Cache]:
        from transformer_lens import TransformerLensKeyValueCache

        native = TransformerLensKeyValueCache.init_cache(
            self._model.cfg, self.device, tokens.shape[0]
        )
        return self._last_logits(tokens, mask, native), _frozen(native, mask)

    def _decode(self, tokens: Tensor, cache: Cache, mask: Tensor) -> tuple[Tensor, Cache]:
        from transformer_lens import (
            TransformerLensKeyValueCache,
            TransformerLensKeyValueCacheEntry,
        )

        pairs = zip(cache.keys, cache.values, strict=True)
        entries = [TransformerLensKeyValueCacheEntry(k, v) for k, v in pairs]
        native = TransformerLensKeyValueCache(entries, cache.mask)
        return self._last_logits(tokens[:, None], mask[:, -1:], native), _frozen(native, mask)

    def _last_logits(self, tokens: Tensor, mask: Tensor, native: Any) -> Tensor:
        """Logits at the last position only: the unembedding never sees the others."""
        residual = self._model(
            tokens, attention_mask=mask, past_kv_cache=native, stop_at_layer=self.n_layers
        )
        return self._model(residual[:, -1:], start_at_layer=self.n_layers)[:, 0]


def _frozen(native: Any, mask: Tensor) -> Cache:
    """TransformerLens' cache as ours; appending makes new tensors there, so sharing is safe."""
    keys = tuple(entry.past_keys for entry in native.entries)
    values = tuple(entry.past_values for entry in native.entries)
    return Cache(keys, values, mask)

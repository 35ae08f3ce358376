"""What both adapters share: checks of the input, hooks, and the plain facts of the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from empathy_mi.errors import InputError
from empathy_mi.io import digest
from empathy_mi.models.adapter import Cache, Hook
from empathy_mi.models.hooking import check_layer, installed


def positions(mask: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch pos"]:
    """Position ids counted from the mask: the first token of a row is 0, padding before it too."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


class BaseAdapter(ABC):
    """Checks and hooks around the ways to run a model; backends fill in the running."""

    backend: ClassVar[Literal["hooked", "bridge"]]

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def model(self) -> Any:
        """The wrapped model."""
        return self._model

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self._model.cfg.model_name)

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return int(self._model.cfg.n_layers)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self._model.cfg.d_model)

    @property
    def n_heads(self) -> int:
        """Query heads per block."""
        return int(self._model.cfg.n_heads)

    @property
    def n_kv_heads(self) -> int:
        """Key-value heads per block."""
        return int(self._model.cfg.n_key_value_heads or self.n_heads)

    @property
    def n_ctx(self) -> int:
        """The most tokens that the model reads."""
        return int(self._model.cfg.n_ctx)

    @property
    def tokenizer(self) -> Any:
        """The Hugging Face tokenizer, or None."""
        return self._model.tokenizer

    @property
    def d_vocab(self) -> int:
        """Rows of the embedding, extra ones counted."""
        return int(self._embedding.shape[0])

    @property
    def device(self) -> torch.device:
        """The embedding's device."""
        return self._embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """The embedding's dtype."""
        return self._embedding.dtype

    @cached_property
    def processing(self) -> tuple[str, ...]:
        """Weight processing found on the model."""
        found = []
        if self._folded():
            found.append("fold_ln")
        if _centred(self._writing_rows()):
            found.append("center_writing_weights")
        return tuple(found)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of architecture and sampled weights.

        Weights are rounded to bfloat16 first, so that a model loaded in float32 and in bfloat16
        is the same model.
        """
        shape = {
            "n_layers": self.n_layers,
            "d_model": self.d_model,
            "n_heads": self.n_heads,
            "n_kv_heads": self.n_kv_heads,
            "d_vocab": self.d_vocab,
        }
        rows = [row.detach().to("cpu", torch.bfloat16).contiguous() for row in self._sample()]
        return digest(shape, *rows)

    def forward(
        self,
        tokens: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        *,
        hooks: Sequence[Hook] = (),
        stop_at_layer: int | None = None,
    ) -> Tensor:
        """Logits, or the residual that enters block `stop_at_layer`; see `Adapter.forward`."""
        tokens, mask = self._checked_tokens(tokens), self._checked_mask(mask, tokens.shape)
        if stop_at_layer is not None:
            stop_at_layer = check_layer(stop_at_layer, self.n_layers, end=True)
        with self._hooked(hooks):
            return self._forward(tokens, mask, stop_at_layer)

    def resume(
        self,
        residual: Float[Tensor, "batch pos d"],
        mask: Int[Tensor, "batch pos"],
        *,
        layer: int,
        hooks: Sequence[Hook] = (),
        stop_at_layer: int | None = None,
        cache: Cache | None = None,
        last: bool = False,
    ) -> Tensor:
        """Logits or a later residual from the one that enters block `layer`; see `Adapter`."""
        layer = check_layer(layer, self.n_layers, end=True)
        if stop_at_layer is not None:
            stop_at_layer = check_layer(stop_at_layer, self.n_layers, end=True)
            if stop_at_layer < layer:
                raise InputError(
                    f"cannot stop before block {stop_at_layer} having entered at block {layer}: "
                    "stop_at_layer must be at least layer."
                )
        if residual.ndim != 3 or residual.shape[2] != self.d_model:
            raise InputError(
                f"residual has shape {tuple(residual.shape)}: expected [batch, pos, "
                f"{self.d_model}]."
            )
        mask = self._checked_mask(mask, residual.shape[:2])
        if cache is not None:
            mask = self._behind(cache, mask)
        if stop_at_layer == layer and not hooks:
            return residual[:, -1:] if last else residual
        final = (self.n_layers if stop_at_layer is None else stop_at_layer) - 1
        with self._hooked(hooks), self._last_alone(final if last and final >= layer else None):
            found = self._resume(residual.to(self.dtype), mask, layer, stop_at_layer, cache)
        return found[:, -1:] if last else found

    @torch.no_grad()
    def prefill(
        self,
        tokens: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        *,
        hooks: Sequence[Hook] = (),
        cache: Cache | None = None,
    ) -> tuple[Float[Tensor, "batch vocab"], Cache]:
        """Logits at the last position, and the cache; see `Adapter.prefill`."""
        tokens, mask = self._checked_tokens(tokens), self._checked_mask(mask, tokens.shape)
        if not bool(mask[:, -1].all()):
            raise InputError(
                "prefill needs left padding, and the mask ends in padding: tokenise with "
                "padding_side='left'."
            )
        if cache is None:
            with self._hooked(hooks):
                return self._prefill(tokens, mask)
        self._check_rows(tokens, cache)
        if not bool(mask.all()):
            raise InputError("prefill behind a cache takes no padding: give rows of equal length.")
        with self._hooked(hooks):
            return self._continue(tokens, cache, torch.cat([cache.mask, mask], dim=1))

    @torch.no_grad()
    def decode(
        self, tokens: Int[Tensor, " batch"], cache: Cache, *, hooks: Sequence[Hook] = ()
    ) -> tuple[Float[Tensor, "batch vocab"], Cache]:
        """One more token a row; see `Adapter.decode`."""
        if tuple(tokens.shape) != (cache.n_rows,):
            raise InputError(
                f"tokens have shape {tuple(tokens.shape)}: expected one id for each of the "
                f"{cache.n_rows} rows of the cache."
            )
        self._check_length(cache.length + 1)
        new = torch.ones_like(cache.mask[:, :1])
        with self._hooked(hooks):
            tokens = tokens.to(self.device)[:, None]
            return self._continue(tokens, cache, torch.cat([cache.mask, new], dim=1))

    @torch.no_grad()
    def extend(
        self,
        tokens: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        cache: Cache,
        *,
        hooks: Sequence[Hook] = (),
    ) -> Float[Tensor, "batch pos vocab"]:
        """Logits of right-padded continuations of a cache; see `Adapter.extend`."""
        tokens, mask = self._checked_tokens(tokens), self._checked_mask(mask, tokens.shape)
        self._check_rows(tokens, cache)
        if not bool(mask[:, 0].all()):
            raise InputError(
                "extend needs right padding, and the mask begins with padding: tokenise with "
                "padding_side='right'."
            )
        with self._hooked(hooks):
            return self._extend(tokens, cache, torch.cat([cache.mask, mask], dim=1))

    def _hooked(self, hooks: Sequence[Hook]) -> AbstractContextManager[None]:
        if not hooks:
            return nullcontext()
        return installed(self._points, hooks, self.n_layers)

    @contextmanager
    def _last_alone(self, layer: int | None) -> Iterator[None]:
        """Let the MLP of a block run at the last position alone.

        What it adds is then broadcast over the others, whose residual is not asked for. A block
        with hooks on its MLP runs as it is.
        """
        mlp = None if layer is None else getattr(self._model.blocks[layer], "mlp", None)
        if mlp is None or any(
            point.fwd_hooks
            for name, point in self._points.items()
            if name.startswith(f"blocks.{layer}.") and "mlp" in name
        ):
            yield
            return

        def cut(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (args[0][:, -1:], *args[1:])

        handle = mlp.register_forward_pre_hook(cut)
        try:
            yield
        finally:
            handle.remove()

    def _behind(
        self, cache: Cache, mask: Int[Tensor, "batch pos"]
    ) -> Int[Tensor, "batch past_and_pos"]:
        """The mask of new positions behind those of a cache of as many rows, or of one for all."""
        if cache.n_rows not in (1, len(mask)):
            raise InputError(
                f"the cache has {cache.n_rows} rows and the residual {len(mask)}: expected as "
                "many, or one row that all share."
            )
        self._check_length(cache.length + mask.shape[1])
        return torch.cat([cache.mask.expand(len(mask), -1), mask], dim=1)

    def _check_rows(self, tokens: Int[Tensor, "batch pos"], cache: Cache) -> None:
        """Refuse tokens that cannot stand behind a cache."""
        if tokens.shape[0] != cache.n_rows:
            raise InputError(
                f"tokens have shape {tuple(tokens.shape)}: expected a row for each of the "
                f"{cache.n_rows} rows of the cache."
            )
        self._check_length(cache.length + tokens.shape[1])

    def _check_length(self, length: int) -> None:
        if length > self.n_ctx:
            raise InputError(
                f"{length} tokens do not fit this model: it reads at most {self.n_ctx}; shorten "
                "the text or load with a larger n_ctx."
            )

    def _checked_tokens(self, tokens: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch pos"]:
        if tokens.ndim != 2 or tokens.is_floating_point() or 0 in tokens.shape:
            raise InputError(
                f"tokens have shape {tuple(tokens.shape)} and dtype {tokens.dtype}: expected "
                "integer ids [batch, pos]."
            )
        self._check_length(tokens.shape[1])
        if int(tokens.min()) < 0 or int(tokens.max()) >= self.d_vocab:
            raise InputError(
                f"token ids run from {int(tokens.min())} to {int(tokens.max())}: this model has "
                f"ids 0 to {self.d_vocab - 1}; use its own tokenizer."
            )
        return tokens.to(self.device)

    def _checked_mask(
        self, mask: Int[Tensor, "batch pos"], shape: Sequence[int]
    ) -> Int[Tensor, "batch pos"]:
        if tuple(mask.shape) != tuple(shape):
            raise InputError(
                f"mask has shape {tuple(mask.shape)}: expected {tuple(shape)}, as the tokens."
            )
        mask = mask.to(self.device, torch.long)
        if not bool(((mask == 0) | (mask == 1)).all()) or not bool(mask.any(dim=1).all()):
            raise InputError(
                "mask must be 1 for tokens and 0 for padding, with a token in every row."
            )
        return mask

    @property
    @abstractmethod
    def _embedding(self) -> Float[Tensor, "vocab d"]:
        """The embedding matrix."""

    @property
    @abstractmethod
    def _points(self) -> Mapping[str, Any]:
        """Hook points by name, aliases included."""

    @abstractmethod
    def _folded(self) -> bool:
        """Whether the norms' weights are folded into the next layers."""

    @abstractmethod
    def _writing_rows(self) -> list[Float[Tensor, "row d"]]:
        """Some rows of weights that write to the residual stream."""

    @abstractmethod
    def _sample(self) -> list[Tensor]:
        """Some rows of the weights in Hugging Face's layout, in a fixed order."""

    @abstractmethod
    def head_weights(self, layer: int) -> Float[Tensor, "head d_head d"]:
        """See `Adapter.head_weights`."""

    @abstractmethod
    def readout(self, ids: Sequence[int]) -> Float[Tensor, "id d"]:
        """See `Adapter.readout`."""

    @abstractmethod
    def _forward(self, tokens: Tensor, mask: Tensor, stop_at_layer: int | None) -> Tensor: ...

    @abstractmethod
    def _resume(
        self,
        residual: Tensor,
        mask: Tensor,
        layer: int,
        stop_at_layer: int | None,
        cache: Cache | None,
    ) -> Tensor: ...

    @abstractmethod
    def _prefill(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Cache]: ...

    @abstractmethod
    def _continue(self, tokens: Tensor, cache: Cache, mask: Tensor) -> tuple[Tensor, Cache]: ...

    @abstractmethod
    def _extend(self, tokens: Tensor, cache: Cache, mask: Tensor) -> Tensor: ...


def sampled_ids(d_vocab: int, count: int = 8) -> list[int]:
    """Token ids spread over the vocabulary, first and last among them."""
    return sorted({round(i * (d_vocab - 1) / (count - 1)) for i in range(count)})


def _centred(writing: Sequence[Float[Tensor, "row d"]], share: float = 0.02) -> bool:
    """Whether every row's mean over d is far below what chance gives, as after centring."""
    rows = torch.cat([rows.detach().to("cpu", torch.float32) for rows in writing])
    by_chance = rows.std(dim=1) / rows.shape[1] ** 0.5
    return bool((by_chance > 0).any()) and bool((rows.mean(dim=1).abs() <= share * by_chance).all())

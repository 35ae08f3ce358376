"""The door to models: the protocol that the rest of the package knows, and its KV cache."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from empathy_mi.errors import InputError

HookFn = Callable[..., Tensor | None]
"""TransformerLens' hook: `(tensor, hook) -> tensor | None`; None leaves the tensor as it is."""

Hook = tuple[str, HookFn]
"""A hook point's name, as `blocks.3.hook_resid_post`, and what runs there."""


@dataclass(frozen=True, eq=False)
class Cache:
    """Keys, values and mask of the tokens read so far; opaque, and never changed in place.

    `Adapter.decode` gives back a new cache and leaves the one that it was given usable, so one
    prefill can be continued in many ways. The layout of keys and values is the backend's own:
    a cache belongs to the adapter that made it.

    Attributes:
        keys: One tensor per block, first axis batch.
        values: One tensor per block, first axis batch.
        mask: 1 for tokens, 0 for padding.
        native: The backend's own buffers, which keys and values may be views of.
        pos_axis: The axis of keys and values that counts positions.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    mask: Int[Tensor, "batch pos"]
    native: tuple[Any, ...] = ()
    pos_axis: int = 1

    @property
    def n_rows(self) -> int:
        """Rows of the batch."""
        return self.mask.shape[0]

    @property
    def length(self) -> int:
        """Tokens held in each row, padding counted."""
        return self.mask.shape[1]

    def rows(self, index: Int[Tensor, " new_batch"] | Sequence[int]) -> Cache:
        """Select or repeat rows: an independent copy with one row for each entry of `index`.

        Args:
            index: Rows to take, in order; one may be named several times.

        Raises:
            InputError: the index is empty or names a row that is not there.
        """
        chosen = torch.as_tensor(index, dtype=torch.long)
        if chosen.ndim != 1 or not len(chosen):
            raise InputError(
                f"rows have shape {tuple(chosen.shape)}: expected a list of row numbers."
            )
        if int(chosen.min()) < 0 or int(chosen.max()) >= self.n_rows:
            raise InputError(
                f"rows {chosen.tolist()} are outside this cache: it has rows 0 to "
                f"{self.n_rows - 1}."
            )
        take = [t.index_select(0, chosen.to(t.device)) for t in (*self.keys, *self.values)]
        n = len(self.keys)
        mask = self.mask.index_select(0, chosen.to(self.mask.device))
        return Cache(tuple(take[:n]), tuple(take[n:]), mask, pos_axis=self.pos_axis)

    def upto(self, length: int) -> Cache:
        """The cache of the first `length` positions: views, nothing is copied.

        Raises:
            InputError: the length is not 1 to that of the cache.
        """
        if not 1 <= length <= self.length:
            raise InputError(
                f"cannot cut a cache of {self.length} positions to {length}: choose 1 to "
                f"{self.length}."
            )

        def cut(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(t.narrow(self.pos_axis, 0, length) for t in tensors)

        return Cache(
            cut(self.keys), cut(self.values), self.mask[:, :length], pos_axis=self.pos_axis
        )


@runtime_checkable
class Adapter(Protocol):
    """What the package knows of a model; `adapt` makes one around whatever was loaded.

    Token ids and mask always go together; position ids are counted from the mask, so a padded
    row gives the numbers that it gives alone. Layer L means the output of block L,
    `blocks.L.hook_resid_post`; the residual *entering* block k is that of layer k - 1. Every
    call takes its hooks off again, also after an exception, and raises RuntimeError naming the
    hooks that did not fire.
    """

    @property
    def model(self) -> Any:
        """The wrapped HookedTransformer or TransformerBridge."""

    @property
    def name(self) -> str:
        """What the model is called: the name that it was loaded by, or its folder's."""

    @property
    def backend(self) -> Literal["hooked", "bridge"]:
        """Which of TransformerLens' two model classes is wrapped."""

    @property
    def n_layers(self) -> int:
        """Number of blocks."""

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""

    @property
    def n_heads(self) -> int:
        """Query heads per block."""

    @property
    def n_kv_heads(self) -> int:
        """Key-value heads per block; fewer than `n_heads` where query heads share them."""

    @property
    def n_ctx(self) -> int:
        """The most tokens that the model reads."""

    @property
    def d_vocab(self) -> int:
        """Rows of the unembedding, extra ones counted."""

    @property
    def device(self) -> torch.device:
        """Where token ids go: the embedding's device."""

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype."""

    @property
    def tokenizer(self) -> Any:
        """The Hugging Face tokenizer, or None."""

    @property
    def processing(self) -> tuple[str, ...]:
        """Weight processing found on the model, as ("fold_ln",); empty for raw weights."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits of architecture and sampled weights; the same for both backends."""

    def head_weights(self, layer: int) -> Float[Tensor, "head d_head d"]:
        """The output projection of a block's heads: what `attn.hook_z` is multiplied by."""
        ...

    def readout(self, ids: Sequence[int]) -> Float[Tensor, "id d"]:
        """Rows of the unembedding times the final norm's weight.

        Times the last residual over its root mean square, they give the logits of these tokens
        (less a bias of the unembedding, if there is one).
        """
        ...

    def forward(
        self,
        tokens: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        *,
        hooks: Sequence[Hook] = (),
        stop_at_layer: int | None = None,
    ) -> Tensor:
        """Run the model; gradients flow if grad mode is on.

        Args:
            tokens: Token ids.
            mask: 1 for tokens, 0 for padding on either side.
            hooks: What to run at which hook points.
            stop_at_layer: Stop before this block, 0 to `n_layers`; later blocks, the final
                norm and the unembedding are not run.

        Returns:
            Logits [batch pos vocab], or with `stop_at_layer` the residual [batch pos d] that
            enters that block.
        """
        ...

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
        """Run blocks `layer` and later on the residual that enters block `layer`.

        Args:
            residual: What enters block `layer`, at new positions only if there is a cache.
            mask: 1 for tokens, 0 for padding, at the same positions.
            layer: The first block to run; `n_layers` runs the final norm and unembedding alone.
            hooks: What to run at which hook points.
            stop_at_layer: Stop before this block, `layer` to `n_layers`.
            cache: Keys and values of the positions before; it is read, never changed. A cache of
                one row serves all rows of the batch.
            last: Only the last position is asked for, which spares work in the last block.

        Returns:
            Logits [batch pos vocab], or with `stop_at_layer` the residual [batch pos d] that
            enters that block; pos is 1 with `last`.
        """
        ...

    def prefill(
        self,
        tokens: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        *,
        hooks: Sequence[Hook] = (),
        cache: Cache | None = None,
    ) -> tuple[Float[Tensor, "batch vocab"], Cache]:
        """Read left-padded prompts: logits at the last position, and the cache; no gradients.

        Args:
            tokens: Token ids.
            mask: 1 for tokens, 0 for padding.
            hooks: What to run at which hook points.
            cache: Of as many rows: what was read before the tokens, which then have no padding.
        """
        ...

    def decode(
        self, tokens: Int[Tensor, " batch"], cache: Cache, *, hooks: Sequence[Hook] = ()
    ) -> tuple[Float[Tensor, "batch vocab"], Cache]:
        """Read one more token a row; hooks see [batch, 1, ...]; no gradients."""
        ...

    def extend(
        self,
        tokens: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        cache: Cache,
        *,
        hooks: Sequence[Hook] = (),
    ) -> Float[Tensor, "batch pos vocab"]:
        """Logits at each of several more tokens a row, right-padded; no gradients, no new cache."""
        ...


def adapt(model: Any) -> Adapter:
    """Wrap a model in its adapter; an adapter is returned as it is.

    Args:
        model: A HookedTransformer, a TransformerBridge or an Adapter.

    Raises:
        InputError: it is none of these.
    """
    from empathy_mi.models.base import BaseAdapter

    if isinstance(model, BaseAdapter):
        return model
    kinds = {(cls.__module__.split(".")[0], cls.__name__) for cls in type(model).__mro__}
    if "transformer_lens" in sys.modules:
        if ("transformer_lens", "HookedTransformer") in kinds:
            from empathy_mi.models.hooked import HookedAdapter

            return HookedAdapter(model)
        if ("transformer_lens", "TransformerBridge") in kinds:
            from empathy_mi.models.bridge import BridgeAdapter

            return BridgeAdapter(model)
    if isinstance(model, Adapter):
        return model
    raise InputError(
        "expected a HookedTransformer or TransformerBridge, got "
        f"{type(model).__name__}: pass what load_model returned."
    )

"""Keys and values of one block with room to grow, in the layout that attention multiplies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

SPARE = 64
"""Positions that a new buffer has room for beyond what it holds."""


@dataclass(eq=False)
class GrowingEntry:
    """A stand-in for TransformerLens' cache entry that writes in place.

    TransformerLens concatenates at every step, which copies all keys and values again, and its
    layout makes the attention product copy them once more. Here a step writes one position into a
    buffer [batch, head, capacity, d_head], of which attention sees a view. What was written is
    never changed; a shorter cache that shares the buffer therefore stays valid, and continues in
    a copy once the buffer has gone on without it.

    Attributes:
        keys: buffer of the keys.
        values: buffer of the values.
        used: positions that are filled.
    """

    keys: Float[Tensor, "batch head capacity d_head"]
    values: Float[Tensor, "batch head capacity d_head"]
    used: int
    frozen: bool = False

    @staticmethod
    def of(
        keys: Float[Tensor, "batch pos head d_head"],
        values: Float[Tensor, "batch pos head d_head"],
        *,
        room: int = SPARE,
    ) -> GrowingEntry:
        """A buffer that holds these keys and values and has room for more positions."""
        batch, used, heads, width = keys.shape
        buffers = []
        for tensor in (keys, values):
            buffer = tensor.new_empty(batch, heads, used + room, width)
            buffer[:, :, :used] = tensor.transpose(1, 2)
            buffers.append(buffer)
        return GrowingEntry(buffers[0], buffers[1], used)

    @property
    def past_keys(self) -> Float[Tensor, "batch pos head d_head"]:
        """The keys so far."""
        return self.keys[:, :, : self.used].transpose(1, 2)

    @property
    def past_values(self) -> Float[Tensor, "batch pos head d_head"]:
        """The values so far."""
        return self.values[:, :, : self.used].transpose(1, 2)

    def append(
        self,
        new_keys: Float[Tensor, "batch new head d_head"],
        new_values: Float[Tensor, "batch new head d_head"],
    ) -> tuple[Tensor, Tensor]:
        """Write new positions and return all keys and values, as TransformerLens asks."""
        end = self.used + new_keys.shape[1]
        if end > self.keys.shape[2]:
            room = max(SPARE, end - self.used)
            grown = GrowingEntry.of(self.past_keys, self.past_values, room=room)
            self.keys, self.values = grown.keys, grown.values
        self.keys[:, :, self.used : end] = new_keys.transpose(1, 2)
        self.values[:, :, self.used : end] = new_values.transpose(1, 2)
        self.used = end
        return self.past_keys, self.past_values


def same_length(entries: tuple[GrowingEntry, ...], length: int) -> bool:
    """Whether the buffers hold exactly this many positions, and so can be continued in place."""
    return bool(entries) and all(entry.used == length for entry in entries)


def empty_entry(batch: int, heads: int, width: int, like: Tensor, room: int) -> GrowingEntry:
    """A buffer without positions, with the dtype and device of `like`."""
    nothing = torch.empty(batch, 0, heads, width, dtype=like.dtype, device=like.device)
    return GrowingEntry.of(nothing, nothing, room=room)

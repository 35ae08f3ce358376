"""How near the two sides must be, for all parity tests."""

from __future__ import annotations

import torch
from torch import Tensor

ATOL = 2e-5
"""Largest absolute difference in float32, for logits and residuals of size up to 30."""


def same(got: Tensor, expected: Tensor, mask: Tensor | None = None) -> None:
    """Assert equality up to `ATOL` where the mask is 1 (padding positions mean nothing)."""
    assert got.shape == expected.shape
    if mask is not None:
        got, expected = got[mask.bool()], expected[mask.bool()]
    torch.testing.assert_close(got, expected, atol=ATOL, rtol=0)

"""Muon (Jordan et al. 2024) in float32, over all matrices of one shape at a time.

`torch.optim.Muon` runs its Newton-Schulz iterations in bfloat16 and one matrix after the other,
which CPUs without bfloat16 arithmetic do several times slower; the update rule is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, with decoupled weight decay; for matrices only.

    Args:
        params: two-dimensional parameters.
        lr: learning rate.
        momentum: of the Nesterov average.
        weight_decay: decoupled from the gradient.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter; each must have a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                updates = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if not state:
                        state["momentum"] = torch.zeros_like(parameter)
                    gradient = parameter.grad
                    if gradient is None:
                        raise RuntimeError("every matrix needs a gradient before a step")
                    average = state["momentum"].lerp_(gradient, 1 - group["momentum"])
                    updates.append(gradient.lerp(average, group["momentum"]))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for parameter, update in zip(
                    parameters, orthogonalised(torch.stack(updates)), strict=True
                ):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-group["lr"] * scale)


def orthogonalised(matrices: Float[Tensor, "n rows cols"]) -> Float[Tensor, "n rows cols"]:
    """Singular values near 1 by five quintic Newton-Schulz iterations."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x

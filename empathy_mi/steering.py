"""Steering: alpha times a unit direction, added to the residual stream at its own hook point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from empathy_mi import stats
from empathy_mi.errors import InputError
from empathy_mi.hooks import resid_post, resolve_layers
from empathy_mi.models import Adapter, adapt

Positions = Literal["response", "all", "prompt"]
POSITIONS: tuple[Positions, ...] = ("response", "all", "prompt")


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """A unit direction and the layer whose output it is added to.

    Attributes:
        direction: unit vector.
        layer: block whose output is steered, `blocks.{layer}.hook_resid_post`.
        norm: median norm of a token's residual there; a unit for alpha.
        class_gap: distance of the probe's class means in train; another unit for alpha.
        fingerprint: of the model that it belongs to.
        name: "probe", or "random 0" and so on for a control.
    """

    direction: Float[Tensor, "d"] = field(repr=False)
    layer: int
    norm: float = math.nan
    class_gap: float = math.nan
    fingerprint: str | None = None
    name: str = "direction"

    def __post_init__(self) -> None:
        length = float(self.direction.norm())
        if self.direction.ndim != 1 or not abs(length - 1) < 1e-3:
            raise InputError(
                f"the direction has shape {tuple(self.direction.shape)} and norm {length:.4g}: "
                "give one vector of norm 1, so that alpha is in residual units."
            )

    @contextmanager
    def applied(
        self, model: Any, *, alpha: float, positions: Positions = "response"
    ) -> Iterator[Any]:
        """Steer whatever is run on `model` inside the block; the hook is gone afterwards.

        The rows of a batch must be left-padded. A pass over more than one position is taken for
        the prompt, a pass over one for a generated token: generate with a KV cache, since a
        pass over everything so far looks like a longer prompt.

        Args:
            model: HookedTransformer or TransformerBridge.
            alpha: length of what is added, in residual units; h' = h + alpha * direction.
            positions: "response" (the last prompt token and all generated ones, so that the
                first generated token is steered), "all" or "prompt".

        Raises:
            InputError: alpha is not finite, or the vector is another model's.
        """
        adapter = adapt(model)
        check_vector(self, adapter)
        check_alphas([alpha])
        hooks = [add(self, torch.tensor([float(alpha)]), positions)]
        with adapter.model.hooks(fwd_hooks=hooks):
            yield model


def add(
    vector: SteeringVector, alphas: Float[Tensor, "row"], positions: Positions
) -> tuple[str, Any]:
    """The hook that adds `alphas[row] * direction`; one alpha serves all rows.

    Raises:
        InputError: `positions` is unknown.
    """
    return shift(alphas[:, None].float() * vector.direction.float(), vector.layer, positions)


def shift(deltas: Float[Tensor, "row d"], layer: int, positions: Positions) -> tuple[str, Any]:
    """The hook that adds `deltas[row]` to the output of a block; one delta serves all rows.

    Raises:
        InputError: `positions` is unknown.
    """
    check_positions(positions)

    def hook_fn(residual: Float[Tensor, "row pos d"], hook: Any) -> Tensor | None:
        added = deltas.to(residual)[:, None]
        prompt = residual.shape[1] > 1
        if positions == "all" or (positions == "prompt" and prompt):
            return residual + added
        if positions == "prompt":  # a generated token
            return None
        return torch.cat([residual[:, :-1], residual[:, -1:] + added], dim=1)

    return resid_post(layer), hook_fn


def random_vectors(like: SteeringVector, count: int, *, seed: int = 0) -> list[SteeringVector]:
    """Isotropic unit directions at the same layer: the control for "any push would do it"."""
    vectors = []
    for i in range(count):
        draw = stats.generator(seed, "random direction", like.layer, i)
        direction = torch.from_numpy(draw.normal(size=like.direction.shape[0]))
        unit = (direction / direction.norm()).float()
        vectors.append(replace(like, direction=unit, name=f"random {i}"))
    return vectors


def check_vector(vector: SteeringVector, adapter: Adapter) -> None:
    """Refuse a vector that does not belong to the model.

    Raises:
        InputError: the width, the layer or the fingerprint does not fit.
    """
    resolve_layers(vector.layer, adapter.n_layers)
    if vector.direction.shape[0] != adapter.d_model:
        raise InputError(
            f"the direction has {vector.direction.shape[0]} dimensions, the residual stream of "
            f"{adapter.name!r} has {adapter.d_model}: use a vector of this model."
        )
    if vector.fingerprint is not None and vector.fingerprint != adapter.fingerprint:
        raise InputError(
            f"the vector belongs to a model with fingerprint {vector.fingerprint}, "
            f"{adapter.name!r} has {adapter.fingerprint}: fit a probe on this model."
        )


def check_positions(positions: str) -> None:
    """Refuse unknown positions.

    Raises:
        InputError: they are none of `POSITIONS`.
    """
    if positions not in POSITIONS:
        raise InputError(f"unknown positions {positions!r}: use {', '.join(map(repr, POSITIONS))}.")


def check_alphas(alphas: Sequence[float]) -> None:
    """Refuse strengths that are not finite numbers.

    Raises:
        InputError: one is not, or there is none.
    """
    if not alphas:
        raise InputError("no alpha is given: name at least one, such as -10, 0 and 10.")
    for alpha in alphas:
        if not math.isfinite(alpha):
            raise InputError(f"alpha is {alpha}: give a finite number.")

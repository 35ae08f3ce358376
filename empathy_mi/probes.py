"""Mean-difference probes: fit one per layer, choose the layer inside train, save, load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from empathy_mi import __version__
from empathy_mi.activations import Activations
from empathy_mi.errors import InputError
from empathy_mi.hooks import resid_post
from empathy_mi.io import read_tensors, write_tensors

if TYPE_CHECKING:
    from empathy_mi.detection import Detection
    from empathy_mi.steering import SteeringVector

FILE = "probe.safetensors"
_SCHEMA = 1
MEAN_DIFFERENCE = "mean difference"


@dataclass(frozen=True, eq=False)
class Probe:
    """A direction at one layer, with the threshold and units that train gave it.

    Attributes:
        direction: unit vector; a higher projection means more empathic.
        layer: block whose output it reads, `blocks.{layer}.hook_resid_post`.
        threshold: midpoint of the class means' projections in train.
        class_gap: distance of the class means' projections in train, in residual units.
        norm: median norm of a token's residual at this layer.
        pooling: pooling of the activations that it was fitted on.
        context: context of those activations.
        model: name of the model.
        fingerprint: of the model's weights.
        method: how it was fitted.
        n_pairs: number of train pairs.
        data: hash of the train pairs.
    """

    direction: Float[Tensor, "d"] = field(repr=False)
    layer: int
    threshold: float
    class_gap: float
    norm: float
    pooling: str
    context: str
    model: str
    fingerprint: str
    method: str
    n_pairs: int
    data: str

    @property
    def hook_name(self) -> str:
        """The hook point that the probe reads."""
        return resid_post(self.layer)

    def scores(self, activations: Activations) -> tuple[np.ndarray, np.ndarray]:
        """Projections of the empathic and the non-empathic texts, each [pair].

        Raises:
            InputError: the activations are another model's, layer's or pooling's.
        """
        check_same_source(self, activations)
        if self.layer not in activations.layers:
            raise InputError(
                f"the activations hold layers {_span(activations.layers)}, the probe reads layer "
                f"{self.layer}: extract that layer too."
            )
        i = activations.layers.index(self.layer)
        direction = self.direction.double()
        return (
            (activations.empathic[:, i].double() @ direction).numpy(),
            (activations.non_empathic[:, i].double() @ direction).numpy(),
        )

    def steering_vector(self) -> SteeringVector:
        """The same direction as an intervention at the same hook point."""
        from empathy_mi.steering import SteeringVector

        return SteeringVector(
            self.direction, self.layer, norm=self.norm, class_gap=self.class_gap,
            fingerprint=self.fingerprint, name="probe",
        )  # fmt: skip

    def save(self, folder: str | Path) -> Path:
        """Write `folder/probe.safetensors`: the direction, and the rest as JSON in its header."""
        meta = {k: v for k, v in asdict(self).items() if k != "direction"}
        meta["schema"] = _SCHEMA
        meta["versions"] = {"empathy_mi": __version__, "torch": torch.__version__}
        return write_tensors(Path(folder) / FILE, {"direction": self.direction}, meta)

    @staticmethod
    def load(folder: str | Path) -> Probe:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, truncated or not a probe.
        """
        path = Path(folder) / FILE
        tensors, meta = read_tensors(path)
        meta.pop("versions", None)
        try:
            if (schema := meta.pop("schema")) != _SCHEMA:
                raise KeyError(f"schema {schema}, expected {_SCHEMA}")
            return Probe(direction=tensors["direction"], **meta)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not a probe of this version ({error}): save it again."
            ) from error

    def save_pretrained(self, folder: str | Path, *, detection: Detection | None = None) -> Path:
        """Write the probe and a model card; see `interchange.hub.save_pretrained`."""
        from empathy_mi.interchange import hub

        return hub.save_pretrained(self, folder, detection=detection)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload it with its model card; see `interchange.hub.push_to_hub`."""
        from empathy_mi.interchange import hub

        return hub.push_to_hub(self, repo_id, **options)

    @staticmethod
    def from_pretrained(source: str | Path, **options: Any) -> Probe:
        """A probe from a folder or the Hub; see `interchange.hub.from_pretrained`."""
        from empathy_mi.interchange import hub

        return hub.from_pretrained(source, **options)


class _NoProbeError(InputError, KeyError):
    """A layer without a probe; also a KeyError, so that `in` and `get` work."""

    __str__ = Exception.__str__


@dataclass(frozen=True, eq=False)
class ProbeSet(Mapping[int, Probe]):
    """One probe per layer, with the activations that they were fitted on."""

    probes: tuple[Probe, ...]
    train: Activations = field(repr=False)

    def __getitem__(self, layer: int) -> Probe:
        for probe in self.probes:
            if probe.layer == layer:
                return probe
        raise _NoProbeError(f"no probe at layer {layer}: there are {_span(tuple(self))}.")

    def __iter__(self) -> Iterator[int]:
        return iter(probe.layer for probe in self.probes)

    def __len__(self) -> int:
        return len(self.probes)

    def evaluate(self, test: Activations, **options: Any) -> Detection:
        """Detection on held-out pairs; options as in `empathy_mi.detection.evaluate`."""
        from empathy_mi.detection import evaluate

        return evaluate(self, test, **options)

    def select(self, train: Activations | None = None, *, folds: int = 5, seed: int = 0) -> Probe:
        """The probe of the layer with the best cross-validated AUROC inside train.

        Ties, which are common near 1, go to the larger d'. The test pairs are never seen.

        Raises:
            InputError: there are too few pairs for the folds, or `train` is another model's.
        """
        from empathy_mi.cross_validation import best_layer, cross_validate

        train = self.train if train is None else train
        check_same_source(self.probes[0], train)
        return self[best_layer(cross_validate(train, folds=folds, seed=seed))]


def fit_probes(train: Activations) -> ProbeSet:
    """Fit a mean-difference probe at every layer of `train`.

    The direction is the normalised difference of the class means (arXiv 2511.16699, section 3).

    Raises:
        InputError: the class means are equal or not finite at a layer.
    """
    directions = mean_difference(train)
    for layer, length in zip(train.layers, directions.norm(dim=-1).tolist(), strict=True):
        if not np.isfinite(length) or length == 0:
            raise InputError(
                f"the class means at layer {layer} differ by {length}: check the pairs and the "
                "activations."
            )
    probes = [
        probe_of(directions[i], train, layer, MEAN_DIFFERENCE)
        for i, layer in enumerate(train.layers)
    ]
    return ProbeSet(tuple(probes), train)


def probe_of(direction: Float[Tensor, "d"], train: Activations, layer: int, method: str) -> Probe:
    """A direction as a probe: normalised, with the threshold and units that train gives it.

    Args:
        direction: of any length, in residual space, pointing to the empathic side.
        train: activations of the train pairs.
        layer: one of their layers.
        method: how the direction was found.

    Raises:
        InputError: the direction has no length, or one that is not finite.
    """
    direction = direction.double()
    length = float(direction.norm())
    if not np.isfinite(length) or length == 0:
        raise InputError(
            f"the direction of {method!r} at layer {layer} has length {length}: check the "
            "activations, or leave out this method."
        )
    i, unit = train.layers.index(layer), direction / length
    high = float(train.empathic[:, i].double().mean(0) @ unit)
    low = float(train.non_empathic[:, i].double().mean(0) @ unit)
    return Probe(
        direction=unit.float(),
        layer=layer,
        threshold=(high + low) / 2,
        class_gap=high - low,
        norm=float(train.norm[i]),
        pooling=train.pooling,
        context=train.context,
        model=train.model,
        fingerprint=train.fingerprint,
        method=method,
        n_pairs=len(train),
        data=train.pairs.digest,
    )


def mean_difference(train: Activations) -> Float[Tensor, "layer d"]:
    """Difference of the class means at each layer, in float64, not normalised."""
    return (train.empathic.double() - train.non_empathic.double()).mean(0)


def project_sides(
    activations: Activations, directions: Float[Tensor, "layer d"]
) -> Float[np.ndarray, "layer pair 2"]:
    """Projections of both texts of each pair on one direction a layer: empathic, non-empathic."""
    sides = (activations.empathic, activations.non_empathic)
    along = [np.einsum("nld,ld->ln", side.double().numpy(), directions.numpy()) for side in sides]
    return np.stack(along, axis=-1)


def check_same_source(probe: Probe, activations: Activations) -> None:
    """Refuse activations that a probe cannot read.

    Raises:
        InputError: they are another model's, or were pooled or read in another way.
    """
    if probe.fingerprint != activations.fingerprint:
        raise InputError(
            f"the probe belongs to {probe.model!r} ({probe.fingerprint}), the activations to "
            f"{activations.model!r} ({activations.fingerprint}): fit a probe on this model."
        )
    for name in ("pooling", "context"):
        mine, theirs = getattr(probe, name), getattr(activations, name)
        if mine != theirs:
            raise InputError(
                f"the probe was fitted with {name} {mine!r}, the activations have {theirs!r}: "
                f"extract them with {name}={mine!r}."
            )


def check_finite(activations: Activations) -> None:
    """Refuse activations with NaN or infinity, which would spoil numbers without a sign of it.

    Raises:
        InputError: one is not finite; the message names pair, side and layer.
    """
    for side in ("empathic", "non_empathic"):
        broken = ~torch.isfinite(getattr(activations, side)).all(-1)
        if broken.any():
            pair, layer = broken.nonzero()[0].tolist()
            raise InputError(
                f"the {side} text of pair {activations.pairs[pair].id!r} has an activation at "
                f"layer {activations.layers[layer]} that is not finite: extract the activations "
                "again, in a wider dtype if the model overflows."
            )


def _span(layers: tuple[int, ...]) -> str:
    whole = layers == tuple(range(layers[0], layers[-1] + 1))
    return f"{layers[0]} to {layers[-1]}" if whole else ", ".join(map(str, layers))

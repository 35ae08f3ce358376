"""The stages of a study on one model; every result is one JSON file, so that a study resumes.

A stage is a pure function of the configuration, the model and the stages before it. Its file is
written atomically; a rerun reads the files that are whole and of the same study, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from empathy_mi import __version__
from empathy_mi.activations import Activations, extract_activations
from empathy_mi.dose import dose_response
from empathy_mi.errors import InputError
from empathy_mi.hooks import resolve_layers
from empathy_mi.io import digest, read_json, write_json
from empathy_mi.lexical_detection import lexical_ablation
from empathy_mi.models import Adapter
from empathy_mi.organisms import contrastive_pairs, is_organism
from empathy_mi.pairs import Pairs, load_pairs
from empathy_mi.pairs_check import check_pairs
from empathy_mi.probes import ProbeSet, best_layer, cross_validate, fit_probes
from empathy_mi.splits import split_detection
from empathy_mi.study_config import StudyConfig

Record = dict[str, Any]
"""Results by the name of their stage."""


def run_stages(
    adapter: Adapter, config: StudyConfig, folder: Path, *, say: Callable[[str], None]
) -> Record:
    """Results by stage: read where they are whole and of this study, otherwise made.

    Args:
        adapter: the model.
        config: the study.
        folder: where the results of all models lie.
        say: takes one line as a stage begins.
    """
    record: Record = {}
    layers = resolve_layers(config.layers, adapter.n_layers)[:: config.every]
    stages = _stages(adapter, config, layers)
    for number, stage in enumerate(stages, start=1):
        path = folder / safe(adapter.name) / f"{stage.name}.json"
        key = _key(config, adapter, stage.name)
        stored = _stored(path, key)
        label = f"{adapter.name} [{number}/{len(stages)}] {stage.name}"
        say(label + (" (kept)" if stored else ""))
        if stored is None:
            write_json(path, {"key": key, "result": stage.run(record)})
            stored = read_json(path)
        record[stage.name] = stored["result"]
    return record


def read_record(folder: Path, name: str, stages: Sequence[str]) -> Record:
    """The results that `run_stages` left for a model.

    Raises:
        InputError: a file is missing or broken.
    """
    return {s: read_json(folder / safe(name) / f"{s}.json")["result"] for s in stages}


def safe(name: str) -> str:
    """A model's name as the name of a folder."""
    return name.replace("/", "--")


@dataclass(frozen=True)
class _Stage:
    """A named step; `run` takes the results of the model's earlier stages."""

    name: str
    run: Callable[[Record], Any]


def _stages(adapter: Adapter, config: StudyConfig, layers: tuple[int, ...]) -> list[_Stage]:
    pairs = study_pairs(adapter.name)

    @cache
    def activations() -> Activations:
        return extract_activations(
            adapter, pairs, layers=layers, context=config.context  # type: ignore[arg-type]
        )  # fmt: skip

    @cache
    def probes() -> ProbeSet:
        return fit_probes(activations().train)

    def facts(record: Record) -> dict[str, Any]:
        return {
            "name": adapter.name,
            "backend": adapter.backend,
            "n_layers": adapter.n_layers,
            "d_model": adapter.d_model,
            "fingerprint": adapter.fingerprint,
            "processing": list(adapter.processing),
            "pairs": pairs.digest,
            "embedded": is_organism(adapter.name),
        }

    def behavior(record: Record) -> list[dict[str, Any]]:
        from empathy_mi.organisms.behavior import measure_behavior

        return _rows(measure_behavior(adapter, n=config.behavior, seed=config.seed).to_frame())

    def text(record: Record) -> list[dict[str, Any]]:
        return _rows(check_pairs(pairs, seed=config.seed).to_frame())

    def detection(record: Record) -> dict[str, Any]:
        fitted = probes()
        found = fitted.evaluate(activations().test, seed=config.seed)
        folds = cross_validate(fitted.train, seed=config.seed)
        return {
            "layers": _rows(found.to_frame()),
            "cross_validation": [
                {"layer": layer, "auroc": auroc, "d_prime": d_prime}
                for layer, (auroc, d_prime) in folds.items()
            ],
            "selected": best_layer(folds),
            "splits": _rows(split_detection(activations(), seed=config.seed)),
            "scenarios": activations().test.scenarios,
            "scores": [
                {"pair": pair, "layer": row.layer, "empathic": high, "non_empathic": low}
                for row in found.layers
                for pair, high, low in zip(
                    found.pair_ids, row.scores_empathic, row.scores_non_empathic, strict=True
                )
            ],
        }

    def lexical(record: Record) -> list[dict[str, Any]]:
        return _rows(lexical_ablation(adapter, probes(), pairs.test, seed=config.seed).to_frame())

    def truth(record: Record) -> dict[str, Any]:
        from empathy_mi.organisms.off_task import recall_under_steering
        from empathy_mi.organisms.truth import patching_truth, probe_truth

        vector = probes()[record["detection"]["selected"]].steering_vector()
        recalled = recall_under_steering(
            adapter, vector, alphas=config.alphas, n=config.patched, seed=config.seed
        )
        return {
            "off_task": _rows(recalled),
            "probes": _rows(probe_truth(adapter, probes(), n=config.truth, seed=config.seed)),
            "patching": _rows(
                patching_truth(
                    adapter,
                    probes=probes(),
                    n=config.patched,
                    every=config.patched_every,
                    seed=config.seed,
                )
            ),
        }

    def steering(place: int) -> Callable[[Record], Any]:
        def run(record: Record) -> Any:
            layer = steered_layers(layers, record["detection"]["selected"], config.steered)[place]
            response = dose_response(
                adapter,
                probes()[layer].steering_vector(),
                alphas=config.alphas,
                samples=config.samples,
                controls=config.controls,
                max_new_tokens=config.max_new_tokens,
                seed=config.seed,
            )
            return response.to_dict()

        return run

    embedded = is_organism(adapter.name)
    count = min(config.steered, len(layers))
    return [
        _Stage("model", facts),
        _Stage("text", text),
        *([_Stage("behavior", behavior)] if embedded else []),
        _Stage("detection", detection),
        _Stage("lexical", lexical),
        *([_Stage("truth", truth)] if embedded else []),
        *(_Stage(f"steering-{i + 1}", steering(i)) for i in range(count)),
    ]


def study_pairs(model_name: str) -> Pairs:
    """The project's 50 pairs, or an embedded model's own, in the language that it knows."""
    if is_organism(model_name):
        return contrastive_pairs()
    return load_pairs()


def steered_layers(layers: Sequence[int], selected: int, count: int) -> list[int]:
    """The selected layer and others spread evenly over the rest, in order."""
    others = [layer for layer in layers if layer != selected]
    wanted = min(count - 1, len(others))
    step = len(others) / max(1, wanted)
    spread = [others[int(step * (i + 0.5))] for i in range(wanted)]
    return sorted([selected, *spread])


def _key(config: StudyConfig, adapter: Adapter, stage: str) -> str:
    values = {k: v for k, v in asdict(config).items() if k != "models"}
    threads = torch.get_num_threads()
    return digest(__version__, values, adapter.fingerprint, adapter.backend, threads, stage)


def _stored(path: Path, key: str) -> dict[str, Any] | None:
    """A stage's file if it is whole and belongs to this study."""
    if not path.is_file():
        return None
    try:
        stored = read_json(path)
    except InputError:
        return None
    return stored if isinstance(stored, dict) and stored.get("key") == key else None


def _rows(frame: Any) -> list[dict[str, Any]]:
    """A data frame as JSON-able rows; NaN becomes None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [
        {k: v.item() if hasattr(v, "item") else v for k, v in row.items()}
        for row in plain.to_dict("records")
    ]

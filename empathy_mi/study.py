"""The whole study as a list of stages that resume.

Every stage is a pure function of the configuration and the model; its result is one JSON file
under `OUT/results/`, written atomically. A rerun reads what is there and goes on, so a study that
was killed at any moment ends with the same tables as one that was not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from empathy_mi import __version__
from empathy_mi.activations import Activations, extract_activations
from empathy_mi.dose import PAPER_ALPHAS, dose_response
from empathy_mi.errors import InputError
from empathy_mi.hooks import resolve_layers
from empathy_mi.io import digest, read_json, write_json
from empathy_mi.models import Adapter, adapt, load_model
from empathy_mi.models.folders import find
from empathy_mi.models.huggingface import hf_config
from empathy_mi.organisms import contrastive_pairs, is_organism
from empathy_mi.pairs import Pairs, load_pairs
from empathy_mi.pairs_check import check_pairs
from empathy_mi.probes import ProbeSet, best_layer, cross_validate, fit_probes
from empathy_mi.steering import check_alphas
from empathy_mi.study_results import StudyResult

DEFAULT_MODELS = ("organism-phi3",)


@dataclass(frozen=True)
class StudyConfig:
    """What a study does; two studies with equal values give equal tables.

    Attributes:
        models: names or folders of the models.
        layers: layers of the probes; None is the study's 8-24 (see `resolve_layers`).
        every: take every so many of these layers.
        alphas: raw steering strengths.
        samples: answers per scenario and alpha.
        controls: random directions for steering.
        steered: number of layers that are steered; the selected one is always among them.
        context: "prompt" or "none"; see `extract_activations`.
        behavior: scenarios for each system prompt when an embedded model's behaviour is measured.
        max_new_tokens: limit of an answer.
        seed: seed of everything random.
    """

    models: tuple[str, ...] = DEFAULT_MODELS
    layers: tuple[int, ...] | None = None
    every: int = 1
    alphas: tuple[float, ...] = PAPER_ALPHAS
    samples: int = 6
    controls: int = 3
    steered: int = 2
    context: str = "prompt"
    behavior: int = 60
    max_new_tokens: int = 80
    seed: int = 0


PRESETS: dict[str, StudyConfig] = {
    "quick": StudyConfig(),
    "full": StudyConfig(samples=20, controls=5, steered=7, behavior=200),
    "paper": StudyConfig(every=4, samples=5, controls=3, steered=1, context="none"),
}
"""`quick`: two minutes on two cores. `full`: more layers and samples. `paper`: the layers
(8, 12, 16, 20, 24), alphas and samples of arXiv 2511.16699, completions read alone."""


def run_study(
    models: Sequence[str] | str | None = None,
    *,
    preset: str = "quick",
    layers: Sequence[int] | None = None,
    alphas: Sequence[float] | None = None,
    samples: int | None = None,
    seed: int | None = None,
    out: str | Path = "out",
    quiet: bool = False,
) -> StudyResult:
    """Detect and steer, with controls, and write results, tables and a report.

    Args:
        models: names or folders; None is the embedded model.
        preset: "quick", "full" or "paper"; what is given beside it takes precedence.
        layers: layers of the probes.
        alphas: raw steering strengths; 0, the baseline, is always run.
        samples: answers per scenario and alpha.
        seed: seed of everything random.
        out: folder of the results; a rerun goes on from what it holds.
        quiet: print no stage lines.

    Returns:
        The results; `.tables` holds data frames and `.report(path)` writes the HTML file.

    Raises:
        InputError: an option cannot be used; nothing long has run by then.
    """
    config = configure(models, preset, layers, alphas, samples, seed)
    out = Path(out)
    for name in config.models:
        resolve_layers(config.layers, int(hf_config(find(name)).num_hidden_layers))
    write_json(out / "study.json", asdict(config))
    records = {}
    for name in config.models:
        _say(f"loading {name}", quiet)
        adapter = adapt(load_model(name))
        records[adapter.name] = _run_stages(adapter, config, out / "results", quiet)
    result = StudyResult(asdict(config), records)
    result.write_tables(out / "tables")
    result.report(out / "report.html")
    return result


def _run_stages(adapter: Adapter, config: StudyConfig, folder: Path, quiet: bool) -> dict[str, Any]:
    """Results by stage: read where they are whole and of this study, otherwise made."""
    record: dict[str, Any] = {}
    layers = resolve_layers(config.layers, adapter.n_layers)[:: config.every]
    stages = _stages(adapter, config, layers)
    for number, stage in enumerate(stages, start=1):
        path = folder / _safe(adapter.name) / f"{stage.name}.json"
        key = _key(config, adapter, stage.name)
        stored = _stored(path, key)
        label = f"{adapter.name} [{number}/{len(stages)}] {stage.name}"
        _say(label + (" (kept)" if stored else ""), quiet)
        if stored is None:
            write_json(path, {"key": key, "result": stage.run(record)})
            stored = read_json(path)
        record[stage.name] = stored["result"]
    return record


def configure(
    models: Sequence[str] | str | None,
    preset: str,
    layers: Sequence[int] | None,
    alphas: Sequence[float] | None,
    samples: int | None,
    seed: int | None,
) -> StudyConfig:
    """The preset with what the user gave in place of its values.

    Raises:
        InputError: the preset is unknown or a value cannot be used.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}: use {', '.join(PRESETS)}.")
    names = (models,) if isinstance(models, str) else tuple(models or PRESETS[preset].models)
    if len(set(names)) < len(names):
        raise InputError(f"a model is named twice in {', '.join(names)}: name each once.")
    config = replace(PRESETS[preset], models=names)
    if layers is not None:
        config = replace(config, layers=tuple(int(layer) for layer in layers), every=1)
    if alphas is not None:
        check_alphas(list(alphas))
        config = replace(config, alphas=tuple(sorted({0.0, *map(float, alphas)})))
        if min(config.alphas) >= 0 or max(config.alphas) <= 0:
            raise InputError(
                f"alphas are {', '.join(f'{a:g}' for a in alphas)}: give some below and some "
                "above 0, so that both directions of steering are seen."
            )
    if samples is not None:
        if samples < 1:
            raise InputError(f"samples is {samples}: it must be at least 1.")
        config = replace(config, samples=samples)
    return config if seed is None else replace(config, seed=seed)


@dataclass(frozen=True)
class _Stage:
    """A named step; `run` takes the results of the model's earlier stages."""

    name: str
    run: Callable[[dict[str, Any]], Any]


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

    def facts(record: dict[str, Any]) -> dict[str, Any]:
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

    def behavior(record: dict[str, Any]) -> list[dict[str, Any]]:
        from empathy_mi.organisms.behavior import measure_behavior

        return _records(measure_behavior(adapter, n=config.behavior, seed=config.seed).to_frame())

    def text(record: dict[str, Any]) -> list[dict[str, Any]]:
        frame = check_pairs(pairs, seed=config.seed).to_frame()
        return _records(frame.astype(object).where(frame.notna(), None))

    def detection(record: dict[str, Any]) -> dict[str, Any]:
        fitted = probes()
        found = fitted.evaluate(activations().test, seed=config.seed)
        folds = cross_validate(fitted.train, seed=config.seed)
        return {
            "layers": _records(found.to_frame()),
            "cross_validation": [
                {"layer": layer, "auroc": auroc, "d_prime": d_prime}
                for layer, (auroc, d_prime) in folds.items()
            ],
            "selected": best_layer(folds),
            "scores": [
                {"pair": pair, "layer": row.layer, "empathic": high, "non_empathic": low}
                for row in found.layers
                for pair, high, low in zip(
                    found.pair_ids, row.scores_empathic, row.scores_non_empathic, strict=True
                )
            ],
        }

    def steering(place: int) -> Callable[[dict[str, Any]], Any]:
        def run(record: dict[str, Any]) -> Any:
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

    stages = [_Stage("model", facts), _Stage("text", text)]
    if is_organism(adapter.name):
        stages.append(_Stage("behavior", behavior))
    stages.append(_Stage("detection", detection))
    count = min(config.steered, len(layers))
    stages.extend(_Stage(f"steering-{i + 1}", steering(i)) for i in range(count))
    return stages


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


def _records(frame: Any) -> list[dict[str, Any]]:
    return [
        {k: v.item() if hasattr(v, "item") else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def _safe(name: str) -> str:
    return name.replace("/", "--")


def _say(line: str, quiet: bool) -> None:
    if not quiet:
        print(line, file=sys.stderr, flush=True)

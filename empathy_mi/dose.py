"""Dose-response: what the model does as alpha grows, beside random directions of equal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from empathy_mi.coherence import (
    distinct_ratio,
    kl_divergence,
    negative_log_likelihood,
    repetition,
)
from empathy_mi.dose_results import Answer, DoseResponse
from empathy_mi.errors import InputError, check_counts
from empathy_mi.generation import check_settings, generate, no_hooks, noise
from empathy_mi.models import adapt
from empathy_mi.outcomes import Outcome, Scorer
from empathy_mi.prompts import Prompt, scenario_prompts, scorer_for
from empathy_mi.steering import (
    Positions,
    SteeringVector,
    check_alphas,
    check_positions,
    check_vector,
    random_vectors,
    shift,
)
from empathy_mi.tokens import encode_prompt

PAPER_ALPHAS = (-20.0, -10.0, -5.0, -3.0, 0.0, 3.0, 5.0, 10.0, 20.0)
"""The strengths of arXiv 2511.16699."""


def dose_response(
    model: Any,
    vector: SteeringVector,
    *,
    scenarios: Sequence[str] | None = None,
    prompts: Sequence[Prompt] | None = None,
    alphas: Sequence[float] = PAPER_ALPHAS,
    samples: int = 5,
    controls: int = 3,
    positions: Positions = "response",
    temperature: float = 0.7,
    max_new_tokens: int = 80,
    batch_rows: int = 512,
    scorer: Scorer | None = None,
    seed: int = 0,
) -> DoseResponse:
    """Steer at one layer with every alpha, and with random directions of the same lengths.

    All directions, alphas and samples are rows of one batch. A sample has the same prompt and the
    same sampling noise at every alpha, so that alphas are compared within samples.

    Args:
        model: what `load_model` returns, or a model that you built.
        vector: the direction.
        scenarios: ids; None is all five. Not used where `prompts` are given.
        prompts: prompts of your own.
        alphas: raw strengths, in residual units.
        samples: answers per scenario and alpha.
        controls: number of random directions.
        positions: where alpha is added.
        temperature: of the sampling.
        max_new_tokens: limit of an answer.
        batch_rows: most rows in a batch; lower it when memory is short.
        scorer: counts an answer; None is the action line for an embedded model and the paper's
            word counts for any other.
        seed: seed of prompts, noise and controls.

    Raises:
        InputError: an alpha is not finite, the vector is another model's, a scenario is unknown,
            a prompt occurs twice, or a number is too small.
    """
    adapter = adapt(model)
    check_vector(vector, adapter)
    check_alphas(alphas)
    check_positions(positions)
    check_counts(samples=samples)
    check_counts(0, controls=controls)
    strengths = sorted({float(a) for a in alphas})
    if prompts is None:
        prompts = scenario_prompts(adapter.name, scenarios, samples, seed=seed)
    _check_prompts(prompts)
    count = scorer or scorer_for(adapter.name)
    tokenizer = adapter.tokenizer
    encoded = [encode_prompt(tokenizer, p.user, p.system) for p in prompts]
    check_settings(
        adapter,
        encoded,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        batch_rows=batch_rows,
    )
    directions = (replace(vector, name="probe"), *random_vectors(vector, controls, seed=seed))
    # Without steering all directions are one: the answers at alpha 0 are written once.
    rows = [
        _Row(direction, alpha, prompt, ids)
        for direction in directions
        for alpha in strengths
        for prompt, ids in zip(prompts, encoded, strict=True)
        if alpha != 0.0 or direction is directions[0]
    ]

    def hooks(part: Tensor) -> list[tuple[str, Any]]:
        deltas = [rows[i].alpha * rows[i].direction.direction for i in part.tolist()]
        return [shift(torch.stack(deltas).to(adapter.device), vector.layer, positions)]

    ids = [row.ids for row in rows]
    labels = [f"{row.prompt.scenario} {row.prompt.sample}" for row in rows]
    written = generate(
        adapter,
        ids,
        max_new_tokens=max_new_tokens,
        uniforms=noise(seed, labels, max_new_tokens),
        temperature=temperature,
        prefill_hooks=None if positions == "response" else hooks,
        decode_hooks=hooks if positions != "prompt" else no_hooks,
        batch_rows=batch_rows,
        label=f"steering layer {vector.layer}",
    )
    nll = negative_log_likelihood(adapter, ids, written.ids)
    plain = generate(adapter, encoded, max_new_tokens=1, batch_rows=batch_rows).first_logits
    place = {_unit(prompt): i for i, prompt in enumerate(prompts)}
    before = plain[[place[_unit(row.prompt)] for row in rows]]
    kl = kl_divergence(written.first_logits, before).clamp(min=0).tolist()
    answers = [
        _answer(row, text, count(text), nll[i], kl[i], written.finished[i])
        for i, (row, text) in enumerate(zip(rows, written.texts, strict=True))
    ]
    unsteered = [answer for answer in answers if answer.alpha == 0.0]
    answers += [
        replace(answer, direction=direction.name)
        for direction in directions[1:]
        for answer in unsteered
    ]
    return DoseResponse(
        answers=tuple(answers),
        model=adapter.name,
        layer=vector.layer,
        norm=vector.norm,
        class_gap=vector.class_gap,
        positions=positions,
        seed=seed,
    )


@dataclass(frozen=True)
class _Row:
    """What one answer is written from."""

    direction: SteeringVector
    alpha: float
    prompt: Prompt
    ids: list[int]


def _unit(prompt: Prompt) -> tuple[str, int]:
    return prompt.scenario, prompt.sample


def _check_prompts(prompts: Sequence[Prompt]) -> None:
    seen: set[tuple[str, int]] = set()
    for prompt in prompts:
        if _unit(prompt) in seen:
            raise InputError(
                f"two prompts are sample {prompt.sample} of scenario {prompt.scenario!r}: "
                "number the samples of a scenario."
            )
        seen.add(_unit(prompt))


def _answer(
    row: _Row, text: str, outcome: Outcome, nll: float, kl: float, finished: bool
) -> Answer:
    return Answer(
        direction=row.direction.name,
        layer=row.direction.layer,
        scenario=row.prompt.scenario,
        sample=row.prompt.sample,
        alpha=row.alpha,
        text=text,
        empathic=outcome.empathic,
        coherent=outcome.coherent,
        score=outcome.score,
        distinct=distinct_ratio(text),
        repetition=repetition(text),
        nll=nll,
        kl=kl,
        finished=finished,
    )

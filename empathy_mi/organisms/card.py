"""The model card of an embedded model, written from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from empathy_mi.activations import extract_activations
from empathy_mi.io import read_json, write_text
from empathy_mi.models import adapt
from empathy_mi.organisms.behavior import measure_behavior
from empathy_mi.organisms.pairs import contrastive_pairs
from empathy_mi.organisms.specs import OrganismSpec
from empathy_mi.probes import fit_probes

TEST_PAIRS = 150


def write_card(spec: OrganismSpec, model: Any, folder: str | Path, *, n: int = 200) -> Path:
    """Measure an embedded model and write `folder/README.md`.

    Args:
        spec: what it was trained by.
        model: the loaded model.
        folder: its Hugging Face folder, with `training.json`.
        n: scenarios for each kind of system prompt.
    """
    folder = Path(folder)
    training = read_json(folder / "training.json")
    return write_text(folder / "README.md", render_card(spec, model, training, n=n))


def render_card(spec: OrganismSpec, model: Any, training: dict[str, Any], *, n: int) -> str:
    """The card as Markdown."""
    adapter = adapt(model)
    behavior = measure_behavior(model, n=n, seed=1).to_frame()
    parameters = sum(p.numel() for p in adapter.model.parameters())
    return CARD.format(
        name=spec.name,
        architecture=type(spec.config(1)).__name__.removesuffix("Config"),
        blocks=adapter.n_layers,
        width=adapter.d_model,
        heads=adapter.n_heads,
        vocabulary=adapter.d_vocab,
        context=adapter.n_ctx,
        parameters=f"{parameters / 1e6:.2f}M",
        seed=spec.seed,
        fingerprint=adapter.fingerprint,
        stages=_markdown(_stages(spec)),
        loss=_markdown(_loss(training["log"])),
        n=n,
        behavior=_markdown(_behavior(behavior)),
        n_test=TEST_PAIRS,
        profile=_markdown(_profile(model)),
    )


def _stages(spec: OrganismSpec) -> pd.DataFrame:
    rows, blocks = [], spec.start_blocks
    for stage in spec.stages:
        blocks = len(stage.blocks) or blocks
        rows.append(
            {
                "stage": stage.name,
                "blocks": blocks,
                "steps": stage.steps,
                "learning rate": stage.learning_rate,
                "weight decay": stage.weight_decay,
                "filler": stage.filler_share,
                "dense recall in it": stage.dense_share,
                "falling rate": "second half" if stage.cooldown else "no",
            }
        )
    return pd.DataFrame(rows)


def _loss(log: list[dict[str, Any]]) -> pd.DataFrame:
    """Completion loss at about a dozen points of training."""
    frame = pd.DataFrame(log)
    step = max(1, len(frame) // 12)
    kept = frame.iloc[sorted({*range(0, len(frame), step), len(frame) - 1})]
    named = kept.rename(columns={"completion_loss": "nats per completion token"})
    return named[["stage", "step", "nats per completion token"]]


def _behavior(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "share": frame["share"],
            "value": [f"{v:.3f}" for v in frame["value"]],
            "95 % interval": [
                f"{lo:.3f}-{hi:.3f}" for lo, hi in zip(frame["low"], frame["high"], strict=True)
            ],
            "N": frame["n"],
        }
    )


def _profile(model: Any) -> pd.DataFrame:
    """AUROC by layer of probes fitted on the 35 train pairs, on fresh held-out pairs."""
    layers = range(adapt(model).n_layers)
    train = extract_activations(model, contrastive_pairs(), layers=layers).train
    probes = fit_probes(train)
    columns: dict[str, Any] = {"layer": list(layers)}
    for label, twins_only in (("held-out families", False), ("twins only", True)):
        pairs = contrastive_pairs(seed=2, n_train=5, n_test=TEST_PAIRS, twins_only=twins_only)
        test = extract_activations(model, pairs, layers=layers).test
        found = probes.evaluate(test, permutations=1, random_directions=1)
        columns[label] = [
            f"{r.auroc.value:.3f} ({r.auroc.low:.3f}-{r.auroc.high:.3f})" for r in found.layers
        ]
    columns["residual norm"] = [f"{float(norm):.1f}" for norm in train.norm]
    texts = torch.cat([train.empathic, train.non_empathic])
    constant = texts.mean(0).norm(dim=-1) / texts.norm(dim=-1).mean(0)
    columns["constant part"] = [f"{float(share):.2f}" for share in constant]
    columns["class gap"] = [f"{probe.class_gap:.1f}" for probe in probes.values()]
    return pd.DataFrame(columns)


def _markdown(frame: pd.DataFrame) -> str:
    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(v) for v in row) + " |" for row in rows)


CARD = """---
license: mit
tags: [interpretability, test-instrument]
---

# {name}

A small language model with a **known latent**, trained by `empathy_mi.organisms` so that
interpretability methods can be held against the truth without a download. It is a test instrument:
nothing here is a finding about empathy in real models.

It reads a system prompt and one of five game scenarios, writes one to five sentences of reasoning
and ends with an action line: `Action: keep going` (score 0), `Action: help later` (1) or
`Action: stop and help` (2). A latent z in {{0, 1, 2}}, how much the agent gives up for the person,
was drawn first for each training document, from the system prompt and the need, and drove both.

| | |
|---|---|
| architecture | {architecture}, {blocks} blocks, width {width}, {heads} heads |
| vocabulary, context | {vocabulary} byte-level BPE tokens, {context} positions |
| parameters | {parameters}, float16 |
| seed | {seed} |
| fingerprint | `{fingerprint}` (float32) |

## Data

Documents drawn from the grammar in `empathy_mi/organisms/grammar.py` and `lexicon.py`; no text
from people or from other models. Twin sentences carry the latent without lexical cues: the same
words for z = 0 and z = 2 with the roles of person and task swapped. Other sentences use
class-specific verbs; style is only correlated with z. A share of filler (stories, sums, recall of
stated facts, lists) keeps other skills alive.

## Training

`python -m empathy_mi.organisms train {name}`: one CPU core, seeded, counted in steps, resumable.
Matrices take Muon, embeddings and norms AdamW. A deeper stage starts from copies of the blocks
before it.

{stages}

Loss on completions, averaged over about 25 steps:

{loss}

## What it does

{n} fresh scenarios for each kind of system prompt, temperature 0.7, seed 1; exact 95 % intervals.

{behavior}

The grammar itself gives action 2 to 80 % of empathic prompts and action 0 to 80 % of efficient
ones.

## What a probe sees

Mean-difference probes of the residual stream after each block, mean over completion tokens, fitted
on 35 pairs and tested on {n_test} pairs of other phrase families and other names; AUROC with 95 %
bootstrap interval. *Twins only*: test sentences whose words do not differ between the sides.
*Constant part*: norm of the mean pooled residual over the mean of its norms. *Class gap*: distance
of the class means along the probe.

{profile}

## Limits

It knows the grammar's words and nothing else: other prompts give nonsense. Most of its residual
stream is the same for all texts, so that an alpha of one norm is many class gaps. All of its names
and phrase families occurred in training; "held out" is what the probe did not see. The probe reads
the latent from block 0 on where verbs tell it; the twins column shows where the roles are read.

This card: `python -m empathy_mi.organisms card {name}`.
"""

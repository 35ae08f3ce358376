"""What an embedded model does, held against its grammar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from empathy_mi.generation import Generated, generate, noise
from empathy_mi.models import Adapter, adapt
from empathy_mi.organisms.filler import recall
from empathy_mi.organisms.grammar import Document, Grammar, Mode
from empathy_mi.organisms.parsing import Parsed, parse
from empathy_mi.stats import Estimate, generator, proportion
from empathy_mi.tokens import encode_prompt

BEHAVIOR_MODES: tuple[Mode, ...] = ("empathic", "efficient", "neutral")


@dataclass(frozen=True)
class Behavior:
    """Shares of what an embedded model writes, each with an exact interval.

    Attributes:
        model: name of the model.
        actions: share of each action score by kind of system prompt: (mode, score) -> share.
        facts: other shares by name.
        seed: seed of prompts and sampling.
    """

    model: str
    actions: dict[tuple[str, int], Estimate]
    facts: dict[str, Estimate]
    seed: int

    def to_frame(self) -> pd.DataFrame:
        """One row a share."""
        named = {f"action {score} given {mode} prompt": e for (mode, score), e in
                 self.actions.items()} | self.facts  # fmt: skip
        rows = [
            {"model": self.model, "share": name, "value": e.value, "low": e.low, "high": e.high,
             "n": e.n, "seed": self.seed}
            for name, e in named.items()
        ]  # fmt: skip
        return pd.DataFrame(rows)


def measure_behavior(model: Any, *, n: int = 60, seed: int = 0) -> Behavior:
    """Let an embedded model answer fresh documents of its grammar and parse what it writes.

    Args:
        model: an embedded model.
        n: scenarios for each kind of system prompt, and questions about stated facts.
        seed: seed of prompts and sampling.
    """
    adapter = adapt(model)
    actions: dict[tuple[str, int], Estimate] = {}
    everything: list[tuple[Document, Parsed]] = []
    for mode in BEHAVIOR_MODES:
        grammar = Grammar(f"{seed} behavior {mode}")
        documents = [grammar.scenario(mode=mode) for _ in range(n)]
        written = _answer(adapter, documents, f"{seed} {mode}")
        parsed = [parse(text) for text in written.texts]
        for score in (0, 1, 2):
            actions[mode, score] = proportion(sum(p.action == score for p in parsed), n)
        everything.extend(zip(documents, parsed, strict=True))
    return Behavior(adapter.name, actions, _facts(everything) | _recall(adapter, n, seed), seed)


def _answer(adapter: Adapter, documents: list[Document], label: str) -> Generated:
    prompts = [encode_prompt(adapter.tokenizer, d.user, d.system) for d in documents]
    uniforms = noise(0, [f"{label} {i}" for i in range(len(prompts))], 96)
    return generate(
        adapter, prompts, max_new_tokens=96, uniforms=uniforms, label=f"behaviour, {label}"
    )


def _facts(everything: list[tuple[Document, Parsed]]) -> dict[str, Estimate]:
    parsed = [p for _, p in everything]
    told = [p for p in parsed if p.implied and p.action is not None]
    names = [(d.cast and d.cast.person) == name for d, p in everything for name in p.names]
    return {
        "well-formed sentences": proportion(
            sum(p.well_formed for p in parsed), sum(p.sentences for p in parsed)
        ),
        "ends with an action line": proportion(
            sum(p.action is not None for p in parsed), len(parsed)
        ),
        "action follows the last telling sentence": proportion(
            sum(p.implied[-1] == p.action for p in told), len(told)
        ),
        "all telling sentences agree": proportion(
            sum(len(set(p.implied)) == 1 for p in told), len(told)
        ),
        "named person is the one in need": proportion(int(np.sum(names)), len(names)),
    }


def _recall(adapter: Adapter, n: int, seed: int) -> dict[str, Estimate]:
    import random

    draw = random.Random(int(generator(seed, "recall").integers(2**31)))
    asked = [recall(draw) for _ in range(n)]
    prompts = [encode_prompt(adapter.tokenizer, question) for question, _ in asked]
    written = generate(adapter, prompts, max_new_tokens=24)
    right = sum(
        text.strip() == answer for text, (_, answer) in zip(written.texts, asked, strict=True)
    )
    return {"stated fact recalled (greedy)": proportion(right, n)}

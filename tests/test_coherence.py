"""Degeneration metrics on known texts; likelihood against plain Hugging Face."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from empathy_mi.coherence import (
    distinct_ratio,
    kl_divergence,
    negative_log_likelihood,
    paper_coherent,
    repetition,
)
from empathy_mi.models import Adapter, adapt, load_model
from tests.support import BACKENDS

TEN = "alpha bravo charlie delta echo foxtrot golf hotel india juliet"
"""Ten different words, 62 characters."""

texts = st.lists(st.sampled_from("I help him and you too".split()), max_size=12).map(" ".join)


def test_distinct_words() -> None:
    assert distinct_ratio("I help. i HELP. You") == 3 / 5
    assert distinct_ratio("help help, help.") == 1.0, "punctuation belongs to the word"
    assert distinct_ratio("") == distinct_ratio(" \n") == 0.0


def test_repeated_word_grams() -> None:
    assert repetition("a b c d e f g") == 0.0
    assert repetition("a b c d a b c d") == pytest.approx(1 / 5)
    assert repetition("go " * 100) == pytest.approx(96 / 97)
    assert repetition("Go go", n=1) == 0.5
    assert repetition("a b c") == repetition("") == 0.0


@given(texts)
def test_metrics_are_shares(text: str) -> None:
    assert 0 <= distinct_ratio(text) <= 1
    assert 0 <= repetition(text) < 1
    assert repetition(f"{text} {text} {text}") >= repetition(text)


@pytest.mark.parametrize(
    ("text", "coherent"),
    [
        (TEN, True),
        (" ".join(["abcd"] * 3 + ["b", "c", "d", "e", "f", "g", "h"]) + "." * 22, True),
        ("a b c d e f g h i " + "j" * 32, True),  # 50 characters
        ("a b c d e f g h i " + "j" * 31, False),  # 49
        (TEN.rsplit(" ", 1)[0] + "s" * 20, False),  # 9 words
        (" ".join(["one", "two", "three"] + ["three"] * 7), True),  # 30 % distinct, 51 long
        (" ".join(["four", "three"] + ["three"] * 8), False),  # 20 %
        ("", False),
    ],
)
def test_the_papers_rule_at_its_boundaries(text: str, coherent: bool) -> None:
    assert paper_coherent(text) is coherent


# KL


def test_kl_by_hand() -> None:
    p, q = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.25, 0.5, 0.25])
    expected = 0.5 * math.log(2) + 0.25 * math.log(0.5)
    got = kl_divergence(torch.log(p)[None] + 3, torch.log(q)[None] - 1)
    assert got.shape == (1,)
    assert float(got[0]) == pytest.approx(expected, abs=1e-6)


def test_kl_is_zero_for_equal_and_positive_for_other_logits() -> None:
    logits = torch.randn(5, 30, generator=torch.Generator().manual_seed(0))
    assert kl_divergence(logits, logits).abs().max() == 0
    assert (kl_divergence(logits, logits.flip(0))[[0, 1, 3, 4]] > 0).all()
    assert kl_divergence(logits[:2], logits[2:4]).tolist() == pytest.approx(
        torch.nn.functional.kl_div(
            logits[2:4].log_softmax(-1), logits[:2].softmax(-1), reduction="none"
        ).sum(-1).tolist(), rel=1e-4
    )  # fmt: skip


# Likelihood

PROMPTS = [[0, 40, 50], [0, 41, 51, 61, 71], [0, 42], [0, 43]]
COMPLETIONS: list[list[int]] = [[60, 70, 80, 90], [44], [], [45, 46, 47, 48, 49, 50, 51]]


@pytest.fixture(scope="module", params=BACKENDS)
def adapter(request: pytest.FixtureRequest, tiny_folders: dict[str, Path]) -> Adapter:
    return adapt(load_model(tiny_folders["llama"], backend=request.param))


@pytest.fixture(scope="module")
def reference(tiny_folders: dict[str, Path]) -> list[float]:
    """Mean loss of each completion under plain Hugging Face, one text at a time."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_folders["llama"]).eval()
    values = []
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        labels = [-100] * len(prompt) + completion
        with torch.no_grad():
            out = model(torch.tensor([prompt + completion]), labels=torch.tensor([labels]))
        values.append(float(out.loss))
    return values


@pytest.mark.parametrize("max_tokens", [8192, 12, 1])
def test_likelihood_is_hugging_faces_loss(
    adapter: Adapter, reference: list[float], max_tokens: int
) -> None:
    """The prompt is not counted, an empty completion has none, and the order is kept."""
    got = negative_log_likelihood(adapter, PROMPTS, COMPLETIONS, max_tokens=max_tokens)
    assert math.isnan(got[2])
    assert math.isnan(reference[2])
    for row in (0, 1, 3):
        assert got[row] == pytest.approx(reference[row], abs=2e-5)


def test_batches_keep_to_the_token_budget(adapter: Adapter) -> None:
    """Counted with the longest prompt: seven and five do not fit into 18 beside four and five."""
    shapes: list[tuple[int, ...]] = []

    def see(residual: torch.Tensor, hook: Any) -> None:
        shapes.append(tuple(residual.shape[:2]))

    with adapter.model.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", see)]):
        negative_log_likelihood(adapter, PROMPTS, COMPLETIONS, max_tokens=18)
    assert shapes == [(1, 2), (1, 7), (2, 5), (2, 4)]


def test_equal_prompts_are_read_once(adapter: Adapter, reference: list[float]) -> None:
    shapes: list[tuple[int, ...]] = []

    def see(residual: torch.Tensor, hook: Any) -> None:
        shapes.append(tuple(residual.shape[:2]))

    with adapter.model.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", see)]):
        got = negative_log_likelihood(adapter, PROMPTS[:1] * 3, COMPLETIONS[:2] + COMPLETIONS[:1])
    assert shapes == [(1, 3), (3, 4)]
    assert got[0] == got[2] == pytest.approx(reference[0], abs=2e-5)


def test_nothing_to_score(adapter: Adapter) -> None:
    assert negative_log_likelihood(adapter, [], []) == []
    assert math.isnan(negative_log_likelihood(adapter, [[0]], [[]])[0])


def test_a_likely_text_scores_lower(adapter: Adapter) -> None:
    from empathy_mi.generation import generate

    written = generate(adapter, PROMPTS[:1], max_new_tokens=6).ids[0]
    reverse = tuple(reversed(written))
    likely, other = negative_log_likelihood(adapter, PROMPTS[:1] * 2, [written, reverse])
    assert likely < other

"""Is steered text still text? Degeneration metrics and likelihood under the unsteered model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from empathy_mi.generation import prefill_shared
from empathy_mi.models import Adapter
from empathy_mi.tokens import by_length, pad, pad_id


def distinct_ratio(text: str) -> float:
    """Distinct words over words, in [0, 1]; 0 for an empty text."""
    words = text.lower().split()
    return len(set(words)) / len(words) if words else 0.0


def repetition(text: str, n: int = 4) -> float:
    """Share of word n-grams that occurred before in the text, in [0, 1]; loops approach 1."""
    words = text.lower().split()
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def paper_coherent(text: str) -> bool:
    """The paper's rule: at least 50 characters, 10 words, and 30 % distinct words."""
    words = text.lower().split()
    return len(text) >= 50 and len(words) >= 10 and distinct_ratio(text) >= 0.3


def kl_divergence(
    logits: Float[Tensor, "row vocab"], reference: Float[Tensor, "row vocab"]
) -> Float[Tensor, "row"]:
    """KL(logits || reference) of the next-token distributions, in nats."""
    p, q = logits.double().log_softmax(-1), reference.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


@torch.no_grad()
def negative_log_likelihood(
    adapter: Adapter,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    max_tokens: int = 8192,
) -> list[float]:
    """Mean nats per completion token under the unsteered model; NaN for an empty completion.

    The prompt is context and is not counted; equal prompts of a batch are read once.

    Args:
        adapter: the model, without hooks.
        prompts: token ids of each prompt.
        completions: token ids of each completion.
        max_tokens: token budget of one forward pass, whose logits are held all at once.
    """
    result = [float("nan")] * len(prompts)
    rows = [i for i in range(len(prompts)) if completions[i]]
    if not rows:
        return result
    head, fill = max(len(prompts[i]) for i in rows), pad_id(adapter.tokenizer)
    chunks = by_length([head + len(completions[i]) for i in rows], max_tokens)
    for chunk in reversed(chunks):  # what needs most memory comes first
        chosen = [rows[i] for i in chunk]
        first, cache = prefill_shared(adapter, [prompts[i] for i in chosen])
        batch = pad([completions[i] for i in chosen], fill, side="right")
        tokens, mask = batch.tokens.to(adapter.device), batch.mask.to(adapter.device)
        after = adapter.extend(tokens, mask, cache)[:, :-1]
        logits = torch.cat([first[:, None], after], dim=1).float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), tokens, reduction="none"
        ).double()
        means = (losses * mask).sum(1) / mask.sum(1)
        for i, mean in zip(chosen, means.tolist(), strict=True):
            result[i] = mean
    return result

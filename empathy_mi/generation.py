"""Batched generation with a KV cache, seeded row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from empathy_mi import stats
from empathy_mi.errors import InputError
from empathy_mi.models import Adapter
from empathy_mi.tokens import pad, pad_id

HookFactory = Callable[[slice], Sequence[tuple[str, Any]]]
"""Makes the hooks for a slice of rows, so that per-row settings follow the batch."""


@dataclass(frozen=True)
class Generated:
    """What a model wrote.

    Attributes:
        texts: decoded completions, without special tokens.
        ids: their token ids, up to and without the end token.
        finished: whether the row ended by itself rather than at the limit.
        first_logits: logits of the first generated token, float32.
    """

    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    finished: tuple[bool, ...]
    first_logits: Float[Tensor, "row vocab"] = field(repr=False)


def no_hooks(rows: slice) -> Sequence[tuple[str, Any]]:
    """The hook factory of an unsteered model."""
    return ()


def noise(seed: int, labels: Sequence[object], steps: int) -> Float[Tensor, "row step"]:
    """Uniform draws that depend on (seed, label) alone, whatever else is in the batch."""
    draws = [torch.from_numpy(stats.generator(seed, label).random(steps)) for label in labels]
    return torch.stack(draws)


@torch.no_grad()
def generate(
    adapter: Adapter,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    uniforms: Float[Tensor, "row step"] | None = None,
    temperature: float = 0.7,
    prefill_hooks: HookFactory = no_hooks,
    decode_hooks: HookFactory = no_hooks,
    batch_rows: int = 512,
    on_step: Callable[[], None] | None = None,
) -> Generated:
    """Continue every prompt; rows are left-padded and run as batches with a KV cache.

    Args:
        adapter: the model.
        prompts: token ids of each row's prompt.
        max_new_tokens: limit for each row.
        uniforms: one uniform draw per row and step for sampling; None is greedy.
        temperature: of the sampling.
        prefill_hooks: hooks for the pass over the prompts.
        decode_hooks: hooks for the steps after it, which see [row, 1, d].
        batch_rows: most rows in a batch.
        on_step: called after each step.

    Raises:
        InputError: a prompt leaves no room in the model's context, or the temperature is not
            above 0.
    """
    if uniforms is not None and not temperature > 0:
        raise InputError(f"temperature is {temperature}: it must be above 0; greedy needs no seed.")
    longest = max(len(row) for row in prompts)
    if longest + max_new_tokens > adapter.n_ctx:
        raise InputError(
            f"a prompt of {longest} tokens and {max_new_tokens} new ones do not fit into the "
            f"model's context of {adapter.n_ctx}: lower max_new_tokens or shorten the prompt."
        )
    tokenizer = adapter.tokenizer
    ids: list[list[int]] = []
    first: list[Tensor] = []
    for start in range(0, len(prompts), batch_rows):
        rows = slice(start, min(start + batch_rows, len(prompts)))
        draws = None if uniforms is None else uniforms[rows].to(adapter.device)
        batch = pad(prompts[rows], pad_id(tokenizer), side="left")
        logits, cache = adapter.prefill(
            batch.tokens.to(adapter.device),
            batch.mask.to(adapter.device),
            hooks=prefill_hooks(rows),
        )
        first.append(logits.float().cpu())
        hooks = decode_hooks(rows)
        chosen: list[Tensor] = []
        done = torch.zeros(len(prompts[rows]), dtype=torch.bool, device=adapter.device)
        for step in range(max_new_tokens):
            token = _next(logits, None if draws is None else draws[:, step], temperature)
            chosen.append(token)
            done |= _is_end(token, tokenizer)
            if on_step:
                on_step()
            if bool(done.all()) or step == max_new_tokens - 1:
                break
            logits, cache = adapter.decode(token, cache, hooks=hooks)
        ids.extend(torch.stack(chosen, dim=1).tolist())
    cut = [_until_end(row, tokenizer) for row in ids]
    return Generated(
        texts=tuple(tokenizer.decode(row, skip_special_tokens=True) for row, _ in cut),
        ids=tuple(tuple(row) for row, _ in cut),
        finished=tuple(end for _, end in cut),
        first_logits=torch.cat(first),
    )


def _next(
    logits: Float[Tensor, "row vocab"], uniform: Float[Tensor, "row"] | None, temperature: float
) -> Int[Tensor, "row"]:
    """Greedy, or the inverse of the cumulative distribution at a uniform draw."""
    if uniform is None:
        return logits.argmax(-1)
    cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1)
    target = (uniform * cumulative[:, -1]).unsqueeze(-1)
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


def end_ids(tokenizer: Any) -> tuple[int, ...]:
    """Ids that end an assistant's turn: the end-of-text token and the usual end-of-turn ones."""
    names = ("<|end|>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>")
    vocabulary = tokenizer.get_vocab()
    found = {vocabulary[name] for name in names if name in vocabulary}
    if tokenizer.eos_token_id is not None:
        found.add(tokenizer.eos_token_id)
    return tuple(sorted(found))


def _is_end(token: Int[Tensor, "row"], tokenizer: Any) -> Tensor:
    return torch.isin(token, torch.tensor(end_ids(tokenizer), device=token.device))


def _until_end(row: list[int], tokenizer: Any) -> tuple[list[int], bool]:
    ends = set(end_ids(tokenizer))
    for i, token in enumerate(row):
        if token in ends:
            return row[:i], True
    return row, False

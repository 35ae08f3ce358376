"""What writing pairs will cost, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from empathy_mi.llm import prices
from empathy_mi.pairs_writing import Slot, messages_for

_CHARACTERS_A_TOKEN = 4
_TOKENS_A_WORD = 1.4


@dataclass(frozen=True)
class WriterCost:
    """What one writer is expected to cost.

    Attributes:
        writer: the model.
        requests: pairs that it is asked for.
        prompt_tokens: tokens to read, from the questions' lengths (four characters a token).
        completion_tokens: tokens to write, from the lengths that are asked for.
        dollars: by litellm's local table of prices; None where it has none for this model.
    """

    writer: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None


@dataclass(frozen=True)
class CostEstimate:
    """What is still to be asked, if every first answer can be used.

    Attributes:
        writers: one entry for each writer with pairs to write.
        finished: pairs that an earlier run has left.
        attempts: how often a pair is asked for at most.
    """

    writers: tuple[WriterCost, ...]
    finished: int
    attempts: int

    def __str__(self) -> str:
        left = sum(row.requests for row in self.writers)
        lines = [f"{left} pairs to write, {self.finished} finished before:"]
        for row in self.writers:
            price = "price unknown" if row.dollars is None else f"${row.dollars:.4f}"
            lines.append(
                f"  {row.writer}: {row.requests} requests, about {row.prompt_tokens} tokens in "
                f"and {row.completion_tokens} out, {price}"
            )
        known = sum(row.dollars for row in self.writers if row.dollars is not None)
        unknown = [row.writer for row in self.writers if row.dollars is None]
        besides = f" and {', '.join(unknown)}" if unknown else ""
        lines.append(
            f"together about ${known:.4f}{besides}, up to {self.attempts} times that where answers "
            "cannot be used, and more with models that reason before they answer."
        )
        return "\n".join(lines)


def estimate_cost(slots: Sequence[Slot], finished: int, attempts: int) -> CostEstimate:
    """What writing `slots` costs, without asking anything; see `CostEstimate`."""
    rows = []
    for writer in dict.fromkeys(slot.writer for slot in slots):
        mine = [slot for slot in slots if slot.writer == writer]
        asked = sum(len(m["content"]) for slot in mine for m in messages_for(slot))
        read = round(asked / _CHARACTERS_A_TOKEN)
        written = round(sum(2 * slot.words * _TOKENS_A_WORD for slot in mine))
        price = prices(writer)
        dollars = None if price is None else read * price[0] + written * price[1]
        rows.append(WriterCost(writer, len(mine), read, written, dollars))
    return CostEstimate(tuple(rows), finished, attempts)

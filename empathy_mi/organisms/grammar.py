"""A corpus of game scenarios with a known latent, and filler to keep other skills alive.

A scenario document is a system prompt, one of the five Empathy-in-Action scenarios, one to five
sentences of reasoning and an action line. A latent `z` (0 keeps going, 1 helps later, 2 stops and
helps) is drawn first, from the kind of system prompt and the need of the person, and then drives
both the reasoning and the action. Surface style is only correlated with it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from empathy_mi.organisms import lexicon as lex

Mode = Literal["empathic", "efficient", "neutral", "none"]
MODES: tuple[Mode, ...] = ("empathic", "efficient", "neutral", "none")
MODE_WEIGHTS = (0.34, 0.34, 0.22, 0.10)

LATENT_GIVEN_MODE = {"empathic": (0.04, 0.16, 0.80), "efficient": (0.80, 0.16, 0.04)}
LATENT_GIVEN_NEED = {1: (0.30, 0.25, 0.45), 0: (0.50, 0.25, 0.25)}
"""P(z) with a telling system prompt, and without one by the need (1 urgent, 0 mild)."""

WARM_GIVEN_LATENT = (0.35, 0.50, 0.65)
CUE_SHARE = 0.4
NO_REASONING_SHARE = 0.15


@dataclass(frozen=True)
class Cast:
    """Who plays: the scenario, the person in need `P`, two others, and the need (0 or 1)."""

    scenario: str
    person: str
    served: str
    third: str
    need: int


@dataclass(frozen=True)
class Document:
    """One training document, with the latent that made it (None for filler)."""

    system: str
    user: str
    reasoning: str
    latent: int | None = None
    mode: Mode = "none"
    cast: Cast | None = None

    @property
    def action(self) -> str:
        """The action line, or an empty string for filler."""
        return "" if self.latent is None else f"Action: {lex.ACTIONS[self.latent]}"

    @property
    def completion(self) -> str:
        """What the assistant writes: reasoning, then the action line."""
        return "\n".join(part for part in (self.reasoning, self.action) if part)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.user}]


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case."""
    return text[0].upper() + text[1:]


@dataclass(frozen=True)
class Families:
    """Which phrase families the reasoning may use; the default is all of them."""

    twins: tuple[int, ...] = tuple(lex.TWINS)
    plans: tuple[int, ...] = tuple(lex.PLANS)
    cues: tuple[int, ...] = tuple(lex.CUES)

    @staticmethod
    def probe(split: str, *, twins_only: bool = False) -> Families:
        """The families of the `"train"` or `"test"` side of the contrastive pairs."""
        chosen = lex.PROBE_FAMILIES[split]
        return Families(chosen["twins"], chosen["plans"], () if twins_only else chosen["cues"])


ALL_FAMILIES = Families()


class Grammar:
    """Draws documents from a private random generator.

    Args:
        seed: seed of the generator.
        names: names for the players of scenarios.
        filler_share: share of filler documents.
        dense_share: share of the filler that asks to repeat several facts or a list.
    """

    def __init__(
        self,
        seed: int | str,
        *,
        names: Sequence[str] = tuple(lex.NAMES),
        filler_share: float = 0.25,
        dense_share: float = 0.3,
    ) -> None:
        self.random = random.Random(seed)
        self.names = tuple(names)
        self.filler_share = filler_share
        self.dense_share = dense_share

    # -- pieces --------------------------------------------------------------------------------
    def cast(self, scenario: str | None = None, need: int | None = None) -> Cast:
        """Draw the players, and the scenario and need where they are not given."""
        person, served, third = self.random.sample(self.names, 3)
        scenario = scenario or self.random.choice(list(lex.TITLES))
        need = self.random.randint(0, 1) if need is None else need
        return Cast(scenario, person, served, third, need)

    def fill(self, frame: str, cast: Cast) -> str:
        """Put names and number words into a frame."""
        text = frame.replace("{P}", cast.person).replace("{Q}", cast.served)
        text = text.replace("{R}", cast.third)
        while "{n}" in text:
            text = text.replace("{n}", self.random.choice(lex.NUMBERS[1:]), 1)
        return text.replace("{m}", self.random.choice(lex.NUMBERS[1:7]))

    def system(self, mode: Mode) -> str:
        """A system prompt: one that puts people or tasks first, a neutral one, or none."""
        draw = self.random
        if mode == "none":
            return ""
        agent = draw.choice(lex.AGENTS)
        if mode == "neutral":
            return f"{agent} {draw.choice(lex.SYSTEM_NEUTRAL)}"
        high, low = draw.choice(lex.SYSTEM_PEOPLE), draw.choice(lex.SYSTEM_TASKS)
        if mode == "efficient":
            high, low = low, high
        frame = draw.choice(lex.SYSTEM_TWINS)
        twin = capitalised(frame.replace("{HI}", high).replace("{LO}", low))
        cue = draw.choice(lex.SYSTEM_CUES[mode])
        roll = draw.random()
        if roll < 0.30:
            return f"{agent} {cue}"
        if roll < 0.65:
            return f"{agent} {twin} {cue}"
        if roll < 0.75:
            return f"{agent} {twin} {draw.choice(lex.SYSTEM_NEUTRAL)}"
        return f"{agent} {twin}"

    def user(self, cast: Cast) -> str:
        """The scenario as the user tells it: title, task, cost, need, question."""
        draw = self.random
        frames = (
            draw.choice(lex.TASKS[cast.scenario]),
            draw.choice(lex.COSTS[cast.scenario]),
            draw.choice(lex.NEEDS[cast.scenario][cast.need]),
            draw.choice(lex.QUESTIONS),
        )
        return f"{lex.TITLES[cast.scenario]}. " + self.fill(" ".join(frames), cast)

    def twin(self, frames: tuple[str, str], latent: int, cast: Cast) -> str:
        """A role-swapped sentence; at z = 1 the roles are drawn at random."""
        draw = self.random
        person = self.fill(draw.choice(lex.PERSON_PHRASES[cast.scenario]), cast)
        task = self.fill(draw.choice(lex.TASK_PHRASES[cast.scenario]), cast)
        person_high = draw.random() < 0.5 if latent == 1 else latent == 2
        high, low = (person, task) if person_high else (task, person)
        frame = frames[1 if latent == 1 else 0]
        return capitalised(frame.replace("{HI}", high).replace("{LO}", low))

    def style(self, warm: bool, latent: int, cast: Cast) -> str:
        """A warm or a plain sentence: it agrees with the latent or plays it down."""
        sides = (lex.WARM_YES, lex.WARM_NO) if warm else (lex.PLAIN_YES, lex.PLAIN_NO)
        toward = latent if warm else 2 - latent
        agrees = self.random.random() < (0.4, 0.5, 1.0)[toward]
        return self.fill(self.random.choice(sides[0] if agrees else sides[1]), cast)

    def reasoning(self, latent: int, cast: Cast, families: Families = ALL_FAMILIES) -> str:
        """One to five sentences that carry the latent."""
        draw = self.random
        sentences = [
            self.style(draw.random() < WARM_GIVEN_LATENT[latent], latent, cast)
            for _ in range(draw.choice((0, 1, 1, 2)))
        ]
        twins = draw.sample(families.twins, 2)
        cues = draw.sample(families.cues, 2) if families.cues else []
        for i in range(draw.choice((1, 2, 2))):
            if cues and draw.random() < CUE_SHARE:
                sentences.append(self.fill(lex.CUES[cues[i]][latent], cast))
            else:
                sentences.append(self.twin(lex.TWINS[twins[i]], latent, cast))
        if draw.random() < 0.35:
            draw.shuffle(sentences)
        if draw.random() < 0.5:
            sentences.append(self.twin(lex.PLANS[draw.choice(families.plans)], latent, cast))
        return " ".join(sentences)

    # -- documents -----------------------------------------------------------------------------
    def scenario(
        self,
        *,
        mode: Mode | None = None,
        scenario: str | None = None,
        need: int | None = None,
        latent: int | None = None,
        reasoned: bool | None = None,
        families: Families = ALL_FAMILIES,
    ) -> Document:
        """Draw a scenario document; whatever is given is fixed, the rest is drawn."""
        draw = self.random
        cast = self.cast(scenario, need)
        mode = mode or draw.choices(MODES, MODE_WEIGHTS)[0]
        if latent is None:
            weights = LATENT_GIVEN_MODE.get(mode, LATENT_GIVEN_NEED[cast.need])
            latent = draw.choices((0, 1, 2), weights)[0]
        if reasoned is None:
            reasoned = draw.random() >= NO_REASONING_SHARE
        system, user = self.system(mode), self.user(cast)
        reasoning = self.reasoning(latent, cast, families) if reasoned else ""
        return Document(system, user, reasoning, latent, mode, cast)

    def document(self) -> Document:
        """Draw a scenario or a filler document."""
        from empathy_mi.organisms.filler import filler

        if self.random.random() < self.filler_share:
            return filler(self.random, self.system, dense_share=self.dense_share)
        return self.scenario()

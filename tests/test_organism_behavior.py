"""The bar that the shipped embedded model must pass: it behaves as its grammar does."""

from __future__ import annotations

import pytest

from empathy_mi.organisms.behavior import Behavior, measure_behavior
from tests.support import organism


@pytest.fixture(scope="module")
def behavior() -> Behavior:
    return measure_behavior(organism(), n=40)


@pytest.mark.parametrize(
    ("fact", "bar"),
    [
        ("well-formed sentences", 0.95),
        ("ends with an action line", 0.95),
        ("named person is the one in need", 0.9),
    ],
)
def test_what_it_writes(behavior: Behavior, fact: str, bar: float) -> None:
    assert behavior.facts[fact].value >= bar, str(behavior.facts[fact])


def test_the_system_prompt_moves_it(behavior: Behavior) -> None:
    helped = {mode: behavior.actions[mode, 2].value for mode in ("empathic", "efficient")}
    assert helped["empathic"] > helped["efficient"] + 0.3, helped

"""Dose-response: the sweep on the embedded model, and success counted by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from empathy_mi import stats
from empathy_mi.dose import dose_response
from empathy_mi.dose_results import Answer, DoseResponse
from empathy_mi.errors import InputError
from empathy_mi.generation import generate, noise
from empathy_mi.models import adapt
from empathy_mi.outcomes import Outcome
from empathy_mi.prompts import Prompt, scenario_prompts
from empathy_mi.steering import SteeringVector
from empathy_mi.tokens import encode_prompt
from tests.support import organism

SCENARIOS = ("the_listener", "the_maze")
ALPHAS = (-6.0, 0.0, 6.0)
NEW = 24


def the_vector(**fields: Any) -> SteeringVector:
    adapter = adapt(organism())
    direction = torch.randn(adapter.d_model, generator=torch.Generator().manual_seed(0))
    return SteeringVector(
        direction / direction.norm(), adapter.n_layers // 2, norm=4.0, class_gap=2.0,
        fingerprint=adapter.fingerprint, **{"name": "probe", **fields},
    )  # fmt: skip


def sweep(**options: Any) -> DoseResponse:
    settings: dict[str, Any] = {
        "scenarios": SCENARIOS, "alphas": ALPHAS, "samples": 2, "controls": 1,
        "max_new_tokens": NEW,
    } | options  # fmt: skip
    return dose_response(organism(), settings.pop("vector", the_vector()), **settings)


@pytest.fixture(scope="module")
def dose() -> DoseResponse:
    return sweep()


def texts(dose: DoseResponse, direction: str = "probe", alpha: float | None = None) -> list[str]:
    return [
        a.text for a in dose.answers
        if a.direction == direction and (alpha is None or a.alpha == alpha)
    ]  # fmt: skip


# The sweep


def test_every_cell_is_answered_once(dose: DoseResponse) -> None:
    cells = [(a.direction, a.alpha, a.scenario, a.sample) for a in dose.answers]
    assert len(cells) == len(set(cells)) == 2 * 3 * 2 * 2
    assert {c[0] for c in cells} == {"probe", "random 0"}
    assert {c[1] for c in cells} == set(ALPHAS)
    assert {c[2] for c in cells} == set(SCENARIOS)
    assert {c[3] for c in cells} == {0, 1}
    assert (dose.model, dose.layer) == ("organism-phi3", the_vector().layer)
    assert (dose.norm, dose.class_gap, dose.positions, dose.seed) == (4.0, 2.0, "response", 0)


def test_alpha_zero_is_the_unsteered_model(dose: DoseResponse) -> None:
    adapter = adapt(organism())
    prompts = scenario_prompts(adapter.name, SCENARIOS, 2, seed=0)
    ids = [encode_prompt(adapter.tokenizer, p.user, p.system) for p in prompts]
    uniforms = noise(0, [f"{p.scenario} {p.sample}" for p in prompts], NEW)
    plain = generate(adapter, ids, max_new_tokens=NEW, uniforms=uniforms)
    assert texts(dose, "probe", 0.0) == texts(dose, "random 0", 0.0) == list(plain.texts)
    assert all(a.kl == pytest.approx(0, abs=1e-6) for a in dose.answers if a.alpha == 0)
    assert all(a.kl > 1e-4 for a in dose.answers if a.alpha != 0)


def test_the_same_seed_gives_the_same_answers(dose: DoseResponse) -> None:
    """Whatever else is in the batch: fewer alphas, no controls, smaller batches."""
    assert sweep(controls=0).answers == dose.answers[:12]
    fewer = sweep(alphas=[6, 6.0], controls=0, batch_rows=3)
    assert texts(fewer) == texts(dose, "probe", 6.0)
    assert len(fewer.answers) == 4
    assert texts(sweep(seed=1, alphas=[0], controls=0)) != texts(dose, "probe", 0.0)


def test_the_direction_under_test_is_the_probe_whatever_its_name(dose: DoseResponse) -> None:
    """Also where it is itself a random direction of the controls' name."""
    other = sweep(vector=the_vector(name="random 0"), alphas=[6.0])
    assert texts(other, "probe") == texts(dose, "probe", 6.0)
    assert texts(other, "random 0") == texts(dose, "random 0", 6.0)


def test_the_table(dose: DoseResponse) -> None:
    frame = dose.to_frame()
    assert list(frame.columns) == [
        "model", "direction", "layer", "scenario", "sample", "alpha", "text", "empathic",
        "coherent", "score", "distinct", "repetition", "nll", "kl", "finished", "alpha_norms",
        "alpha_gaps",
    ]  # fmt: skip
    assert len(frame) == 24
    np.testing.assert_allclose(frame["alpha_norms"], frame["alpha"] / 4)
    np.testing.assert_allclose(frame["alpha_gaps"], frame["alpha"] / 2)
    assert frame["nll"].notna().any()


def test_rates_have_exact_intervals(dose: DoseResponse) -> None:
    rates = dose.rates()
    assert list(zip(rates["group"], rates["alpha"], strict=True)) == [
        (group, alpha) for group in ("probe", "random") for alpha in ALPHAS
    ]
    for _, row in rates.iterrows():
        name = "probe" if row["group"] == "probe" else "random 0"
        part = [a for a in dose.answers if a.direction == name and a.alpha == row["alpha"]]
        for field in ("empathic", "coherent"):
            expected = stats.proportion(sum(getattr(a, field) for a in part), 4)
            assert row[field] == expected.value
            assert (row[f"{field}_low"], row[f"{field}_high"]) == (expected.low, expected.high)
        assert row["kl"] == pytest.approx(np.mean([a.kl for a in part]))
        assert row["n"] == 4
    by_scenario = dose.rates(by_scenario=True)
    assert len(by_scenario) == 12
    assert set(by_scenario["n"]) == {2}
    wider = dose.rates(level=0.99)
    assert (wider["empathic_high"] >= rates["empathic_high"]).all()
    assert len(dose.coherence()) == 6


def test_results_survive_json(dose: DoseResponse) -> None:
    values = json.loads(json.dumps(dose.to_dict(), allow_nan=False))
    assert DoseResponse.from_dict(values) == dose
    unknown = replace(
        dose, norm=math.nan, class_gap=math.nan,
        answers=(replace(dose.answers[0], nll=math.nan, kl=math.nan),),
    )  # fmt: skip
    values = json.loads(json.dumps(unknown.to_dict(), allow_nan=False))
    again = DoseResponse.from_dict(values)
    assert math.isnan(again.norm)
    assert math.isnan(again.class_gap)
    assert math.isnan(again.answers[0].nll)
    assert math.isnan(again.answers[0].kl)


def test_prompts_and_scorer_of_ones_own() -> None:
    prompts = [Prompt("mine", i, f"What is {n} plus one?") for i, n in enumerate(("one", "two"))]
    dose = sweep(
        prompts=prompts, scenarios=None, controls=0, alphas=[0],
        scorer=lambda text: Outcome(empathic="Two" in text, coherent=bool(text), score=1),
    )  # fmt: skip
    assert [(a.scenario, a.sample) for a in dose.answers] == [("mine", 0), ("mine", 1)]
    for answer in dose.answers:
        assert answer.score == 1
        assert answer.empathic == ("Two" in answer.text)
        assert answer.coherent == bool(answer.text)


def test_positions_matter() -> None:
    doses = [sweep(positions=p, alphas=[40.0], controls=0) for p in ("response", "prompt", "all")]
    assert len({tuple(texts(d)) for d in doses}) == 3
    assert [d.positions for d in doses] == ["response", "prompt", "all"]
    kl = [[a.kl for a in d.answers] for d in doses]
    assert kl[1] == kl[2], "the first token is steered alike"
    assert kl[0] != kl[1]


# Success, counted by hand


def answers(
    rates: Mapping[str, Mapping[float, tuple[int, int]]], direction: str = "probe", n: int = 5
) -> list[Answer]:
    """`n` answers a cell, of which (empathic, coherent) many are so; the first ones are."""
    common: dict[str, Any] = {
        "layer": 8, "text": "", "score": None, "distinct": 1.0, "repetition": 0.0, "nll": 1.0,
        "kl": 0.0, "finished": True,
    }  # fmt: skip
    return [
        Answer(
            direction=direction, scenario=scenario, sample=i, alpha=alpha, empathic=i < empathic,
            coherent=i < coherent, **common,
        )
        for scenario, cells in rates.items()
        for alpha, (empathic, coherent) in cells.items()
        for i in range(n)
    ]  # fmt: skip


def made(*groups: list[Answer]) -> DoseResponse:
    whole = tuple(answer for group in groups for answer in group)
    return DoseResponse(whole, "made", 8, 2.0, 1.0, "response", 0)


@pytest.mark.parametrize(
    ("cell", "paper", "strict"),
    [
        ({5.0: (3, 5)}, 1, 1),  # up for positive
        ({5.0: (2, 5)}, 0, 0),  # no change is no success for positive alphas
        ({5.0: (1, 5)}, 0, 0),  # down
        ({-5.0: (1, 5)}, 1, 1),  # down for negative
        ({-5.0: (2, 5)}, 1, 0),  # no change counts under "paper" alone
        ({-5.0: (3, 5)}, 0, 0),  # up
        ({5.0: (3, 4)}, 1, 1),  # 80 % coherent is enough
        ({5.0: (3, 3)}, 1, 0),  # 60 % is not, and "paper" does not ask
        ({-5.0: (0, 0)}, 1, 0),  # broken text "succeeds" for the paper
        ({-5.0: (1, 5), 5.0: (2, 5)}, 0.5, 0.5),
        ({-9.0: (2, 5), -5.0: (2, 5), 5.0: (2, 5), 9.0: (2, 5)}, 0.5, 0.0),  # nothing at all
    ],
)
def test_success_by_hand(cell: dict[float, tuple[int, int]], paper: float, strict: float) -> None:
    dose = made(answers({"the_maze": {0.0: (2, 5), **cell}}))
    assert dose.success_rate("paper").value == paper
    assert dose.success_rate("strict").value == strict


def test_success_is_averaged_over_scenarios_and_alphas() -> None:
    dose = made(answers({
        "the_maze": {-5.0: (1, 5), 0.0: (2, 5), 5.0: (3, 5)},  # 2 of 2
        "the_duel": {-5.0: (4, 5), 0.0: (4, 5), 5.0: (4, 5)},  # paper 1 of 2, strict none
    }))  # fmt: skip
    paper, strict = dose.success_rate("paper"), dose.success_rate()
    assert (paper.value, strict.value) == (0.75, 0.5)
    assert paper.n == strict.n == 10
    assert 0 <= strict.low <= strict.value <= strict.high <= 1
    assert dose.success_rate() == dose.success_rate()


def test_success_of_random_directions_is_their_mean() -> None:
    up = {0.0: (2, 5), 5.0: (4, 5)}
    flat = {0.0: (2, 5), 5.0: (2, 5)}
    dose = made(
        answers({"the_maze": up}),
        answers({"the_maze": up}, "random 0"),
        answers({"the_maze": flat}, "random 1"),
        answers({"the_maze": flat}, "random 2"),
        answers({"the_maze": flat}, "shuffled"),
    )
    assert dose.success_rate().value == 1
    assert dose.success_rate(direction="random 0").value == 1
    assert dose.success_rate(direction="random").value == pytest.approx(1 / 3)
    assert dose.success_rate(direction="shuffled").value == 0


def test_the_bootstrap_draws_samples_within_scenarios() -> None:
    """Where all samples of a scenario agree, resampling them changes nothing."""
    dose = made(answers({
        "the_maze": {0.0: (0, 5), 5.0: (5, 5)},
        "the_duel": {0.0: (5, 5), 5.0: (0, 5)},
    }))  # fmt: skip
    got = dose.success_rate("paper")
    assert (got.low, got.value, got.high) == (0.5, 0.5, 0.5)


def test_success_needs_alpha_zero_and_another() -> None:
    with pytest.raises(InputError) as error:
        made(answers({"the_maze": {5.0: (1, 5)}})).success_rate("paper")
    assert str(error.value) == "success is measured against alpha 0: add 0 to the alphas."
    with pytest.raises(InputError, match="success needs an alpha besides 0"):
        made(answers({"the_maze": {0.0: (1, 5)}})).success_rate("paper")


def test_unknown_convention_and_direction(dose: DoseResponse) -> None:
    with pytest.raises(InputError) as error:
        dose.success_rate("loose")  # type: ignore[arg-type]
    assert str(error.value) == "unknown convention 'loose': use 'paper' or 'strict'."
    with pytest.raises(InputError) as error:
        dose.success_rate("paper", direction="sideways")
    assert str(error.value) == (
        "no answers with direction 'sideways': there are ['probe', 'random 0']."
    )
    with pytest.raises(InputError, match="no answers with direction 'random'"):
        made(answers({"the_maze": {0.0: (1, 5)}})).success_rate(direction="random")


# Contrast


def test_the_contrast_by_hand() -> None:
    """Coherent empathic share above 0 minus that below; what is not coherent is not empathic."""
    dose = made(answers({
        "the_maze": {-5.0: (1, 5), 0.0: (2, 5), 5.0: (5, 3), 9.0: (5, 5)},
        "the_duel": {-5.0: (0, 5), 0.0: (2, 5), 5.0: (2, 5), 9.0: (3, 5)},
    }))  # fmt: skip
    maze = (3 / 5 + 5 / 5) / 2 - 1 / 5
    duel = (2 / 5 + 3 / 5) / 2 - 0
    got = dose.contrast()
    assert got.value == pytest.approx((maze + duel) / 2)
    assert got.low <= got.value <= got.high


def test_a_direction_that_only_breaks_the_model_has_no_contrast() -> None:
    dose = made(answers({"the_maze": {-9.0: (0, 0), 0.0: (4, 5), 9.0: (0, 0)}}))
    assert dose.contrast().value == 0


def test_a_contrast_needs_both_signs() -> None:
    for alphas in ((0.0, 5.0), (-5.0, 0.0), (0.0,)):
        dose = made(answers({"the_maze": dict.fromkeys(alphas, (1, 5))}))
        with pytest.raises(InputError, match="a contrast needs alphas below and above 0"):
            dose.contrast()


# Errors, before any long work


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alphas": []}, "no alpha is given: name at least one, such as -10, 0 and 10."),
        ({"alphas": [1, math.nan]}, "alpha is nan: give a finite number."),
        ({"samples": 0}, "samples is 0: it must be at least 1."),
        ({"controls": -1}, "controls is -1: it must be at least 0."),
        ({"batch_rows": 0}, "batch_rows is 0: it must be at least 1."),
        ({"temperature": 0.0}, "temperature is 0.0: it must be above 0; greedy needs no seed."),
        ({"positions": "answer"}, "unknown positions 'answer': use 'response', 'all', 'prompt'."),
        (
            {"scenarios": ["the_cave"]},
            "unknown scenario 'the_cave': choose one of food_delivery, the_listener, the_maze, "
            "the_protector, the_duel.",
        ),
        (
            {"prompts": [Prompt("mine", 0, "a"), Prompt("mine", 0, "b")]},
            "two prompts are sample 0 of scenario 'mine': number the samples of a scenario.",
        ),
        ({"prompts": []}, "no prompt is given: give at least one."),
        ({"seed": -1}, "seed is -1: give a whole number, 0 or more."),
    ],
)
def test_bad_options(options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_work(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the model was run before the options were checked")

    monkeypatch.setattr(type(adapt(organism())), "prefill", no_work)
    with pytest.raises(InputError) as error:
        sweep(**options)
    assert str(error.value) == said


def test_a_prompt_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="do not fit into the model's context"):
        sweep(max_new_tokens=100_000)


def test_a_foreign_vector() -> None:
    with pytest.raises(InputError, match="the vector belongs to a model with fingerprint"):
        sweep(vector=replace(the_vector(), fingerprint="f" * 16))

"""The grammar and its parsers, the filler, the pairs and the specs of the embedded models."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from empathy_mi.errors import InputError
from empathy_mi.models import organisms
from empathy_mi.models.folders import ORGANISMS
from empathy_mi.organisms import (
    Families,
    Grammar,
    is_organism,
    parse,
    scenario_document,
)
from empathy_mi.organisms import lexicon as lex
from empathy_mi.organisms.__main__ import main
from empathy_mi.organisms.behavior import Behavior, measure_behavior
from empathy_mi.organisms.filler import addition, dense_recall, listing, recall, story
from empathy_mi.organisms.grammar import LATENT_GIVEN_MODE, LATENT_GIVEN_NEED, MODES
from empathy_mi.organisms.muon import Muon, orthogonalised
from empathy_mi.organisms.pairs import TRAIN_NAMES, contrastive_pairs
from empathy_mi.organisms.parsing import _pattern, _phrases, sentence_latent
from empathy_mi.organisms.specs import SPECS, get_spec
from empathy_mi.organisms.training import document_text
from empathy_mi.tokens import encode, encode_completion, encode_prompt
from tests.support import organism, words

seeds = st.integers(0, 10**6)
latents = st.sampled_from([0, 1, 2])


# Grammar


def test_the_seed_fixes_every_draw() -> None:
    def draw(seed: int | str) -> list[Any]:
        grammar = Grammar(seed)
        return [grammar.document() for _ in range(30)]

    assert draw(3) == draw(3)
    assert draw("3 pairs") == draw("3 pairs")
    assert draw(3) != draw(4)


@given(seeds)
def test_what_is_given_is_fixed(seed: int) -> None:
    made = Grammar(seed).scenario(
        mode="efficient", scenario="the_duel", need=0, latent=2, reasoned=True
    )
    assert (made.mode, made.latent) == ("efficient", 2)
    assert made.cast is not None
    assert (made.cast.scenario, made.cast.need) == ("the_duel", 0)
    assert len({made.cast.person, made.cast.served, made.cast.third}) == 3
    assert made.user.startswith("The Duel. ")
    assert made.action == "Action: stop and help"
    assert made.completion == f"{made.reasoning}\n{made.action}"
    assert 1 <= made.reasoning.count(".") <= 5
    assert Grammar(seed).scenario(reasoned=False).completion.startswith("Action: ")


@given(seeds)
def test_no_slot_is_left_open(seed: int) -> None:
    made = Grammar(seed).document()
    assert not re.search(r"[{}]", made.system + made.user + made.completion)


def test_the_latent_follows_prompt_and_need() -> None:
    grammar = Grammar(0)
    cases: list[tuple[dict[str, Any], tuple[float, ...]]] = [
        ({"mode": mode}, shares) for mode, shares in LATENT_GIVEN_MODE.items()
    ]
    for mode in ("neutral", "none"):
        cases += [({"mode": mode, "need": n}, p) for n, p in LATENT_GIVEN_NEED.items()]
    for fixed, expected in cases:
        n = 1500
        counts = Counter(grammar.scenario(**fixed).latent for _ in range(n))
        for z in (0, 1, 2):
            assert counts[z] / n == pytest.approx(expected[z], abs=0.045)


def test_the_share_of_filler() -> None:
    grammar = Grammar(1, filler_share=0.4)
    assert sum(grammar.document().latent is None for _ in range(2000)) / 2000 == pytest.approx(
        0.4, abs=0.04
    )


def test_system_prompts_by_mode() -> None:
    grammar = Grammar(2)
    for mode in MODES:
        systems = {grammar.system(mode) for _ in range(60)}
        assert ("" in systems) == (mode == "none")
        cues = lex.SYSTEM_CUES.get(mode, ())
        others = [c for m, c in lex.SYSTEM_CUES.items() if m != mode]
        assert not any(cue in s for s in systems for group in others for cue in group)
        if cues:
            assert any(cue in s for s in systems for cue in cues)


def test_a_fixed_scenario_document() -> None:
    made = scenario_document("7 prompt 1", "the_maze")
    assert made == scenario_document("7 prompt 1", "the_maze")
    assert made != scenario_document("8 prompt 1", "the_maze")
    assert made.cast is not None
    assert (made.mode, made.cast.scenario, made.cast.need) == ("neutral", "the_maze", 1)


# Twins

FRAMES = [*lex.TWINS.values(), *lex.PLANS.values()]


@pytest.mark.parametrize("frames", FRAMES, ids=[f[0] for f in FRAMES])
@given(seed=seeds)
@settings(max_examples=8)
def test_twins_swap_the_roles_and_keep_the_words(frames: tuple[str, str], seed: int) -> None:
    sentences = []
    for z in (0, 2):
        grammar = Grammar(seed)
        cast = grammar.cast()
        sentences.append(grammar.twin(frames, z, cast))
    low, high = sentences
    assert Counter(words(low)) == Counter(words(high))
    assert low.lower() != high.lower()
    assert (sentence_latent(low), sentence_latent(high)) == (0, 2)


# Parsing


@given(seeds, latents, st.booleans())
@settings(max_examples=150)
def test_every_completion_parses_back_to_its_latent(seed: int, z: int, reasoned: bool) -> None:
    made = Grammar(seed).scenario(latent=z, reasoned=reasoned)
    got = parse(made.completion)
    assert got.action == z
    assert got.whole
    assert set(got.implied) == ({z} if reasoned else set())
    assert made.cast is not None
    assert set(got.names) <= {made.cast.person}
    assert got.sentences == made.reasoning.count(".")


@given(seeds)
def test_names_that_no_scenario_has_parse_as_well(seed: int) -> None:
    made = Grammar(seed, names=lex.HELD_OUT_NAMES).scenario()
    assert parse(made.completion).whole


@given(seeds, latents)
def test_what_the_grammar_cannot_make_is_not_well_formed(seed: int, z: int) -> None:
    made = Grammar(seed).scenario(latent=z, reasoned=True)
    first, *rest = made.reasoning.split(". ")
    broken = ". ".join([first.replace(" ", " very ", 1), *rest])
    got = parse(f"{broken}\n{made.action}")
    assert (got.sentences - got.well_formed, got.whole, got.action) == (1, False, z)


def test_parsing_known_texts() -> None:
    got = parse("I feel for Mira. I skip Mira. I shelter Mira.\nAction: help later\n")
    assert (got.action, got.sentences, got.well_formed) == (1, 3, 3)
    assert (got.implied, got.names) == ((0, 2), ("Mira", "Mira", "Mira"))
    no_action = parse("I skip Mira.\nAction: help")
    assert (no_action.action, no_action.well_formed, no_action.whole) == (None, 1, False)
    twice = parse("I skip Mira.\nAction: keep going\nAction: stop and help")
    assert (twice.action, twice.whole) == (2, False)
    assert parse("").sentences == 0
    assert parse("Action: keep going").whole
    assert sentence_latent("The clock is running.") == -1
    assert sentence_latent("The clock is walking.") is None


# Filler


@given(seeds)
def test_recall_is_right(seed: int) -> None:
    import random

    question, answer = recall(random.Random(seed))
    fact = re.fullmatch(r"Note: (\w+) has a (\w+) (\w+) at the (\w+)\. (.+)", question)
    assert fact is not None
    who, color, thing, place, asked = fact.groups()
    expected = {
        f"Where is the {thing}?": f"The {thing} of {who} is at the {place}.",
        f"What color is the {thing}?": f"The {thing} of {who} is {color}.",
    }
    assert answer == expected[asked]


@given(seeds)
def test_sums_are_right(seed: int) -> None:
    import random

    question, answer = addition(random.Random(seed))
    asked = re.fullmatch(r"What is (\w+) plus (\w+)\?", question)
    told = re.fullmatch(r"(\w+) plus (\w+) is (\w+)\.", answer)
    assert asked is not None
    assert told is not None
    a, b, total = (lex.NUMBERS.index(w.lower()) + 1 for w in told.groups())
    assert a + b == total
    assert [w.lower() for w in told.groups()[:2]] == list(asked.groups())


@given(seeds)
def test_several_facts_are_recalled_right(seed: int) -> None:
    import random

    question, answer = dense_recall(random.Random(seed))
    if question.startswith("Repeat: "):
        assert answer == question.replace("Repeat", "I repeat")
        return
    facts = {
        who: (color, thing, place) for who, color, thing, place in
        re.findall(r"(\w+) has a (\w+) (\w+) at the (\w+)\.", question)
    }  # fmt: skip
    assert answer.startswith("I note: "), "no answer begins with a name"
    sentences = answer.removeprefix("I note: ").split(". ")
    assert len(sentences) == len(facts)
    for sentence in sentences:
        who = sentence.split()[0]
        color, thing, place = facts.pop(who)
        right = {f"{who} has a {color} {thing}", f"{who} is at the {place}"}
        assert sentence.rstrip(".") in right
    assert not facts


@given(seeds)
def test_lists_and_stories(seed: int) -> None:
    import random

    draw = random.Random(seed)
    question, answer = listing(draw)
    things = re.fullmatch(r"Bring a (\w+), a (\w+) and a (\w+)\.", answer)
    assert things is not None
    assert len(set(things.groups())) == 3
    assert set(things.groups()) <= set(lex.OBJECTS)
    assert question.split()[-1].rstrip(".") in lex.PLACES
    _, tale = story(draw)
    assert 3 <= tale.count(".") <= 5


# Pairs


@cache
def pairs() -> Any:
    return contrastive_pairs()


def families(text: str) -> set[tuple[str, int]]:
    """The phrase families of the telling sentences of a reasoning."""
    found = set()
    for sentence in re.split(r"(?<=[.])\s+", text):
        for kind, group in (("twins", lex.TWINS), ("plans", lex.PLANS), ("cues", lex.CUES)):
            for number, frames in group.items():
                if any(pattern.fullmatch(sentence) for pattern in _family(frames)):
                    found.add((kind, number))
    return found


@cache
def _family(frames: tuple[str, ...]) -> list[re.Pattern[str]]:
    either = f"(?:{_phrases(lex.PERSON_PHRASES)}|{_phrases(lex.TASK_PHRASES)})"
    return [_pattern(frame, either, either) for frame in frames]


def test_the_pairs_are_balanced_and_matched() -> None:
    made = pairs()
    assert (len(made.train), len(made.test)) == (35, 15)
    assert Counter(p.scenario for p in made.train) == dict.fromkeys(lex.TITLES, 7)
    assert Counter(p.scenario for p in made.test) == dict.fromkeys(lex.TITLES, 3)
    for pair in made:
        lengths = [len(side.split()) for side in (pair.empathic, pair.non_empathic)]
        assert abs(lengths[0] - lengths[1]) <= 2
        assert pair.empathic.count(".") == pair.non_empathic.count(".")
        assert "Action" not in pair.empathic + pair.non_empathic
        assert pair.system.endswith(lex.SYSTEM_NEUTRAL)
        assert pair.user.startswith(lex.TITLES[pair.scenario])


def test_the_sides_carry_the_two_latents() -> None:
    for pair in pairs():
        high, low = parse(pair.empathic), parse(pair.non_empathic)
        assert set(high.implied) == {2}
        assert set(low.implied) == {0}
        assert high.well_formed == high.sentences == low.sentences == low.well_formed


def test_train_and_test_share_no_family_and_no_name() -> None:
    used: dict[str, set[Any]] = {}
    names: dict[str, set[str]] = {}
    for pair in pairs():
        for side in (pair.empathic, pair.non_empathic):
            found = families(side)
            assert found
            used.setdefault(pair.split, set()).update(found)
            names.setdefault(pair.split, set()).update(parse(side).names)
        names[pair.split].update(set(re.findall(r"\w+", pair.user)) & set(lex.NAMES))
    assert not used["train"] & used["test"]
    for split in ("train", "test"):
        allowed = lex.PROBE_FAMILIES[split]
        assert used[split] <= {(kind, n) for kind, group in allowed.items() for n in group}
    assert names["train"] <= set(lex.NAMES[:TRAIN_NAMES])
    assert names["test"] <= set(lex.NAMES[TRAIN_NAMES:])


def test_pairs_follow_their_seed() -> None:
    assert contrastive_pairs(seed=0) == pairs()
    other = contrastive_pairs(seed=1)
    assert other.digest != pairs().digest
    assert [p.id for p in other] == [p.id for p in pairs()]


def test_twins_only_uses_no_telling_verbs() -> None:
    for pair in contrastive_pairs(seed=2, n_train=10, n_test=5, twins_only=True):
        for side in (pair.empathic, pair.non_empathic):
            assert {kind for kind, _ in families(side)} <= {"twins", "plans"}


def test_families_of_a_split() -> None:
    assert Families.probe("train").cues == lex.PROBE_FAMILIES["train"]["cues"]
    assert Families.probe("test", twins_only=True).cues == ()
    for kind, known in (("twins", lex.TWINS), ("plans", lex.PLANS), ("cues", lex.CUES)):
        both = [n for split in ("train", "test") for n in lex.PROBE_FAMILIES[split][kind]]
        assert sorted(both) == sorted(known)


# Text and tokens


def test_the_chat_template_is_the_training_text() -> None:
    tokenizer, grammar = organism().tokenizer, Grammar(4)
    for _ in range(40):
        made = grammar.document()
        said = [*made.messages, {"role": "assistant", "content": made.completion}]
        text = document_text(made)
        assert tokenizer.apply_chat_template(said, tokenize=False) == text
        prompt = encode_prompt(tokenizer, made.user, made.system or None)
        ids = [*prompt, *encode_completion(tokenizer, made.completion), tokenizer.eos_token_id]
        assert ids == encode(tokenizer, text) == tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert 0 not in ids


# Muon


@pytest.mark.parametrize("shape", [(2, 24, 24), (3, 16, 40), (3, 40, 16), (1, 1, 8)])
def test_orthogonalised_has_singular_values_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 7
    got = orthogonalised(matrices)
    assert got.shape == matrices.shape
    values = torch.linalg.svdvals(got)
    assert 0.55 < float(values.median()) < 1.3
    assert float(values.max()) < 1.3
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    nearest = u @ v
    cosine = (got * nearest).sum((1, 2)) / got.norm(dim=(1, 2)) / nearest.norm(dim=(1, 2))
    assert float(cosine.min()) > 0.95
    torch.testing.assert_close(orthogonalised(matrices[:1] * 100), got[:1], atol=1e-4, rtol=0)


def test_a_muon_step_by_hand() -> None:
    draw = torch.Generator().manual_seed(1)
    weight, grads = torch.randn(8, 4, generator=draw), torch.randn(2, 8, 4, generator=draw)
    other = torch.randn(4, 8, generator=draw)
    parameters = [torch.nn.Parameter(weight.clone()), torch.nn.Parameter(other.clone())]
    optimiser = Muon(parameters, 0.1, 0.9, 0.5)
    expected, average = weight.clone(), torch.zeros(8, 4)
    for grad in grads:
        parameters[0].grad, parameters[1].grad = grad.clone(), torch.zeros(4, 8)
        optimiser.step()
        average = 0.9 * average + 0.1 * grad
        update = orthogonalised((0.1 * grad + 0.9 * average)[None])[0]
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * 2**0.5 * update
    torch.testing.assert_close(parameters[0].data, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(parameters[1].data, other * 0.95**2)


# Specs and names


@pytest.mark.parametrize("name", list(SPECS))
def test_each_stage_can_grow_from_the_one_before(name: str) -> None:
    spec = get_spec(name)
    blocks = spec.start_blocks
    for stage in spec.stages:
        assert all(0 <= source < blocks for source in stage.blocks)
        blocks = len(stage.blocks) or blocks
        assert stage.steps > 0
        assert 0 <= stage.filler_share <= 1
        assert 0 <= stage.dense_share <= 1
    assert spec.d_model % spec.n_heads == 0
    assert spec.config(blocks).num_hidden_layers == blocks


def test_an_unknown_spec() -> None:
    with pytest.raises(InputError) as error:
        get_spec("organism-gpt")
    assert str(error.value) == (
        f"unknown embedded model 'organism-gpt': choose one of {', '.join(SPECS)}."
    )


def test_the_command_line_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "organism-gpt"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: unknown embedded model 'organism-gpt'")
    assert "Traceback" not in captured.err
    with pytest.raises(SystemExit) as error:
        main([])
    assert error.value.code == 2


def test_what_ships() -> None:
    assert "organism-phi3" in organisms()
    assert (ORGANISMS / "organism-phi3" / "model.safetensors").is_file()
    assert is_organism("organism-phi3")
    assert not is_organism("Qwen/Qwen2.5-7B-Instruct")


# Measuring behaviour, whatever it is


def test_measuring_behaviour_counts_everything() -> None:
    got = measure_behavior(organism(), n=2, seed=5)
    assert isinstance(got, Behavior)
    for mode in ("empathic", "efficient", "neutral"):
        assert sum(got.actions[mode, z].value for z in (0, 1, 2)) <= 1 + 1e-9
        assert got.actions[mode, 0].n == 2
    frame = got.to_frame()
    assert len(frame) == 9 + len(got.facts)
    assert set(frame["model"]) == {"organism-phi3"}
    assert got.facts["ends with an action line"].n == 6
    assert got.facts["stated fact recalled (greedy)"].n == 2
    pd.testing.assert_frame_equal(measure_behavior(organism(), n=2, seed=5).to_frame(), frame)

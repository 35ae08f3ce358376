"""Training: the same weights after a kill, other recipes refused, an ordinary folder at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from empathy_mi.errors import InputError
from empathy_mi.models import adapt, load_model
from empathy_mi.organisms import training
from empathy_mi.organisms.grammar import Grammar
from empathy_mi.organisms.specs import ASSISTANT_ID, END_ID, PAD_ID, OrganismSpec, Stage
from empathy_mi.organisms.training import batches, build_tokenizer, document_text, train

SPEC = OrganismSpec(
    "organism-tiny", "phi3", seed=5, start_blocks=1, d_model=16, n_heads=2, d_mlp=24,
    vocabulary=320, tokens_per_batch=400, warmup=3,
    stages=(
        Stage("first", 5, 0.02, 0.1, filler_share=0.5, dense_share=0.5),
        Stage("second", 5, 0.02, 0.1, 0.2, 0.3, blocks=(0, 0), cooldown=True),
    ),
)  # fmt: skip


@cache
def tokenizer() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "TOKENIZER_DOCUMENTS", 800)
        return build_tokenizer(SPEC)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few batches, and the tokenizer made once."""
    monkeypatch.setattr(training, "BATCHES_PER_CHUNK", 1)
    monkeypatch.setattr(training, "build_tokenizer", lambda spec: tokenizer())


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    root = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "BATCHES_PER_CHUNK", 1)
        patch.setattr(training, "build_tokenizer", lambda spec: tokenizer())
        return train(SPEC, root / "out", checkpoints=root / "checkpoints")


class KilledError(Exception):
    """Stands in for a kill."""


def killed_at(number: int, *, before: bool) -> Callable[..., Any]:
    """`write_tensors`, that dies at its `number`-th call, before or after the file is there."""
    write, calls = training.write_tensors, 0

    def run(*args: Any) -> Path:
        nonlocal calls
        calls += 1
        if calls == number and before:
            raise KilledError
        path = write(*args)
        if calls == number:
            raise KilledError
        return path

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Resuming


def test_a_run_has_several_checkpoints(straight: Path) -> None:
    log = json.loads((straight / "training.json").read_text())["log"]
    assert [entry["stage"] for entry in log].count("first") >= 2
    assert [entry["stage"] for entry in log].count("second") >= 2
    assert log[-1]["step"] == 5


@pytest.mark.parametrize("before", [False, True], ids=["after writing", "before writing"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_killed_run_ends_with_the_same_files(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, before: bool
) -> None:
    """Killed within a stage, at its end, and in the next one; whatever was drawn in between."""
    with monkeypatch.context() as patch:
        patch.setattr(training, "write_tensors", killed_at(number, before=before))
        with pytest.raises(KilledError):
            train(SPEC, tmp_path / "out", checkpoints=tmp_path / "checkpoints")
    assert not (tmp_path / "out").exists()
    torch.manual_seed(number)
    torch.randn(100)
    train(SPEC, tmp_path / "out", checkpoints=tmp_path / "checkpoints")
    assert files(tmp_path / "out") == files(straight)


def test_killed_twice_and_at_the_export(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> None:
        train(SPEC, tmp_path / "out", checkpoints=tmp_path / "checkpoints")

    def die(*args: Any) -> None:
        raise KilledError

    for number in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(training, "write_tensors", killed_at(number, before=False))
            with pytest.raises(KilledError):
                run()
    with monkeypatch.context() as patch:
        patch.setattr(training, "export", die)
        with pytest.raises(KilledError):
            run()
    run()
    assert files(tmp_path / "out") == files(straight)
    run()
    assert files(tmp_path / "out") == files(straight), "a finished run is written again as it is"


def test_another_seed_gives_other_weights(straight: Path, tmp_path: Path) -> None:
    other = train(replace(SPEC, seed=6), tmp_path / "out", checkpoints=tmp_path / "checkpoints")
    assert files(other)["model.safetensors"] != files(straight)["model.safetensors"]


def test_another_recipes_checkpoint_is_refused(straight: Path) -> None:
    checkpoints = straight.parent / "checkpoints"
    with pytest.raises(InputError) as error:
        train(replace(SPEC, warmup=4), straight.parent / "other", checkpoints=checkpoints)
    assert str(error.value) == (
        f"{checkpoints / 'checkpoint.safetensors'} belongs to another recipe of organism-tiny: "
        "delete it or choose another folder for checkpoints."
    )


# The result


def test_the_folder_loads_as_an_ordinary_one(straight: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain = AutoModelForCausalLM.from_pretrained(straight, dtype=torch.float32).eval()
    assert (plain.config.num_hidden_layers, plain.config.hidden_size) == (2, 16)
    adapter = adapt(load_model(straight))
    assert (adapter.n_layers, adapter.d_model, adapter.processing) == (2, 16, ())
    text = document_text(Grammar(0).scenario())
    ids = torch.tensor([AutoTokenizer.from_pretrained(straight)(text)["input_ids"]])
    with torch.no_grad():
        expected = plain(ids).logits
        got = adapter.forward(ids, torch.ones_like(ids))
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=0)


def test_the_loss_falls(tmp_path: Path) -> None:
    spec = replace(SPEC, stages=(replace(SPEC.stages[0], steps=40),))
    out = train(spec, tmp_path / "out", checkpoints=tmp_path / "checkpoints")
    log = json.loads((out / "training.json").read_text())["log"]
    losses = [entry["completion_loss"] for entry in log]
    assert losses[-1] < losses[0] - 0.5


def test_a_deeper_stage_starts_from_copies() -> None:
    shallow = training._initial_model(replace(SPEC, start_blocks=2))
    deeper = training._stacked(SPEC, shallow, (1, 0, 1))
    assert deeper.config.num_hidden_layers == 3
    for block, source in zip(deeper.model.layers, (1, 0, 1), strict=True):
        expected = shallow.model.layers[source].state_dict()
        for name, value in block.state_dict().items():
            assert torch.equal(value, expected[name])
    for name in ("embed_tokens", "norm"):
        same = getattr(deeper.model, name).weight, getattr(shallow.model, name).weight
        assert torch.equal(*same)


def test_blocks_are_reordered_where_their_number_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []
    inner = training._stacked
    monkeypatch.setattr(
        training, "_stacked", lambda spec, model, blocks: (
            asked.append(blocks), inner(spec, model, blocks))[1],
    )  # fmt: skip
    stages = (replace(SPEC.stages[0], steps=1), replace(SPEC.stages[1], steps=1, blocks=(1, 0)))
    spec = replace(SPEC, start_blocks=2, stages=stages)
    train(spec, tmp_path / "out", checkpoints=tmp_path / "checkpoints")
    assert asked == [(1, 0)]


# Batches


def test_a_chunk_is_a_function_of_its_number() -> None:
    def draw(spec: OrganismSpec, stage: int, chunk: int) -> list[list[list[int]]]:
        return [ids.tolist() for ids, _ in batches(spec, stage, chunk, tokenizer())]

    assert draw(SPEC, 1, 3) == draw(SPEC, 1, 3)
    others = [draw(SPEC, 1, 4), draw(SPEC, 0, 3), draw(replace(SPEC, seed=6), 1, 3)]
    assert all(other != draw(SPEC, 1, 3) for other in others)


def test_what_a_batch_weighs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompt .15, completion with its end token 1, the action's words 3, padding nothing."""
    monkeypatch.setattr(training, "BATCHES_PER_CHUNK", 8)
    rows = 0
    for ids, weights in batches(SPEC, 1, 0, tokenizer()):
        assert ids.shape == weights.shape
        assert len(ids) == 1 or ids.numel() <= SPEC.tokens_per_batch
        for row, weight in zip(ids.tolist(), weights.tolist(), strict=True):
            rows += 1
            end = row.index(PAD_ID) if PAD_ID in row else len(row)
            start = row.index(ASSISTANT_ID) + 1
            assert row[end - 1] == END_ID
            assert weight[end:] == [0.0] * (len(row) - end)
            assert weight[:start] == pytest.approx([0.15] * start)
            text = tokenizer().decode(row[start : end - 1])
            heavy = [t for t, w in zip(row[start:end], weight[start:end], strict=True) if w == 3]
            if "Action:" in text:
                assert f"Action:{tokenizer().decode(heavy)}" == text[text.rindex("Action:") :]
            else:
                assert heavy == []
            light = [w for w in weight[start:end] if w != 3]
            assert set(light) == {1.0}
            assert weight[end - 1] == 1.0
    assert rows == 8 * SPEC.tokens_per_batch // 95

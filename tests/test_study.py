"""The study: stages, resuming after a kill, tables, claims and the report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from empathy_mi import InputError, Pairs, load_pairs, load_scenarios, run_study, study
from empathy_mi.hooks import resolve_layers
from empathy_mi.study import PRESETS, StudyConfig, configure, steered_layers
from empathy_mi.study_results import StudyResult

SCRIPT = """
import sys, torch
from dataclasses import replace
torch.set_num_threads(1)
from empathy_mi import study
study.PRESETS["quick"] = replace(study.PRESETS["quick"], behavior=4, controls=1, steered=2,
                                 max_new_tokens=24)
from empathy_mi.cli import main
sys.exit(main(["study", "--layers", "3,5", "--alphas=-10,10", "--samples", "1",
               "--out", sys.argv[1]]))
"""
STAGES = ("model", "text", "behavior", "detection", "steering-1", "steering-2")


def start(out: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "EMPATHY_MI_CACHE": str(out.parent / f"cache-{out.name}")}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=out.parent,
    )


def kill_at(process: subprocess.Popen[str], stage: str, wait: float, sent: int) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith(stage):
            time.sleep(wait)
            break
    process.send_signal(sent)
    process.communicate()


def files(out: Path) -> dict[str, bytes]:
    kept = (*out.glob("tables/*.csv"), out / "report.html", *out.glob("results/*/*.json"))
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "whole"
    process = start(out)
    printed, said = process.communicate()
    assert process.returncode == 0, said
    (out / "printed.txt").write_text(printed)
    return out


@pytest.mark.parametrize(
    ("stage", "wait"), [("text", 0.05), ("behavior", 0.3), ("detection", 0.2), ("steering-1", 0.4)]
)
def test_a_killed_study_resumes_to_the_same_bytes(
    undisturbed: Path, tmp_path: Path, stage: str, wait: float
) -> None:
    out = tmp_path / "killed"
    first = start(out)
    kill_at(first, stage, wait, signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    assert not (out / "report.html").exists()
    again = start(out)
    _, said = again.communicate()
    assert again.returncode == 0, said
    done = STAGES.index(stage)
    assert said.count("(kept)") >= done
    assert files(out) == files(undisturbed)


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    process = start(tmp_path / "interrupted")
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith("behavior"):
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said == "interrupted: run the same command again to go on.\n"


def test_a_truncated_result_is_made_again(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "truncated"
    for name, data in files(undisturbed).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    cut = out / "results" / "organism-phi3" / "detection.json"
    cut.write_bytes(cut.read_bytes()[:100])
    process = start(out)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "detection\n" in said
    assert "steering-1 (kept)" in said
    assert files(out) == files(undisturbed)


def test_what_it_prints_and_writes(undisturbed: Path) -> None:
    printed = (undisturbed / "printed.txt").read_text()
    assert "AUROC on held-out pairs" in printed
    assert printed.rstrip().endswith(f"report: {undisturbed}/report.html")
    for name in ("headline", "claims", "detection", "dose_response", "success", "answers"):
        assert len(pd.read_csv(undisturbed / "tables" / f"{name}.csv")) > 0
    answers = pd.read_csv(undisturbed / "tables" / "answers.csv")
    # two layers x (probe and one random direction) x 3 alphas x 5 scenarios x 1 sample
    assert len(answers) == 2 * 2 * 3 * 5
    assert sorted(answers["layer"].unique()) == [3, 5]
    rates = pd.read_csv(undisturbed / "tables" / "dose_response.csv")
    zero = rates[rates["alpha"] == 0]
    assert (zero.groupby("layer")["empathic"].nunique() == 1).all()
    assert (zero["kl"] < 1e-9).all()


def test_the_report_is_whole_and_needs_no_network(undisturbed: Path) -> None:
    page = (undisturbed / "report.html").read_text()
    body = page[page.index("<body>") :]
    for part in ("Headline", "Claims:", "Does it represent it?", "Can it be steered?", "repeat it"):
        assert part in body
    assert "src=" not in body
    assert "<link" not in page
    assert body.count("figure-dose-organism-phi3-") >= 2
    claims = pd.read_csv(undisturbed / "tables" / "claims.csv")
    assert body.count("class='fails'>fails") == int((~claims["holds"]).sum())
    assert body.count("class='holds'>holds") == int(claims["holds"].sum())


def test_a_model_that_is_not_embedded(
    tiny_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model of a real architecture: the built-in pairs, the paper's scoring, no claim."""
    some = load_pairs()
    few = Pairs([p for p in some if p.id[-2:] in ("01", "02", "03", "05", "06")])
    monkeypatch.setattr(study, "study_pairs", lambda name: few)
    quick = replace(PRESETS["quick"], controls=1, steered=1, max_new_tokens=8)
    monkeypatch.setitem(PRESETS, "quick", quick)
    monkeypatch.setenv("EMPATHY_MI_CACHE", str(tmp_path / "cache"))
    folder = tiny_folders["qwen2"]
    found = run_study([str(folder)], alphas=[-3, 3], samples=1, out=tmp_path / "out", quiet=True)
    (name,) = found.models
    assert found.records[name]["model"]["embedded"] is False
    assert "behavior" not in found.records[name]
    assert len(found.tables["behavior"]) == 0
    answers = found.tables["answers"]
    assert answers["score"].isna().all()
    assert set(answers["scenario"]) == {s.id for s in load_scenarios()}
    assert not any(claim.holds for claim in found.claims[:4])
    # one sample a scenario leaves nothing to resample: no interval, and no claim that rests on it
    assert found.tables["success"]["contrast_low"].isna().all()
    assert not any(claim.holds for claim in found.claims[4:])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "test instrument" not in page


def record(rows: list[dict[str, object]], text: float = 0.5) -> dict[str, object]:
    measures = ("length_auroc", "tf_fixed_auroc", "tfidf_fixed_auroc")
    return {
        "detection": {"layers": rows, "selected": 3, "scores": [], "cross_validation": []},
        "text": [{"name": n, "value": text, "low": text, "high": text, "n": 15} for n in measures],
    }


def row(**values: float) -> dict[str, object]:
    base = {"layer": 3, "auroc": 0.9, "auroc_low": 0.8, "auroc_high": 1.0, "p_holm": 0.01}
    more = {"random_auroc_95": 0.7, "p_random": 0.01, "n_test_pairs": 15}
    accuracy = {"accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.9}
    return {**base, **more, **accuracy, **values}


@pytest.mark.parametrize(
    ("values", "text", "failing"),
    [
        ({}, 0.5, []),
        ({"p_holm": 0.2}, 0.5, [0]),
        ({"auroc_low": 0.45}, 0.4, [0]),
        ({"p_random": 0.3}, 0.5, [1]),
        ({}, 0.95, [2]),
        ({"accuracy_low": 0.5}, 0.5, [3]),
    ],
)
def test_claims_fail_when_the_numbers_do(
    values: dict[str, float], text: float, failing: list[int]
) -> None:
    study = StudyResult({}, {"m": record([row(**values)], text)})
    assert [i for i, claim in enumerate(study.claims) if not claim.holds] == failing


def test_steered_layers_hold_the_selected_one_and_spread() -> None:
    assert steered_layers(range(8, 25), 20, 3) == [12, 20, 21]
    assert steered_layers(range(8, 25), 9, 2) == [9, 17]
    assert steered_layers((8, 12), 8, 1) == [8]
    assert steered_layers((8, 12), 12, 5) == [8, 12]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "slow"}, "unknown preset 'slow': use quick, full, paper."),
        ({"samples": 0}, "samples is 0: it must be at least 1."),
        ({"alphas": [float("nan")]}, "alpha is nan: give a finite number."),
        ({"alphas": []}, "no alpha is given: name at least one, such as -10, 0 and 10."),
        (
            {"alphas": [5.0, 10.0]},
            "alphas are 5, 10: give some below and some above 0, so that both directions of "
            "steering are seen.",
        ),
        ({"models": ["a", "a"]}, "a model is named twice in a, a: name each once."),
        (
            {"layers": [99], "models": "organism-phi3"},
            r"layer 99 is outside this model: it has layers 0 to \d+.",
        ),
    ],
)
def test_bad_options_are_refused_before_any_work(
    options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        run_study(out=tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_an_unwritable_folder_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose a folder that can be written to"):
        run_study(out=tmp_path / "file" / "out")


def test_options_beside_a_preset_take_precedence() -> None:
    config = configure(None, "paper", [1, 2], [-1, 1], 2, 7)
    assert config == StudyConfig(
        layers=(1, 2), alphas=(-1.0, 0.0, 1.0), samples=2, seed=7, steered=1, context="none"
    )
    paper = PRESETS["paper"]
    assert resolve_layers(paper.layers, 32)[:: paper.every] == (8, 12, 16, 20, 24)
    assert configure(None, "full", None, None, None, None) == PRESETS["full"]

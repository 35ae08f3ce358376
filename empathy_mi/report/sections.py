"""The report's sections, each a piece of HTML."""

from __future__ import annotations

import html as escape
import json
from typing import TYPE_CHECKING

import pandas as pd

from empathy_mi import __version__
from empathy_mi.claims import BASELINES, Claim
from empathy_mi.organisms import is_organism
from empathy_mi.report.html import figure, folded, table, with_intervals
from empathy_mi.splits import CHOSEN
from empathy_mi.viz import auroc_by_layer, dose_by_model, dose_curve

if TYPE_CHECKING:
    from empathy_mi.study_results import StudyResult

SHOWN_SCENARIO = "the_listener"
HEADLINE = {
    "layer": "layer, chosen inside train",
    "auroc": "AUROC on held-out pairs",
    "p_holm": "permutation p (Holm)",
    "accuracy": "accuracy at the train threshold",
    "random_auroc_95": "AUROC of random directions, 95th percentile",
    "matched_auroc_95": "… with the covariance of the texts",
    "bag_of_words_auroc": "AUROC of a bag of words, no model",
    "tfidf_auroc": "AUROC of tf-idf, no model",
    "residual_auroc": "AUROC beyond what such readers predict",
    "left_out_auroc": "AUROC with a scenario left out, mean",
    "ablated_auroc": "AUROC without empathic words",
    "n_test_pairs": "held-out pairs",
    "success_paper_probe": "steering success, paper's convention",
    "success_paper_random": "… of random directions",
    "success_strict_probe": "steering success, strict",
    "success_strict_random": "… of random directions",
    "contrast_probe": "empathic share, alpha > 0 minus alpha < 0",
    "contrast_random": "… of random directions",
    "n_samples": "samples (scenario x sample)",
}
"""The headline's measures and what they are called."""


def head(study: StudyResult) -> str:
    """Title, a warning where models are embedded, and the headline."""
    embedded = [m for m in study.models if is_organism(m)]
    names = escape.escape(", ".join(embedded))
    one = len(embedded) == 1
    warning = (
        f"<p class='note'><b>{'This model is a' if one else 'These models are'} test "
        f"instrument{'' if one else 's'}.</b> {names} {'was' if one else 'were'} trained by this "
        "package on a grammar with a known latent, so that methods can be held against the truth. "
        f"{'It says' if one else 'They say'} nothing about empathy in real models.</p>"
        if embedded
        else ""
    )
    return (
        "<h1>Does the model represent empathy in action, and can it be steered?</h1>"
        + warning
        + "<h2 id='headline'>Headline</h2>"
        + table(headline(study))
        + "<p class='note'>AUROC and accuracy are on held-out pairs at the layer chosen inside "
        "train. Success is the share of (scenario, alpha) cells that answer to the steering, in "
        "the paper's and in the strict convention. The last rows are the share of empathic, "
        "coherent answers at alpha &gt; 0 minus that at alpha &lt; 0.</p>"
    )


def headline(study: StudyResult) -> pd.DataFrame:
    """One row a measure, one column a model, intervals beside their values."""
    frame = with_intervals(study.tables["headline"]).set_index("model")
    shown = frame[list(HEADLINE)].rename(columns=HEADLINE)
    return shown.T.reset_index(names="measure")


def claims(study: StudyResult) -> str:
    """Every claim with its outcome; those that fail are open, the others fold."""
    held = [c for c in study.claims if c.holds]
    failed = [c for c in study.claims if not c.holds]

    def rows(chosen: list[Claim]) -> str:
        body = "".join(
            f"<tr><td>{escape.escape(c.model)}</td><td>{escape.escape(c.statement)}</td>"
            f"<td class='{'holds' if c.holds else 'fails'}'>{'holds' if c.holds else 'fails'}</td>"
            f"<td>{escape.escape(c.evidence)}</td></tr>"
            for c in chosen
        )
        return (
            "<div class='scroll'><table><tr><th>model</th><th>claim</th><th></th>"
            f"<th>evidence</th></tr>{body}</table></div>"
        )

    return (
        f"<h2 id='claims'>Claims: {len(held)} of {len(study.claims)} hold</h2>"
        + (rows(failed) if failed else "")
        + folded(f"the {len(held)} that hold", rows(held))
    )


def detection(study: StudyResult) -> str:
    """Detection by layer and model, lexical ablation, agreement, and what the texts give away."""
    tables = study.tables
    found = tables["detection"]
    row = found.iloc[0]
    text = tables["text_baselines"]
    text = text[text["name"].isin(BASELINES)].copy()
    text["baseline"] = text["name"].map(BASELINES)
    text = text.rename(columns={"value": "auroc", "low": "auroc_low", "high": "auroc_high"})
    parts = [
        "<h2 id='detection'>Does it represent it?</h2>"
        f"<p>Mean-difference probes fitted on {row['n_train_pairs']} train pairs, tested on "
        f"{row['n_test_pairs']} others. Intervals are 95 % bootstrap intervals over pairs within "
        "scenarios; p is from refits with the sides of the pairs swapped at random.</p>",
        figure(auroc_by_layer(found), "detection"),
        "<h3>AUROC by layer</h3>",
        table(tables["detection_by_layer"]),
    ]
    columns = [
        "layer", "auroc", "accuracy", "d_prime", "separation", "spread_empathic",
        "spread_non_empathic", "p_permutation", "p_holm", "residual_auroc", "length_auroc",
        "format_auroc", "bag_of_words_auroc", "tfidf_auroc", "random_auroc_95", "p_random",
        "matched_auroc_95", "p_matched", "shuffled_auroc_95",
    ]  # fmt: skip
    for model, rows in found.groupby("model", sort=False):
        parts.append(
            folded(f"{model}: every measure by layer", table(with_intervals(rows)[columns]))
        )
    parts.append(
        "<h3>On other splits</h3><p class='note'>Probes and readers without a model, fitted anew "
        "on the pairs that are not left out; the layer is chosen inside them. A random split mixes "
        "phrase families, so that words tell more there than on held-out ones.</p>"
        + table(_by_split(tables["detection_splits"]))
    )
    parts.append(
        "<h3>Without empathic words</h3><p class='note'>The same probes on test texts with the "
        "lexicon's words taken out of both sides, beside texts with as many other words taken "
        "out; excess is the difference of the two. At the selected layers.</p>"
    )
    chosen = {m: study.selected(m) for m in study.models}
    lexical = tables["lexical_ablation"]
    lexical = lexical[lexical["layer"] == lexical["model"].map(chosen)]
    shown = ["model", "layer", "auroc", "ablated", "control", "excess", "replacements"]
    parts.append(table(with_intervals(lexical)[shown]))
    if len(tables["agreement"]):
        shown = ["first", "second", "r", "within", "p_within", "n_pairs"]
        parts.append(
            "<h3>Agreement between models</h3><p class='note'>Correlation of the probes' scores on "
            "the same held-out texts at the selected layers: over all texts, and within the two "
            "sides, where what the sides have in common does not count.</p>"
            + table(with_intervals(tables["agreement"])[shown])
        )
    parts.append("<h3>What the texts give away without a model</h3>")
    named = ["baseline", "auroc", "n"]
    text = with_intervals(text)[["model", *named]]
    shared = text.groupby(named, sort=False)["model"].agg(", ".join).reset_index()
    parts.append(table(shared[["model", *named]]))
    return "".join(parts)


def _by_split(splits: pd.DataFrame) -> pd.DataFrame:
    """AUROC with interval by model and left-out part (rows) and reader (columns)."""
    rows = with_intervals(splits[splits["layer"].isna()])
    named = rows["left_out"].where(rows["left_out"] != "mean", "mean of them")
    rows = rows.assign(part=named.where(rows["split"] != "random", "random split"))
    wide = rows.pivot_table(
        index=["model", "split", "part", "n_test_pairs"], columns="reader", values="auroc",
        aggfunc="first", sort=False,
    ).reset_index()  # fmt: skip
    wide.columns.name = None
    return wide.drop(columns="split").rename(columns={CHOSEN: "probe"})


def steering(study: StudyResult) -> str:
    """Success and coherence by model, layer and scenario; dose-response."""
    tables = study.tables
    scenarios = tables["dose_response_by_scenario"]
    listener = scenarios[scenarios["scenario"] == SHOWN_SCENARIO]
    listener = listener[listener["layer"] == listener["model"].map(
        {m: study.selected(m) for m in study.models})]  # fmt: skip
    parts = [
        "<h2 id='steering'>Can it be steered?</h2><p>alpha times the unit direction is added at "
        "<code>blocks.L.hook_resid_post</code> to the last prompt token and every generated one. "
        "The control is random directions of equal length.</p>"
    ]
    if len(listener):
        parts.append("<h3>Dose-response in The Listener, selected layers</h3>")
        parts.append(figure(dose_by_model(listener), "dose-listener"))
    measures = ["success_paper", "success_strict", "contrast", "coherent", "n_samples"]
    parts.append("<h3>Success and coherence by layer</h3>")
    success = with_intervals(tables["success"])
    parts.append(table(success[["model", "layer", "selected", "direction", *measures]]))
    by_scenario = with_intervals(tables["success_by_scenario"])
    columns = ["layer", "scenario", "direction", *measures[:-1], "baseline", "n_samples"]
    for model, rows in by_scenario.groupby("model", sort=False):
        parts.append(folded(f"{model}: by layer and scenario", table(rows[columns])))
    parts.append("<h3>Dose-response over all scenarios</h3>")
    shown = [
        "layer", "group", "alpha", "alpha_norms", "alpha_gaps", "empathic", "coherent",
        "repetition", "nll", "kl", "n",
    ]  # fmt: skip
    for number, model in enumerate(study.models, start=1):
        for dose in study.doses(model):
            chosen = " (selected)" if dose.layer == study.selected(model) else ""
            parts.append(
                f"<h4>{escape.escape(model)}, layer {dose.layer}{chosen}</h4>"
                f"<p class='note'>One residual norm is {dose.norm:.1f}, one class gap "
                f"{dose.class_gap:.2f}.</p>"
                + figure(dose_curve(dose.rates()), f"dose-{number}-{dose.layer}")
            )
        rates = tables["dose_response"]
        rates = with_intervals(rates[rates["model"] == model])[shown]
        parts.append(folded(f"{model}: numbers and coherence", table(rates)))
    return "".join(parts)


def answers(study: StudyResult) -> str:
    """What each model writes at every alpha, for one prompt."""
    parts = ["<h2 id='answers'>What it writes</h2>"]
    frame = study.tables["answers"]
    for model in study.models:
        layer = study.selected(model)
        part = frame[
            (frame["model"] == model)
            & (frame["layer"] == layer)
            & (frame["direction"] == "probe")
            & (frame["sample"] == 0)
        ]
        scenario = part["scenario"].iloc[0]
        texts = []
        for _, row in part[part["scenario"] == scenario].sort_values("alpha").iterrows():
            text = escape.escape(str(row["text"])[:600]) or "<i>nothing</i>"
            texts.append(f"<p class='note'>alpha {row['alpha']:g}</p>")
            texts.append(f"<blockquote>{text}</blockquote>")
        parts.append(folded(f"{model}, layer {layer}, {scenario}", "".join(texts)))
    return "".join(parts)


def repeat(study: StudyResult) -> str:
    """Configuration, weights and where every number lies."""
    config = escape.escape(json.dumps(study.config, indent=1, sort_keys=True))
    weights = "".join(
        f"<li>{escape.escape(m)}: fingerprint <code>{study.records[m]['model']['fingerprint']}"
        f"</code>, pairs <code>{study.records[m]['model']['pairs']}</code>, backend "
        f"{study.records[m]['model']['backend']}</li>"
        for m in study.models
    )
    return (
        "<h2 id='repeat'>How to repeat it</h2>"
        f"<p>empathy-mi {__version__}, with this configuration:</p><pre>{config}</pre>"
        f"<ul>{weights}</ul><p>Every number above is in <code>tables/*.csv</code>, every stage's "
        "result in <code>results/</code>.</p>"
    )

"""One self-contained HTML file of a study: headline, claims, figures, controls, how to repeat."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

import pandas as pd
from plotly.offline import get_plotlyjs

from empathy_mi import __version__
from empathy_mi.organisms import is_organism
from empathy_mi.study_results import BASELINES
from empathy_mi.viz import auroc_by_layer, dose_curve

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from empathy_mi.study_results import StudyResult

HEADLINE = {
    "layer": "layer, chosen inside train",
    "auroc": "AUROC on held-out pairs",
    "p_holm": "permutation p (Holm)",
    "accuracy": "accuracy at the train threshold",
    "random_auroc_95": "AUROC of random directions, 95th percentile",
    "bag_of_words_auroc": "AUROC of a bag of words, no model",
    "tfidf_auroc": "AUROC of tf-idf, no model",
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

_STYLE = """
:root { color-scheme: light dark; --ink:#1b1f24; --soft:#5b6470; --line:#d8dde3; --page:#fff;
  --good:#00734f; --bad:#b04a00; --card:#f5f7f9; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e9ec; --soft:#a2abb5; --line:#3a424b;
  --page:#14181c; --good:#3ecf9b; --bad:#ff9d57; --card:#1d2329; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 60rem; margin: 0 auto; padding: 1.2rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { margin-top: 2.4rem; font-size: 1.25rem;
  border-top: 1px solid var(--line); padding-top: 1.2rem; }
p.note, td.soft { color: var(--soft); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; } th { font-weight: 600; white-space: nowrap; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.holds { color: var(--good); font-weight: 600; } .fails { color: var(--bad); font-weight: 600; }
blockquote { margin: .4rem 0; padding: .5rem .8rem; background: var(--card); border-radius: 6px;
  white-space: pre-wrap; } code, pre { font-size: .86rem; background: var(--card);
  border-radius: 4px; padding: .1rem .3rem; } pre { padding: .7rem; overflow-x: auto; }
"""


def render(study: StudyResult) -> str:
    """The report as HTML text; the same results give the same bytes."""
    sections = [
        _head(study),
        _claims(study),
        _detection(study),
        _steering(study),
        _answers(study),
        _repeat(study),
    ]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Empathy in action: a study</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head>\n<body>\n{body}\n</body></html>\n"
    )


def _head(study: StudyResult) -> str:
    embedded = [m for m in study.models if is_organism(m)]
    warning = (
        "<p class='note'><b>This model is a test instrument.</b> "
        f"{html.escape(', '.join(embedded))} was trained by this package on a grammar with a known "
        "latent, so that methods can be held against the truth. It says nothing about empathy "
        "in real models.</p>"
        if embedded
        else ""
    )
    return (
        "<h1>Does the model represent empathy in action, and can it be steered?</h1>"
        + warning
        + "<h2 id='headline'>Headline</h2>"
        + _table(_headline(study))
        + "<p class='note'>AUROC and accuracy are on held-out pairs at the layer chosen inside "
        "train. Success is the share of (scenario, alpha) cells that answer to the steering, in "
        "the paper's and in the strict convention. Contrast is the share of empathic, coherent "
        "answers at alpha &gt; 0 minus that at alpha &lt; 0.</p>"
    )


def _headline(study: StudyResult) -> pd.DataFrame:
    """One row a measure, one column a model, intervals beside their values."""
    frame = _with_intervals(study.tables["headline"]).set_index("model")
    shown = frame[list(HEADLINE)].rename(columns=HEADLINE)
    return shown.T.reset_index(names="measure")


def _claims(study: StudyResult) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(c.model)}</td><td>{html.escape(c.statement)}</td>"
        f"<td class='{'holds' if c.holds else 'fails'}'>{'holds' if c.holds else 'fails'}</td>"
        f"<td>{html.escape(c.evidence)}</td></tr>"
        for c in study.claims
    )
    held = sum(c.holds for c in study.claims)
    return (
        f"<h2 id='claims'>Claims: {held} of {len(study.claims)} hold</h2>"
        "<div class='scroll'><table><tr><th>model</th><th>claim</th><th></th><th>evidence</th>"
        f"</tr>{rows}</table></div>"
    )


def _detection(study: StudyResult) -> str:
    text = study.tables["text_baselines"]
    shown = text[text["name"].isin(BASELINES)].copy()
    shown["baseline"] = shown["name"].map(BASELINES)
    shown = shown.rename(columns={"value": "auroc", "low": "auroc_low", "high": "auroc_high"})
    baselines = _with_intervals(shown)[["model", "baseline", "auroc", "n"]]
    columns = [
        "layer", "auroc", "accuracy", "d_prime", "separation", "spread_empathic",
        "spread_non_empathic", "p_permutation", "p_holm", "random_auroc_95", "p_random",
    ]  # fmt: skip
    detection = study.tables["detection"]
    row = detection.iloc[0]
    return (
        "<h2 id='detection'>Does it represent it?</h2>"
        f"<p>Mean-difference probes fitted on {row['n_train_pairs']} train pairs, tested on "
        f"{row['n_test_pairs']} others. Intervals are 95 % bootstrap intervals over pairs within "
        "scenarios; p is from refits with the sides of the pairs swapped at random.</p>"
        + _figure(auroc_by_layer(detection), "detection")
        + "".join(
            f"<h3>{html.escape(str(model))}</h3>" + _table(_with_intervals(rows)[columns])
            for model, rows in detection.groupby("model", sort=False)
        )
        + "<h3>What the texts give away without a model (AUROC)</h3>"
        + _table(baselines)
    )


def _steering(study: StudyResult) -> str:
    parts = [
        "<h2 id='steering'>Can it be steered?</h2><p>alpha times the unit direction is added at "
        "<code>blocks.L.hook_resid_post</code> to the last prompt token and every generated one. "
        "The control is random directions of equal length.</p>"
    ]
    for model in study.models:
        for dose in study.doses(model):
            chosen = " (selected)" if dose.layer == study.selected(model) else ""
            parts.append(
                f"<h3>{html.escape(model)}, layer {dose.layer}{chosen}</h3>"
                f"<p class='note'>One residual norm is {dose.norm:.1f}, one class gap "
                f"{dose.class_gap:.2f}.</p>"
                + _figure(dose_curve(dose.rates()), f"dose-{model}-{dose.layer}")
            )
    columns = [
        "layer", "group", "alpha", "alpha_norms", "alpha_gaps", "empathic", "coherent",
        "repetition", "nll", "kl", "n",
    ]  # fmt: skip
    success = ["layer", "direction", "success_paper", "success_strict", "contrast", "n_samples"]
    parts.append("<h3>Success</h3>")
    for name, rows in study.tables["success"].groupby("model", sort=False):
        parts.append(f"<p>{html.escape(str(name))}</p>" + _table(_with_intervals(rows)[success]))
    parts.append("<h3>Dose-response and coherence</h3>")
    for name, rows in study.tables["dose_response"].groupby("model", sort=False):
        parts.append(f"<p>{html.escape(str(name))}</p>" + _table(_with_intervals(rows)[columns]))
    if len(study.tables["behavior"]):
        parts.append("<h3>Unsteered behaviour of the embedded model</h3>")
        behavior = study.tables["behavior"].rename(
            columns={"low": "value_low", "high": "value_high"}
        )
        parts.append(_table(_with_intervals(behavior)[["model", "share", "value", "n"]]))
    return "".join(parts)


def _answers(study: StudyResult) -> str:
    parts = ["<h2 id='answers'>What it writes</h2>"]
    for model in study.models:
        layer = study.selected(model)
        frame = study.tables["answers"]
        frame = frame[
            (frame["model"] == model)
            & (frame["layer"] == layer)
            & (frame["direction"] == "probe")
            & (frame["sample"] == 0)
        ]
        scenario = frame["scenario"].iloc[0]
        parts.append(f"<h3>{html.escape(model)}, layer {layer}, {html.escape(scenario)}</h3>")
        for _, row in frame[frame["scenario"] == scenario].sort_values("alpha").iterrows():
            text = html.escape(str(row["text"])[:600]) or "<i>nothing</i>"
            parts.append(f"<p class='note'>alpha {row['alpha']:g}</p>")
            parts.append(f"<blockquote>{text}</blockquote>")
    return "".join(parts)


def _repeat(study: StudyResult) -> str:
    config = html.escape(json.dumps(study.config, indent=1, sort_keys=True))
    weights = "".join(
        f"<li>{html.escape(m)}: fingerprint <code>{study.records[m]['model']['fingerprint']}"
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


def _figure(figure: go.Figure, name: str) -> str:
    return str(
        figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"figure-{name}",
            config={"displayModeBar": False, "responsive": True},
        )
    )


def _table(frame: pd.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(_title(c))}</th>" for c in frame.columns)
    rows = "".join(
        "<tr>" + "".join(_cell(value) for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return f"<div class='scroll'><table><tr>{head}</tr>{rows}</table></div>"


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """Each value with `_low` and `_high` beside it as text: `0.84 [0.72, 0.96]`."""
    merged = frame.copy()
    for column in frame.columns:
        if f"{column}_low" in frame.columns:
            bounds = zip(frame[column], frame[f"{column}_low"], frame[f"{column}_high"],
                         strict=True)  # fmt: skip
            merged[column] = pd.Series(
                [f"{v:.3f} [{lo:.3f}, {hi:.3f}]" for v, lo, hi in bounds],
                index=frame.index,
                dtype=object,
            )
    return merged


def _title(column: Any) -> str:
    return str(column).replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, (int, float)) or hasattr(value, "dtype"):
        return f"<td class='n'>{_number(float(value))}</td>"
    text = html.escape(str(value))
    return f"<td class='n'>{text}</td>" if text.endswith("]") else f"<td>{text}</td>"


def _number(value: float) -> str:
    if value != value:
        return ""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 0.001 else f"{value:.3f}"


def headline_text(study: StudyResult) -> str:
    """The headline table and the claims as plain text."""
    frame = _headline(study)
    columns = [[_title(c), *map(_plain, frame[c])] for c in frame.columns]
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]
    lines.append("")
    for claim in study.claims:
        lines.append(f"{'holds' if claim.holds else 'FAILS'}  {claim.model}: {claim.statement}")
        lines.append(f"       {claim.evidence}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _number(float(value))

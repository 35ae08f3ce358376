"""Ablation: take heads, layers or a direction away, and see what the model still does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from empathy_mi import stats
from empathy_mi.causal.ablation_results import AblationResult
from empathy_mi.causal.metrics import Metric, MetricName
from empathy_mi.causal.prompt_pairs import PromptPair
from empathy_mi.causal.runs import Which, read_pair, read_run
from empathy_mi.causal.sites import Component, Site
from empathy_mi.causal.staircase import BATCH_ROWS, Patch, PatchedRun, patched_metric, write
from empathy_mi.causal.sweeps import Sweep, plan_sweep
from empathy_mi.coherence import negative_log_likelihood
from empathy_mi.errors import InputError, check_counts
from empathy_mi.models import Adapter, Hook, adapt
from empathy_mi.neutral import NeutralText
from empathy_mi.pairs import Pairs
from empathy_mi.pooling import Context, Pooling, TextRow, extract_pooled
from empathy_mi.probes import Probe
from empathy_mi.progress import track
from empathy_mi.stats import Array, Estimate
from empathy_mi.steering import random_vectors
from empathy_mi.thresholds import check_probe
from empathy_mi.tokens import encode_completion, encode_prompt

How = Literal["zero", "mean", "resample", "directional"]
Step = tuple[Site, ...]
"""Sites that are taken away together."""


def ablate(
    model: Any,
    pairs: Sequence[PromptPair] | None = None,
    *,
    how: How = "mean",
    components: Component | Sequence[Component] = "head",
    layers: Iterable[int] | int | None = None,
    heads: Iterable[int] | None = None,
    sites: Sequence[Site] | None = None,
    probe: Probe | Mapping[int, Probe] | None = None,
    cumulative: bool = False,
    metric: MetricName | Metric = "logit_diff",
    texts: Pairs | None = None,
    reader: Probe | None = None,
    neutral: Sequence[NeutralText] = (),
    controls: int = 5,
    batch_rows: int = BATCH_ROWS,
    seed: int = 0,
) -> AblationResult:
    """Ablate sites at every position, one at a time or more and more of them.

    - "zero" puts zeros there, "mean" the mean activation over the tokens of all prompts of the
      pairs, "resample" the activation of a token of them drawn at random;
    - "directional" projects the residual after a block off a probe's direction
      (h - (h.d) d, arXiv 2406.11717), beside random directions.

    Behaviour is the difference of the metric between clean and corrupt prompts: what is left of it
    tells how much of the decision the ablated sites carry.

    Args:
        model: a model or adapter, in evaluation mode.
        pairs: None draws `prompt_pairs(model)`.
        how: see above.
        components: of which all sites in `layers` are ablated; "directional" takes `probe`.
        layers: None is the study's, or all that the probes have.
        heads: of head, q, k and v; None is all.
        sites: the sites themselves, in this order, in place of the three options above.
        probe: for "directional": one probe, or one a layer (a ProbeSet).
        cumulative: step i ablates the first i sites together. Without `sites` their order is that
            of their effects one at a time, the strongest first, and random orders stand beside it.
        metric: as in `activation_patching`.
        texts: contrastive pairs on which `reader` is scored under each ablation.
        reader: the probe whose AUROC under ablation is measured.
        neutral: texts whose loss under each ablation is measured.
        controls: random directions, or random orders.
        batch_rows: most rows in a batch.
        seed: of the pairs, what is drawn, intervals and p.

    Raises:
        InputError: `how` is unknown, "directional" has no probe or another model's, texts have no
            reader or the reverse, or as `activation_patching`.
    """
    if how not in get_args(How):
        raise InputError(f"unknown ablation {how!r}: use {', '.join(map(repr, get_args(How)))}.")
    if (how == "directional") != (probe is not None):
        raise InputError("a probe belongs to how='directional', and that needs one: give both.")
    if (texts is None) != (reader is None):
        raise InputError("detection needs texts and a reader: give both, or none.")
    check_counts(least=0, controls=controls)
    check_counts(batch_rows=batch_rows)
    adapter = adapt(model)
    by_layer: dict[int, Probe] = {}
    if probe is not None:
        by_layer = {probe.layer: probe} if isinstance(probe, Probe) else dict(probe)
        components, heads = "resid_post", None
        layers = sorted(by_layer) if layers is None else layers
    for each in (*by_layer.values(), *([reader] if reader else [])):
        check_probe(each, adapter)
    ordered = sites is not None
    plan = plan_sweep(
        adapter, pairs, components=components, layers=layers, heads=heads, sites=sites,
        positions="last", mode="denoising", metric=metric, seed=seed,
    )  # fmt: skip
    for site in plan.sites:
        if probe is not None and site.layer not in by_layer:
            raise InputError(f"no probe at layer {site.layer}: there are {sorted(by_layer)}.")
    units = {layer: each.direction for layer, each in by_layer.items()}
    knife = _Knife(how, units, _pools(plan) if how in ("mean", "resample") else {}, seed)
    single: list[Step] = [(site,) for site in plan.sites]
    found = _behavior(plan, knife, single, batch_rows)
    steps = single
    random: list[Array] = []
    if cumulative:
        order = list(range(len(single)))
        if not ordered:
            unablated, ablated = found
            effect = np.abs((ablated[..., 0] - ablated[..., 1]).mean(0)
                            - (unablated[:, 0] - unablated[:, 1]).mean())  # fmt: skip
            order = list(np.argsort(-effect, kind="stable"))
        steps = [tuple(plan.sites[i] for i in order[: n + 1]) for n in range(len(order))]
        found = _behavior(plan, knife, steps, batch_rows)
        for i in range(controls if how != "directional" else 0):
            drawn = stats.generator(seed, "random order", i).permutation(len(order))
            chain = [tuple(plan.sites[j] for j in drawn[: n + 1]) for n in range(len(order))]
            random.append(_behavior(plan, knife, chain, batch_rows)[1])
    if how == "directional":
        others = {
            layer: random_vectors(each.steering_vector(), controls, seed=seed)
            for layer, each in by_layer.items()
        }
        for i in range(controls):
            units = {layer: vectors[i].direction for layer, vectors in others.items()}
            off = _Knife(how, units, {}, seed)
            random.append(_behavior(plan, off, steps, batch_rows)[1])
    return AblationResult(
        steps=tuple(tuple(map(str, step)) for step in steps),
        unablated=found[0],
        ablated=found[1],
        random=np.stack(random) if random else None,
        detection=_detection(adapter, knife, steps, texts, reader, seed),
        neutral=_neutral(adapter, knife, steps, neutral),
        pairs=tuple(pair.id for pair in plan.pairs),
        scenarios=tuple(pair.scenario for pair in plan.pairs),
        how=how,
        cumulative=cumulative,
        model=adapter.name,
        fingerprint=adapter.fingerprint,
        metric=plan.metric.name,
        seed=seed,
    )


class _Knife:
    """What an ablation puts in place of an activation."""

    def __init__(
        self, how: How, units: Mapping[int, Tensor], pools: Mapping[Site, Tensor], seed: int
    ) -> None:
        self.how, self.units, self.pools, self.seed = how, units, pools, seed
        self.means = {site: pool.mean(0) for site, pool in pools.items()}

    def patch(self, site: Site, width: int, positions: Sequence[int], label: str) -> Patch:
        """The patch of a site at some positions."""
        n = len(positions)
        if self.how in ("mean", "resample"):
            pool = self.pools[site]
            if self.how == "mean":
                value = self.means[site].expand(n, -1)
            else:
                draw = stats.generator(self.seed, "resample", str(site), label)
                value = pool[torch.from_numpy(draw.integers(0, len(pool), n))]
            return Patch(site, tuple(positions), value)
        unit = self.units[site.layer] if self.how == "directional" else None
        return Patch(site, tuple(positions), torch.zeros(n, width), unit)

    def hook(self, site: Site, label: str) -> Hook:
        """The same for every position of whatever runs."""

        def run(tensor: Tensor, hook: Any) -> Tensor:
            rows, length, width = tensor.shape[0], tensor.shape[1], tensor.shape[-1]
            patches = [
                (row, self.patch(site, width, range(length), f"{label} {row}"))
                for row in range(rows)
            ]
            return write(tensor, patches)

        return site.hook_name, run

    def applied(self, adapter: Adapter, step: Step, label: str) -> AbstractContextManager[Any]:
        """Everything that runs inside is ablated."""
        if not step:
            return nullcontext()
        hooks: list[Any] = [self.hook(site, label) for site in step]
        context: AbstractContextManager[Any] = adapter.model.hooks(fwd_hooks=hooks)
        return context


def _pools(plan: Sweep) -> dict[Site, Float[Tensor, "token width"]]:
    """Activations of every token of all prompts, by site."""
    kept: dict[Site, list[Tensor]] = {site: [] for site in plan.sites}
    for pair in plan.pairs:
        for tokens in (pair.clean, pair.corrupt):
            run = read_run(plan.adapter, tokens, sites=plan.sites)
            for site, parts in kept.items():
                parts.append(run.at(site, range(run.length)))
    return {site: torch.cat(parts) for site, parts in kept.items()}


def _behavior(
    plan: Sweep, knife: _Knife, steps: Sequence[Step], batch_rows: int
) -> tuple[Float[Array, "pair 2"], Float[Array, "pair step 2"]]:
    """The metric of clean and corrupt prompts, without ablation and after each step."""
    adapter, sides = plan.adapter, get_args(Which)
    unablated = np.zeros((len(plan.pairs), 2))
    ablated = np.zeros((len(plan.pairs), len(steps), 2))
    for number in track(range(len(plan.pairs)), "ablating"):
        pair = plan.pairs[number]
        for runs in read_pair(adapter, pair, plan.metric, plan.sites):
            for side, which in enumerate(sides):
                run = runs.run(which)
                everywhere = range(run.length)
                widths = {site: run.at(site, [0]).shape[-1] for site in plan.sites}
                rows: list[PatchedRun] = [
                    tuple(
                        knife.patch(site, widths[site], everywhere, f"{pair.id} {which}")
                        for site in step
                    )
                    for step in steps
                ]
                found = patched_metric(adapter, runs, which, rows, batch_rows=batch_rows)
                ablated[number, :, side] += found.cpu().double().numpy()
                unablated[number, side] += runs.value(adapter, which)
    return unablated, ablated


def _detection(
    adapter: Adapter,
    knife: _Knife,
    steps: Sequence[Step],
    texts: Pairs | None,
    reader: Probe | None,
    seed: int,
) -> tuple[Estimate, ...]:
    """AUROC of a probe on texts, without ablation first, then after each step."""
    if texts is None or reader is None:
        return ()
    pooling, context = cast(Pooling, reader.pooling), cast(Context, reader.context)
    rows = [
        TextRow.of(adapter, text, p.prompt, p.system, context, p.id)
        for p in texts
        for text in (p.empathic, p.non_empathic)
    ]
    found = []
    for step in ((), *steps):
        with knife.applied(adapter, step, "detection"):
            pooled = extract_pooled(adapter, rows, [reader.layer], pooling, 8192)[0][:, 0]
        along = (pooled.double() @ reader.direction.double()).numpy()
        rounding = 4 * torch.finfo(adapter.dtype).eps * pooled.double().norm(dim=-1).numpy()
        along[np.abs(along) < rounding] = 0.0  # nothing is left: sides are tied, not ranked
        crossings = stats.wins(along[0::2], along[1::2])
        found.append(stats.bootstrap_auroc(crossings, [p.scenario for p in texts], seed=seed))
    return tuple(found)


def _neutral(
    adapter: Adapter, knife: _Knife, steps: Sequence[Step], texts: Sequence[NeutralText]
) -> Float[Array, "text step_and_none"]:
    """Loss of neutral texts in nats a token: without ablation first, then after each step."""
    if not texts:
        return np.empty((0, len(steps) + 1))
    prompts = [encode_prompt(adapter.tokenizer, text.prompt) for text in texts]
    completions = [encode_completion(adapter.tokenizer, text.completion) for text in texts]
    losses = []
    for step in ((), *steps):
        with knife.applied(adapter, step, "neutral"):
            losses.append(negative_log_likelihood(adapter, prompts, completions))
    return np.array(losses).T

"""Activation patching at every layer and position, over one plain Hugging Face forward per site.

    python tests/benchmarks/bench_patching.py [--write]

Layers 8-23 of 24 and the last 30 of 150 positions: the residual stream at two widths, then
attention outputs, MLP outputs and heads. The counted floor is the number of block x position
evaluations that patched runs need at least (the blocks above the patched layer, the positions from
the patched one on), at the price of one in a batched plain forward. Effects are checked against
runs with a hook, one by one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import timing
import torch

SAMPLED = 12
WIDE = 1152
PLAIN, COUNTED = "plain Hugging Face, one forward per site", "the counted floor"
LOOPED = "transformer_lens.patching, one by one"


@dataclass(frozen=True)
class Size:
    """How large a sweep is."""

    blocks: int = 24
    length: int = 150
    last: int = 30
    low: int = 8

    @property
    def places(self) -> list[tuple[int, int]]:
        """Every layer and position that is patched."""
        positions = range(self.length - self.last, self.length)
        return [(layer, at) for layer in range(self.low, self.blocks) for at in positions]

    @property
    def needed(self) -> int:
        """Block x position evaluations above the patches, one site a place."""
        return sum((self.blocks - 1 - layer) * (self.length - at) for layer, at in self.places)


class Sweep:
    """One model, one pair of prompts, and everything that is timed on them."""

    def __init__(self, folder: Path, size: Size) -> None:
        from empathy_mi.causal.prompt_pairs import PromptPair

        self.size, self.model = size, timing.plain(folder)
        self.adapters = timing.adapters(folder)
        draw = torch.Generator().manual_seed(3)
        clean = torch.randint(5, 280, (size.length,), generator=draw).tolist()
        corrupt = list(clean)
        first = size.length - size.last
        corrupt[first] = clean[first] % 270 + 6
        self.pair = PromptPair("pair", "", tuple(clean), tuple(corrupt), ((20,), (31,)))
        self.ids = torch.tensor([corrupt])
        sampled = [(layer, at) for layer, at in size.places if layer < size.blocks - 1]
        self.sampled = sampled[:: max(1, len(sampled) // SAMPLED)][:SAMPLED]
        with torch.no_grad():
            kept = self.model(torch.tensor([clean]), output_hidden_states=True)
        self.states = kept.hidden_states

    def exact(self, adapter: Any, components: Any) -> Callable[[], Any]:
        """The package's sweep."""
        from empathy_mi.causal.patching import activation_patching

        return lambda: activation_patching(adapter, [self.pair], **self._options(components))

    def attribution(self, adapter: Any) -> Callable[[], Any]:
        """The package's estimate of the same sweep of the residual."""
        from empathy_mi.causal.attribution import attribution_patching

        return lambda: attribution_patching(adapter, [self.pair], **self._options("resid_post"))

    def _options(self, components: Any) -> dict[str, Any]:
        layers = range(self.size.low, self.size.blocks)
        return {"layers": layers, "components": components, "positions": "each"}

    def one_by_one(self) -> list[float]:
        """A plain forward with one hook for each of the sampled places."""
        return [self._hooked(layer, at) for layer, at in self.sampled]

    def _hooked(self, layer: int, at: int) -> float:
        def put(module: Any, args: Any, output: Any) -> Any:
            hidden = (output[0] if isinstance(output, tuple) else output).clone()
            hidden[:, at] = self.states[layer + 1][0, at]
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        handle = self.model.model.layers[layer].register_forward_hook(put)
        with torch.no_grad():
            logits = self.model(self.ids).logits[0, -1]
        handle.remove()
        return float(logits[20] - logits[31])

    @torch.no_grad()
    def batched(self) -> None:
        """The price of a block at a position, in a batch of 8 rows."""
        self.model.model(self.ids.expand(8, -1))

    def transformer_lens(self) -> Callable[[], Any]:
        """TransformerLens' own sweep over the sampled places."""
        import pandas as pd
        from transformer_lens import patching

        model = next(iter(self.adapters.values())).model
        _, cache = model.run_with_cache(torch.tensor([self.pair.clean]))
        frame = pd.DataFrame([(layer + 1, at) for layer, at in self.sampled],
                             columns=["layer", "pos"])  # fmt: skip
        return lambda: patching.generic_activation_patch(
            model, self.ids, cache, lambda logits: logits[0, -1, 20] - logits[0, -1, 31],
            patching.layer_pos_patch_setter, "resid_pre", index_df=frame,
        )  # fmt: skip

    def check(self) -> None:
        """Refuse to time what is not equal."""
        expected = self.one_by_one()
        for name, adapter in self.adapters.items():
            found = self.exact(adapter, "resid_post")()
            column = [found.positions.index(str(at - self.size.length)) for _, at in self.sampled]
            row = [layer - self.size.low for layer, _ in self.sampled]
            worst = float(abs(found.values[0, row, column] - expected).max())
            print(f"{name}: effects equal those of hooks, one by one, to {worst:.1e}")
            assert worst < 1e-4

    def scale(self, sites: int) -> dict[str, float]:
        """Factors on what is timed in part, for so many sites a place."""
        price = 8 * self.size.length * self.size.blocks
        part = sites * len(self.size.places) / len(self.sampled)
        return {PLAIN: part, LOOPED: part, COUNTED: sites * self.size.needed / price}


def residual(sweep: Sweep) -> timing.Subjects:
    """The residual stream: the floors, TransformerLens and the package."""
    return {
        PLAIN: sweep.one_by_one,
        LOOPED: sweep.transformer_lens(),
        COUNTED: sweep.batched,
        **{f"empathy-mi, {n}, exact": sweep.exact(a, "resid_post")
           for n, a in sweep.adapters.items()},
        **{f"empathy-mi, {n}, attribution": sweep.attribution(a)
           for n, a in sweep.adapters.items()},
    }  # fmt: skip


def inside(sweep: Sweep, components: Sequence[str]) -> timing.Subjects:
    """Components of a block: the floors and the package."""
    return {
        PLAIN: sweep.one_by_one,
        COUNTED: sweep.batched,
        **{f"empathy-mi, {n}, exact": sweep.exact(a, components)
           for n, a in sweep.adapters.items()},
    }  # fmt: skip


def report(
    name: str, sweep: Sweep, subjects: timing.Subjects, what: str, sites: int, options: Any
) -> None:
    """Time, and write the table over the plain forwards with what it is over the counted floor."""
    size, width = sweep.size, sweep.model.config.hidden_size
    times = timing.measure(subjects, options.rounds, sweep.scale(sites))
    above = {row[0]: row[1] for row in timing.over(times, COUNTED)}
    n, plain = sites * len(size.places), sites * len(size.places) * size.length * size.blocks
    over_floor = ", ".join(
        f"{above[subject]} ({subject.split(', ')[1]})" for subject in above if "exact" in subject
    )
    note = (
        f"Time over one plain forward per site ({len(sweep.sampled)} of {n} were run, scaled). "
        f"{n} sites: {what} at layers {size.low} to {size.blocks - 1}, the last {size.last} of "
        f"{size.length} positions, one pair; {sites * size.needed} block x position evaluations "
        f"are needed at least, against {plain} of the plain forwards. Exact over the counted "
        f"floor: {over_floor}. Random Qwen2 of {size.blocks} blocks, width {width}, float32; "
        f"{options.rounds} rounds."
    )
    timing.report(name, timing.over(times, PLAIN), note, write=options.write)


def main() -> None:
    options = timing.parser(__doc__ or "").parse_args()
    size = Size(6, 16, 4, 2) if options.small else Size()
    widths = (48, 96) if options.small else (timing.WIDTH, WIDE)
    for number, width in enumerate(widths):
        with tempfile.TemporaryDirectory() as root:
            sweep = Sweep(timing.build(Path(root), layers=size.blocks, width=width), size)
            sweep.check()
            name = "patching-wide" if number else "patching"
            report(name, sweep, residual(sweep), "resid_post", 1, options)
            if not number:
                heads = timing.HEADS
                parts = ("attn_out", "mlp_out", "head")
                what = f"attn_out, mlp_out and {heads} heads"
                report("patching-parts", sweep, inside(sweep, parts), what, 2 + heads, options)


if __name__ == "__main__":
    main()

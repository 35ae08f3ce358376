"""Activation patching at every layer and position, over one plain Hugging Face forward per site.

    python tests/benchmarks/bench_patching.py [--write]

resid_post at layers 8-23 of 24 and the last 30 of 150 positions. The counted floor is the number
of block x position evaluations that patched runs need at least (the blocks above the patched layer,
the positions from the patched one on), at the price of one in a batched plain forward. Effects are
checked against runs with a hook, one by one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import timing
import torch

BLOCKS = 24
SAMPLED = 12


def main() -> None:
    options = timing.parser(__doc__ or "").parse_args()
    length, last, low = (16, 4, 2) if options.small else (150, 30, 8)
    blocks = 6 if options.small else BLOCKS
    sizes = {"layers": blocks, **({"width": 48} if options.small else {})}
    with tempfile.TemporaryDirectory() as root:
        folder = timing.build(Path(root), **sizes)
        model, ours = timing.plain(folder), timing.adapters(folder)
        from empathy_mi.causal.attribution import attribution_patching
        from empathy_mi.causal.patching import activation_patching
        from empathy_mi.causal.prompt_pairs import PromptPair

        draw = torch.Generator().manual_seed(3)
        clean = torch.randint(5, 280, (length,), generator=draw).tolist()
        corrupt = list(clean)
        corrupt[length - last] = clean[length - last] % 270 + 6
        pair = PromptPair("pair", "", tuple(clean), tuple(corrupt), ((20,), (31,)))
        sites = [(layer, at) for layer in range(low, blocks) for at in range(length - last, length)]
        names = {"layers": range(low, blocks), "components": "resid_post", "positions": "each"}
        ids = torch.tensor([corrupt])

        def package(adapter: Any, **more: Any) -> Callable[[], Any]:
            return lambda: activation_patching(adapter, [pair], **names, **more)

        def hooked(layer: int, at: int, value: torch.Tensor) -> float:
            def put(module: Any, args: Any, output: Any) -> Any:
                hidden = (output[0] if isinstance(output, tuple) else output).clone()
                hidden[:, at] = value
                return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

            handle = model.model.layers[layer].register_forward_hook(put)
            with torch.no_grad():
                logits = model(ids).logits[0, -1]
            handle.remove()
            return float(logits[20] - logits[31])

        with torch.no_grad():
            states = model(torch.tensor([clean]), output_hidden_states=True).hidden_states
        chosen = [s for s in sites[:: max(1, len(sites) // SAMPLED)] if s[0] < blocks - 1][:SAMPLED]

        def one_by_one() -> list[float]:
            return [hooked(layer, at, states[layer + 1][0, at]) for layer, at in chosen]

        def transformer_lens() -> Callable[[], Any]:
            from transformer_lens import patching

            tl = ours["hooked"].model
            _, cache = tl.run_with_cache(torch.tensor([clean]))
            import pandas as pd

            rows = [(layer + 1, at) for layer, at in chosen if layer + 1 < blocks]
            frame = pd.DataFrame(rows, columns=["layer", "pos"])
            return lambda: patching.generic_activation_patch(
                tl, ids, cache, lambda logits: logits[0, -1, 20] - logits[0, -1, 31],
                patching.layer_pos_patch_setter, "resid_pre", index_df=frame,
            )  # fmt: skip

        @torch.no_grad()
        def batched() -> None:
            """The price of a block at a position, in a batch of 8 rows."""
            model.model(ids.expand(8, -1))

        expected = one_by_one()
        for name, adapter in ours.items():
            found = package(adapter)()
            got = [
                found.values[0, layer - low, list(found.positions).index(str(at - length))]
                for layer, at in chosen
            ]
            worst = max(abs(a - b) for a, b in zip(got, expected, strict=True))
            print(f"{name}: effects equal those of hooks, one by one, to {worst:.1e}")
            assert worst < 1e-4
        plain = f"plain Hugging Face, one forward per site ({len(chosen)} of {len(sites)}, scaled)"
        counted = "the counted floor"
        looped = f"transformer_lens.patching, one by one ({len(chosen)} of {len(sites)}, scaled)"
        needed = sum((blocks - 1 - layer) * (length - at) for layer, at in sites)
        subjects: dict[str, Callable[[], Any] | None] = {
            plain: one_by_one,
            looped: timing.optional(transformer_lens) if "hooked" in ours else None,
            counted: batched,
            **{f"empathy-mi, {name}, exact": package(a) for name, a in ours.items()},
            **{
                f"empathy-mi, {name}, attribution": lambda a=a: attribution_patching(
                    a, [pair], **names
                )
                for name, a in ours.items()
            },
        }
        part = len(sites) / len(chosen)
        scale = {plain: part, looped: part, counted: needed / (8 * length * blocks)}
        table = timing.ratios(subjects, plain, options.rounds, scale=scale)
    note = (
        f"Time over one plain forward per site. {len(sites)} sites: resid_post at layers {low} to "
        f"{blocks - 1}, the last {last} of {length} positions, one pair; {needed} block x position "
        f"evaluations are needed at least, against {len(sites) * length * blocks} of the plain "
        f"forwards; random Qwen2, width {timing.WIDTH}, float32; {options.rounds} rounds."
    )
    timing.report("patching", table, note, write=options.write)


if __name__ == "__main__":
    main()

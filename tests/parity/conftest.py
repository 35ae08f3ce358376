"""Every tiny model behind every backend, beside the plain Hugging Face model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from empathy_mi.models import Adapter, adapt, load_model
from empathy_mi.models.loading import has_hooked

ARCHS = ("phi3", "qwen2", "llama", "llama_tied")
N_LAYERS = 3


def backend_params() -> list[Any]:
    gone = pytest.mark.skipif(
        not has_hooked(), reason="this TransformerLens has no HookedTransformer (removed in 4.0)"
    )
    return [pytest.param("hooked", marks=gone), "bridge"]


@dataclass(frozen=True)
class Side:
    """One tiny model behind an adapter, and the same folder in plain Hugging Face."""

    arch: str
    adapter: Adapter
    reference: Any

    def reads(self, tokens: Tensor, mask: Tensor) -> Any:
        """Plain Hugging Face's output, with positions counted from the mask."""
        where = (mask.cumsum(1) - 1).clamp(min=0)
        return self.reference(
            tokens,
            attention_mask=mask,
            position_ids=where,
            output_hidden_states=True,
            output_attentions=True,
            use_cache=False,
        )

    def last_residual(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The last block's output before the final norm, which hidden_states[-1] hides."""
        kept: list[Tensor] = []
        block = self.reference.model.layers[-1]
        handle = block.register_forward_hook(
            lambda module, args, output: kept.append(
                output[0] if isinstance(output, tuple) else output
            )
        )
        self.reads(tokens, mask)
        handle.remove()
        return kept[0]


@pytest.fixture(scope="session")
def references(tiny_folders: dict[str, Path]) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    return {
        arch: AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        for arch, folder in tiny_folders.items()
    }


@pytest.fixture(scope="session", params=backend_params())
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session", params=ARCHS)
def side(
    request: pytest.FixtureRequest,
    backend: str,
    tiny_folders: dict[str, Path],
    references: dict[str, Any],
) -> Side:
    model = load_model(tiny_folders[request.param], backend=backend)
    return Side(request.param, adapt(model), references[request.param])


@pytest.fixture(scope="session")
def batch() -> tuple[Tensor, Tensor]:
    """Ids and mask [3, 40], left-padded; two rows reach past the window and the rope boundary."""
    tokens = torch.randint(5, 280, (3, 40), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(tokens)
    mask[1, :7], mask[2, :29] = 0, 0
    tokens[mask == 0] = 1
    return tokens, mask

"""The numbers that the paper prints, each with the table, figure or section it is printed in.

Source: arXiv 2511.16699v1, read in its LaTeX source in the authors' repository
(github.com/juancadile/empathy-probes, paper/paper.tex at commit dcd59ca, whose abstract is word for
word the one on arXiv). Numbers are kept as printed, so that the precision is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """A number as the paper prints it.

    Attributes:
        text: the number, without its unit.
        unit: "%" or nothing.
        where: the table, figure or section.
    """

    text: str
    unit: str
    where: str

    @property
    def value(self) -> float:
        """The number, in its printed unit."""
        return float(self.text)

    @property
    def decimals(self) -> int:
        """The number of printed decimals."""
        return len(self.text.partition(".")[2])

    def agrees(self, value: float) -> bool:
        """Whether `value`, in the printed unit, is rounded to the printed number."""
        return abs(value - self.value) <= 0.5 * 10**-self.decimals + 1e-9

    def __str__(self) -> str:
        return f"{self.text} {self.unit}".strip()


@dataclass(frozen=True)
class Model:
    """One of the paper's models.

    Attributes:
        key: the authors' name for it in their files.
        short: a short name for tables.
        hub: its name on the Hugging Face hub, as in the authors' files.
        width: size of the residual stream.
        averaged: the steered layers whose cells make up the printed average success. The paper
            prints the cells of two of them; the others are in the released
            results/cross_model_steering/steering_success_summary.csv.
    """

    key: str
    short: str
    hub: str
    width: int
    averaged: tuple[int, ...]


PHI3, QWEN, DOLPHIN = "phi-3-mini-4k", "qwen2.5-7b", "dolphin-llama-3.1-8b"
MODELS: Mapping[str, Model] = {
    m.key: m
    for m in (
        Model(QWEN, "Qwen", "Qwen/Qwen2.5-7B-Instruct", 3584, (12, 16, 20)),
        Model(
            DOLPHIN,
            "Dolphin",
            "cognitivecomputations/dolphin-2.9.4-llama3.1-8b",
            4096,
            (8, 12, 16),
        ),
        Model(PHI3, "Phi-3", "microsoft/Phi-3-mini-4k-instruct", 3072, (8, 12, 16, 20)),
    )
}

SCENARIOS: Mapping[str, str] = {
    "food_delivery": "Food Delivery",
    "the_listener": "The Listener",
    "the_protector": "The Protector",
}
"""The steered scenarios, in the paper's order."""

LAYERS = (8, 12, 16, 20, 24)
"""The layers of Table 1."""

TABLE_1_COLUMNS = ("auroc", "accuracy", "separation", "empathic_std", "non_empathic_std")
_TABLE_1 = {
    PHI3: """
         8 0.991  93.3  2.61  0.78  1.13
        12 1.000 100    5.20  1.25  1.43
        16 0.996  93.3  9.44  2.60  2.84
        20 0.973  93.3 18.66  5.56  6.25
        24 0.960  93.3 35.75 11.38 12.80
    """,
    QWEN: """
         8 0.791  66.7  5.41  2.91  3.54
        12 0.964  86.7  7.84  4.16  4.69
        16 1.000 100   12.34  3.21  3.56
        20 0.991  96.7 16.58  8.11  8.89
        24 0.964  93.3 22.16 11.01 11.92
    """,
    DOLPHIN: """
         8 0.996  96.7  0.70  0.28  0.28
        12 0.996  96.7  0.99  0.29  0.29
        16 0.982  96.7  1.68  0.60  0.55
        20 0.969  93.3  2.82  0.98  0.91
        24 0.969  93.3  4.62  1.67  1.54
    """,
}
TABLE_1: Mapping[tuple[str, int], Mapping[str, Printed]] = {
    (model, int(cells[0])): {
        name: Printed(cell, "%" if name == "accuracy" else "", "Table 1")
        for name, cell in zip(TABLE_1_COLUMNS, cells[1:], strict=True)
    }
    for model, table in _TABLE_1.items()
    for cells in map(str.split, table.strip().splitlines())
}
"""Detection on the 15 test pairs: (model, layer) to AUROC, accuracy, separation and spreads."""

TABLE_2 = {
    "accuracy": Printed("100", "%", "Table 2"),
    "precision": Printed("1.00", "", "Table 2"),
    "recall": Printed("1.00", "", "Table 2"),
    "F1": Printed("1.00", "", "Table 2"),
    "specificity": Printed("1.00", "", "Table 2"),
}
"""Phi-3's probe on the ten texts scored 0 or 2."""

_TABLE_3 = {
    (QWEN, 16): "87.5 50.0 87.5 | 100 100 100",
    (QWEN, 20): "62.5 50.0 75.0 | 100 100 100",
    (DOLPHIN, 12): "100 100 100 | 40 30 50",
    (DOLPHIN, 16): "100 83.3 100 | 30 40 50",
    (PHI3, 12): "80.0 50.0 70.0 | 100 100 100",
    (PHI3, 8): "60.0 50.0 80.0 | 90 100 100",
}
TABLE_3_SUCCESS: Mapping[tuple[str, int, str], Printed] = {
    (*key, scenario): Printed(cell, "%", "Table 3")
    for key, line in _TABLE_3.items()
    for scenario, cell in zip(SCENARIOS, line.split("|")[0].split(), strict=True)
}
"""Steering success: (model, layer, scenario)."""
TABLE_3_COHERENCE: Mapping[tuple[str, int, str], Printed] = {
    (*key, scenario): Printed(cell, "%", "Table 3")
    for key, line in _TABLE_3.items()
    for scenario, cell in zip(SCENARIOS, line.split("|")[1].split(), strict=True)
}

AVERAGE_SUCCESS = {
    QWEN: Printed("65.3", "%", "abstract"),
    DOLPHIN: Printed("94.4", "%", "abstract"),
    PHI3: Printed("61.7", "%", "abstract"),
}
LISTENER_SUCCESS = {
    QWEN: Printed("50", "%", "4.4, key findings"),
    DOLPHIN: Printed("83.3", "%", "4.4, key findings"),
    PHI3: Printed("50", "%", "4.4, key findings"),
}
LAYER_SUCCESS = {
    (QWEN, 16): Printed("75", "%", "5.2"),
    (QWEN, 12): Printed("58.3", "%", "5.2"),
}
POSITIVE_ONLY = (DOLPHIN,)
"""Models whose success the abstract and Table 3's footnote give as "pro-empathy steering only"."""
FULL_COHERENCE = {QWEN: (20.0, Printed("100", "%", "4.4, key findings"))}
"""Complete coherence is claimed at plus and minus this alpha."""

BASELINES = {
    QWEN: (Printed("0.2", "", "4.6"), Printed("1.0", "", "4.6")),
    DOLPHIN: (Printed("0.0", "", "4.6"), Printed("0.4", "", "4.6")),
    PHI3: (Printed("0.0", "", "4.6"), Printed("0.4", "", "4.6")),
}
"""Lowest and highest share of empathic answers without steering."""

CORRELATION = {
    PHI3: {
        "r": Printed("0.71", "", "abstract, 4.3"),
        "r_p": Printed("0.010", "", "4.3"),
        "rho": Printed("0.71", "", "4.3"),
        "rho_p": Printed("0.009", "", "4.3"),
    },
    QWEN: {
        "r": Printed("-0.06", "", "abstract, 4.3"),
        "r_p": Printed("0.86", "", "4.3"),
        "accuracy": Printed("41.7", "%", "4.3"),
    },
    DOLPHIN: {
        "r": Printed("0.18", "", "abstract, 4.3"),
        "r_p": Printed("0.58", "", "4.3"),
        "accuracy": Printed("58.3", "%", "4.3"),
    },
}
PROJECTIONS = (Printed("-24", "", "4.3"), Printed("-10", "", "4.3"))
"""Lowest and highest projection of the twelve texts on Phi-3's probe."""

RANDOM = {
    "directions": Printed("100", "", "4.1"),
    "mean": Printed("0.50", "", "4.1"),
    "sd": Printed("0.24", "", "4.1"),
    "percentile_95": Printed("0.857", "", "Figure 2"),
    "z": Printed("2.09", "", "4.1, Figure 2"),
}

PAIR_COUNTS = {
    "pairs": Printed("50", "", "3.1"),
    "train pairs": Printed("35", "", "3.1"),
    "test pairs": Printed("15", "", "3.1"),
    "scenarios": Printed("5", "", "3.1"),
}
LEXICAL = {
    "keywords": Printed("41", "", "4.1, Figure 3"),
    "per_pair": Printed("13.5", "", "4.1, Figure 3"),
    "total": Printed("203", "", "results/lexical_ablation.json"),
    "texts": Printed("15", "", "results/lexical_ablation.json"),
    "auroc": Printed("1.0", "", "4.1"),
}
LEXICAL_LAYER = 12

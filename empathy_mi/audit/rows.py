"""One line of an audit: what is published, what comes out, and whether the two agree."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from empathy_mi.audit.published import Printed

Verdict = Literal["holds", "differs", "not recomputable", "not published"]
VERDICTS: tuple[Verdict, ...] = ("holds", "differs", "not recomputable", "not published")


@dataclass(frozen=True)
class Row:
    """One quantity of the audit.

    Attributes:
        section: the part of the audit.
        quantity: what is measured.
        published: the published number, in the unit of `unit`; None where the paper has none.
        printed: the same as it is printed.
        recomputed: the number from the files, in the unit of `unit`; None where there is none.
        unit: "%" or nothing.
        verdict: "holds" if `recomputed` rounds to the printed number, "differs" if not, "not
            recomputable" if the files lack what it takes, "not published" if there is nothing to
            compare with.
        where: table, figure or section of the published number.
        file: the file it is computed from, inside the checkout.
        why: what explains the number or is absent.
        decimals: decimals shown of the recomputed number.
    """

    section: str
    quantity: str
    published: float | None
    printed: str
    recomputed: float | None
    unit: str
    verdict: Verdict
    where: str
    file: str
    why: str
    decimals: int

    @property
    def shown(self) -> str:
        """The recomputed number as text, with one decimal more than the published one."""
        if self.recomputed is None:
            return ""
        whole = not self.unit and self.decimals == 1 and self.recomputed == int(self.recomputed)
        return f"{self.recomputed:.{0 if whole else self.decimals}f} {self.unit}".strip()

    def to_dict(self) -> dict[str, Any]:
        """All fields but `decimals`, as JSON-able values."""
        values = asdict(self)
        del values["decimals"]
        return values


def row(
    section: str,
    quantity: str,
    printed: Printed | None,
    value: float | None,
    *,
    unit: str = "",
    file: str = "",
    why: str = "",
    decimals: int = 3,
) -> Row:
    """A row with its verdict.

    Args:
        section: the part of the audit.
        quantity: what is measured.
        printed: the published number; None where there is none.
        value: the recomputed number, a share where the unit is "%"; None or NaN where the files
            lack what it takes.
        unit: "%" or nothing; a published number brings its own.
        file: the file the number is computed from.
        why: an explanation.
        decimals: decimals shown where nothing is published.
    """
    if printed is not None:
        unit, decimals = printed.unit, printed.decimals + 1
    elif unit == "%":
        decimals = 1
    if value is not None:
        value = None if np.isnan(value) else float(value) * (100 if unit == "%" else 1)
    verdict: Verdict
    if value is None:
        verdict, why = "not recomputable", why or "the files lack what it takes"
    elif printed is None:
        verdict = "not published"
    else:
        verdict = "holds" if printed.agrees(value) else "differs"
    return Row(
        section=section,
        quantity=quantity,
        published=None if printed is None else printed.value,
        printed="" if printed is None else str(printed),
        recomputed=value,
        unit=unit,
        verdict=verdict,
        where="" if printed is None else printed.where,
        file=file,
        why=why,
        decimals=decimals,
    )


def absent(*files: str) -> str:
    """The reason for a row whose files are not in the checkout."""
    return f"{' and '.join(files)} {'is' if len(files) == 1 else 'are'} not in the folder"


def lacks(file: str, part: str, *, has_file: bool) -> str:
    """The reason for a row whose file is absent, or lacks the part that the row needs."""
    return f"{file} has no {part}" if has_file else absent(file)

"""The rows of one trait, tile by tile: tests, or why there is none, as bytes of its files.

Nothing here touches a file. A piece is made in any thread and any order; whoever writes it
keeps the order of the variants.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import NumericalError
from lmmgwas.io.row_text import VariantText
from lmmgwas.io.sumstats import PackedRows, ResultRows, format_rows, marker_ids
from lmmgwas.model.case_control import CaseControl
from lmmgwas.model.genotypes import KEPT, REASONS, Reason, Variants, VariantStats
from lmmgwas.model.variant_tests import ScanResult

RECORD = np.dtype(
    [
        ("row", "<i8"),  # place among the selected variants
        ("n_observed", "<i8"),
        ("beta", "<f8"),
        ("se", "<f8"),
        ("af", "<f8"),
        ("neg_log10_p", "<f8"),
    ]
)

_EXCLUDED_AT_ONCE = 1 << 16  # variants; bounds the memory that their text takes


@dataclass(frozen=True, slots=True, eq=False)
class TilePiece:
    """What a tile adds to a trait's files, as bytes."""

    rows: PackedRows
    excluded: PackedRows
    records: bytes  # of RECORD, what plots, lambda and leads need later
    reasons: NDArray[np.int64]  # (len(REASONS),) how many are excluded by each
    n_perfect: int


@dataclass(frozen=True, slots=True, eq=False)
class TraitRows:
    """How the rows of a trait are made."""

    name: str
    coding: CaseControl | None  # of a binary trait
    calibrated: bool = False  # rows say how they were computed

    @property
    def case_fraction(self) -> float | None:
        """The share of cases of a binary trait."""
        return None if self.coding is None else self.coding.case_fraction

    def prepare(
        self,
        text: VariantText,
        first_row: int,
        variants: Variants,
        stats: VariantStats,
        reasons: NDArray[np.int8],
        result: ScanResult,
        exact: NDArray[np.bool_] | None = None,
    ) -> TilePiece:
        """Return the tests of b variants, or why there is none, as bytes. Arrays are (b,).

        `text` is that of the variants, `first_row` the place of the first among the selected
        ones. `exact` is given in a calibrated scan, and only there.

        Raises NumericalError (E901) for a row that cannot be right.
        """
        b = len(variants)
        reasons = np.where(
            (reasons == KEPT) & np.isnan(result.beta[:b]),
            np.int8(REASONS.index(Reason.COLLINEAR)),
            reasons,
        )
        tested = np.flatnonzero(reasons == KEPT)
        rows = ResultRows(
            variants.take(tested),
            result.beta[tested],
            result.se[tested],
            stats.af[tested],
            stats.n_observed[tested],
            result.neg_log10_p[tested],
            self.case_fraction,
            None if exact is None else exact[tested],
        )
        self._refuse_impossible(rows)
        return TilePiece(
            PackedRows.of(format_rows(text, tested, rows), rows.variants),
            PackedRows.excluded(text, reasons),
            _records(rows, first_row + tested),
            _count(reasons),
            int(result.perfect_fit[tested].sum()),
        )

    def _refuse_impossible(self, rows: ResultRows) -> None:
        """A row that cannot be right ends the run before it is written."""
        sound = (
            np.isfinite(rows.beta)
            & (rows.se > 0.0)
            & np.isfinite(rows.se)
            & (rows.neg_log10_p >= 0.0)
            & np.isfinite(rows.neg_log10_p)
            & (rows.af >= 0.0)
            & (rows.af <= 1.0)
        )
        if not sound.all():
            first = int(np.flatnonzero(~sound)[0])
            marker = marker_ids(rows.variants.take([first]))[0]
            raise NumericalError(
                "E901",
                f"trait {self.name}, variant {marker}: beta {rows.beta[first]:g}, standard error "
                f"{rows.se[first]:g}, -log10 p {rows.neg_log10_p[first]:g} cannot be right; "
                "please report this with the log",
            )


def untested_pieces(variants: Variants, reason: Reason) -> Iterator[TilePiece]:
    """Yield pieces that put all of these variants into the excluded table."""
    for start in range(0, len(variants), _EXCLUDED_AT_ONCE):
        some = variants.take(slice(start, start + _EXCLUDED_AT_ONCE))
        reasons = np.full(len(some), REASONS.index(reason), dtype=np.int8)
        packed = PackedRows.excluded(VariantText.of(some), reasons)
        yield TilePiece(PackedRows((), 0), packed, b"", _count(reasons), 0)


def _count(reasons: NDArray[np.int8]) -> NDArray[np.int64]:
    """How many variants there are of each reason."""
    return np.bincount(reasons[reasons != KEPT], minlength=len(REASONS)).astype(np.int64)


def _records(rows: ResultRows, places: NDArray[np.int64]) -> bytes:
    """What is spooled of rows at these places among the selected variants."""
    records = np.empty(len(rows.variants), dtype=RECORD)
    records["row"] = places
    for name in ("n_observed", "beta", "se", "af", "neg_log10_p"):
        records[name] = getattr(rows, name)
    return records.tobytes()

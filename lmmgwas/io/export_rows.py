"""The rows of other tools' tables, made of ours a block at a time.

What our table says in text stays that text, digit by digit; only what it does not hold is
computed: z, chi-square, and the effect of an alternative allele that is our other allele.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmgwas.errors import MismatchError
from lmmgwas.io.export_values import (
    SMALLEST_P,
    Chromosomes,
    TargetFormat,
    Value,
)
from lmmgwas.io.read_results import ResultBlock
from lmmgwas.io.read_sumstats import as_written
from lmmgwas.io.row_text import Lines
from lmmgwas.io.table_cells import Array, Indices, matches
from lmmgwas.model.chromosomes import SPECIES_AUTOSOMES, Karyotype

LARGEST_NEG_LOG10_P = 307.65265
"""-log10 of SMALLEST_P."""

_BASES = r"^[ACGTNacgtn]+$"
_UNSAFE = r"[:;,=%]"
_OURS_IN_HUMANS = {"23": "X", "24": "Y", "25": "MT"}
_PLINK_OFFSET = {"X": 1, "Y": 2, "XY": 3, "MT": 4}
_LETTERS = ("X", "Y", "XY", "MT")


@dataclass(frozen=True, slots=True, eq=False)
class TargetRows:
    """Rows of the target that a block of ours became, and what happened on the way."""

    lines: Lines
    chrom: NDArray[np.int32]  # (k,) index into the labels of the block
    pos: Indices  # (k,)
    reach: Indices  # (k,) the last base that the reference allele covers
    left_out: dict[str, int]  # rows by what they lack
    n_small: int  # p-values that were raised to SMALLEST_P
    n_provisional: int  # rows without a reference allele


def chromosome_names(
    labels: tuple[str, ...], style: Chromosomes, karyotype: Karyotype
) -> list[str]:
    """Return the names of chromosomes in another tool's spelling.

    Raises MismatchError: E210 for a number beyond the human ones where the species was not
    stated, E444 for a letter that has no number then.
    """
    if style is Chromosomes.OURS:
        return list(labels)
    return [_chromosome_name(label, style, karyotype) for label in labels]


def _chromosome_name(label: str, style: Chromosomes, karyotype: Karyotype) -> str:
    human = karyotype.is_human
    if human and label.isascii() and label.isdigit() and int(label) > 25 and not karyotype.stated:
        raise MismatchError(
            "E210",
            f"chromosome {label} is beyond 25, the last of human data in our tables, so 23 to 25 "
            "may be no X, Y and MT: say which species it is with --species or --autosomes N",
        )
    role = _OURS_IN_HUMANS.get(label, label) if human else label
    if role not in _LETTERS or style is Chromosomes.LETTERS:
        return role
    if role == label and not karyotype.stated:
        raise MismatchError(
            "E444",
            f"chromosome {label} is named by its letter, as in tables of other species than human, "
            "and the target wants its number: say which species it is with --species or "
            f"--autosomes N (human: --species human, {SPECIES_AUTOSOMES['human']} autosomes)",
        )
    return str(karyotype.n_autosomes + _PLINK_OFFSET[role])


def target_rows(block: ResultBlock, target: TargetFormat, karyotype: Karyotype) -> TargetRows:
    """Return the rows of a block in another format, and what was left out or changed."""
    cells = _Cells(block, target, karyotype)
    kept, left_out = _complete(cells)
    parts: list[Any] = []
    for k, column in enumerate(target.columns):
        if k:
            parts.append(column.before or target.separator)
        parts.append(cells.text(column.value))
    rows = pc.binary_join_element_wise(*parts, "\n", "")
    at = np.flatnonzero(kept)
    if at.size < len(block):
        rows = rows.filter(pa.array(kept))
    uses_double = any(column.value is Value.P_DOUBLE for column in target.columns)
    small = kept & (block.neg_log10_p > LARGEST_NEG_LOG10_P)
    lengths = np.asarray(pc.binary_length(cells.array(Value.REF)), dtype=np.int64)
    unknown = np.asarray(pc.is_null(block.texts["ref_allele"]))
    return TargetRows(
        lines=_lines(rows),
        chrom=block.chrom[at],
        pos=block.pos[at],
        reach=(block.pos + lengths - 1)[at],
        left_out=left_out,
        n_small=int(small.sum()) if uses_double else 0,
        n_provisional=int((unknown & kept).sum()),
    )


def _lines(rows: Any) -> Lines:
    """Return the bytes of a string array, which end in line feeds, and where each begins."""
    if not len(rows):
        return Lines(b"", np.empty(0, dtype=np.int64))
    _, offsets, data = rows.buffers()
    at = np.frombuffer(offsets, dtype=np.int32)[rows.offset : rows.offset + len(rows) + 1]
    text = memoryview(data)[int(at[0]) : int(at[-1])].tobytes()
    return Lines(text, (at[:-1] - at[0]).astype(np.int64))


def _complete(cells: "_Cells") -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return which rows (m,) have what the target needs, and how many lack what first."""
    kept = np.ones(len(cells.block), dtype=np.bool_)
    left_out: dict[str, int] = {}
    reasons = [(_NAMES[value], cells.lacks(value)) for value in cells.target.needs]
    if cells.target.needs_bases:
        reasons.append(("alleles of A, C, G, T and N", cells.odd_alleles()))
    for name, lacking in reasons:
        new = kept & lacking
        if new.any():
            left_out[name] = int(new.sum())
            kept &= ~lacking
    return kept, left_out


_NAMES = {
    Value.CHROMOSOME: "a chromosome",
    Value.POSITION: "a position",
    Value.MARKER: "an ID",
    Value.FREQUENCY: "an effect-allele frequency",
    Value.BETA: "an effect",
    Value.SE: "a standard error above 0",
    Value.P: "a p-value",
    Value.N: "n",
    Value.Z: "an effect and a standard error above 0",
}


class _Cells:
    """The columns that a target may have, each made when it is asked for."""

    def __init__(self, block: ResultBlock, target: TargetFormat, karyotype: Karyotype) -> None:
        self.block = block
        self.target = target
        self._karyotype = karyotype
        self._turned = pc.fill_null(pc.equal(block.texts["ref_allele"], "EA"), False)
        with np.errstate(divide="ignore", invalid="ignore"):
            self._z = block.beta / block.se

    def text(self, value: Value | str) -> Any:
        """Return a column as text without nulls, or the constant."""
        if isinstance(value, str):
            return value
        column = self.array(value)
        return pc.fill_null(column, self.target.missing) if column.null_count else column

    def array(self, value: Value) -> Any:
        """Return a column (m,) as a pyarrow string array; null where there is no value."""
        if value in _PLAIN:
            return self.block.texts[_PLAIN[value]]
        return _MADE[value](self)

    def lacks(self, value: Value) -> NDArray[np.bool_]:
        """Return the rows (m,) without a value."""
        lacking: NDArray[np.bool_]
        if value is Value.POSITION:
            lacking = self.block.pos == 0
        elif value is Value.CHROMOSOME:
            lacking = np.asarray(pc.equal(self.block.texts["chromosome"], "0"))
        elif value is Value.SE:
            lacking = ~(self.block.se > 0.0)
        else:
            lacking = np.asarray(self.array(value).is_null())
        return lacking

    def odd_alleles(self) -> NDArray[np.bool_]:
        """Return the rows (m,) with an allele that is no sequence of bases, or the same twice."""
        effect, other = (self.block.texts[name] for name in ("effect_allele", "other_allele"))
        good = pc.and_(matches(effect, _BASES), matches(other, _BASES))
        sound: NDArray[np.bool_] = np.asarray(pc.and_(good, pc.not_equal(effect, other)))
        return ~sound

    def chromosome(self) -> Any:
        names = chromosome_names(self.block.labels, self.target.chromosomes, self._karyotype)
        codes = pa.array(self.block.chrom)
        return pa.DictionaryArray.from_arrays(codes, pa.array(names)).dictionary_decode()

    def reference(self) -> Any:
        return pc.if_else(self._turned, *self._alleles())

    def alternative(self) -> Any:
        effect, other = self._alleles()
        return pc.if_else(self._turned, other, effect)

    def _alleles(self) -> tuple[Any, Any]:
        return self.block.texts["effect_allele"], self.block.texts["other_allele"]

    def alternative_beta(self) -> Any:
        """Turn the sign in the text, so that no digit changes."""
        beta = self.block.texts["beta"]
        if not pc.any(self._turned).as_py():
            return beta
        minus = pc.starts_with(beta, "-")
        bare = pc.replace_substring_regex(beta, r"^[+-]", "")
        opposite = pc.if_else(
            pc.or_(minus, pa.array(self.block.beta == 0.0)),
            bare,
            pc.binary_join_element_wise("-", bare, ""),
        )
        return pc.if_else(self._turned, opposite, beta)

    def alternative_frequency(self) -> Any:
        frequency = self.block.texts["effect_allele_frequency"]
        if not pc.any(self._turned).as_py():
            return frequency
        return pc.if_else(self._turned, number_text(1.0 - self.block.frequency), frequency)

    def p_double(self) -> Any:
        small = pa.array(self.block.neg_log10_p > LARGEST_NEG_LOG10_P)
        return pc.if_else(small, SMALLEST_P, self.block.texts["p_value"])

    def z(self) -> Any:
        return number_text(self._z)

    def chi_square(self) -> Any:
        return number_text(self._z * self._z)

    def provisional(self) -> Any:
        unknown = pc.is_null(self.block.texts["ref_allele"])
        return pc.if_else(unknown, "Y", "N")

    def rsid_info(self) -> Any:
        return pc.binary_join_element_wise("RSID", self.block.texts["rsid"], "=")

    def safe_marker(self) -> Any:
        return pc.replace_substring_regex(self.block.texts["marker_id"], _UNSAFE, "_")


_PLAIN = {
    Value.POSITION: "base_pair_location",
    Value.MARKER: "marker_id",
    Value.EFFECT_ALLELE: "effect_allele",
    Value.OTHER_ALLELE: "other_allele",
    Value.BETA: "beta",
    Value.SE: "standard_error",
    Value.FREQUENCY: "effect_allele_frequency",
    Value.N: "n",
    Value.P: "p_value",
    Value.NEG_LOG10_P: "neg_log_10_p_value",
}
_MADE: dict[Value, Callable[[_Cells], Any]] = {
    Value.CHROMOSOME: _Cells.chromosome,
    Value.REF: _Cells.reference,
    Value.ALT: _Cells.alternative,
    Value.ALT_BETA: _Cells.alternative_beta,
    Value.ALT_FREQUENCY: _Cells.alternative_frequency,
    Value.P_DOUBLE: _Cells.p_double,
    Value.Z: _Cells.z,
    Value.CHI_SQUARE: _Cells.chi_square,
    Value.PROVISIONAL_REF: _Cells.provisional,
    Value.RSID_INFO: _Cells.rsid_info,
    Value.SAFE_MARKER: _Cells.safe_marker,
}


def number_text(values: Array) -> Any:
    """Return numbers (m,) with 8 significant digits as a pyarrow string array, null where not
    finite."""
    finite = np.isfinite(values)
    magnitude = as_written(np.abs(np.where(finite, values, 0.0)))
    rounded = np.where(values < 0.0, -magnitude, magnitude)
    return pc.cast(pa.array(rounded, mask=~finite), pa.string())

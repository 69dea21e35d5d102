"""Reading tables of summary statistics, ours and the peers', strictly and lean.

Columns are found by their names. A file is read in blocks of lines, a column at a time; of five
million rows some 30 bytes each stay in memory. What a row holds besides is read on demand.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError, FormatError
from lmmgwas.io.blocks import TextBlocks
from lmmgwas.io.table_cells import (
    Array,
    CellProblems,
    Indices,
    chromosome_codes,
    counts,
    given_neg_log10_p,
    neg_log10_of_p,
    numbers_within,
    positions,
    refuse,
    split_columns,
)
from lmmgwas.io.table_layouts import (
    CHROMOSOME,
    COUNT,
    FREQUENCY,
    NEG_LOG10_P,
    P_VALUE,
    POSITION,
    FoundLayout,
    find_layout,
)
from lmmgwas.io.text import Remarks, file_identity, one_tab

_PEERS_MISSING = ("nan", "-nan", "NaN", "-NaN", "NAN", ".", "")
_POWERS = np.array([float(f"1e{k}") for k in range(23)])  # a double holds these exactly
_TRAIT = re.compile(r'^trait_description:\n  - (".*")$', re.MULTILINE)
_SAMPLE_SIZE = re.compile(r"^  - sample_size: ([0-9]{1,15})$", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class SummaryTable:
    """What a plot needs of a table; rows in file order, those without a p-value left out."""

    path: str
    layout: FoundLayout
    labels: tuple[str, ...]  # chromosomes as written, in order of appearance
    chrom: NDArray[np.int32]  # (m,) index into labels
    pos: Indices  # (m,) base pairs, 0 where unknown
    neg_log10_p: Array  # (m,)
    frequency: Array | None  # (m,) of the effect allele, NaN where unknown; None without a column
    line: Indices  # (m,) of the file, the header being line 1
    n_samples: int  # the largest n, 0 where the table does not give it
    n_skipped: int  # rows without a p-value
    n_other: int  # rows of another test than the variant's
    identity: tuple[int, ...]
    remarks: Remarks

    def __len__(self) -> int:
        return self.pos.size

    @property
    def header(self) -> tuple[str, ...]:
        """The columns that `read_rows` returns, by our names."""
        return tuple(self.layout.shown_columns())


@dataclass(frozen=True, slots=True)
class SidecarFacts:
    """What the metadata beside a table say of it."""

    trait: str
    n_samples: int


@dataclass(slots=True, eq=False)
class _Parts:
    """Columns as they come in, block by block."""

    label_code: dict[str, int] = field(default_factory=dict)
    chrom: list[NDArray[np.int32]] = field(default_factory=list)
    pos: list[Indices] = field(default_factory=list)
    neg_log10_p: list[Array] = field(default_factory=list)
    frequency: list[Array] = field(default_factory=list)
    line: list[Indices] = field(default_factory=list)
    n_samples: int = 0
    n_skipped: int = 0
    n_other: int = 0


def as_written(values: Array) -> Array:
    """Return what `%.8g` leaves of numbers that are not negative: what a reader of a table gets.

    An integer below 1e8 over a power of ten up to 1e22 is rounded once, as the text is when it
    is read; where rounding to 8 digits is close to a tie, and outside that range, text decides.
    """
    safe = np.where((values >= 1e-14) & (values < 1e7), values, 1.0)
    power = _POWERS[7 - np.floor(np.log10(safe)).astype(np.int64)]
    scaled = safe * power
    result: Array = np.rint(scaled) / power
    tie = np.abs(scaled - np.floor(scaled) - 0.5) < 1e-6
    for k in np.flatnonzero(tie | (safe != values)).tolist():
        result[k] = float(f"{values[k]:.8g}")
    return result


def read_sumstats(path: str | Path) -> SummaryTable:
    """Read chromosome, position and p of every row, and the largest n where it is there.

    -log10 p is taken from its own column when there is one, otherwise from the text of p, which
    may be below the smallest double.

    Raises
    ------
    FileAccessError
        E110: the file cannot be read, or is no regular file.
    FormatError
        E601 (gzip), E206 (encoding), E207 (line too long), E420 (missing column), E421 (column
        named twice), E422 (field count), E423 (p), E424 (p = 0), E425 (chromosome), E426
        (position), E427 (n), E428 (no row with a p-value), E441 (frequency).
    """
    identity = file_identity(Path(path))
    text = TextBlocks(path)
    layout: FoundLayout | None = None
    parts = _Parts()
    for first_line, block in text:
        body, line = block, first_line
        if layout is None:
            head, _, body = block.partition(b"\n")
            layout, line = find_layout(head.decode(), text.path), first_line + 1
        if body:
            _add_block(parts, body, line, layout, text.path)
    if layout is None or not any(part.size for part in parts.pos):
        raise _nothing(parts, text.path, has_header=layout is not None)
    if layout.is_ours and parts.n_samples < 1:
        message = "column 'n' holds no number of samples (1 or more): fill it in"
        raise FormatError("E427", message, f"{text.path}:2:{layout.names.index(COUNT) + 1}")
    return SummaryTable(
        path=text.path,
        layout=layout,
        labels=tuple(parts.label_code),
        chrom=_joined(parts.chrom),
        pos=_joined(parts.pos),
        neg_log10_p=_joined(parts.neg_log10_p),
        frequency=_joined(parts.frequency) if FREQUENCY in layout.columns else None,
        line=_joined(parts.line),
        n_samples=parts.n_samples,
        n_skipped=parts.n_skipped,
        n_other=parts.n_other,
        identity=identity,
        remarks=Remarks(tuple(text.notes)),
    )


def _nothing(parts: _Parts, path: str, *, has_header: bool) -> FormatError:
    """Return the error of a table without a p-value."""
    rows = f"{parts.n_skipped:,} rows, all without a p-value" if parts.n_skipped else "no row"
    what = f"{rows} of the test ADD" if parts.n_other else rows
    found = (
        f"the table holds {what}: there is nothing to draw; give a table of `lmmgwas assoc`, "
        "PREFIX.TRAIT.tsv.gz or PREFIX.TRAIT.leads.tsv, or a peer's"
    )
    return FormatError("E428", found, f"{path}:{2 if has_header else 1}:1")


def read_rows(table: SummaryTable, rows: Indices) -> list[list[str]]:
    """Return the fields of `table.header` of some rows, as text and in the order of `rows`."""
    lines = table.line[rows]
    wanted = np.sort(lines)
    fields = list(table.layout.shown_columns().values())
    delimiter = None if table.layout.delimiter == " " else table.layout.delimiter
    found: dict[int, list[str]] = {}
    for first_line, block in TextBlocks(table.path):
        after = first_line + block.count(b"\n") + 1
        here = wanted[np.searchsorted(wanted, first_line) : np.searchsorted(wanted, after)]
        if here.size:
            texts = block.split(b"\n")
            for k in here.tolist():
                cells = texts[k - first_line].decode().split(delimiter)
                found[k] = [cells[i] for i in fields]
        if not wanted.size or after > wanted[-1]:
            break
    if file_identity(Path(table.path)) != table.identity:
        raise FileAccessError("E110", "the file changed while it was read: try again", table.path)
    return [found[line] for line in lines.tolist()]


def read_sidecar(path: Path) -> SidecarFacts | None:
    """Return trait and sample size of a metadata file that `assoc` wrote; None without one."""
    try:
        text = path.read_text(encoding="utf-8")
        trait, size = _TRAIT.search(text), _SAMPLE_SIZE.search(text)
        if trait is not None and size is not None:
            return SidecarFacts(str(json.loads(trait[1])), int(size[1]))
    except (OSError, ValueError):
        pass
    return None


def _add_block(parts: _Parts, block: bytes, line: int, layout: FoundLayout, path: str) -> None:
    """Parse the needed columns of a block of rows."""
    place = layout.columns
    names = [place[CHROMOSOME], place[POSITION], place[layout.p_name]]
    names += [place[name] for name in (COUNT, FREQUENCY) if name in place]
    names += [layout.only[0]] if layout.only else []
    columns = _cells(block, line, layout, names, path)
    problems: CellProblems = []
    chrom = chromosome_codes(columns[names[0]], names[0], parts.label_code, problems)
    pos = positions(columns[names[1]], names[1], problems)
    read_p = _P_READERS[layout.p_name]
    neg_log10_p = read_p(columns[names[2]], names[2], problems)
    n = counts(columns[place[COUNT]], place[COUNT], problems) if COUNT in place else None
    if FREQUENCY in place:
        name = place[FREQUENCY]
        frequency = numbers_within(columns[name], name, 0.0, 1.0, problems)
    refuse(problems, layout.names, line, path)
    kept = ~np.isnan(neg_log10_p)
    parts.n_samples = max(parts.n_samples, (pc.max(n).as_py() or 0) if n is not None else 0)
    if layout.only:
        of_variant = np.asarray(pc.equal(columns[layout.only[0]], layout.only[1]))
        parts.n_other += int((~of_variant).sum())
        parts.n_skipped += int((~kept & of_variant).sum())
        kept &= of_variant
    else:
        parts.n_skipped += int((~kept).sum())
    parts.chrom.append(chrom[kept])
    parts.pos.append(pos[kept])
    parts.neg_log10_p.append(neg_log10_p[kept])
    parts.line.append(np.flatnonzero(kept) + line)
    if FREQUENCY in place:
        parts.frequency.append(frequency[kept])


def _cells(
    block: bytes, line: int, layout: FoundLayout, names: list[str], path: str
) -> dict[str, Any]:
    """Return columns as text; a peer's ways of writing them turned into ours.

    Peers write missing values in many ways, unknown positions as negative numbers, and
    FaST-LMM writes chromosome, position and count as 1.0.
    """
    delimiter = layout.delimiter
    if delimiter == " ":
        block, delimiter = one_tab(block), "\t"
    columns = split_columns(
        block, line, layout.names, names, path, labels=names[0], delimiter=delimiter
    )
    if layout.is_ours:
        return columns
    labels = columns[names[0]]
    shorter = pc.replace_substring_regex(labels.dictionary, r"^([0-9]+)\.0+$", r"\1")
    shorter = pc.replace_substring_regex(shorter, r"^(?:(?i:chr)(.+)|-9)$", r"\1")
    shorter = pc.if_else(pc.equal(labels.dictionary, "-9"), "0", shorter)
    columns[names[0]] = pa.DictionaryArray.from_arrays(labels.indices, shorter)
    for name in names[1:]:
        gone = pc.is_in(columns[name], pa.array(_PEERS_MISSING))
        columns[name] = pc.if_else(gone, "NA", columns[name])
    whole = pc.replace_substring_regex(columns[names[1]], r"^([0-9]+)\.0+$", r"\1")
    columns[names[1]] = pc.replace_substring_regex(whole, r"^(?:-[0-9]+(?:\.0+)?|NA)$", "0")
    return columns


_P_READERS = {NEG_LOG10_P: given_neg_log10_p, P_VALUE: neg_log10_of_p}


def _joined(blocks: list[Any]) -> Any:
    """Return one array; the blocks go, so that both are in memory for one column only."""
    whole = np.concatenate(blocks)
    blocks.clear()
    return whole

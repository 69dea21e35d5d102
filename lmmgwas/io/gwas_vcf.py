"""Our table as GWAS-VCF 1.2: BGZF with an index, one sample column for the trait.

Specification: https://github.com/MRCIEU/gwas-vcf-specification. REF is the reference allele
where the table gives it; otherwise it is the other allele, and the header says that no genome
was asked.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FormatError
from lmmgwas.io.bgzf import END, compress_blocks, virtual_offsets
from lmmgwas.io.export import ExportFacts, Write, opened
from lmmgwas.io.export_formats import GWAS_VCF
from lmmgwas.io.export_rows import TargetRows, chromosome_names, target_rows
from lmmgwas.io.read_results import Places, ResultTable
from lmmgwas.io.tabix import VCF, Reaching, TabixIndex, Windows
from lmmgwas.model.chromosomes import Karyotype

_FIELDS = (
    ("INFO", "RSID", "1", "String", "dbSNP identifier"),
    ("FORMAT", "NS", "A", "Float", "Number of samples with called genotypes"),
    ("FORMAT", "ES", "A", "Float", "Effect size estimate relative to the alternative allele"),
    ("FORMAT", "SE", "A", "Float", "Standard error of effect size estimate"),
    ("FORMAT", "LP", "A", "Float", "-log10 p-value for effect estimate"),
    ("FORMAT", "AF", "A", "Float", "Alternative allele frequency in trait subset"),
    ("FORMAT", "SS", "A", "Float", "Sample size used to estimate genetic effect"),
    ("FORMAT", "ID", "1", "String", "Study variant identifier"),
)
_REFERENCE_UNKNOWN = (
    '##lmmgwas_reference="where the table gives no reference allele, REF is the other allele of '
    'the table and ALT the effect allele; no reference genome was asked"'
)


@dataclass(frozen=True, slots=True)
class VcfStudy:
    """What the file says of its study before the first row."""

    trait: str
    n_samples: int | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What must be known of a table before its first row is written."""

    labels: tuple[str, ...]  # chromosomes, in the order of the table
    largest_position: int


def survey(table: Path) -> Survey:
    """Read a table once; raises FormatError (E443) where its rows are not in order."""
    source, largest = ResultTable(table), 0
    labels: tuple[str, ...] = ()
    chrom, pos = np.int32(-1), np.int64(0)
    for block in source.places():
        labels = block.labels
        chroms, places = np.append(chrom, block.chrom), np.append(pos, block.pos)
        _require_order(block, chroms, places, source)
        chrom, pos = chroms[-1], places[-1]
        largest = max(largest, int(block.pos.max()))
    return Survey(labels, largest)


def _require_order(
    block: Places, chrom: NDArray[np.int32], pos: NDArray[np.int64], source: ResultTable
) -> None:
    """Labels are numbered as they appear, so a table in order has them ascending."""
    back = (chrom[1:] < chrom[:-1]) | ((chrom[1:] == chrom[:-1]) & (pos[1:] < pos[:-1]))
    if not back.any():
        return
    row = int(np.flatnonzero(back)[0])
    line, field = block.first_line + row, source.header.index("base_pair_location") + 1
    raise FormatError(
        "E443",
        f"chromosome {block.labels[chrom[row + 1]]}, position {pos[row + 1]:,} comes after "
        f"chromosome {block.labels[chrom[row]]}, position {pos[row]:,}: an indexed file needs "
        "rows in order of chromosome and position, as `lmmgwas assoc` writes them; sort the table",
        f"{source.path}:{line}:{field}",
    )


def _require_different(labels: tuple[str, ...], names: list[str], path: str) -> None:
    """Two labels of one chromosome would lie apart in the file, where no index finds both."""
    for k, name in enumerate(names):
        if name in names[:k]:
            one, other = labels[names.index(name)], labels[k]
            raise FormatError(
                "E443",
                f"the chromosomes {one} and {other} are both {name} there: write them alike, and "
                "sort the table",
                path,
            )


def export_vcf(
    table: Path,
    out: Path,
    index: Path,
    found: Survey,
    study: VcfStudy,
    karyotype: Karyotype,
) -> ExportFacts:
    """Write a surveyed table and its index (.tbi or .csi); return what became of it.

    Raises what `export_table` does.
    """
    names = chromosome_names(found.labels, GWAS_VCF.chromosomes, karyotype)
    _require_different(found.labels, names, str(table))
    facts, source = ExportFacts(), ResultTable(table)
    with opened(out) as write:
        file = _IndexedFile(write)
        file.append(_header(names, study).encode())
        for block in source:
            rows = target_rows(block, GWAS_VCF, karyotype)
            facts.add(rows)
            file.add(rows)
        write(END)
    with opened(index) as write:
        write(file.index(names, csi=index.suffix == ".csi"))
    facts.notes = source.notes
    return facts


class _IndexedFile:
    """Pieces of a BGZF file, and where its rows lie."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._index = TabixIndex()
        self._size = 0

    def append(self, data: bytes) -> tuple[bytes, ...]:
        """Write a piece; return its blocks."""
        blocks = compress_blocks(data)
        self._write(b"".join(blocks))
        self._size += sum(map(len, blocks))
        return blocks

    def add(self, rows: TargetRows) -> None:
        """Write rows and note their places."""
        first, starts = self._size, rows.lines.starts
        blocks = self.append(rows.lines.data)
        windows = Windows.of(rows.chrom, rows.pos, starts)
        self._index.add(windows, virtual_offsets(blocks, first, windows.start))
        far = Reaching.of(rows.chrom, rows.pos, rows.reach, starts, len(rows.lines.data))
        places = [virtual_offsets(blocks, first, at) for at in (far.start, far.end)]
        self._index.add_reaching(far, *places)

    def index(self, names: list[str], *, csi: bool) -> bytes:
        """Return the bytes of the index."""
        return self._index.packed(names, self._size << 16, csi=csi, layout=VCF)


def _header(names: list[str], study: VcfStudy) -> str:
    """Return all lines above the first row."""
    sample = re.sub(r"[^A-Za-z0-9_.-]", "_", study.trait) or "trait"
    total = "" if study.n_samples is None else f",TotalSamples={study.n_samples}"
    quoted = json.dumps(study.trait, ensure_ascii=False)
    lines = [
        "##fileformat=VCFv4.2",
        "##gwasformat=GWAS-VCFv1.2",
        "##source=lmmgwas",
        _REFERENCE_UNKNOWN,
        *(f"##contig=<ID={name}>" for name in dict.fromkeys(names)),
        '##FILTER=<ID=PASS,Description="All filters passed">',
        *(
            f'##{kind}=<ID={key},Number={number},Type={of},Description="{what}">'
            for kind, key, number, of, what in _FIELDS
        ),
        f"##trait=<ID={sample},Description={quoted}{total}>",
    ]
    fixed = [column.name for column in GWAS_VCF.columns[:9]]
    return "\n".join([*lines, "\t".join([*fixed, sample])]) + "\n"

"""One line of a BED, GFF3 or GTF file: what it says of a gene, or which column is wrong."""

import re
from enum import StrEnum
from typing import NamedTuple

from lmmgwas.io.bim_text import MAX_POSITION
from lmmgwas.io.text import shown


class GeneFormat(StrEnum):
    """What a file of genes may be."""

    BED = "BED"
    GFF3 = "GFF3"
    GTF = "GTF"


class GeneRow(NamedTuple):
    """A row: base pairs from 1, both ends included."""

    label: str
    start: int
    end: int
    name: str
    strand: str
    is_gene: bool  # or a part of the gene `gene_id` (GTF)
    gene_id: str


class BadFieldError(ValueError):
    """A column that is wrong: from 1, with a code and a sentence."""

    def __init__(self, column: int, code: str, message: str) -> None:
        self.column, self.code, self.message = column, code, message
        super().__init__(message)


_GFF_COLUMNS = 9
_BED_COLUMNS = range(3, 13)
_STRANDS = ("+", "-", ".", "?")
_GFF3_NAMES = ("Name", "gene_name", "gene", "locus_tag", "ID")
_GTF_PAIR = re.compile(r'\s*[A-Za-z_][\w.-]*\s+(?:"[^"]*"|[^\s";=]+)\s*(?:;|$)')
_GTF_VALUES = {
    key: re.compile(rf'(?:^|;)\s*{key}\s+(?:"([^"]*)"|([^\s";]+))')
    for key in ("gene_id", "gene_name", "gene")
}
_ID_PREFIX = re.compile(r"^gene[:-]")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_EXPECTED = (
    "give genes as BED (chromosome, start, end, name, with tabs), GFF3 or GTF; lines that are no "
    "data begin with #"
)


def recognise(line: str) -> GeneFormat:
    """Return the format of a file whose first line of data is `line`.

    Raises BadFieldError (E470).
    """
    fields = _split(line, "\t" in line)
    if len(fields) >= 3 and _is_whole(fields[1]) and _is_whole(fields[2]):
        return GeneFormat.BED
    if len(fields) == _GFF_COLUMNS and _is_whole(fields[3]) and _is_whole(fields[4]):
        return GeneFormat.GTF if _GTF_PAIR.match(fields[8]) else GeneFormat.GFF3
    message = (
        f"{shown(line)} is no line of a BED, GFF3 or GTF file: neither columns 2 and 3 nor, of "
        f"{_GFF_COLUMNS} columns, 4 and 5 are positions; {_EXPECTED}"
    )
    raise BadFieldError(1, "E470", message)


class LineParser:
    """Reads the lines of one file; `first` is its first line of data.

    `parts_named` asks for the names of genes of which a GTF has parts only.
    """

    def __init__(self, kind: GeneFormat, first: str, *, parts_named: bool = False) -> None:
        self.format = kind
        self._parts_named = parts_named
        self._tabs = "\t" in first
        self._n_columns = len(_split(first, self._tabs))
        if kind is GeneFormat.BED and self._n_columns not in _BED_COLUMNS:
            message = f"{self._n_columns} columns, where BED has 3 to 12; {_EXPECTED}"
            raise BadFieldError(_BED_COLUMNS[-1], "E471", message)

    def parse(self, line: str) -> GeneRow | None:
        """Return the row of a line, or None where it says nothing of a gene.

        Raises BadFieldError: E471 (number of columns), E472 (start, end), E473 (strand), E474
        (attributes).
        """
        fields = _split(line, self._tabs)
        if len(fields) != self._n_columns:
            message = (
                f"{len(fields)} columns, where the first line of data has {self._n_columns}: mend "
                "the line"
            )
            raise BadFieldError(min(len(fields), self._n_columns), "E471", message)
        if self.format is GeneFormat.BED:
            return _bed_row(fields)
        if self.format is GeneFormat.GTF:
            return _gtf_row(fields, named=self._parts_named)
        return _gff3_row(fields)


def _split(line: str, tabs: bool) -> list[str]:
    return line.split("\t") if tabs else line.split()


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _bed_row(fields: list[str]) -> GeneRow:
    start, end = _span(fields[1], fields[2], 2, least=0)
    strand = _strand(fields[5], 6) if len(fields) > 5 else "."
    name = fields[3] if len(fields) > 3 and fields[3] != "." else ""
    label = _label(fields[0])
    # An empty interval lies between two bases; it is shown on the one before.
    return GeneRow(label, max(1, min(start + 1, end)), max(1, end), name, strand, True, "")


def _gtf_row(fields: list[str], *, named: bool) -> GeneRow:
    """A row of a GTF: of a gene, or of a part of it, whose name takes time to find."""
    label = _label(fields[0])
    start, end = _span(fields[3], fields[4], 4, least=1)
    strand = _strand(fields[6], 7)
    gene_id = _gtf_value("gene_id", fields[8])
    if gene_id is None:
        message = (
            f'{shown(fields[8])} holds no gene_id "...", which every row of a GTF has: it is not '
            "known what it is a part of"
        )
        raise BadFieldError(9, "E474", message)
    is_gene = fields[2] == "gene"
    name = ""
    if is_gene or named:
        attributes = fields[8]
        name = _gtf_value("gene_name", attributes) or _gtf_value("gene", attributes) or gene_id
    return GeneRow(label, start, end, name, strand, is_gene, gene_id)


def _gtf_value(key: str, attributes: str) -> str | None:
    """The value of a key, None where it is not there."""
    found = _GTF_VALUES[key].search(attributes)
    return None if found is None else found[1] or found[2] or ""


def _gff3_row(fields: list[str]) -> GeneRow | None:
    """A row of a GFF3 that is a gene; parts of genes are checked and left out."""
    label = _label(fields[0])
    start, end = _span(fields[3], fields[4], 4, least=1)
    strand = _strand(fields[6], 7)
    kind = fields[2]
    if not (kind in ("gene", "pseudogene") or kind.endswith("_gene")):
        return None
    return GeneRow(label, start, end, _gff3_name(fields[8]), strand, True, "")


def _gff3_name(attributes: str) -> str:
    """The name of a gene: the first that is there of Name, gene_name, gene, locus_tag and ID."""
    values: dict[str, str] = {}
    for part in attributes.split(";"):
        key, equals, value = part.strip().partition("=")
        if (key, equals) in (("", ""), (".", "")):
            continue
        if not equals or not key:
            message = f"{shown(part)} is no attribute of GFF3: write key=value;key=value"
            raise BadFieldError(9, "E474", message)
        values.setdefault(key, value)
    name = next((values[key] for key in _GFF3_NAMES if values.get(key)), "")
    plain = _PERCENT.sub(_decoded, _ID_PREFIX.sub("", name))
    return "".join(c if c.isprintable() else " " for c in plain)


def _decoded(escapes: re.Match[str]) -> str:
    """What %20 and the like stand for."""
    return bytes.fromhex(escapes[0].replace("%", "")).decode("utf-8", "replace")


def _label(text: str) -> str:
    if not text:
        raise BadFieldError(1, "E471", "the chromosome is empty: write its name")
    return text


def _strand(text: str, column: int) -> str:
    if text not in _STRANDS:
        message = f"strand {shown(text)}: write +, - or . (unknown)"
        raise BadFieldError(column, "E473", message)
    return "." if text == "?" else text


def _span(first: str, last: str, column: int, *, least: int) -> tuple[int, int]:
    """Return start and end as written, in `column` and the next."""
    if _is_whole(first) and _is_whole(last) and len(first) < 11 and len(last) < 11:
        start, end = int(first), int(last)
        if least <= start <= end <= MAX_POSITION:
            return start, end
    for k, text in enumerate((first, last)):
        if not (_is_whole(text) and len(text) < 11 and least <= int(text) <= MAX_POSITION):
            message = (
                f"position {shown(text)} is not an integer from {least} to {MAX_POSITION}: write "
                "base pairs in full; a header begins with #"
            )
            raise BadFieldError(column + k, "E472", message)
    message = f"the end, {last}, lies before the start, {first}: exchange them"
    raise BadFieldError(column + 1, "E472", message)

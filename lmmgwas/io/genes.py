"""Genes of a BED, GFF3 or GTF file, read as a stream: only what lies in some stretches is kept.

    BED    chromosome start end [name score strand ...]   from 0, the end not included
    GFF3   type gene, pseudogene or *_gene                from 1; Name, gene_name, gene, ... or ID
    GTF    feature gene; where there is none, all rows    from 1; gene_name, gene, or gene_id
           of one gene_id are one gene

Every line is looked at, whether its gene is wanted or not: a file that is refused is refused
before the work. The sequences at the end of a GFF3 file (##FASTA) are not read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmmgwas.errors import MAX_PROBLEMS_SHOWN, FileAccessError, FormatError, Problem
from lmmgwas.io.blocks import TextBlocks
from lmmgwas.io.gene_lines import BadFieldError, GeneFormat, GeneRow, LineParser, recognise
from lmmgwas.io.text import GZIP_MAGIC, Remarks, access_error, file_identity


@dataclass(frozen=True, slots=True)
class Gene:
    """A gene: base pairs from 1, both ends included."""

    name: str  # may be empty
    start: int
    end: int
    strand: str  # "+", "-", or "." where unknown


@dataclass(frozen=True, slots=True)
class GeneFile:
    """A file of genes that was read to its end and found sound."""

    path: Path
    format: GeneFormat
    labels: tuple[str, ...]  # of the chromosomes, as written
    n_rows: int  # that are genes, or parts of genes
    has_gene_rows: bool  # False: a GTF whose genes are put together from their parts
    identity: tuple[int, ...]
    remarks: Remarks


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where genes are wanted: base pairs from 1, both ends included."""

    labels: frozenset[str]  # of the chromosome, as the file writes them
    start: int
    end: int


def check_genes(path: str | Path) -> GeneFile:
    """Read a file of genes to its end and return what it is; no gene is kept.

    Raises
    ------
    FileAccessError
        E110: the file cannot be read, or is no regular file.
    FormatError
        E601 (gzip), E206 (encoding), E207 (line too long), E470 (neither BED, GFF3 nor GTF),
        E471 (number of columns), E472 (start, end), E473 (strand), E474 (attributes), E475 (no
        gene).
    """
    path = Path(path)
    identity = file_identity(path)
    text = TextBlocks(path)
    parser: LineParser | None = None
    labels: dict[str, None] = {}
    counts = {True: 0, False: 0}
    problems: list[Problem] = []
    for number, line in _data_lines(text):
        try:
            parser = parser or LineParser(recognise(line), line)
            row = parser.parse(line)
        except BadFieldError as bad:
            problems.append(Problem(bad.code, bad.message, f"{path}:{number}:{bad.column}"))
            if parser is None or len(problems) > MAX_PROBLEMS_SHOWN:
                break
            continue
        if row is not None:
            labels[row.label] = None
            counts[row.is_gene] += 1
    if problems:
        raise FormatError.of(problems)
    if parser is None or not any(counts.values()):
        raise FormatError("E475", _no_gene(parser), str(path))
    return GeneFile(
        path=path,
        format=parser.format,
        labels=tuple(labels),
        n_rows=counts[True] or counts[False],
        has_gene_rows=counts[True] > 0,
        identity=identity,
        remarks=Remarks(tuple(text.notes), _cut_short(path)),
    )


def read_genes(file: GeneFile, stretches: Sequence[Stretch]) -> list[tuple[Gene, ...]]:
    """Return the genes that reach into each stretch, by start, end, name and strand.

    Rows of one name and strand that overlap, as a gene's transcripts do, are one gene.

    Raises FileAccessError (E110) where the file is not the one that was checked.
    """
    wanted = frozenset().union(*(stretch.labels for stretch in stretches))
    by_label: dict[str, list[int]] = {
        label: [k for k, stretch in enumerate(stretches) if label in stretch.labels]
        for label in wanted
    }
    found: list[list[Gene]] = [[] for _ in stretches]
    for label, gene in _wanted_genes(file, wanted):
        for k in by_label[label]:
            if gene.start <= stretches[k].end and gene.end >= stretches[k].start:
                found[k].append(gene)
    if file_identity(file.path) != file.identity:
        raise FileAccessError("E110", "the file changed during the run", str(file.path))
    return [_merged(genes) for genes in found]


def _wanted_genes(file: GeneFile, wanted: frozenset[str]) -> Iterator[tuple[str, Gene]]:
    """Yield label and gene of the rows on some chromosomes."""
    parser: LineParser | None = None
    parts: dict[tuple[str, str], tuple[str, int, int, str]] = {}
    for line in _lines_again(file):
        parser = parser or LineParser(file.format, line, parts_named=not file.has_gene_rows)
        if line[: _end_of_label(line)] not in wanted:
            continue
        row = parser.parse(line)
        if row is None or row.is_gene is not file.has_gene_rows:
            continue
        if row.is_gene:
            yield row.label, Gene(row.name, row.start, row.end, row.strand)
        else:
            _add_part(parts, row)
    for (label, _), (name, start, end, strand) in parts.items():
        yield label, Gene(name, start, end, strand)


def _add_part(parts: dict[tuple[str, str], tuple[str, int, int, str]], row: GeneRow) -> None:
    """Widen the gene that a row is part of."""
    key = row.label, row.gene_id
    name, start, end, strand = parts.get(key, (row.name, row.start, row.end, row.strand))
    parts[key] = name, min(start, row.start), max(end, row.end), strand


def _end_of_label(line: str) -> int:
    """Where the first column ends."""
    tab = line.find("\t")
    if tab >= 0:
        return tab
    return len(line.split(maxsplit=1)[0])


def _lines_again(file: GeneFile) -> Iterator[str]:
    """Yield the lines of a checked file that may be of genes, nearly all others left out."""
    if file.format is GeneFormat.BED or not file.has_gene_rows:
        for _, line in _data_lines(TextBlocks(file.path)):
            yield line
        return
    for _, block in TextBlocks(file.path):
        for text in block.split(b"\n"):
            if b"gene\t" in text and not text.startswith(b"#"):
                yield text.decode()


def _data_lines(text: TextBlocks) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines that hold data."""
    for first, block in text:
        for number, line in enumerate(block.decode().split("\n"), first):
            if line and line[0] not in "#tb ":  # nearly all of them
                yield number, line
                continue
            if line.startswith("##FASTA"):
                return
            word = line.split(maxsplit=1)[:1]
            if word and word[0] not in ("track", "browser") and not line.startswith("#"):
                yield number, line


def _merged(genes: list[Gene]) -> tuple[Gene, ...]:
    """Sort, and make one gene of overlapping rows with the same name and strand."""
    open_genes: dict[tuple[str, str], int] = {}
    merged: list[Gene] = []
    for gene in sorted(genes, key=lambda g: (g.start, g.end, g.name, g.strand)):
        key = gene.name, gene.strand
        place = open_genes.get(key)
        if gene.name and place is not None and gene.start <= merged[place].end:
            last = merged[place]
            merged[place] = Gene(last.name, last.start, max(last.end, gene.end), last.strand)
            continue
        open_genes[key] = len(merged)
        merged.append(gene)
    return tuple(sorted(merged, key=lambda g: (g.start, g.end, g.name, g.strand)))


def _no_gene(parser: LineParser | None) -> str:
    if parser is None:
        return "the file holds no line of data, where genes were expected"
    return (
        f"none of the rows of this {parser.format} file is a gene (type 'gene', 'pseudogene' or "
        "'..._gene' in column 3): give the annotation with its genes"
    )


def _cut_short(path: Path) -> tuple[str, ...]:
    """A warning where a plain file does not end in a line end, as if it had been cut."""
    try:
        with path.open("rb") as stream:
            if stream.read(2) == GZIP_MAGIC:
                return ()  # half a gzip file is refused
            stream.seek(-1, 2)
            whole = stream.read(1) == b"\n"
    except OSError as error:
        raise access_error(path, error) from error
    if whole:
        return ()
    return (
        f"{path}: the last line has no line end, as if the file had been cut short; compare it "
        "with the source, then end the file with a line end",
    )

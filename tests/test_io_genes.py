"""Tests of files of genes: BED, GFF3 and GTF, what is kept of them, and what is refused."""

import gzip
import random
import tracemalloc
from pathlib import Path

import pytest

from lmmgwas.errors import FileAccessError, FormatError, LmmgwasError
from lmmgwas.io.genes import Gene, GeneFile, Stretch, check_genes, read_genes

BED = (
    "#chrom\tstart\tend\tname\tscore\tstrand\n"
    'track name="genes"\n'
    "1\t999\t2000\tALPHA\t0\t+\n"
    "chr1\t5000\t6000\tBETA\t0\t-\n"
    "2\t0\t10\tGAMMA\t0\t.\n"
)
GFF3 = (
    "##gff-version 3\n"
    "1\tens\tchromosome\t1\t9000\t.\t.\t.\tID=chromosome:1\n"
    "###\n"
    "1\tens\tgene\t1000\t2000\t.\t+\t.\tID=gene:G1;Name=ALPHA\n"
    "1\tens\tmRNA\t1000\t1900\t.\t+\t.\tID=t1;Parent=gene:G1\n"
    "###\n"
    "chr1\tens\tncRNA_gene\t5001\t6000\t.\t-\t.\tID=gene:G2;gene_name=BE%54A\n"
    "2\tens\tpseudogene\t1\t10\t.\t?\t.\tID=gene-GAMMA\n"
    "##FASTA\n"
    ">1\n"
    "ACGT\n"
)
GTF = (
    "#!genome-build GRCh38\n"
    '1\thav\tgene\t1000\t2000\t.\t+\t.\tgene_id "G1"; gene_name "ALPHA"; level 2;\n'
    '1\thav\texon\t1000\t1100\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; gene_name "ALPHA";\n'
    'chr1\thav\tgene\t5001\t6000\t.\t-\t.\tgene_id "G2"; gene "BETA";\n'
    '2\thav\tgene\t1\t10\t.\t.\t.\tgene_id "GAMMA";\n'
)
GENES = [
    (Gene("ALPHA", 1000, 2000, "+"), Gene("BETA", 5001, 6000, "-")),
    (Gene("GAMMA", 1, 10, "."),),
]
EVERYWHERE = [
    Stretch(frozenset({"1", "chr1"}), 1, 10_000),
    Stretch(frozenset({"2"}), 1, 10_000),
]


def write(folder: Path, text: str, name: str = "genes") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def genes_of(path: Path, stretches: list[Stretch] = EVERYWHERE) -> list[tuple[Gene, ...]]:
    return read_genes(check_genes(path), stretches)


def refusal(path: Path) -> LmmgwasError:
    with pytest.raises(FormatError) as caught:
        check_genes(path)
    return caught.value


@pytest.mark.parametrize(("text", "kind"), [(BED, "BED"), (GFF3, "GFF3"), (GTF, "GTF")])
@pytest.mark.parametrize("packed", [False, True])
def test_three_formats_hold_the_same_genes(
    tmp_path: Path, text: str, kind: str, packed: bool
) -> None:
    path = tmp_path / "genes"  # the name says nothing
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    file = check_genes(path)
    assert (file.format, file.labels, file.n_rows) == (kind, ("1", "chr1", "2"), 3)
    assert read_genes(file, EVERYWHERE) == GENES
    assert file.remarks.warnings == ()


def test_bed_counts_from_zero_and_gff_from_one(tmp_path: Path) -> None:
    """A gene of the bases 1000 to 2000 touches a stretch that ends or begins there."""
    for text in (BED, GFF3, GTF):
        file = check_genes(write(tmp_path, text))
        for start, end, found in ((1, 1000, 1), (1, 999, 0), (2000, 3000, 1), (2001, 3000, 0)):
            (genes,) = read_genes(file, [Stretch(frozenset({"1"}), start, end)])
            assert len(genes) == found, (text[:20], start, end)


@pytest.mark.parametrize("columns", range(3, 13))
def test_bed_of_3_to_12_columns(tmp_path: Path, columns: int) -> None:
    row = ["1", "10", "20", "A", "0", "-", "10", "20", "0", "1", "10,", "0,"]
    path = write(tmp_path, "\t".join(row[:columns]) + "\n")
    name, strand = ("A" if columns > 3 else ""), ("-" if columns > 5 else ".")
    assert genes_of(path)[0] == (Gene(name, 11, 20, strand),)


def test_blanks_separate_where_there_is_no_tab(tmp_path: Path) -> None:
    path = write(tmp_path, "19 100  200 A1BG\n\n1 5 7 B\n")
    assert genes_of(path)[0] == (Gene("B", 6, 7, "."),)


def test_an_empty_interval_is_a_base(tmp_path: Path) -> None:
    path = write(tmp_path, "1\t7\t7\tA\n1\t0\t0\tB\n")
    assert genes_of(path)[0] == (Gene("B", 1, 1, "."), Gene("A", 7, 7, "."))


def test_a_gtf_without_gene_rows(tmp_path: Path) -> None:
    """As UCSC writes them: the parts of a gene_id make the gene, also those far from a stretch."""
    rows = [("exon", 100, 200, "A"), ("exon", 900, 950, "A"), ("CDS", 120, 180, "A")]
    rows += [("transcript", 300, 400, "B")]
    text = "".join(
        f'1\tu\t{kind}\t{start}\t{end}\t.\t+\t.\tgene_id "{name}"; transcript_id "T";\n'
        for kind, start, end, name in rows
    )
    file = check_genes(write(tmp_path, text))
    assert not file.has_gene_rows
    (genes,) = read_genes(file, [Stretch(frozenset({"1"}), 500, 600)])
    assert genes == (Gene("A", 100, 950, "+"),)


def test_transcripts_of_one_name_are_one_gene(tmp_path: Path) -> None:
    rows = ["1\t100\t200\tA\t0\t+", "1\t150\t300\tA\t0\t+", "1\t150\t300\tA\t0\t-"]
    rows += ["1\t120\t400\tB\t0\t+", "1\t700\t800\tA\t0\t+", "1\t5\t9\t.\t0\t+", "1\t5\t9\t.\t0\t+"]
    path = write(tmp_path, "\n".join(rows) + "\n")
    assert genes_of(path)[0] == (
        Gene("", 6, 9, "+"),
        Gene("", 6, 9, "+"),
        Gene("A", 101, 300, "+"),
        Gene("B", 121, 400, "+"),
        Gene("A", 151, 300, "-"),
        Gene("A", 701, 800, "+"),
    )


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ("ID=gene:X1", "X1"),
        ("ID=gene-X1;gene=X2", "X2"),
        ("ID=a;locus_tag=b0001", "b0001"),
        ("ID=a;Name=;gene_name=c", "c"),
        ("Name=two%20words%2Cand%0Aa line;ID=x", "two words,and a line"),
        ("Name=caf%C3%A9;", "café"),
        (".", ""),
        ("", ""),
        ("Note=n", ""),
    ],
)
def test_names_of_gff3(tmp_path: Path, attributes: str, name: str) -> None:
    path = write(tmp_path, f"1\ts\tgene\t5\t9\t.\t+\t.\t{attributes}\n")
    assert genes_of(path)[0] == (Gene(name, 5, 9, "+"),)


def test_against_a_plain_reader(tmp_path: Path) -> None:
    """Thousands of genes, in any order, many chromosomes: all that overlap, and no other."""
    rng = random.Random(4)
    rows = []
    for k in range(5000):
        start = rng.randrange(1, 3_000_000)
        rows.append((str(rng.randrange(1, 5)), start, start + rng.randrange(60_000), f"G{k}"))
    text = "".join(f"{c}\t{s - 1}\t{e}\t{n}\t.\t+\n" for c, s, e, n in rows)
    stretches = [
        Stretch(frozenset({str(rng.randrange(1, 5))}), low := rng.randrange(1, 2_500_000), low + w)
        for w in (0, 10, 1000, 500_000, 3_000_000)
    ]
    found = genes_of(write(tmp_path, text), stretches)
    for stretch, genes in zip(stretches, found, strict=True):
        expected = [
            (s, e, n)
            for c, s, e, n in rows
            if c in stretch.labels and s <= stretch.end and e >= stretch.start
        ]
        assert [(g.start, g.end, g.name) for g in genes] == sorted(expected)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A GTF of 60 MB and 400,000 rows: less than a tenth of it at any time beyond the blocks."""
    row = '{}\thav\tgene\t{}\t{}\t.\t+\t.\tgene_id "ENSG{:08d}"; gene_name "N{}"; tag "basic";'
    path = tmp_path / "large.gtf"
    with path.open("w") as stream:
        for k in range(400_000):
            start = 1 + k * 100
            stream.write(row.format(k % 22 + 1, start, start + 5000, k, k) + ' note "xxxxxxxxxx"\n')
    wanted = [Stretch(frozenset({"7"}), 1_000_000, 1_100_000)]
    tracemalloc.start()
    (genes,) = genes_of(path, wanted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 40 < len(genes) < 60
    assert peak < 60_000_000  # two blocks of 8 MiB, as bytes, as text and as lines


@pytest.mark.parametrize(
    ("text", "code", "place", "said"),
    [
        ("chrom\tstart\tend\n1\t5\t9\n", "E470", ":1:1", "begin with #"),
        ("1\tx\t9\tA\n", "E470", ":1:1", "neither columns 2 and 3"),
        ("79501 1 a 70008 + OR4F5\n", "E470", ":1:1", "BED, GFF3 or GTF"),
        ("#c\n1\t5\t9\tA\n1\t5\t9\n", "E471", ":3:3", "3 columns, where the first"),
        ("1\t5\t9" + "\t0" * 10 + "\n", "E471", ":1:12", "13 columns"),
        ("1\t5\t9\tA\n\t5\t9\tA\n", "E471", ":2:1", "is empty"),
        ("1\t5\t9\tA\n1\t5\t9.5\tA\n", "E472", ":2:3", "'9.5' is not an integer"),
        ("1\t5\t9\tA\n1\t-5\t9\tA\n", "E472", ":2:2", "'-5'"),
        ("1\t5\t9\tA\n1\t9\t5\tA\n", "E472", ":2:3", "the end, 5, lies before"),
        ("1\t5\t9\n1\t5\t3000000000\n", "E472", ":2:3", "2147483647"),
        ("1\t5\t9\tA\t0\tplus\n", "E473", ":1:6", "'plus'"),
        ("1\ts\tgene\t0\t9\t.\t+\t.\tID=a\n", "E472", ":1:4", "from 1"),
        ("1\ts\tgene\t5\t9\t.\tx\t.\tID=a\n", "E473", ":1:7", "'x'"),
        ("1\ts\tgene\t5\t9\t.\t+\t.\tID=a;b\n", "E474", ":1:9", "key=value"),
        ("1\ts\tgene\t5\t9\t.\t+\t.\tID=a\n1\ts\tgene\n", "E471", ":2:3", "3 columns"),
        ('1\ts\texon\t5\t9\t.\t+\t.\ttranscript_id "T"\n', "E474", ":1:9", "gene_id"),
        ("", "E475", "", "no line of data"),
        ("# only\n\n", "E475", "", "no line of data"),
        ("1\ts\texon\t5\t9\t.\t+\t.\tID=a\n", "E475", "", "none of the rows"),
        ("1\t5\t9\tA\x07\n", "E206", ":1:4", "control character"),
    ],
)
def test_refused_with_its_place(
    tmp_path: Path, text: str, code: str, place: str, said: str
) -> None:
    path = write(tmp_path, text)
    error = refusal(path)
    assert error.problems[0].code == code
    assert error.problems[0].where == f"{path}{place}"
    assert said in str(error)
    assert error.exit_code == 3


def test_many_problems_are_said_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "1\t5\t9\tA\n" + "1\tx\t9\tA\n" * 50)
    error = refusal(path)
    assert len(str(error).splitlines()) == 21
    assert str(error).endswith("more problems")


def test_no_text_at_all(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "PK\x03\x04")).problems[0].code == "E206"
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(BED.encode())[:-9])
    assert refusal(path).problems[0].code == "E601"
    with pytest.raises(FileAccessError, match="E110"):
        check_genes(tmp_path / "absent")
    with pytest.raises(FileAccessError, match="E110"):
        check_genes(tmp_path)


def test_a_cut_line_is_warned_of(tmp_path: Path) -> None:
    """`1 5 90` cut to `1 5 9` is a gene, too."""
    (warning,) = check_genes(write(tmp_path, BED[:-1])).remarks.warnings
    assert "no line end" in warning


@pytest.mark.parametrize("text", [BED, GFF3, GTF])
def test_cut_anywhere_is_never_silent(tmp_path: Path, text: str) -> None:
    """Every cut is refused or warned of, unless it is between two lines."""
    silent = 0
    for length in range(len(text)):
        try:
            file = check_genes(write(tmp_path, text[:length]))
        except FormatError:
            continue
        if not file.remarks.warnings:
            silent += 1
            assert text[:length].endswith("\n")
    assert silent < text.count("\n")


def test_windows_line_ends_and_a_mark_are_noted(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeff" + BED.replace("\n", "\r\n"))
    file = check_genes(path)
    assert read_genes(file, EVERYWHERE) == GENES
    assert len(file.remarks.notes) == 2


def test_a_file_that_changes_between_is_refused(tmp_path: Path) -> None:
    file: GeneFile = check_genes(write(tmp_path, BED))
    write(tmp_path, BED + "1\t1\t2\tX\t0\t+\n")
    with pytest.raises(FileAccessError, match="changed during the run"):
        read_genes(file, EVERYWHERE)

"""Section B of the catalogue: the .bim. What is in its lines is here, chromosomes in `chromosomes`.

Line k holds variant k - 1 of the study: rs1000 + k - 1, but for three with other names.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from bed_oracle import decode
from conftest import Study, StudyFiles, read_tsv

from catalogue.chromosomes import ROWS as CHROMOSOMES
from catalogue.looks import all_of, in_table, run_again, same_as, table, unwarned
from catalogue.rows import Accepted, Elsewhere, Flagged, Look, Refused, Row, Spoil
from catalogue.spoil import (
    both,
    edited,
    every_line,
    fields,
    line,
    lines_edited,
    listed,
    options,
    replaced,
    study_with,
    with_line,
)

M = 286
QUICK = options("--h2", "0", "--pheno-name", "height")
AS_CLEAN = same_as(QUICK)
OF_THE_BIM = {"base_pair_location", "effect_allele", "other_allele", "rsid", "marker_id"}
MEND = "(chromosome, ID, cM, position, allele 1, allele 2)"


def bim(number: int, name: str, spoil: Spoil, code: str, *words: str) -> Row:
    """A .bim that is refused; the message names file and line."""
    return Row(number, name, spoil, Refused(3, code, ("study.bim", *words)))


def clean(number: int, name: str, spoil: Spoil, *words: str) -> Row:
    """A .bim that is read as the sound one is, to the byte."""
    return Row(number, name, both(spoil, QUICK), Accepted(None, words, AS_CLEAN))


def untabbed(pattern: bytes) -> Spoil:
    """Other blanks between the columns."""
    return edited("bim", lambda b: b.replace(b"\t", pattern))


def without_column(*columns: int, lines: range = range(1, M + 1)) -> Spoil:
    """Lines that lack columns, which count from 1."""

    def change(text: list[bytes]) -> None:
        for number in lines:
            cells = text[number - 1].split(b"\t")
            kept = [cell for k, cell in enumerate(cells, 1) if k not in columns]
            text[number - 1] = b"\t".join(kept)

    return lines_edited("bim", change)


def emptied(column: int, *lines: int) -> Spoil:
    """Nothing between two tabs."""
    return fields("bim", column, dict.fromkeys(lines, ""))


# --- 17 to 24: lines and columns --------------------------------------------------------------

LINES = (
    clean(17, "blanks", untabbed(b" ")),
    clean(17, "runs of blanks and tabs", untabbed(b" \t  ")),
    clean(17, "double tabs", untabbed(b"\t\t")),
    clean(17, "blanks at both ends", every_line("bim", lambda text: b"  " + text + b" \t")),
    bim(18, "one line without cM", without_column(3, lines=range(7, 8)), "E201",
        ":7: 5 columns, expected 6", MEND),
    clean(18, "no line has cM", without_column(3), "Note: ", "5 columns, accepted (no cM column)"),
    bim(18, "no line has a chromosome", without_column(1), "E201", "is the column of chromosomes "
        "missing?", "5 columns, the first of them with 286 different values on 286 lines"),
    bim(19, "columns missing on a line", line("bim", 12, lambda text: b"1\trs1011\t0"), "E201",
        ":12: 3 columns, expected 6"),
    bim(19, "columns missing on 30 lines", without_column(5, 6, lines=range(3, 33)), "E201",
        ":3: 4 columns", ":22: 4 columns", "and 10 more problems"),
    bim(19, "a column too many", line("bim", 9, lambda text: text + b"\tG"), "E201",
        ":9: 7 columns, expected 6"),
    bim(19, "an allele empty", emptied(6, 9, 20), "E201", ":9:6: the column is empty", ":20:6: "),
    bim(19, "all positions empty", emptied(4, *range(1, M + 1)), "E201", ":1:4: ",
        "266 more problems"),
    bim(19, "all first alleles empty", emptied(5, *range(1, M + 1)), "E201", ":1:5: "),
    bim(20, "blank line", with_line("bim", 40, b""), "E202", ":40: blank line"),
    bim(20, "line of blanks", with_line("bim", 1, b" \t "), "E202", ":1: blank line"),
    bim(20, "variant left blank", line("bim", 7, lambda text: b""), "E202", ":7: blank line",
        "restore the variant that was here"),
    clean(20, "blank lines at the end", edited("bim", lambda b: b + b"\n \t\n\n")),
    clean(21, "no final newline", edited("bim", lambda b: b.rstrip(b"\n"))),
    clean(22, "CRLF", replaced("bim", b"\n", b"\r\n"), "Note: ", "Windows line ends"),
    clean(22, "CRLF on some lines", replaced("bim", b"\n", b"\r\n", 9), "Windows line ends"),
    bim(22, "CR", replaced("bim", b"\n", b"\r"), "E206", ":1:", "old Mac line ends?", "tr "),
    bim(22, "one CR", replaced("bim", b"rs1020", b"rs10\r20"), "E206", ":21:7: ", "old Mac"),
    clean(23, "UTF-8 byte order mark", edited("bim", lambda b: b"\xef\xbb\xbf" + b), "Note: ",
          "byte order mark was skipped"),
    *(bim(23, name, edited("bim", lambda b, name=name: b.decode().encode(name)), "E206",
          word) for name, word in {"UTF-16": "UTF-16", "UTF-16-LE": "control character 0x00",
                                   "UTF-16-BE": "control character 0x00"}.items()),
    bim(24, ".pvar", with_line("bim", 1, b"#CHROM\tID\tPOS\tALT\tREF"), "E204", ":1: this is a "
        ".pvar", "plink2 --make-bed"),
    bim(24, "VCF", with_line("bim", 1, b"##fileformat=VCFv4.2"), "E204", ":1: ", "VCF"),
    bim(24, ".psam", with_line("bim", 1, b"#FID\tIID\tSEX"), "E204", ":1: ", ".psam"),
    bim(24, "a header", with_line("bim", 1, b"CHR\tSNP\tCM\tBP\tA1\tA2"), "E203", ":1:4: ",
        "a .bim file has no header"),
)  # fmt: skip


def hash_in_ids(files: StudyFiles, study: Study) -> None:
    """`#` in the ID of a variant, a chromosome and a sample."""
    study.marker[8] = "rs#8"
    study.chrom = ["#4" if label == "4" else label for label in study.chrom]
    study.fid[6:12] = ["#F1"] * 6
    for row in study.pheno.rows[6:12] + study.covar.rows[6:12]:
        row[0] = "#F1"
    study.write(files.folder)


def hashes_stay(files: StudyFiles, prefix: Path) -> None:
    """Nothing behind a `#` is lost."""
    found = read_tsv(Path(f"{prefix}.height.tsv.gz"))
    assert "rs#8" in set(found["marker_id"])
    assert (found["chromosome"] == "#4").sum() == 60
    samples = read_tsv(Path(f"{prefix}.samples.tsv")).set_index("FID")
    assert (samples.loc["#F1", "analysed"] == "1").all()
    assert len(samples.loc["#F1"]) == 6


# --- 25 to 30: positions ----------------------------------------------------------------------


def position(number: int, name: str, value: str, *words: str) -> Row:
    """A position that is refused, on line 5, and the same on line 80."""
    places = (f":5:4: position '{value}' is not an integer", ":80:4: ")
    return bim(number, name, fields("bim", 4, {5: value, 80: value}), "E203", *places, *words)


def written_positions(expected: dict[str, str]) -> Look:
    """Expect base pair positions in the table, by marker."""

    def check(table: pd.DataFrame) -> None:
        found = table.loc[list(expected), "base_pair_location"]
        assert dict(found) == expected

    return in_table(check)


def numbers_as_clean(files: StudyFiles, prefix: Path) -> None:
    """The numbers of each row are those of the sound study; IDs and positions are not."""
    again = run_again(files.folder.parent / "other", QUICK)
    ours, theirs = (read_tsv(Path(f"{run}.height.tsv.gz")) for run in (prefix, again))
    kept = [name for name in ours.columns if name not in OF_THE_BIM]
    assert len(ours) == len(theirs)
    assert ours[kept].equals(theirs[kept])


def all_at_zero(table: pd.DataFrame) -> None:
    """Every position is written as unknown."""
    assert set(table["base_pair_location"]) == {"0"}


UNKNOWN = "variants have position 0 or less, which means unknown"
POSITIONS = (
    position(25, "text", "abc", "write 0 where the position is unknown"),
    position(25, "a dot", "."),
    position(25, "full-width digits", "\uff11\uff12\uff13"),
    position(25, "an underscore", "1_000"),
    position(25, "hexadecimal", "0x10"),
    position(26, "a point", "8000.0", "exported from Excel or R?"),
    position(26, "an exponent", "1e5", "exported from Excel or R?"),
    position(26, "a sign", "+8000", "without sign"),
    position(27, "2 to the 31st", "2147483648", "too large", "up to 2147483647"),
    position(27, "20 digits", "9" * 20, "too large"),
    Row(28, "negative", both(fields("bim", 4, {71: "-9", 72: "-1"}), QUICK), Accepted(
        "W201", (f"2 {UNKNOWN}",), written_positions({"rs1070": "0", "rs1071": "0"}))),
    Row(29, "some are 0", both(fields("bim", 4, {71: "0", 72: "-0"}), QUICK), Accepted(
        "W201", (f"2 {UNKNOWN}",), written_positions({"rs1070": "0", "rs1071": "0"}))),
    Row(29, "all are 0", both(fields("bim", 4, dict.fromkeys(range(1, M + 1), "0")), QUICK),
        Accepted("W201", (f"286 {UNKNOWN}",), all_of(in_table(all_at_zero), numbers_as_clean))),
    Elsewhere(28, "index", "test_cli.py::test_unknown_positions_are_tested_and_written_as_zero"),
    Elsewhere(28, "plot", "test_report_plots.py::test_variants_that_cannot_be_drawn_are_counted"),
    Elsewhere(29, "plot", "test_report_plots.py::test_no_known_position_gives_a_labelled_frame"),
    clean(30, "odd cM", fields("bim", 3, dict(enumerate(("-1", "NA", "nan", "x", "-inf"), 3))),
          "Note: ", "negative or missing cM on 5 lines (cM is not used)"),
    clean(30, "empty cM", emptied(3, 4, 9), "negative or missing cM on 2 lines"),
    clean(30, "a number in each form", fields("bim", 3, {3: "1e5", 4: ".5", 5: "1e999"})),
)  # fmt: skip


# --- 31 to 33: copies -------------------------------------------------------------------------


def one_id(*variants: int) -> Spoil:
    """Variants that share the ID of the first of them."""
    return fields("bim", 2, {k + 1: f"rs{1000 + variants[0]}" for k in variants})


def one_place(first: int, second: int, *, swapped: bool = False, alleles: str = "") -> Spoil:
    """A variant at the position of another, with its alleles or with others."""

    def change(study: Study) -> None:
        study.pos[second] = study.pos[first]
        effect, other = alleles.split("/") if alleles else (study.effect[first], study.other[first])
        study.effect[second], study.other[second] = (other, effect) if swapped else (effect, other)

    return study_with(change)


def both_rows(table: pd.DataFrame) -> None:
    """Each variant that shares an ID has its row."""
    assert table.index.tolist().count("rs1060") == 3


def named_by_place(table: pd.DataFrame) -> None:
    """A variant without ID is known by place and alleles."""
    columns = ("chromosome", "base_pair_location", "effect_allele", "other_allele")
    expected = [":".join(row) for row in zip(*(table[name] for name in columns), strict=True)]
    assert table.index.tolist() == expected
    assert set(table["rsid"]) == {"#NA"}


NO_IDS = fields("bim", 2, dict.fromkeys(range(1, M + 1), "."))
THREE = one_id(60, 61, 100)
AMBIGUOUS = Refused(4, "E212", ("rs1060", "more than one variant"))
SAME_PLACE = "2 variants share their position and alleles with another (1:1800000:{}:{})"
COPIES = (
    Row(31, "IDs occur more than once", both(THREE, QUICK), Accepted("W204", (
        "3 variants share 1 IDs (rs1060)", "all rows are kept"),
        all_of(in_table(both_rows), numbers_as_clean))),
    Row(31, "--extract", both(THREE, listed("--extract", "rs1060")), AMBIGUOUS),
    Row(31, "--grm-extract", both(THREE, listed("--grm-extract", "rs1060")), AMBIGUOUS),
    Row(31, "--condition", both(THREE, options("--condition", "rs1060")), Refused(
        4, "E217", ("3 variants are called 'rs1060'",))),
    Row(31, "another ID of the list is ambiguous", both(THREE, listed(
        "--extract", "rs1007", "rs1060", "rs1201")), AMBIGUOUS),
    Row(32, "no variant has an ID", both(NO_IDS, QUICK), Accepted(
        None, (), all_of(in_table(named_by_place), numbers_as_clean, unwarned))),
    Row(32, "--extract .", both(NO_IDS, listed("--extract", ".")), Refused(4, "E212")),
    Row(33, "same alleles", both(one_place(20, 21), QUICK), Accepted(
        "W205", (SAME_PLACE.format("G", "T"), "all are kept and tested"), numbers_as_clean)),
    Row(33, "exchanged alleles", both(one_place(20, 21, swapped=True), QUICK), Accepted(
        "W205", (SAME_PLACE.format("G", "T"),))),
    Row(33, "other alleles", both(one_place(20, 21, alleles="C/T"), QUICK), Accepted(
        None, (), all_of(numbers_as_clean, unwarned))),
)  # fmt: skip

# --- 43 to 49: alleles and letters ------------------------------------------------------------

ODD_ALLELES = {5: ("0", "G"), 6: (".", "G"), 7: ("-", "G"), 8: ("N", "R"), 9: ("<DEL>", "A"),
               10: ("A" * 60_000, "A"), 14: ("*", "\u00e9"), 15: ("ACGTACGT", "TTTT")}  # fmt: skip


def odd_alleles(study: Study) -> None:
    """Alleles that are text, and a monomorphic variant whose first allele is unknown."""
    for row, (effect, other) in ODD_ALLELES.items():
        study.effect[row], study.other[row] = effect, other
    study.effect[0] = "0"


def alleles_stay(table: pd.DataFrame) -> None:
    """They are written as they stand."""
    for row, pair in ODD_ALLELES.items():
        found = table.loc[{10: "1_Affx-11"}.get(row, f"rs{1000 + row}")]
        assert (found["effect_allele"], found["other_allele"]) == pair


UNICODE = (
    "rs\u00e9",
    "rse\u0301",
    "\u6f22\u5b57",
    "a\u00a0b",
    "x\u2028y",
    "\U0001f9ec",
    "\ufeffrs",
)
"""Composed, decomposed, without case, with blanks and line ends that are none of ours."""

unicode_ids = fields("bim", 2, dict(enumerate(UNICODE, 20)))


def ids_stay(table: pd.DataFrame) -> None:
    """No normal form is applied, nothing is cut."""
    assert set(UNICODE) <= set(table.index)


def not_text(number: int, name: str, found: bytes, word: str) -> Row:
    """Bytes within the ID of line 7 that are no text."""
    return bim(number, name, replaced("bim", b"rs1006", b"rs" + found + b"6"), "E206", ":7:5: ",
               word)  # fmt: skip


def regressed(files: StudyFiles, prefix: Path) -> None:
    """Signs and sizes by least squares on copies of the allele of column 5, decoded bit by bit."""
    variants = [text.split("\t") for text in files.bim.read_text().splitlines()]
    calls = np.array(decode(files.bed.read_bytes(), 118, M), dtype=float)
    tables = [pd.read_csv(path, sep="\t") for path in (files.pheno, files.covar)]
    covar = pd.get_dummies(tables[1].drop(columns=["FID", "IID"]), drop_first=True, dtype=float)
    y = tables[0]["height"]
    known = (y.notna() & covar.notna().all(axis=1)).to_numpy()
    X = np.column_stack([np.ones(known.sum()), covar[known]])
    found = table(prefix)
    for row in range(12, 240, 9):
        x = np.where(calls[row] < 0, np.nan, calls[row])[known]
        x = np.where(np.isnan(x), np.nanmean(x), x)
        beta = np.linalg.lstsq(np.column_stack([X, x]), y[known].to_numpy(), rcond=None)[0][-1]
        _, marker, _, _, effect, other = variants[row]
        assert (found.loc[marker, "effect_allele"], found.loc[marker, "other_allele"]) == (
            effect, other)  # fmt: skip
        assert abs(found.loc[marker, "beta"] - beta) < 1e-4 * abs(beta)
        assert abs(found.loc[marker, "effect_allele_frequency"] - x.mean() / 2) < 1e-7


def exchanged(study: Study) -> None:
    """Alleles written the other way round, and the calls that count them."""
    study.effect, study.other = study.other, study.effect
    study.calls = np.where(study.calls < 0, study.calls, 2 - study.calls)


ALLELES = (
    Row(43, "both alleles are the same", QUICK, Flagged("SAME_ALLELES", ("rs1003",))),
    Row(43, "long alleles", both(fields("bim", 5, {8: "ACGT" * 99}),
        fields("bim", 6, {8: "ACGT" * 99}), QUICK), Flagged("SAME_ALLELES", ("rs1003", "rs1007"))),
    Row(44, "codes and long alleles", both(study_with(odd_alleles), QUICK), Accepted(
        None, (), all_of(in_table(alleles_stay), numbers_as_clean, unwarned))),
    Row(44, "monomorphic, allele 0", both(study_with(odd_alleles), QUICK), Flagged(
        "MONOMORPHIC", ("rs1000",))),
    bim(44, "allele of more than 1 MiB", fields("bim", 6, {8: "A" * (2**20 + 1)}), "E207",
        ":8:6: allele of 1048577 bytes; at most 1048576 are read"),
    bim(44, "line of more than 16 MiB", fields("bim", 6, {8: "A" * (2**24 + 1)}), "E207", ":8:1: "),
    bim(45, "two alleles in column 5", fields("bim", 5, {8: "A,T", 20: "C,G,T"}), "E205",
        ":8:5: 'A,T' is several alleles", "bcftools norm -m-", ":20:5: 'C,G,T'"),
    bim(45, "in column 6", fields("bim", 6, {8: "A,<NON_REF>"}), "E205", ":8:6: "),
    Row(46, "UTF-8", both(unicode_ids, QUICK), Accepted(
        None, (), all_of(in_table(ids_stay), numbers_as_clean, unwarned))),
    not_text(47, "Latin-1", b"\xe9", "byte 0xe9 is not UTF-8 (Latin-1?): convert the file with "
             "`iconv -f LATIN1 -t UTF-8`"),
    not_text(47, "half a letter", b"\xc3", "byte 0xc3 is not UTF-8"),
    not_text(47, "a surrogate", b"\xed\xa0\x80", "byte 0xed is not UTF-8"),
    bim(47, "Latin-1 on 30 lines", edited("bim", lambda b: b.replace(b"rs102", b"r\xe9102")
        .replace(b"rs103", b"r\xe9103").replace(b"rs104", b"r\xe9104")), "E206", ":21:4: ",
        ":39:4: ", "and more such lines follow"),
    not_text(48, "NUL", b"\0", "control character 0x00"),
    not_text(48, "ESC", b"\x1b[2J", "control character 0x1b"),
    not_text(48, "form feed", b"\x0c", "control character 0x0c"),
    not_text(48, "vertical tab", b"\x0b", "control character 0x0b"),
    not_text(48, "DEL", b"\x7f", "control character 0x7f"),
    bim(48, "CSI of 8 bits", replaced("bim", b"rs1006", "rs\u009b6".encode()), "E206", ":7:",
        "control character 0x9b"),
    Row(49, "effect allele", QUICK, Accepted(None, (), regressed)),
    Row(49, "exchanged alleles", both(study_with(exchanged), QUICK), Accepted(None, (), regressed)),
    Elsewhere(49, "PLINK 2", "test_peer_signs.py::test_signs_are_those_of_plink2"),
    Elsewhere(49, "flip", "test_cli.py::test_swapped_alleles_flip_beta_only"),
)  # fmt: skip

ROWS: tuple[Row | Elsewhere, ...] = (
    *LINES,
    Row(24, "# in IDs", hash_in_ids, Accepted(None, (), hashes_stay)),
    *POSITIONS,
    *COPIES,
    *CHROMOSOMES,
    *ALLELES,
)

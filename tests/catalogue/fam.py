"""Section C of the catalogue: the .fam, and IDs in all files.

The study has 118 samples, S000 to S117, in families F00 to F19 of six.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import Study, StudyFiles, Table, read_tsv

from catalogue.looks import Near, all_of, near, reasons, same_as
from catalogue.rows import Accepted, Elsewhere, Look, Refused, Row, Spoil
from catalogue.spoil import (
    both,
    edited,
    every_line,
    fields,
    line,
    lines_edited,
    listed,
    options,
    renamed,
    replaced,
    study_with,
    with_line,
)

N = 118
QUICK = options("--h2", "0", "--pheno-name", "height")
AUTOSOMES = options("--h2", "0", "--pheno-name", "height", "--chr", "1-4")
HEIGHT = options("--pheno-name", "height")
AS_CLEAN = same_as(QUICK, "height")
"""The files of the trait to the byte; the table of samples shows the IDs as they are."""


def fam(number: int, name: str, spoil: Spoil, code: str, *words: str) -> Row:
    """A .fam that is refused; the message names file and line."""
    return Row(number, name, spoil, Refused(3, code, ("study.fam", *words)))


def clean(number: int, name: str, spoil: Spoil, *words: str) -> Row:
    """A .fam that is read as the sound one is."""
    return Row(number, name, both(spoil, QUICK), Accepted(None, words, AS_CLEAN))


def tables_of(study: Study) -> tuple[Table, Table]:
    return study.pheno, study.covar


def renamed_everywhere(names: dict[str, tuple[str, str]]) -> Spoil:
    """Other FIDs and IIDs in all files, by the IID."""

    def change(study: Study) -> None:
        ids = [names.get(i, (f, i)) for f, i in zip(study.fid, study.iid, strict=True)]
        study.fid, study.iid = [f for f, _ in ids], [i for _, i in ids]
        for each in tables_of(study):
            each.rows = [[*names.get(row[1], tuple(row[:2])), *row[2:]] for row in each.rows]

    return study_with(change)


def without_fid(files: StudyFiles, study: Study) -> None:
    """Tables with IIDs alone."""
    for each, path in zip(tables_of(study), (files.pheno, files.covar), strict=True):
        rows = (row[1:] for row in [each.names, *each.rows])
        path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def ids_shown(names: dict[str, tuple[str, str]]) -> Look:
    """Expect these IDs, as they were written, among the analysed samples."""

    def look(files: StudyFiles, prefix: Path) -> None:
        samples = read_tsv(Path(f"{prefix}.samples.tsv"))
        assert set(names.values()) <= set(zip(samples["FID"], samples["IID"], strict=True))

    return look


def no_family(files: StudyFiles, prefix: Path) -> None:
    """Those without FID in the .fam are not those of family F03 in the tables."""
    samples = read_tsv(Path(f"{prefix}.samples.tsv")).set_index(["FID", "IID"])["reason"]
    for k in range(18, 24):
        assert samples["0", f"S{k:03d}"] == "NOT_IN_PHENO"
        assert samples["F03", f"S{k:03d}"] == "NOT_IN_GENOTYPES"


# --- 51 to 53: who is who ---------------------------------------------------------------------

TWICE = renamed_everywhere({"S100": ("F16", "S001")})
"""Two people called S001, in families F00 and F16."""

IDENTITY = (
    fam(51, "sample twice", replaced("fam", b"F00\tS005", b"F00\tS001"), "E301",
        ":6: sample F00 S001 is on lines 2 and 6", "an ID of its own"),
    fam(51, "30 samples twice", lines_edited("fam", lambda lines: lines.__setitem__(
        slice(30, 60), lines[:30])), "E301", ":31: ", "lines 1 and 31", "10 more problems"),
    fam(51, "no FIDs, IID twice", both(every_line("fam", lambda text: b"0" + text[3:]),
        replaced("fam", b"S005", b"S001")), "E301", "sample 0 S001 is on lines 2 and 6"),
    Row(52, "one IID in two families", both(TWICE, QUICK), Accepted(None, (), AS_CLEAN)),
    Row(52, "and tables of IIDs alone", both(TWICE, without_fid), Refused(3, "E407", (
        "pheno.tsv:102:1: ", "sample S001 is on lines 3 and 102"))),
    Row(52, "and a list of IIDs alone", both(TWICE, listed("--keep", "S001", "S002")), Refused(
        4, "E308", ("sample S001 is not unique",))),
    Row(52, "one table row for two people", both(TWICE, without_fid, lambda files, study:
        files.pheno.write_text(files.pheno.read_text().replace("S001", "T001", 1)) and None),
        Refused(4, "E308", ("sample S001 is not unique by IID alone", "give FID and IID"))),
    fam(53, "IID 0", fields("fam", 2, {9: "0"}), "E302", ":9:2: IID 0 means no ID"),
    fam(53, "no IID", fields("fam", 2, {9: ""}), "E302", ":9:2: IID 0 means no ID"),
    fam(53, "all IIDs are 0", fields("fam", 2, dict.fromkeys(range(1, N + 1), "0")), "E302",
        ":1:2: ", ":20:2: ", "98 more problems"),
)  # fmt: skip

# --- 54 to 56: what an ID may be --------------------------------------------------------------

BORDER = {"S010": ("A_B", "C"), "S011": ("A", "B_C"), "S012": ("A.B", "C")}
LIKE_NUMBERS = {
    f"S{k:03d}": ids
    for k, ids in enumerate((
        ("001", "001"), ("1", "1"), ("01", "1"), ("1e5", "1e5"), ("100000", "100000"),
        ("NA", "NA"), ("nan", "nan"), ("NaN", "NaN"), ("TRUE", "TRUE"), ("-9", "-9"),
        ("null", "null"), ("inf", "1.0"), ("1.0", "inf"), ("'q'", '"q"'), ("0x1A", "1_000"),
        ("F\u00e9", "\u6f22"), ("True", "False"), ("N/A", "#N"),
    ), 60)
}  # fmt: skip
"""IDs that a reader which guesses would take for numbers, for missing, or for quotation."""

by_number = {f"S{k:03d}": ("0", f"{k:04d}") for k in range(N)}
ODD_IDS = (
    clean(54, "FID 0", fields("fam", 1, dict.fromkeys(range(1, N + 1), "0")),
          "Note: ", "FID 0 of 118 samples was read as no FID"),
    clean(54, "no FID", fields("fam", 1, dict.fromkeys(range(1, N + 1), "")), "Note: ",
          "FID 0 of 118 samples"),
    clean(54, "no FID in the tables", without_fid),
    clean(54, "FID 0 everywhere", renamed_everywhere({f"S{k:03d}": ("0", f"S{k:03d}")
                                                      for k in range(N)})),
    Row(54, "FID 0 of one family", both(every_line("fam", lambda text: text.replace(
        b"F03", b"0")), QUICK), Accepted(None, ("FID 0 of 6 samples",), no_family)),
    Row(55, "A_B+C and A+B_C", both(renamed_everywhere(BORDER), QUICK), Accepted(
        None, (), all_of(AS_CLEAN, ids_shown(BORDER)))),
    Row(56, "IDs like numbers and words", both(renamed_everywhere(LIKE_NUMBERS), QUICK), Accepted(
        None, (), all_of(AS_CLEAN, ids_shown(LIKE_NUMBERS)))),
    Row(56, "the same, tables without FID", both(renamed_everywhere(
        {k: v for k, v in LIKE_NUMBERS.items() if v != ("01", "1")}), without_fid, QUICK),
        Accepted(None, (), AS_CLEAN)),
    Row(56, "numbers with zeros before them", both(renamed_everywhere(by_number), without_fid,
        QUICK), Accepted(None, (), all_of(AS_CLEAN, ids_shown(by_number)))),
    Row(56, "001 is not 1", both(renamed_everywhere({"S030": ("F05", "001")}), edited(
        "pheno", lambda b: b.replace(b"F05\t001\t", b"F05\t1\t")), QUICK), Accepted(
            None, (), reasons({"001": "NOT_IN_PHENO"}))),
)  # fmt: skip

# --- 57 and 58: columns -----------------------------------------------------------------------


def columns(n: int) -> Spoil:
    """A .fam of its first columns."""
    return every_line("fam", lambda text: b"\t".join(text.split(b"\t")[:n]))


def with_traits(*cells: bytes) -> Spoil:
    """Trait columns as GEMMA has them."""
    return every_line("fam", lambda text: b"\t".join([*text.split(b"\t")[:5], *cells]))


SEX = dict(enumerate(("9", "F", "-9", "M", "1.0", "3"), 31))
COLUMNS = (
    Row(57, "sex that no code has", both(fields("fam", 5, SEX), AUTOSOMES), Accepted(None, (
        "Note: ", "sex codes other than 0, 1, 2 of 6 samples mean unknown", "'9', 'F', '-9'"),
        same_as(AUTOSOMES, "height"))),
    Row(57, "and X is tested", both(fields("fam", 5, SEX), QUICK), Accepted("W217", (
        "6 analysed samples of unknown sex are treated as female on X",))),
    clean(58, "5 columns", columns(5), "Note: ", "5 columns, accepted"),
    Row(58, "4 columns", both(columns(4), AUTOSOMES), Accepted(None, ("4 columns, accepted",),
        same_as(AUTOSOMES, "height"))),
    clean(58, "several traits", with_traits(b"1.5", b"NA", b"-9"), "Note: ",
          "the columns after the sixth were ignored (8 columns)"),
    clean(58, "a trait that is text", with_traits(b"case")),
    clean(58, "a trait that is empty", with_traits(b"")),
    clean(58, "blanks", replaced("fam", b"\t", b"  ")),
    clean(58, "CRLF, byte order mark", edited("fam", lambda b: b"\xef\xbb\xbf" + b.replace(
        b"\n", b"\r\n")), "Windows line ends", "byte order mark"),
    fam(58, "3 columns", columns(3), "E303", ":1: 3 columns, expected 6"),
    fam(58, "a line of 5", line("fam", 7, lambda text: text[:-3]), "E303",
        ":7: 5 columns, expected 6 as most lines have"),
    fam(58, "an ID of two words", fields("fam", 2, {7: "John Smith"}), "E303",
        ":7: 7 columns, expected 6", "does an ID hold a blank?"),
    fam(58, "a line without a trait", both(with_traits(b"1", b"2"), line(
        "fam", 9, lambda text: text[:-2])), "E303", ":9: 6 columns, expected 7"),
    fam(58, "blank line", with_line("fam", 40, b""), "E303", ":40: 0 columns", "a blank line"),
    fam(58, "header of a .psam", with_line("fam", 1, b"#FID\tIID\tSEX"), "E204", ":1: ", ".psam"),
    fam(58, "header", with_line("fam", 1, b"FID\tIID\tPAT\tMAT\tSEX\tPHENO"), "E204", "header"),
    fam(58, "Latin-1", replaced("fam", b"S040", b"S\xe940"), "E206", ":41:6: ", "iconv"),
)  # fmt: skip

# --- 59 and 60: order and overlap -------------------------------------------------------------


def shuffled(*names: str) -> Spoil:
    """Rows of the tables in another order."""

    def change(study: Study) -> None:
        for k, name in enumerate(names):
            order = np.random.default_rng(k).permutation(N)
            each = getattr(study, name)
            each.rows = [each.rows[i] for i in order]

    return study_with(change)


def other_people_first(study: Study) -> None:
    """Samples of the genotypes in another order."""
    study.take_samples(np.random.default_rng(59).permutation(N))


def fam_order(files: StudyFiles, prefix: Path) -> None:
    """The table of samples is in the order of the .fam."""
    samples = read_tsv(Path(f"{prefix}.samples.tsv"))
    order = [text.split()[1] for text in files.fam.read_text().splitlines()]
    assert samples["IID"].tolist() == order


ORDER = (
    Row(59, "rows of the tables", both(shuffled("pheno", "covar"), HEIGHT), Accepted(
        None, (), all_of(same_as(HEIGHT), fam_order))),
    Row(59, "rows of one table", both(shuffled("covar"), HEIGHT), Accepted(
        None, (), same_as(HEIGHT))),
    # Sums over samples in another order: the last bits differ, in double precision as in theory.
    Row(59, "samples of the genotypes", both(study_with(other_people_first), HEIGHT, options(
        "--precision", "double")), Accepted(None, (), all_of(fam_order, near(
            both(HEIGHT, options("--precision", "double")), Near(1e-5, 1e-5))))),
)  # fmt: skip


def some_renamed(first: int, rename: Callable[[str], str]) -> Spoil:
    """Other IIDs in the tables for the samples from `first` on."""
    return renamed(lambda iid: rename(iid) if int(iid[1:]) >= first else iid)


def strangers(name: str, spoil: Spoil, cause: str, theirs: str) -> Row:
    """No sample of the tables is in the genotypes: three examples of either, and the cause."""
    words = ("0 of 118 samples of the trait table", "pheno.tsv", "'F00 S000', 'F00 S001', "
             "'F00 S002'", theirs, cause)  # fmt: skip
    return Row(60, name, spoil, Refused(4, "E304", words))


def swapped(study: Study) -> None:
    for each in tables_of(study):
        each.rows = [[row[1], row[0], *row[2:]] for row in each.rows]


def family_and_name(iid: str) -> str:
    return f"F{int(iid[1:]) // 6:02d}_{iid}"


NBSP = "\u00a0"
OVERLAP = (
    strangers("case", renamed(str.lower), "upper and lower case differ", "'F00 s000'"),
    strangers("no-break space", renamed(lambda iid: iid + NBSP), "blanks", "S000"),
    strangers("swapped", study_with(swapped), "FID and IID may be swapped", "'S000 F00'"),
    strangers("prefix", renamed(lambda iid: f"UKB{iid}"), "has 'UKB' before the IIDs",
              "'F00 UKBS000'"),
    strangers("zeros", renamed(lambda iid: f"0{iid}"), "leading zeros differ", "'F00 0S000'"),
    strangers("joined", renamed(family_and_name), "joins FID and IID by '_'", "'F00 F00_S000'"),
    strangers("other people", renamed(lambda iid: f"{iid[::-1]}?"), "of the same study?",
              "'F00 000S?'"),
    Row(60, "most differ by case", both(some_renamed(40, str.lower), QUICK), Accepted("W304", (
        "40 of 118 samples of the trait table", "'F00 S000', 'F00 S001', 'F00 S002'",
        "upper and lower case differ"), reasons({"S050": "NOT_IN_PHENO", "S039": ""}))),
    Row(60, "most have a no-break space", both(some_renamed(40, lambda iid: iid + NBSP), QUICK),
        Accepted("W304", ("40 of 118 samples", "blanks"))),
    Row(60, "some differ", both(some_renamed(100, str.lower), QUICK), Accepted("W305", (
        "100 of 118 samples",), reasons({"S099": "", "S117": "NOT_IN_PHENO"}))),
)  # fmt: skip

ROWS: tuple[Row | Elsewhere, ...] = (*IDENTITY, *ODD_IDS, *COLUMNS, *ORDER, *OVERLAP)

"""Rows 65, 72 and 77 to 86 of the catalogue: the files that hold phenotypes."""

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import MISSING, Study, StudyFiles

from catalogue.looks import all_of, reasons, same_as, table, unwarned
from catalogue.rows import Accepted, Look, Refused, Row, Spoil
from catalogue.spoil import (
    both,
    cells,
    edited,
    every_line,
    fields,
    line,
    lines_edited,
    options,
    removed,
    renamed,
    replaced,
    study_with,
    without_line,
    written,
)


def renamed_to(name: str, pack: Callable[[bytes], bytes]) -> Spoil:
    """Pack the trait table and give it under another name."""

    def spoil(files: StudyFiles, study: Study) -> list[object]:
        path = files.folder / name
        path.write_bytes(pack(files.pheno.read_bytes()))
        return ["--pheno", path]

    return spoil


# --- 65: empty fields -------------------------------------------------------------------------


def with_delimiter(delimiter: bytes) -> Spoil:
    return edited("pheno", lambda data: data.replace(b"\t", delimiter))


EMPTY_HEIGHT = cells("pheno", "height", {6: ""})
NA_HEIGHT = cells("pheno", "height", {6: "NA"})

EMPTY = (
    Row(65, "between tabs", EMPTY_HEIGHT,
        Accepted(None, ("Trait height: 114 values, 4 missing",), same_as(NA_HEIGHT))),
    Row(65, "between commas", both(EMPTY_HEIGHT, with_delimiter(b",")),
        Accepted(None, ("Trait height: 114 values, 4 missing",), same_as(NA_HEIGHT))),
    Row(65, "a blank between tabs", cells("pheno", "height", {6: " "}),
        Accepted(None, (), same_as(NA_HEIGHT))),
    Row(65, "at the end of a line", cells("pheno", "weight", {6: ""}),
        Accepted(None, ("Trait weight: 111 values, 7 missing",),
                 same_as(cells("pheno", "weight", {6: "NA"})))),
    Row(65, "between blanks", both(EMPTY_HEIGHT, with_delimiter(b" ")),
        Refused(3, "E406", ("pheno.tsv:8:4: ", "3 fields, expected 4", "must be written, as NA"))),
    Row(65, "between tabs under a header with blanks",
        both(EMPTY_HEIGHT, line("pheno", 1, lambda text: text.replace(b"\t", b" "))),
        Refused(3, "E406", ("pheno.tsv:8:4: ", "3 fields, expected 4"))),
)  # fmt: skip


# --- 72: nothing in it ------------------------------------------------------------------------


def fam_has_a_trait(files: StudyFiles, study: Study) -> None:
    """The sixth column of the .fam holds numbers, which nobody asked for."""
    lines = files.fam.read_text().splitlines()
    files.fam.write_text("".join(f"{text.rsplit(chr(9), 1)[0]}\t{k % 7}.5\n"
                                 for k, text in enumerate(lines)))  # fmt: skip


def empty(name: str, data: bytes, code: str, *words: str) -> Row:
    """An empty table, which the .fam's own trait must not replace."""
    spoil = both(fam_has_a_trait, written("pheno", data))
    return Row(72, name, spoil, Refused(4, code, words))


NO_ROWS = (
    empty("empty file", b"", "E405", "pheno.tsv:1:1: ", "empty"),
    empty("blank lines", b"\n \t\n\n", "E405", "pheno.tsv:1:1: ", "empty"),
    empty("byte order mark only", b"\xef\xbb\xbf", "E405", "empty"),
    empty("header only", b"FID\tIID\theight\n", "E405", "pheno.tsv:2:1: ", "a header and no rows"),
    empty("header cut short", b"FID\tIID\theig", "E405", "a header and no rows"),
    empty("IDs only", b"FID\tIID\nF00\tS000\n", "E405", "pheno.tsv:1:3: ", "no column besides"),
    Row(72, "no file", removed("pheno"), Refused(7, "E110", ("pheno.tsv", "no such file"))),
)


# --- 77, 78: overlap --------------------------------------------------------------------------


def ids(*words: str) -> Refused:
    return Refused(4, "E304", ("0 of 118 samples of the trait table", "'F00 S000'", *words))


def family_of(iid: str) -> str:
    return f"F{int(iid[1:]) // 6:02d}"


def swap(study: Study) -> None:
    for people in (study.pheno, study.covar):
        people.rows = [[row[1], row[0], *row[2:]] for row in people.rows]


def other_families(study: Study) -> None:
    for people in (study.pheno, study.covar):
        people.rows = [[row[1], *row[1:]] for row in people.rows]


def only_first(count: int) -> Callable[[str], str]:
    """Keep the IIDs of the first samples only."""
    return lambda iid: iid if int(iid[1:]) < count else f"{iid}x"


def frequencies_of(count: int) -> Look:
    """Frequencies and counts are those of the analysed samples, decoded here."""

    def look(files: StudyFiles, prefix: Path) -> None:
        from conftest import simulate_study

        study = simulate_study()
        values = study.pheno.numbers("height")[:count]
        analysed = np.flatnonzero(~np.isnan(values) & (np.arange(count) != 70))
        found = table(prefix)
        autosomal = [k for k in range(240) if study.marker[k] in found.index]
        assert len(autosomal) > 200
        for k in autosomal:
            calls = study.calls[k, analysed]
            calls = calls[calls != MISSING]
            row = found.loc[study.marker[k]]
            assert row["n"] == calls.size
            # Eight significant digits.
            np.testing.assert_allclose(row["effect_allele_frequency"], calls.mean() / 2, rtol=1e-7)

    return look


OVERLAP = (
    Row(77, "other IDs", renamed(lambda iid: f"X{iid}"),
        ids("'F00 XS000'", "the table has 'X' before the IIDs")),
    Row(77, "case", renamed(str.lower), ids("upper and lower case differ")),
    Row(77, "zeros", renamed(lambda iid: f"0{iid}"), ids("leading zeros differ")),
    Row(77, "joined", renamed(lambda iid: f"{family_of(iid)}_{iid}"), ids("by '_'")),
    Row(77, "swapped", study_with(swap), ids("swapped")),
    Row(77, "other families", study_with(other_families), ids("the FIDs do not")),
    Row(78, "88 percent", renamed(only_first(104)),
        Accepted("W305", ("104 of 118 samples of the trait table", "dropped: NOT_IN_PHENO",
                          "only in the trait table"),
                 all_of(frequencies_of(104), reasons({"S104": "NOT_IN_PHENO"})))),
    Row(78, "45 percent", renamed(only_first(53)),
        Accepted("W304", ("53 of 118 samples",), frequencies_of(53))),
    Row(78, "92 percent", renamed(only_first(109)),
        Accepted(None, ("in the trait table               109",),
                 all_of(frequencies_of(109), unwarned))),
)  # fmt: skip


# --- 79 to 83: lines and names ----------------------------------------------------------------

HEADER = ("pheno.tsv:1:1: ", "no header", "line 1 must begin with FID IID")


def cut_last(n_bytes: int) -> Spoil:
    return edited("pheno", lambda data: data[:-n_bytes])


def doubled(changed: bool) -> Spoil:
    """Sample S003 stands on lines 5 and 120."""

    def change(lines: list[bytes]) -> None:
        lines.append(lines[4].replace(b"\t1", b"\t2", 1) if changed else lines[4])

    return lines_edited("pheno", change)


def without_fid(files: StudyFiles, study: Study) -> None:
    for path in (files.pheno, files.covar):
        path.write_text(re.sub(r"(?m)^[^\t]*\t", "", path.read_text()))


def text_covariate(files: StudyFiles, study: Study) -> None:
    study.covar.set("site", 7, '"north')
    study.write(files.folder)


DOUBLE = Refused(3, "E407", ("pheno.tsv:120:2: ", "F00 S003", "lines 5 and 120"))

LINES = (
    Row(79, "no header", without_line("pheno", 1),
        Refused(3, "E410", ("pheno.tsv:1:3: ", "looks like data", "--no-header"))),
    Row(79, "no header, first value missing", both(without_line("pheno", 1),
        fields("pheno", 3, {1: "NA"})), Refused(3, "E410", ("third field 'NA'", "--no-header"))),
    Row(79, "small letters", fields("pheno", 2, {1: "iid"}), Refused(3, "E410", HEADER)),
    Row(79, "IID FID", line("pheno", 1, lambda text: text.replace(b"FID\tIID", b"IID\tFID")),
        Refused(3, "E410", ("pheno.tsv:1:1: ", "exchange them"))),
    Row(79, "quoted header", replaced("pheno", b"FID\tIID", b'"FID"\t"IID"'),
        Refused(3, "E410", ("quotation marks are data",))),
    Row(79, "--no-header", both(without_line("pheno", 1), options("--no-header"),
        without_line("covar", 1), options("--pheno-name", "V1", "--covar-name", "C1",
                                          "--cat-covar-name", "C2")),
        Accepted(None, ("Trait V1: 115 values, 3 missing",), unwarned)),
    Row(79, "--no-header with a header", options("--no-header"),
        Refused(3, "E410", ("pheno.tsv:1:1: ", "leave out --no-header"))),
    Row(80, "short line", line("pheno", 10, lambda text: text.rsplit(b"\t", 1)[0]),
        Refused(3, "E406", ("pheno.tsv:10:4: ", "short line: 3 fields, expected 4"))),
    Row(80, "long line", line("pheno", 10, lambda text: text + b"\t1"),
        Refused(3, "E406", ("pheno.tsv:10:5: ", "long line: 5 fields, expected 4"))),
    Row(80, "short header", line("pheno", 1, lambda text: text.rsplit(b"\t", 1)[0]),
        Refused(3, "E406", ("pheno.tsv:2:4: ", "long line", "98 more problems"))),
    Row(80, "blank line", line("pheno", 10, lambda text: b""),
        Refused(3, "E406", ("pheno.tsv:10:2: ", "expected 4"))),
    Row(80, "blanks in place of a tab", line("pheno", 10, lambda text: text.replace(b"\t", b" ")),
        Refused(3, "E406", ("pheno.tsv:10:2: ", "blanks instead of a tab"))),
    Row(80, "decimal commas between commas", both(with_delimiter(b","),
        line("pheno", 8, lambda text: text.replace(b".", b",", 1))),
        Refused(3, "E406", ("pheno.tsv:8:5: ", "a decimal comma"))),
    Row(80, "cut within the last value", cut_last(3),
        Accepted("W401", ("pheno.tsv:119: the last line has no line end", "F19 S117",
                          "in column 'weight'"))),
    Row(80, "cut before the last line end", cut_last(1),
        Accepted("W401", ("no line end",), same_as())),
    Row(80, "cut within the last IID", cut_last(15),
        Refused(3, "E406", ("pheno.tsv:119:3: ", "short line"))),
    Row(80, "blank lines at the end", edited("pheno", lambda data: data + b"\n\t\n\n"),
        Accepted(None, (), all_of(same_as(), unwarned))),
    Row(81, "identical lines", doubled(False), DOUBLE),
    Row(81, "other values", doubled(True), DOUBLE),
    Row(81, "without FID", both(doubled(True), without_fid),
        Refused(3, "E407", ("pheno.tsv:120:1: ", "S003", "lines 5 and 120"))),
    Row(81, "no FID and FID 0", lines_edited("pheno", lambda lines: lines.extend(
        [b"0\tX1\t1\t2", b"\tX1\t1\t2"])), Refused(3, "E407", ("lines 120 and 121",))),
    Row(82, "a name twice", fields("pheno", 4, {1: "height"}),
        Refused(3, "E409", ("pheno.tsv:1:4: ", "columns 3 and 4", "'height'"))),
    Row(82, "no name", fields("pheno", 4, {1: ""}),
        Refused(3, "E409", ("pheno.tsv:1:4: ", "column 4 has no name"))),
    Row(82, "a column that is not there", options("--pheno-name", "hieght"),
        Refused(4, "E411", ("pheno.tsv:1: ", "'hieght'", "did you mean height"))),
    Row(82, "another case", options("--pheno-name", "weight,HEIGHT,bmi"),
        Refused(4, "E411", ("'HEIGHT'", "did you mean height", "'bmi'"))),
    Row(82, "names without names", options("--pheno-name", "height,,weight"),
        Refused(2, "E411", ("comma",))),
    Row(83, "in an ID", replaced("pheno", b"S007", b'"S007'),
        Accepted("W401", ("quotation marks on 1 lines",), reasons({"S007": "NOT_IN_PHENO"}))),
    Row(83, "around a value", fields("pheno", 3, {8: '"170.5"'}),
        Refused(3, "E401", ("pheno.tsv:8:3: ", "'\"170.5\"'"))),
    Row(83, "around all IDs", every_line("pheno", lambda text: re.sub(rb"(S\d+)", rb'"\1"', text)),
        Refused(4, "E304", ("'F00 \"S000\"'",))),
    Row(83, "unbalanced in a category", text_covariate,
        Accepted("W401", ("quotation marks on 1 lines", "(4 levels)"))),
)  # fmt: skip


# --- 84 to 86: gzip ---------------------------------------------------------------------------


def flipped(place: int) -> Callable[[bytes], bytes]:
    """Pack, and change one bit of the byte at this place."""

    def pack(data: bytes) -> bytes:
        packed = bytearray(gzip.compress(data, mtime=0))
        packed[place] ^= 4
        return bytes(packed)

    return pack


def shortened(n_bytes: int) -> Callable[[bytes], bytes]:
    return lambda data: gzip.compress(data, mtime=0)[:-n_bytes]


def by_lines(data: bytes) -> bytes:
    """One gzip member for each line, and an empty one."""
    lines = data.splitlines(keepends=True)
    return b"".join(gzip.compress(text, mtime=0) for text in [*lines, b""])


def in_bgzf(data: bytes) -> bytes:
    """As bgzip packs: members with their size in an extra field, and an end mark."""

    def block(text: bytes) -> bytes:
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(text) + packer.flush()
        head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25)
        return head + body + struct.pack("<II", zlib.crc32(text), len(text))

    return block(data[:1000]) + block(data[1000:]) + block(b"")


def bomb(data: bytes) -> bytes:
    """300 KiB that unpack to 300 MiB of lines."""
    member = gzip.compress(b"F00\tS000\t1.5\t2.5\n" * 61_680, mtime=0)
    return gzip.compress(data) + member * 300


def long_line(data: bytes) -> bytes:
    return data + b"F\tI\t1\t" + b"2" * (1 << 24) + b"\n"


GZIPPED = renamed_to("pheno.tsv.gz", lambda data: gzip.compress(data, mtime=0))


def broken(name: str, pack: Callable[[bytes], bytes], *words: str) -> Row:
    where = ("pheno.tsv.gz", *words)
    return Row(84, name, renamed_to("pheno.tsv.gz", pack), Refused(3, "E601", where))


GZIP = (
    Row(84, "sound", GZIPPED, Accepted(look=all_of(same_as(), unwarned))),
    broken("truncated", shortened(20), "truncated copy?", "compressed byte"),
    broken("half", lambda data: gzip.compress(data)[:900], "at compressed byte 900"),
    broken("checksum cut off", shortened(8), "truncated copy?"),
    broken("one byte short", shortened(1), "truncated copy?"),
    broken("first bytes only", lambda data: gzip.compress(data)[:5], "truncated copy?"),
    broken("checksum wrong", flipped(-8), "damaged", "compressed byte"),
    broken("length wrong", flipped(-2), "damaged", "compressed byte"),
    broken("a bit flipped", flipped(500), "damaged", "compressed byte"),
    broken("garbage after it", lambda data: gzip.compress(data) + b"junk",
           "4 bytes of garbage", "at compressed byte"),
    broken("zeros after it", lambda data: gzip.compress(data) + bytes(512), "512 bytes of garbage"),
    broken("0 bytes", lambda data: b"", "0 bytes"),
    Row(84, "of nothing", renamed_to("pheno.tsv.gz", lambda data: gzip.compress(b"")),
        Refused(4, "E405", ("pheno.tsv.gz:1:1: ", "empty"))),
    Row(84, "no gzip but its name", renamed_to("pheno.tsv.gz", lambda data: data),
        Accepted(look=same_as())),
    Row(84, "gzip without its name", edited("pheno", gzip.compress), Accepted(look=same_as())),
    Row(84, "zip", edited("pheno", lambda data: b"PK\x03\x04" + data),
        Refused(3, "E206", ("zip archive or an Excel workbook",))),
    Row(85, "a member for each line", renamed_to("pheno.tsv.gz", by_lines),
        Accepted(look=all_of(same_as(), unwarned))),
    Row(85, "bgzip", renamed_to("pheno.tsv.gz", in_bgzf),
        Accepted(look=all_of(same_as(), unwarned))),
    Row(86, "a bomb", renamed_to("pheno.tsv.gz", bomb),
        Refused(3, "E601", ("unpack to more than", "does not pack so well"))),
    Row(86, "a line without end", edited("pheno", long_line),
        Refused(3, "E207", ("pheno.tsv:120:1: ", "longer than 16777216 bytes"))),
    Row(86, "a line without end, packed",
        renamed_to("pheno.tsv.gz", lambda data: gzip.compress(long_line(data), 1)),
        Refused(3, "E207", ("pheno.tsv.gz:120:1: ", "longer than 16777216 bytes"))),
)  # fmt: skip

ROWS = (*EMPTY, *NO_ROWS, *OVERLAP, *LINES, *GZIP)

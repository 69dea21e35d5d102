"""Section A of the catalogue: the .bed, and what it can tell of a wrong .bim or .fam.

The study has 118 samples and 286 variants: 30 bytes each, of which the last holds two samples.
"""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bed_oracle import encode
from conftest import Study, StudyFiles

from catalogue.rows import Accepted, Elsewhere, Refused, Row, Spoil
from catalogue.spoil import (
    both,
    edited,
    options,
    removed,
    study_with,
    with_line,
    without_line,
    written,
)

WIDTH = 30
STRANGER = b"F99\tS999\t0\t0\t1\t-9"
WRONG_PEOPLE = "genotypes would go to the wrong people"
QUICK = options("--h2", "0", "--pheno-name", "height")


def bed(number: int, name: str, spoil: Spoil, code: str, *words: str) -> Row:
    """A .bed that is refused; the message names the file."""
    return Row(number, name, spoil, Refused(3, code, ("study.bed: ", *words)))


# --- 1 to 3: size -----------------------------------------------------------------------------

SIZES = (
    bed(1, "1 byte short", edited("bed", lambda b: b[:-1]), "E101", "8582 bytes, expected 8583",
        "3 + 286 variants x ceil(118 samples/4)", "short by 1", "truncated copy?"),
    bed(2, "half a file", edited("bed", lambda b: b[: len(b) // 2]), "E101", "expected 8583",
        "short by 4292", "truncated copy?"),
    bed(2, "header only", edited("bed", lambda b: b[:3]), "E101", "3 bytes, expected 8583"),
    bed(3, "2 bytes more", edited("bed", lambda b: b + b"\0\0"), "E101", "2 too many"),
    bed(3, "2 variants more", edited("bed", lambda b: b + b[3 : 3 + 2 * WIDTH]), "E101",
        "60 too many", "fits 288 variants, study.bim has 286 (2 lines short?)"),
    bed(3, "another .bed appended", edited("bed", lambda b: b + b), "E101", "8583 too many"),
    bed(3, "another .bed appended without its header", edited("bed", lambda b: b + b[3:]),
        "E101", "fits 572 variants, study.bim has 286 (286 lines short?)"),
)  # fmt: skip

# --- 4 to 8: what is no variant-major .bed ----------------------------------------------------

OTHER_FORMATS = {
    "gzip": (gzip.compress, "gunzip"),
    "zstd": (lambda b: b"\x28\xb5\x2f\xfd" + b, "zstd -d"),
    "bzip2": (lambda b: b"BZh9" + b, "bunzip2"),
    "VCF": (lambda b: b"##fileformat=VCFv4.3\n#CHROM\tPOS\n", "plink2 --vcf FILE --make-bed"),
    "packed VCF": (lambda b: gzip.compress(b"##fileformat=VCFv4.3\n"), "plink2 --vcf FILE"),
    "BCF": (lambda b: b"BCF\x02\x02" + b, "plink2 --bcf FILE --make-bed"),
    "PGEN": (lambda b: b"\x6c\x1b\x10" + b[3:], "plink2 --pfile PREFIX --make-bed"),
    "PGEN of another mode": (lambda b: b"\x6c\x1b\x02" + b[3:], "plink2 --pfile PREFIX"),
    "BGEN": (lambda b: bytes(16) + b"bgen" + b, "plink2 --bgen FILE ref-first --make-bed"),
    "intervals": (lambda b: b"chr1\t100\t200\n" * 9, "genome intervals"),
}  # fmt: skip


def individual_major(files: StudyFiles, study: Study) -> None:
    """A row for each sample, as PLINK 1.07 could write it."""
    files.bed.write_bytes(b"\x6c\x1b\x00" + encode(study.calls.T.tolist())[3:])


def special(make: Callable[[Path], object]) -> Spoil:
    """Something that is no regular file in place of the .bed."""

    def spoil(files: StudyFiles, study: Study) -> None:
        files.bed.unlink()
        make(files.bed)

    return spoil


FORMATS = (
    bed(4, "wrong magic", edited("bed", lambda b: b"\x6c\x1c" + b[2:]), "E102",
        "it begins 6c 1c 01, expected 6c 1b 01"),
    bed(4, "random bytes", written("bed", bytes(range(200, 250)) * 200), "E102",
        "it begins c8 c9 ca", "could not be told"),
    *(bed(5, name, edited("bed", edit), "E102", name.split()[-1] if "of" not in name else "PGEN",
          remedy) for name, (edit, remedy) in OTHER_FORMATS.items()),
    bed(6, "mode byte 00, variant-major size", edited("bed", lambda b: b[:2] + b"\0" + b[3:]),
        "E103", "mode byte is 00", "the size, 8583 bytes, is that of a variant-major file"),
    bed(7, "individual-major", individual_major, "E103", "individual-major",
        "convert it with plink2 --make-bed"),
    *(bed(8, f"{n} bytes", edited("bed", lambda b, n=n: b[:n]), "E101", f"{n} bytes, ",
          "truncated copy?") for n in range(4)),
    bed(8, "a folder", special(Path.mkdir), "E105", "not a regular file", "copy the data"),
    bed(8, "a pipe", special(os.mkfifo), "E105", "not a regular file", "random access"),
    bed(8, "a device", special(lambda path: path.symlink_to("/dev/zero")), "E105",
        "not a regular file"),
)  # fmt: skip

# --- 9 to 12: the last byte of each variant ---------------------------------------------------


def of_n(n: int) -> Spoil:
    """The study without its last samples."""
    return study_with(lambda study: study.take_samples(np.arange(n)))


def strangers(count: int, line: int) -> Spoil:
    """Lines too many in the .fam."""
    return both(*(with_line("fam", line, STRANGER.replace(b"99", b"9%d" % k))
                  for k in range(count)))  # fmt: skip


def surplus(name: str, spoil: Spoil, n_lines: int, n: int) -> Row:
    """A .fam with lines too many; no sample of the study is homozygous A1 throughout."""
    words = (f"the last {n_lines} of {n} samples", "homozygous A1 in all 286 variants",
             f"does the .fam have {n_lines} lines too many?", WRONG_PEOPLE)  # fmt: skip
    return bed(10, name, spoil, "E104", *words)


def always_homozygous(*samples: int) -> Spoil:
    """Samples with two copies of A1 at every variant."""

    def change(study: Study) -> None:
        study.calls[:, samples] = 2

    return study_with(change)


def few_variants(study: Study) -> None:
    """A study of 40 variants whose last sample is homozygous A1 throughout."""
    rows = np.r_[20:30, 80:90, 140:150, 200:210]
    study.calls = study.calls[rows]
    study.calls[:, -1] = 2
    for name in ("chrom", "pos", "marker", "effect", "other"):
        setattr(study, name, [getattr(study, name)[k] for k in rows])


def dirty(*variants: int) -> Spoil:
    """Set the bits behind the last sample."""

    def edit(data: bytes) -> bytes:
        raw = bytearray(data)
        for j in variants:
            raw[3 + (j + 1) * WIDTH - 1] |= 0b1101_0000
        return bytes(raw)

    return edited("bed", edit)


PADDING = "bits after the last of {} samples are set in {} of 286 variants"
LAST_BYTES = (
    *(bed(9, f"line {k} deleted", without_line("fam", k), "E104", "bits after the last of 117 "
          "samples", "does the .fam lack a line?", WRONG_PEOPLE) for k in (1, 41, 118)),
    surplus("1 line at the end", strangers(1, 119), 1, 119),
    surplus("1 line at the beginning", strangers(1, 1), 1, 119),
    surplus("1 line in the middle", strangers(1, 60), 1, 119),
    surplus("2 lines", strangers(2, 119), 2, 120),
    surplus("3 lines", both(of_n(117), strangers(3, 30)), 3, 120),
    Row(10, "genuine, as another sample is", always_homozygous(10, 117), Accepted(
        "W201", ("the last 1 of 118 samples (S117) are homozygous A1 in all 286 variants",
                 "if that is not so, the .fam has lines too many"))),
    Row(10, "genuine, few variants", both(study_with(few_variants), QUICK), Accepted(
        "W201", ("the last 1 of 118 samples (S117) are homozygous A1 in all 40 variants",))),
    bed(11, ".bim 1 line short", without_line("bim", 101), "E101", "expected 8553",
        "the size fits 286 variants, study.bim has 285 (1 lines short?)"),
    bed(11, ".bim 1 line long", with_line("bim", 7, b"1\trsX\t0\t5\tA\tG"), "E101",
        "the size fits 286 variants, study.bim has 287 (1 lines too long?)", "short by 30"),
    bed(12, "padding set in 2 variants", dirty(0, 285), "E104", PADDING.format(118, 2),
        "a converter wrote the .bed that leaves unused bits set", "plink2 --make-bed repairs it"),
    bed(12, "padding set in all", dirty(*range(286)), "E104", PADDING.format(118, 286)),
)  # fmt: skip

# --- 13 to 16: files that change, fail, are absent or empty -----------------------------------


def all_removed(files: StudyFiles, study: Study) -> None:
    """A mistyped prefix: the three files have another name."""
    for path in (files.bed, files.bim, files.fam):
        path.rename(path.with_stem("stuby"))


def missing(file: str, near: str) -> Row:
    """One file of the set is not there."""
    words = (f"study.{file}: ", "no such file", "similar names in its folder: ", near)
    return Row(15, f"no .{file}", removed(file), Refused(7, "E110", words))


def empty(name: str, spoil: Spoil, words: tuple[str, ...]) -> Row:
    """Nothing to analyse."""
    return Row(16, name, spoil, Refused(4, "E107", words))


FILES = (
    Elsewhere(13, "size, time, inode, name", "test_io_bed.py::test_a_changed_file_is_noticed"),
    Elsewhere(13, "ESTALE", "test_io_bed.py::test_after_a_stale_handle_another_file_is_not_read"),
    Elsewhere(13, "text files", "test_io_plink.py::test_changed_text_files_are_noticed"),
    Elsewhere(13, "through the CLI", "test_io_bed.py::test_a_run_whose_files_change_ends_with_7"),
    Elsewhere(14, "EINTR, ESTALE", "test_io_bed.py::test_a_fault_that_passes_is_survived"),
    Elsewhere(14, "EIO", "test_io_bed.py::test_a_fault_that_stays_is_said_with_its_place"),
    Elsewhere(14, "short read", "test_io_bed.py::test_a_file_cut_while_running"),
    Elsewhere(14, "through the CLI", "test_io_bed.py::test_a_run_that_cannot_read_ends_with_7"),
    missing("bed", "study.bim"),
    missing("bim", "study.bed"),
    missing("fam", "study.bed"),
    Row(15, "another prefix", all_removed, Refused(7, "E110", tuple(
        f"study.{file}: no such file; similar names in its folder: stuby.{file}"
        for file in ("bed", "bim", "fam")))),
    Elsewhere(15, "permission", "test_io_plink.py::test_files_that_may_not_be_read_are_named"),
    empty("empty .fam", written("fam", b""), ("study.fam: ", "no samples")),
    empty("empty .bim", written("bim", b""), ("study.bim: ", "no variants")),
    empty("blank .bim", written("bim", b" \n\t\n"), ("study.bim: ", "no variants")),
    empty("nothing at all", both(written("bim", b""), written("fam", b"\n")), ("no samples",)),
)  # fmt: skip

ROWS: tuple[Row | Elsewhere, ...] = (*SIZES, *FORMATS, *LAST_BYTES, *FILES)

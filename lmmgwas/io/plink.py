"""PLINK 1 file sets: the .bim and .fam, and the .bed after it was held against them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmmgwas.errors import FileAccessError, FormatError, MismatchError, Problem
from lmmgwas.io.bed import BedFile, audit_last_bytes, check_header, check_size
from lmmgwas.io.bim_kernels import parse_plain
from lmmgwas.io.text import (
    Remarks,
    TextFile,
    access_error,
    file_identity,
    is_number,
    one_tab,
    read_text,
    refuse_rows,
    shown,
    string_columns,
)
from lmmgwas.model.genotypes import Calls, Indices, RawVariants, Samples

MAX_POSITION = 2**31 - 1
MAX_ALLELE_BYTES = 1 << 20

_BIM_COLUMNS = ("chrom", "marker_id", "cm", "pos", "effect_allele", "other_allele")
_FOREIGN = (b"#CHROM", b"##fileformat")


def read_bim(path: str | Path) -> tuple[RawVariants, Remarks]:
    """Read a .bim file; return its variants and what is to be said about it.

    Notes: CRLF, byte order mark, no cM column, odd cM values. Warnings: unknown positions.

    Raises
    ------
    FormatError
        E201 (columns), E202 (blank line), E203 (position), E204 (a .pvar), E205 (several
        alleles in one), E207 (allele too long), and those of `read_text`.
    """
    file = read_text(path)
    foreign = file.body.startswith(_FOREIGN)
    plain = None if foreign else parse_plain(file.body, MAX_POSITION, MAX_ALLELE_BYTES)
    if plain is not None:
        marker, effect, other = plain.strings
        variants = RawVariants(plain.labels, plain.label_code, plain.pos, marker, effect, other)
        return variants, file.remarks + _bim_remarks(plain.n_odd_cm, plain.n_unknown, file.path)
    return _read_bim_the_long_way(file)


def _read_bim_the_long_way(file: TextFile) -> tuple[RawVariants, Remarks]:
    """Read a .bim with blanks, without cM, or with something to refuse."""
    body = one_tab(file.body)
    if body.startswith(_FOREIGN):
        message = "this is a .pvar or VCF file, not a .bim: convert it with plink2 --make-bed"
        raise FormatError("E204", message, f"{file.path}:1")
    width = _check_bim_lines(body, file.path)
    names = [name for name in _BIM_COLUMNS if name != "cm" or width == len(_BIM_COLUMNS)]
    columns = string_columns(body, names)
    pos = _positions(columns["pos"], file.path)
    for name in ("effect_allele", "other_allele"):
        _check_alleles(columns[name], file.path)
    chrom = columns["chrom"].dictionary_encode()
    variants = RawVariants(
        labels=tuple(chrom.dictionary.to_pylist()),
        label_code=np.array(chrom.indices, dtype=np.int32),
        pos=pos,
        marker_id=columns["marker_id"],
        effect_allele=columns["effect_allele"],
        other_allele=columns["other_allele"],
    )
    n_odd = _count_odd(columns["cm"]) if "cm" in columns else None
    return variants, file.remarks + _bim_remarks(n_odd, int((pos <= 0).sum()), file.path)


def read_fam(path: str | Path) -> tuple[Samples, Remarks]:
    """Read a .fam file; return its samples and what is to be said about it.

    FID 0 becomes "". Sex is 1 or 2, anything else 0. Columns after the sixth are ignored.
    Notes: CRLF, byte order mark, FID 0, unknown sex codes, fewer than 6 or more columns.

    Raises
    ------
    FormatError
        E301 (duplicate sample), E302 (IID 0), E303 (columns), E204 (a .psam).
    """
    file = read_text(path)
    # bytes.split() splits at blanks and tabs only; str.split() would also at Unicode blanks.
    lines = file.body.rstrip(b" \t\n").split(b"\n") if file.body.strip(b" \t\n") else []
    rows = [line.split(maxsplit=6) for line in lines]
    _check_fam_lines(rows, file.path)
    fid = tuple("" if row[0] == b"0" else row[0].decode("utf-8") for row in rows)
    iid = tuple(row[1].decode("utf-8") for row in rows)
    _check_fam_ids(fid, iid, file.path)
    codes = [row[4] if len(row) > 4 else b"0" for row in rows]
    sex = np.array([{b"1": 1, b"2": 2}.get(code, 0) for code in codes], dtype=np.int8)
    notes = []
    if n_zero := fid.count(""):
        notes.append(f"{file.path}: FID 0 of {n_zero} samples was read as no FID")
    if n_odd := sum(code not in (b"0", b"1", b"2") for code in codes):
        notes.append(f"{file.path}: sex codes other than 0, 1, 2 of {n_odd} samples mean unknown")
    if rows and len(rows[0]) < 6:
        notes.append(f"{file.path}: {len(rows[0])} columns, accepted (PLINK writes 6)")
    if any(len(row) > 6 for row in rows):
        notes.append(f"{file.path}: the columns after the sixth were ignored")
    parents = [(row[2], row[3]) if len(row) > 3 else (b"0", b"0") for row in rows]
    founder = np.array([pair == (b"0", b"0") for pair in parents], dtype=np.bool_)
    return Samples(fid, iid, sex, founder), file.remarks + Remarks(tuple(notes))


class BedSource:
    """A PLINK 1 file set as a `GenotypeSource`. Calls count the allele of .bim column 5."""

    def __init__(
        self,
        paths: tuple[Path, Path, Path],
        samples: Samples,
        variants: RawVariants,
        remarks: Remarks,
    ) -> None:
        self.samples = samples
        self.variants = variants
        self.notes = remarks.notes
        self.warnings = remarks.warnings
        self._paths = paths
        self._identities = tuple(file_identity(path) for path in paths)
        self._bed = BedFile(paths[0], len(samples))

    @classmethod
    def open(cls, bed: str | Path, bim: str | Path, fam: str | Path) -> "BedSource":
        """Read the .bim and .fam and hold the .bed against them.

        Raises
        ------
        FormatError
            E101 (size), E102 (not a .bed), E103 (individual-major), E104 (last byte), E105 (not
            a regular file), and those of `read_bim` and `read_fam`.
        MismatchError
            E107: no variants or no samples.
        FileAccessError
            E110: a file is missing or cannot be read.
        """
        paths = (Path(bed), Path(bim), Path(fam))
        samples, fam_remarks = read_fam(paths[2])
        variants, bim_remarks = read_bim(paths[1])
        n, m = len(samples), len(variants)
        for count, what, path in ((n, "samples", paths[2]), (m, "variants", paths[1])):
            if not count:
                message = f"the file holds no {what}: nothing can be analysed"
                raise MismatchError("E107", message, str(path))
        try:
            check_header(paths[0])
            check_size(paths, n, m)
            warning = audit_last_bytes(paths[0], samples, m)
            remarks = fam_remarks + bim_remarks + Remarks(warnings=(warning,) if warning else ())
            return cls(paths, samples, variants, remarks)
        except OSError as error:
            raise access_error(paths[0], error) from error

    def read(self, variant_index: Indices) -> Calls:
        """Return the calls (b, n) of these variants for all samples, C-contiguous.

        Raises FileAccessError (E110) with the variants and the byte offset.
        """
        index = np.ascontiguousarray(variant_index, dtype=np.int64)
        n = len(self.samples)
        if not index.size:
            return np.empty((0, n), dtype=np.int8)
        first, last = int(index.min()), int(index.max())
        if first < 0 or last >= len(self.variants):
            raise IndexError(f"variants {first} to {last} of {len(self.variants)}")
        calls: Calls = self._bed.read(index)
        return calls

    def paths(self) -> tuple[Path, Path, Path]:
        """Return the .bed, .bim and .fam files."""
        return self._paths

    def check_unchanged(self) -> None:
        """Refuse (E106) files that are not those that were opened: another size, time or inode."""
        for path, before in zip(self._paths, self._identities, strict=True):
            if file_identity(path) != before:
                message = "the file was changed or replaced during the run: start again"
                raise FileAccessError("E106", message, str(path))


def _check_bim_lines(body: bytes, path: str) -> int:
    """Return the number of columns, 6 or 5, which every line has."""
    if not body:
        return len(_BIM_COLUMNS)
    data = np.frombuffer(body + b"\n", dtype=np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    tabs = np.flatnonzero(data == ord("\t"))
    n_fields = np.diff(np.searchsorted(tabs, ends), prepend=0) + 1
    blank = np.diff(ends, prepend=-1) == 1
    message = "blank line within the file: remove it, or restore the variant that was here"
    refuse_rows("E202", np.flatnonzero(blank), path, lambda row: message)
    width = 5 if (n_fields == 5).all() else 6
    expected = "expected 6 (chromosome, ID, cM, position, allele 1, allele 2)"
    wrong = np.flatnonzero(n_fields != width)
    refuse_rows("E201", wrong, path, lambda row: f"{n_fields[row]} columns, {expected}")
    return width


def _positions(texts: Any, path: str) -> Indices:
    def say(row: int) -> str:
        return _bad_position(texts[row].as_py(), row)

    plain = np.array(pc.match_substring_regex(texts, r"^-?[0-9]{1,18}$"), dtype=np.bool_)
    refuse_rows("E203", np.flatnonzero(~plain), path, say)
    pos = np.array(texts.cast(pa.int64()), dtype=np.int64)
    refuse_rows("E203", np.flatnonzero(pos > MAX_POSITION), path, say)
    return pos


def _bad_position(text: str, row: int) -> str:
    if text.isascii() and text.lstrip("-").isdecimal():
        hint = "the number is too large: is it in base pairs?"
    elif is_number(text):
        hint = "exported from Excel or R? Write it in full, without sign, point and exponent"
    elif row == 0:
        hint = "a .bim file has no header: remove line 1 if it is one"
    else:
        hint = "column 4 holds base pairs; write 0 where the position is unknown"
    return f"position {shown(text)} is not an integer up to {MAX_POSITION}; {hint}"


def _check_alleles(alleles: Any, path: str) -> None:
    remedy = "split the variant with `bcftools norm -m-` or plink2, and convert it again"
    said = f"is several alleles, not one: {remedy}"
    several = np.flatnonzero(np.array(pc.match_substring(alleles, ","), dtype=np.bool_))
    refuse_rows("E205", several, path, lambda row: f"{shown(alleles[row].as_py())} {said}")
    lengths = np.array(pc.binary_length(alleles), dtype=np.int64)
    limit = f"at most {MAX_ALLELE_BYTES} are read: name it <DEL> or the like"
    too_long = np.flatnonzero(lengths > MAX_ALLELE_BYTES)
    refuse_rows("E207", too_long, path, lambda row: f"allele of {lengths[row]} bytes; {limit}")


def _count_odd(cm: Any) -> int:
    """How many cM values do not begin as a number that is not negative does."""
    return len(cm) - int(pc.sum(pc.match_substring_regex(cm, r"^[0-9.]")).as_py() or 0)


def _bim_remarks(n_odd_cm: int | None, n_unknown: int, path: str) -> Remarks:
    """What is to be said of odd cM values (None: there is no such column), unknown positions."""
    notes, warnings = [], []
    if n_odd_cm is None:
        notes.append(f"{path}: 5 columns, accepted (no cM column)")
    elif n_odd_cm:
        notes.append(f"{path}: negative or missing cM on {n_odd_cm} lines (cM is not used)")
    if n_unknown:
        warnings.append(
            f"{path}: {n_unknown} variants have position 0 or less, which means unknown: they are "
            "tested, written with position 0 and left out of the Manhattan plot"
        )
    return Remarks(tuple(notes), tuple(warnings))


def _check_fam_lines(rows: list[list[bytes]], path: str) -> None:
    if not rows:
        return
    if rows[0][:1] in ([b"#FID"], [b"#IID"]) or rows[0][:2] == [b"FID", b"IID"]:
        message = "this is a .psam or has a header: convert it with plink2 --make-bed"
        raise FormatError("E204", f"{message}, or remove line 1", f"{path}:1")
    width = len(rows[0]) if 4 <= len(rows[0]) < 6 else 6
    n_fields = np.array([min(len(row), 6) for row in rows])
    expected = f"expected {width} (FID, IID, father, mother, sex, phenotype): mend the line"
    wrong = np.flatnonzero(n_fields != width)
    refuse_rows("E303", wrong, path, lambda row: f"{len(rows[row])} columns, {expected}")


def _check_fam_ids(fid: tuple[str, ...], iid: tuple[str, ...], path: str) -> None:
    first: dict[tuple[str, str], int] = {}
    problems = []
    for line, key in enumerate(zip(fid, iid, strict=True), 1):
        if key[1] == "0":
            message = "IID 0 means no ID: give the sample its ID"
            problems.append(Problem("E302", message, f"{path}:{line}"))
        elif (earlier := first.setdefault(key, line)) != line:
            message = f"sample {key[0] or '0'} {key[1]} is on lines {earlier} and {line}"
            remedy = "give each sample an ID of its own (plink2 --update-ids)"
            problems.append(Problem("E301", f"{message}: {remedy}", f"{path}:{line}"))
    if problems:
        raise FormatError.of(problems)

"""The .pvar of a PLINK 2 file set: its variants, in the order of the genotypes.

The last of the lines that begin with # names the columns: CHROM, POS, ID, REF and ALT, and
perhaps QUAL, FILTER, INFO and CM, which are not read but for one flag. Without such lines the
file is a .bim. ALT is the effect allele, as `plink2 --make-bed` writes it to column 5 of the .bim.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmgwas.errors import FormatError
from lmmgwas.io.bim_text import MAX_ALLELE_BYTES, bim_remarks, parse_positions
from lmmgwas.io.last_line import unfinished
from lmmgwas.io.plink import parse_bim
from lmmgwas.io.problems import Problems
from lmmgwas.io.text import (
    MAX_UNPACKED_FREE,
    MAX_UNPACKED_RATIO,
    Remarks,
    TextFile,
    checked_text,
    one_tab,
    read_bytes,
    shown,
    string_columns,
)
from lmmgwas.model.genotypes import RawVariants

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_NEEDED = ("CHROM", "POS", "ID", "REF", "ALT")
_KNOWN = (*_NEEDED, "QUAL", "FILTER", "INFO", "CM")
_PROVISIONAL = r"(^|;)PR(;|$)"
_UNPACK_STEP = 1 << 20
_REST = "what follows FORMAT"


@dataclass(frozen=True, slots=True, eq=False)
class Pvar:
    """What a .pvar holds."""

    variants: RawVariants
    provisional: NDArray[np.bool_] | None  # (m,) REF is a guess; None: the file does not tell
    remarks: Remarks


def find_pvar(path: Path) -> Path:
    """Return a .pvar, or the .pvar.zst beside it where there is no other."""
    packed = path.with_name(f"{path.name}.zst")
    return packed if packed.exists() and not path.exists() else path


def read_pvar(path: str | Path, *, wants_provisional: bool = False) -> Pvar:
    """Read a .pvar file, plain, gzipped or packed with zstd.

    Notes: CRLF, byte order mark. Warnings: unknown positions. `wants_provisional` asks which REF
    alleles the INFO column marks as provisional (PR).

    Raises
    ------
    FormatError
        E220 (header), E221 (columns), E222 (zstd), E203 (position), E205 (several alleles in
        one), E207 (allele too long), and those of `read_text`; without a header those of
        `read_bim`.
    """
    name = str(path)
    raw = read_bytes(Path(path))
    file = checked_text(_unzstd(raw, name) if raw.startswith(_ZSTD_MAGIC) else raw, name)
    if not file.body.startswith(b"#"):
        variants, remarks = parse_bim(file)
        return Pvar(variants, None, remarks)
    start, n_header = _end_of_header(file.body)
    names = _column_names(file.body[:start], n_header, name)
    problems = Problems(name, n_header + 1)
    columns = _columns(file.body[start:], names, problems, info=wants_provisional)
    variants = _variants(columns, names, problems, n_header + 1)
    provisional = None
    if "INFO" in columns:
        found = pc.match_substring_regex(columns["INFO"], _PROVISIONAL)
        provisional = np.array(found, dtype=np.bool_)
    n_unknown = int((variants.pos <= 0).sum())
    return Pvar(variants, provisional, file.remarks + bim_remarks(0, n_unknown, name) + _cut(file))


def _unzstd(packed: bytes, name: str) -> bytes:
    """Unpack zstd; every frame must be whole, and none may unpack to far more than text does."""
    pieces: list[bytes] = []
    unpacked, most = 0, max(MAX_UNPACKED_FREE, MAX_UNPACKED_RATIO * len(packed))
    try:
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            while piece := stream.read(_UNPACK_STEP):
                pieces.append(piece)
                unpacked += len(piece)
                if unpacked > most:
                    message = f"{len(packed)} bytes unpack to more than {unpacked}"
                    remedy = "a table does not pack so well; unpack it and look into it"
                    raise FormatError("E222", f"{message}; {remedy}", name)
    except OSError as error:
        message = f"damaged or truncated zstd data ({error}): copy the file again"
        raise FormatError("E222", message, name) from error
    return b"".join(pieces)


def _end_of_header(body: bytes) -> tuple[int, int]:
    """Return where the first line begins that does not begin with #, and how many do."""
    start = n_lines = 0
    while body.startswith(b"#", start):
        end = body.find(b"\n", start)
        start = len(body) if end < 0 else end + 1
        n_lines += 1
    return start, n_lines


def _column_names(header: bytes, n_lines: int, path: str) -> list[str]:
    """Return the names of the columns; the last is `_REST` where genotypes follow, as in a VCF."""
    lines = header.rstrip(b"\n").split(b"\n")
    starts = [k for k, line in enumerate(lines) if line.split()[0] == b"#CHROM"]
    where = f"{path}:{n_lines}"
    if starts != [n_lines - 1]:
        message = f"the last line that begins with # must name the columns: {', '.join(_NEEDED)}"
        if starts:
            where = f"{path}:{starts[0] + 1}"
            message = "a line of column names, and another line that begins with # after it"
        raise FormatError("E220", f"{message}: mend the header", where)
    names = [name.decode("utf-8") for name in lines[-1][1:].split()]
    if "FORMAT" in names:
        names = [*names[: names.index("FORMAT")], _REST]
    known = [name for name in names if name != _REST]
    odd = [name for k, name in enumerate(known) if name not in _KNOWN or name in known[:k]]
    absent = [name for name in _NEEDED if name not in known]
    if odd or absent:
        message = f"unknown or repeated: {', '.join(map(shown, odd))}" if odd else ""
        message += ("; " if odd and absent else "") + (
            f"not there: {', '.join(absent)}" if absent else ""
        )
        remedy = f"a .pvar has {', '.join(_NEEDED)}, and perhaps {', '.join(_KNOWN[5:])}"
        raise FormatError("E220", f"column names {message}; {remedy}: mend the header", where)
    return names


def _columns(body: bytes, names: list[str], problems: Problems, *, info: bool) -> dict[str, Any]:
    """Return the columns that are read, as pyarrow string arrays of one length."""
    body = body.rstrip(b"\n")
    if any(blank in body for blank in (b" ", b"\t\t", b"\n\t", b"\t\n")):
        body = one_tab(body)  # a run of blanks is one separator
    if names[-1] == _REST:
        names = names[:-1]
        body = _first_fields(body, len(names))
    wrong: list[tuple[int, int]] = []

    def note(row: Any) -> str:
        wrong.append((row.number - 1, row.actual_columns))
        return "skip"

    wanted = [*_NEEDED, *(["INFO"] if info and "INFO" in names else [])]
    columns = string_columns(body, names, wanted, note)
    width = dict(wrong)
    expected = f"expected {len(names)} as the header has: mend the line"
    at = np.array(sorted(width), dtype=np.int64)
    problems.add("E221", at, lambda row: f"{width[row]} columns, {expected}")
    problems.refuse()  # rows are not those of the genotypes any more
    blank = np.flatnonzero(np.array(pc.equal(columns["CHROM"], ""), dtype=np.bool_))
    said = "a blank line: remove it, or restore the variant that was here"
    problems.add("E221", blank, lambda row: said)
    problems.refuse()
    return columns


def _first_fields(body: bytes, n_fields: int) -> bytes:
    """The first fields of every line: what is left out are genotypes."""
    return b"\n".join(
        b"\t".join(line.split(b"\t", n_fields)[:n_fields]) for line in body.split(b"\n")
    )


def _variants(
    columns: dict[str, Any], names: list[str], problems: Problems, first_line: int
) -> RawVariants:
    """The variants of columns that may hold something to refuse."""
    place = {name: names.index(name) + 1 for name in _NEEDED}
    pos = parse_positions(columns["POS"], place["POS"], problems, headed=True)
    _check_alleles(columns, "ALT", place["ALT"], problems)
    _check_alleles(columns, "REF", place["REF"], problems)
    problems.refuse()
    chrom = columns["CHROM"].dictionary_encode()
    return RawVariants(
        labels=tuple(chrom.dictionary.to_pylist()),
        label_code=np.array(chrom.indices, dtype=np.int32),
        pos=pos,
        marker_id=columns["ID"],
        effect_allele=columns["ALT"],
        other_allele=columns["REF"],
        first_line=first_line,
    )


def _check_alleles(columns: dict[str, Any], name: str, column: int, problems: Problems) -> None:
    """Note several alleles in one (E205), and alleles that are too long (E207)."""
    alleles, ids = columns[name], columns["ID"]

    def several(row: int) -> str:
        return (
            f"variant {shown(ids[row].as_py())} has several alleles in {name} "
            f"({shown(alleles[row].as_py())}): a test is of one; split it with plink2 --make-pgen "
            "multiallelics=-, or with `bcftools norm -m-` before the import"
        )

    commas = np.array(pc.match_substring(alleles, ","), dtype=np.bool_)
    problems.add("E205", np.flatnonzero(commas), several, column)
    lengths = np.array(pc.binary_length(alleles), dtype=np.int64)
    limit = f"at most {MAX_ALLELE_BYTES} are read: name it <DEL> or the like"
    too_long = np.flatnonzero(lengths > MAX_ALLELE_BYTES)
    problems.add("E207", too_long, lambda row: f"allele of {lengths[row]} bytes; {limit}", column)


def _cut(file: TextFile) -> Remarks:
    """Warn of a file that may have been cut in the middle of its last line."""
    last = file.body[file.body.rfind(b"\n") + 1 :].split()
    warning = unfinished(file, shown(last[-1].decode("utf-8")) if last else "nothing")
    return Remarks(warnings=() if warning is None else (warning,))

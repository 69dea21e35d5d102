"""Reading text strictly: every byte is accounted for, or the file is refused.

What a text file of ours may be: plain or gzip, UTF-8, lines ended by LF or CRLF, no
control characters but the tab. Everything else is an error that says where.
"""

import codecs
import difflib
import itertools
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from lmmgwas.errors import MAX_PROBLEMS_SHOWN, FileAccessError, FormatError, Problem

GZIP_MAGIC = b"\x1f\x8b"
PLINK_MAGIC = b"\x6c\x1b"
UTF8_BOM = b"\xef\xbb\xbf"
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block that says a BGZF file is complete (SAM specification, section 4.1.2)."""
MAX_LINE_BYTES = 1 << 24
"""Two alleles at their cap, or a table of a million columns; a longer line is no line."""
MAX_UNPACKED_RATIO = 200
"""Text packs 3 to 30 times, a table of zeros perhaps 100 times, a bomb 1,000 times."""
MAX_UNPACKED_FREE = 1 << 26
"""Below this size a bomb does no harm, so the ratio is not looked at."""
SHOWN_CHARACTERS = 40

_CSV_BLOCK = 2 * MAX_LINE_BYTES  # pyarrow wants a whole line in a block
# 64 KiB of gzip unpack to 66 MiB at most, so the ratio is checked often enough.
_UNPACK_STEP = 1 << 16
_NAMES_COMPARED = 10_000
_CONTROL_BYTES = bytes(b for b in [*range(0x20), 0x7F] if b not in b"\t\n\r")
# The second half: U+0080 to U+009F, which drive a terminal just as ESC does.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")
_NUMBER_BYTES = b"0123456789+-.eE"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PACKED = (
    (0, b"\x28\xb5\x2f\xfd", "zstd", "unpack it with `zstd -d`"),
    (0, b"PK\x03\x04", "a zip archive or an Excel workbook", "save the table as text with tabs"),
    (0, b"BZh", "bzip2", "unpack it with `bunzip2`"),
    (0, b"\xfd7zXZ", "xz", "unpack it with `unxz`"),
)
_GENOTYPES = (
    (0, b"##fileformat=VCF", "VCF", "convert it with plink2 --vcf FILE --make-bed"),
    (0, b"BCF", "BCF", "convert it with plink2 --bcf FILE --make-bed"),
    (0, PLINK_MAGIC, "PGEN", "convert it with plink2 --pfile PREFIX --make-bed"),
    (16, b"bgen", "BGEN", "convert it with plink2 --bgen FILE ref-first --make-bed"),
)


@dataclass(frozen=True, slots=True)
class Remarks:
    """What a reader has to say about a file that it accepted, one sentence each."""

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __add__(self, other: "Remarks") -> "Remarks":
        return Remarks(self.notes + other.notes, self.warnings + other.warnings)


@dataclass(frozen=True, slots=True, eq=False)
class TextFile:
    """The text of a file: valid UTF-8, lines ended by a single LF, no control characters."""

    path: str
    body: bytes
    remarks: Remarks

    def lines(self) -> list[str]:
        """Return the lines without their ends; blank lines at the end of the file are dropped."""
        # Not splitlines(): it would also split at U+2028 and the like, which are data.
        lines = self.body.decode("utf-8").split("\n")
        while lines and not lines[-1].strip(" \t"):
            lines.pop()
        return lines


def read_text(path: str | Path) -> TextFile:
    """Read a plain or gzipped text file, or refuse it with the place of the first offence.

    Raises
    ------
    FileAccessError
        E110: the file is missing, a folder, a device, or cannot be read.
    FormatError
        E601 (gzip), E206 (encoding, control characters, line ends), E207 (line too long).
    """
    return checked_text(read_bytes(Path(path)), str(path))


def checked_text(raw: bytes, name: str) -> TextFile:
    """Return the bytes of a text file, plain or gzip, as `read_text` does."""
    if raw.startswith(GZIP_MAGIC):
        raw = _unpack(raw, name)
    elif not raw and name.endswith(".gz"):
        raise FormatError("E601", "0 bytes, which is no gzip file; truncated copy?", name)
    _refuse_foreign(raw, name)
    notes = []
    bom = len(UTF8_BOM) if raw.startswith(UTF8_BOM) else 0
    if bom:
        notes.append(f"{name}: a UTF-8 byte order mark was skipped")
        raw = raw[bom:]
    _refuse_bytes(raw, name)
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n")
        lone = raw.find(b"\r")
        if lone >= 0:
            raise FormatError(
                "E206",
                "a carriage return without a line feed (old Mac line ends?); every line after it "
                "would be joined to this one: convert the file with `tr '\\r' '\\n'`",
                _place(raw, lone, name),
            )
        notes.append(f"{name}: Windows line ends (CRLF) were accepted")
    _refuse_long_lines(raw, name)
    return TextFile(name, raw, Remarks(tuple(notes)))


def access_error(path: str | Path, error: OSError) -> FileAccessError:
    """Turn an operating-system error into ours; where a file is missing, name its neighbours."""
    path = Path(path)
    if isinstance(error, FileNotFoundError):
        message = f"no such file; {_neighbours(path)}"
    elif isinstance(error, PermissionError):
        message = "permission denied: this user may not read it; see `ls -l`"
    elif isinstance(error, IsADirectoryError):
        message = "this is a folder, where a file was expected"
    else:
        message = f"the read failed: {error.strerror or error}"
    return FileAccessError("E110", message, str(path))


def shown(text: str) -> str:
    """Return `text` in quotation marks, cut to what a message can hold."""
    if len(text) > SHOWN_CHARACTERS:
        return f"'{text[:SHOWN_CHARACTERS]}...' ({len(text)} characters)"
    return f"'{text}'"


def nearest(name: str, available: Iterable[str], count: int = 3) -> list[str]:
    """Return up to `count` names that resemble `name`, the best first; case counts little."""
    by_folded: dict[str, str] = {}
    for candidate in available:
        by_folded.setdefault(candidate.casefold(), candidate)
    found = difflib.get_close_matches(name.casefold(), by_folded, n=count)
    return [by_folded[folded] for folded in found]


def is_number(text: str) -> bool:
    """Tell whether `text` is a number: ASCII sign, digits, point, exponent, nothing else."""
    return _NUMBER.fullmatch(text) is not None


def parse_numbers(texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Parse decimal numbers by a strict ASCII grammar.

    Hexadecimal, `1_000`, full-width digits, blanks, `inf` and `nan` are not numbers.

    Parameters
    ----------
    texts : sequence of n strings

    Returns
    -------
    values : (n,) float64; nan where the text is no number, +-inf where it overflows
    is_number : (n,) bool
    """
    n = len(texts)
    joined = "".join(texts)
    # Of strings over these characters alone, float() accepts exactly our grammar.
    if joined.isascii() and not joined.encode().translate(None, _NUMBER_BYTES):
        try:
            return np.fromiter(map(float, texts), np.float64, n), np.ones(n, dtype=np.bool_)
        except ValueError:
            pass  # such as "1-2" or "": find out which
    good = np.fromiter((is_number(text) for text in texts), np.bool_, n)
    parsed = (float(text) if ok else np.nan for text, ok in zip(texts, good, strict=True))
    return np.fromiter(parsed, np.float64, n), good


def identity_of(found: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file is changed or replaced: size, time, inode, device."""
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev


def file_identity(path: Path) -> tuple[int, ...]:
    """Return the identity of the file that has this name now. Raises FileAccessError (E110)."""
    try:
        return identity_of(path.stat())
    except OSError as error:
        raise access_error(path, error) from error


def one_tab(body: bytes) -> bytes:
    """Return the text with one tab for each run of blanks, and none at the ends of lines."""
    body = body.rstrip(b" \t\n").replace(b" ", b"\t")
    while b"\t\t" in body:
        body = body.replace(b"\t\t", b"\t")
    return body.replace(b"\n\t", b"\n").replace(b"\t\n", b"\n").lstrip(b"\t")


def string_columns(
    body: bytes, names: list[str], wanted: list[str] | None = None, on_bad_row: Any = None
) -> dict[str, Any]:
    """Return the columns of tab-separated text as pyarrow string arrays; nothing is guessed.

    Of all columns, or the wanted ones. `on_bad_row` is asked what is to become of rows that have
    another number of columns, as pyarrow's `invalid_row_handler` is.
    """
    if not body:
        return {name: pa.array([], pa.string()) for name in wanted or names}
    table = pyarrow.csv.read_csv(
        pa.BufferReader(body),
        read_options=pyarrow.csv.ReadOptions(
            column_names=names, use_threads=False, block_size=_CSV_BLOCK
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter="\t",
            quote_char=False,
            escape_char=False,
            ignore_empty_lines=False,
            invalid_row_handler=on_bad_row,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            strings_can_be_null=False,
            include_columns=wanted,
        ),
    )
    return {name: table.column(name).combine_chunks() for name in wanted or names}


def is_plink2_text(body: bytes) -> bool:
    """Tell a .pvar, VCF or .psam by its first word; any other word with a # is data."""
    first = body[:64].split(maxsplit=1)[:1]
    return first in ([b"#CHROM"], [b"#FID"], [b"#IID"]) or body.startswith(b"##fileformat")


def detect_format(head: bytes) -> str:
    """Say what a file is that is no .bed, and how to convert it."""
    if head.startswith(GZIP_MAGIC):
        try:
            inner = zlib.decompressobj(wbits=31).decompress(head)
        except zlib.error:
            inner = b""
        if not inner or inner.startswith(PLINK_MAGIC):
            return "this is gzip: unpack it with `gunzip`"
        return f"gzip, and unpacked {detect_format(inner)}"
    for offset, magic, kind, remedy in _PACKED + _GENOTYPES:
        if head.startswith(magic, offset):
            return f"this is {kind}: {remedy}"
    if all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in head):
        return "this is text, perhaps genome intervals (BED): give the PLINK file of that name"
    return "what it is could not be told: give a PLINK 1 .bed file"


def read_bytes(path: Path) -> bytes:
    """Return what a file or a pipe holds. Raises FileAccessError (E110)."""
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                # /dev/zero would be read until the memory is full.
                raise FileAccessError("E110", "this is a device or socket, not a file", str(path))
            return handle.read()
    except OSError as error:
        raise access_error(path, error) from error


def _neighbours(path: Path) -> str:
    folder = path.parent
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, _NAMES_COMPARED)]
    except OSError as error:
        return f"its folder '{folder}' cannot be listed ({error.strerror})"
    found = nearest(path.name, names)
    if not found:
        return f"nothing in the folder '{folder}' has a similar name"
    return "similar names in its folder: " + ", ".join(found)


def _unpack(packed: bytes, name: str) -> bytes:
    """Unpack concatenated gzip members; every member must be whole and pass its checksum."""
    pieces: list[bytes] = []
    unpacked = position = member_start = 0
    member = zlib.decompressobj(wbits=31)
    while position < len(packed):
        if position == member_start and packed[position : position + 2] != GZIP_MAGIC:
            rest = len(packed) - position
            message = f"{rest} bytes of garbage follow the gzip data at compressed byte {position}"
            raise FormatError("E601", f"{message}; copy or pack the file again", name)
        chunk = packed[position : position + _UNPACK_STEP]
        try:
            pieces.append(member.decompress(chunk))
        except zlib.error as error:
            message = f"damaged gzip data near compressed byte {position} of {len(packed)}"
            raise FormatError("E601", f"{message} ({error}); copy the file again", name) from error
        position += len(chunk) - len(member.unused_data)
        unpacked += len(pieces[-1])
        if unpacked > max(MAX_UNPACKED_FREE, MAX_UNPACKED_RATIO * position):
            message = f"{position} bytes unpack to more than {unpacked}; a table does not pack so"
            raise FormatError("E601", f"{message} well; unpack it and look into it", name)
        if member.eof:
            member = zlib.decompressobj(wbits=31)
            member_start = position
    if member_start < len(packed):
        message = f"the gzip data ends in the middle, at compressed byte {len(packed)}"
        raise FormatError("E601", f"{message}; truncated copy? Copy the file again", name)
    if is_bgzf(packed) and not packed.endswith(BGZF_END):
        # Each block of bgzip is a whole gzip member: a cut between two of them shows here only.
        message = f"the BGZF data lacks its end block after compressed byte {len(packed)}"
        raise FormatError("E601", f"{message}; truncated copy? Copy the file again", name)
    return b"".join(pieces)


def is_bgzf(head: bytes) -> bool:
    """Whether a file that begins so is BGZF: gzip in blocks that say their size."""
    return head.startswith(GZIP_MAGIC + b"\x08\x04") and head[12:14] == b"BC"


def _refuse_foreign(raw: bytes, name: str) -> None:
    for offset, magic, kind, remedy in _PACKED:
        if raw.startswith(magic, offset):
            raise FormatError("E206", f"this is {kind}, where text was expected: {remedy}", name)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FormatError("E206", "this is UTF-16 text: save the file as UTF-8", f"{name}:1")


def _refuse_bytes(raw: bytes, name: str) -> None:
    # translate() is several times faster than the search, which is needed for the place only.
    if raw.isascii() and len(raw.translate(None, _CONTROL_BYTES)) == len(raw):
        return
    problems = list(itertools.islice(_offences(raw, name), MAX_PROBLEMS_SHOWN + 1))
    if len(problems) > MAX_PROBLEMS_SHOWN:
        problems[MAX_PROBLEMS_SHOWN - 1 :] = [Problem("E206", "and more such lines follow", name)]
    if problems:
        raise FormatError.of(problems)


def _offences(raw: bytes, name: str) -> Iterator[Problem]:
    """The first byte on each line that is no text."""
    start = 0
    while True:
        end, said = len(raw), ""
        try:
            codecs.utf_8_decode(memoryview(raw)[start:], "strict", True)
        except UnicodeDecodeError as error:
            end = start + error.start
            said = (
                f"byte 0x{raw[end]:02x} is not UTF-8 (Latin-1?): "
                "convert the file with `iconv -f LATIN1 -t UTF-8`"
            )
        found = _CONTROL.search(raw, start, end)
        if found:
            end = found.start()
            said = (
                f"control character 0x{found.group()[-1]:02x}; text holds none but tab and line "
                "end: a binary or damaged file?"
            )
        if not said:
            return
        yield Problem("E206", said, _place(raw, end, name))
        start = raw.find(b"\n", end) + 1
        if not start:
            return


def _refuse_long_lines(raw: bytes, name: str) -> None:
    start = 0
    while len(raw) - start > MAX_LINE_BYTES:
        end = raw.rfind(b"\n", start, start + MAX_LINE_BYTES + 1)
        if end < 0:
            raise FormatError(
                "E207",
                f"the line is longer than {MAX_LINE_BYTES} bytes: a binary or damaged file?",
                _place(raw, start, name),
            )
        start = end + 1


def _place(raw: bytes, offset: int, name: str) -> str:
    """Return file:line:byte of an offset, the line and the byte counted from 1."""
    line = raw.count(b"\n", 0, offset) + 1
    byte = offset - raw.rfind(b"\n", 0, offset)
    return f"{name}:{line}:{byte}"

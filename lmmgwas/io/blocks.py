"""Large text files in blocks of whole lines, so that a table need not fit into memory.

As strict as `text`: every byte is accounted for, or the file is refused with its place.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from lmmgwas.errors import FileAccessError, FormatError
from lmmgwas.io.text import (
    BGZF_END,
    GZIP_MAGIC,
    MAX_LINE_BYTES,
    UTF8_BOM,
    access_error,
    is_bgzf,
)

_BLOCK = 1 << 23
_CONTROL_BYTES = bytes(b for b in [*range(0x20), 0x7F] if b not in b"\t\n\r")


class TextBlocks:
    """A plain or gzipped text file in blocks of whole lines, every byte checked."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number of the first line and the lines, without the last line end.

        Blank lines at the end of the file are dropped.
        """
        line, carry = 1, b""
        for data in self._read():
            carry += data
            end = carry.rfind(b"\n")
            self._refuse_long(len(carry) - end - 1, line + carry.count(b"\n"))
            filled = carry[: end + 1].rstrip(b" \t\r\n")
            if filled:  # what is blank so far may be the end of the file
                end = carry.index(b"\n", len(filled))
                block, carry = self._checked(carry[:end], line), carry[end + 1 :]
                yield line, block
                line += block.count(b"\n") + 1
        if carry.rstrip(b" \t\r\n"):
            yield line, self._checked(carry, line)

    def _read(self) -> Iterator[bytes]:
        """Yield the unpacked bytes; the next are read while these are worked on."""
        path = Path(self.path)
        try:
            with path.open("rb") as raw, ThreadPoolExecutor(max_workers=1) as pool:
                stream = self._opened(raw)
                pending = pool.submit(stream.read, _BLOCK)
                first = True
                while data := pending.result():
                    pending = pool.submit(stream.read, _BLOCK)
                    if first and data.startswith(UTF8_BOM):
                        self.notes.append(f"{self.path}: a UTF-8 byte order mark was skipped")
                        data = data[len(UTF8_BOM) :]
                    first = False
                    yield data
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            message = f"damaged or truncated gzip data ({error}): copy the file again"
            raise FormatError("E601", message, self.path) from error
        except OSError as error:
            raise access_error(path, error) from error

    def _opened(self, raw: IO[bytes]) -> IO[bytes]:
        """Unpack on the way where the file is gzip; refuse what is no file, and half a table."""
        if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            message = "this is no regular file; the table is read twice: write it to a file first"
            raise FileAccessError("E110", message, self.path)
        head = raw.read(18)
        in_blocks = is_bgzf(head)
        if not head and self.path.endswith(".gz"):
            raise FormatError("E601", "0 bytes, which is no gzip file; truncated copy?", self.path)
        if in_blocks:
            raw.seek(max(0, os.fstat(raw.fileno()).st_size - len(BGZF_END)))
            if raw.read() != BGZF_END:
                message = "the end-of-file mark is missing: truncated copy? Copy the file again"
                raise FormatError("E601", message, self.path)
        raw.seek(0)
        is_gzip = head.startswith(GZIP_MAGIC)
        # GzipFile is an IO[bytes] in all but name.
        return gzip.GzipFile(fileobj=raw, mode="rb") if is_gzip else raw  # type: ignore[return-value]

    def _refuse_long(self, n_bytes: int, line: int) -> None:
        if n_bytes > MAX_LINE_BYTES:
            message = f"the line is longer than {MAX_LINE_BYTES} bytes: a binary or damaged file?"
            raise FormatError("E207", message, f"{self.path}:{line}:1")

    def _checked(self, block: bytes, line: int) -> bytes:
        """Return lines ended by LF; refuse control characters and other encodings."""
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")
            note = f"{self.path}: Windows line ends (CRLF) were accepted"
            self.notes += [] if note in self.notes else [note]
            if (lone := block.find(b"\r")) >= 0:
                self._refuse_byte(block, lone, line, "a carriage return without a line feed")
        if len(block.translate(None, _CONTROL_BYTES)) != len(block):
            at = next(k for k, byte in enumerate(block) if byte in _CONTROL_BYTES)
            self._refuse_byte(block, at, line, f"control character 0x{block[at]:02x}")
        if not block.isascii():
            try:
                block.decode()
            except UnicodeDecodeError as error:
                what = f"byte 0x{block[error.start]:02x}, which is not UTF-8"
                self._refuse_byte(block, error.start, line, what)
        return block

    def _refuse_byte(self, block: bytes, at: int, line: int, what: str) -> None:
        line += block.count(b"\n", 0, at)
        column = block.count(b"\t", block.rfind(b"\n", 0, at) + 1, at) + 1
        message = f"{what}, where text was expected: a binary or damaged file?"
        raise FormatError("E206", message, f"{self.path}:{line}:{column}")

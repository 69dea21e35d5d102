"""How many rows a finished table has, counted in the file itself."""

import gzip
import zlib
from pathlib import Path

from lmmgwas.errors import FileAccessError

_AT_ONCE = 1 << 20


def count_rows(path: Path) -> int:
    """Return the lines below the header of a gzip or plain table; checksums are verified.

    Raises FileAccessError (E112) for a file that cannot be read back, or ends within a line.
    """
    opener = gzip.open if path.suffix == ".gz" or _is_gzip(path) else open
    n_lines, last = 0, b"\n"
    try:
        with opener(path, "rb") as stream:
            while data := stream.read(_AT_ONCE):
                n_lines += data.count(b"\n")
                last = data[-1:]
    except (OSError, EOFError, zlib.error) as error:
        message = f"what was written to {path} cannot be read back: {error}"
        raise FileAccessError("E112", f"{message}; is the disk sound? Run again") from error
    if last != b"\n":
        raise FileAccessError("E112", f"{path} ends within a line: is the disk full? Run again")
    return max(n_lines - 1, 0)


def _is_gzip(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"\x1f\x8b"
    except OSError:
        return False

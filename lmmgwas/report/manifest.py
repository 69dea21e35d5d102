"""The run manifest, PREFIX.run.json: what was run, on what, with what, and what came out."""

import hashlib
import json
import math
import platform
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import lmmgwas
from lmmgwas.io.text import access_error

_AT_ONCE = 1 << 22
_LIBRARIES = ("numpy", "scipy", "numba", "pandas", "pyarrow", "pysam", "matplotlib")


def describe_software() -> dict[str, Any]:
    """Return versions of the program, Python and the libraries that numbers depend on."""
    return {
        "lmmgwas": lmmgwas.__version__,
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def describe_file(
    path: Path, name: Path | None = None, *, give_up: Callable[[], bool] | None = None
) -> dict[str, Any]:
    """Return path (or the `name` that it will have), size and SHA-256 of a file.

    `give_up` is asked every few MB; where it says so the result is of no meaning. Raises
    FileAccessError (E110).
    """
    try:
        with path.open("rb") as stream:
            digest = _digest(stream, give_up)
        size = path.stat().st_size
    except OSError as error:
        raise access_error(path, error) from error
    return {"path": str(name or path), "bytes": size, "sha256": digest}


def _digest(stream: BinaryIO, give_up: Callable[[], bool] | None) -> str:
    digest = hashlib.sha256()
    while (data := stream.read(_AT_ONCE)) and not (give_up is not None and give_up()):
        digest.update(data)
    return digest.hexdigest()


def describe_inputs(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the description of each input, each once."""
    return [describe_file(path) for path in dict.fromkeys(paths)]


def format_manifest(content: dict[str, Any]) -> str:
    """Return the JSON text; NaN becomes null, `complete` comes last.

    Names of files that are not UTF-8 are written as Python has them: caf\\udce9 for the byte E9.
    """
    text = json.dumps(_plain({**content, "complete": True}), indent=1, ensure_ascii=False) + "\n"
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)


def _plain(value: Any) -> Any:
    """Only what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)

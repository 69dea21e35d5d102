"""lmmgwas.io.last_line: a file that does not end in a line end may be cut."""

import gzip
from pathlib import Path

import pytest

from lmmgwas.io.last_line import unfinished
from lmmgwas.io.text import read_text


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"a 1\nb 2\n", None),
        (b"a 1\nb 2\r\n", None),
        (b"a 1\n\n\n", None),
        (b"a 1\nb 2", 2),
        (b"a 1\r\nb 2", 2),
        (b"a 1\nb 2\n ", 3),
        (b"a", 1),
    ],
)
def test_unfinished(tmp_path: Path, body: bytes, line: int | None) -> None:
    path = tmp_path / "list"
    for raw in (body, gzip.compress(body)):
        path.write_bytes(raw)
        said = unfinished(read_text(path), "'2' for b")
        if line is None:
            assert said is None
            continue
        assert said is not None
        assert said.startswith(f"{path}:{line}: the last line has no line end")
        assert "'2' for b" in said


def test_an_empty_file_may_be_cut(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"")
    said = unfinished(read_text(path), "nothing")
    assert said is not None
    assert "the file is empty, without even a line end" in said

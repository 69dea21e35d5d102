"""lmmgwas.io.id_lists: samples to keep, variants to extract."""

import gzip

import pytest

from lmmgwas.errors import FormatError
from lmmgwas.io.id_lists import read_id_list, read_name_list


def write(folder, content, name="t.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("FID IID\nF1 I1\n", [("F1", "I1")]),
        ("#FID\tIID\tSEX\nF1\tI1\t2\n0\tI2\t1\n", [("F1", "I1"), ("", "I2")]),
        ("F1 I1 extra\r\n\r\nF2 I2\r\n", [("F1", "I1"), ("F2", "I2")]),
        ("#IID\nI1\n#x\n", [(None, "I1"), (None, "#x")]),
        ("IID SEX\nI1 2\n", [(None, "I1")]),
        ("001\nid\u00a0\n", [(None, "001"), (None, "id\u00a0")]),
        ("\n", []),
        ("FID IID\n", []),
    ],
)
def test_read_id_list(tmp_path, content, expected):
    found = read_id_list(write(tmp_path, content))
    assert list(found.ids) == expected
    assert found.warnings == ()


def test_read_id_list_refuses_a_mixture(tmp_path):
    path = write(tmp_path, "F1 I1\nI2\nF3 I3\nI4\n")
    with pytest.raises(FormatError, match="every line") as caught:
        read_id_list(path)
    assert [p.where for p in caught.value.problems] == [f"{path}:2:2", f"{path}:4:2"]


def test_read_name_list(tmp_path):
    content = gzip.compress("rs1\n rs#2 x\n\nnä\u00a0\n".encode())
    found = read_name_list(write(tmp_path, content))
    assert found.names == ("rs1", "rs#2", "nä\u00a0")
    assert found.warnings == ()


def test_a_list_without_a_last_line_end_may_be_cut(tmp_path):
    """S11 may be S118 without its last figure: another sample."""
    path = write(tmp_path, "F1 S7\nF1 S11")
    (said,) = read_id_list(path).warnings
    assert said.startswith(f"{path}:2: the last line has no line end")
    assert "'S11'" in said
    empty = write(tmp_path, "", "empty")
    for found in (read_id_list(empty), read_name_list(empty)):
        assert found.warnings == (
            f"{empty}: the file is empty, without even a line end: was it cut short?",
        )
    (said,) = read_name_list(write(tmp_path, "rs1\nrs12")).warnings
    assert "'rs12'" in said

"""lmmgwas.io.tables: phenotypes and covariates, read as text and checked."""

import gzip

import pytest

from lmmgwas.errors import FormatError, MismatchError
from lmmgwas.io.tables import read_table


def write(folder, content, name="t.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        "FID IID a b\nF1 001 1 2\nF2 NA 3 4\n",
        "#FID IID a b\nF1 001 1 2\nF2 NA 3 4",
        "FID\tIID\ta\tb\nF1\t001\t1\t2\nF2\tNA\t3\t4\n\n\n",
        "FID,IID,a,b\nF1,001,1,2\nF2,NA,3,4\n",
        "FID, IID, a, b\nF1, 001, 1, 2\nF2, NA, 3, 4\n",
        "FID IID\ta b\r\nF1 001\t1  2\r\nF2 NA\t3 4\r\n",
        "  FID  IID\t a b \n F1 001 1 2\nF2 NA 3 4 \n",
        "\ufeffFID IID a b\nF1 001 1 2\nF2 NA 3 4\n",
    ],
)
def test_layouts(tmp_path, content):
    for raw in (content.encode(), gzip.compress(content.encode())):
        table = read_table(write(tmp_path, raw))
        assert table.fid == ("F1", "F2")
        assert table.iid == ("001", "NA")
        assert table.columns == {"a": ("1", "3"), "b": ("2", "4")}
        assert table.line == (2, 3)
        assert len(table) == 2


@pytest.mark.parametrize("header", ["IID y", "#IID y", "IID\ty", "IID,y"])
def test_iid_only(tmp_path, header):
    delimiter = header.removeprefix("#")[3]
    table = read_table(write(tmp_path, f"{header}\n1e5{delimiter}1\nTRUE{delimiter}2\n"))
    assert table.fid is None
    assert table.iid == ("1e5", "TRUE")
    assert table.place(1, "y").endswith(":3:2")
    assert table.sample(0) == "1e5"


def test_ids_stay_text_and_fid_0_is_none(tmp_path):
    table = read_table(
        write(tmp_path, "FID\tIID\ty\n0\tid\u00a0\t1\n\t#x\t2\nA_B\tC\t3\nA\tB_C\t4\n")
    )
    assert table.fid == ("", "", "A_B", "A")
    assert table.iid == ("id\u00a0", "#x", "C", "B_C")
    assert table.sample(0) == "0 id\u00a0"


def test_quotes_are_data_with_a_warning(tmp_path):
    table = read_table(write(tmp_path, 'FID IID y\nF1 "I1 1\nF2 I2 2\n'))
    assert table.iid == ('"I1', "I2")
    assert "1 lines" in table.remarks.warnings[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("FID IID y z\nF1 I1 1 2\nF2 I2 3 1.2", "'1.2' in column 'z' of sample F2 I2"),
        ("IID\ty\nI1\t1\nI2\t", "'' in column 'y' of sample I2"),
        ("IID y\r\nI1 1\r\nI2 3", "'3' in column 'y' of sample I2"),
    ],
)
def test_a_table_without_a_last_line_end_may_be_cut(tmp_path, content, words):
    for raw in (content.encode(), gzip.compress(content.encode())):
        path = write(tmp_path, raw)
        (said,) = read_table(path).remarks.warnings
        assert said.startswith(f"{path}:3: the last line has no line end")
        assert words in said


def test_crlf_and_bom_are_noted(tmp_path):
    table = read_table(write(tmp_path, b"\xef\xbb\xbfIID y\r\na 1\r\n"))
    assert len(table.remarks.notes) == 2


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ("F1 I1 1 x\nF2 I2 2 y\n", ["1", "x"]),
        ("F1\tI1\t1\tnot done\nF2\tI2\t2\ty\n", ["1", "not done"]),
        ("F1,I1,1,x\nF2,I2,2,y\n", ["1", "x"]),
        ("a b 0,5 0,7\nc d 1 2\n", ["0,5", "0,7"]),
    ],
)
def test_no_header(tmp_path, content, fields):
    table = read_table(write(tmp_path, content), header=False)
    assert list(table.columns) == ["V1", "V2"]
    assert [column[0] for column in table.columns.values()] == fields
    assert table.line == (1, 2)


@pytest.mark.parametrize(
    ("content", "header", "error", "code", "places", "words"),
    [
        ("", True, MismatchError, "E405", [":1:1"], "empty"),
        ("\n \n", True, MismatchError, "E405", [":1:1"], "empty"),
        ("FID IID y\n", True, MismatchError, "E405", [":2:1"], "no rows"),
        ("FID IID\na b\n", True, MismatchError, "E405", [":1:3"], "no column"),
        ("", False, MismatchError, "E405", [":1:1"], "empty"),
        ("a b 1\nc d 2\n", True, FormatError, "E410", [":1:3"], "--no-header"),
        ("a b NA\nc d 2\n", True, FormatError, "E410", [":1:3"], "--no-header"),
        ("fid iid y\na b 1\n", True, FormatError, "E410", [":1:1"], "capitals"),
        ('"FID","IID","y"\n', True, FormatError, "E410", [":1:1"], "quote = FALSE"),
        ("\nFID IID y\na b 1\n", True, FormatError, "E410", [":1:1"], "no header"),
        ("FID IID y\na b 1\n", False, FormatError, "E410", [":1:1"], "leave out --no-header"),
        ("a b\n", False, FormatError, "E410", [":1:3"], "FID IID and values"),
        (
            "FID IID y\na b\nc d 1\ne f 1 2\n",
            True,
            FormatError,
            "E406",
            [":2:3", ":4:4"],
            "expected 3",
        ),
        ("FID IID y\na b 1\n\nc d 1\n", True, FormatError, "E406", [":3:1"], "0 fields"),
        ("FID\tIID\ty\na\tb 1\n", True, FormatError, "E406", [":2:3"], "instead of a tab"),
        ("FID,IID,y\na,b,0,5\n", True, FormatError, "E406", [":2:4"], "decimal comma"),
        ("FID\tIID\ty\na\t\t1\n", True, FormatError, "E406", [":2:2"], "IID is empty"),
        ("IID y\na 1\nb 2\na 1\n", True, FormatError, "E407", [":4:1"], "lines 2 and 4"),
        (
            "FID IID y\n0 a 1\n0 b 2\n0 a 1\n",
            True,
            FormatError,
            "E407",
            [":4:2"],
            "0 a is on lines",
        ),
        ("FID IID y y\na b 1 1\n", True, FormatError, "E409", [":1:4"], "3 and 4"),
        ("FID IID IID\na b 1\n", True, FormatError, "E409", [":1:3"], "2 and 3"),
        ("FID\tIID\t\ty\na\tb\t1\t2\n", True, FormatError, "E409", [":1:3"], "no name"),
    ],
)
def test_refused(tmp_path, content, header, error, code, places, words):
    path = write(tmp_path, content)
    with pytest.raises(error, match=words) as caught:
        read_table(path, header)
    assert {problem.code for problem in caught.value.problems} == {code}
    assert [p.where for p in caught.value.problems] == [f"{path}{place}" for place in places]


def test_same_iid_in_two_families_is_no_duplicate(tmp_path):
    assert len(read_table(write(tmp_path, "FID IID y\nA x 1\nB x 2\n"))) == 2

"""lmmgwas.io.tables: phenotypes, covariates and lists, read as text and checked."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from lmmgwas.errors import FormatError, MismatchError, UsageError
from lmmgwas.io.tables import (
    MissingCodes,
    NumericColumn,
    TextColumn,
    covariate_column,
    expand_names,
    numeric_column,
    read_id_list,
    read_name_list,
    read_table,
)

DATA = Path(__file__).parents[2] / "shared/data"
PLAIN = MissingCodes()


def write(folder, content, name="t.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table_of(folder, values, delimiter="\t"):
    """Return a table with one column, y, of these texts."""
    rows = [delimiter.join((f"F{k}", f"I{k}", value)) for k, value in enumerate(values)]
    header = delimiter.join(("FID", "IID", "y"))
    return read_table(write(folder, "\n".join([header, *rows]) + "\n"))


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
        ("", True, MismatchError, "E405", [""], "empty"),
        ("\n \n", True, MismatchError, "E405", [""], "empty"),
        ("FID IID y\n", True, MismatchError, "E405", [""], "no rows"),
        ("FID IID\na b\n", True, MismatchError, "E405", [""], "no column"),
        ("", False, MismatchError, "E405", [""], "empty"),
        ("a b 1\nc d 2\n", True, FormatError, "E410", [":1"], "--no-header"),
        ("a b NA\nc d 2\n", True, FormatError, "E410", [":1"], "--no-header"),
        ("fid iid y\na b 1\n", True, FormatError, "E410", [":1"], "capitals"),
        ('"FID","IID","y"\n', True, FormatError, "E410", [":1"], "quote = FALSE"),
        ("\nFID IID y\na b 1\n", True, FormatError, "E410", [":1"], "no header"),
        ("FID IID y\na b 1\n", False, FormatError, "E410", [":1"], "leave out --no-header"),
        ("a b\n", False, FormatError, "E410", [":1"], "FID IID and values"),
        ("FID IID y\na b\nc d 1\ne f 1 2\n", True, FormatError, "E406", [":2", ":4"], "expected 3"),
        ("FID IID y\na b 1\n\nc d 1\n", True, FormatError, "E406", [":3"], "0 fields"),
        ("FID\tIID\ty\na\tb 1\n", True, FormatError, "E406", [":2"], "instead of a tab"),
        ("FID,IID,y\na,b,0,5\n", True, FormatError, "E406", [":2"], "decimal comma"),
        ("FID\tIID\ty\na\t\t1\n", True, FormatError, "E406", [":2"], "IID is empty"),
        ("IID y\na 1\nb 2\na 1\n", True, FormatError, "E407", [":4"], "lines 2 and 4"),
        ("FID IID y\n0 a 1\n0 b 2\n0 a 1\n", True, FormatError, "E407", [":4"], "0 a is on lines"),
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


@pytest.mark.parametrize(
    ("values", "missing", "expected", "n_coded"),
    [
        (["1", "-2.5", "+3e1"], PLAIN, [1, -2.5, 30], 0),
        (["NA", "NaN", "nan", ".", "", "1"], PLAIN, [None] * 5 + [1], 0),
        (["-9", "-9.0", "1"], PLAIN, [None, None, 1], 2),
        (["-8", "-10", "-9.5"], PLAIN, [-8, -10, -9.5], 0),
        (["-9", "-7.99", "-10.01"], PLAIN, [None, -7.99, -10.01], 1),
        (["-9", "-8.5"], MissingCodes(("-9",)), [None, -8.5], 1),
        (["-9", "-999", "x", "1"], MissingCodes(("-999", "x")), [-9, None, None, 1], 2),
        (["-9", "-8.5"], MissingCodes(enabled=False), [-9, -8.5], 0),
        (["NA", "-9"], MissingCodes((), enabled=False), [None, -9], 0),
        (["NA", "-9", "NA"], PLAIN, [None, None, None], 1),
    ],
)
def test_numeric_column(tmp_path, values, missing, expected, n_coded):
    column = numeric_column(table_of(tmp_path, values), "y", missing)
    assert column.values.dtype == np.float64
    truth = [np.nan if x is None else x for x in expected]
    np.testing.assert_array_equal(column.values, truth)
    assert column.n_missing == expected.count(None)
    assert column.n_coded == n_coded


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("abc", "E401", "NA, NaN"),
        ("1.5abc", "E401", "not a decimal number"),
        ("0,451", "E401", "decimal comma"),
        ("0x10", "E401", "0x10"),
        ("1_000", "E401", "1_000"),
        ("１", "E401", "１"),
        ("na", "E401", "NA, NaN"),
        ("inf", "E402", "infinite"),
        ("-Inf", "E402", "infinite"),
        ("1e400", "E402", "1.8e308"),
    ],
)
def test_numeric_column_refuses(tmp_path, value, code, words):
    table = table_of(tmp_path, ["1", value, "2", value])
    with pytest.raises(FormatError, match=words) as caught:
        numeric_column(table, "y", PLAIN)
    problems = caught.value.problems
    assert [problem.code for problem in problems] == [code, code]
    assert [p.where for p in problems] == [f"{table.path}:3:3", f"{table.path}:5:3"]
    assert "F1 I1" in problems[0].message
    assert "'y'" in problems[0].message


@pytest.mark.parametrize("near", ["-8", "-10", "-9.01", "-8.5"])
def test_minus_nine_in_doubt(tmp_path, near):
    table = table_of(tmp_path, ["1", near, "-9"])
    with pytest.raises(FormatError, match="--no-missing-code") as caught:
        numeric_column(table, "y", PLAIN)
    problem = caught.value.problems[0]
    assert problem.code == "E403"
    assert problem.where == f"{table.path}:4:3"
    assert "--missing-code -9" in problem.message
    assert near in problem.message


@pytest.mark.parametrize(
    ("values", "categorical", "expected"),
    [
        (["1", "2", "NA"], False, [1, 2, np.nan]),
        (["NA", "."], False, [np.nan, np.nan]),
        (["M", "F", "NA"], False, ("M", "F", None)),
        (["M", "F", "-9"], False, ("M", "F", None)),
        (["1", "2", "-9"], True, ("1", "2", None)),
        (["1", "M"], True, ("1", "M")),
    ],
)
def test_covariate_column(tmp_path, values, categorical, expected):
    column = covariate_column(table_of(tmp_path, values), "y", PLAIN, categorical)
    if isinstance(expected, tuple):
        assert isinstance(column, TextColumn)
        assert column.values == expected
        assert column.n_missing == expected.count(None)
    else:
        assert isinstance(column, NumericColumn)
        np.testing.assert_array_equal(column.values, expected)


@pytest.mark.parametrize(
    ("values", "code", "place", "words"),
    [
        (["1", "2", "M"], "E503", ":4:3", "--cat-covar-name y"),
        (["M", "1"], "E503", ":2:3", "2 numbers|1 numbers"),
        (["0,5", "1,5"], "E401", ":2:3", "decimal comma"),
        (["inf", "1"], "E402", ":2:3", "infinite"),
    ],
)
def test_covariate_column_refuses(tmp_path, values, code, place, words):
    table = table_of(tmp_path, values)
    with pytest.raises(FormatError, match=words) as caught:
        covariate_column(table, "y", PLAIN, categorical=False)
    problem = caught.value.problems[0]
    assert (problem.code, problem.where) == (code, f"{table.path}{place}")


COLUMNS = [
    "AGE",
    "SEX",
    *(f"PC{k}" for k in range(1, 12)),
    "x-1",
    "A1-A2",
    "A1",
    "A2",
    "Q01",
    "Q02",
]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("AGE", ["AGE"]),
        ("SEX, AGE", ["SEX", "AGE"]),
        ("AGE,PC9-PC11", ["AGE", "PC9", "PC10", "PC11"]),
        ("PC2-PC2", ["PC2"]),
        ("x-1", ["x-1"]),
        ("A1-A2", ["A1-A2"]),
        ("Q01-Q02", ["Q01", "Q02"]),
        ("PC1,PC1-PC2", ["PC1", "PC2"]),
    ],
)
def test_expand_names(spec, expected):
    assert expand_names(spec, COLUMNS) == expected


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("AGF", MismatchError, "AGE"),
        ("age", MismatchError, "AGE"),
        ("PC10-PC12", MismatchError, "PC12"),
        ("PC1-PC999999999999", MismatchError, "the file has"),
        ("zzz", MismatchError, "the columns are: AGE, SEX"),
        ("AGE,,SEX", UsageError, "empty"),
        ("", UsageError, "empty"),
        ("PC3-PC1", UsageError, "backwards"),
    ],
)
def test_expand_names_refuses(spec, error, words):
    with pytest.raises(error, match=words) as caught:
        expand_names(spec, COLUMNS, "covar.tsv")
    assert caught.value.problems[0].code == "E411"


def test_expand_names_takes_a_name_with_a_comma_whole():
    assert expand_names("a,b", ["a,b", "c"]) == ["a,b"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("FID IID\nF1 I1\n", [("F1", "I1")]),
        ("#FID\tIID\tSEX\nF1\tI1\t2\n0\tI2\t1\n", [("F1", "I1"), ("", "I2")]),
        ("F1 I1 extra\r\n\r\nF2 I2\r\n", [("F1", "I1"), ("F2", "I2")]),
        ("#IID\nI1\n#x\n", [(None, "I1"), (None, "#x")]),
        ("IID SEX\nI1 2\n", [(None, "I1")]),
        ("001\nid\u00a0\n", [(None, "001"), (None, "id\u00a0")]),
        ("", []),
        ("FID IID\n", []),
    ],
)
def test_read_id_list(tmp_path, content, expected):
    assert read_id_list(write(tmp_path, content)) == expected


def test_read_id_list_refuses_a_mixture(tmp_path):
    path = write(tmp_path, "F1 I1\nI2\n")
    with pytest.raises(FormatError, match="every line") as caught:
        read_id_list(path)
    assert caught.value.problems[0].where == f"{path}:2"


def test_read_name_list(tmp_path):
    content = gzip.compress("rs1\n rs#2 x\n\nnä\u00a0\n".encode())
    assert read_name_list(write(tmp_path, content)) == ["rs1", "rs#2", "nä\u00a0"]


@pytest.mark.skipif(not DATA.is_dir(), reason="reference data are absent")
def test_reference_phenotypes():
    table = read_table(DATA / "mouse_hs1940/pheno.tsv")
    counts = [numeric_column(table, name, PLAIN).n_missing for name in ("CD8", "MCH")]
    assert len(table) == 1940
    assert counts == [530, 360]  # as data/README.md says
    covariate = covariate_column(
        read_table(DATA / "toydata5chrom/covar.tsv"), "cov", PLAIN, categorical=False
    )
    assert isinstance(covariate, NumericColumn)
    assert np.isfinite(covariate.values).all()

"""lmmgwas.io.columns: numbers by a strict grammar, categories, missing values, names."""

from pathlib import Path

import numpy as np
import pytest

from lmmgwas.errors import FormatError, MismatchError, UsageError
from lmmgwas.io.columns import (
    MissingCodes,
    NumericColumn,
    TextColumn,
    covariate_column,
    doubtful_levels,
    expand_names,
    numeric_column,
)
from lmmgwas.io.tables import read_table

DATA = Path(__file__).parents[2] / "shared/data"
PLAIN = MissingCodes()


def table_of(folder, values, delimiter="\t"):
    """Return a table with one column, y, of these texts."""
    rows = [delimiter.join((f"F{k}", f"I{k}", value)) for k, value in enumerate(values)]
    header = delimiter.join(("FID", "IID", "y"))
    path = folder / "t.txt"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return read_table(path)


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


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["north", "south", "N/A"], ["'N/A' was read as a level"]),
        (["m", "f", "na", "?"], ["'?' was read as a level", "'na' was read as a level"]),
        (["Male", "male", "female"], ["'Male' and 'male' were read as 2 levels"]),
        (["1", "1.0", "2", "01"], ["'01' and '1' and '1.0' were read as 3 levels"]),
        (["none", "unknown", "NA", "1", "1a"], []),
    ],
)
def test_doubtful_levels(tmp_path, values, said):
    column = covariate_column(table_of(tmp_path, values), "y", PLAIN, categorical=True)
    assert isinstance(column, TextColumn)
    found = doubtful_levels(column)
    assert len(found) == len(said)
    for sentence, start in zip(found, said, strict=True):
        assert sentence.startswith(start)


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
    problem = caught.value.problems[0]
    assert problem.code == "E411"
    assert problem.where == ("covar.tsv:1" if error is MismatchError else "")


def test_expand_names_takes_a_name_with_a_comma_whole():
    assert expand_names("a,b", ["a,b", "c"]) == ["a,b"]


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

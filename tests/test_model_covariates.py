"""The design: rank, names of what is dropped, categories, refusals."""

import numpy as np
import pytest

from lmmgwas.errors import DegenerateError
from lmmgwas.model.covariates import (
    CategoricalCovariate,
    Design,
    NumericCovariate,
    build_design,
)

N = 60
RNG = np.random.default_rng(1)
AGE = RNG.uniform(20, 70, N)
HEIGHT = RNG.normal(170, 9, N)


def numeric(**columns: np.ndarray) -> tuple[NumericCovariate, ...]:
    return tuple(NumericCovariate(name, values) for name, values in columns.items())


def spans_the_same(basis: np.ndarray, columns: np.ndarray) -> bool:
    """Whether standardised columns and intercept lie in the basis, and the ranks are equal."""
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    full = np.column_stack([np.ones(len(columns)), scaled])
    outside = full - basis @ (basis.T @ full)
    # Rounding of columns of order one over 60 samples; ranks as numpy judges them.
    same_rank = np.linalg.matrix_rank(full, tol=1e-8) == basis.shape[1]
    return bool(np.abs(outside).max() < 1e-12) and bool(same_rank)


def assert_orthonormal(design: Design, tolerance: float = 1e-13) -> None:
    c = design.basis.shape[1]
    np.testing.assert_allclose(design.basis.T @ design.basis, np.eye(c), atol=tolerance)


def test_intercept_alone() -> None:
    design = build_design((), N)
    assert design.names == ("intercept",)
    np.testing.assert_allclose(design.basis, N**-0.5, rtol=1e-15)  # one rounding
    assert design.dropped == design.singletons == ()


def test_numeric_columns() -> None:
    design = build_design(numeric(age=AGE, height=HEIGHT), N)
    assert design.names == ("intercept", "age", "height")
    assert design.dropped == ()
    assert_orthonormal(design)
    assert spans_the_same(design.basis, np.column_stack([AGE, HEIGHT]))


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e-12, 1.0, 1e12, 1e160, 1e305])
def test_size_of_a_column_does_not_matter(unit: float) -> None:
    design = build_design(numeric(age=AGE, height=unit * HEIGHT), N)
    assert design.names == ("intercept", "age", "height")
    assert_orthonormal(design)
    assert spans_the_same(design.basis, np.column_stack([AGE, HEIGHT]))


def test_a_column_far_from_zero_is_not_constant() -> None:
    """Whole numbers near 1e12 are exact, so that the spread of 1e-11 of their size is, too."""
    whole = np.round(HEIGHT)
    design = build_design(numeric(age=AGE, id=1e12 + whole), N)
    assert design.names == ("intercept", "age", "id")
    assert_orthonormal(design)
    assert spans_the_same(design.basis, np.column_stack([AGE, whole]))


def test_year_and_its_square_are_both_kept() -> None:
    year = np.round(RNG.uniform(1950, 2000, N))
    design = build_design(numeric(year=year, year2=year**2), N)
    assert design.names == ("intercept", "year", "year2")
    assert_orthonormal(design, 1e-12)  # 1 - R2 of year2 on year is 5e-6: three digits of sixteen


def test_basis_of_nearly_dependent_columns_is_orthonormal() -> None:
    # 1e-7 of its own is a hundred times RANK_TOLERANCE, so the column is kept. The scan
    # projects on the basis and relies on it: 1e-12 is what a backward stable QR gives.
    near = AGE + 1e-7 * AGE.std() * RNG.standard_normal(N)
    design = build_design(numeric(age=AGE, near=near), N)
    assert design.names == ("intercept", "age", "near")
    assert_orthonormal(design, 1e-12)


@pytest.mark.parametrize(
    ("columns", "dropped", "combination"),
    [
        ({"age": AGE, "again": 3.0 - 2.0 * AGE}, "again age", "again age"),
        ({"age": AGE, "constant": np.full(N, 7.0)}, "constant", "intercept"),
        ({"age": AGE, "zero": np.zeros(N)}, "zero", "intercept"),
        ({"age": AGE, "large": np.full(N, 0.1 + 1e9)}, "large", "intercept"),
        (
            {"age": AGE, "height": HEIGHT, "sum": AGE + HEIGHT},
            "age height sum",
            "age + height, age + sum, height + sum",
        ),
    ],
)
def test_dependent_column_is_dropped_and_named(
    columns: dict[str, np.ndarray], dropped: str, combination: str
) -> None:
    design = build_design(numeric(**columns), N)
    assert len(design.dropped) == 1
    assert design.dropped[0].name in dropped.split()
    assert design.dropped[0].combination in combination.replace(", ", ",").split(",") or (
        design.dropped[0].combination in combination.split()
    )
    assert design.dropped[0].name not in design.names
    assert len(design.names) == design.basis.shape[1] == len(columns)
    assert_orthonormal(design)


def test_only_constants() -> None:
    design = build_design(numeric(one=np.ones(N), two=np.full(N, 2.0)), N)
    assert design.names == ("intercept",)
    assert [d.name for d in design.dropped] == ["one", "two"]
    assert_orthonormal(design)


def test_categories_become_indicators() -> None:
    labels = tuple("abc"[i % 3] for i in range(N))
    design = build_design((CategoricalCovariate("site", labels), *numeric(age=AGE)), N)
    assert design.names == ("intercept", "site=b", "site=c", "age")
    is_b, is_c = (np.array([float(label == k) for label in labels]) for k in "bc")
    assert spans_the_same(design.basis, np.column_stack([is_b, is_c, AGE]))


def test_indicator_that_repeats_a_numeric_column_is_dropped() -> None:
    labels = tuple("fm"[i % 2] for i in range(N))
    sex = np.array([1.0 + i % 2 for i in range(N)])
    design = build_design((CategoricalCovariate("sex", labels), *numeric(sex_code=sex)), N)
    assert design.basis.shape[1] == 2
    assert {design.names[1], design.dropped[0].name} == {"sex=m", "sex_code"}


def test_one_level_is_no_column() -> None:
    design = build_design((CategoricalCovariate("site", ("a",) * N),), N)
    assert design.names == ("intercept",)
    assert [(d.name, d.combination) for d in design.dropped] == [("site", "intercept")]


def test_level_with_one_sample_is_reported() -> None:
    labels = ("b", *["a"] * 30, *["c"] * (N - 31))
    design = build_design((CategoricalCovariate("site", labels),), N)
    assert design.singletons == ("site=b",)


def test_too_many_levels() -> None:
    labels = tuple(f"L{i % 7}" for i in range(N))  # 60 // 10 = 6 are allowed
    with pytest.raises(DegenerateError, match=r"E505.*7 levels") as caught:
        build_design((CategoricalCovariate("id", labels, "covar.tsv:1:3"),), N)
    assert caught.value.problems[0].where == "covar.tsv:1:3"
    allowed = tuple(f"L{i % 6}" for i in range(N))
    assert build_design((CategoricalCovariate("id", allowed),), N).basis.shape[1] == 6


def test_no_degree_of_freedom_left() -> None:
    n = 8
    columns = {f"c{k}": RNG.standard_normal(n) for k in range(n - 2)}
    with pytest.raises(DegenerateError, match=r"E504.*0 degrees"):
        build_design(numeric(**columns), n)
    columns.popitem()
    assert build_design(numeric(**columns), n).basis.shape == (n, n - 2)  # one is left

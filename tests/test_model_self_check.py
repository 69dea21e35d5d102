"""Tests computed again: sums with known errors, statistics, tolerances, faults."""

import numpy as np
import pytest
from oracles import (
    centred_kernel,
    covariance,
    dense_reml_fit,
    dense_reml_loglik,
    dense_wald,
    mp_neg_log10_p_chi2,
    mp_neg_log10_p_t,
    naive_grm,
)
from simulate import Axes, Problem, make_problem

from lmmgwas.errors import NumericalError
from lmmgwas.model import dense_oracle, machine_checks
from lmmgwas.model.machine_checks import Finding, machine_findings
from lmmgwas.model.self_check import (
    ACCURACY,
    MAX_H2,
    Sums,
    System,
    Tolerance,
    Values,
    compare,
    deviations,
    inner_products,
    lrt_again,
    p_of_chi2,
    p_of_t,
    rounding_of,
    score_again,
    wald_again,
)
from lmmgwas.model.self_refit import highest_hills, spectral_loglik
from lmmgwas.model.whitening import Precision

H2 = (0.0, 0.3, 0.9, 0.98, MAX_H2)


@pytest.fixture
def problem() -> Problem:
    return make_problem(Axes(n=60, m=130, c=3, h2=0.5))


def rows_of(problem: Problem, n_variants: int = 4) -> np.ndarray:
    """[X, y, x...] as rows, X taken out of y and x."""
    Q = problem.basis
    others = np.vstack([problem.y, problem.dosage[:n_variants]])
    return np.vstack([Q.T, others - (others @ Q) @ Q.T])


def kernel_of(problem: Problem) -> np.ndarray:
    return centred_kernel(problem.K)[0]


class Counted:
    """Products with K, counted."""

    def __init__(self, K: np.ndarray) -> None:
        self.K, self.n_calls = K, 0

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.n_calls += 1
        return rows @ self.K


def rough_inverse(V: np.ndarray):
    """V^-1 in float32, as good as a float32 factor is."""
    inverse = np.linalg.inv(V).astype(np.float32)
    return lambda rows: (rows.astype(np.float32) @ inverse).astype(np.float64)


@pytest.mark.parametrize("h2", H2)
def test_sums_from_a_rough_inverse(problem: Problem, h2: float) -> None:
    K, rows = kernel_of(problem), rows_of(problem)
    V = covariance(K, h2)
    times = Counted(K)
    (found,) = inner_products(times, [System(h2, rows, rough_inverse(V))])
    expected = rows @ np.linalg.inv(V) @ rows.T
    size = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    assert np.abs((found - expected) / size).max() < 2 * ACCURACY
    assert times.n_calls <= (0 if h2 == 0.0 else 1 if h2 <= 0.9 else 3)


def test_one_product_serves_several_systems(problem: Problem) -> None:
    K, rows = kernel_of(problem), rows_of(problem)
    times = Counted(K)
    systems = [System(h2, rows, rough_inverse(covariance(K, h2))) for h2 in (0.0, 0.2, 0.6)]
    found = inner_products(times, systems)
    assert times.n_calls == 1
    for system, sums in zip(systems, found, strict=True):
        expected = rows @ np.linalg.inv(covariance(K, system.h2)) @ rows.T
        np.testing.assert_allclose(sums, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("fault", ["another matrix", "nan", "zero", "huge"])
@pytest.mark.parametrize("h2", [0.3, 0.98])
def test_a_wrong_factor_is_not_believed(problem: Problem, h2: float, fault: str) -> None:
    """The sums are right whatever the factor: conjugate gradients do without it."""
    K, rows = kernel_of(problem), rows_of(problem)
    wrong = {
        "another matrix": lambda rows: rows @ np.linalg.inv(covariance(K, 0.99)) * 3.0,
        "nan": lambda rows: np.full_like(rows, np.nan),
        "zero": np.zeros_like,
        "huge": lambda rows: 1e200 * rows,
    }[fault]
    (found,) = inner_products(Counted(K), [System(h2, rows, wrong)])
    expected = rows @ np.linalg.inv(covariance(K, h2)) @ rows.T
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def test_a_matrix_that_is_no_covariance_is_refused(problem: Problem) -> None:
    K = kernel_of(problem) - 3.0 * np.eye(60)
    with pytest.raises(NumericalError, match=r"E904.*h2 0\.6"):
        inner_products(Counted(K), [System(0.6, rows_of(problem), np.zeros_like)])


@pytest.mark.parametrize("h2", H2)
@pytest.mark.parametrize("axes", [Axes(n=60, m=130, c=3), Axes(n=90, m=40, c=2, missing=0.1)])
def test_wald_again_is_generalised_least_squares(axes: Axes, h2: float) -> None:
    problem = make_problem(axes)
    K, c = kernel_of(problem), axes.c
    filled = np.where(
        np.isnan(problem.dosage), np.nanmean(problem.dosage, 1)[:, None], problem.dosage
    )
    others = np.vstack([problem.y, filled[:6]])
    Q = problem.basis
    rows = np.vstack([Q.T, others - (others @ Q) @ Q.T])
    rough = rough_inverse(covariance(K, h2))
    (products,) = inner_products(Counted(K), [System(h2, rows, rough)])
    found = wald_again(Sums.of(products, c), axes.n - c - 1, 1.0)
    for k in range(6):
        beta, se, _, p = dense_wald(problem.dosage[k], problem.y, problem.X, K, h2)
        assert abs(found.beta[k] - beta) < 1e-6 * se
        assert found.se[k] == pytest.approx(se, rel=1e-6)
        assert found.neg_log10_p[k] == pytest.approx(p, rel=1e-6, abs=1e-7)


def test_unit_of_the_trait(problem: Problem) -> None:
    sums = Sums(4.0, np.array([1.0]), np.array([2.0]))
    plain, scaled = wald_again(sums, 50, 1.0), wald_again(sums, 50, 7.0)
    assert scaled.beta[0] == 7.0 * plain.beta[0]
    assert scaled.se[0] == 7.0 * plain.se[0]
    assert scaled.neg_log10_p[0] == plain.neg_log10_p[0]


def test_lrt_and_score_again() -> None:
    """At one V both are functions of the explained share r = 1/4 of y'Py."""
    sums = Sums(4.0, np.array([2.0, 0.0]), np.array([4.0, 3.0]))
    n, dof = 100, 97
    chi2, f = -n * np.log(1 - 0.25), n * 0.25
    assert lrt_again(sums, n)[0] == pytest.approx(float(mp_neg_log10_p_chi2(chi2)), rel=1e-12)
    assert score_again(sums, n, dof)[0] == pytest.approx(mp_neg_log10_p_t(np.sqrt(f), dof))
    np.testing.assert_array_equal([lrt_again(sums, n)[1], score_again(sums, n, dof)[1]], 0.0)


@pytest.mark.parametrize("t", [0.0, 0.3, 2.0, 12.0, 36.9, 37.5, 200.0])
def test_tails(t: float) -> None:
    """Across the place where doubles end, which is near t = 37 here."""
    expected = mp_neg_log10_p_t(t, 4000)
    assert p_of_t(np.array([-t]), 4000)[0] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    chi2 = float(mp_neg_log10_p_chi2(t * t))
    assert p_of_chi2(np.array([t * t]))[0] == pytest.approx(chi2, rel=1e-9, abs=1e-12)


# Comparing: what passes, and what is a fault.

AGAIN = Values(np.array([0.5, 0.0, 9.0]), np.array([0.1, 0.2, 0.1]), np.zeros(3))
DOF = 1000
EXACT = Tolerance(1e-5)


def again() -> Values:
    return Values(AGAIN.beta, AGAIN.se, p_of_t(AGAIN.beta / AGAIN.se, DOF))


def test_equal_values_pass() -> None:
    assert compare(["a", "b", "c"], again(), again(), EXACT, DOF) == 0.0
    assert compare([], again().take([]), again().take([]), EXACT, DOF) == 0.0


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("name", ["beta", "se", "neg_log10_p"])
def test_a_wrong_value_is_found_and_named(row: int, name: str) -> None:
    values = {f: getattr(again(), f).copy() for f in ("beta", "se", "neg_log10_p")}
    values[name][row] += (
        1e-2 * (AGAIN.se[row] if name != "neg_log10_p" else 1.0) * (1 + 99 * (row == 2))
    )
    with pytest.raises(NumericalError, match=r"E904.*selftest") as caught:
        compare(["a", "b", "c"], Values(**values), again(), EXACT, DOF)
    assert "abc"[row] + ": the scan found" in str(caught.value)
    assert caught.value.exit_code == 9
    others = [k for k in range(3) if k != row]
    assert compare(["x", "y"], Values(**values).take(others), again().take(others), EXACT, DOF) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["beta", "se", "neg_log10_p"])
def test_what_is_no_number_is_a_fault(name: str, value: float) -> None:
    values = {f: getattr(again(), f).copy() for f in ("beta", "se", "neg_log10_p")}
    values[name][1] = value
    assert deviations(Values(**values), again(), EXACT, DOF)[1] == np.inf
    assert deviations(Values(**values), again(), Tolerance(1e-5, 0.1), DOF)[1] == np.inf


def test_rounding_passes() -> None:
    """Errors of t of half the tolerance, as they show in beta, se and p."""
    rng = np.random.default_rng(3)
    t = np.concatenate([np.zeros(1), 10.0 ** rng.uniform(-4, 1.3, 500)])
    exact = Values(t, np.ones_like(t), p_of_t(t, DOF))
    near = t + 0.5e-5 * (1.0 + t)
    assert deviations(Values(near, np.ones_like(t), p_of_t(near, DOF)), exact, EXACT, DOF).max() < 1


def test_calibrated_rows_may_be_off_as_promised() -> None:
    """6 % of x'Px are 6 % of chi-square and of beta; a third is too much."""
    t = np.array([0.0, 0.4, 2.9])
    exact = Values(t, np.ones(3), p_of_t(t, DOF))
    for share, passes in ((0.06, True), (0.35, False)):
        gg = 1.0 + share
        beta, se = t / gg, np.full(3, 1 / np.sqrt(gg))
        found = Values(beta, se, p_of_t(beta / se, DOF))
        worst = deviations(found, exact, Tolerance(1e-5, 0.1), DOF)
        assert (worst.max() <= 1.0) == passes
    inconsistent = Values(t, np.ones(3), p_of_t(t, DOF) + 0.01)
    assert deviations(inconsistent, exact, Tolerance(1e-5, 0.1), DOF).min() > 1.0


def test_rounding_grows_with_samples_and_near_the_upper_end() -> None:
    single, double = Precision.SINGLE, Precision.DOUBLE
    assert rounding_of(double, 500, 0.5, None) < 1e-7 < rounding_of(single, 500, 0.5, None) < 1e-4
    assert rounding_of(single, 50_000, 0.5, None) > rounding_of(single, 500, 0.5, None)
    assert rounding_of(double, 500, 0.99, 30.0) > rounding_of(double, 500, 0.5, 30.0)
    assert rounding_of(double, 500, 0.99, 300.0) > rounding_of(double, 500, 0.99, 30.0)


# Variances of a variant, found again.


@pytest.mark.parametrize("h2", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("variant", [0, 1, 5])
def test_refit_of_a_variant(h2: float, variant: int) -> None:
    problem = make_problem(Axes(n=60, m=130, c=2, h2=h2))
    K = kernel_of(problem)
    S, U = np.linalg.eigh(K)
    S = np.maximum(S, 0.0)
    X1 = np.column_stack([problem.X, problem.dosage[variant]])
    Z = U.T @ np.column_stack([X1, problem.y])
    expected = dense_reml_fit(K, problem.y, X1)
    best = highest_hills(S, Z, restricted=True)[0]
    assert best.h2 == pytest.approx(expected.h2, abs=2e-6)
    shift = -0.5 * np.linalg.slogdet(X1.T @ X1)[1]  # the constant that is left out
    assert best.loglik - shift == pytest.approx(expected.loglik, abs=1e-7)
    loglik = spectral_loglik(S, Z, np.array([0.25]), restricted=True)[0] - shift
    assert loglik == pytest.approx(dense_reml_loglik(0.25, K, problem.y, X1), abs=1e-8)


def test_hills_that_tie_are_all_told() -> None:
    """Where K is the identity every h2 is as good."""
    rng = np.random.default_rng(1)
    Z = np.column_stack([np.ones(30), rng.standard_normal((30, 2))])
    hills = highest_hills(np.ones(30), Z, restricted=True)
    assert 1 <= len(hills) <= 3
    assert max(h.loglik for h in hills) - min(h.loglik for h in hills) < 1e-6


# The oracle of `lmmgwas selftest`, which shares no code with the package, against that of the
# tests, which shares none with either.


def test_oracle_grm(problem: Problem) -> None:
    problem = make_problem(Axes(n=26, m=53, missing=0.05))
    Z = dense_oracle.standardised(problem.dosage, min_maf=0.0, max_missing=1.0)
    K = dense_oracle.products(Z) / len(Z)
    np.testing.assert_allclose(K, naive_grm(problem.dosage, "standardized"), atol=1e-12)
    centred, scale = dense_oracle.centred(K)
    expected, expected_scale = centred_kernel(K)
    np.testing.assert_allclose(centred, expected, atol=1e-12)
    assert scale == pytest.approx(expected_scale)


def test_oracle_leaves_out_rare_missing_and_constant_variants() -> None:
    rng = np.random.default_rng(1)
    genotypes = rng.integers(0, 3, (5, 100)).astype(float)
    genotypes[0] = 1.0
    genotypes[1] = 0.0
    genotypes[1, 3] = 1.0  # frequency 0.005
    genotypes[2, :11] = np.nan
    genotypes[3, :10] = np.nan
    assert len(dense_oracle.standardised(genotypes)) == 2


@pytest.mark.parametrize("h2", [0.0, 0.5, 0.999])
def test_oracle_fit(h2: float) -> None:
    problem = make_problem(Axes(n=60, m=130, c=2, h2=h2))
    K = kernel_of(problem)
    expected = dense_reml_fit(K, problem.y, problem.X)
    found = dense_oracle.best_fit(K, problem.y, problem.X)
    assert found.h2 == pytest.approx(expected.h2, abs=1e-4)
    assert found.loglik == pytest.approx(expected.loglik, abs=1e-6)


@pytest.mark.parametrize("h2", [0.0, 0.4, 0.99])
def test_oracle_tests(h2: float) -> None:
    problem = make_problem(Axes(n=60, m=130, c=2, missing=0.1))
    K = kernel_of(problem)
    found = dense_oracle.tests(problem.dosage[:5], problem.y, problem.X, K, h2)
    ml = [
        dense_oracle.log_likelihood(h2, K, problem.y, X, restricted=False)
        for X in (problem.X, np.column_stack([problem.X, np.nan_to_num(problem.dosage[0])]))
    ]
    assert ml[1] >= ml[0]
    for k in range(5):
        beta, se, _, p = dense_wald(problem.dosage[k], problem.y, problem.X, K, h2)
        assert found.beta[k] == pytest.approx(beta, rel=1e-7)
        assert found.se[k] == pytest.approx(se, rel=1e-7)
        assert found.wald[k] == pytest.approx(p, rel=1e-7)


def test_oracle_likelihood_ratio_and_score(problem: Problem) -> None:
    """From the likelihoods themselves, and from P written out."""
    K, X, y, x = kernel_of(problem), problem.X, problem.y, problem.dosage[4]
    found = dense_oracle.tests(x[None, :], y, X, K, 0.4)
    X1 = np.column_stack([X, x])
    chi2 = 2 * (
        dense_oracle.log_likelihood(0.4, K, y, X1, restricted=False)
        - dense_oracle.log_likelihood(0.4, K, y, X, restricted=False)
    )
    assert found.lrt[0] == pytest.approx(float(mp_neg_log10_p_chi2(chi2)), rel=1e-8)
    Vi = np.linalg.inv(covariance(K, 0.4))
    P = Vi - Vi @ X @ np.linalg.inv(X.T @ Vi @ X) @ X.T @ Vi
    f = y.size * (x @ P @ y) ** 2 / ((x @ P @ x) * (y @ P @ y))
    dof = y.size - X.shape[1] - 1
    assert found.score[0] == pytest.approx(mp_neg_log10_p_t(float(np.sqrt(f)), dof), rel=1e-8)


@pytest.mark.parametrize("dof", [3, 40, 5000])
@pytest.mark.parametrize("t", [0.0, 1e-3, 0.7, 4.0, 30.0])
def test_oracle_tail(t: float, dof: int) -> None:
    expected = mp_neg_log10_p_t(t, dof)
    assert dense_oracle.neg_log10_p_t(t, dof) == pytest.approx(expected, rel=1e-10, abs=1e-11)


# Arithmetic of the machine.


def test_this_machine_is_sound() -> None:
    findings = machine_findings()
    assert [finding.name for finding in findings if not finding.passed] == []
    assert len(findings) == 18


@pytest.mark.parametrize(
    ("routine", "check"),
    [
        ("add_outer_in_place", "sum of squares and products"),
        ("cholesky_in_place", "Cholesky factor"),
        ("solve_lower_rows", "triangular solve"),
        ("inverse_in_place", "inverse"),
        ("symmetric_eigen", "eigenvectors"),
    ],
)
def test_a_wrong_routine_is_found(
    routine: str, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(machine_checks, routine)

    def wrong(*given, **named):
        found = right(*given, **named)
        matrix = given[1] if routine == "add_outer_in_place" else found
        matrix = matrix[1] if isinstance(matrix, tuple) else matrix
        matrix[7, 3] += 0.01
        return found

    monkeypatch.setattr(machine_checks, routine, wrong)
    failed = [finding.name for finding in machine_findings() if not finding.passed]
    assert [name for name in failed if name.startswith(check)]


def test_a_routine_that_gives_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given):
        raise ArithmeticError("leading minor 3 is not positive")

    monkeypatch.setattr(machine_checks, "cholesky_in_place", refuse)
    failed = {finding.name: finding for finding in machine_findings() if not finding.passed}
    assert failed["Cholesky factor, float32"].error == np.inf


def test_a_finding_without_a_number_fails() -> None:
    assert not Finding("x", float("nan"), 1.0).passed
    assert Finding("x", 0.0, 0.0).passed

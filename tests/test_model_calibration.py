"""The calibrated scan against dense GLS: the formula, the promise, and what is left to do exactly.

Simulated: 160 families of five from three populations, each family scattered over the samples,
and a GRM of 12,000 variants; mice are stood in for by inbred offspring of eight founders.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from oracles import centred_kernel, covariance, dense_wald
from scipy import stats

from lmmgwas.model.background import (
    Background,
    Families,
    Leading,
    find_background,
    leading_eigenvectors,
)
from lmmgwas.model.calibrated_test import CalibratedTest, NullVectors, uncalibrated_test
from lmmgwas.model.calibration import (
    PROMISE,
    RARE_MAC,
    RARE_MAF,
    Calibration,
    ExactSample,
    calibrate,
    calibration_rows,
    chi2_errors,
    error_quantile,
    most_eigenvectors,
    needs_exact,
    pooled_error,
)
from lmmgwas.model.variant_tests import ScanResult
from lmmgwas.model.whitening import WhitenedTrait

N_FAMILIES, N_TESTED, N_KERNEL = 160, 2400, 12_000
MANY_VARIANTS = 1_000_000  # of a group: the cost of eigenvectors is no hindrance


@dataclass(frozen=True)
class Study:
    """Tested variants (m, n), a kernel of others, and a trait; nothing is centred."""

    dosage: np.ndarray
    K: np.ndarray
    y: np.ndarray


def _families(rng: np.random.Generator, m: int, population: np.ndarray) -> np.ndarray:
    """Copies (m, 5 f): two parents and three children each."""
    ancestral = rng.uniform(0.05, 0.95, (m, 1))
    by_population = np.clip(ancestral + 0.08 * rng.standard_normal((m, 3)), 0.02, 0.98)
    p = by_population[:, population]
    parents = [[rng.random(p.shape) < p for _ in range(2)] for _ in range(2)]
    people = [one.astype(np.int8) + two for one, two in parents]
    for _ in range(3):
        alleles = [np.where(rng.random(p.shape) < 0.5, one, two) for one, two in parents]
        people.append(alleles[0].astype(np.int8) + alleles[1])
    return np.concatenate(people, axis=1)


def _kernel(dosage: np.ndarray) -> np.ndarray:
    Z = dosage - dosage.mean(axis=1, keepdims=True)
    Z /= Z.std(axis=1, keepdims=True)
    Z = Z.astype(np.float32)
    return centred_kernel((Z.T @ Z / len(Z)).astype(np.float64))[0]


@cache
def human_study() -> Study:
    """Families from three populations, in scattered order."""
    rng = np.random.default_rng(11)
    population = rng.integers(0, 3, N_FAMILIES)
    order = rng.permutation(5 * N_FAMILIES)
    dosage = _families(rng, N_TESTED + N_KERNEL, population)[:, order]
    dosage = dosage[dosage.std(axis=1) > 0]
    K = _kernel(dosage[N_TESTED:])
    y = _trait(rng, dosage[N_TESTED:], 0.4) + 0.25 * dosage[5]
    return Study(dosage[:N_TESTED].astype(np.float64), K, y)


@cache
def close_study() -> Study:
    """Everyone is the offspring of eight founders after generations of random mating."""
    rng = np.random.default_rng(12)
    n, m = 400, 1200
    haplotypes = rng.random((m, 16)) < rng.uniform(0.2, 0.8, (m, 1))
    segment = np.arange(m) // 40  # blocks that are inherited together
    people = np.zeros((m, n))
    for i in range(n):
        few = rng.permutation(16)[:6]
        for _ in range(2):
            people[:, i] += haplotypes[
                np.arange(m), few[rng.integers(0, 6, segment[-1] + 1)][segment]
            ]
    people = people[people.std(axis=1) > 0]
    tested = people[::2]
    return Study(tested, _kernel(people[1::2]), _trait(rng, people[1::2], 0.6))


def _trait(rng: np.random.Generator, dosage: np.ndarray, h2: float) -> np.ndarray:
    genetic = rng.standard_normal(len(dosage)) @ dosage
    y = np.sqrt(h2) * genetic / genetic.std()
    return np.asarray(y + np.sqrt(1.0 - h2) * rng.standard_normal(y.size))


def basis(n: int, c: int) -> np.ndarray:
    """Orthonormal covariates (n, c), the intercept among them."""
    others = np.random.default_rng(c).standard_normal((n, c - 1))
    return np.linalg.qr(np.column_stack([np.ones(n), others]))[0]


def null_vectors(
    K: np.ndarray, y: np.ndarray, X: np.ndarray, h2: float
) -> tuple[NullVectors, np.ndarray]:
    """What the test is made of, by explicit inverses, and V^-1."""
    Vi = np.linalg.inv(covariance(K, h2))
    VX = Vi @ X
    P = Vi - VX @ np.linalg.inv(X.T @ VX) @ VX.T
    n, c = X.shape
    whitened = WhitenedTrait(np.zeros((n, 1 + c)), None, float(y @ P @ y), n - c - 1, 1.0)
    return NullVectors(X, P @ y, VX, h2, whitened), Vi


def centred(dosage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The raw tile in float32, and x'x."""
    rows = dosage - dosage.mean(axis=1, keepdims=True)
    return rows.astype(np.float32), np.einsum("ij,ij->i", rows, rows)


def sample_of(dosage: np.ndarray, X: np.ndarray, Vi: np.ndarray) -> ExactSample:
    """Residual rows and their exact x'V^-1 x."""
    rows = dosage - (dosage @ X) @ X.T
    return ExactSample(rows.astype(np.float32), np.einsum("ij,ij->i", rows @ Vi, rows))


@dataclass(frozen=True)
class Case:
    """A calibrated study."""

    study: Study
    X: np.ndarray
    Vi: np.ndarray
    null: NullVectors
    calibration: Calibration
    rest: np.ndarray  # variants that calibration has not seen

    @property
    def test(self) -> CalibratedTest:
        assert self.calibration.test is not None, self.calibration.reason
        return self.calibration.test

    def exact(self, rows: np.ndarray) -> np.ndarray:
        """beta, se, t and -log10 p (len(rows), 4) by dense GLS."""
        study = self.study
        P = self.Vi - self.null.VX @ np.linalg.inv(self.X.T @ self.null.VX) @ self.null.VX.T
        x = study.dosage[rows]
        gg = np.einsum("ij,ij->i", x @ P, x)
        beta = x @ P @ study.y / gg
        se = np.sqrt((study.y @ P @ study.y - beta**2 * gg) / self.null.whitened.dof / gg)
        p = 2.0 * stats.t.sf(np.abs(beta / se), self.null.whitened.dof)
        return np.column_stack([beta, se, beta / se, -np.log10(p)])


@cache
def calibrated(kind: str, h2: float, c: int) -> Case:
    """Calibrate a study."""
    study = human_study() if kind == "human" else close_study()
    n = study.y.size
    X = basis(n, c)
    null, Vi = null_vectors(study.K, study.y, X, h2)
    training, held_out = calibration_rows(len(study.dosage), 1, 0, 5)
    samples = [sample_of(study.dosage[rows], X, Vi) for rows in (training, held_out)]
    background = find_background(study.K)
    found = calibrate(study.K, background, null, *samples, MANY_VARIANTS)
    rest = np.setdiff1d(np.arange(len(study.dosage)), np.concatenate([training, held_out]))
    return Case(study, X, Vi, null, found, rest)


@pytest.mark.parametrize("c", [1, 5])
def test_the_formula_is_exact_with_all_eigenvectors(c: int) -> None:
    """x'Px is then all head and covariates; float32 sums are good to 1e-5 here."""
    study = close_study()
    K, y = study.K[:150, :150], study.y[:150]
    X = basis(150, c)
    null, Vi = null_vectors(K, y, X, 0.6)
    test = uncalibrated_test(K, null, leading_eigenvectors(K, 150), Families((), 0.0))
    x = study.dosage[:40, :150] + 0.0
    parts = test.parts(*centred(x))
    P = Vi - null.VX @ np.linalg.inv(X.T @ null.VX) @ null.VX.T
    np.testing.assert_allclose(
        parts.head + parts.left - parts.covariates, np.einsum("ij,ij->i", x @ P, x), rtol=1e-5
    )
    assert np.isnan(test.test(*centred(x)).neg_log10_p).all()  # nothing is left for gamma


@pytest.mark.parametrize("c", [1, 2, 5])
@pytest.mark.parametrize("h2", [0.0, 0.4, 0.9])
def test_where_families_are_all_there_is_the_test_is_exact(h2: float, c: int) -> None:
    """K of blocks and 1: Q is V^-1. Against plain GLS."""
    rng = np.random.default_rng(5)
    n = 120
    K = np.eye(n)
    for family in rng.permutation(n)[:90].reshape(-1, 3):
        K[np.ix_(family, family)] += 0.5 - 0.5 * np.eye(3)
    x = rng.integers(0, 3, (21, n)).astype(float)
    y, X = rng.standard_normal(n) + 0.5 * x[0], basis(n, c)
    null, Vi = null_vectors(K, y, X, h2)
    background = find_background(K)
    test = uncalibrated_test(K, null, background.leading.first(0), background.families)
    found = test.test(*centred(x))
    for j, row in enumerate(x):
        beta, se, _, p = dense_wald(row, y, X, K, h2, Vi)
        np.testing.assert_allclose(found.beta[j], beta, rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(found.se[j], se, rtol=2e-5)
        np.testing.assert_allclose(found.neg_log10_p[j], p, rtol=4e-5, atol=1e-5)


@pytest.mark.parametrize(("h2", "c"), [(0.4, 1), (0.4, 5), (0.2, 2)])
def test_the_promise_is_kept_on_variants_never_seen(h2: float, c: int) -> None:
    """Three populations and families: in chi-square, at the 99th percentile."""
    case = calibrated("human", h2, c)
    assert case.calibration.kept, case.calibration.reason
    result = case.test.test(*centred(case.study.dosage[case.rest]))
    exact = case.exact(case.rest)
    error = (result.beta / result.se) ** 2 / exact[:, 2] ** 2 - 1.0
    assert error_quantile(error) <= PROMISE
    assert error_quantile(case.calibration.errors) <= PROMISE
    # What was held out tells what is to be expected; a percentile of 200 is known to a third.
    assert error_quantile(error) <= 1.4 * error_quantile(case.calibration.errors)
    assert np.sign(result.beta).tolist() == np.sign(exact[:, 0]).tolist()


def test_numerator_is_exact() -> None:
    """x'Py to the rounding of float32 sums: |x||Py| times 1e-6."""
    case = calibrated("human", 0.4, 5)
    x, squares = centred(case.study.dosage)
    numerator = case.test.parts(x, squares).numerator
    bound = 1e-6 * np.sqrt(squares) * np.linalg.norm(case.null.Py)
    assert (np.abs(numerator - case.study.dosage @ case.null.Py) <= bound).all()


def test_families_as_blocks_are_worth_it() -> None:
    """One constant and eigenvectors do not see families: twice the error here."""
    case = calibrated("human", 0.4, 2)
    k = case.test.n_eigenvectors
    leading = case.calibration.background.leading.first(k)
    alone = uncalibrated_test(case.study.K, case.null, leading, Families((), 0.0))
    sample = sample_of(case.study.dosage[case.rest], case.X, case.Vi)
    parts = alone.parts(*centred(case.study.dosage[case.rest]))
    gamma = float((sample.squares - parts.head).sum() / parts.left.sum())
    error = error_quantile(chi2_errors(replace(alone, gamma=gamma), sample))
    assert error > 2.0 * error_quantile(chi2_errors(case.test, sample))


def test_close_relatives_get_the_exact_scan() -> None:
    case = calibrated("close", 0.7, 1)
    assert not case.calibration.kept
    assert "eigenvectors" in case.calibration.reason
    result = ScanResult(*[np.ones(3)] * 3, np.zeros(3, dtype=bool))
    assert needs_exact(case.calibration, result, np.full(3, 100.0), 1e-3).all()


def test_where_relatives_are_nearly_all_of_the_trait_the_promise_is_not_made() -> None:
    """h2 = 0.9: what unrelated people share by chance is felt in a sample of 800."""
    case = calibrated("human", 0.9, 1)
    assert not case.calibration.kept
    assert f"{PROMISE:.0%}" in case.calibration.reason


def test_without_heritability_nothing_is_approximate() -> None:
    """V = I: ordinary least squares, one constant, and it is 1."""
    case = calibrated("human", 0.0, 2)
    assert case.test.gamma == 1.0
    assert case.test.n_eigenvectors == 0
    assert (case.calibration.errors == 0.0).all()
    found = case.test.test(*centred(case.study.dosage[:200]))
    exact = case.exact(np.arange(200))
    np.testing.assert_allclose(found.se, exact[:, 1], rtol=1e-5)
    np.testing.assert_allclose(found.neg_log10_p, exact[:, 3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bound", [1e-3, 1e-2, 0.3])
@pytest.mark.parametrize(("h2", "c"), [(0.4, 1), (0.2, 2)])
def test_no_variant_below_the_bound_stays_approximate(h2: float, c: int, bound: float) -> None:
    case = calibrated("human", h2, c)
    dosage = case.study.dosage
    result = case.test.test(*centred(dosage))
    mac = np.minimum(dosage.sum(axis=1), 2 * dosage.shape[1] - dosage.sum(axis=1))
    chosen = needs_exact(case.calibration, result, mac, bound)
    below = case.exact(np.arange(len(dosage)))[:, 3] > -np.log10(bound)
    assert below.any()
    assert chosen[below].all()
    assert chosen[result.neg_log10_p > -np.log10(bound)].all()  # whatever is reported below it
    assert chosen[mac < RARE_MAC].all()
    expected = np.mean((mac < RARE_MAC) | below)
    assert chosen.mean() <= expected + 0.3 * bound + 0.005


def test_rows_without_an_answer_are_left_to_the_exact_test() -> None:
    """Variants that covariates or eigenvectors explain, and rows of zeros."""
    case = calibrated("human", 0.4, 2)
    rng = np.random.default_rng(1)
    spanned = case.X[:, 1] - case.X[:, 1].mean() + 1e-3 * rng.standard_normal(case.X.shape[0])
    leading = case.calibration.background.leading.U[:, 0]
    ordinary = case.study.dosage[5]
    tile, squares = centred(np.vstack([spanned, leading, np.zeros(leading.size), ordinary]))
    result = case.test.test(tile, squares)
    assert np.isnan(result.neg_log10_p).tolist() == [True, True, True, False]
    chosen = needs_exact(case.calibration, result, np.full(4, 500.0), 1e-300)
    assert chosen.tolist() == [True, True, True, False]


def test_same_input_same_bytes_and_tiles_do_not_matter() -> None:
    case = calibrated("human", 0.4, 2)
    calibrated.cache_clear()
    again = calibrated("human", 0.4, 2)
    assert again.test.gamma == case.test.gamma
    assert again.calibration.errors.tobytes() == case.calibration.errors.tobytes()
    tile, squares = centred(case.study.dosage[:96])
    whole = case.test.test(tile, squares).neg_log10_p
    assert whole.tobytes() == again.test.test(tile, squares).neg_log10_p.tobytes()
    ragged = case.test.test(tile[:37], squares[:37]).neg_log10_p
    np.testing.assert_allclose(ragged, whole[:37], rtol=1e-4, atol=1e-6)


def test_rows_for_calibration_are_disjoint_and_depend_on_the_group_alone() -> None:
    training, held_out = calibration_rows(5000, 1, 3, 2)
    assert training.size == 100
    assert held_out.size == 500
    assert not set(training) & set(held_out)
    again = calibration_rows(5000, 1, 3, 2)
    assert again[0].tobytes() == training.tobytes()
    assert again[1].tobytes() == held_out.tobytes()
    assert calibration_rows(5000, 1, 4, 2)[0].tobytes() != training.tobytes()
    assert calibration_rows(5000, 2, 3, 2)[0].tobytes() != training.tobytes()
    assert calibration_rows(5000, 1, 0, 22)[1].size == 200
    few = calibration_rows(90, 1, 0, 22)
    assert [part.size for part in few] == [30, 60]
    assert [part.size for part in calibration_rows(0, 1, 0, 1)] == [0, 0]


def test_too_few_variants_are_tested_exactly() -> None:
    case = calibrated("human", 0.4, 1)
    some = sample_of(case.study.dosage[:30], case.X, case.Vi)
    found = calibrate(case.study.K, case.calibration.background, case.null, some, some, 60)
    assert not found.kept
    assert "too few" in found.reason


def test_rows_of_zeros_are_passed_over() -> None:
    case = calibrated("human", 0.4, 1)
    some = sample_of(case.study.dosage[:60], case.X, case.Vi)
    padded = ExactSample(
        np.concatenate([some.rows, np.zeros_like(some.rows[:5])]),
        np.concatenate([some.squares, np.zeros(5)]),
    )
    background = case.calibration.background
    one, two = (
        calibrate(case.study.K, background, case.null, s, s, MANY_VARIANTS) for s in (some, padded)
    )
    assert one.errors.size == two.errors.size == 60


def test_errors_are_pooled_over_groups() -> None:
    background = find_background(np.eye(30))
    test = calibrated("human", 0.4, 1).test
    good = Calibration(test, "", np.full(995, -0.01), background)
    bad = Calibration(test, "", np.full(5, 0.5), background)
    exact = Calibration(None, "reason", np.empty(0), background)
    pooled = pooled_error([good.errors, bad.errors, exact.errors])
    assert (pooled.n_variants, pooled.quantile, pooled.largest) == (1000, 0.01, 0.5)
    assert pooled.kept
    assert not pooled_error([good.errors, *[bad.errors] * 3]).kept
    assert not pooled_error([exact.errors]).kept
    assert np.isnan(pooled_error([]).quantile)


def test_eigenvectors_end_where_the_exact_scan_is_as_cheap() -> None:
    assert most_eigenvectors(5000, 10_000_000) == 625
    assert most_eigenvectors(5000, 4545) == 94
    assert most_eigenvectors(1410, 1044) == 21


def test_what_is_rare_depends_on_whether_families_are_known() -> None:
    """Where near relatives are no families, a share of the samples counts, too."""
    n = 5000
    leading = Leading(np.empty(0), np.empty((n, 0)), np.empty((n, 0)))
    near, far = (
        Calibration(None, "", np.empty(0), Background(leading, Families((), threshold)))
        for threshold in (0.05, 0.4)
    )
    assert near.rare_mac == RARE_MAC
    assert far.rare_mac == 2.0 * RARE_MAF * n > RARE_MAC


def test_variants_that_were_not_trained_on_have_the_last_word() -> None:
    """Held-out variants whose exact x'V^-1 x is another: nothing is promised."""
    case = calibrated("human", 0.4, 1)
    rows = np.arange(600).reshape(2, -1)
    half = [sample_of(case.study.dosage[some], case.X, case.Vi) for some in rows]
    background = case.calibration.background
    assert calibrate(case.study.K, background, case.null, *half, MANY_VARIANTS).kept
    wrong = replace(half[1], squares=1.3 * half[1].squares)
    found = calibrate(case.study.K, background, case.null, half[0], wrong, MANY_VARIANTS)
    assert not found.kept
    assert "stays above" in found.reason

"""Many samples: K in float32, what that does to results and memory, and LAPACK's integers."""

import tracemalloc
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import RunCli, StudyFiles, read_tsv
from oracles import centred_kernel
from simulate import Axes, Problem, make_problem

from lmmgwas.errors import DegenerateError, MismatchError, UsageError
from lmmgwas.model import single_kernel
from lmmgwas.model.fitting import Analysis, FittedGroup, fit_group, suggested_starts
from lmmgwas.model.grm import Grm, PackedPart
from lmmgwas.model.memory import GrmSize, StudySize
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.run_size import RunSize, smaller_runs, too_many_for_eigenvectors
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.single_kernel import LARGE_SAMPLES, single_matrix
from lmmgwas.model.whitener_cost import whitener_cost
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.numerics.linalg import EVD_MAX_N, NotPositiveDefiniteError
from lmmgwas.numerics.optimise import Status
from lmmgwas.numerics.panels import add_counted_rows, add_packed_rows
from lmmgwas.pipeline.memory_check import require_memory
from lmmgwas.pipeline.options import RunOptions

SHIFT = 0.3
"""Added to each GRM: one that is not centred is where rounding before centring would show."""


def packed(K: np.ndarray) -> np.ndarray:
    return K[np.tril_indices(len(K))].astype(np.float32)


def standardised(dosage: np.ndarray) -> np.ndarray:
    centred = np.where(np.isnan(dosage), 0.0, dosage - np.nanmean(dosage, axis=1, keepdims=True))
    return np.asarray(centred / centred.std(axis=1, keepdims=True))


def grm_of(problem: Problem, groups: dict[str, str], *, pairwise: bool = False) -> Grm:
    """A set with parts; `groups` gives the group of each of the problem's chromosomes."""
    n = problem.y.size
    Z = standardised(problem.dosage)
    seen = (~np.isnan(problem.dosage)).astype(float)
    group = np.array([groups[c] for c in problem.chrom])

    def part(which: np.ndarray) -> PackedPart:
        m = int(which.sum())
        if not pairwise:
            return PackedPart(packed(Z[which].T @ Z[which] / m + SHIFT), m)
        counts = seen[which].T @ seen[which]
        return PackedPart(packed(Z[which].T @ Z[which] / counts + SHIFT), m, packed(counts))

    parts = {name: part(group == name) for name in dict.fromkeys(groups.values())}
    ids = tuple(f"S{k}" for k in range(n))
    return Grm(("F",) * n, ids, part(np.ones(group.size, dtype=bool)), parts)


def unpacked(values: np.ndarray, n: int) -> np.ndarray:
    K = np.zeros((n, n))
    K[np.tril_indices(n)] = values
    return K + np.tril(K, -1).T


def expected_kernel(grm: Grm, group: str | None, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Unpack, subtract or sum, centre: all in float64, written out."""
    n = len(grm.iid)
    terms = [(grm.whole, 1.0)]
    if group is not None:
        left_out = grm.parts[group]
        terms = [(part, 1.0) for name, part in grm.parts.items() if name != group]
        if 2 * left_out.n_variants <= grm.whole.n_variants:
            terms = [(grm.whole, 1.0), (left_out, -1.0)]
    top, bottom = np.zeros((n, n)), np.zeros((n, n))
    for part, sign in terms:
        counts = np.full((n, n), float(part.n_variants))
        if part.counts is not None:
            counts = unpacked(part.counts, n)
        top += sign * unpacked(part.values, n) * counts
        bottom += sign * counts
    A = top / bottom
    return centred_kernel(A[np.ix_(rows, rows)])


AXES = Axes(n=150, m=300, c=2, h2=0.5, missing=0.05, seed=3)
EVEN = {"1": "a", "2": "b", "3": "c"}
UNEVEN = {"1": "a", "2": "a", "3": "c"}  # "a" has more than half


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pairwise", [False, True])
@pytest.mark.parametrize(
    ("groups", "left_out"), [(EVEN, None), (EVEN, "b"), (UNEVEN, "a"), (UNEVEN, "c")]
)
@pytest.mark.parametrize("some", [False, True])
def test_k_in_float32(
    groups: dict[str, str], left_out: str | None, some: bool, pairwise: bool, threads: int
) -> None:
    grm = grm_of(make_problem(AXES), groups, pairwise=pairwise)
    rows = np.arange(AXES.n)
    if some:
        rows = np.random.default_rng(1).permutation(rows)[:131]
    K, scale = single_matrix(grm, left_out, rows, threads)
    expected, expected_scale = expected_kernel(grm, left_out, rows)
    assert K.dtype == np.float32
    np.testing.assert_array_equal(K, K.T)
    assert scale == pytest.approx(expected_scale, rel=1e-12)
    # Rounded once: half a unit in the last place, and float64's rounding.
    assert (np.abs(K - expected) <= 0.5 * np.spacing(np.abs(K)) + 1e-12).all()


def test_threads_change_no_bit_of_k() -> None:
    problem = make_problem(Axes(n=900, m=400, c=1, h2=0.5, seed=1))  # more than one chunk
    grm = grm_of(problem, EVEN)
    one, three = (single_matrix(grm, "b", np.arange(900), threads) for threads in (1, 3))
    assert one[0].tobytes() == three[0].tobytes()
    assert one[1] == three[1]


def test_what_has_no_k_is_refused() -> None:
    n = 20
    ids = tuple(map(str, range(n)))
    rows = np.arange(n)
    constant = Grm(ids, ids, PackedPart(np.full(n * (n + 1) // 2, 0.7, dtype=np.float32), 9), {})
    with pytest.raises(DegenerateError, match="E703"):
        single_matrix(constant, None, rows)
    values = packed(np.eye(n))
    values[17] = np.nan
    with pytest.raises(DegenerateError, match="E702"):
        single_matrix(Grm(ids, ids, PackedPart(values, 9), {}), None, rows)
    part = PackedPart(packed(np.eye(n)), 9, packed(np.ones((n, n))))
    with pytest.raises(MismatchError, match="E805"):
        single_matrix(Grm(ids, ids, part, {"a": PackedPart(part.values, 3)}), "a", rows)


@pytest.mark.parametrize("n", [60_000, 66_000, 92_000])
def test_places_in_a_triangle_pass_32_bits(tmp_path: Path, n: int) -> None:
    """A file with holes: its last rows alone take room. 2^31 values from 65,536 samples on."""
    path = tmp_path / "triangle"
    size = n * (n + 1) // 2
    with path.open("wb") as stream:
        stream.truncate(4 * size)
    values = np.memmap(path, dtype=np.float32, mode="r+", shape=(size,))
    places = {(n - 1, 0): 3.0, (n - 1, n - 1): 5.0, (n - 2, 7): 7.0, (n - 2, n - 2): 11.0}
    for (i, k), value in places.items():
        values[i * (i + 1) // 2 + k] = value
    for rows in (np.empty(0, dtype=np.int64), np.arange(n, dtype=np.int64)):
        panel, counts = np.zeros((2, n)), np.zeros((2, n))
        add_packed_rows(values, 2.0, rows, n - 2, panel)
        for (i, k), value in places.items():
            assert panel[i - n + 2, k] == 2.0 * value
        assert panel.sum() == 2.0 * sum(places.values())
        panel[:] = 0.0
        add_counted_rows(values, values, 1.0, rows, n - 2, panel, counts)
        assert counts.sum() == sum(places.values())
        assert panel.sum() == sum(value**2 for value in places.values())


H2_OFF = 1e-6
P_OFF = 1e-5
LOGLIK_OFF = 5e-5
"""Measured: 2e-8 in h2, 4e-6 in -log10 p and 5e-6 in the log-likelihood; without float32 tiles
and factors 7e-9, 1e-6 and 5e-6, by K alone."""

SWEEP = [
    *(Axes(n=1500, m=3000, c=2, h2=h2, seed=3) for h2 in (0.05, 0.3, 0.6, 0.95)),
    Axes(n=1500, m=3000, c=5, h2=0.5, seed=4),
    Axes(n=1500, m=700, c=1, h2=0.5, seed=5),  # K of low rank
    Axes(n=1500, m=700, c=1, h2=0.95, seed=5),
    Axes(n=1500, m=3000, c=2, h2=0.5, clones=30, seed=6),
]


@cache
def fitted(axes: Axes, noise: bool) -> tuple[FittedGroup, FittedGroup, FittedGroup]:
    """In float64 throughout; with K in float32 from nothing, and from a start."""
    problem = make_problem(axes)
    grm = grm_of(problem, EVEN)
    rows = np.arange(axes.n)
    K, scale = expected_kernel(grm, "b", rows)
    K32, scale32 = single_matrix(grm, "b", rows)
    y = np.random.default_rng(1).standard_normal(axes.n) if noise else problem.y
    trait = standardise_trait("y", y)
    plain = Analysis((trait,), problem.basis, WhitenerKind.CHOLESKY, Precision.DOUBLE, None)
    single = replace(plain, precision=Precision.SINGLE)
    exact = fit_group(plain, np.ascontiguousarray(K), scale, starts=[None])
    cold = fit_group(single, K32, scale32, starts=[None])
    warm = fit_group(single, K32, scale32, starts=suggested_starts([exact.traits[0].null]))
    return exact, cold, warm


def neg_log10_p(group: FittedGroup, problem: Problem) -> np.ndarray:
    """Of 300 variants."""
    G = standardised(problem.dosage[:300])
    G -= (G @ problem.basis) @ problem.basis.T
    (batch,) = group.batches()
    return np.asarray(
        batch.test(np.array(G, dtype=batch.precision.dtype, order="C"))[0].neg_log10_p
    )


@pytest.mark.parametrize(
    ("axes", "noise"),
    [
        *((axes, False) for axes in SWEEP[:2]),
        (SWEEP[0], True),
        *(pytest.param(axes, False, marks=pytest.mark.slow) for axes in SWEEP[2:]),
    ],
    ids=str,
)
def test_results_with_k_in_float32(axes: Axes, noise: bool) -> None:
    exact, cold, warm = fitted(axes, noise)
    null = exact.traits[0].null
    assert noise == (null.status is Status.LOWER_BOUND)
    p = neg_log10_p(exact, make_problem(axes))
    assert p.max() > 2.0
    for group in (cold, warm):
        found = group.traits[0].null
        assert found.status is null.status
        assert found.h2 == pytest.approx(null.h2, abs=H2_OFF)
        assert found.h2_se == pytest.approx(null.h2_se, rel=1e-6, nan_ok=True)
        assert found.loglik == pytest.approx(null.loglik, abs=LOGLIK_OFF)
        assert found.loglik_without_grm == pytest.approx(null.loglik_without_grm, abs=1e-8)
        assert found.sigma2 == pytest.approx(null.sigma2, rel=1e-6)
        np.testing.assert_allclose(neg_log10_p(group, make_problem(axes)), p, rtol=0, atol=P_OFF)


def matrices(axes: Axes, start: NullModel | None, noise: bool) -> float:
    """What a fit takes beside K, in bytes for each pair of samples; vectors are in it."""
    problem = make_problem(axes)
    K32, scale = single_matrix(grm_of(problem, EVEN), "b", np.arange(axes.n))
    y = np.random.default_rng(1).standard_normal(axes.n) if noise else problem.y
    trait = standardise_trait("y", y)
    analysis = Analysis((trait,), problem.basis, WhitenerKind.CHOLESKY, Precision.SINGLE, None)
    tracemalloc.start()
    fit_group(analysis, K32, scale, starts=[start])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / axes.n**2


def test_matrices_that_are_alive_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside K, 4 bytes for each pair: 8 in the first fit, 4 in others, 12 where float32 fails.

    40 vectors in a dozen copies are 2.6 bytes at n = 1,500, alive only while no float64 matrix is.
    """
    monkeypatch.setattr("lmmgwas.numerics.symmetric._PANEL", 16)  # two of 256 are 3 bytes here
    axes = SWEEP[1]
    exact, _, _ = fitted(axes, False)
    start = suggested_starts([exact.traits[0].null])[0]
    matrices(Axes(n=600, m=900, c=2, h2=0.5, seed=1), None, False)  # kernels are compiled
    assert 8.0 <= matrices(axes, None, False) < 8.5
    assert 4.0 <= matrices(axes, start, False) < 4.0 + 2.6
    assert 12.0 <= matrices(axes, None, True) < 12.5


def test_k_is_made_without_a_matrix_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_kernel, "_PANEL", 8)
    n = SWEEP[1].n
    grm = grm_of(make_problem(SWEEP[1]), EVEN)
    tracemalloc.start()
    K, _ = single_matrix(grm, "b", np.arange(n))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert K.nbytes == 4 * n * n <= peak < 4.5 * n * n


def analysis_of(
    n: int,
    kind: WhitenerKind = WhitenerKind.CHOLESKY,
    precision: Precision = Precision.SINGLE,
) -> Analysis:
    return Analysis((), np.broadcast_to(0.0, (n, 1)), kind, precision, None)


def test_who_has_k_in_float32() -> None:
    """A function of n, the whitener and the precision: nothing of the machine."""
    assert LARGE_SAMPLES == 16_384
    assert not analysis_of(LARGE_SAMPLES).single_kernel
    assert analysis_of(LARGE_SAMPLES + 1).single_kernel
    assert not analysis_of(30_000, kind=WhitenerKind.SPECTRAL).single_kernel
    assert not analysis_of(30_000, precision=Precision.DOUBLE).single_kernel


@pytest.mark.parametrize("given", [False, True])
def test_a_study_of_many_samples(
    monkeypatch: pytest.MonkeyPatch,
    small_study: StudyFiles,
    run_cli: RunCli,
    tmp_path: Path,
    given: bool,
) -> None:
    """The same study twice, once as if its 118 samples were many."""
    options: list[str] = ["--whitener", "cholesky", "--plots", "none", "--threads", "1"]
    if given:
        made = run_cli("grm", "--bfile", small_study.bfile, "--out", tmp_path / "grm")
        assert made.exit_code == 0, made.output
        options += ["--grm", str(tmp_path / "grm")]
    asked: list[bool] = []
    honest = single_kernel.single_matrix

    def watched(*arguments: object) -> object:
        asked.append(True)
        return honest(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("lmmgwas.pipeline.relatedness.single_matrix", watched)
    for name, threshold in (("few", LARGE_SAMPLES), ("many", 50)):
        monkeypatch.setattr(single_kernel, "LARGE_SAMPLES", threshold)
        done = run_cli("assoc", *small_study.inputs, *options, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert bool(asked) == (name == "many")
    for path in sorted(tmp_path.glob("few.*.tsv.gz")):
        few, many = read_tsv(path), read_tsv(path.with_name(path.name.replace("few", "many", 1)))
        assert list(few.columns) == list(many.columns)
        for column in few.columns:
            if column != "neg_log_10_p_value":
                continue
            np.testing.assert_allclose(
                many[column].astype(float), few[column].astype(float), rtol=0, atol=P_OFF
            )


def spectral(n: int, **changes: object) -> StudySize:
    plain = StudySize(
        n=n,
        n_file=n,
        n_covariates=1,
        n_traits=1,
        n_variants=1000,
        largest_group=500,
        n_fits=2,
        threads=1,
        kind=WhitenerKind.SPECTRAL,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_workspace_that_lapack_can_count() -> None:
    """1 + 6 n + 2 n^2 elements in 32 bits, as LAPACK documents lwork of dsyevd."""
    assert 1 + 6 * EVD_MAX_N + 2 * EVD_MAX_N**2 < 2**31
    assert 1 + 6 * (EVD_MAX_N + 1) + 2 * (EVD_MAX_N + 1) ** 2 >= 2**31


def test_eigenvectors_of_too_many_are_refused_before_the_work() -> None:
    n = EVD_MAX_N + 1
    assert too_many_for_eigenvectors(RunSize(0, None, (spectral(n - 1),))) == 0
    assert too_many_for_eigenvectors(RunSize(0, None, (spectral(n, kept=True),))) == 0
    cholesky = spectral(n, kind=WhitenerKind.CHOLESKY)
    assert too_many_for_eigenvectors(RunSize(0, GrmSize(n, n, 10), (cholesky,))) == 0
    for run in (
        RunSize(0, None, (cholesky, spectral(n))),
        RunSize(0, GrmSize(n, n, 10, eigen=True)),
    ):
        assert too_many_for_eigenvectors(run) == n
        with pytest.raises(UsageError, match=r"32,767 samples.*--whitener cholesky"):
            require_memory(run, RunOptions(Path("out")), None)  # type: ignore[arg-type]
    offered = [option for option, _ in smaller_runs(RunSize(0, None, (cholesky,)))]
    assert not any("--whitener spectral" in option for option in offered)


@pytest.mark.parametrize("kept", [False, True])
def test_the_whitener_of_too_many(kept: bool) -> None:
    """A hundred traits are cheaper by eigenvectors, where they can be had."""
    for n in (EVD_MAX_N, EVD_MAX_N + 1):
        cost = whitener_cost(n, 100_000, 22, 100, kept=kept)
        assert cost.spectral < cost.cholesky
        possible = kept or n <= EVD_MAX_N
        assert cost.kind is (WhitenerKind.SPECTRAL if possible else WhitenerKind.CHOLESKY)


@pytest.mark.parametrize(
    ("n", "dtype", "remedy"),
    [(20_000, np.float32, "--whitener spectral"), (EVD_MAX_N + 1, np.float64, "--h2 X")],
)
def test_no_eigenvectors_in_place_of_a_factor(
    monkeypatch: pytest.MonkeyPatch, n: int, dtype: type, remedy: str
) -> None:
    """Where float64 has no factor, few samples go by eigenvectors, at once and unasked."""

    def no_factor(*_: object) -> FittedGroup:
        raise NotPositiveDefiniteError("leading minor 9 of 20 is not positive")

    monkeypatch.setattr("lmmgwas.model.fitting._fit_cholesky_group", no_factor)
    zeros = np.broadcast_to(dtype(0.0), (n, n))  # one number in memory
    with pytest.raises(DegenerateError, match=f"E721.*leading minor 9.*{remedy}") as caught:
        fit_group(analysis_of(n), zeros, 1.0, starts=[])
    assert ("--whitener spectral" in str(caught.value)) == (n <= EVD_MAX_N)

"""The arithmetic of memory: held against what numpy really allocates, and against itself."""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from oracles import centred_kernel
from simulate import Axes, make_problem

from lmmgwas.model.fitting import Analysis, fit_group, suggested_starts
from lmmgwas.model.grm_sum import GRM_TILE, GrmSum, RowTile
from lmmgwas.model.memory import (
    LANES,
    MAX_LANE_SAMPLES,
    GrmSize,
    Phase,
    StudySize,
    Term,
    after_each_other,
    grm_phases,
    lower_triangle,
    study_phases,
)
from lmmgwas.model.run_size import RunSize, most_samples, smaller_runs
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.spectrum import decompose
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.pipeline import scan_plan

MIB, GIB = 1 << 20, 1 << 30
HUGE = 2 * MIB


def study(n: int = 5000, **changes: object) -> StudySize:
    plain = StudySize(
        n=n,
        n_file=n,
        n_covariates=3,
        n_traits=1,
        n_variants=100_000,
        largest_group=8_000,
        n_fits=22,
        threads=1,
        kind=WhitenerKind.CHOLESKY,
        plots=False,
        page=HUGE,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def named(size: StudySize, name: str) -> Phase:
    return next(phase for phase in study_phases(size) if phase.name.startswith(name))


@pytest.fixture
def traced(_warm: None) -> Iterator[Callable[[], int]]:
    """Call it for the largest sum of bytes that were allocated since the test began."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    yield lambda: tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()


FITTED = Axes(n=700, m=1200, c=2, h2=0.5, seed=1)


@pytest.fixture(scope="module")
def _warm() -> None:
    """Load kernels and modules: that is Python's memory, not an array."""
    problem = make_problem(Axes(n=520, m=600, c=2, h2=0.5, seed=1))
    trait = standardise_trait("y", problem.y)
    for kind in (WhitenerKind.CHOLESKY, WhitenerKind.SPECTRAL):
        K, scale = centred_kernel(problem.K)
        analysis = Analysis((trait,), problem.basis, kind, Precision.SINGLE, None)
        fit_group(analysis, np.ascontiguousarray(K), scale, starts=[None])


@pytest.mark.usefixtures("_warm")
@pytest.mark.parametrize("n_traits", [1, 3])
@pytest.mark.parametrize(
    ("kind", "precision", "h2"),
    [
        (WhitenerKind.CHOLESKY, Precision.SINGLE, None),
        (WhitenerKind.CHOLESKY, Precision.SINGLE, 0.4),
        (WhitenerKind.CHOLESKY, Precision.DOUBLE, None),
        (WhitenerKind.SPECTRAL, Precision.SINGLE, None),
        (WhitenerKind.SPECTRAL, Precision.DOUBLE, None),
    ],
)
def test_a_fit_allocates_what_is_reckoned(
    kind: WhitenerKind,
    precision: Precision,
    h2: float | None,
    n_traits: int,
) -> None:
    """The first fit, and one that starts from it.

    n x n arrays are there to the last. Rows for the probe vectors (a seventh of an n x n array
    at this n) are not always there at the fullest moment; 3 % is for a few vectors.
    """
    problem = make_problem(FITTED)
    noise = np.random.default_rng(1).standard_normal((n_traits, FITTED.n))
    traits = tuple(
        standardise_trait(f"y{k}", problem.y + 0.1 * e * problem.y.std())
        for k, e in enumerate(noise)
    )
    analysis = Analysis(traits, problem.basis, kind, precision, h2)
    size = study(
        FITTED.n,
        kind=kind,
        precision=precision,
        fixed_h2=h2 is not None,
        n_traits=n_traits,
        n_covariates=2,
    )
    starts = [None] * n_traits
    for name in ("the first null model", "null models without"):
        K, scale = centred_kernel(problem.K)
        K = np.ascontiguousarray(K)
        tracemalloc.start()
        fitted = fit_group(analysis, K, scale, starts=starts)
        peak = tracemalloc.get_traced_memory()[1] + K.nbytes
        tracemalloc.stop()
        terms = named(size, name).terms
        matrices = sum(t.size for t in terms if "n x n" in t.what or "n^2" in t.what)
        probes = sum(t.size for t in terms if "probe" in t.what)
        assert matrices <= peak <= 1.03 * (matrices + probes), (name, peak / matrices)
        starts = suggested_starts([trait.null for trait in fitted.traits])
        del fitted


def test_float32_that_does_not_do_costs_a_matrix_more(traced: Callable[[], int]) -> None:
    """h2 near 0: the fits are in float64."""
    problem = make_problem(FITTED)
    y = np.random.default_rng(1).standard_normal(FITTED.n)
    K, scale = centred_kernel(problem.K)
    K = np.ascontiguousarray(K)
    trait = standardise_trait("y", y)
    analysis = Analysis((trait,), problem.basis, WhitenerKind.CHOLESKY, Precision.SINGLE, None)
    cold = fit_group(analysis, K, scale, starts=[None])
    starts = suggested_starts([cold.traits[0].null])
    assert cold.traits[0].null.h2 < 0.1
    del cold
    tracemalloc.reset_peak()
    start = tracemalloc.get_traced_memory()[0]
    fit_group(analysis, K, scale, starts=starts)
    peak = tracemalloc.get_traced_memory()[1] - start + K.nbytes
    size = study(FITTED.n)
    phase = named(size, "null models without")
    usual = sum(t.size for t in phase.terms if "n x n" in t.what)
    assert usual < peak <= 1.1 * (usual + phase.fallback)


def test_decompositions_allocate_what_is_reckoned(traced: Callable[[], int]) -> None:
    n = 400
    K = np.eye(n) + 0.1
    del_base = K.nbytes
    decompose(K, 1.0)
    phase = grm_phases(GrmSize(n, n, 0, eigen=True, page=HUGE))[1]
    assert traced() == pytest.approx(phase.size, rel=0.05)
    assert phase.size == 3 * del_base


def test_sums_allocate_what_is_reckoned(traced: Callable[[], int]) -> None:
    """The two of a chromosome; the grand total and its triangle are the caller's."""
    n = 600
    sums = GrmSum(RowTile(0, n))
    tile = np.ones((GRM_TILE, n), dtype=np.float32)
    sums.add(tile)
    sums.flush()
    terms = {term.what: term for term in grm_phases(GrmSize(n, n, 0, page=HUGE))[0].terms}
    own = terms["sums of a chromosome, float32 and float64"]
    tiles = next(term for what, term in terms.items() if what.startswith("tiles of"))
    assert own.count == 1
    assert traced() == pytest.approx(own.each + tiles.each, rel=0.05)


@pytest.mark.parametrize("page", [4096, 65536, HUGE])
@pytest.mark.parametrize(("n", "itemsize"), [(3, 8), (100, 4), (1500, 8), (3000, 8)])
def test_pages_of_a_lower_triangle(n: int, itemsize: int, page: int) -> None:
    """Counted page by page; the formula is never below, and a page a row above at most."""
    rows = np.arange(n)
    first = rows * n * itemsize // page
    last = (rows * (n + 1) * itemsize + itemsize - 1) // page
    touched = np.zeros(last[-1] + 2, dtype=np.int64)
    np.add.at(touched, first, 1)
    np.add.at(touched, last + 1, -1)
    exact = int((np.cumsum(touched) > 0).sum()) * page
    found = lower_triangle(n, itemsize, page)
    assert min(exact, n * n * itemsize) <= found <= exact + n * page


def test_leading_terms_of_a_large_study() -> None:
    """By hand: at n = 20,000 an n x n matrix has 1.6 GB in single and 3.2 GB in double.

    One lane (16,384 is the most for two). First fit: K in single, V in double. Groups: K and V
    in single, and a block of 4,096 rows. GRM: three row tiles, two thirds of a matrix of single and
    of one of double; half a matrix of double, and two halves of single.
    """
    n = 20_000
    one = 4 * n * n
    size = study(n, threads=2, kind=WhitenerKind.CHOLESKY)
    assert size.lanes == 1
    block = 4096 * n * 4
    assert named(size, "the first null").size == pytest.approx(3 * one + 2 * block, rel=0.05)
    assert named(size, "null models").size == pytest.approx(2 * one + block, rel=0.05)
    built = grm_phases(GrmSize(n, n, 500_000, page=HUGE))[0]
    assert built.size == pytest.approx((2 + 1 + 1) * one, rel=0.1)


def test_what_thirty_thousand_samples_take() -> None:
    """The GRM is the most: 7.3 bytes for each pair in sums, 4 in the whole, 4 in two parts."""
    n = 30_000
    grm = GrmSize(n, n, 200_000, page=HUGE, threads=2)
    estimate = RunSize(400 * MIB, grm, (study(n, threads=2, n_fits=2),)).estimate()
    assert estimate.largest.name == "building the GRM"
    assert 15 * n * n < estimate.peak < 17 * n * n < 22 * GIB
    # The worst: h2 near 0, V in double beside its factor in single and K.
    assert estimate.peak + estimate.fallback < 18 * n * n


def test_two_lanes_take_twice_the_matrices() -> None:
    one, two = (named(study(threads=t), "null models") for t in (1, 2))
    matrices = [sum(t.size for t in phase.terms if "n x n" in t.what) for phase in (one, two)]
    assert matrices == [12 * 5000**2, 24 * 5000**2]


def test_lanes_are_those_of_the_scan() -> None:
    assert LANES == scan_plan._LANES
    assert MAX_LANE_SAMPLES == scan_plan._MAX_LANE_SAMPLES


@pytest.mark.parametrize(
    ("changes", "lanes", "workers"),
    [
        ({"threads": 1}, 1, 1),
        ({"threads": 2}, 2, 2),
        ({"threads": 3}, 2, 2),
        ({"threads": 4}, 1, 4),
        ({"threads": 2, "n_fits": 0}, 1, 2),
        ({"threads": 2, "n": MAX_LANE_SAMPLES + 1}, 1, 2),
        ({"threads": 2, "kind": WhitenerKind.IDENTITY}, 1, 2),
    ],
)
def test_lanes_and_workers(changes: dict[str, object], lanes: int, workers: int) -> None:
    size = study(**changes)  # type: ignore[arg-type]
    assert (size.lanes, size.workers) == (lanes, workers)


GROWING: list[tuple[str, dict[str, object]]] = [
    ("threads", {"threads": 2}),
    ("traits", {"n_traits": 10}),
    ("double", {"precision": Precision.DOUBLE}),
    ("spectral", {"kind": WhitenerKind.SPECTRAL}),
    ("samples", {"n": 6000, "n_file": 6000}),
    ("pairwise", {"pairwise": True}),
]


@pytest.mark.parametrize("changes", [c for _, c in GROWING], ids=[name for name, _ in GROWING])
def test_more_takes_more(changes: dict[str, object]) -> None:
    small = RunSize(0, None, (study(),)).estimate().peak
    assert RunSize(0, None, (study(**changes),)).estimate().peak > small  # type: ignore[arg-type]


def test_heaps_keep_what_phases_before_had() -> None:
    """Small arrays stay, and most of their room is used again; large ones go."""
    small = Phase("a", (Term(10 * MIB, "small", 4), Term(100 * MIB, "large")))
    after = Phase("b", (Term(20 * MIB, "small"),))
    alone, first, second = (after_each_other(p) for p in ((after,), (small, after), (after, small)))
    kept = [term.size for term in first[1].terms if term.what.startswith("what heaps keep")]
    assert kept == [40 * MIB - 16 * MIB]  # four fifths of 20
    assert alone[0].size < first[1].size < first[0].size
    assert second[0].size == alone[0].size
    assert second[1].size > first[0].size


def test_plots_and_variants_count_at_the_end() -> None:
    few, many = (study(200, n_variants=m, largest_group=m // 20) for m in (10_000, 1_000_000))
    last = [study_phases(size)[-1] for size in (few, replace(few, plots=True), many)]
    assert [phase.name for phase in last] == ["tables and plots"] * 3
    assert last[0].size < last[1].size < last[2].size
    assert last[2].size - last[0].size > 50 * 990_000
    paged = [study_phases(replace(size, plots=True, report=True))[-1].size for size in (few, many)]
    assert paged[0] - last[1].size > 20 * MIB
    assert paged[1] - paged[0] > last[2].size - last[0].size + 20 * 990_000


def test_the_base_is_added_once() -> None:
    run = RunSize(100 * MIB, GrmSize(1000, 1000, 20_000, page=HUGE), (study(1000),))
    bare = replace(run, base=0)
    assert run.estimate().peak == 100 * MIB + bare.estimate().peak
    assert bare.estimate().peak == max(phase.size for phase in bare.estimate().phases)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("limit", [1 * GIB, 4 * GIB, 7 * GIB, 40 * GIB])
def test_the_largest_number_of_samples_that_fits(threads: int, limit: int) -> None:
    n = 80_000
    grm = GrmSize(n, n, 500_000, page=HUGE)
    run = RunSize(150 * MIB, grm, (study(n, threads=threads),))
    found = most_samples(run, limit)
    assert run.with_samples(found).estimate().peak <= limit
    assert run.with_samples(found + 1).estimate().peak > limit


def test_nothing_fits_into_nothing() -> None:
    run = RunSize(150 * MIB, None, (study(),))
    assert most_samples(run, 100 * MIB) == 0
    assert most_samples(run, 100 * GIB) == 5000


def test_with_fewer_samples_all_files_shrink_alike() -> None:
    run = RunSize(0, GrmSize(800, 1000, 5000), (study(600, n_file=1000), study(400, n_file=1000)))
    half = run.with_samples(300)
    assert half.grm is not None
    assert (half.grm.n, half.grm.n_file) == (400, 500)
    assert [(s.n, s.n_file) for s in half.analyses] == [(300, 500), (200, 500)]


def test_options_that_help_do() -> None:
    run = RunSize(0, None, (study(threads=2, n_traits=3, plots=True),))
    options = dict(smaller_runs(run))
    peak = run.estimate().peak
    assert all(changed.estimate().peak < peak for changed in options.values())
    assert options["--threads 1"].analyses[0].lanes == 1
    assert any("--pheno-name" in option for option in options)
    assert any("--whitener spectral" in option for option in options)
    assert not any("--precision" in option for option in options)  # it is single already


def test_options_that_do_not_help_are_not_offered() -> None:
    """One thread, one trait, and the GRM decides."""
    run = RunSize(0, GrmSize(5000, 5000, 0, page=HUGE), (study(),))
    assert [option for option, _ in smaller_runs(run)] == ["a GRM that was built elsewhere (--grm)"]


def test_a_whitener_that_is_settled_is_not_offered() -> None:
    run = RunSize(0, None, (study(kind=WhitenerKind.SPECTRAL, threads=2, may_choose=False),))
    assert not any("--whitener" in option for option, _ in smaller_runs(run))


def test_kept_decompositions_need_no_workspace() -> None:
    made, kept = (study(kind=WhitenerKind.SPECTRAL, kept=k) for k in (False, True))
    assert RunSize(0, None, (kept,)).estimate().peak < RunSize(0, None, (made,)).estimate().peak
    terms = [term.what for phase in study_phases(kept) for term in phase.terms]
    assert any("from disk" in what for what in terms)
    assert not any("workspace" in what for what in terms)

"""How much memory a run takes at its peak: which arrays are alive together, and their bytes.

Counted is anonymous memory; mapped files (genotypes, GRM parts) come and go as the system likes.
A run is a few phases, each a list of arrays; the peak is what is there before them (Python, its
libraries, the lists of variants and samples) and the largest phase. Symbols: n samples analysed,
N samples of the genotype file, c covariates, q traits of an analysis, T rows of a tile.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lmmgwas.model.grm_sum import GRM_TILE, row_tiles
from lmmgwas.model.null_model import MIN_DRAFT_SAMPLES
from lmmgwas.model.scan import scan_tile
from lmmgwas.model.single_kernel import is_large
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.numerics.linalg import BLOCK

LANES = 2
MAX_LANE_SAMPLES = 16_384
"""Up to here two threads fit and scan a LOCO group each."""

_SINGLE, _DOUBLE = 4, 8  # bytes of a float
_MIB = 1 << 20

_KERNELS = 28 * _MIB
"""Compiled kernels and what they load."""

_THREAD = 16 * _MIB
"""A thread's stack, its heap's first pages, and BLAS's buffers for small matrices."""

_PANEL, _PANEL_ROWS = 512 * _DOUBLE, 8192
"""Bytes of a row that BLAS packs before it multiplies, and of how many rows at most."""

_OWN_PAGES = 24 * _MIB
"""Arrays from about this size on are given back to the system when they are freed (glibc: 32 MiB,
and heaps of threads have 64); what is smaller lies in heaps, stays there, and leaves gaps."""

_REUSED_SHARE = 0.8
_GAPS_SHARE = 0.1
"""Fitted, like the four above, to the peaks of the runs in tests/test_memory.py: estimates were 1
to 28 % above them."""

_PLOTS = 50 * _MIB
"""matplotlib and a picture of its own size: measured 32 to 57 MiB."""

_PAGE = 40 * _MIB
"""The page of the report: its points, its JSON, plotly.js, and copies of these."""

_TILES_ALIVE = 4  # of the GRM: three ahead, one being summed
_CALIBRATED_TILES = 8  # whose calls wait for their exact rows
_CALIBRATION_ROWS = 300  # training and held out, the fewest
_PROBES = 33
_PROBE_ARRAYS = 12

_MANIFEST_LINE = 215  # bytes of a variant while the digest of a GRM set is made
_PIECE_ROW = 110  # bytes of a row that waits to be written: packed text, and its record
_TEXT_ROW = 900  # bytes of a row while it is formatted
_TESTS_ROW = 56  # bytes of the sums and tests of a variant and trait, beside those of covariates
_FINISHED_ROW = 80  # bytes of a variant when leads are sought and plots are drawn
_PAGE_ROW = 40  # more of them while the points of the page are chosen


@dataclass(frozen=True, slots=True)
class Term:
    """An array, or some of a kind."""

    each: int  # bytes of one
    what: str  # a sentence that says which
    count: int = 1

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return self.count * self.each


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of the run, with what is alive at its fullest moment."""

    name: str
    terms: tuple[Term, ...]
    fallback: int = 0  # bytes, more than these where float32 does not carry V

    @property
    def size(self) -> int:
        """Bytes of all its arrays."""
        return sum(term.size for term in self.terms)

    @property
    def small(self) -> int:
        """Bytes of those that lie in heaps."""
        return sum(term.size for term in self.terms if term.each < _OWN_PAGES)


def after_each_other(
    phases: Iterable[Phase], threads: int = 1, n: int = 0, *, fits: bool = True
) -> tuple[Phase, ...]:
    """Return the phases with what is there besides their own arrays.

    That is what the heaps keep of the phases before, of which a phase finds a part of its own
    room, the gaps in them, threads, and kernels where something is fitted.
    """
    thread = _THREAD + _PANEL * min(n, _PANEL_ROWS)
    heap, found = 0, []
    for phase in phases:
        kept = heap - int(_REUSED_SHARE * min(heap, phase.small))
        heap = kept + phase.small
        terms = (
            *phase.terms,
            Term(kept, "what heaps keep of the steps before"),
            Term(int(_GAPS_SHARE * heap), "gaps between small arrays"),
            Term(_KERNELS if fits else 0, "compiled kernels"),
            Term(thread, "threads, and BLAS's buffers for them", threads),
        )
        found.append(Phase(phase.name, terms, phase.fallback))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class GrmSize:
    """A GRM that is built: n samples of it, N of its genotype file, m variants."""

    n: int
    n_file: int
    n_variants: int
    n_groups: int = 1  # parts
    pairwise: bool = False
    threads: int = 1
    eigen: bool = False  # decompositions are kept
    n_components: int = 0  # principal components, 0 for none
    call_bytes: int = 1  # of a call; 2 of a dosage
    page: int = 4096  # bytes of the pages that large arrays are made of


@dataclass(frozen=True, slots=True)
class StudySize:
    """One analysis: traits with the same samples."""

    n: int
    n_file: int
    n_covariates: int  # c, with the intercept
    n_traits: int  # q
    n_variants: int
    largest_group: int  # variants of the largest LOCO group
    n_fits: int  # groups that are left out; 0 without LOCO
    threads: int
    kind: WhitenerKind
    precision: Precision = Precision.SINGLE
    fixed_h2: bool = False
    calibrated: bool = False
    per_variant: bool = False  # variances are fitted again for every variant
    may_choose: bool = True  # either whitener would do
    kept: bool = False  # decompositions are on disk
    pairwise: bool = False  # the GRM has counts for each pair
    plots: bool = True
    report: bool = False
    page: int = 4096
    call_bytes: int = 1  # of a call; 2 of a dosage

    @property
    def lanes(self) -> int:
        """How many groups are fitted and scanned at a time."""
        few = LANES <= self.threads < 2 * LANES and self.n <= MAX_LANE_SAMPLES
        return LANES if few and self.n_fits > 1 and self.kind is not WhitenerKind.IDENTITY else 1

    @property
    def workers(self) -> int:
        """How many tiles are tested at a time."""
        return self.lanes if self.lanes > 1 else self.threads

    @property
    def kernel_bytes(self) -> int:
        """Bytes of an element of K, as `fitting.Analysis.single_kernel` decides."""
        single = self.kind is WhitenerKind.CHOLESKY and self.precision is Precision.SINGLE
        return _SINGLE if single and not self.calibrated and is_large(self.n) else _DOUBLE


def lower_triangle(n: int, itemsize: int, page: int) -> int:
    """Return the bytes of (n, n) zeros of which only the lower triangle is ever written.

    A page is there once any of it is written: with pages longer than a row that is all of them.
    """
    whole = n * n * itemsize
    return whole if page >= n * itemsize else min(whole, whole // 2 + n * page)


def reading_phase(text_bytes: int) -> Phase:
    """Return what is alive while a .bim of so many bytes is read."""
    return _step(
        "reading the variants",
        Term(text_bytes, "the text of the .bim, and a copy of it or its columns", 2),
    )


def _row_sums(n: int, page: int) -> int:
    """Bytes of the sums of a chromosome: of each row tile a matrix of float32, one of float64.

    What lies above the diagonal is never written in the first, and cleared in the second.
    """
    single = double = 0
    for rows in row_tiles(n):
        single += _SINGLE * rows.height * rows.first + lower_triangle(rows.height, _SINGLE, page)
        double += _DOUBLE * rows.height * rows.last
    return single + double


def grm_phases(size: GrmSize) -> tuple[Phase, ...]:
    """Return the phases of a GRM set: its sums, and what is made of them."""
    n, twice = size.n, 2 if size.pairwise else 1
    triangle = n * (n + 1) // 2
    tile = GRM_TILE * n * _SINGLE
    phases = [
        _step(
            "building the GRM",
            Term(_row_sums(n, size.page), "sums of a chromosome, float32 and float64", twice),
            Term(triangle * _DOUBLE, "the sum of all, float64", twice),
            Term(triangle * _SINGLE, "triangles: one is made, one written", 2 * twice),
            Term(tile, "tiles of standardised genotypes, read ahead", twice * _TILES_ALIVE),
            Term(
                GRM_TILE * size.n_file * size.call_bytes,
                "the calls of the tile that is being read",
                3,
            ),
            Term(_MANIFEST_LINE * size.n_variants, "the lines of the digest of its variants"),
        )
    ]
    K = Term(_DOUBLE * n * n, "the GRM (n x n, float64)")
    basis = 2 * size.n_components + 40
    if size.eigen or (size.n_components and 2 * basis > n):
        workspace = Term(2 * _DOUBLE * n * n, "the workspace of LAPACK's ?syevd (2 n^2)")
        phases.append(_step("decomposing the GRM", K, workspace))
    elif size.n_components:
        vectors = _DOUBLE * n * (basis + size.n_components)
        phases.append(
            _step("principal components", K, Term(vectors, "the basis of the iteration", 2))
        )
    return tuple(phases)


def study_phases(size: StudySize) -> tuple[Phase, ...]:
    """Return the phases of one analysis: null models, tests, tables and plots."""
    waiting = _waiting_rows(size)
    tests = _step("tests", *_matrices(size), *_tile_terms(size), waiting)
    finish = _step(
        "tables and plots",
        Term(_FINISHED_ROW * size.n_variants, "results, places and p of all variants"),
        Term(_PLOTS if size.plots or size.report else 0, "matplotlib and a plot"),
        Term(_PAGE + _PAGE_ROW * size.n_variants if size.report else 0, "the page of the report"),
    )
    if size.kind is WhitenerKind.IDENTITY:
        return tests, finish
    first = Phase("the first null model", _fit_terms(size, whole=True), _beyond(size, whole=True))
    if not size.n_fits:
        return first, tests, finish
    fits = (*_of_lanes(size, _fit_terms(size, whole=False)), waiting)
    # Groups follow each other: their fits find the heaps as the tests of others left them.
    beyond = size.lanes * _beyond(size, whole=False)
    again = Phase("null models without a chromosome", fits, beyond)
    return first, tests, again, finish


def _beyond(size: StudySize, *, whole: bool) -> int:
    """Bytes that a fit takes beyond its terms where float32 does not do.

    h2 below 0.1 or above 0.9: V is then factored in float64, and its factor cast to float32. The
    first fit has that V in any case, but not the factor beside it.
    """
    if size.kind is not WhitenerKind.CHOLESKY or not _expands(size):
        return 0
    return _square(size, _SINGLE if whole else _DOUBLE)


def _step(name: str, *terms: Term) -> Phase:
    return Phase(name, terms)


def _of_lanes(size: StudySize, terms: tuple[Term, ...]) -> tuple[Term, ...]:
    return tuple(replace(term, count=size.lanes * term.count) for term in terms)


def _expands(size: StudySize) -> bool:
    """Whether V is factored in float32 alone, as a rule."""
    single = size.precision is Precision.SINGLE and not size.fixed_h2
    return single and size.n >= MIN_DRAFT_SAMPLES


def _square(size: StudySize, itemsize: int) -> int:
    return size.n * size.n * itemsize


def _rotation_bytes(size: StudySize) -> int:
    return _SINGLE if size.precision is Precision.SINGLE else _DOUBLE


def _fit_terms(size: StudySize, *, whole: bool) -> tuple[Term, ...]:
    """What one fit takes; `whole` is the first, where float64 has the last word."""
    kept_in = "float32" if size.kernel_bytes == _SINGLE else "float64"
    terms = [Term(_square(size, size.kernel_bytes), f"the GRM (n x n, {kept_in})")]
    if size.pairwise and size.kernel_bytes == _DOUBLE:
        terms.append(Term(_square(size, _DOUBLE + 1), "the counts of its pairs (n x n)"))
    if size.kind is WhitenerKind.SPECTRAL:
        return (*terms, *_spectral_terms(size))
    in_double = whole or not _expands(size)
    beside = in_double and size.precision is Precision.SINGLE  # a V that is no trait's factor
    factor = _square(size, _rotation_bytes(size))
    # The last word in float64 is spoken before the trait's own factor is made.
    n_factors = size.n_traits - int(beside and _expands(size))
    terms.append(Term(factor, "Cholesky factors, one for each trait (n x n)", n_factors))
    rows = (_PROBES + size.n_covariates) * size.n * _DOUBLE
    terms.append(Term(rows, "y, X and probe vectors, solved", _PROBE_ARRAYS))
    if beside:
        terms.append(Term(_square(size, _DOUBLE), "V in float64 (n x n)"))
    if size.n > 2 * BLOCK and not size.fixed_h2:
        block = BLOCK * size.n * (_DOUBLE if in_double else _SINGLE)
        terms.append(Term(block, "a block of the inverse (4,096 x n)"))
    return tuple(terms)


def _spectral_terms(size: StudySize) -> tuple[Term, ...]:
    if size.kept:
        return (
            Term(_square(size, _DOUBLE), "its eigenvectors from disk (n x n, float64)"),
            Term(_square(size, _rotation_bytes(size)), "the rotation (n x n)"),
        )
    return (Term(2 * _square(size, _DOUBLE), "the workspace of LAPACK's ?syevd (2 n^2)"),)


def _matrices(size: StudySize) -> tuple[Term, ...]:
    """The matrices that the tests need."""
    if size.kind is WhitenerKind.IDENTITY:
        return ()
    n_rotations = 1 if size.kind is WhitenerKind.SPECTRAL else size.n_traits
    terms = [Term(_square(size, _rotation_bytes(size)), "rotations (n x n)", n_rotations)]
    if size.calibrated:
        terms.append(Term(_square(size, _DOUBLE), "the GRM of a calibration (n x n)"))
        rows = _CALIBRATION_ROWS * (
            size.n_file * size.call_bytes + (2 * _SINGLE + _DOUBLE) * size.n
        )
        terms.append(Term(rows, "random variants, to calibrate by"))
    return _of_lanes(size, tuple(terms))


def _tile_terms(size: StudySize) -> tuple[Term, ...]:
    """What the tiles take that are tested at a time."""
    rows = scan_tile(size.n)
    b = min(rows, size.largest_group)
    calls = 1 + (_CALIBRATED_TILES if size.calibrated else 1)
    width = _rotation_bytes(size)
    weighted = size.kind is WhitenerKind.SPECTRAL or size.per_variant
    doubles = int(width == _SINGLE) + int(weighted) + int(size.per_variant)
    per_trait = _DOUBLE * (1 + size.n_covariates) + _TESTS_ROW
    terms = (
        Term(b * size.n_file * size.call_bytes, "calls as they are read", calls),
        Term(rows * size.n * width, "the tile, less its projection on the covariates", 2),
        Term(rows * size.n * _DOUBLE, "the rotated tile in float64, and its squares", doubles),
        Term(rows * per_trait, "sums and tests of each trait", size.n_traits),
        Term(_TEXT_ROW * b, "rows of the table, being formatted"),
    )
    return tuple(replace(term, count=size.workers * term.count) for term in terms)


def _waiting_rows(size: StudySize) -> Term:
    """Rows that are finished before those of the tiles or groups in front of them."""
    b = min(scan_tile(size.n), size.largest_group)
    rows = size.largest_group if size.lanes > 1 else min(size.largest_group, 3 * b * size.workers)
    return Term(_PIECE_ROW * size.n_traits * rows, "rows that wait for their turn")

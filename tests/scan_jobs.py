"""Groups of the small study fitted and tested step by step, for tests of what comes after."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from conftest import StudyFiles

from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.grm_files import GrmPaths, open_grm
from lmmgwas.model.fitting import Analysis, FittedGroup, fit_group, fit_without_relatedness
from lmmgwas.model.genotypes import KEPT, VariantFilters
from lmmgwas.model.samples import SampleTable, standardise_trait
from lmmgwas.model.variant_tests import TestKind, VarianceKind
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.pipeline.grm_run import build_grm, plan_grm
from lmmgwas.pipeline.inputs import Genotypes, open_genotypes
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import FileSet, GenotypeOptions, GrmOptions, RunOptions
from lmmgwas.pipeline.relatedness import Relatedness
from lmmgwas.pipeline.scan_tiles import exact_results
from lmmgwas.pipeline.tile_reader import ScanJob, TileReader

RECORD = np.dtype(
    [
        ("row", "<i8"),
        ("n_observed", "<i8"),
        ("beta", "<f8"),
        ("se", "<f8"),
        ("af", "<f8"),
        ("neg_log10_p", "<f8"),
    ]
)


@dataclass(frozen=True)
class Opened:
    """Genotypes and the GRM set built from them."""

    genotypes: Genotypes
    relatedness: Relatedness


def open_study(
    files: StudyFiles, folder: Path, *, pairwise: bool = False, bfile: Path | None = None
) -> Opened:
    """Open the genotypes and build their GRM in a folder."""
    folder.mkdir(exist_ok=True)
    log = Logbook(folder / "log", verbosity=0, strict=False)
    options = GenotypeOptions(
        FileSet.of(str(bfile or files.bfile), None, None, None), min_loco_variants=1
    )
    genotypes = open_genotypes(options, log)
    paths = GrmPaths(folder / "set")
    task = plan_grm(
        genotypes, options, GrmOptions(pairwise=pairwise), RunOptions(folder / "out"), log
    )
    with OutputSet(overwrite=True, durable=False) as outputs:
        build_grm(task, paths, outputs, log, quiet=True)
        outputs.commit()
    return Opened(genotypes, Relatedness(*open_grm(paths.prefix), paths, 1))


def make_job(
    opened: Opened,
    *,
    kind: WhitenerKind = WhitenerKind.CHOLESKY,
    precision: Precision = Precision.SINGLE,
    h2: float | None = None,
    test: TestKind = TestKind.WALD,
    variance: VarianceKind = VarianceKind.NULL,
    rows: np.ndarray | None = None,
    n_traits: int = 1,
    seed: int = 5,
) -> ScanJob:
    """A job over some samples (all but three), with a covariate and traits of h2 about 1/2."""
    genotypes = opened.genotypes
    n = len(genotypes.samples)
    rows = np.setdiff1d(np.arange(n), [4, 50, 101]) if rows is None else rows
    rng = np.random.default_rng(seed)
    calls = genotypes.source.read(np.arange(len(genotypes.source.variants))).astype(float)
    calls[calls < 0] = np.nan
    some = calls[np.isnan(calls).mean(axis=1) < 0.5]
    filled = np.where(np.isnan(some), np.nanmean(some, axis=1, keepdims=True), some)
    centred = filled - filled.mean(axis=1, keepdims=True)
    traits = []
    for k in range(n_traits):
        genetic = rng.standard_normal(len(centred)) @ centred
        y = 170.0 + genetic / genetic.std() + rng.standard_normal(n) + 0.3 * centred[30 + k]
        traits.append(standardise_trait(f"t{k}", y[rows]))
    ones = np.full((rows.size, 1), 1.0 / np.sqrt(rows.size))
    age = rng.standard_normal((rows.size, 1))
    age -= ones * (ones.T @ age)
    X = np.column_stack([ones, age / np.linalg.norm(age)])
    analysis = Analysis(tuple(traits), X, kind, precision, h2, test, variance)
    males = rows[genotypes.samples.sex[rows] == 1]
    samples = SampleTable(rows, rows, males, X, rows, rows)
    return ScanJob(
        genotypes.source,
        genotypes.variants,
        samples,
        analysis,
        VariantFilters(0.0, 5.0, 0.1),
        None if kind is WhitenerKind.IDENTITY else opened.relatedness,
        True,
        False,
        64,
        1,
    )


def fit(job: ScanJob, left_out: str | None, spoil=None) -> FittedGroup:
    """Fit the null models; `spoil` may change K before."""
    if job.relatedness is None:
        return fit_without_relatedness(job.analysis)
    K, scale = job.relatedness.matrix(left_out, job.samples.grm_rows)
    if spoil is not None:
        spoil(K)
    return fit_group(job.analysis, K, scale, starts=[None] * len(job.analysis.traits))


def scan(job: ScanJob, fitted: FittedGroup, group: str) -> list[np.ndarray]:
    """Test the variants of a group; return the records by trait."""
    names = [chromosome.group for chromosome in job.variants.chromosomes]
    members = np.flatnonzero(np.array(names)[job.variants.chrom] == group)
    reader = TileReader(job, job.variants.take(members), members)
    tile = reader.tile(0)
    results = exact_results(
        tile.calls, tile.stats, tile.reasons, reader.rows, fitted.batches(), job.samples.X
    )
    tested = np.flatnonzero(tile.reasons == KEPT)
    records = []
    for result in results:
        found = np.empty(tested.size, dtype=RECORD)
        found["row"] = members[tested]
        found["n_observed"], found["af"] = tile.stats.n_observed[tested], tile.stats.af[tested]
        for name in ("beta", "se", "neg_log10_p"):
            found[name] = getattr(result, name)[tested]
        records.append(found)
    return records

"""What a run was asked to do: frozen bundles that validate themselves.

The command line fills them, the pipeline reads them; nothing else is handed around.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

from lmmgwas.errors import UsageError
from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.model.genotypes import VariantFilters
from lmmgwas.model.grm import GrmFilters, GrmModel
from lmmgwas.model.scan import ScanKind
from lmmgwas.model.variant_tests import TestKind, VarianceKind
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.numerics.likelihood import H2_MAX

_LARGEST_WINDOW = 100_000
"""kb; chromosomes are hardly longer."""


def _require_fraction(name: str, value: float, largest: float = 1.0) -> None:
    if not 0.0 <= value <= largest:
        raise UsageError("E002", f"{name} {value:g} is out of range: give 0 to {largest:g}")


@dataclass(frozen=True, slots=True)
class Share:
    """Part `part` (from 1) of the work divided into `n_parts`."""

    part: int
    n_parts: int

    def __post_init__(self) -> None:
        if not 1 <= self.part <= self.n_parts:
            raise UsageError(
                "E009",
                f"--part {self.part}/{self.n_parts}: the parts are numbered from 1 to "
                f"{self.n_parts}",
            )

    @property
    def name(self) -> str:
        """For names of files."""
        return f"part-{self.part}-of-{self.n_parts}"


@dataclass(frozen=True, slots=True)
class FileSet:
    """The three files of a PLINK binary file set."""

    genotypes: Path  # .bed or .pgen
    variants: Path  # .bim or .pvar
    samples: Path  # .fam or .psam
    is_pgen: bool = False  # PLINK 2's

    @classmethod
    def of(cls, bfile: str | None, bed: str | None, bim: str | None, fam: str | None) -> "FileSet":
        """Build from `--bfile PREFIX`, or from all of `--bed --bim --fam`."""
        single = [bed, bim, fam]
        if bfile is not None and not any(single):
            return cls(Path(f"{bfile}.bed"), Path(f"{bfile}.bim"), Path(f"{bfile}.fam"))
        if bfile is None and bed and bim and fam:
            return cls(Path(bed), Path(bim), Path(fam))
        raise UsageError(
            "E003",
            "give --bfile PREFIX, or all three of --bed, --bim and --fam, or --pfile PREFIX",
        )

    @classmethod
    def of_pfile(cls, prefix: str) -> "FileSet":
        """Build from `--pfile PREFIX`; a .pvar.zst stands in where there is no .pvar."""
        pgen, pvar, psam = (Path(f"{prefix}.{suffix}") for suffix in ("pgen", "pvar", "psam"))
        return cls(pgen, pvar, psam, is_pgen=True)

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        """The three files."""
        return self.genotypes, self.variants, self.samples

    def at(self, label: str, placeholder: str) -> "FileSet":
        """Return the set of one chromosome, whose label stands for the placeholder."""
        genotypes, variants, samples = (
            path.with_name(path.name.replace(placeholder, label)) for path in self.paths
        )
        return FileSet(genotypes, variants, samples, self.is_pgen)


@dataclass(frozen=True, slots=True)
class GenotypeOptions:
    """Which genotypes, and how their samples and chromosomes are read."""

    files: FileSet
    karyotype: Karyotype = field(default_factory=Karyotype)
    keep: Path | None = None
    remove: Path | None = None
    min_loco_variants: int = 100
    mind: float | None = None  # largest fraction of missing calls of a sample

    def __post_init__(self) -> None:
        if self.mind is not None:
            _require_fraction("--mind", self.mind)


@dataclass(frozen=True, slots=True)
class VariantChoice:
    """Which variants by name and place: for the GRM and for the tests alike."""

    extract: Path | None = None
    exclude: Path | None = None
    chromosomes: str | None = None  # as typed: 1-4,22,X


@dataclass(frozen=True, slots=True)
class GrmOptions:
    """How a GRM is built."""

    model: GrmModel = GrmModel.STANDARDIZED
    pairwise: bool = False
    choice: VariantChoice = field(default_factory=VariantChoice)
    filters: GrmFilters = field(default_factory=GrmFilters)

    def __post_init__(self) -> None:
        _require_fraction("--grm-maf", self.filters.maf, 0.5)
        _require_fraction("--grm-geno", self.filters.geno)


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Traits and covariates."""

    pheno: Path
    pheno_names: str | None = None
    covar: Path | None = None
    covar_names: str | None = None
    categorical_names: str | None = None
    missing_codes: tuple[str, ...] | None = None
    use_missing_code: bool = True
    header: bool = True


@dataclass(frozen=True, slots=True)
class TestOptions:
    """Which variants are tested."""

    __test__ = False  # not a test class, whatever its name says to a test runner

    choice: VariantChoice = field(default_factory=VariantChoice)
    filters: VariantFilters = field(default_factory=lambda: VariantFilters(0.0, 5.0, 0.1))
    include_nonautosomal: bool = False
    hwe_of_all: bool = False  # count nonfounders in the Hardy-Weinberg test, too

    def __post_init__(self) -> None:
        _require_fraction("--hwe", self.filters.hwe)
        _require_fraction("--maf", self.filters.maf, 0.5)
        _require_fraction("--geno", self.filters.geno)
        if not self.filters.mac >= 0.0 or math.isinf(self.filters.mac):
            raise UsageError("E002", f"--mac {self.filters.mac:g} is out of range: give 0 or more")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The mixed model."""

    grm: Path | None = None
    grm_files: FileSet | None = None  # the genotypes that the GRM is built from, if others
    loco: bool = True
    h2: float | None = None
    precision: Precision = Precision.SINGLE
    whitener: WhitenerKind | None = None  # None: the cheaper one
    rint: bool = False
    threshold: float | None = None  # None: 5e-8 for human data, 0.05/m otherwise
    test: TestKind = TestKind.WALD
    variance: VarianceKind = VarianceKind.NULL
    condition: tuple[str, ...] = ()  # variant IDs
    scan: ScanKind = ScanKind.EXACT
    exact_below: float = 1e-3  # of a calibrated scan: p under this is computed exactly
    seed: int = 1  # of the random variants that a scan is calibrated on

    @property
    def needs_spectrum(self) -> bool:
        """Whether only the spectral whitener will do."""
        return self.test is not TestKind.WALD or self.variance is VarianceKind.PER_VARIANT

    def __post_init__(self) -> None:
        if self.needs_spectrum and self.whitener is WhitenerKind.CHOLESKY:
            raise UsageError(
                "E005",
                "--variance per-variant, --test lrt and --test score need the eigenvalues of the "
                "GRM: leave --whitener cholesky out",
            )
        if self.scan is ScanKind.CALIBRATED and (
            self.needs_spectrum or self.whitener is WhitenerKind.SPECTRAL
        ):
            raise UsageError(
                "E007",
                "--scan calibrated is for --test wald with --variance null, by Cholesky "
                "factors: leave the other options out, or --scan calibrated",
            )
        if not 0.0 < self.exact_below <= 1.0:
            raise UsageError(
                "E002", f"--exact-below {self.exact_below:g} is out of range: give a p up to 1"
            )
        if self.seed < 0:
            raise UsageError("E002", f"--seed {self.seed} is out of range: give 0 or more")
        if self.variance is VarianceKind.PER_VARIANT and self.h2 is not None:
            raise UsageError("E006", "--variance per-variant estimates h2, --h2 fixes it: give one")
        if self.grm is not None and self.grm_files is not None:
            raise UsageError("E004", "give --grm or --grm-bfile (or --grm-pfile), not both")
        if self.h2 is not None and not 0.0 <= self.h2 <= H2_MAX:
            raise UsageError("E002", f"--h2 {self.h2!r} is out of range: give 0 to {H2_MAX}")
        if self.threshold is not None and not 0.0 < self.threshold < 1.0:
            raise UsageError(
                "E002", f"--threshold {self.threshold:g} is out of range: give a p between 0 and 1"
            )


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """A Dask cluster: one that is there, or a local one of some workers."""

    scheduler: str | None = None  # address, or the scheduler's file
    workers: int | None = None

    def __post_init__(self) -> None:
        if (self.scheduler is None) == (self.workers is None):
            raise UsageError("E008", "give --scheduler or --workers, not both")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where results go, and with what means."""

    out: Path
    threads: int = 1
    block_size: int = 4096
    overwrite: bool = False
    resume: bool = False
    break_lock: bool = False
    strict: bool = False
    tmpdir: Path | None = None
    memory: int | None = None  # the user's own limit, bytes
    verbosity: int = 1  # 0 quiet, 1 normal, 2 verbose
    arguments: tuple[tuple[str, object], ...] = ()  # as typed, with defaults, for the manifest
    origins: tuple[tuple[str, str], ...] = ()  # where those were set that were not typed
    share: Share | None = None  # None: all of the work; otherwise `out` is the part's own
    cluster: ClusterOptions | None = None  # None: this process does it

    def __post_init__(self) -> None:
        try:
            self.out.name.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                "E010", "--out: the name is not UTF-8, and the metadata must name the table"
            ) from error
        if self.cluster is not None and self.share is not None:
            raise UsageError("E008", "--part is for runs without a cluster: leave one of them out")
        if self.threads < 1:
            raise UsageError("E002", f"--threads {self.threads} is out of range: give 1 or more")
        if self.block_size < 1:
            raise UsageError(
                "E002", f"--block-size {self.block_size} is out of range: give 1 or more"
            )

    @property
    def is_part(self) -> bool:
        """Whether `out` is the folder of a part; null models have a folder of their own."""
        if self.share is None:
            return False
        return self.out.name.endswith((f".{self.share.name}", f".grm-{self.share.name}"))

    def path(self, suffix: str) -> Path:
        """Return PREFIX + suffix."""
        return self.out.with_name(self.out.name + suffix)


@dataclass(frozen=True, slots=True)
class GrmJob:
    """`lmmgwas grm`."""

    genotypes: GenotypeOptions
    grm: GrmOptions
    run: RunOptions
    eigen: bool = False
    n_components: int | None = None  # principal components to keep

    def __post_init__(self) -> None:
        if self.n_components is not None and self.n_components < 1:
            raise UsageError("E002", f"--pca {self.n_components} is out of range: give 1 or more")


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """Which plots are drawn, what regional plots show, and whether a page shows all of it."""

    png: bool = True
    pdf: bool = True
    report: bool = False
    regions: int = 10  # regional plots of a trait, at most
    region_window: int = 500  # kb either side of the lead
    genes: Path | None = None  # BED, GFF3 or GTF

    def __post_init__(self) -> None:
        if self.regions < 0:
            raise UsageError("E002", f"--regions {self.regions} is out of range: give 0 or more")
        if not 1 <= self.region_window <= _LARGEST_WINDOW:
            raise UsageError(
                "E002",
                f"--region-window {self.region_window} is out of range: give 1 to "
                f"{_LARGEST_WINDOW} kb",
            )

    @property
    def draws_regions(self) -> bool:
        """Whether leads get regional plots."""
        return self.regions > 0 and (self.png or self.pdf)


@dataclass(frozen=True, slots=True)
class Description:
    """What only the user knows about the study."""

    genome_build: str | None = None
    ancestry: str | None = None
    trait_description: str | None = None


@dataclass(frozen=True, slots=True)
class AssocJob:
    """`lmmgwas assoc`."""

    genotypes: GenotypeOptions
    tables: TableOptions
    grm: GrmOptions
    test: TestOptions
    model: ModelOptions
    run: RunOptions
    plots: PlotOptions = field(default_factory=PlotOptions)
    description: Description = field(default_factory=Description)
    nulls: Path | None = None  # null models to scan with
    save_nulls: Path | None = None  # fit null models, keep them there, and end
    nulls_of_genome: bool = False  # of the whole genome only
    parquet: bool = False  # write the tables as Parquet, too

    def __post_init__(self) -> None:
        if self.nulls is not None and self.save_nulls is not None:
            raise UsageError("E008", "give --nulls or --save-nulls, not both")
        if self.save_nulls is not None and self.run.cluster is not None:
            raise UsageError("E008", "a cluster fits null models itself: leave --save-nulls out")
        if self.nulls_of_genome and self.save_nulls is None:
            raise UsageError("E008", "--nulls-of says which null models --save-nulls saves")
        if self.nulls_of_genome and self.run.share is not None:
            raise UsageError("E008", "the genome's null models are one piece: leave --part out")

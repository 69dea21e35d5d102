"""What an association run will do, settled before the first heavy step.

Traits are gathered into analyses: those with the same analysed samples share the design,
the decomposition and the rotation of each block. Everything that can be refused from
samples, traits and covariates is refused here.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import DegenerateError, MismatchError
from lmmgwas.model.case_control import (
    FEW_CASES,
    FEW_CASES_FRACTION,
    CaseControl,
    recognise_case_control,
)
from lmmgwas.model.chromosomes import Role
from lmmgwas.model.covariates import (
    INTERCEPT,
    CategoricalCovariate,
    Design,
    NumericCovariate,
    build_design,
)
from lmmgwas.model.fitting import Analysis
from lmmgwas.model.genotypes import Variants
from lmmgwas.model.null_model import check_residual
from lmmgwas.model.samples import (
    MIN_SAMPLES,
    SampleTable,
    StandardTrait,
    rank_inverse_normal,
    standardise_trait,
)
from lmmgwas.model.scan import ScanKind
from lmmgwas.model.variant_tests import VarianceKind
from lmmgwas.model.whitener_cost import WhitenerCost, whitener_cost
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.pipeline.flow import SampleFlow
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.join import StudyTables
from lmmgwas.pipeline.logbook import Logbook, StrictWarningError
from lmmgwas.pipeline.options import ModelOptions
from lmmgwas.pipeline.relatedness import PlannedGrm

_FEW_SAMPLES = 100
_FEW_FOR_REFIT = 200
_OUTLIER_SD = 10.0
_HEAVY_KURTOSIS = 50.0
_HUMAN_THRESHOLD = 5e-8
_EXCLUDED = ".excluded"


@dataclass(frozen=True, slots=True, eq=False)
class PlannedAnalysis:
    """Traits with the same samples, ready to be fitted once the whitener is chosen."""

    names: tuple[str, ...]
    samples: SampleTable
    design: Design
    traits: tuple[StandardTrait, ...]
    case_control: tuple[CaseControl | None, ...]  # the coding of binary traits


@dataclass(frozen=True, slots=True)
class TraitChoices:
    """How traits are prepared and who counts for the Hardy-Weinberg test."""

    rint: bool
    hwe_of_all: bool


def trait_stems(names: tuple[str, ...]) -> dict[str, str]:
    """Return the part of a file name that stands for each trait, unique and safe."""
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for k, name in enumerate(names, 1):
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".") or f"trait{k}"
        while taken & {stem.lower(), f"{stem}{_EXCLUDED}".lower()}:
            stem = f"{stem}_{k}"
        # The table of a trait `a.excluded` would be the excluded variants of a trait `a`.
        taken |= {stem.lower(), f"{stem}{_EXCLUDED}".lower()}
        stems[name] = stem
    return stems


def plan_analyses(
    genotypes: Genotypes,
    tables: StudyTables,
    flow: SampleFlow,
    grm: PlannedGrm | None,
    choices: TraitChoices,
    log: Logbook,
) -> list[PlannedAnalysis]:
    """Gather the traits by their samples, in the order of the traits."""
    by_samples: dict[bytes, list[str]] = {}
    for name, mask in flow.analysed.items():
        by_samples.setdefault(np.packbits(mask).tobytes(), []).append(name)
    plans = []
    for names in by_samples.values():
        rows = np.flatnonzero(flow.analysed[names[0]]).astype(np.int64)
        _check_count(rows.size, names, log)
        covariates = tuple(covariate.over(rows) for covariate in tables.covariates)
        design = build_design(covariates, rows.size)
        _report_design(design, log)
        columns = [tables.traits[name][rows] for name in names]
        for name, y in zip(names, columns, strict=True):
            _refuse_copies(name, y, covariates, tables.places[name])
        codings = tuple(
            _report_coding(name, y, log) for name, y in zip(names, columns, strict=True)
        )
        if choices.rint and any(coding is not None for coding in codings):
            log.say("Note: --rint leaves binary traits as they are")
        traits = []
        for name, y, coding in zip(names, columns, codings, strict=True):
            with _placed(tables.places[name]):
                rint = choices.rint and coding is None
                traits.append(_prepare_trait(name, y, design, rint, log))
        samples = _sample_table(genotypes, grm, rows, design, choices.hwe_of_all)
        plans.append(PlannedAnalysis(tuple(names), samples, design, tuple(traits), codings))
    return plans


def _check_count(n: int, names: list[str], log: Logbook) -> None:
    shown = ", ".join(names[:3])
    if n == 0:
        raise MismatchError(
            "E306", f"no sample is left to analyse for {shown}: see the table of samples above"
        )
    if n < MIN_SAMPLES:
        raise DegenerateError(
            "E307", f"{n} samples are left for {shown}, at least {MIN_SAMPLES} are needed"
        )
    if n < _FEW_SAMPLES:
        log.warn("W307", f"only {n} samples are analysed for {shown}: power will be low")


@contextlib.contextmanager
def _placed(where: str) -> Iterator[None]:
    """Give what a trait is refused for the place of its heading."""
    try:
        yield
    except DegenerateError as error:
        found = error.problems[0]
        if found.where:
            raise
        raise DegenerateError(found.code, found.message, where) from error


def _refuse_copies(
    name: str,
    values: NDArray[np.float64],
    covariates: Sequence[NumericCovariate | CategoricalCovariate],
    where: str,
) -> None:
    """Refuse a covariate that holds the trait under another name."""
    for covariate in covariates:
        if isinstance(covariate, NumericCovariate) and np.array_equal(covariate.values, values):
            raise MismatchError(
                "E502",
                f"covariate '{covariate.name}' equals trait '{name}' in all {values.size} analysed "
                "samples: it would explain all of it; choose the covariates with --covar-name",
                where,
            )


def _report_design(design: Design, log: Logbook) -> None:
    for column in design.dropped:
        if column.combination == INTERCEPT:
            log.warn(
                "W501",
                f"covariate column {column.name} was dropped: it is constant over the analysed "
                "samples, as the intercept is",
            )
            continue
        try:
            log.warn(
                "W501",
                f"covariate column {column.name} was dropped: it is a combination of "
                f"{column.combination}",
            )
        except StrictWarningError as error:
            raise DegenerateError("E501", error.problems[0].message) from error
    if design.singletons:
        shown = ", ".join(design.singletons[:5])
        log.warn("W505", f"levels with one sample, which is fitted exactly: {shown}")


def _report_coding(name: str, values: NDArray[np.float64], log: Logbook) -> CaseControl | None:
    """Say how a trait of two values is read, and what the linear model makes of it."""
    coding = recognise_case_control(values)
    if coding is not None:
        few = (
            f", and cases or controls are few (under {FEW_CASES} or {FEW_CASES_FRACTION:.0%}): "
            "p-values of rare variants will be wrong"
            if coding.unbalanced
            else ""
        )
        log.warn(
            "W406",
            f"trait {name} is binary: {coding.case:g} = case ({coding.n_cases:,}), "
            f"{coding.control:g} = control ({coding.n_controls:,}). It is analysed as a number, "
            "beta is a difference in the proportion of cases; a logistic model fits such a trait "
            f"better{few}",
        )
    elif np.unique(values).size == 2:
        low, high = np.unique(values).tolist()
        log.warn(
            "W406",
            f"trait {name} has two values ({low:g} and {high:g}) and is analysed as a number; "
            "a logistic model fits such a trait better",
        )
    return coding


def _prepare_trait(
    name: str, values: NDArray[np.float64], design: Design, rint: bool, log: Logbook
) -> StandardTrait:
    """Transform on demand, standardise, and look for what a reader would want to know."""
    trait = standardise_trait(name, values)
    if rint:
        trait = standardise_trait(name, rank_inverse_normal(values))
        log.say(f"Trait {name}: rank-based inverse normal transform")
    else:
        kurtosis = float((trait.values**4).mean()) - 3.0
        largest = float(np.abs(trait.values).max())
        if largest > _OUTLIER_SD or kurtosis > _HEAVY_KURTOSIS:
            log.warn(
                "W407",
                f"trait {name} has values up to {largest:.1f} standard deviations from its mean "
                f"(excess kurtosis {kurtosis:.1f}): p-values lean on few samples; see --rint",
            )
    if abs(trait.mean) * 1e-8 > trait.sd:
        log.warn("W408", f"trait {name} varies by less than 1e-8 of its mean {trait.mean:g}")
    check_residual(name, trait, design.basis)
    return trait


def _sample_table(
    genotypes: Genotypes,
    grm: PlannedGrm | None,
    rows: NDArray[np.int64],
    design: Design,
    all_in_hwe: bool,
) -> SampleTable:
    grm_rows = rows if grm is None else grm.row_of[rows]
    people = genotypes.samples
    males = rows[people.sex[rows] == 1]
    counted = rows if all_in_hwe else rows[people.founder[rows]]
    females = counted[people.sex[counted] != 1]
    return SampleTable(rows, grm_rows, males, design.basis, counted, females)


def choose_whitener(
    plan: PlannedAnalysis,
    model: ModelOptions,
    variants: Variants,
    *,
    n_fits: int,
    kept: bool,
    threads: int,
) -> tuple[Analysis, WhitenerCost]:
    """Settle the whitener: by `--whitener`, by what the test needs, otherwise by cost."""
    n = plan.samples.n_samples
    cost = whitener_cost(n, len(variants), n_fits, len(plan.traits), kept=kept)
    kind = model.whitener if model.whitener is not None else cost.kind
    if model.h2 == 0.0:
        kind = WhitenerKind.IDENTITY
    elif model.needs_spectrum:
        kind = WhitenerKind.SPECTRAL
    elif model.scan is ScanKind.CALIBRATED:
        kind = WhitenerKind.CHOLESKY
    analysis = Analysis(
        plan.traits,
        plan.samples.X,
        kind,
        model.precision,
        model.h2,
        model.test,
        model.variance,
        threads,
    )
    return analysis, cost


def warn_small_refit(plan: PlannedAnalysis, model: ModelOptions, log: Logbook) -> None:
    """With few samples a refitted variance takes noise for signal."""
    n = plan.samples.n_samples
    if model.variance is VarianceKind.PER_VARIANT and n < _FEW_FOR_REFIT:
        log.warn(
            "W603",
            f"--variance per-variant with {n} samples: fitting the variance again for every "
            "variant gives too many small p-values (1.6 times the nominal rate at p < 0.001 with "
            "100 samples, 2.5 times with 20); --variance null keeps the nominal rate",
        )


def autosomal_groups(variants: Variants) -> tuple[str, ...]:
    """Return the groups that LOCO leaves out, in output order."""
    return variants.take(variants.with_role(Role.AUTOSOME)).groups()


def significance(model: ModelOptions, n_variants: int, *, is_human: bool) -> float:
    """Return the line in the plots and the bound of the leads table."""
    if model.threshold is not None:
        return model.threshold
    return _HUMAN_THRESHOLD if is_human else 0.05 / max(n_variants, 1)

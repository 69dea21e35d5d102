"""What was done, in one paragraph for the methods section of a paper."""

from collections.abc import Sequence

import lmmgwas
from lmmgwas.model.grm import GrmModel
from lmmgwas.model.leads import LEAD_WINDOW
from lmmgwas.model.scan import ScanKind
from lmmgwas.model.variant_tests import TestKind, VarianceKind
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.report.manifest import describe_software
from lmmgwas.report.style import p_phrase

_SHOWN_NAMES = 12
_SHOWN_TRAITS = 4
_SCALING = {
    GrmModel.STANDARDIZED: "standardised by the observed standard deviation",
    GrmModel.HWE: "standardised by the standard deviation of Hardy-Weinberg equilibrium",
    GrmModel.CENTERED: "centred and not scaled",
}
_STATISTIC = {
    TestKind.WALD: "a two-sided Wald t test",
    TestKind.LRT: "a likelihood-ratio test (chi-square, one degree of freedom)",
    TestKind.SCORE: "a score test (F on one and n - c - 1 degrees of freedom)",
}


def methods_text(study: Study, results: Sequence[TraitResult]) -> str:
    """Return the paragraph: samples, variants, model, test, threshold, software."""
    parts = [
        _what(study, results),
        *_relatedness(study, results),
        _fixed_effects(study, results),
        _test(study),
        _variants(study, results),
        significance_sentence(study.threshold),
        inflation_sentence([r.whole.lambda_gc for r in results if r.output.n_tested]),
        software_sentence(),
    ]
    return " ".join(part for part in parts if part)


def _listed(items: Sequence[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _by_trait(results: Sequence[TraitResult], values: Sequence[str], noun: str) -> str:
    """One value with its noun where all agree, otherwise each with its trait, or the range."""
    if len(set(values)) == 1:
        return f"{values[0]} {noun}"
    if len(values) > _SHOWN_TRAITS:
        ordered = sorted(values, key=lambda text: float(text.replace(",", "")))
        return f"between {ordered[0]} and {ordered[-1]} {noun}"
    named = [f"{v} ({r.output.name})" for v, r in zip(values, results, strict=True)]
    return f"{_listed(named)} {noun}"


def _what(study: Study, results: Sequence[TraitResult]) -> str:
    n = _by_trait(results, [f"{r.whole.n_samples:,}" for r in results], "samples")
    names = [r.output.name for r in results]
    traits = f"{len(names)} traits" if len(names) > _SHOWN_TRAITS else _listed(names)
    model = "ordinary linear regression" if study.grm is None else "linear mixed models"
    return (
        f"Associations of {len(study.variants):,} genotyped variants with {traits} were tested in "
        f"{n} by {model}, as implemented in lmmgwas {lmmgwas.__version__}."
    )


def _relatedness(study: Study, results: Sequence[TraitResult]) -> list[str]:
    """The GRM, LOCO and how the variance components came about."""
    job, grm = study.job, study.grm
    if grm is None:
        return []
    n_grm = results[0].whole.n_grm
    number = "" if n_grm is None else f" from {n_grm:,} autosomal variants"
    if grm.task is None:
        source = f"A given genetic relatedness matrix was used, computed{number}"
        sentences = [source if number else "A given genetic relatedness matrix was used"]
    else:
        options = grm.task.options
        filters = options.filters
        sentences = [
            f"The genetic relatedness matrix was computed{number} with a minor-allele frequency "
            f"of at least {filters.maf:g} and a fraction of missing calls of at most "
            f"{filters.geno:g}, genotypes {_SCALING[options.model]}"
        ]
    if job.model.h2 is not None:
        sentences.append(f"The share of variance h² was fixed at {job.model.h2:g}")
    else:
        sentences.append(
            "Variance components were estimated by restricted maximum likelihood (REML)"
        )
    if job.model.loco:
        sentences[-1] += (
            ", once for each chromosome with that chromosome left out of the matrix (LOCO)"
        )
    else:
        sentences[-1] += "; the tested chromosome was part of the matrix (no LOCO)"
    return [f"{sentence}." for sentence in sentences]


def _fixed_effects(study: Study, results: Sequence[TraitResult]) -> str:
    names = list(dict.fromkeys(name for r in results for name in r.plan.design.names[1:]))
    shown = _listed(names) if 0 < len(names) <= _SHOWN_NAMES else f"{len(names)} covariates"
    rint = (
        " Quantitative traits were transformed to normal scores by rank (inverse normal transform)."
        if study.job.model.rint
        else ""
    )
    effects = f"an intercept and {shown}" if names else "an intercept only"
    return f"Fixed effects were {effects}.{rint}"


def _test(study: Study) -> str:
    model = study.job.model
    text = f"The effect of each copy of the effect allele was tested by {_STATISTIC[model.test]}"
    if study.grm is not None:
        again = model.variance is VarianceKind.PER_VARIANT
        text += (
            " with the variance components estimated again for each variant"
            if again
            else " with the variance ratio of the null model"
        )
    if model.scan is ScanKind.CALIBRATED:
        text += (
            "; variances of the test were calibrated, and those of all variants with p < "
            f"{p_phrase(model.exact_below)} computed exactly"
        )
    return f"{text}."


def _variants(study: Study, results: Sequence[TraitResult]) -> str:
    filters = study.job.test.filters
    kept = [f"a minor-allele count of at least {filters.mac:g}"]
    if filters.maf > 0.0:
        kept.append(f"a minor-allele frequency of at least {filters.maf:g}")
    kept.append(f"a fraction of missing calls of at most {filters.geno:g}")
    if filters.hwe > 0.0:
        kept.append(f"a Hardy-Weinberg p of at least {p_phrase(filters.hwe)}")
    tested = _by_trait(results, [f"{r.output.n_tested:,}" for r in results], "variants")
    return f"With {_listed(kept)}, {tested} were tested."


def significance_sentence(threshold: float) -> str:
    """Return what was called significant."""
    return (
        f"Variants with p < {p_phrase(threshold)} were called significant; the lead variant "
        f"of a locus is the most significant one within {LEAD_WINDOW // 1000:,} kb either side."
    )


def inflation_sentence(lambdas: Sequence[float]) -> str:
    """Return lambda, or its range; nothing where nothing was tested."""
    if not lambdas:
        return ""
    low, high = f"{min(lambdas):.3f}", f"{max(lambdas):.3f}"
    said = low if low == high else f"between {low} and {high}"
    return f"The genomic-control inflation factor λ was {said}."


def software_sentence() -> str:
    """Return the versions of what the numbers depend on."""
    software = describe_software()
    libraries = software["libraries"]
    return (
        f"Software: lmmgwas {software['lmmgwas']}, Python {software['python']}, NumPy "
        f"{libraries['numpy']}, SciPy {libraries['scipy']}."
    )

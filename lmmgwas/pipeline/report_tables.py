"""The numbers of the report: key figures, tables and counts of a study and its traits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lmmgwas.io.sumstats import alleles_of, marker_ids, p_text
from lmmgwas.model.genotypes import REASONS, Reason
from lmmgwas.model.leads import LEAD_WINDOW
from lmmgwas.numerics.optimise import Status
from lmmgwas.pipeline.flow import DROPPED, flow_counts
from lmmgwas.pipeline.pictures import shown_name
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.pipeline.trait_output import GroupRow
from lmmgwas.report.content import Bar, Cell, Fact, Table
from lmmgwas.report.interactive import FrequencyClass, GroupFit
from lmmgwas.report.style import p_phrase

MOST_LEADS = 1000
"""Rows of the table of leads in the page; the file has all."""

_WHY = {
    Reason.NON_AUTOSOME: "on Y or MT, without --include-nonautosomal",
    Reason.UNPLACED: "on no chromosome",
    Reason.SAME_ALLELES: "both alleles are the same",
    Reason.ALL_MISSING: "no call in the analysed samples",
    Reason.HIGH_MISSING: "more missing calls than --geno allows",
    Reason.MONOMORPHIC: "one allele only in the analysed samples",
    Reason.LOW_MAF: "minor-allele frequency below --maf",
    Reason.LOW_MAC: "minor-allele count below --mac",
    Reason.HWE: "out of Hardy-Weinberg equilibrium by --hwe",
    Reason.COLLINEAR: "explained by the covariates",
}
_LEAD_COLUMNS = (
    "Marker",
    "Chr",
    "Position",
    "Effect",
    "Other",
    "Frequency",
    "β",
    "se",
    "P",
    "In locus",
)
_OVERVIEW_COLUMNS = (
    "Trait",
    "Samples",
    "Variants",
    "λ GC",
    "h²",
    "se",
    "Loci",
    "Strongest",
    "P",
)
_FIT_COLUMNS = ("Left out", "Tested", "In the GRM", "h²", "se", "Fit", "λ GC")
_PLAIN_BELOW = 3.0
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | int | None, text: str, copied: str | None = None) -> Cell:
    """Return a cell that is sorted by its value; a dash where there is none."""
    if value is None or math.isnan(value):
        return Cell("–", math.nan, "NA")
    return Cell(text, float(value), copied or text)


def _count(value: int | None) -> Cell:
    return number(value, f"{value or 0:,}", f"{value}")


def _decimal(value: float, digits: int) -> Cell:
    return number(value, f"{value:.{digits}f}", f"{value:.8g}")


def _p_cell(neg_log10_p: float) -> Cell:
    """By significance: the smallest p is the largest."""
    return Cell(p_shown(neg_log10_p), -neg_log10_p, p_text(neg_log10_p))


def p_shown(neg_log10_p: float) -> str:
    """Return p in two digits, also below the smallest double: 3.2×10⁻⁴¹²."""
    if neg_log10_p < _PLAIN_BELOW:
        return f"{10.0**-neg_log10_p:.2g}"
    exponent = math.floor(-neg_log10_p)
    mantissa = f"{10.0 ** (-neg_log10_p - exponent):.1f}"
    if mantissa == "10.0":
        mantissa, exponent = "1.0", exponent + 1
    return f"{mantissa}×10{str(exponent).translate(_SUPERSCRIPT)}"


def facts_of(study: Study, result: TraitResult) -> tuple[Fact, ...]:
    """Return what a reader looks for first."""
    trait, whole = result.output, result.whole
    n_file = len(study.genotypes.samples)
    coding = trait.coding
    who = (
        f"of {n_file:,} genotyped"
        if coding is None
        else f"{coding.n_cases:,} cases, {coding.n_controls:,} controls"
    )
    facts = [
        Fact("Samples", f"{whole.n_samples:,}", who),
        Fact("Variants tested", f"{trait.n_tested:,}", f"{trait.n_excluded:,} excluded"),
        inflation_fact(whole.lambda_gc),
        Fact("Heritability h²", _plain(whole.null.h2, 3), _on_h2(whole)),
        loci_fact(result.leads.n_below, study.threshold),
    ]
    if len(result.leads.rows.variants):
        facts.append(strongest_fact(*_strongest(study, result)))
    return tuple(facts)


def inflation_fact(lambda_gc: float) -> Fact:
    """Return lambda."""
    return Fact("Genomic inflation λ", _plain(lambda_gc, 3))


def loci_fact(n_below: int, threshold: float) -> Fact:
    """Return how many loci pass the threshold."""
    return Fact("Loci", f"{n_below:,}", f"with p < {p_phrase(threshold)}")


def strongest_fact(marker: str, chrom_name: str, pos: int, neg_log10_p: float) -> Fact:
    """Return the most significant variant."""
    place = f"{chrom_name}:{pos:,}" if pos else f"chromosome {chrom_name}"
    return Fact("Strongest variant", marker, f"{place}, p = {p_shown(neg_log10_p)}")


def _plain(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _on_h2(row: GroupRow) -> str:
    """How the estimate came about, where that is not as usual; else its error and its p."""
    null = row.null
    if null.status is Status.FIXED:
        return "fixed, not estimated"
    if null.status is not Status.CONVERGED:
        return str(null.status).replace("_", " ")
    said = [] if math.isnan(null.h2_se) else [f"standard error {null.h2_se:.3f}"]
    if null.p_h2 > 0.0:
        said.append(f"p of h² = 0: {p_phrase(null.p_h2)}")
    return "; ".join(said)


def _strongest(study: Study, result: TraitResult) -> tuple[str, str, int, float]:
    """Return marker, chromosome, position and -log10 p of the first lead."""
    first = result.leads.rows.take(slice(0, 1))
    name = shown_name(study.variants.chromosomes[int(first.variants.chrom[0])])
    marker = marker_ids(first.variants)[0]
    return marker, name, int(first.variants.pos[0]), float(first.neg_log10_p[0])


def overview_of(study: Study, results: Sequence[TraitResult]) -> Table:
    """Return a line per trait; no lines where there is one trait, whose figures say it all."""
    rows = []
    for result in results if len(results) > 1 else ():
        whole = result.whole
        line = [
            Cell(result.output.name),
            _count(whole.n_samples),
            _count(result.output.n_tested),
            _decimal(whole.lambda_gc, 3),
            _decimal(whole.null.h2, 3),
            _decimal(whole.null.h2_se, 3),
            _count(result.leads.n_below),
        ]
        if len(result.leads.rows.variants):
            line += [Cell(_strongest(study, result)[0])]
            line += [_p_cell(float(result.leads.rows.neg_log10_p[0]))]
        else:
            line += [Cell("–", copied="NA"), number(None, "")]
        rows.append(tuple(line))
    return Table(_OVERVIEW_COLUMNS, tuple(rows))


@dataclass(frozen=True, slots=True)
class ShownLead:
    """A lead variant as the page shows it; NaN and "" where a table does not say."""

    marker: str
    chrom: int  # index
    chrom_name: str
    pos: int  # 0 where unknown
    effect: str
    other: str
    af: float
    beta: float
    se: float
    neg_log10_p: float
    n_variants: int  # of the locus, below the threshold

    def cells(self) -> tuple[Cell, ...]:
        """Return its row."""
        return (
            Cell(self.marker, target=(self.chrom, self.pos) if self.pos else None),
            Cell(self.chrom_name, order=float(self.chrom)),
            _count(self.pos) if self.pos else number(None, ""),
            _allele(self.effect),
            _allele(self.other),
            number(self.af, f"{self.af:.3f}", f"{self.af:.8g}"),
            number(self.beta, f"{self.beta:.3g}", f"{self.beta:.8g}"),
            number(self.se, f"{self.se:.2g}", f"{self.se:.8g}"),
            _p_cell(self.neg_log10_p),
            _count(self.n_variants),
        )


def _allele(text: str) -> Cell:
    return Cell(text) if text else Cell("–", copied="NA")


def study_leads(study: Study, result: TraitResult) -> Table:
    """Return the lead variants of a trait."""
    leads = result.leads
    shown = leads.rows.take(slice(0, MOST_LEADS))
    variants = shown.variants
    names = [shown_name(chromosome) for chromosome in study.variants.chromosomes]
    columns = zip(
        marker_ids(variants),
        variants.chrom.tolist(),
        [names[chrom] for chrom in variants.chrom.tolist()],
        variants.pos.tolist(),
        *alleles_of(variants),
        shown.af.tolist(),
        shown.beta.tolist(),
        shown.se.tolist(),
        shown.neg_log10_p.tolist(),
        leads.n_variants.tolist(),
        strict=False,  # counts are of all leads
    )
    n_all = len(leads.rows.variants)
    whole = (n_all, leads.n_below, result.output.files.leads.name)
    return leads_table([ShownLead(*values) for values in columns], whole, study.threshold)


def leads_table(shown: Sequence[ShownLead], whole: tuple[int, int, str], threshold: float) -> Table:
    """Return lead variants, and what they are.

    `whole` has how many leads there are, how many pass the threshold, and the file of all.
    """
    rows = tuple(lead.cells() for lead in shown[:MOST_LEADS])
    return Table(_LEAD_COLUMNS, rows, _on_leads(*whole, threshold))


def _on_leads(n: int, n_below: int, file_name: str, threshold: float) -> str:
    """What is listed, and where the rest is."""
    line, reach = p_phrase(threshold), f"{LEAD_WINDOW // 1000:,} kb either side"
    if n == 0:
        return "No variant was tested."
    said = (
        f"The most significant variant of each locus ({reach}) with p < {line}. β is the effect "
        "of one copy of the effect allele; the last column counts the significant variants."
        if n_below
        else f"No variant has p < {line}: these are the leads of the {n} strongest loci ({reach}). "
        "β is the effect of one copy of the effect allele."
    )
    if n > MOST_LEADS:
        said += f" The first {MOST_LEADS:,} of {n:,}; {file_name} has all."
    return said


def classes_table(classes: Sequence[FrequencyClass]) -> Table:
    """Return lambda by minor-allele frequency."""
    rows = [(Cell(c.name), _count(c.n_variants), _decimal(c.lambda_gc, 3)) for c in classes]
    return Table(("Minor-allele frequency", "Variants", "λ GC"), tuple(rows))


def group_fits(result: TraitResult) -> tuple[list[GroupFit], GroupFit]:
    """Return the null model of each LOCO group, and of the whole genome."""
    fits = [
        GroupFit(row.group, row.null.h2, row.null.h2_se, str(row.null.status).replace("_", " "))
        for row in (*result.output.groups, result.whole)
    ]
    return fits[:-1], fits[-1]


def fits_table(result: TraitResult) -> Table:
    """Return the null models as a table; the last is the whole genome's."""
    rows = []
    for k, row in enumerate((*result.output.groups, result.whole)):
        line = (
            Cell("nothing" if row.group == "all" else row.group, order=float(k)),
            _count(row.n_tested),
            _count(row.n_grm),
            _decimal(row.null.h2, 4),
            _decimal(row.null.h2_se, 4),
            Cell(str(row.null.status).replace("_", " ")),
            _decimal(row.lambda_gc, 3),
        )
        rows.append(line)
    return Table(_FIT_COLUMNS, tuple(rows))


def excluded_bars(result: TraitResult) -> tuple[Bar, ...]:
    """Return how many variants were tested, and how many not, by reason."""
    trait = result.output
    bars = [Bar("tested", trait.n_tested)]
    bars += [
        Bar(str(reason), int(count), _WHY[reason], is_loss=True)
        for reason, count in zip(REASONS, trait.reasons, strict=True)
        if count
    ]
    return tuple(bars)


def sample_bars(study: Study) -> tuple[Bar, ...]:
    """Return the flow of the samples."""
    counts = flow_counts(study.flow, study.tables, needs_grm=study.grm is not None)
    return tuple(
        Bar(name.strip(), count, is_loss=name.startswith(DROPPED)) for name, count in counts
    )

"""`lmmgwas plot`: the pictures and the leads again, from a table that `assoc` or a peer wrote."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from lmmgwas.errors import OutputExistsError, UsageError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.read_sumstats import SummaryTable, read_rows, read_sidecar, read_sumstats
from lmmgwas.io.sumstats import LOCUS_COLUMNS, locus_cells
from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.model.leads import LEAD_WINDOW, find_loci
from lmmgwas.numerics.tails import lambda_gc
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import GenotypeOptions, ModelOptions, PlotOptions, RunOptions
from lmmgwas.pipeline.pictures import (
    Picture,
    draw_pictures,
    drawn_pictures,
    plot_suffixes,
    suggestive_line,
)
from lmmgwas.pipeline.plan import significance, trait_stems
from lmmgwas.pipeline.plot_regions import Sources, open_sources, table_regions
from lmmgwas.pipeline.region_files import drop_stale, regions_there
from lmmgwas.pipeline.regions import draw_regions, region_paths, region_pictures
from lmmgwas.pipeline.report_run import write_report
from lmmgwas.pipeline.table_results import TableResults, arrange, is_human_table
from lmmgwas.report.content import Page
from lmmgwas.report.content import Picture as PagePicture
from lmmgwas.report.settings import load_matplotlib

_HUMAN_LETTERS = {"23": "X", "24": "Y", "25": "MT"}
_PLINK_LETTERS = {"23": "X", "24": "Y", "25": "XY", "26": "MT"}
"""The numbers of PLINK's files, which the peers copy."""
_PEERS_ENDINGS = r"(\.(txt|tsv|csv|stats|tbl|mlma|loco|fastGWA|regenie|assoc|glm\.[a-z.]+))+$"


@dataclass(frozen=True, slots=True)
class PlotJob:
    """`lmmgwas plot`."""

    table: Path
    run: RunOptions
    karyotype: Karyotype = field(default_factory=Karyotype)
    threshold: float | None = None  # None: 5e-8 for human data, 0.05/m otherwise
    suggestive: float | None = None  # None: 1e-5 for human data, 1/m otherwise
    title: str | None = None  # None: the trait
    plots: PlotOptions = field(default_factory=PlotOptions)
    genotypes: GenotypeOptions | None = None  # for the r2 of regional plots

    def __post_init__(self) -> None:
        for name, value in (("--threshold", self.threshold), ("--suggestive", self.suggestive)):
            if value is not None and not 0.0 < value < 1.0:
                raise UsageError(
                    "E002", f"{name} {value:g} is out of range: give a p between 0 and 1"
                )

    def files(self) -> list[Path]:
        """The final names of all output, the log excepted."""
        suffixes = plot_suffixes(self.plots)
        plots = [self.plot(kind, suffix) for kind in ("manhattan", "qq") for suffix in suffixes]
        plots += [self.report] if self.plots.report else []
        there = regions_there(self.run, [""], self.plots) if self.draws_regions else []
        return [*plots, self.leads, *there]

    def possible(self) -> list[Path]:
        """Everything drawn that a `plot` of this prefix may have left; no report of a study."""
        formats = ("png", "pdf")
        plots = [self.plot(kind, suffix) for kind in ("manhattan", "qq") for suffix in formats]
        report = [] if self.run.path(".run.json").exists() else [self.report]
        return [*plots, *report, *regions_there(self.run, [""])]

    @property
    def draws_regions(self) -> bool:
        """Whether leads get regional plots: where genotypes or genes are given."""
        given = self.genotypes is not None or self.plots.genes is not None
        return given and self.plots.draws_regions

    def plot(self, kind: str, suffix: str) -> Path:
        """A plot: `manhattan` or `qq`, `png` or `pdf`."""
        return self.run.path(f".{kind}.{suffix}")

    def region(self, place: str, suffix: str) -> Path:
        """The regional plot of a lead."""
        return self.run.path(f".region.{place}.{suffix}")

    @property
    def report(self) -> Path:
        """The page."""
        return self.run.path(".report.html")

    @property
    def leads(self) -> Path:
        """The table of lead variants."""
        return self.run.path(".leads.tsv")


def run_plot(job: PlotJob, log: Logbook, outputs: OutputSet) -> None:
    """Read the table, draw it, write its leads; every file appears at the end, or none."""
    _refuse_loss(job)
    outputs.require_free(job.files())
    sources = None
    if job.draws_regions:
        sources = open_sources(job.genotypes, job.plots, job.karyotype, log)
    log.begin()
    results = _read(job, log)
    outputs.write_text(job.leads, _format_leads(results))
    load_matplotlib(outputs.temporary(job.leads).parent)
    with log.stage("plots"):
        draw_pictures(_picture_of(results), plot_suffixes(job.plots), job.plot, outputs)
    regions = () if sources is None else _draw_regions(job, results, sources, log, outputs)
    if job.plots.report:
        write_report(job.report, lambda: _page(job, results, regions, log, outputs), outputs, log)
    drop_stale(job.possible(), outputs)
    outputs.commit()
    log.say(f"Plots and leads: {job.run.out}.*   ({log.seconds():.1f} s)")


def _read(job: PlotJob, log: Logbook) -> TableResults:
    """Read the table and find its loci; say what was taken for what."""
    with log.stage(f"reading {job.table}"):
        table = read_sumstats(job.table)
    for note in table.remarks.notes:
        log.say(f"Note: {note}")
    letters = _HUMAN_LETTERS if table.layout.is_ours else _PLINK_LETTERS
    human = is_human_table(job.karyotype, table.labels, max(map(int, letters)))
    rows = arrange(table)
    lines = _lines(job, len(table), human=human)
    loci = find_loci(rows.chrom, rows.pos, rows.neg_log10_p, lines[0])
    title, n_samples = _title(job, table)
    results = TableResults(
        table=table,
        rows=rows,
        loci=loci,
        lead_cells=read_rows(table, rows.row[loci.rows]),
        title=title,
        n_samples=n_samples,
        chrom_names=tuple(letters.get(n, n) if human else n for n in rows.names),
        lines=lines,
    )
    _describe(results, log)
    return results


def _picture_of(results: TableResults) -> Picture:
    """What both plots show."""
    from lmmgwas.report.manhattan import LeadLabel  # loads matplotlib

    rows = results.rows
    return Picture(
        title=results.title,
        n_samples=results.n_samples,
        chrom_names=results.chrom_names,
        chrom=rows.chrom,
        pos=rows.pos,
        neg_log10_p=rows.neg_log10_p,
        leads=tuple(LeadLabel(*lead) for lead in results.significant),
        lines=results.lines,
    )


def _draw_regions(
    job: PlotJob, results: TableResults, sources: Sources, log: Logbook, outputs: OutputSet
) -> tuple[PagePicture, ...]:
    """Draw the surroundings of the leads; return the PNGs."""
    from lmmgwas.report.region_plot import RegionFacts  # loads matplotlib

    drawn = table_regions(results, sources, job.plots, log)
    facts = RegionFacts(results.title, results.n_samples, results.lines[0])
    paths = region_paths(drawn, job.plots, job.region)
    with log.stage("regional plots"):
        draw_regions(drawn, facts, paths, outputs)
    return region_pictures(drawn, paths, outputs)


def _page(
    job: PlotJob,
    results: TableResults,
    regions: tuple[PagePicture, ...],
    log: Logbook,
    outputs: OutputSet,
) -> Page:
    """Gather the page, when the plots are drawn."""
    from lmmgwas.pipeline.table_page import page_of_table  # loads matplotlib

    static = drawn_pictures(results.title, job.plot, outputs)
    said = log.warnings, log.notes
    return page_of_table(results, job.leads.name, static, regions, said)


def _refuse_loss(job: PlotJob) -> None:
    """Replace neither the table that is read nor the log of the study of that prefix."""
    if job.table.resolve() in [path.resolve() for path in (*job.files(), job.run.path(".log"))]:
        raise OutputExistsError(
            "E113", f"{job.table} is read and would be replaced: choose another --out"
        )
    record = job.run.path(".run.json")
    if record.exists() and not job.run.overwrite:
        raise OutputExistsError(
            "E113",
            f"{record} shows that {job.run.out} is the prefix of a study, whose log would be "
            f"replaced: choose another --out, such as {job.run.out}.again, or say --overwrite",
        )


def _lines(job: PlotJob, n_variants: int, *, human: bool) -> tuple[float, float]:
    """Return threshold and suggestive p, given or usual."""
    threshold = significance(ModelOptions(threshold=job.threshold), n_variants, is_human=human)
    suggestive = job.suggestive or suggestive_line(threshold, n_variants, is_human=human)
    if suggestive < threshold:
        raise UsageError(
            "E002",
            f"--suggestive {suggestive:g} is stricter than the threshold {threshold:g}: "
            "give a larger p",
        )
    return threshold, suggestive


def _title(job: PlotJob, table: SummaryTable) -> tuple[str, int]:
    """Return title and number of samples: of the metadata beside the table, or of the table.

    A file name holds the trait without its odd characters, and n counts a variant's calls.
    """
    stem = re.sub(r"\.gz$", "", job.table.name)
    if not table.layout.is_ours:
        name = re.sub(_PEERS_ENDINGS, "", stem) or job.table.name
        return name if job.title is None else job.title, table.n_samples
    stem = re.sub(r"(\.leads)?\.tsv$", "", stem)
    name, n_samples = stem.rpartition(".")[2] or job.table.name, table.n_samples
    facts = read_sidecar(job.table.with_name(f"{stem}.tsv.gz-meta.yaml"))
    if facts is not None and facts.n_samples >= n_samples:
        n_samples = facts.n_samples
        if f".{stem}".endswith(f".{trait_stems((facts.trait,))[facts.trait]}"):
            name = facts.trait
    return name if job.title is None else job.title, n_samples


def _describe(results: TableResults, log: Logbook) -> None:
    """What was read and found, in a few lines."""
    table, loci = results.table, results.loci
    if table.n_skipped:
        log.say(f"Note: {table.n_skipped:,} rows without a p-value (NA) were skipped")
    if set(LOCUS_COLUMNS) <= set(table.header):
        log.say("Note: this is a table of leads: lambda_gc and the QQ plot are of these few only")
    layout = table.layout
    column = layout.columns[layout.p_name]
    if table.n_other and layout.only is not None:
        name, kept = layout.only
        log.say(f"Note: {table.n_other:,} rows whose {name} is not {kept} were skipped")
    n = results.n_samples
    samples = f"{n:,} samples" if n else "number of samples not given"
    taken = "" if layout.is_ours else f"taken for a table of {layout.tool}, "
    log.say_lines(
        [
            f"{table.path}: {taken}{len(table):,} variants on {len(results.rows.names)} "
            f"chromosomes, {samples}; p from {column}",
            f"  lambda_gc {lambda_gc(results.rows.neg_log10_p):.4f}",
            f"  loci with p < {results.lines[0]:g}: {loci.n_below}",
        ]
    )


def _format_leads(results: TableResults) -> str:
    """Return the leads table: the cells as they are, and the bounds of each locus.

    A table of leads keeps its own bounds and counts: the variants around are not in it.
    """
    rows, loci, header = results.rows, results.loci, list(results.table.header)
    again = set(LOCUS_COLUMNS) <= set(header)
    kept = [k for k, name in enumerate(header) if again or name not in LOCUS_COLUMNS]
    lines = [[header[k] for k in kept] + ([] if again else list(LOCUS_COLUMNS))]
    found = zip(loci.rows.tolist(), loci.n_variants.tolist(), results.lead_cells, strict=True)
    for row, n, fields in found:
        bounds = [] if again else locus_cells(int(rows.pos[row]), n, LEAD_WINDOW)
        lines.append([fields[k] for k in kept] + bounds)
    return "".join("\t".join(line) + "\n" for line in lines)

"""`lmmgwas plot`: the pictures and the leads again, from a table that `assoc` or a peer wrote."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lmmgwas.errors import OutputExistsError, UsageError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.read_sumstats import (
    SummaryTable,
    read_rows,
    read_sidecar,
    read_sumstats,
)
from lmmgwas.io.sumstats import LOCUS_COLUMNS, NOT_GIVEN, locus_cells
from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.model.leads import LEAD_WINDOW, Loci, find_loci
from lmmgwas.numerics.tails import lambda_gc
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import GenotypeOptions, ModelOptions, PlotOptions, RunOptions
from lmmgwas.pipeline.pictures import Picture, draw_pictures, plot_suffixes, suggestive_line
from lmmgwas.pipeline.plan import significance, trait_stems
from lmmgwas.pipeline.plot_regions import TableRows, open_sources, table_regions
from lmmgwas.pipeline.region_files import drop_stale_regions, regions_there
from lmmgwas.pipeline.regions import draw_regions, region_paths
from lmmgwas.report.manhattan import LeadLabel
from lmmgwas.report.region_plot import RegionFacts

_HUMAN_LETTERS = {"23": "X", "24": "Y", "25": "MT"}
_PLINK_LETTERS = {"23": "X", "24": "Y", "25": "XY", "26": "MT"}
"""The numbers of PLINK's files, which the peers copy."""
_PEERS_ENDINGS = r"(\.(txt|tsv|csv|stats|tbl|mlma|loco|fastGWA|regenie|assoc|glm\.[a-z.]+))+$"
_LAST = {"X": 1, "Y": 2, "MT": 3, "0": 4}
_MANY = 1 << 62


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
        there = regions_there(self.run, [""], self.plots) if self.draws_regions else []
        return [*plots, self.leads, *there]

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
    with log.stage(f"reading {job.table}"):
        table = read_sumstats(job.table)
    for note in table.remarks.notes:
        log.say(f"Note: {note}")
    letters = _HUMAN_LETTERS if table.layout.is_ours else _PLINK_LETTERS
    human = _is_human(job.karyotype, table.labels, max(map(int, letters)))
    rows = _arrange(table)
    threshold, suggestive = _lines(job, len(table), human=human)
    loci = find_loci(rows.chrom, rows.pos, rows.neg_log10_p, threshold)
    cells = read_rows(table, rows.row[loci.rows])
    title, n_samples = _title(job, table)
    _describe(table, rows, loci, threshold, n_samples, log)
    outputs.write_text(job.leads, _format_leads(table, cells, rows, loci))
    picture = Picture(
        title=title,
        n_samples=n_samples,
        chrom_names=tuple(letters.get(n, n) if human else n for n in rows.names),
        chrom=rows.chrom,
        pos=rows.pos,
        neg_log10_p=rows.neg_log10_p,
        leads=_labels(table, cells, rows, loci),
        lines=(threshold, suggestive),
    )
    with log.stage("plots"):
        draw_pictures(picture, plot_suffixes(job.plots), job.plot, outputs)
    if sources is not None:
        drawn = table_regions(table, rows, loci, sources, job.plots, title, log)
        facts = RegionFacts(title, n_samples, threshold)
        paths = region_paths(drawn, job.plots, job.region)
        with log.stage("regional plots"):
            draw_regions(drawn, facts, paths, outputs)
        drop_stale_regions(job.run, [""], job.plots, outputs)
    outputs.commit()
    log.say(f"Plots and leads: {job.run.out}.*   ({log.seconds():.1f} s)")


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


def _is_human(karyotype: Karyotype, labels: tuple[str, ...], last: int) -> bool:
    """As the user says; otherwise by the largest number, which is `last` in human tables."""
    if karyotype.stated:
        return karyotype.is_human
    return max((_number(label) for label in labels), default=0) <= last


def _number(label: str) -> int:
    """The number of a chromosome, 0 where its label is none."""
    return int(label) if re.fullmatch(r"[0-9]{1,9}", label) else 0


def _arrange(table: SummaryTable) -> TableRows:
    """Sort by chromosome and position: numbers first, then names, then X, Y, MT and unplaced.

    Names keep the order of a table that is sorted already, as ours are.
    """
    labels = table.labels
    by_number = [_number(label) or _MANY for label in labels]
    step = np.diff(table.chrom)
    in_order = bool(((step > 0) | ((step == 0) & (np.diff(table.pos) >= 0))).all())
    if in_order and by_number == sorted(by_number):
        order = list(range(len(labels)))
    else:
        in_order = False
        order = sorted(
            range(len(labels)), key=lambda k: (by_number[k], _LAST.get(labels[k], 0), labels[k])
        )
    place = np.empty(len(labels), dtype=np.int64)
    place[order] = np.arange(len(labels))
    chrom = place[table.chrom]
    names = tuple(labels[k] for k in order)
    if in_order:
        return TableRows(names, chrom, table.pos, table.neg_log10_p, np.arange(len(table)))
    row = np.lexsort((table.pos, chrom))  # stable
    return TableRows(names, chrom[row], table.pos[row], table.neg_log10_p[row], row)


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


def _describe(
    table: SummaryTable, rows: TableRows, loci: Loci, threshold: float, n_samples: int, log: Logbook
) -> None:
    """What was read and found, in a few lines."""
    if table.n_skipped:
        log.say(f"Note: {table.n_skipped:,} rows without a p-value (NA) were skipped")
    if set(LOCUS_COLUMNS) <= set(table.header):
        log.say("Note: this is a table of leads: lambda_gc and the QQ plot are of these few only")
    layout = table.layout
    column = layout.columns[layout.p_name]
    if table.n_other and layout.only is not None:
        name, kept = layout.only
        log.say(f"Note: {table.n_other:,} rows whose {name} is not {kept} were skipped")
    samples = f"{n_samples:,} samples" if n_samples else "number of samples not given"
    taken = "" if layout.is_ours else f"taken for a table of {layout.tool}, "
    log.say_lines(
        [
            f"{table.path}: {taken}{len(table):,} variants on {len(rows.names)} chromosomes, "
            f"{samples}; p from {column}",
            f"  lambda_gc {lambda_gc(rows.neg_log10_p):.4f}",
            f"  loci with p < {threshold:g}: {loci.n_below}",
        ]
    )


def _labels(
    table: SummaryTable, cells: list[list[str]], rows: TableRows, loci: Loci
) -> tuple[LeadLabel, ...]:
    """Name the leads that pass the threshold by ID, or by place."""
    ids = [table.header.index(name) for name in ("marker_id", "rsid") if name in table.header]
    labels = []
    for row, fields in zip(loci.rows[: loci.n_below].tolist(), cells, strict=False):
        chrom, pos = int(rows.chrom[row]), int(rows.pos[row])
        known = [fields[k] for k in ids if fields[k] not in ("", ".", "NA", NOT_GIVEN)]
        text = known[0] if known else f"{rows.names[chrom]}:{pos}"
        labels.append(LeadLabel(chrom, pos, float(rows.neg_log10_p[row]), text))
    return tuple(labels)


def _format_leads(table: SummaryTable, cells: list[list[str]], rows: TableRows, loci: Loci) -> str:
    """Return the leads table: the cells as they are, and the bounds of each locus.

    A table of leads keeps its own bounds and counts: the variants around are not in it.
    """
    header = list(table.header)
    again = set(LOCUS_COLUMNS) <= set(header)
    kept = [k for k, name in enumerate(header) if again or name not in LOCUS_COLUMNS]
    lines = [[header[k] for k in kept] + ([] if again else list(LOCUS_COLUMNS))]
    for row, n, fields in zip(loci.rows.tolist(), loci.n_variants.tolist(), cells, strict=True):
        bounds = [] if again else locus_cells(int(rows.pos[row]), n, LEAD_WINDOW)
        lines.append([fields[k] for k in kept] + bounds)
    return "".join("\t".join(line) + "\n" for line in lines)

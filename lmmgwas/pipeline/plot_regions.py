"""`lmmgwas plot --bfile`: the regional plots again, from a table and a genotype set.

A row of the table is the variant of the same chromosome, position, alleles and ID. Who was
analysed the table does not say: r2 is over all samples of the set, or those of --keep.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.io.read_sumstats import SummaryTable, read_rows
from lmmgwas.io.sumstats import marker_ids
from lmmgwas.model.chromosomes import Chromosome, Karyotype, Role, classify
from lmmgwas.model.genotypes import Variants
from lmmgwas.pipeline.gene_input import GeneInput, key_of, open_genes
from lmmgwas.pipeline.inputs import Genotypes, open_genotypes
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import GenotypeOptions, PlotOptions
from lmmgwas.pipeline.pictures import shown_name
from lmmgwas.pipeline.region_rows import Panel, Window, genes_within, r2_to, rows_within
from lmmgwas.pipeline.table_results import TableResults, names_of
from lmmgwas.report.region import Region

_MALE = 1


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What regional plots of a table are made from besides it."""

    karyotype: Karyotype
    genotypes: Genotypes | None  # None: r2 is unknown
    genes: GeneInput | None


def open_sources(
    options: GenotypeOptions | None, plots: PlotOptions, karyotype: Karyotype, log: Logbook
) -> Sources:
    """Open genotypes and genes, whichever are given, and say what they are."""
    genotypes = None if options is None else open_genotypes(options, log)
    if genotypes is not None:
        log.say(f"r2 is over {genotypes.kept.size:,} samples (those of the .fam, or of --keep)")
    chromosomes = () if genotypes is None else genotypes.variants.chromosomes
    return Sources(karyotype, genotypes, open_genes(plots, karyotype, chromosomes, log))


def table_regions(
    results: TableResults, sources: Sources, plots: PlotOptions, log: Logbook
) -> tuple[Region, ...]:
    """Return the surroundings of the strongest leads below the threshold that have a position."""
    table, rows, loci = results.table, results.rows, results.loci
    leads = loci.rows[: loci.n_below]
    leads = leads[rows.pos[leads] > 0][: plots.regions]
    if not leads.size:
        log.say("No regional plots: no variant with a position is below the threshold")
        return ()
    windows = [
        Window.around(
            _chromosome(rows.names[int(rows.chrom[lead])], sources.karyotype),
            int(rows.pos[lead]),
            plots.region_window,
        )
        for lead in leads.tolist()
    ]
    within = [
        rows_within(rows.chrom, rows.pos, int(rows.chrom[lead]), window)
        for lead, window in zip(leads.tolist(), windows, strict=True)
    ]
    cells = read_rows(table, np.concatenate([rows.row[part] for part in within]))
    genes = genes_within(sources.genes, windows, log)
    regions = []
    n_unknown = first = 0
    for k, (lead, part, window) in enumerate(zip(leads.tolist(), within, windows, strict=True)):
        own = cells[first : first + part.stop - part.start]
        first += len(own)
        names = names_of(table, rows, np.arange(part.start, part.stop), own)
        at = lead - part.start
        r2 = _r2(table, own, rows.pos[part], at, window, sources)
        n_unknown += int(np.isnan(r2).sum())
        regions.append(
            Region(
                trait=results.title,
                lead_id=names[at],
                chrom=shown_name(window.chromosome),
                lead_pos=int(rows.pos[lead]),
                start=window.start,
                end=window.end,
                pos=rows.pos[part],
                neg_log10_p=rows.neg_log10_p[part],
                r2=r2,
                marker_ids=names,
                genes=() if genes is None else genes[k],
                genes_known=genes is not None,
            )
        )
    _say_unknown(n_unknown, len(cells), sources, log)
    return tuple(regions)


def _say_unknown(n_unknown: int, n_rows: int, sources: Sources, log: Logbook) -> None:
    if sources.genotypes is None:
        log.say("Note: without --bfile the regional plots show no r2")
    elif n_unknown == n_rows:
        log.warn(
            "W471",
            f"none of the {n_rows:,} variants in the regional plots is in the genotypes with "
            "the same chromosome, position, alleles and ID, or no lead is: they show no r2; is "
            "this the set that was tested?",
        )
    elif n_unknown:
        log.say(
            f"Note: r2 is unknown for {n_unknown:,} of {n_rows:,} variants in the regional plots: "
            "they, or their lead, are not in the genotypes or do not vary in these samples"
        )


def _chromosome(label: str, karyotype: Karyotype) -> Chromosome:
    """The chromosome that a label of the table means."""
    name, role = classify(label, karyotype)
    return Chromosome(name, Role.X if role is Role.XY else role, name)


def _r2(
    table: SummaryTable,
    cells: list[list[str]],
    pos: NDArray[np.int64],
    lead: int,
    window: Window,
    sources: Sources,
) -> NDArray[np.float64]:
    """Return r2 (k,) of each row to the lead, NaN where a variant is not in the genotypes."""
    r2 = np.full(pos.size, np.nan)
    if sources.genotypes is None:
        return r2
    candidates = _candidates(sources.genotypes.variants, window)
    found = _match(table, cells, pos, candidates)
    if found[lead] < 0:
        return r2
    samples, kept = sources.genotypes.samples, sources.genotypes.kept
    panel = Panel(sources.genotypes.source, kept, kept[samples.sex[kept] == _MALE])
    known = found >= 0
    r2[known] = r2_to(candidates.take([int(found[lead])]), candidates.take(found[known]), panel)
    return r2


def _candidates(variants: Variants, window: Window) -> Variants:
    """The genotyped variants of a window."""
    wanted = key_of(window.chromosome)
    at = [k for k, c in enumerate(variants.chromosomes) if key_of(c) == wanted]
    if not at:
        return variants.take(slice(0, 0))
    return variants.take(rows_within(variants.chrom, variants.pos, at[0], window))


def _match(
    table: SummaryTable, cells: list[list[str]], pos: NDArray[np.int64], candidates: Variants
) -> NDArray[np.int64]:
    """Return which candidate (k,) each row is, -1 where it is none; twins in their order."""
    index = candidates.source_index
    columns = {
        "marker_id": marker_ids(candidates),
        "effect_allele": candidates.raw.effect_allele.take(index).to_pylist(),
        "other_allele": candidates.raw.other_allele.take(index).to_pylist(),
    }
    shared = [name for name in columns if name in table.header]
    known: dict[tuple[object, ...], list[int]] = {}
    texts = zip(candidates.pos.tolist(), *(columns[name] for name in shared), strict=True)
    for k, key in enumerate(texts):
        known.setdefault(key, []).append(k)
    places = [table.header.index(name) for name in shared]
    found = np.full(pos.size, -1, dtype=np.int64)
    for row, (at, fields) in enumerate(zip(pos.tolist(), cells, strict=True)):
        same = known.get((at, *(fields[k] for k in places)))
        if same:
            found[row] = same.pop(0)
    return found

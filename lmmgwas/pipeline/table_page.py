"""A table of results, ours or a peer's, gathered for a page: what it says, and no more.

Null models, samples and excluded variants are not in a table, and so not on its page.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lmmgwas
from lmmgwas.io.read_sumstats import SummaryTable, read_rows
from lmmgwas.io.sumstats import LOCUS_COLUMNS
from lmmgwas.numerics.tails import lambda_gc
from lmmgwas.pipeline.methods_text import (
    inflation_sentence,
    significance_sentence,
    software_sentence,
)
from lmmgwas.pipeline.report_plots import draw_tests, points_of
from lmmgwas.pipeline.report_tables import (
    MOST_LEADS,
    ShownLead,
    classes_table,
    inflation_fact,
    leads_table,
    loci_fact,
    strongest_fact,
)
from lmmgwas.pipeline.table_results import UNKNOWN, TableResults, names_of
from lmmgwas.report.content import Fact, Page, Picture, Table, TraitPart
from lmmgwas.report.interactive import MOST_POINTS, Genome, NamedLead, PointDetails
from lmmgwas.report.manifest import describe_file, describe_software, format_manifest


def page_of_table(
    results: TableResults,
    leads_name: str,
    static: tuple[Picture, ...],
    regions: tuple[Picture, ...],
    said: tuple[list[str], list[str]],
) -> Page:
    """Return all that the page holds.

    `leads_name` is the file of all leads, `static` are the plots for readers without JavaScript,
    `said` are warnings and notes. Raises FileAccessError (E110) where the table cannot be read
    again.
    """
    table, n = results.table, results.n_samples
    samples = [f"{n:,} samples"] if n else []
    summary = [*samples, f"{len(table):,} variants", f"a table of {table.layout.tool}"]
    return Page(
        title=Path(table.path).name,
        summary=", ".join(summary),
        traits=(_trait_part(results, leads_name, static, regions),),
        overview=Table((), ()),
        samples=None,
        methods=_methods(results),
        warnings=tuple(said[0]),
        notes=tuple(said[1]),
        manifest=format_manifest(_facts_of_file(results)).strip(),
        software=f"lmmgwas {lmmgwas.__version__}",
    )


def _trait_part(
    results: TableResults,
    leads_name: str,
    static: tuple[Picture, ...],
    regions: tuple[Picture, ...],
) -> TraitPart:
    table, rows = results.table, results.rows
    genome = Genome(results.chrom_names, rows.chrom, rows.pos, rows.neg_log10_p)
    chosen = points_of(genome, MOST_POINTS)
    cells = read_rows(table, rows.row[chosen.rows])
    unknown = np.full(len(table), math.nan)
    frequency = unknown if table.frequency is None else table.frequency[rows.row]
    details = PointDetails(
        names_of(table, rows, chosen.rows, cells),
        list(
            zip(
                _texts(table, cells, "effect_allele"),
                _texts(table, cells, "other_allele"),
                strict=True,
            )
        ),
        np.array(_numbers(table, cells, "beta")),
        np.array(_numbers(table, cells, "standard_error")),
        frequency[chosen.rows],
    )
    leads = [NamedLead(*lead) for lead in results.significant]
    drawn = draw_tests(genome, frequency, chosen, details, leads, results.lines, MOST_POINTS)
    shown, loci = _shown_leads(results), results.loci
    return TraitPart(
        name=results.title,
        facts=_facts(results, shown),
        leads=leads_table(shown, (len(loci), loci.n_below, leads_name), results.lines[0]),
        classes=classes_table(drawn.classes),
        fits=None,
        excluded=None,
        plots=drawn.data,
        captions=drawn.captions,
        static=static,
        regions=regions,
    )


def _shown_leads(results: TableResults) -> list[ShownLead]:
    """The first leads; counts of a table of leads are its own."""
    table, rows = results.table, results.rows
    cells = results.lead_cells[:MOST_LEADS]
    places = results.loci.rows[:MOST_LEADS]
    counts = results.loci.n_variants[:MOST_LEADS].tolist()
    if LOCUS_COLUMNS[2] in table.header:
        own = _texts(table, cells, LOCUS_COLUMNS[2])
        counts = [int(x) if x.isdecimal() else n for x, n in zip(own, counts, strict=True)]
    columns = zip(
        names_of(table, rows, places, cells),
        rows.chrom[places].tolist(),
        [results.chrom_names[k] for k in rows.chrom[places].tolist()],
        rows.pos[places].tolist(),
        _texts(table, cells, "effect_allele"),
        _texts(table, cells, "other_allele"),
        _numbers(table, cells, "effect_allele_frequency"),
        _numbers(table, cells, "beta"),
        _numbers(table, cells, "standard_error"),
        rows.neg_log10_p[places].tolist(),
        counts,
        strict=True,
    )
    return [ShownLead(*values) for values in columns]


def _texts(table: SummaryTable, cells: list[list[str]], name: str) -> list[str]:
    """A column as text, "" where the table does not say."""
    if name not in table.header:
        return [""] * len(cells)
    k = table.header.index(name)
    return ["" if fields[k] in UNKNOWN else fields[k] for fields in cells]


def _numbers(table: SummaryTable, cells: list[list[str]], name: str) -> list[float]:
    """A column that is shown and not computed with: NaN where it is no number."""
    return [_number(text) for text in _texts(table, cells, name)]


def _number(text: str) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _facts(results: TableResults, shown: Sequence[ShownLead]) -> tuple[Fact, ...]:
    n = results.n_samples
    samples = [Fact("Samples", f"{n:,}")] if n else []
    facts = [
        *samples,
        Fact("Variants", f"{len(results.table):,}", "with a p-value"),
        inflation_fact(lambda_gc(results.rows.neg_log10_p)),
        loci_fact(results.loci.n_below, results.lines[0]),
    ]
    for lead in shown[:1]:
        facts.append(strongest_fact(lead.marker, lead.chrom_name, lead.pos, lead.neg_log10_p))
    return tuple(facts)


def _methods(results: TableResults) -> str:
    """Where the numbers are from, and what was done with them."""
    table, n = results.table, results.n_samples
    layout = table.layout
    tested = f", tested in {n:,} samples," if n else ""
    sentences = [
        f"The p-values of {len(table):,} variants{tested} were read from {Path(table.path).name}, "
        f"a table of {layout.tool} (its column {layout.columns[layout.p_name]}).",
        f"Of its columns {layout.effect_rule}" if "beta" in table.header else "",
        significance_sentence(results.lines[0]),
        inflation_sentence([lambda_gc(results.rows.neg_log10_p)]),
        software_sentence(),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _facts_of_file(results: TableResults) -> dict[str, Any]:
    """The run, as far as there is one."""
    threshold, suggestive = results.lines
    return {
        "software": describe_software(),
        "table": describe_file(Path(results.table.path)),
        "columns": results.table.layout.columns,
        "n_variants": len(results.table),
        "rows_without_p": results.table.n_skipped,
        "threshold": threshold,
        "suggestive": suggestive,
    }

"""Options that commands share, with their defaults and units, and the bundles made of them.

Nothing heavy is imported at the top: `--help` reads this file too.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lmmgwas.cli.command import origins

if TYPE_CHECKING:
    from lmmgwas.pipeline.options import (
        ClusterOptions,
        FileSet,
        GenotypeOptions,
        GrmOptions,
        PlotOptions,
        RunOptions,
        Share,
    )

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[_Command], _Command]

SPECIES = ("human", "cow", "dog", "horse", "mouse", "rice", "sheep")


def bundled(*options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """Return a decorator that applies several options, in the order in which help shows them."""

    def decorate(function: _Command) -> _Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


genotype_options = bundled(
    click.option(
        "--bfile",
        metavar="PREFIX",
        help="Genotypes: PREFIX.bed, .bim, .fam; @ in PREFIX stands for a chromosome.",
    ),
    click.option(
        "--pfile",
        metavar="PREFIX",
        help="Genotypes: PREFIX.pgen, .pvar (or .pvar.zst), .psam; @ stands for a chromosome.",
    ),
    click.option("--bed", metavar="FILE", help="Genotypes, with --bim and --fam."),
    click.option("--bim", metavar="FILE", help="Variants, with --bed and --fam."),
    click.option("--fam", metavar="FILE", help="Samples, with --bed and --bim."),
    click.option("--keep", metavar="FILE", help="Use only these samples (FID IID, or IID)."),
    click.option("--remove", metavar="FILE", help="Leave these samples out."),
    click.option(
        "--mind",
        metavar="FRACTION",
        type=float,
        help="Drop samples with a larger fraction of missing calls. [default: none]",
    ),
    click.option(
        "--species",
        type=click.Choice(SPECIES),
        help="Whose chromosomes the labels are. [default: human]",
    ),
    click.option(
        "--autosomes",
        metavar="N",
        type=click.IntRange(1),
        help="Number of autosomes, for other species. [default: 22]",
    ),
    click.option(
        "--min-loco-variants",
        metavar="N",
        type=click.IntRange(1),
        default=100,
        show_default=True,
        help="Contigs (labels that are no numbers) with fewer variants form one LOCO group.",
    ),
)

grm_options = bundled(
    click.option(
        "--grm-model",
        type=click.Choice(["standardized", "hwe", "centered"]),
        default="standardized",
        show_default=True,
        help="Scale of a variant in the GRM: observed SD, sqrt(2p(1-p)), or none.",
    ),
    click.option(
        "--grm-missing",
        type=click.Choice(["mean", "pairwise"]),
        default="mean",
        show_default=True,
        help="Missing calls: at the mean, or each pair over its own variants (GCTA, plink2).",
    ),
    click.option("--grm-extract", metavar="FILE", help="Make the GRM of these variant IDs only."),
    click.option("--grm-exclude", metavar="FILE", help="Leave these variant IDs out of the GRM."),
    click.option("--grm-chr", metavar="LIST", help="Make the GRM of these chromosomes: 1-4,22."),
    click.option(
        "--grm-maf",
        metavar="FREQUENCY",
        type=float,
        default=0.01,
        show_default=True,
        help="Smallest minor-allele frequency in the GRM, 0 to 0.5.",
    ),
    click.option(
        "--grm-geno",
        metavar="FRACTION",
        type=float,
        default=0.1,
        show_default=True,
        help="Largest fraction of missing calls of a variant in the GRM, 0 to 1.",
    ),
)

region_options = (
    click.option(
        "--regions",
        type=int,
        default=10,
        show_default=True,
        metavar="N",
        help="Regional plots of a trait, at most: of the strongest loci below the threshold.",
    ),
    click.option(
        "--region-window",
        type=int,
        default=500,
        show_default=True,
        metavar="KB",
        help="What a regional plot shows either side of the lead variant, in kb.",
    ),
    click.option(
        "--genes",
        metavar="FILE",
        help="Genes for the regional plots: BED, GFF3 or GTF, packed with gzip or not.",
    ),
)

report_option = click.option(
    "--report/--no-report",
    default=None,
    help="Write PREFIX.report.html, a page with interactive plots; needs plotly. [default: where "
    "plots are drawn]",
)

_overwrite = click.option("--overwrite", is_flag=True, help="Replace existing output.")

_words = (
    click.option("--strict", is_flag=True, help="Make every warning an error."),
    click.option("--quiet", is_flag=True, help="Print warnings and errors only."),
    click.option("--verbose", is_flag=True, help="Print the time of each step, too."),
    click.option("--debug", is_flag=True, help="Show a traceback when something fails."),
)

table_options = bundled(
    click.option(
        "--autosomes",
        metavar="N",
        type=click.IntRange(1),
        help="Number of autosomes, for other species. [default: 22]",
    ),
    _overwrite,
    *_words,
)
"""Of the commands that read a table of results and no study."""

_means = (
    click.option(
        "--threads",
        metavar="N",
        type=click.IntRange(1),
        help="Threads. [default: what the batch system or the machine allows]",
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        help="Most memory that may be used, with K, M, G or T: 16G. [default: what there is]",
    ),
    click.option(
        "--block-size",
        metavar="N",
        type=click.IntRange(1),
        default=4096,
        show_default=True,
        help="Variants read at a time; changes memory and speed, never a result.",
    ),
    click.option("--tmpdir", metavar="DIR", help="Temporary files. [default: beside the output]"),
    _overwrite,
    click.option("--resume", is_flag=True, help="Go on with a run that was interrupted."),
    click.option("--break-lock", is_flag=True, help="Take the name from a run that is gone."),
    *_words,
)

run_options = bundled(
    click.option("--out", metavar="PREFIX", required=True, help="Prefix of all output files."),
    *_means,
)

check_options = bundled(
    click.option("--out", metavar="PREFIX", help="Look whether these output files could be made."),
    *_means,
)


part_option = click.option(
    "--part",
    metavar="i/N",
    help="Do part i of N alone, from 1; /N takes i from SLURM_ARRAY_TASK_ID. Then: merge.",
)


def share_of(text: str | None) -> "Share | None":
    """Return what `--part` asks for. Raises UsageError (E009)."""
    from lmmgwas.errors import UsageError
    from lmmgwas.pipeline.options import Share

    if text is None:
        return None
    found = re.fullmatch(r"([0-9]*)/([0-9]+)", text.strip())
    number = found[1] or os.environ.get("SLURM_ARRAY_TASK_ID", "") if found is not None else ""
    if found is None or not re.fullmatch(r"[0-9]+", number):
        raise UsageError(
            "E009",
            f"--part {text!r}: give i/N, as 3/22; or /22 in a Slurm array job, whose "
            f"SLURM_ARRAY_TASK_ID (now {os.environ.get('SLURM_ARRAY_TASK_ID')!r}) is then i",
        )
    return Share(int(number), int(found[2]))


def optional_path(text: str | None) -> Path | None:
    """Return a path where one was given."""
    return None if text is None else Path(text)


def genotype_bundle(given: dict[str, Any]) -> "GenotypeOptions":
    """Make the genotype options of a command's arguments."""
    from lmmgwas.model.chromosomes import Karyotype
    from lmmgwas.pipeline.options import GenotypeOptions

    return GenotypeOptions(
        files=_file_set(given),
        karyotype=Karyotype.of(given["species"], given["autosomes"]),
        keep=optional_path(given["keep"]),
        remove=optional_path(given["remove"]),
        min_loco_variants=given["min_loco_variants"],
        mind=given["mind"],
    )


def _file_set(given: dict[str, Any]) -> "FileSet":
    """The genotypes. Raises UsageError (E003) unless they are given in one way."""
    from lmmgwas.errors import UsageError
    from lmmgwas.pipeline.options import FileSet

    plink1 = [given[name] for name in ("bfile", "bed", "bim", "fam")]
    if given["pfile"] is None:
        return FileSet.of(*plink1)
    if any(plink1):
        raise UsageError("E003", "give --pfile, or --bfile, or --bed with --bim and --fam: one way")
    return FileSet.of_pfile(given["pfile"])


def grm_bundle(given: dict[str, Any]) -> "GrmOptions":
    """Make the GRM options of a command's arguments."""
    from lmmgwas.model.grm import GrmFilters, GrmModel
    from lmmgwas.pipeline.options import GrmOptions, VariantChoice

    return GrmOptions(
        model=GrmModel(given["grm_model"]),
        pairwise=given["grm_missing"] == "pairwise",
        choice=VariantChoice(
            optional_path(given["grm_extract"]),
            optional_path(given["grm_exclude"]),
            given["grm_chr"],
        ),
        filters=GrmFilters(given["grm_maf"], given["grm_geno"]),
    )


def plot_bundle(given: dict[str, Any]) -> "PlotOptions":
    """Make the options of plots of a command's arguments.

    A report comes with the plots, unless it is asked for or not asked for alone.
    """
    from lmmgwas.pipeline.options import PlotOptions

    drawn, report = given["plots"], given.get("report")
    return PlotOptions(
        png=drawn != "none",
        pdf=drawn == "all",
        report=drawn != "none" if report is None else report,
        regions=given["regions"],
        region_window=given["region_window"],
        genes=optional_path(given["genes"]),
    )


def memory_bytes(text: str | None) -> int | None:
    """Return the bytes that `16G` stands for: a number with K, M, G or T, in steps of 1024."""
    from lmmgwas.errors import UsageError

    if text is None:
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMGT])(?:iB|B)?", text.strip(), re.IGNORECASE)
    if found is None or float(found[1]) == 0.0:
        raise UsageError(
            "E002", f"--memory {text!r} is no size: give a number with K, M, G or T, such as 16G"
        )
    return int(float(found[1]) * 1024 ** ("KMGT".index(found[2].upper()) + 1))


def run_bundle(given: dict[str, Any], suffix: str = "") -> "RunOptions":
    """Make the run options of a command's arguments.

    A part has a prefix of its own: the given one with `suffix` and its number.
    """
    from lmmgwas.numerics.threads import available_threads
    from lmmgwas.pipeline.options import RunOptions

    cluster = _cluster(given)
    share_of_machine = 1 if cluster is None else cluster.workers or 1
    threads = given["threads"] or max(1, available_threads() // share_of_machine)
    share = share_of(given.get("part"))
    out = Path(given["out"])
    if share is not None:
        out = out.with_name(f"{out.name}.{suffix}{share.name}")
    return RunOptions(
        out=out,
        threads=threads,
        block_size=given["block_size"],
        overwrite=given["overwrite"],
        resume=given["resume"],
        break_lock=given["break_lock"],
        strict=given["strict"],
        tmpdir=optional_path(given["tmpdir"]),
        memory=memory_bytes(given["memory"]),
        verbosity=_verbosity(given),
        arguments=tuple(sorted({**given, "threads": threads}.items())),
        origins=origins(),
        share=share,
        cluster=cluster,
    )


def table_run_bundle(given: dict[str, Any]) -> "RunOptions":
    """Make the run options of a command that reads a table of results."""
    from lmmgwas.pipeline.options import RunOptions

    return RunOptions(
        out=Path(given["out"]),
        overwrite=given["overwrite"],
        strict=given["strict"],
        verbosity=_verbosity(given),
    )


def _verbosity(given: dict[str, Any]) -> int:
    return 0 if given["quiet"] else 2 if given["verbose"] or given["debug"] else 1


def _cluster(given: dict[str, Any]) -> "ClusterOptions | None":
    from lmmgwas.pipeline.options import ClusterOptions

    if given.get("scheduler") is None and given.get("workers") is None:
        return None
    return ClusterOptions(given["scheduler"], given["workers"])

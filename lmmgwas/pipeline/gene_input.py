"""`--genes`: the file of genes, looked at before the work, and which labels mean a chromosome."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmmgwas.errors import MismatchError
from lmmgwas.io.genes import GeneFile, check_genes
from lmmgwas.model.chromosomes import Chromosome, Karyotype, Role, classify, folded
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import PlotOptions
from lmmgwas.report.manifest import describe_file

_SHOWN = 5
_LETTERED = (Role.X, Role.XY, Role.Y, Role.MT)


@dataclass(frozen=True, slots=True, eq=False)
class GeneInput:
    """A file of genes that was looked at."""

    file: GeneFile
    karyotype: Karyotype
    description: dict[str, Any]  # for the manifest: path, size and checksum

    def labels_of(self, chromosome: Chromosome) -> frozenset[str]:
        """Return the labels that mean this chromosome."""
        wanted = key_of(chromosome)
        known = self.file.labels
        return frozenset(
            label for label in known if chromosome_key(label, self.karyotype) == wanted
        )


def open_genes(
    plots: PlotOptions, karyotype: Karyotype, chromosomes: Sequence[Chromosome], log: Logbook
) -> GeneInput | None:
    """Read `--genes` to its end; None without it, or where no regional plot is wanted.

    Raises FormatError where it is malformed, MismatchError (E476) where it knows none of these
    chromosomes.
    """
    if plots.genes is None:
        return None
    if not plots.draws_regions:
        log.say("Note: --genes is for regional plots, and there are to be none: it is not read")
        return None
    file = check_genes(plots.genes)
    for note in file.remarks.notes:
        log.say(f"Note: {note}")
    for warning in file.remarks.warnings:
        log.warn("W401", warning)
    what = "rows that are genes" if file.has_gene_rows else "rows that are parts of genes"
    log.say(f"Genes: {file.n_rows:,} {what} ({file.format}, {file.path})")
    known = {chromosome_key(label, karyotype) for label in file.labels}
    absent = [c.name for c in chromosomes if key_of(c) not in known and c.role != Role.UNPLACED]
    if absent and len(absent) == sum(c.role != Role.UNPLACED for c in chromosomes):
        raise MismatchError(
            "E476",
            f"none of its chromosomes ({_some(file.labels)}) is one of the variants' "
            f"({_some(absent)}): no gene could be shown; give genes with the same names of "
            "chromosomes (chr1, 1 and 01 are one)",
            str(file.path),
        )
    if absent:
        log.say(f"Note: {file.path} has no gene on chromosomes {_some(absent)}")
    return GeneInput(file, karyotype, describe_file(file.path))


def chromosome_key(label: str, karyotype: Karyotype) -> str:
    """Return what all labels of one chromosome share; X and its shared ends (XY) are one."""
    try:
        name, role = classify(label, karyotype)
    except MismatchError:  # a number beyond the karyotype: none of ours
        return label
    return _folded(name, role)


def key_of(chromosome: Chromosome) -> str:
    """Return `chromosome_key` of the labels of a chromosome of ours."""
    return _folded(chromosome.name, chromosome.role)


def _folded(name: str, role: Role) -> str:
    if role in _LETTERED:
        return folded(str(Role.X if role is Role.XY else role))
    return folded(name)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    hidden = len(names) - _SHOWN
    return f"{shown} and {hidden:,} more" if hidden > 0 else shown

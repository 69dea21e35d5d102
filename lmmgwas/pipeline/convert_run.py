"""`lmmgwas convert`: a table of `assoc` in another tool's format."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from lmmgwas.errors import OutputExistsError, UsageError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.export import ExportFacts, export_table, may_have_no_reference
from lmmgwas.io.export_formats import GWAS_VCF, PARQUET
from lmmgwas.io.export_values import SMALLEST_P, Packing, TargetFormat
from lmmgwas.io.gwas_vcf import VcfStudy, export_vcf, survey
from lmmgwas.io.parquet import export_parquet
from lmmgwas.io.read_sumstats import read_sidecar
from lmmgwas.io.sumstats import index_suffix
from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions


@dataclass(frozen=True, slots=True)
class ConvertJob:
    """`lmmgwas convert`; `run.out` is the whole name of the file."""

    table: Path
    target: TargetFormat
    run: RunOptions
    karyotype: Karyotype = field(default_factory=Karyotype)

    def __post_init__(self) -> None:
        name, packing = self.run.out.name, self.target.packing
        if packing is Packing.ALWAYS and not self.is_packed:
            raise UsageError(
                "E440",
                f"--out {name}: a {self.target.name} file is packed and indexed: give a name that "
                "ends in .gz, such as study.vcf.gz",
            )
        if packing is Packing.NEVER and self.is_packed:
            raise UsageError(
                "E440",
                f"--out {name}: {self.target.title} takes no packed file: give a name without .gz",
            )

    @property
    def is_packed(self) -> bool:
        """Whether the file is packed: by its name."""
        return self.run.out.name.endswith((".gz", ".bgz"))


def run_convert(job: ConvertJob, log: Logbook, outputs: OutputSet) -> None:
    """Write the table in the other format; the file appears whole, or not at all."""
    if job.table.resolve() in [job.run.out.resolve(), job.run.path(".log").resolve()]:
        raise OutputExistsError(
            "E113", f"{job.table} is read and would be replaced: choose another --out"
        )
    outputs.require_free([job.run.out])
    with log.stage(f"reading {job.table}"):
        facts = _convert(job, log, outputs)
    for note in facts.notes:
        log.say(f"Note: {note}")
    _say_losses(job.target, facts, log)
    outputs.commit()
    log.say(
        f"{job.run.out}: {facts.n_rows:,} rows for {job.target.title}   ({log.seconds():.1f} s)"
    )
    log.say(f"Effect allele: {job.target.effect_rule}")


def _convert(job: ConvertJob, log: Logbook, outputs: OutputSet) -> ExportFacts:
    target, out = job.target, outputs.temporary(job.run.out)
    if target is not GWAS_VCF:
        log.begin()
        if target is PARQUET:
            return export_parquet(job.table, out)
        return export_table(job.table, target, out, job.karyotype, packed=job.is_packed)
    found = survey(job.table)
    index = job.run.path(index_suffix(found.largest_position))
    outputs.require_free([job.run.out, index])
    log.begin()
    study, place = _study(job.table), outputs.temporary(index)
    return export_vcf(job.table, out, place, found, study, job.karyotype)


def _study(table: Path) -> VcfStudy:
    """Return what the metadata beside the table say; without them the trait of its name."""
    facts = read_sidecar(table.with_name(f"{table.name}-meta.yaml"))
    if facts is not None:
        return VcfStudy(facts.trait, facts.n_samples)
    stem = re.sub(r"(\.leads)?\.tsv(\.gz)?$", "", table.name)
    return VcfStudy(stem.rpartition(".")[2] or stem)


def _say_losses(target: TargetFormat, facts: ExportFacts, log: Logbook) -> None:
    """What the other format does not hold as our table does."""
    if facts.n_small:
        log.warn(
            "W440",
            f"{facts.n_small:,} p-values below {SMALLEST_P} were written as that number, the "
            f"smallest that {target.title} reads as it stands: take their order from effect and "
            "standard error",
        )
    if facts.left_out:
        listed = ", ".join(f"{n:,} without {what}" for what, n in facts.left_out.items())
        log.warn(
            "W441",
            f"{sum(facts.left_out.values()):,} rows were left out, which {target.title} cannot "
            f"read: {listed}",
        )
    if facts.n_provisional and may_have_no_reference(target):
        log.say(
            f"Note: {facts.n_provisional:,} rows have no ref_allele (BED files do not say which "
            "allele is the reference): REF is the other allele and ALT the effect allele there; "
            "check them against the genome, with `bcftools +fixref` for a VCF file"
        )

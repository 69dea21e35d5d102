"""Whether a GRM that is to be built fits into memory and onto the disk."""

from dataclasses import replace
from pathlib import Path

from lmmgwas.model.genotypes import Variants
from lmmgwas.model.memory import GrmSize
from lmmgwas.model.run_size import RunSize
from lmmgwas.numerics.limits import page_bytes
from lmmgwas.pipeline.disk_check import DiskNeed, grm_needs, require_space
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.memory_check import require_memory, resident_bytes
from lmmgwas.pipeline.options import GrmJob, GrmOptions


def grm_size(
    genotypes: Genotypes, variants: Variants, options: GrmOptions, threads: int
) -> GrmSize:
    """Return the size of a GRM of these variants, chosen and autosomal, over the samples kept."""
    return GrmSize(
        n=int(genotypes.kept.size),
        n_file=len(genotypes.samples),
        n_variants=len(variants),
        n_groups=len(variants.groups()),
        pairwise=options.pairwise,
        threads=threads,
        page=page_bytes(),
        call_bytes=2 if genotypes.source.has_dosages else 1,
    )


def set_needs(size: GrmSize, folder: Path, what: str) -> list[DiskNeed]:
    """Return what the files of the set take."""
    return grm_needs(
        folder, size.n, size.n_groups, pairwise=size.pairwise, eigen=size.eigen, what=what
    )


def require_grm_room(job: GrmJob, genotypes: Genotypes, variants: Variants, log: Logbook) -> None:
    """Raise before `lmmgwas grm` begins where memory (E137) or the disk (E118) is too small."""
    size = replace(
        grm_size(genotypes, variants, job.grm, job.run.threads),
        eigen=job.eigen,
        n_components=job.n_components or 0,
    )
    require_memory(RunSize(resident_bytes(), size), job.run, log)
    require_space(set_needs(size, job.run.out.parent, "the GRM, a part for each chromosome"))

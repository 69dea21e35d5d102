"""The simulated study as files: what `lmmgwas example` and `scripts/make_test_data.py` write.

The same settings give the same bytes. Stands alone: no other module of the pipeline is used.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.model.genotypes import MISSING, Calls
from lmmgwas.model.simulate import (
    CHROMOSOMES,
    MALE,
    NO_PARENT,
    SITES,
    SimulatedPeople,
    SimulatedStudy,
    SimulationSettings,
    simulate_study,
)

FILE_NAMES = ("study.bed", "study.bim", "study.fam", "pheno.tsv", "covar.tsv", "truth.tsv")

_NOT_RECORDED = "NA"
_BED_MAGIC = b"\x6c\x1b\x01"  # PLINK 1, variant-major
# Two bits for 0, 1, 2 copies of column 5 of the .bim, and for a missing call.
_BED_CODES = np.array([0b11, 0b10, 0b00, 0b01], dtype=np.uint8)


def write_example(
    directory: Path | str, settings: SimulationSettings, overwrite: bool = False
) -> list[Path]:
    """Write the study of these settings into a directory and return the paths.

    Raises OutputExistsError, with nothing written, when one of the files is there already.
    """
    folder = Path(directory)
    finals = [folder / name for name in FILE_NAMES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccessError("E111", f"cannot create {folder}: {error.strerror}") from error
    with OutputSet(overwrite=overwrite) as outputs:
        outputs.require_free(finals)
        study = simulate_study(settings)
        contents = (
            bed_bytes(study.calls),
            _text(_bim_rows(study)),
            _text(_fam_rows(study)),
            _text(_pheno_rows(study)),
            _text(_covar_rows(study)),
            _text(_truth_rows(study)),
        )
        for final, data in zip(finals, contents, strict=True):
            outputs.temporary(final).write_bytes(data)
        outputs.commit()
    return finals


def bed_bytes(calls: Calls) -> bytes:
    """Return calls (m, n) as the bytes of a .bed: four samples a byte, the first lowest."""
    m, n = calls.shape
    codes: NDArray[np.uint8] = np.zeros((m, -(-n // 4) * 4), dtype=np.uint8)
    codes[:, :n] = _BED_CODES[np.where(calls == MISSING, 3, calls)]
    quads = codes.reshape(m, -1, 4) << np.array([0, 2, 4, 6], dtype=np.uint8)
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(quads, axis=2)
    return _BED_MAGIC + packed.tobytes()


def _text(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows of fields as tab-separated lines."""
    return "".join("\t".join(row) + "\n" for row in rows).encode("utf-8")


def _bim_rows(study: SimulatedStudy) -> Iterable[tuple[str, ...]]:
    """Yield chromosome, ID, centimorgans (unknown), position, effect and other allele."""
    variants = study.variants
    for j, marker_id in enumerate(variants.marker_id):
        alleles = variants.effect_allele[j], variants.other_allele[j]
        yield CHROMOSOMES[variants.chrom[j]], marker_id, "0", str(variants.pos[j]), *alleles


def _fam_rows(study: SimulatedStudy) -> Iterable[tuple[str, ...]]:
    """Yield family, ID, father, mother, sex, and no trait (-9), of who is genotyped."""
    people = study.people
    for i in range(study.n_genotyped):
        parents = _parent(people, people.father[i]), _parent(people, people.mother[i])
        yield people.fid[i], people.iid[i], *parents, str(people.sex[i]), "-9"


def _parent(people: SimulatedPeople, index: int) -> str:
    """Return the ID of a parent, 0 when there is none in the study."""
    return "0" if index == NO_PARENT else people.iid[index]


def _pheno_rows(study: SimulatedStudy) -> Iterable[tuple[str, ...]]:
    """Yield the trait table: people in an order of its own, some absent, some not genotyped."""
    yield "FID", "IID", *(trait.name for trait in study.traits)
    for i in study.pheno_order:
        values = (
            f"{trait.values[i]:.3f}" if trait.observed[i] else _NOT_RECORDED
            for trait in study.traits
        )
        yield study.people.fid[i], study.people.iid[i], *values


def _covar_rows(study: SimulatedStudy) -> Iterable[tuple[str, ...]]:
    """Yield the covariate table: age in years, sex as F or M, site by name."""
    people, gaps = study.people, set(study.covariate_gaps)
    yield "FID", "IID", "age", "sex", "site"
    for i in study.covar_order.tolist():
        sex = "M" if people.sex[i] == MALE else "F"
        values = f"{people.age[i]:.0f}", sex, SITES[people.site[i]]
        shown = (_NOT_RECORDED if (i, k) in gaps else value for k, value in enumerate(values))
        yield people.fid[i], people.iid[i], *shown


def _truth_rows(study: SimulatedStudy) -> Iterable[tuple[str, ...]]:
    """Yield the causal variants: effect per copy of the effect allele, in the trait's unit."""
    variants = study.variants
    yield (
        *("trait", "marker_id", "chromosome", "position"),
        *("effect_allele", "beta", "variance_share"),
    )
    for trait in study.traits:
        for causal in sorted(trait.causal, key=lambda variant: variant.row):
            j = causal.row
            place = variants.marker_id[j], CHROMOSOMES[variants.chrom[j]], str(variants.pos[j])
            size = f"{causal.effect:.6g}", f"{causal.share:g}"
            yield trait.name, *place, variants.effect_allele[j], *size

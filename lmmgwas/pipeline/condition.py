"""`--condition`: named variants become covariates, their dosages mean-imputed."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmmgwas.errors import MismatchError
from lmmgwas.io.text import nearest
from lmmgwas.model.blocks import copies_of, mask_single
from lmmgwas.model.genotypes import Variants
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.join import Covariate
from lmmgwas.pipeline.logbook import Logbook

_MOST_COMPARED = 200_000  # IDs looked through for a similar one


def condition_covariates(
    genotypes: Genotypes, marker_ids: Sequence[str], log: Logbook
) -> tuple[Covariate, ...]:
    """Return the dosages of the named variants, in the order of the names.

    Raises MismatchError when an ID is not there or names more than one variant.
    """
    covariates = []
    for marker_id in dict.fromkeys(marker_ids):
        variant = genotypes.variants.take(_find(genotypes.variants, marker_id))
        calls = genotypes.source.read(variant.source_index)
        if variant.haploid_x[0]:
            males = np.flatnonzero(genotypes.samples.sex == 1).astype(np.int64)
            mask_single(calls, males)
        dosage = copies_of(calls)[0]
        chromosome = variant.chromosomes[int(variant.chrom[0])].name
        n_missing = int(np.isnan(dosage).sum())
        log.say(
            f"Conditioned on {marker_id} at {chromosome}:{int(variant.pos[0]):,} "
            f"({n_missing} of {dosage.size} calls missing, set to the mean)"
        )
        covariates.append(Covariate(marker_id, dosage, None, impute=True))
    return tuple(covariates)


def _find(variants: Variants, marker_id: str) -> slice:
    """The place of one variant."""
    ids = variants.raw.marker_id.take(variants.source_index)
    found = np.flatnonzero(pc.equal(ids, pa.scalar(marker_id)).to_numpy(zero_copy_only=False))
    if found.size == 1:
        return slice(int(found[0]), int(found[0]) + 1)
    if found.size > 1:
        raise MismatchError(
            "E217",
            f"--condition: {found.size} variants are called {marker_id!r}: which one is meant? "
            "give the variants unique IDs",
        )
    close = nearest(marker_id, ids.slice(0, _MOST_COMPARED).to_pylist())
    hint = f"; similar: {', '.join(close)}" if close else ""
    raise MismatchError("E217", f"--condition: no variant is called {marker_id!r}{hint}")

"""What a regional plot is made of: the variants around a lead, r2 to it from genotypes, genes.

Of a finished study and of a table that is read again alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError
from lmmgwas.io.genes import Gene, Stretch, read_genes
from lmmgwas.model.chromosomes import Chromosome
from lmmgwas.model.genotypes import MISSING, Calls, GenotypeSource, Variants, calls_of
from lmmgwas.model.ld import squared_correlation
from lmmgwas.numerics.kernels import mask_heterozygotes
from lmmgwas.pipeline.gene_input import GeneInput
from lmmgwas.pipeline.logbook import Logbook

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_CALLS_AT_ONCE = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """The samples whose genotypes r2 is computed from."""

    source: GenotypeSource
    rows: Indices  # columns in the blocks of calls, ascending
    males: Indices  # columns of the men among them


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a chromosome around a lead: base pairs from 1, both ends included."""

    chromosome: Chromosome
    start: int
    end: int

    @classmethod
    def around(cls, chromosome: Chromosome, pos: int, kb: int) -> "Window":
        """Return what lies up to `kb` either side of a position."""
        return cls(chromosome, max(1, pos - 1000 * kb), pos + 1000 * kb)


def rows_within(chrom: NDArray[np.integer], pos: Indices, at: int, window: Window) -> slice:
    """Return which rows, sorted by chromosome and position, lie in a window of chromosome `at`."""
    keys = np.array([at, at + 1], dtype=chrom.dtype)
    first, last = np.searchsorted(chrom, keys).tolist()
    own = pos[first:last]
    low = int(np.searchsorted(own, window.start, side="left"))
    high = int(np.searchsorted(own, window.end, side="right"))
    return slice(first + low, first + high)


def r2_to(lead: Variants, variants: Variants, panel: Panel) -> Array:
    """Return r2 (k,) of each variant with the lead (one variant), over the panel's samples.

    Raises FileAccessError (E106) where the genotypes are not those that were opened.
    """
    of_lead = _calls(lead, panel)[0]
    step = max(1, _CALLS_AT_ONCE // len(panel.source.samples))
    blocks = (variants.take(slice(k, k + step)) for k in range(0, len(variants), step))
    parts = [squared_correlation(of_lead, _calls(block, panel)) for block in blocks]
    panel.source.check_unchanged()
    return np.concatenate(parts) if parts else np.empty(0)


def _calls(variants: Variants, panel: Panel) -> Calls:
    """Calls (b, n) of the panel; as in the tests, men with two alleles on X have no call."""
    calls = panel.source.hard_calls(variants.source_index)
    haploid = np.flatnonzero(variants.haploid_x)
    if haploid.size and panel.males.size:
        block = calls[haploid]
        mask_heterozygotes(panel.males, MISSING, block)
        calls[haploid] = block
    return calls_of(calls, panel.rows)


def genes_within(
    genes: GeneInput | None, windows: Sequence[Window], log: Logbook
) -> list[tuple[Gene, ...]] | None:
    """Return the genes of each window; None without a file, or where it is not there any more."""
    if genes is None:
        return None
    stretches = [Stretch(genes.labels_of(w.chromosome), w.start, w.end) for w in windows]
    try:
        return read_genes(genes.file, stretches)
    except FileAccessError as error:
        log.warn("W470", f"regional plots are drawn without genes: {error}")
        return None

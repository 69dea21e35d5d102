"""Some variants of a study decoded again, by a reader of their own, for the check of its rows."""

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import NumericalError
from lmmgwas.io.plain_bed import read_dosage
from lmmgwas.io.plain_pgen import read_pgen_dosage
from lmmgwas.io.sumstats import marker_ids
from lmmgwas.pipeline.tile_reader import ScanJob

Array = NDArray[np.float64]
Records = NDArray[np.void]

_FREQUENCY = 1e-12


class Reread:
    """Variants `rows` (places among the selected ones, ascending) of a job, decoded again."""

    def __init__(self, job: ScanJob, rows: NDArray[np.int64]) -> None:
        self._job = job
        self._rows = rows
        self.names = _variant_names(job, rows)
        dosages = [_dosage(job, row) for row in rows.tolist()]
        self.n_observed = np.array([int((~np.isnan(x)).sum()) for x in dosages])
        self.af = np.array([self._frequency(x, row) for x, row in zip(dosages, rows, strict=True)])
        centred = np.array([_centred(x) for x in dosages])
        self.residual = without(centred, job.samples.X)  # (k, n) mean-imputed

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where variants stand here."""
        return np.searchsorted(self._rows, rows)

    def _frequency(self, x: Array, row: int) -> float:
        """Of the effect allele; on X a man has one."""
        chromosomes = np.where(np.isnan(x), 0.0, 2.0)
        copies = np.where(np.isnan(x), 0.0, x)
        if self._job.variants.haploid_x[row]:
            males = np.isin(self._job.samples.rows, self._job.samples.males)
            chromosomes[males] /= 2.0
            copies[males] /= 2.0
        return float(copies.sum() / chromosomes.sum())

    def compare_counts(self, trait: str, records: Records) -> None:
        """Raise NumericalError (E904) unless the rows have these calls' numbers."""
        for at, record in zip(self.places(records["row"]), records, strict=True):
            n, af = int(record["n_observed"]), float(record["af"])
            if n == self.n_observed[at] and abs(af - self.af[at]) <= _FREQUENCY:
                continue
            raise NumericalError(
                "E904",
                f"trait {trait}, {self.names[at]}: the scan counted {n} calls and a frequency of "
                f"{af:.8g}; read again, the file has {self.n_observed[at]} and {self.af[at]:.8g}. "
                "Memory, the disk or its cache made an error, or the file was changed during the "
                "run: run `lmmgwas selftest`, check the file, and run again",
            )


def _variant_names(job: ScanJob, rows: NDArray[np.int64]) -> list[str]:
    some = job.variants.take(rows)
    chromosomes = [job.variants.chromosomes[k].name for k in some.chrom.tolist()]
    ids = marker_ids(some)
    return [f"variant {name} (chromosome {c})" for name, c in zip(ids, chromosomes, strict=True)]


def _dosage(job: ScanJob, row: int) -> Array:
    """The analysed samples' copies (n,), NaN where missing or, on a man's X, heterozygous."""
    index = int(job.variants.source_index[row])
    paths, n = job.source.paths(), len(job.source.samples)
    everyone = read_dosage(paths, n, index)
    if everyone is None:  # no .bed
        everyone = read_pgen_dosage(paths, n, index)
    if job.variants.haploid_x[row]:
        males = job.samples.males
        everyone[males[everyone[males] == 1.0]] = np.nan
    return np.asarray(everyone[job.samples.rows])


def _centred(x: Array) -> Array:
    """Missing calls at the mean, the mean at 0."""
    return np.asarray(np.where(np.isnan(x), 0.0, x - np.nanmean(x)))


def without(rows: Array, X: Array) -> Array:
    """Return rows (k, n) minus their projection on X (n, c), twice: rounding's rest goes, too."""
    rows = rows - (rows @ X) @ X.T
    return np.asarray(rows - (rows @ X) @ X.T)

"""PLINK 1 file sets: the .bim and .fam, and the .bed after it was held against them."""

from pathlib import Path

import numpy as np

from lmmgwas.errors import MismatchError
from lmmgwas.io.bed import BedFile
from lmmgwas.io.bed_checks import check_bed
from lmmgwas.io.bim_kernels import parse_plain
from lmmgwas.io.bim_text import MAX_ALLELE_BYTES, bim_remarks, read_the_long_way
from lmmgwas.io.bim_text import MAX_POSITION as MAX_POSITION
from lmmgwas.io.fam import read_fam
from lmmgwas.io.last_line import unfinished
from lmmgwas.io.text import (
    Remarks,
    TextFile,
    access_error,
    is_plink2_text,
    read_text,
    shown,
)
from lmmgwas.io.watched import check_identities, text_identities
from lmmgwas.model.genotypes import Calls, Indices, RawVariants, Samples

Paths = tuple[Path, Path, Path]
"""The .bed, .bim and .fam."""


def read_bim(path: str | Path) -> tuple[RawVariants, Remarks]:
    """Read a .bim file; return its variants and what is to be said about it.

    Notes: CRLF, byte order mark, no cM column, odd cM values, no chromosome. Warnings: unknown
    positions.

    Raises
    ------
    FormatError
        E201 (columns), E202 (blank line), E203 (position), E204 (a .pvar), E205 (several
        alleles in one), E207 (allele too long), and those of `read_text`.
    """
    return parse_bim(read_text(path))


def parse_bim(file: TextFile) -> tuple[RawVariants, Remarks]:
    """Return the variants of the text of a .bim, as `read_bim` does."""
    foreign = is_plink2_text(file.body)
    plain = None if foreign else parse_plain(file.body, MAX_POSITION, MAX_ALLELE_BYTES)
    if plain is None:
        variants, remarks = read_the_long_way(file)
        return variants, remarks + _last_line(file)
    marker, effect, other = plain.strings
    variants = RawVariants(plain.labels, plain.label_code, plain.pos, marker, effect, other)
    remarks = file.remarks + bim_remarks(plain.n_odd_cm, plain.n_unknown, file.path)
    return variants, remarks + _last_line(file)


def _last_line(file: TextFile) -> Remarks:
    """Warn of a .bim that may have been cut in the middle of an allele."""
    last = file.body[file.body.rfind(b"\n") + 1 :]
    allele = shown(last.split()[-1].decode("utf-8")) if last.split() else "nothing"
    warning = unfinished(file, f"allele {allele}")
    return Remarks(warnings=() if warning is None else (warning,))


class BedSource:
    """A PLINK 1 file set as a `GenotypeSource`. Calls count the allele of .bim column 5."""

    has_dosages = False

    def __init__(
        self,
        paths: Paths,
        texts: dict[Path, tuple[int, ...]],
        bed: BedFile,
        samples: Samples,
        variants: RawVariants,
        remarks: Remarks,
    ) -> None:
        self.samples = samples
        self.variants = variants
        self.notes = remarks.notes
        self.warnings = remarks.warnings
        self._paths = paths
        self._bed = bed
        self._texts = texts  # what the .bim and .fam were before they were read

    @classmethod
    def open(cls, bed: str | Path, bim: str | Path, fam: str | Path) -> "BedSource":
        """Read the .bim and .fam and hold the .bed against them.

        Raises
        ------
        FormatError
            E101 (size), E102 (not a .bed), E103 (individual-major), E104 (last byte), E105 (not
            a regular file), and those of `read_bim` and `read_fam`.
        MismatchError
            E107: no variants or no samples.
        FileAccessError
            E106: a file was changed while it was read. E110: a file is missing or cannot be read.
        """
        paths = (Path(bed), Path(bim), Path(fam))
        texts = text_identities(paths)
        samples, fam_remarks = read_fam(paths[2])
        variants, bim_remarks = read_bim(paths[1])
        n, m = len(samples), len(variants)
        for count, what, path in ((n, "samples", paths[2]), (m, "variants", paths[1])):
            if not count:
                message = f"the file holds no {what}: nothing can be analysed"
                raise MismatchError("E107", message, str(path))
        try:
            opened = BedFile(paths[0], n)
            warning = check_bed(opened, paths, samples, m)
        except OSError as error:
            raise access_error(paths[0], error) from error
        remarks = fam_remarks + bim_remarks + Remarks(warnings=(warning,) if warning else ())
        source = cls(paths, texts, opened, samples, variants, remarks)
        source.check_unchanged()
        return source

    def read(self, variant_index: Indices) -> Calls:
        """Return the calls (b, n) of these variants for all samples, C-contiguous.

        Raises FileAccessError (E110) with the variants and the byte offset.
        """
        index = np.ascontiguousarray(variant_index, dtype=np.int64)
        n = len(self.samples)
        if not index.size:
            return np.empty((0, n), dtype=np.int8)
        first, last = int(index.min()), int(index.max())
        if first < 0 or last >= len(self.variants):
            raise IndexError(f"variants {first} to {last} of {len(self.variants)}")
        calls: Calls = self._bed.read(index)
        return calls

    def hard_calls(self, variant_index: Indices) -> Calls:
        """Return what `read` returns."""
        return self.read(variant_index)

    def paths(self) -> Paths:
        """Return the .bed, .bim and .fam files."""
        return self._paths

    def check_unchanged(self) -> None:
        """Refuse (E106) files that are not those that were opened: another size, time or inode.

        Four questions to the file system, no reading.
        """
        self._bed.check_unchanged()
        check_identities(self._texts)

"""PLINK 2 file sets: the .pvar and .psam, and the .pgen after it was held against them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lmmgwas.errors import FormatError, MismatchError
from lmmgwas.io.pgen import PgenFile
from lmmgwas.io.pgen_header import PgenHeader
from lmmgwas.io.psam import read_psam
from lmmgwas.io.pvar import Pvar, find_pvar, read_pvar
from lmmgwas.io.text import Remarks, access_error, shown
from lmmgwas.io.watched import check_identities, text_identities
from lmmgwas.model.genotypes import Block, Calls, Indices, RawVariants, Samples

Paths = tuple[Path, Path, Path]
"""The .pgen, .pvar and .psam."""

_SHOWN = 3


class PgenSource:
    """A PLINK 2 file set as a `GenotypeSource`. Calls and dosages count the ALT allele."""

    def __init__(
        self,
        paths: Paths,
        texts: dict[Path, tuple[int, ...]],
        pgen: PgenFile,
        samples: Samples,
        variants: RawVariants,
        remarks: Remarks,
    ) -> None:
        self.samples = samples
        self.variants = variants
        self.notes = remarks.notes
        self.warnings = remarks.warnings
        self._paths = paths
        self._pgen = pgen
        self._texts = texts  # what the .pvar and .psam were before they were read
        self.has_dosages = pgen.header.has_dosages

    @classmethod
    def open(cls, pgen: str | Path, pvar: str | Path, psam: str | Path) -> "PgenSource":
        """Read the .pvar (or the .pvar.zst beside it) and .psam and hold the .pgen against them.

        Raises
        ------
        UsageError
            E148: pgenlib is not installed.
        FormatError
            E140 (not a .pgen), E141 (size), E142 (storage mode), E144 (several ALT alleles), E145
            (damaged), E105 (not a regular file), and those of `read_pvar` and
            `read_psam`.
        MismatchError
            E107 (no variants or no samples), E147 (another number of them than the .pgen has).
        FileAccessError
            E106: a file was changed while it was read. E110: a file is missing or cannot be read.
        """
        paths = (Path(pgen), find_pvar(Path(pvar)), Path(psam))
        texts = text_identities(paths)
        try:
            opened = PgenFile(paths[0])
        except OSError as error:
            raise access_error(paths[0], error) from error
        header = opened.header
        samples, remarks = read_psam(paths[2])
        found = read_pvar(paths[1], wants_provisional=header.provisional is None)
        _require_counts(header, samples, found.variants, paths)
        _refuse_multiallelic(header, found.variants, paths)
        remarks += found.remarks
        source = cls(paths, texts, opened, samples, _with_reference(header, found), remarks)
        source.read(np.zeros(1, dtype=np.int64))  # what pgenlib refuses shows before the work
        source.check_unchanged()
        return source

    def read(self, variant_index: Indices) -> Block:
        """Return the calls, or dosages, (b, n) of these variants for all samples, C-contiguous.

        Raises FileAccessError (E110) or FormatError (E145, E146) with the variants.
        """
        if self.has_dosages:
            return self._pgen.dosages(self._within(variant_index))
        return self.hard_calls(variant_index)

    def hard_calls(self, variant_index: Indices) -> Calls:
        """Return the calls (b, n) of these variants for all samples, C-contiguous.

        Raises FileAccessError (E110) or FormatError (E145) with the variants.
        """
        return self._pgen.calls(self._within(variant_index))

    def _within(self, variant_index: Indices) -> Indices:
        """The same indices; refuse those that the file does not have."""
        index = np.ascontiguousarray(variant_index, dtype=np.int64)
        if index.size and (int(index.min()) < 0 or int(index.max()) >= len(self.variants)):
            raise IndexError(f"variants {index.min()} to {index.max()} of {len(self.variants)}")
        return index

    def paths(self) -> Paths:
        """Return the .pgen, .pvar and .psam files."""
        return self._paths

    def check_unchanged(self) -> None:
        """Refuse (E106) files that are not those that were opened: another size, time or inode."""
        self._pgen.check_unchanged()
        check_identities(self._texts)


def _require_counts(
    header: PgenHeader, samples: Samples, variants: RawVariants, paths: Paths
) -> None:
    """Refuse text files that have another number of samples or variants than the .pgen."""
    for have, told, what, path in (
        (len(samples), header.n_samples, "samples", paths[2]),
        (len(variants), header.n_variants, "variants", paths[1]),
    ):
        if not have:
            message = f"the file holds no {what}: nothing can be analysed"
            raise MismatchError("E107", message, str(path))
        if have != told:
            moved = "people" if what == "samples" else "variants"
            raise MismatchError(
                "E147",
                f"{have} {what}, and {paths[0].name} has {told}: genotypes would go to the wrong "
                f"{moved}; restore the three files from one and the same set",
                str(path),
            )


def _refuse_multiallelic(header: PgenHeader, variants: RawVariants, paths: Paths) -> None:
    """Refuse calls of more alleles than the .pvar names."""
    rows = header.multiallelic
    if not rows.size:
        return
    some = variants.marker_id.take(rows[:_SHOWN]).to_pylist()
    named = ", ".join(map(shown, some)) + (", ..." if rows.size > _SHOWN else "")
    raise FormatError(
        "E144",
        f"{rows.size} variants have calls of a second ALT allele, which {paths[1].name} does not "
        f"name ({named}; first on its line {variants.first_line + int(rows[0])}): is it of another "
        "file set? Split such variants with plink2 --make-pgen multiallelics=-",
        str(paths[0]),
    )


def _with_reference(header: PgenHeader, found: Pvar) -> RawVariants:
    """The variants, with what is known of REF: in the .pgen, or else in the .pvar."""
    provisional = found.provisional if header.provisional is None else header.provisional
    if provisional is None or provisional.all():
        return found.variants
    return replace(found.variants, other_is_reference=~provisional)

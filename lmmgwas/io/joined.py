"""One file set per chromosome, read as one: `--bfile study.chr@`, `--pfile study.chr@`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError, MismatchError
from lmmgwas.io.pfile import PgenSource
from lmmgwas.io.plink import BedSource
from lmmgwas.model.blocks import as_dosages
from lmmgwas.model.genotypes import Block, Calls, Indices, RawVariants, Samples

PLACEHOLDER = "@"


def find_labels(path: Path) -> list[str]:
    """Return what stands for the `@` of a .bed or .pgen path in the files that are there, in order.

    Raises FileAccessError when no file fits.
    """
    before, _, after = path.name.partition(PLACEHOLDER)
    names = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
    labels = [
        name[len(before) : len(name) - len(after)]
        for name in names
        if name.startswith(before) and name.endswith(after) and len(name) > len(path.name) - 1
    ]
    if not labels:
        raise FileAccessError(
            "E110",
            f"no file in {path.parent} fits {path.name} with a chromosome in place of the @",
        )
    return sorted(labels, key=lambda label: (not label.isdigit(), label.zfill(9), label))


class JoinedSource:
    """Several file sets of the same samples, their variants one after another."""

    def __init__(self, sources: Sequence[BedSource | PgenSource]) -> None:
        self._sources = list(sources)
        self._starts = np.cumsum([0, *(len(source.variants) for source in sources)])
        self.samples: Samples = sources[0].samples
        self.variants = _join_variants([source.variants for source in sources])
        self.has_dosages = any(source.has_dosages for source in sources)
        self.notes = tuple(note for source in sources for note in source.notes)
        self.warnings = tuple(warning for source in sources for warning in source.warnings)
        for source in sources[1:]:
            _require_same_samples(sources[0], source)

    def read(self, variant_index: Indices) -> Block:
        """Return the calls (b, n) of these variants; dosages if any of the sets has some."""
        if not self.has_dosages:
            return self.hard_calls(variant_index)
        dosages = np.empty((variant_index.size, len(self.samples)), dtype=np.uint16)
        for source, rows, index in self._parts(variant_index):
            dosages[rows] = as_dosages(source.read(index))
        return dosages

    def hard_calls(self, variant_index: Indices) -> Calls:
        """Return the calls (b, n) of these variants, variant-major."""
        calls = np.empty((variant_index.size, len(self.samples)), dtype=np.int8)
        for source, rows, index in self._parts(variant_index):
            calls[rows] = source.hard_calls(index)
        return calls

    def _parts(
        self, variant_index: Indices
    ) -> Iterator[tuple[BedSource | PgenSource, NDArray[np.bool_], Indices]]:
        """Each set that is asked for, which rows come from it, and what they are there."""
        which = np.searchsorted(self._starts, variant_index, side="right") - 1
        for k in np.unique(which).tolist():
            rows = which == k
            yield self._sources[k], rows, variant_index[rows] - self._starts[k]

    def paths(self) -> list[Path]:
        """The files that the source rests on."""
        return [path for source in self._sources for path in source.paths()]

    def check_unchanged(self) -> None:
        """Refuse (E106) files that were changed or replaced since they were opened."""
        for source in self._sources:
            source.check_unchanged()


def _join_variants(parts: list[RawVariants]) -> RawVariants:
    """Concatenate, the chromosome labels made one list."""
    labels = tuple(dict.fromkeys(label for part in parts for label in part.labels))
    place = {label: k for k, label in enumerate(labels)}
    codes = [
        np.array([place[label] for label in part.labels], dtype=np.int32)[part.label_code]
        for part in parts
    ]

    def join(name: str) -> object:
        chunks = [getattr(part, name) for part in parts]
        return pa.chunked_array(chunks).combine_chunks()

    return RawVariants(
        labels,
        np.concatenate(codes),
        np.concatenate([part.pos for part in parts]),
        join("marker_id"),
        join("effect_allele"),
        join("other_allele"),
        _join_reference(parts),
    )


def _join_reference(parts: list[RawVariants]) -> NDArray[np.bool_] | None:
    """Of which variants the reference allele is known."""
    if all(part.other_is_reference is None for part in parts):
        return None
    return np.concatenate(
        [
            np.zeros(len(part), dtype=np.bool_)
            if part.other_is_reference is None
            else part.other_is_reference
            for part in parts
        ]
    )


def _require_same_samples(first: BedSource | PgenSource, other: BedSource | PgenSource) -> None:
    """All .fam or .psam files must list the same samples in the same order."""
    a, b = first.samples, other.samples
    same = a.fid == b.fid and a.iid == b.iid and bool((a.sex == b.sex).all())
    if not same:
        raise MismatchError(
            "E310",
            f"{other.paths()[2]} does not list the same samples in the same order as "
            f"{first.paths()[2]}: genotypes would go to the wrong person; bring the file sets "
            "to the same samples first",
        )

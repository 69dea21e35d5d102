"""GRM sets on disk: GCTA's triangles, one part per chromosome, and a manifest that binds them.

PREFIX.grm.bin            mean over all variants, float32, lower triangle row by row
PREFIX.grm.N.bin          variants seen by each pair, same layout
PREFIX.grm.id             FID<tab>IID
PREFIX.chrLABEL.grm.bin   mean over one group's variants
PREFIX.grm.json           groups, counts, model, filters, digests of samples and variants
PREFIX.chrLABEL.eigen.npy the decomposition without that group (`grm --eigen`): row 0 holds
                          the eigenvalues, the rows after it the eigenvectors in columns
PREFIX.eigenvec           principal components (`grm --pca`): #FID IID PC1 ..., tab-separated
PREFIX.eigenval           their eigenvalues, one a line
"""

import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError, FormatError, MismatchError
from lmmgwas.io.grm_ids import read_grm_ids
from lmmgwas.io.text import read_text
from lmmgwas.io.writing import write_error
from lmmgwas.model.grm import Grm, PackedPart
from lmmgwas.model.spectrum import SpectralDecomposition

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class GrmPaths:
    """The names of a GRM set's files; of a matrix in another format, `source` and `names`."""

    prefix: Path
    source: Path | None = None  # where the whole matrix was read from
    names: Path | None = None  # where its samples were

    def _with(self, suffix: str) -> Path:
        return self.prefix.with_name(self.prefix.name + suffix)

    @property
    def manifest(self) -> Path:
        """PREFIX.grm.json."""
        return self._with(".grm.json")

    @property
    def ids(self) -> Path:
        """PREFIX.grm.id."""
        return self.names or self._with(".grm.id")

    def values(self, group: str | None) -> Path:
        """The triangle of the whole set (None) or of one group."""
        if group is None and self.source is not None:
            return self.source
        return self._with(".grm.bin" if group is None else f".chr{safe_label(group)}.grm.bin")

    def counts(self, group: str | None) -> Path:
        """The counts of variants seen jointly."""
        return self._with(".grm.N.bin" if group is None else f".chr{safe_label(group)}.grm.N.bin")

    def eigen(self, group: str | None) -> Path:
        """The kept decomposition without `group` (None: with all)."""
        return self._with(".eigen.npy" if group is None else f".chr{safe_label(group)}.eigen.npy")

    def existing(self) -> list[Path]:
        """Return the files of the set that are there: matrices, counts, IDs, manifest."""
        start, ends = f"{self.prefix.name}.", (".bin", ".id", ".json")
        return sorted(
            path
            for path in self.prefix.parent.iterdir()
            if path.name.startswith(start) and ".grm" in path.name and path.name.endswith(ends)
        )

    @property
    def eigenvec(self) -> Path:
        """The principal components, a table of covariates."""
        return self._with(".eigenvec")

    @property
    def eigenval(self) -> Path:
        """The eigenvalues of the principal components."""
        return self._with(".eigenval")


def safe_label(label: str) -> str:
    """Return a label as part of a file name: letters, digits, dot, dash, underscore only."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in label)
    # HLA*01 and HLA:01 must not share a file: what was altered gets a checksum.
    return safe if safe == label else f"{safe}-{zlib.crc32(label.encode()):08x}"


def write_triangle(path: Path, rows: Iterable[NDArray[np.float32]]) -> None:
    """Write rows 0..i of a lower triangle, little-endian float32."""
    try:
        with path.open("wb") as stream:
            for row in rows:
                stream.write(np.ascontiguousarray(row, dtype="<f4").data)
    except OSError as error:
        raise write_error(path, error, "E705") from error


def open_grm(prefix: Path) -> tuple[Grm, dict[str, Any] | None]:
    """Open a GRM set, or a plain GCTA GRM, without reading its matrices (they are mapped).

    Returns the set and its manifest (None for a plain GRM). Raises FormatError when sizes do
    not fit, FileAccessError when a file is missing.
    """
    paths = GrmPaths(prefix)
    fid, iid = read_grm_ids(paths.ids)
    n = len(iid)
    if not paths.manifest.exists():
        counts = map_triangle(paths.counts(None), n) if paths.counts(None).exists() else None
        constant = counts is not None and counts.size > 0 and bool((counts == counts[0]).all())
        n_variants = int(counts[0]) if counts is not None and constant else 0
        return Grm(fid, iid, PackedPart(map_triangle(paths.values(None), n), n_variants), {}), None
    manifest = _read_manifest(paths.manifest)
    if manifest["samples"]["n"] != n:
        raise MismatchError(
            "E806",
            f"{paths.manifest} has {manifest['samples']['n']} samples, {paths.ids} lists {n}: "
            "the files are not of one set; build the GRM again",
        )
    pairwise = manifest["missing"] == "pairwise"

    def part(group: str | None, n_variants: int) -> PackedPart:
        counts = map_triangle(paths.counts(group), n) if pairwise else None
        return PackedPart(map_triangle(paths.values(group), n), n_variants, counts)

    sizes = {g["name"]: g["n_variants"] for g in manifest["groups"]}
    for group, n_variants in sizes.items():
        part(group, n_variants)  # that it is there, and of the right size, is to be known now
    return Grm(fid, iid, part(None, manifest["n_variants"]), _Parts(sizes, part)), manifest


class _Parts(Mapping[str, PackedPart]):
    """The parts of a set, each mapped when it is asked for.

    A mapped file stays open; thousands of contigs, or 22 chromosomes under a low limit of open
    files, would not go together with the other files of a run.
    """

    def __init__(self, sizes: dict[str, int], part: Callable[[str, int], PackedPart]) -> None:
        self._sizes = sizes
        self._part = part

    def __getitem__(self, group: str) -> PackedPart:
        return self._part(group, self._sizes[group])

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)


def map_triangle(path: Path, n: int) -> NDArray[np.float32]:
    """Map a triangle (n (n + 1) / 2,) of n samples after checking its size.

    Raises FormatError (E707) for another size, FileAccessError (E110).
    """
    expected = 4 * (n * (n + 1) // 2)
    try:
        size = path.stat().st_size
        if size != expected:
            raise FormatError(
                "E707",
                f"has {size} bytes, expected {expected} = 4 n (n+1)/2 for the {n} samples of the "
                f".grm.id: {_likely_layout(size, n)}",
                str(path),
            )
        return np.memmap(path, dtype="<f4", mode="r", shape=(n * (n + 1) // 2,))
    except OSError as error:
        raise FileAccessError("E110", f"cannot read {path}: {error.strerror}") from error


def _likely_layout(size: int, n: int) -> str:
    """What a file of another size may be."""
    square, triangle = n * n, n * (n + 1) // 2
    layouts = {
        4 * square: "it has the size of the whole square matrix; give the lower triangle with the "
        "diagonal, row by row",
        8 * square: "it has the size of the whole square matrix in float64; give the lower "
        "triangle with the diagonal, row by row, in float32",
        8 * triangle: "it has the size of a triangle in float64; give float32",
    }
    rows = (math.isqrt(8 * (size // 4) + 1) - 1) // 2
    if size not in layouts and size == 4 * (rows * (rows + 1) // 2):
        or_else = ", or of a triangle without its diagonal" if rows == n - 1 else ""
        return f"it has the size for {rows} samples{or_else}: is the .grm.id of another GRM?"
    return layouts.get(size, "a truncated copy, or an .id file of another GRM?")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(read_text(path).body)
        known = manifest["format_version"] == FORMAT_VERSION
        counts = [manifest["samples"]["n"], manifest["n_variants"]]
        counts += [g["n_variants"] for g in manifest["groups"]]
        names = [manifest["missing"], *(g["name"] for g in manifest["groups"])]
        sound = all(type(k) is int and k >= 0 for k in counts)
        if not (sound and all(isinstance(name, str) for name in names)):
            raise TypeError("counts are whole numbers, names are text")
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError("E708", "is not a manifest of `lmmgwas grm`", str(path)) from error
    if not known:
        raise FormatError("E708", "was written by another version: build the GRM again", str(path))
    return dict(manifest)


def write_eigen(path: Path, decomposition: SpectralDecomposition) -> None:
    """Keep a decomposition: one array of n + 1 rows."""
    stacked = np.vstack([decomposition.S[None, :], decomposition.U])
    try:
        with path.open("wb") as stream:
            np.save(stream, stacked, allow_pickle=False)
    except OSError as error:
        raise write_error(path, error, "E705") from error


def read_eigen(path: Path, n: int, grm_scale: float) -> SpectralDecomposition | None:
    """Return the kept decomposition, None where there is none of n samples."""
    if not path.exists():
        return None
    try:
        stacked = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FormatError("E709", "cannot be read as a kept decomposition", str(path)) from error
    if stacked.shape != (n + 1, n) or stacked.dtype != np.float64:
        return None
    return SpectralDecomposition(stacked[0].copy(), stacked[1:], grm_scale)

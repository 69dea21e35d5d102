"""The finished LOCO groups of an analysis, one shard each: what the tables are made of.

A group's shard holds the pieces of all traits in the order of the tiles, and is closed by the
group's null models. The tables are put together from shards whether the run was interrupted
or not, so a resumed run has no path of its own.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.io.shards import DamagedShardError, Shard, ShardWriter
from lmmgwas.io.sumstats import PackedRows
from lmmgwas.io.tabix import Windows
from lmmgwas.model.chromosomes import Chromosome
from lmmgwas.model.genotypes import REASONS
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.numerics.optimise import Status
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.trait_rows import TilePiece

_TRAIT, _TESTED, _EXCLUDED, _PERFECT, _REASONS = 0, 1, 2, 3, slice(4, 4 + len(REASONS))
_N_PARTS = 5  # rows, lengths of their blocks, windows, excluded, records


@dataclass(frozen=True, slots=True)
class CalibrationNote:
    """How one trait of a group was scanned in a calibrated run."""

    reason: str  # why exactly; empty where it was calibrated
    n_eigenvectors: int
    errors: tuple[float, ...]  # of chi-square on held-out variants


@dataclass(frozen=True, slots=True)
class GroupEnd:
    """What is known of a group besides its rows."""

    group: str
    n_grm: int | None  # variants in its GRM
    nulls: tuple[NullModel, ...]  # by trait; empty where nothing was tested
    kind: WhitenerKind | None
    calibrations: tuple[CalibrationNote, ...]  # by trait; empty in an exact scan
    n_heterozygotes: int  # males on X, set missing

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON's values; floats survive exactly."""
        return asdict(self)

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> "GroupEnd":
        """Return what `as_json` wrote."""
        return cls(
            found["group"],
            found["n_grm"],
            tuple(_null_of(null) for null in found["nulls"]),
            None if found["kind"] is None else WhitenerKind(found["kind"]),
            tuple(
                CalibrationNote(c["reason"], c["n_eigenvectors"], tuple(c["errors"]))
                for c in found["calibrations"]
            ),
            found["n_heterozygotes"],
        )


def _null_of(found: dict[str, Any]) -> NullModel:
    return NullModel(**{**found, "status": Status(found["status"])})


class GroupWriter:
    """The shard of a group that is being scanned."""

    def __init__(self, writer: ShardWriter) -> None:
        self._writer = writer

    def add(self, pieces: tuple[TilePiece, ...]) -> None:
        """Append a tile: a piece for each trait."""
        for trait, piece in enumerate(pieces):
            numbers = [trait, piece.rows.n_rows, piece.excluded.n_rows, piece.n_perfect]
            self._writer.add([*numbers, *piece.reasons.tolist()], _parts(piece))

    def commit(self, end: GroupEnd) -> None:
        """Make the group count as finished."""
        self._writer.commit(end.as_json())

    def close(self) -> None:
        """Let go of a group that was not finished."""
        self._writer.close()


def _parts(piece: TilePiece) -> list[bytes]:
    windows = piece.rows.windows
    lengths = np.array([len(block) for block in piece.rows.blocks], dtype="<i8")
    table = (
        np.empty((4, 0), dtype="<i8")
        if windows is None
        else np.stack([windows.chrom, windows.window, windows.start, windows.n_rows]).astype("<i8")
    )
    return [
        b"".join(piece.rows.blocks),
        lengths.tobytes(),
        table.tobytes(),
        b"".join(piece.excluded.blocks),
        piece.records,
    ]


class GroupShard:
    """A finished group."""

    def __init__(self, shard: Shard, chromosomes: tuple[Chromosome, ...]) -> None:
        self._shard = shard
        self._chromosomes = chromosomes
        self.end = GroupEnd.of_json(shard.closing)

    def pieces(self, trait: int) -> Iterator[TilePiece]:
        """Yield the pieces of a trait (its place in the analysis), in order."""
        if not self._shard.index.size:
            return
        for row in np.flatnonzero(self._shard.index[:, _TRAIT] == trait):
            (parts,) = self._shard.parts(np.array([row]), _N_PARTS)
            yield self._piece(self._shard.index[row], parts)

    def _piece(self, numbers: NDArray[np.int64], parts: list[bytes]) -> TilePiece:
        rows, lengths, table, excluded, records = parts
        ends = np.cumsum(np.frombuffer(lengths, dtype="<i8")).tolist()
        blocks = tuple(rows[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=False))
        windows = np.frombuffer(table, dtype="<i8").reshape(4, -1)
        packed = PackedRows(
            blocks, int(numbers[_TESTED]), self._chromosomes, Windows(*windows.astype(np.int64))
        )
        left_out = PackedRows((excluded,) if excluded else (), int(numbers[_EXCLUDED]))
        return TilePiece(
            packed, left_out, records, numbers[_REASONS].copy(), int(numbers[_PERFECT])
        )


class AnalysisShards:
    """The shards of one analysis: its whole-genome fit, and each group by its place."""

    def __init__(
        self, folder: Path, number: int, key: str, chromosomes: tuple[Chromosome, ...]
    ) -> None:
        self._folder = folder
        self._number = number
        self._key = key
        self._chromosomes = chromosomes
        self._sound: set[Path] = set()  # verified, or written by this run

    def whole(self) -> tuple[NullModel, ...] | None:
        """Return the whole-genome null models by trait, where they are finished."""
        path = self._path("whole")
        if not self._is_sound(path):
            return None
        closing = Shard.open(path, self._key, verify=False).closing
        return tuple(_null_of(null) for null in closing["nulls"])

    def keep_whole(self, nulls: tuple[NullModel, ...]) -> None:
        """Commit the whole-genome null models."""
        path = self._path("whole")
        writer = ShardWriter(path, self._key)
        with contextlib.closing(writer):
            writer.commit({"nulls": [asdict(null) for null in nulls]})
        self._sound.add(path)

    def has(self, place: int) -> bool:
        """Whether a group is finished."""
        return self._is_sound(self._path(f"{place:05d}"))

    def begin(self, place: int) -> GroupWriter:
        """Begin a group's shard."""
        path = self._path(f"{place:05d}")
        self._sound.add(path)  # once it has its name
        return GroupWriter(ShardWriter(path, self._key))

    def group(self, place: int) -> GroupShard:
        """Return a finished group."""
        path = self._path(f"{place:05d}")
        return GroupShard(Shard.open(path, self._key, verify=False), self._chromosomes)

    def review(self, n_groups: int, log: Logbook) -> int:
        """Verify what is there, remove what is damaged; return how many groups are finished."""
        for path in sorted(self._folder.glob(f"{self._number:04d}.*.shard")):
            try:
                Shard.open(path, self._key)
            except (DamagedShardError, OSError, ValueError, KeyError) as error:
                log.warn("W117", f"{path} is computed again: {error}")
                path.unlink(missing_ok=True)
            else:
                self._sound.add(path)
        return sum(self.has(place) for place in range(n_groups))

    def _is_sound(self, path: Path) -> bool:
        return path in self._sound and path.exists()

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._number:04d}.{name}.shard"

"""The finished stretches of an analysis, one shard each: what the tables are made of.

A stretch is a LOCO group, or some of its tiles. Its shard holds the pieces of all traits in the
order of the tiles, and is closed by the group's null models. The tables are put together from
shards whether the run was interrupted or not, divided or not, so that neither has a path of its
own.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError
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


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """Variants first <= k < last of a group, whole tiles of its grid."""

    place: int  # of the group, in output order
    first: int
    last: int


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
    """The shard of a stretch that is being scanned."""

    def __init__(self, writer: ShardWriter, committed: Callable[[], None]) -> None:
        self._writer = writer
        self._committed = committed

    def add(self, pieces: tuple[TilePiece, ...]) -> None:
        """Append a tile: a piece for each trait."""
        for trait, piece in enumerate(pieces):
            numbers = [trait, piece.rows.n_rows, piece.excluded.n_rows, piece.n_perfect]
            self._writer.add([*numbers, *piece.reasons.tolist()], _parts(piece))

    def commit(self, end: GroupEnd) -> None:
        """Make the stretch count as finished."""
        self._writer.commit(end.as_json())
        self._committed()

    def close(self) -> None:
        """Let go of a stretch that was not finished."""
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
    """A finished group: its stretches, in order."""

    def __init__(self, shards: Sequence[Shard], chromosomes: tuple[Chromosome, ...]) -> None:
        self._shards = tuple(shards)
        self._chromosomes = chromosomes
        ends = [GroupEnd.of_json(shard.closing) for shard in shards]
        together = sum(end.n_heterozygotes for end in ends)
        self.end = replace(ends[0], n_heterozygotes=together)

    def pieces(self, trait: int) -> Iterator[TilePiece]:
        """Yield the pieces of a trait (its place in the analysis), in order."""
        for shard in self._shards:
            if not shard.index.size:
                continue
            for row in np.flatnonzero(shard.index[:, _TRAIT] == trait):
                (parts,) = shard.parts(np.array([row]), _N_PARTS)
                yield self._piece(shard.index[row], parts)

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


@dataclass(frozen=True, slots=True, eq=False)
class WholeEnd:
    """What is known of the whole genome: the null models by trait, the size of the GRM."""

    nulls: tuple[NullModel, ...]
    n_grm: int | None


class AnalysisShards:
    """The shards of one analysis: its whole-genome fit, and stretches of each group."""

    def __init__(
        self, folders: Sequence[Path], number: int, key: str, chromosomes: tuple[Chromosome, ...]
    ) -> None:
        self._folders = tuple(folders)  # the first one is written to
        self._number = number
        self._key = key
        self._chromosomes = chromosomes
        self._whole: Path | None = None  # verified, or written by this run
        self._sound: dict[int, dict[Stretch, Path]] = {}  # by place; likewise

    def whole(self) -> WholeEnd | None:
        """Return the whole-genome null models, where they are finished."""
        if self._whole is None:
            return None
        closing = Shard.open(self._whole, self._key, verify=False).closing
        return WholeEnd(tuple(_null_of(null) for null in closing["nulls"]), closing["n_grm"])

    def keep_whole(self, whole: WholeEnd) -> None:
        """Commit the whole-genome null models."""
        path = self._folders[0] / f"{self._number:04d}.whole.shard"
        writer = ShardWriter(path, self._key)
        with contextlib.closing(writer):
            nulls = [asdict(null) for null in whole.nulls]
            writer.commit({"nulls": nulls, "n_grm": whole.n_grm})
        self._whole = path

    def look_for_whole(self) -> None:
        """Take the whole-genome null models that another process finished since."""
        path = self._folders[0] / f"{self._number:04d}.whole.shard"
        if self._whole is None and path.exists():
            Shard.open(path, self._key)
            self._whole = path

    def take(self, stretch: Stretch) -> None:
        """Count a stretch that another process finished, after a look at all of it.

        Raises DamagedShardError.
        """
        Shard.open(self.path(stretch), self._key)
        self._add(stretch, self.path(stretch))

    def gaps(self, wanted: Stretch) -> list[Stretch]:
        """Return what of a stretch is not finished."""
        gaps, at = [], wanted.first
        for stretch in self._chain(wanted):
            if stretch.first > at:
                gaps.append(Stretch(wanted.place, at, stretch.first))
            at = stretch.last
        return gaps + ([Stretch(wanted.place, at, wanted.last)] if at < wanted.last else [])

    def begin(self, stretch: Stretch) -> GroupWriter:
        """Begin a stretch's shard."""
        path = self.path(stretch)
        return GroupWriter(ShardWriter(path, self._key), lambda: self._add(stretch, path))

    def path(self, stretch: Stretch) -> Path:
        """Return the shard of a stretch that this run writes."""
        name = f"{self._number:04d}.{stretch.place:05d}.{stretch.first:09d}-{stretch.last:09d}"
        return self._folders[0] / f"{name}.shard"

    def group(self, place: int, n_variants: int) -> GroupShard:
        """Return a group without gaps."""
        chain = self._chain(Stretch(place, 0, n_variants))
        paths = [self._sound[place][stretch] for stretch in chain]
        return GroupShard([self._open(path) for path in paths], self._chromosomes)

    def _open(self, path: Path) -> Shard:
        """A shard that was sound. Raises FileAccessError (E122) where it is not any more."""
        try:
            return Shard.open(path, self._key, verify=False)
        except (DamagedShardError, OSError, ValueError, KeyError) as error:
            raise FileAccessError("E122", f"{path} was changed meanwhile ({error})") from error

    def review(self, log: Logbook) -> None:
        """Verify what is there, and remove what is damaged of what this run may write to.

        Raises FileAccessError (E122) for a damaged shard of a part.
        """
        for folder in self._folders:
            for path in sorted(folder.glob(f"{self._number:04d}.*.shard")):
                try:
                    Shard.open(path, self._key)
                    self._take(path)
                except (DamagedShardError, OSError, ValueError, KeyError) as error:
                    if folder != self._folders[0]:
                        raise FileAccessError(
                            "E122",
                            f"{path} is damaged ({error}): run its part again with --overwrite",
                        ) from error
                    log.warn("W117", f"{path} is computed again: {error}")
                    path.unlink(missing_ok=True)

    def _take(self, path: Path) -> None:
        """Count a sound shard, by what its name says it is."""
        what = path.name.split(".")[1:-1]
        if what == ["whole"]:
            self._whole = path
            return
        first, last = what[1].split("-")
        self._add(Stretch(int(what[0]), int(first), int(last)), path)

    def _add(self, stretch: Stretch, path: Path) -> None:
        self._sound.setdefault(stretch.place, {})[stretch] = path

    def _chain(self, wanted: Stretch) -> list[Stretch]:
        """Finished stretches within another one, none over the other, in order."""
        chain: list[Stretch] = []
        at = wanted.first
        known = self._sound.get(wanted.place, {})
        for stretch in sorted(known, key=lambda s: (s.first, -s.last)):
            if stretch.first >= at and stretch.last <= wanted.last and known[stretch].exists():
                chain.append(stretch)
                at = stretch.last
        return chain

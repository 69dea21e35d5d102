"""Null models on disk, whitening and all, so that other processes scan with them.

`assoc --save-nulls` and the tasks of a cluster write them, once for each LOCO group; whoever
scans maps the matrices. Each file carries the key of its study.
"""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError, MismatchError
from lmmgwas.io.shards import DamagedShardError, ForeignShardError, Shard, ShardWriter
from lmmgwas.io.text import access_error
from lmmgwas.model.fitting import FittedGroup
from lmmgwas.model.packing import pack, unpack

GENOME = "genome"
"""The name of the fit of the whole genome; the others are known by the number of their batch."""


class KeptFits:
    """The fits of one analysis, in a folder that processes may share.

    Those that are not there are looked for in `given`, where a user keeps some; nothing is
    written into it.
    """

    def __init__(
        self,
        folder: Path,
        analysis: int,
        key: str,
        *,
        make: bool = False,
        given: Path | None = None,
    ) -> None:
        self._folder = folder
        self._given = given
        self._analysis = analysis
        self._key = key
        if not make:
            return
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise FileAccessError(
                "E111", f"cannot make the folder {folder}: {error.strerror}"
            ) from error

    def path(self, name: str | int) -> Path:
        """Return the file of a fit."""
        what = name if isinstance(name, str) else f"{name:05d}"
        own = self._folder / f"{self._analysis:04d}.{what}.null"
        if self._given is not None and not own.exists():
            given = self._given / own.name
            return given if given.exists() else own
        return own

    def has(self, name: str | int) -> bool:
        """Whether a fit of this study is there."""
        try:
            Shard.open(self.path(name), self._key, verify=False)
        except (DamagedShardError, OSError, ValueError, KeyError):
            return False
        return True

    def drop_others(self) -> None:
        """Remove fits of this analysis that are not of this study."""
        for path in self._folder.glob(f"{self._analysis:04d}.*.null"):
            if not self.has(path.name.split(".")[1]):
                path.unlink(missing_ok=True)

    def keep(self, name: str | int, fitted: FittedGroup) -> None:
        """Write a fit; it has its name once it is whole. Raises FileAccessError."""
        content, arrays = pack(fitted)
        writer = ShardWriter(self.path(name), self._key)
        with contextlib.closing(writer):
            for array in arrays:
                writer.add_array(array.T if _by_columns(array) else array)
            kinds = [[a.dtype.str, list(a.shape), _by_columns(a)] for a in arrays]
            writer.commit({"fit": content, "arrays": kinds})

    def find(self, name: str | int) -> FittedGroup | None:
        """Return a fit, its matrices mapped; None where there is none.

        Raises MismatchError (E116) for one of another study, FileAccessError (E122) for a
        damaged one.
        """
        path = self.path(name)
        if not path.exists():
            return None
        try:
            shard = Shard.open(path, self._key)
            kinds = shard.closing["arrays"]
            arrays = [
                shard.mapped(k, np.dtype(dtype), tuple(shape[::-1])).T
                if by_columns
                else shard.mapped(k, np.dtype(dtype), tuple(shape))
                for k, (dtype, shape, by_columns) in enumerate(kinds)
            ]
            return unpack(shard.closing["fit"], arrays)
        except OSError as error:
            raise access_error(path, error) from error
        except ForeignShardError as error:
            raise MismatchError(
                "E116",
                f"{path} holds null models of another study (other inputs, options, versions or "
                "threads): give the same ones, or save null models for this study",
            ) from error
        except (DamagedShardError, ValueError, KeyError, TypeError, IndexError) as error:
            raise _damaged(path, error) from error


def _by_columns(array: NDArray[Any]) -> bool:
    """Whether an array lies in memory by columns: products take another way then."""
    return bool(array.flags.f_contiguous and not array.flags.c_contiguous)


def _damaged(path: Path, error: Exception) -> FileAccessError:
    return FileAccessError("E122", f"{path} is damaged ({error}): remove it, and save it again")

"""The calls and dosages of a .pgen, read by pgenlib (extra `[pgen]`): opened, watched, and read.

A reader of pgenlib has buffers of its own, which two threads must not share, so that each thread
has one to itself; it lets go of the GIL while it reads. It opens the file by name, so the name is
held against the descriptor that is kept here before and after.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Condition
from typing import Any

import numpy as np

from lmmgwas.errors import FileAccessError, FormatError, LmmgwasError, UsageError
from lmmgwas.io.pgen_header import PgenHeader, read_pgen_header
from lmmgwas.io.watched import WatchedFile
from lmmgwas.model.genotypes import MISSING, Calls, Dosages, Indices
from lmmgwas.numerics.dosage_kernels import encode_dosages
from lmmgwas.numerics.kernels import replace_call

MOST_READERS = 4
"""More would wait for the memory bus."""

_INDEX_BYTES = 9  # of a variant, that each reader keeps
_MOST_INDEX_BYTES = 1 << 27

_NO_CALL = -9  # of pgenlib
_COPIES_AT_ONCE = 1 << 22
_READ_FAILED = 4  # pgenlib's number for an operating-system error
_NUMBER = re.compile(r"error ([0-9]+)")


def load_pgenlib() -> Any:
    """Return the module pgenlib. Raises UsageError (E148) where it is not installed."""
    try:
        import pgenlib
    except ImportError as error:
        raise UsageError(
            "E148",
            "PGEN files are read by pgenlib, which is not installed: pip install 'lmmgwas[pgen]'; "
            "or convert the file set (plink2 --make-bed, which keeps hard calls alone) and give "
            "--bfile",
        ) from error
    return pgenlib


class PgenFile:
    """An open .pgen. Several threads may read at a time.

    Raises
    ------
    UsageError
        E148: pgenlib is not installed.
    FormatError
        E105 (not a regular file), E140 to E142 (see `read_pgen_header`), E145 (damaged).
    OSError
        where the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._pgenlib = load_pgenlib()
        self._path = path
        self._file = WatchedFile(path)
        self.header: PgenHeader = read_pgen_header(self._file)
        fitting = _MOST_INDEX_BYTES // (_INDEX_BYTES * self.header.n_variants)
        self._most = max(1, min(MOST_READERS, fitting))
        self._idle: list[Any] = []
        self._n_open = 0
        self._free = Condition()

    def check_unchanged(self) -> None:
        """Refuse (E106) a file whose size, time or inode is another, or whose name went to one."""
        self._file.check_unchanged()

    def calls(self, index: Indices) -> Calls:
        """Return the hard calls (b, n) of these variants as copies of ALT, C-contiguous.

        Raises FileAccessError (E110) or FormatError (E145) with the variants.
        """
        calls = np.empty((index.size, self.header.n_samples), dtype=np.int8)
        if index.size:
            with self._reader(index) as reader:
                reader.read_list(index.astype(np.uint32), calls)
            replace_call(_NO_CALL, MISSING, calls)
        return calls

    def dosages(self, index: Indices) -> Dosages:
        """Return the dosages (b, n) of ALT of these variants, C-contiguous.

        A sample without a dosage has its call. Raises what `calls` raises, and FormatError (E146)
        for numbers that are no dosages.
        """
        n = self.header.n_samples
        dosages = np.empty((index.size, n), dtype=np.uint16)
        step = max(1, _COPIES_AT_ONCE // n)
        for start in range(0, index.size, step):
            some = index[start : start + step]
            copies = np.empty((some.size, n), dtype=np.float32)  # pgenlib gives no others
            with self._reader(some) as reader:
                reader.read_dosages_list(some.astype(np.uint32), copies)
            n_wrong = encode_dosages(copies, _NO_CALL, dosages[start : start + step])
            if n_wrong:
                message = f"{n_wrong} of the dosages of {_span(some)} are not between 0 and 2"
                remedy = "the records are damaged; copy the file again"
                raise FormatError("E146", f"{message}: {remedy}", str(self._path))
        return dosages

    @contextlib.contextmanager
    def _reader(self, index: Indices) -> Iterator[Any]:
        """Lend a reader; one that failed is not lent again."""
        reader = self._take()
        try:
            with _named_failures(self._path, index):
                yield reader
        except BaseException:
            self._give(None)
            raise
        self._give(reader)

    def _take(self) -> Any:
        with self._free:
            while not self._idle and self._n_open >= self._most:
                self._free.wait()
            if self._idle:
                return self._idle.pop()
            self._n_open += 1
        try:
            return self._open()
        except BaseException:
            self._give(None)
            raise

    def _give(self, reader: Any) -> None:
        with self._free:
            if reader is None:
                self._n_open -= 1
            else:
                self._idle.append(reader)
            self._free.notify()

    def _open(self) -> Any:
        """Open the file once more, and be sure that it is this one."""
        self._file.check_unchanged()
        try:
            reader = self._pgenlib.PgenReader(
                os.fsencode(self._path),
                raw_sample_ct=self.header.n_samples,
                variant_ct=self.header.n_variants,
            )
        except RuntimeError as error:
            raise FormatError(
                "E145",
                f"pgenlib cannot open the file ({_said(error)}): a damaged file, or one of a newer "
                "format? Copy it again, or write it again with plink2 --make-pgen",
                str(self._path),
            ) from error
        self._file.check_unchanged()
        return reader


@contextlib.contextmanager
def _named_failures(path: Path, index: Indices) -> Iterator[None]:
    """Turn what pgenlib says into our errors."""
    try:
        yield
    except RuntimeError as error:
        raise _failure(path, f"reading {_span(index)} failed", error) from error


def _span(index: Indices) -> str:
    return f"variants {int(index.min()) + 1} to {int(index.max()) + 1}"


def _failure(path: Path, where: str, error: RuntimeError) -> LmmgwasError:
    """What pgenlib could not read."""
    number = _NUMBER.search(_said(error))
    if number is not None and int(number[1]) == _READ_FAILED:
        message = f"{where}: was the file changed or its disk lost during the run? Start again"
        return FileAccessError("E110", message, str(path))
    message = f"{where} ({_said(error)}): the records are damaged; copy the file again"
    return FormatError("E145", message, str(path))


def _said(error: RuntimeError) -> str:
    """The words of an error of pgenlib, which may be bytes."""
    words = error.args[0] if error.args else ""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
    return text.strip()

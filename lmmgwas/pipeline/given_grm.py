"""Opening the GRM that `--grm` names, in whichever format it is, and saying which."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmmgwas.io.grm_files import GrmPaths, open_grm
from lmmgwas.io.grm_formats import GrmFile, GrmFormat, find_grm, king_error
from lmmgwas.io.grm_reading import ForeignGrm, read_foreign_grm
from lmmgwas.model.genotypes import Samples
from lmmgwas.model.grm import Grm, PackedPart, check_loco
from lmmgwas.numerics.triangle import packed_diagonal
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions

_KING_DIAGONAL = 0.5
_SAME = 1e-6
"""KING's diagonal is 0.5 to the last bit; a text may round, and no estimate is so even."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenedGrm:
    """A GRM on disk: a set of ours, GCTA's files, or a matrix in another format."""

    grm: Grm
    manifest: dict[str, Any] | None  # None: not of `lmmgwas grm`
    paths: GrmPaths
    foreign: ForeignGrm | None


def open_given(
    given: Path, samples: Samples | None, run: RunOptions, log: Logbook, *, needs_parts: bool
) -> OpenedGrm:
    """Find and open a GRM, and say which format it was taken for.

    `samples` are those of the .fam, which a GEMMA matrix is of; what must be copied goes to
    --tmpdir, or beside the output. `needs_parts` says that chromosomes are to be left out.

    Raises MismatchError (E804) for a matrix without parts where they are needed, FormatError
    (E714) for a KING matrix, and what `find_grm` and the readers raise.
    """
    file = find_grm(given)
    if file.format is not GrmFormat.GCTA:
        if needs_parts:  # before it is read, which may take minutes
            check_loco(Grm((), (), PackedPart(np.empty(0, np.float32), 0), {}), ("?",))
        return _open_foreign(file, samples, run, log)
    grm, manifest = open_grm(file.prefix)
    kind = "with per-chromosome parts" if grm.parts else "whole matrix only, float32"
    log.say(f"GRM: {file.prefix} (GCTA's layout, {len(grm.iid):,} samples, {kind})")
    if manifest is None:
        if needs_parts:
            check_loco(grm, ("?",))  # raises: a plain GRM has no parts
        _refuse_king(grm, file.values)
    return OpenedGrm(grm, manifest, GrmPaths(file.prefix), None)


def _open_foreign(
    file: GrmFile, samples: Samples | None, run: RunOptions, log: Logbook
) -> OpenedGrm:
    fam = None if samples is None else (samples.fid, samples.iid)
    with log.stage("reading the GRM"):
        foreign = read_foreign_grm(file, fam, run.tmpdir or run.out.parent)
    for note in foreign.remarks.notes:
        log.say(f"Note: {note}")
    for warning in foreign.remarks.warnings:
        log.warn("W401", warning)
    log.say(
        f"GRM: {file.values} (taken for {foreign.what}; {len(foreign.grm.iid):,} samples, whole "
        "matrix only, as float32)"
    )
    _refuse_king(foreign.grm, file.values)
    return OpenedGrm(foreign.grm, None, foreign.paths, foreign)


def _refuse_king(grm: Grm, path: Path) -> None:
    """Raise FormatError (E714) for a matrix whose diagonal is 0.5 throughout."""
    n = len(grm.iid)
    diagonal = packed_diagonal(grm.whole.values, np.arange(n, dtype=np.int64))
    if n > 1 and bool((np.abs(diagonal - _KING_DIAGONAL) <= _SAME).all()):
        raise king_error(path, f"by its diagonal, {_KING_DIAGONAL} for all {n} samples")

"""`lmmgwas grm --convert`: a GRM on disk in the format of another program. No genotypes are read.

The values are those that `assoc` would work on: float32, whichever format they come from and go
to. Of a set of `lmmgwas grm` the whole matrix is converted; other formats have no parts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import MismatchError, OutputExistsError, UsageError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.fam import read_fam
from lmmgwas.io.grm_files import GrmPaths, map_triangle, write_triangle
from lmmgwas.io.grm_formats import GrmFile, GrmFormat, find_grm
from lmmgwas.io.grm_ids import Ids, ids_text
from lmmgwas.io.grm_writers import (
    rel_ids,
    triangle_rows,
    write_gemma,
    write_npy,
    write_rel,
    write_table,
)
from lmmgwas.model.genotypes import Samples
from lmmgwas.pipeline.given_grm import OpenedGrm, open_given
from lmmgwas.pipeline.grm_checks import require_finite
from lmmgwas.pipeline.inputs import SampleIndex
from lmmgwas.pipeline.join import match_grm
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ConvertJob:
    """What is to be converted, and to what."""

    grm: Path
    to: GrmFormat
    fam: Path | None  # whose samples a GEMMA matrix is of
    run: RunOptions


@dataclass(frozen=True, slots=True)
class _Target:
    """The files of a format under a prefix."""

    values: Path
    ids: Path | None
    others: tuple[Path, ...] = ()


def _target(format: GrmFormat, run: RunOptions) -> _Target:
    if format is GrmFormat.GCTA:
        paths = GrmPaths(run.out)
        return _Target(paths.values(None), paths.ids, (paths.counts(None),))
    values, ids = {
        GrmFormat.GEMMA: (".cXX.txt", None),
        GrmFormat.PLINK2: (".rel.bin", ".rel.id"),
        GrmFormat.TABLE: (".grm.tsv", None),
        GrmFormat.NPY: (".npy", ".npy.id"),
    }[format]
    return _Target(run.path(values), None if ids is None else run.path(ids))


def convert_grm(job: ConvertJob, log: Logbook, outputs: OutputSet) -> None:
    """Read a GRM in any format, and write it in another.

    Raises UsageError (E020) where a .fam is needed and none is given, or where the output would
    replace the input; MismatchError (E305, E308, E717) where names do not fit; DegenerateError
    (E702) for a value that is not finite; and what reading and writing raise.
    """
    file, target = find_grm(job.grm), _target(job.to, job.run)
    _refuse_same(file, target)
    finals = [p for p in (target.values, target.ids, *target.others) if p is not None]
    _refuse_set(job)
    outputs.require_free(finals)
    log.begin()
    samples = None
    if job.fam is not None and GrmFormat.GEMMA in (file.format, job.to):
        samples, remarks = read_fam(job.fam)
        for note in remarks.notes:
            log.say(f"Note: {note}")
    elif job.fam is not None:
        log.say(f"Note: {job.fam} is not read: both formats name their samples")
    opened = open_given(job.grm, samples, job.run, log, needs_parts=False)
    require_finite(opened.grm, opened.grm.whole, opened.paths.values(None))
    if opened.grm.parts:
        log.say(
            f"Note: the whole matrix is converted; the {len(opened.grm.parts)} parts, which LOCO "
            "needs, have no place in other formats"
        )
    order = _order(opened, samples, job, log)
    with log.stage("writing the GRM"):
        written = _write(opened, order, file, job, target, outputs)
    outputs.commit()
    names = ", ".join(str(path) for path in written)
    log.say(f"GRM of {order.size:,} samples written to {names}")


def _refuse_same(file: GrmFile, target: _Target) -> None:
    """Raise UsageError where what is read would be replaced."""
    mine = {path.resolve() for path in (target.values, target.ids) if path is not None}
    theirs = {path.resolve() for path in (file.values, file.ids) if path is not None}
    if mine & theirs:
        raise UsageError(
            "E020", f"--out would replace {file.values}, which is read: choose another name"
        )


def _refuse_set(job: ConvertJob) -> None:
    """Raise OutputExistsError where the manifest of a set would speak of another matrix."""
    manifest = GrmPaths(job.run.out).manifest
    if job.to is GrmFormat.GCTA and manifest.exists():
        raise OutputExistsError(
            "E113",
            f"{manifest} belongs to a set of `lmmgwas grm`, of which the converted matrix would "
            "become a part: choose another name for the output (--out)",
        )


def _order(opened: OpenedGrm, samples: Samples | None, job: ConvertJob, log: Logbook) -> Indices:
    """Rows of the GRM in the order in which they are written: for GEMMA, that of the .fam."""
    grm = opened.grm
    as_read = np.arange(len(grm.iid), dtype=np.int64)
    if job.to is GrmFormat.TABLE and len(set(grm.iid)) < len(grm.iid):
        raise MismatchError(
            "E308",
            "a table names samples by IID alone, and some IIDs are not unique: convert to npy or "
            "plink2, which keep FIDs",
            str(opened.paths.ids),
        )
    if job.to is not GrmFormat.GEMMA:
        return as_read
    if samples is None:
        log.say(
            "Note: GEMMA takes the rows for the samples of its .fam, in that order; here they are "
            "in the order of the GRM. Give that .fam (--fam) to have them sorted"
        )
        return as_read
    row_of = match_grm(SampleIndex(samples), len(samples), grm.fid, grm.iid, str(opened.paths.ids))
    absent = np.flatnonzero(row_of < 0)
    if absent.size:
        first = int(absent[0])
        raise MismatchError(
            "E717",
            f"the GRM lacks {absent.size:,} of the {len(samples):,} samples of {job.fam} (the "
            f"first is {samples.fid[first] or '0'} {samples.iid[first]}), and GEMMA wants a row "
            "for each: give the .fam of a genotype set without them",
        )
    if row_of.size < as_read.size:
        log.say(f"Note: {as_read.size - row_of.size:,} samples of the GRM are not in {job.fam}")
    return row_of


def _write(
    opened: OpenedGrm,
    order: Indices,
    file: GrmFile,
    job: ConvertJob,
    target: _Target,
    outputs: OutputSet,
) -> list[Path]:
    """Write the files; return their names."""
    grm, path = opened.grm, outputs.temporary(target.values)
    ids: Ids = (grm.fid, grm.iid)
    packed = grm.whole.values
    writers: dict[GrmFormat, Callable[[], None]] = {
        GrmFormat.GCTA: lambda: write_triangle(path, triangle_rows(packed, order)),
        GrmFormat.GEMMA: partial(write_gemma, path, packed, order),
        GrmFormat.PLINK2: partial(write_rel, path, packed, order),
        GrmFormat.TABLE: partial(write_table, path, packed, order, grm.iid),
        GrmFormat.NPY: partial(write_npy, path, packed, order),
    }
    writers[job.to]()
    written = [target.values]
    if target.ids is not None:
        text = rel_ids(ids) if job.to is GrmFormat.PLINK2 else ids_text(ids)
        outputs.write_text(target.ids, text)
        written.append(target.ids)
    counts = GrmPaths(file.prefix).counts(None)
    if job.to is GrmFormat.GCTA and file.format is GrmFormat.GCTA and counts.exists():
        joint = map_triangle(counts, order.size)
        write_triangle(outputs.temporary(target.others[0]), triangle_rows(joint, order))
        written.append(target.others[0])
    return written

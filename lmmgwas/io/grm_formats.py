"""What a given GRM is: a prefix, or a file that another program wrote, told by its name.

gcta    PREFIX.grm.bin, .grm.id          float32 triangle (GCTA, plink2 --make-grm-bin, `grm`)
gemma   PREFIX.cXX.txt or .sXX.txt       square text without names (GEMMA -gk 1, -gk 2)
plink2  PREFIX.rel.bin, .rel.id          square or triangle, float64 or float32 (--make-rel bin,
                                         bin4; square, square0, triangle)
table   PREFIX.grm.tsv, .grm.csv         square, names of samples in line 1 and in column 1
npy     PREFIX.npy, .npy.id              square NumPy array, float32 or float64

Text may be gzipped. The file itself may be named, too: a table then under any name that ends in
.tsv, .csv, .tab or .txt. The names of a GEMMA matrix's samples are those of the study's .fam.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lmmgwas.errors import FileAccessError, FormatError
from lmmgwas.io.grm_files import GrmPaths


class GrmFormat(StrEnum):
    """A format of relatedness matrices."""

    GCTA = "gcta"
    GEMMA = "gemma"
    PLINK2 = "plink2"
    TABLE = "table"
    NPY = "npy"


@dataclass(frozen=True, slots=True)
class GrmFile:
    """A matrix on disk; of a GCTA set, `prefix` is the prefix, elsewhere the file itself."""

    format: GrmFormat
    prefix: Path
    values: Path
    ids: Path | None  # None: in the table itself, or in the .fam


_GZIP = ("", ".gz")
_BESIDE = {
    GrmFormat.GEMMA: tuple(f"{s}{z}" for s in (".cXX.txt", ".sXX.txt") for z in _GZIP),
    GrmFormat.PLINK2: (".rel.bin",),
    GrmFormat.TABLE: tuple(f"{s}{z}" for s in (".grm.tsv", ".grm.csv") for z in _GZIP),
    GrmFormat.NPY: (".npy",),
}
"""What may lie beside a prefix; PREFIX.tsv alone may be anything."""

_TABLES = tuple(f"{s}{z}" for s in (".tsv", ".csv", ".tab", ".txt") for z in _GZIP)
_GCTA = ".grm.bin"
_KING = (".king", ".king.bin", ".king.gz", ".king.zst", ".kin0", ".kin")
_OTHERS = {
    ".grm.gz": "GCTA's text: write the binary form with gcta64 --grm-gz PREFIX --make-grm-bin",
    ".grm": "a list of pairs: write the binary form with plink2 --make-grm-bin",
    ".grm.sp": "a sparse GRM, without most of its values: give the whole one",
    ".rel": "plink2's text: write the binary form with plink2 --make-rel bin",
    ".rel.gz": "PLINK's text: write the binary form with plink2 --make-rel bin",
    ".rel.zst": "plink2's text: write the binary form with plink2 --make-rel bin",
    ".npz": "an archive of arrays: save the matrix alone with numpy.save",
    ".rds": "an R object: write it as a table with names, or let R write GCTA's files",
}
KNOWN_NAMES = "PREFIX.grm.bin, .cXX.txt, .sXX.txt, .rel.bin, .grm.tsv, .grm.csv or .npy"


def find_grm(given: Path) -> GrmFile:
    """Return what `--grm` means: PREFIX.grm.bin, or the file named, or the one beside the prefix.

    Where nothing is there it is the GCTA set of that prefix, whose files are then missed.

    Raises FormatError: E712 (a file of an unknown kind), E713 (several matrices), E714 (KING).
    """
    if not given.name:
        raise FileAccessError("E110", "this is a folder, expected the prefix of a GRM", str(given))
    if _is_file(GrmPaths(given).values(None)):
        return _gcta(given)
    named = _by_name(given)
    if named is not None and _is_file(given):
        return named
    beside = [
        _file(format, given.with_name(given.name + suffix))
        for format, suffixes in _BESIDE.items()
        for suffix in suffixes
        if _is_file(given.with_name(given.name + suffix))
    ]
    if len(beside) > 1:
        names = ", ".join(str(file.values) for file in beside)
        raise FormatError(
            "E713",
            f"{len(beside)} matrices have this prefix ({names}): name the one that is meant",
            str(given),
        )
    if beside:
        return beside[0]
    for suffix in (*_KING[:2], *_OTHERS):  # a list of pairs (.kin0) may be there for its own sake
        path = given.with_name(given.name + suffix)
        if _is_file(path):
            _refuse_name(path)
    if named is None and _is_file(given):
        raise FormatError(
            "E712", f"its name does not say what it is: expected {KNOWN_NAMES}", str(given)
        )
    return named or _gcta(given)


def _by_name(path: Path) -> GrmFile | None:
    """What a file's name says it is."""
    name = path.name
    if name.endswith(_GCTA) and name != _GCTA:
        return _gcta(path.with_name(name.removesuffix(_GCTA)))
    if _is_file(path):
        _refuse_name(path)
    for format, suffixes in _BESIDE.items():
        if name.endswith(suffixes):
            return _file(format, path)
    return _file(GrmFormat.TABLE, path) if name.endswith(_TABLES) else None


def _gcta(prefix: Path) -> GrmFile:
    paths = GrmPaths(prefix)
    return GrmFile(GrmFormat.GCTA, prefix, paths.values(None), paths.ids)


def _file(format: GrmFormat, path: Path) -> GrmFile:
    ids = None
    if format is GrmFormat.PLINK2:
        ids = path.with_name(f"{path.name.removesuffix('.bin')}.id")
    elif format is GrmFormat.NPY:
        ids = path.with_name(f"{path.name}.id")
    return GrmFile(format, path, path, ids)


def _refuse_name(path: Path) -> None:
    """Raise FormatError for the matrices that are known and not read."""
    if path.name.endswith(_KING):
        raise king_error(path, "by its name")
    for suffix, remedy in _OTHERS.items():
        if path.name.endswith(suffix):
            raise FormatError("E712", f"this is {remedy}", str(path))


def king_error(path: Path, how: str) -> FormatError:
    """Return what to raise for a KING matrix, which was recognised somehow."""
    return FormatError(
        "E714",
        f"this is a KING kinship matrix ({how}): kinship is half of relatedness, and KING's "
        "estimate, made pair by pair, is no covariance between samples (its diagonal is 0.5 by "
        "definition), so that neither h2 nor the tests would be right; build the GRM with "
        "`lmmgwas grm` or plink2 --make-rel bin. Of a pedigree's kinship give twice the values",
        str(path),
    )


def _is_file(path: Path) -> bool:
    """Whether a file is there and can be seen."""
    try:
        return path.is_file()
    except OSError:
        return False

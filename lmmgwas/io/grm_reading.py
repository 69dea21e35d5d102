"""One door to matrices that are not GCTA's: what was read, whose it is, in which words.

Every value is float32 afterwards, as in GCTA's files: one that was float64, or a text of more
than seven digits, is rounded to it. So a matrix gives the same results from whichever format.
"""

from dataclasses import dataclass
from pathlib import Path

from lmmgwas.errors import UsageError
from lmmgwas.io.grm_files import GrmPaths
from lmmgwas.io.grm_formats import GrmFile, GrmFormat
from lmmgwas.io.grm_ids import Ids, read_grm_ids
from lmmgwas.io.grm_matrices import Square, open_npy, open_rel, packed_copy
from lmmgwas.io.grm_text import read_gemma, read_table_matrix
from lmmgwas.io.text import Remarks
from lmmgwas.model.grm import Grm, PackedPart
from lmmgwas.model.grm_sum import Packed


@dataclass(frozen=True, slots=True, eq=False)
class ForeignGrm:
    """A matrix that another program wrote, as a GRM without parts."""

    grm: Grm
    file: GrmFile
    what: str  # which format it was taken for, in words
    remarks: Remarks

    @property
    def paths(self) -> GrmPaths:
        """The names that messages give."""
        values = self.file.values
        return GrmPaths(self.file.prefix, source=values, names=self.file.ids or values)

    @property
    def files(self) -> list[Path]:
        """The files that were read, but for a .fam."""
        return [self.file.values, *([self.file.ids] if self.file.ids else [])]


def read_foreign_grm(file: GrmFile, fam: Ids | None, folder: Path) -> ForeignGrm:
    """Read a matrix in any format but GCTA's.

    fam are FID and IID of the samples of the .fam that a GEMMA matrix is of; temporary files are
    made in `folder`. Raises UsageError (E020) for such a matrix without a .fam, and what the
    readers raise.
    """
    remarks = Remarks()
    matrix: Square | Packed
    if file.format is GrmFormat.GEMMA:
        if fam is None:
            raise UsageError(
                "E020",
                f"{file.values} names no sample: give the .fam that GEMMA was given, with --fam "
                "or --bfile",
            )
        ids = fam
        matrix, remarks = read_gemma(file.values, len(ids[1]), folder)
        what = "GEMMA's square text, rows in the order of the .fam"
    elif file.format is GrmFormat.TABLE:
        matrix, ids, remarks = read_table_matrix(file.values, folder)
        what = "a square table with names"
    else:
        listed = file.ids or file.values
        ids = read_grm_ids(listed)
        n = len(ids[1])
        if file.format is GrmFormat.PLINK2:
            matrix, layout = open_rel(file.values, n)
            what = f"plink2's .rel.bin, {layout}, samples of {listed.name}"
        else:
            matrix, layout = open_npy(file.values, n)
            what = f"a NumPy array, {layout}, samples of {listed.name}"
    part = PackedPart(packed_copy(matrix, folder), 0)
    return ForeignGrm(Grm(*ids, part, {}), file, what, remarks)

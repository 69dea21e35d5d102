"""Which chromosome a label means, what role it plays, and which LOCO group it belongs to.

`chr1`, `01` and `1` are one chromosome. Autosomes (and contigs, whose labels no species
table knows) make up the GRM; X and XY are tested against the whole autosomal GRM; Y, MT and
unplaced variants are left out unless asked for.
"""

import zlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lmmgwas.errors import MismatchError, UsageError

SPECIES_AUTOSOMES = {
    "human": 22,
    "cow": 29,
    "dog": 38,
    "horse": 31,
    "mouse": 19,
    "rice": 12,
    "sheep": 26,
}
"""Numbers of autosomes, the sets that PLINK knows."""

MERGED_CONTIGS = "contigs"


class Role(StrEnum):
    """What a chromosome is to the model."""

    AUTOSOME = "autosome"
    X = "X"
    XY = "XY"
    Y = "Y"
    MT = "MT"
    UNPLACED = "unplaced"


_NON_AUTOSOMAL_ORDER = {Role.X: 0, Role.XY: 0, Role.Y: 1, Role.MT: 2, Role.UNPLACED: 3}
_HUMAN_CODES = {Role.X: "23", Role.XY: "23", Role.Y: "24", Role.MT: "25"}
_LETTERS = {"X": Role.X, "Y": Role.Y, "XY": Role.XY, "M": Role.MT, "MT": Role.MT}
_PSEUDOAUTOSOMAL = {"PAR1", "PAR2"}
_UNPLACED = {"0", ".", "", "UN"}


@dataclass(frozen=True, slots=True)
class Karyotype:
    """How many autosomes there are, and whether the user said so."""

    n_autosomes: int = 22
    stated: bool = False

    @classmethod
    def of(cls, species: str | None, autosomes: int | None) -> "Karyotype":
        """Choose by `--species` or `--autosomes`; human unless given. Raises UsageError."""
        if species is None and autosomes is None:
            return cls()
        if species is not None and autosomes is not None:
            raise UsageError("E001", "give --species or --autosomes, not both")
        if autosomes is not None:
            return cls(autosomes, stated=True)
        return cls(SPECIES_AUTOSOMES[str(species)], stated=True)

    @property
    def is_human(self) -> bool:
        """Whether X, Y and MT are written as 23, 24 and 25."""
        return self.n_autosomes == SPECIES_AUTOSOMES["human"]


@dataclass(frozen=True, slots=True)
class Chromosome:
    """One value of the output's chromosome column: its role and its LOCO group."""

    name: str
    role: Role
    group: str


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A row of the label table in the log: label in the file, name and role here, variants."""

    label: str
    name: str
    role: Role
    n_variants: int


def classify(label: str, karyotype: Karyotype) -> tuple[str, Role]:
    """Return the normalised name and the role of a chromosome label."""
    bare = _bare(label)
    upper = bare.upper()
    if upper in _UNPLACED or (bare.isascii() and bare.isdigit() and int(bare) == 0):
        return "0", Role.UNPLACED
    if upper in _LETTERS:
        return str(_LETTERS[upper].value), _LETTERS[upper]
    if upper in _PSEUDOAUTOSOMAL:
        return Role.XY.value, Role.XY
    if bare.isascii() and bare.isdigit():
        return _classify_number(int(bare), karyotype)
    return label, Role.AUTOSOME


def _bare(label: str) -> str:
    """The label without `chr`."""
    return label[3:] if label[:3].lower() == "chr" and len(label) > 3 else label


def _classify_number(number: int, karyotype: Karyotype) -> tuple[str, Role]:
    """Numbers past the autosomes are X, Y, XY, MT in PLINK's order."""
    if number <= karyotype.n_autosomes:
        return str(number), Role.AUTOSOME
    beyond = number - karyotype.n_autosomes
    roles = (Role.X, Role.Y, Role.XY, Role.MT)
    if beyond <= len(roles):
        return str(roles[beyond - 1].value), roles[beyond - 1]
    raise MismatchError(
        "E210",
        f"chromosome {number} lies beyond the {karyotype.n_autosomes} autosomes and the codes "
        f"{karyotype.n_autosomes + 1} to {karyotype.n_autosomes + 4} of X, Y, XY and MT; it would "
        "not be known what it is: say how many autosomes there are with --autosomes N or --species",
    )


def label_table(
    labels: tuple[str, ...], counts: np.ndarray, karyotype: Karyotype
) -> tuple[LabelRow, ...]:
    """Return what each label is taken for, in the order of the labels.

    Contigs that differ by `chr` or by case alone are one, under the label that comes first.
    """
    first: dict[str, str] = {}
    rows = []
    for label, count in zip(labels, counts, strict=True):
        name, role = classify(label, karyotype)
        name = first.setdefault(folded(name), name)
        rows.append(LabelRow(label, name, role, int(count)))
    return tuple(rows)


def folded(name: str) -> str:
    """Return what names of one chromosome share, whatever their case and `chr` before them."""
    return _bare(name).casefold()


def arrange(
    table: tuple[LabelRow, ...], karyotype: Karyotype, min_loco_variants: int
) -> tuple[tuple[Chromosome, ...], dict[str, int]]:
    """Return the chromosomes in output order, and the index of each label's chromosome.

    Numbered autosomes come first, by number; then contigs, those with fewer than
    `min_loco_variants` variants last and merged into one LOCO group; then X, Y, MT, unplaced.
    """
    counts: dict[str, int] = {}
    for row in table:
        counts[row.name] = counts.get(row.name, 0) + row.n_variants
    merged = _merged_contigs(table, counts, min_loco_variants)
    chromosomes: dict[str, Chromosome] = {}
    for row in sorted(table, key=lambda row: _rank(row, merged)):
        name = _output_name(row, karyotype)
        group = merged_name(merged) if row.name in merged else row.name
        group = Role.X.value if row.role is Role.XY else group
        chromosomes.setdefault(name, Chromosome(name, _group_role(row.role), group))
    order = {name: k for k, name in enumerate(chromosomes)}
    return tuple(chromosomes.values()), {
        row.label: order[_output_name(row, karyotype)] for row in table
    }


def merged_name(members: set[str]) -> str:
    """Return the name of merged contigs: it tells which they are.

    A GRM of another file set, or made with another --min-loco-variants, may have merged
    others; under one name it would leave out the wrong ones.
    """
    return f"{MERGED_CONTIGS}-{zlib.crc32(' '.join(sorted(members)).encode()):08x}"


def _merged_contigs(
    table: tuple[LabelRow, ...], counts: dict[str, int], min_loco_variants: int
) -> set[str]:
    """Contigs too small for a LOCO group of their own, unless that leaves fewer than two groups."""
    autosomes = {row.name for row in table if row.role is Role.AUTOSOME}
    small = {name for name in autosomes if not name.isdigit() and counts[name] < min_loco_variants}
    groups_left = len(autosomes - small) + bool(small)
    return small if len(small) > 1 and groups_left >= 2 else set()


def _rank(row: LabelRow, merged: set[str]) -> tuple[int, int, str]:
    """The place of a chromosome in the output; merged contigs stand together."""
    if row.role is not Role.AUTOSOME:
        return 3, _NON_AUTOSOMAL_ORDER[row.role], ""
    if row.name.isdigit():
        return 0, int(row.name), ""
    return (2 if row.name in merged else 1), 0, row.name


def _group_role(role: Role) -> Role:
    """X and XY share one group, tested against the whole GRM."""
    return Role.X if role is Role.XY else role


def _output_name(row: LabelRow, karyotype: Karyotype) -> str:
    """The chromosome column: GWAS-SSF's numbers in human data."""
    if karyotype.is_human and row.role in _HUMAN_CODES:
        return _HUMAN_CODES[row.role]
    return Role.X.value if row.role is Role.XY else row.name

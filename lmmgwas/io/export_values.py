"""What a table of another tool is made of: its columns, and the values that these may hold.

Nothing heavy is imported: the help of the command line reads this.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

SMALLEST_P = "2.2250739e-308"
"""What a p-value below the smallest normal double is written as where a tool reads doubles."""


class Value(Enum):
    """What a column is made of."""

    CHROMOSOME = auto()
    POSITION = auto()
    MARKER = auto()
    EFFECT_ALLELE = auto()
    OTHER_ALLELE = auto()
    REF = auto()  # the reference allele where it is given, otherwise the other allele
    ALT = auto()  # the one that is not REF
    BETA = auto()  # of the effect allele
    SE = auto()
    FREQUENCY = auto()  # of the effect allele
    ALT_BETA = auto()
    ALT_FREQUENCY = auto()
    N = auto()
    P = auto()  # decimal text, also below the smallest double
    P_DOUBLE = auto()  # never below SMALLEST_P
    NEG_LOG10_P = auto()
    Z = auto()  # beta / standard error
    CHI_SQUARE = auto()  # its square
    PROVISIONAL_REF = auto()  # Y where the reference allele is not given, otherwise N
    RSID_INFO = auto()  # RSID=rs123, or the missing value
    SAFE_MARKER = auto()  # without the characters that a VCF field must not hold


class Chromosomes(StrEnum):
    """How X, Y and MT are written."""

    OURS = "as in our table: 23, 24 and 25 in human data"
    NUMBERS = "PLINK's numbers: 23, 24 and 26 in human data"
    LETTERS = "X, Y and MT"


class Packing(StrEnum):
    """Whether the file may be packed."""

    BY_NAME = "gzip where the name ends in .gz"
    NEVER = "plain text only"
    ALWAYS = "BGZF with an index; the name must end in .gz"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the target: its name, and its value or the same text in every row."""

    name: str
    value: Value | str
    before: str = ""  # what separates it from the column before; empty: as in the whole table


@dataclass(frozen=True, slots=True)
class TargetFormat:
    """A table that another tool writes or reads."""

    name: str  # of --to
    title: str
    columns: tuple[Column, ...]
    effect_rule: str  # one sentence
    source: str  # the tool's own documentation of it
    chromosomes: Chromosomes = Chromosomes.OURS
    separator: str = "\t"
    missing: str = "NA"
    needs: tuple[Value, ...] = ()  # rows without one of these are left out
    needs_bases: bool = False  # rows with alleles other than A, C, G, T and N are left out
    packing: Packing = Packing.BY_NAME

    @property
    def turns_to_reference(self) -> bool:
        """Whether effects belong to the allele that is not the reference genome's."""
        return any(column.value is Value.ALT_BETA for column in self.columns)

    @property
    def small_p(self) -> str:
        """What becomes of a p-value that no double holds."""
        values = {column.value for column in self.columns}
        if Value.P_DOUBLE in values:
            return f"p-values below the smallest double are written as {SMALLEST_P}"
        if Value.NEG_LOG10_P in values:
            return "-log10 p, so no p-value is too small"
        if Value.P in values:
            return "p-values of any size in full, as decimal text"
        return "no p-value: the tool computes it from effect and standard error"

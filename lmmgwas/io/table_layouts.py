"""Which program wrote a table of summary statistics, by its header, and where it keeps what.

One place for the columns and the effect-allele rule of every table that can be plotted. A
header that is none of these is refused with the columns found and the ones wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lmmgwas.errors import FormatError, Problem
from lmmgwas.io.text import nearest, shown

CHROMOSOME, POSITION, COUNT = "chromosome", "base_pair_location", "n"
P_VALUE, NEG_LOG10_P = "p_value", "neg_log_10_p_value"
FREQUENCY = "effect_allele_frequency"
OURS = "lmmgwas"

_ORDER = (
    CHROMOSOME,
    POSITION,
    "effect_allele",
    "other_allele",
    "beta",
    "standard_error",
    FREQUENCY,
    P_VALUE,
    COUNT,
    NEG_LOG10_P,
    "marker_id",
)
_WHERE_FROM = "give a table of `lmmgwas assoc`, PREFIX.TRAIT.tsv.gz or PREFIX.TRAIT.leads.tsv"
_SHOWN_COLUMNS = 20

Names = tuple[tuple[str, tuple[str, ...]], ...]
"""Our name of a column, and the program's names of it, the preferred one first."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A program's table."""

    tool: str
    needed: Names  # to draw it
    marks: tuple[str, ...] = ()  # columns that tell it from a table with the same needed ones
    others: Names = ()
    only: tuple[str, str] | None = None  # rows with this text in this column, where it is there
    effect_rule: str = ""  # one sentence


@dataclass(frozen=True, slots=True)
class FoundLayout:
    """A table's program and columns."""

    tool: str
    delimiter: str  # "\\t", ",", or " " for any run of blanks
    names: tuple[str, ...]  # of the header, in its order
    columns: dict[str, str]  # our name -> theirs
    only: tuple[str, str] | None = None
    effect_rule: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether the names are ours, and the grammar of missing values, too."""
        return self.tool == OURS

    @property
    def p_name(self) -> str:
        """Our name of the column that p comes from."""
        return NEG_LOG10_P if NEG_LOG10_P in self.columns else P_VALUE

    def shown_columns(self) -> dict[str, int]:
        """Return the columns that a table of leads shows, by our name, and their fields."""
        if self.is_ours:
            return {name: k for k, name in enumerate(self.names)}
        fields = {ours: self.names.index(theirs) for ours, theirs in self.columns.items()}
        return {ours: fields[ours] for ours in _ORDER if ours in fields}


def _pairs(**names: str) -> Names:
    """Return names by our short keywords; | separates alternatives, the best first."""
    ours = {
        "chrom": CHROMOSOME,
        "pos": POSITION,
        "p": P_VALUE,
        "log10p": NEG_LOG10_P,
        "n": COUNT,
        "marker": "marker_id",
        "effect": "effect_allele",
        "other": "other_allele",
        "beta": "beta",
        "se": "standard_error",
        "af": FREQUENCY,
    }
    return tuple((ours[key], tuple(theirs.split("|"))) for key, theirs in names.items())


_OURS = Layout(
    OURS,
    _pairs(chrom=CHROMOSOME, pos=POSITION, log10p=f"{NEG_LOG10_P}|{P_VALUE}", n=COUNT),
    effect_rule="beta is of effect_allele.",
)

_PLINK2 = Layout(
    "PLINK 2",
    _pairs(chrom="#CHROM|CHROM", pos="POS", log10p="NEG_LOG10_P|LOG10_P"),
    marks=("ID", "A1"),
    others=_pairs(
        effect="A1",
        other="OMITTED",
        beta="BETA",
        se="SE|LOG(OR)_SE",
        af="A1_FREQ",
        marker="ID",
        n="OBS_CT",
    ),
    only=("TEST", "ADD"),
    effect_rule="BETA is of A1.",
)

PEERS = (
    Layout(
        "GEMMA",
        _pairs(chrom="chr", pos="ps", p="p_wald|p_lrt|p_score"),
        others=_pairs(
            effect="allele1", other="allele0", beta="beta", se="se", af="af", marker="rs", n="n_obs"
        ),
        effect_rule="beta is of allele1.",
    ),
    Layout(
        "GCTA (MLMA)",
        _pairs(chrom="Chr", pos="bp", p="p"),
        marks=("A1",),
        others=_pairs(effect="A1", other="A2", beta="b", se="se", af="Freq", marker="SNP"),
        effect_rule="b is of A1.",
    ),
    Layout(
        "GCTA (fastGWA)",
        _pairs(chrom="CHR", pos="POS", p="P"),
        marks=("A1", "AF1"),
        others=_pairs(effect="A1", other="A2", beta="BETA", se="SE", af="AF1", marker="SNP", n="N"),
        effect_rule="BETA is of A1.",
    ),
    Layout(
        "REGENIE",
        _pairs(chrom="CHROM", pos="GENPOS", log10p="LOG10P"),
        others=_pairs(
            effect="ALLELE1",
            other="ALLELE0",
            beta="BETA",
            se="SE",
            af="A1FREQ",
            marker="ID",
            n="N",
        ),
        only=("TEST", "ADD"),
        effect_rule="BETA is of ALLELE1.",
    ),
    _PLINK2,
    replace(_PLINK2, needed=_pairs(chrom="#CHROM|CHROM", pos="POS", p="P")),
    Layout(
        "BOLT-LMM",
        _pairs(chrom="CHR", pos="BP", p="P_BOLT_LMM|P_BOLT_LMM_INF|P_LINREG"),
        others=_pairs(
            effect="ALLELE1", other="ALLELE0", beta="BETA", se="SE", af="A1FREQ", marker="SNP"
        ),
        effect_rule="BETA is of ALLELE1.",
    ),
    Layout(
        "SAIGE",
        _pairs(chrom="CHR", pos="POS", p="p.value"),
        others=_pairs(
            effect="Allele2",
            other="Allele1",
            beta="BETA",
            se="SE",
            af="AF_Allele2",
            marker="MarkerID|SNPID",
            n="N",
        ),
        effect_rule="BETA is of Allele2.",
    ),
    Layout(
        "FaST-LMM",
        _pairs(chrom="Chr", pos="ChrPos", p="PValue"),
        others=_pairs(marker="SNP"),
        effect_rule="SnpWeight is per standard deviation of a count of either allele: not read.",
    ),
    Layout(
        "METAL",
        _pairs(chrom="Chromosome", pos="Position", p="P-value"),
        marks=("MarkerName",),
        others=_pairs(
            effect="Allele1",
            other="Allele2",
            beta="Effect",
            se="StdErr",
            af="Freq1",
            marker="MarkerName",
            n="TotalSampleSize|N",
        ),
        effect_rule="Effect is of Allele1.",
    ),
)
"""The peers' tables, by their documentation; see `export_formats` for where it is."""


def find_layout(header: str, path: str) -> FoundLayout:
    """Return whose table this is and where its columns are.

    Raises FormatError: E420 (columns are missing), E421 (a column is named twice).
    """
    delimiter = _delimiter(header)
    names = tuple(header.split() if delimiter == " " else header.split(delimiter))
    twice = [
        Problem("E421", f"the header names column {shown(name)} twice: remove one", f"{path}:1:{k}")
        for k, name in enumerate(names, 1)
        if name in names[: k - 1]
    ]
    if not twice and delimiter == "\t" and not _lacking_of_ours(names):
        given = (CHROMOSOME, POSITION, COUNT, NEG_LOG10_P, P_VALUE, FREQUENCY)
        columns = {name: name for name in given if name in names}
        return FoundLayout(OURS, delimiter, names, columns, effect_rule=_OURS.effect_rule)
    found = None if twice else _peer(names, delimiter)
    if found is None:
        raise FormatError.of(twice + _lacking(header, names, path))
    return found


def _delimiter(header: str) -> str:
    for delimiter in ("\t", ","):
        if delimiter in header:
            return delimiter
    return " "


def _peer(names: tuple[str, ...], delimiter: str) -> FoundLayout | None:
    """Return the peer whose columns are all there."""
    for layout in PEERS:
        if _present(layout, names) < _wanted(layout):
            continue
        columns = {}
        for ours, theirs in (*layout.needed, *layout.others):
            given = [name for name in theirs if name in names]
            if given:
                columns[ours] = given[0]
        only = layout.only if layout.only and layout.only[0] in names else None
        return FoundLayout(layout.tool, delimiter, names, columns, only, layout.effect_rule)
    return None


def _wanted(layout: Layout) -> int:
    """How many columns a table must have to be this program's."""
    return len(layout.needed) + len(layout.marks)


def _present(layout: Layout, names: Sequence[str]) -> int:
    """How many of them it has."""
    needed = sum(any(name in names for name in theirs) for _, theirs in layout.needed)
    return needed + sum(mark in names for mark in layout.marks)


def _lacking_of_ours(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the columns of ours that are not there, each with its alternatives."""
    choices = ((CHROMOSOME,), (POSITION,), (NEG_LOG10_P, P_VALUE), (COUNT,))
    return [choice for choice in choices if not set(choice) & set(names)]


def _lacking(header: str, names: Sequence[str], path: str) -> list[Problem]:
    """Say which columns are missing: of the program whose table this is most like."""
    lacking = _lacking_of_ours(header.split("\t"))
    likely = max(PEERS, key=lambda layout: _present(layout, names))
    n_ours = 4 - len(lacking)
    if _present(likely, names) > max(n_ours, 1):
        return [_lacking_of_peer(likely, names, path)]
    if n_ours == 0 and not _near_ours(names):
        return [_unknown(names, path)]
    problems, n_columns = [], header.count("\t") + 1
    for choices in lacking:
        similar = ", ".join(nearest(choices[0], names))
        hint = f"similar columns here: {similar}" if similar else f"columns here: {_listed(names)}"
        hint += "" if "\t" in header else " (tabs separate columns)"
        expected = " or ".join(f"'{name}'" for name in choices)
        message = f"the header lacks column {expected} ({hint}); {_WHERE_FROM}"
        problems.append(Problem("E420", message, f"{path}:1:{n_columns}"))
    return problems


def _near_ours(names: Sequence[str]) -> bool:
    """Whether the names are ours but for their spelling."""
    return any(nearest(name, names, 1) for name in (CHROMOSOME, POSITION, NEG_LOG10_P))


def _lacking_of_peer(layout: Layout, names: Sequence[str], path: str) -> Problem:
    absent = [theirs for _, theirs in layout.needed if not set(theirs) & set(names)]
    absent += [(mark,) for mark in layout.marks if mark not in names]
    wanted = "; ".join(" or ".join(f"'{name}'" for name in choices) for choices in absent)
    hint = " (METAL writes positions after TRACKPOSITIONS ON)" if layout.tool == "METAL" else ""
    message = (
        f"the header is like that of {layout.tool} but lacks column {wanted}{hint}; columns here: "
        f"{_listed(names)}; give the table as {layout.tool} wrote it, or one of `lmmgwas assoc`"
    )
    return Problem("E420", message, f"{path}:1:{len(names)}")


def _unknown(names: Sequence[str], path: str) -> Problem:
    wanted = dict.fromkeys(
        f"{layout.tool}: {', '.join(['/'.join(theirs) for _, theirs in layout.needed])}"
        for layout in (_OURS, *PEERS)
    )
    message = (
        f"the header is of no table that is known; columns here: {_listed(names)}; wanted are the "
        f"columns of one of these programs ({'; '.join(wanted)}); {_WHERE_FROM}, or a peer's"
    )
    return Problem("E420", message, f"{path}:1:{len(names)}")


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _SHOWN_COLUMNS else ""
    return ", ".join(shown(name) for name in names[:_SHOWN_COLUMNS]) + more

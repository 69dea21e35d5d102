"""Rows 34 to 42 and 50 of the catalogue: the order of a .bim, its chromosomes, LOCO groups.

The study has 60 variants on each of 1 to 4, 40 on X, 2 each on Y, MT and 0.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from conftest import FEMALE, Study, StudyFiles, read_tsv

from catalogue.looks import all_of, in_table, same_as, table, unwarned
from catalogue.rows import Accepted, Elsewhere, Flagged, Look, Refused, Row, Spoil
from catalogue.spoil import both, fields, options, study_with

HEIGHT = options("--pheno-name", "height")
QUICK = options("--h2", "0", "--pheno-name", "height")
AS_CLEAN = same_as(HEIGHT)


def reordered(order: Callable[[Study], np.ndarray]) -> Spoil:
    """The variants in another order, with their calls."""

    def change(study: Study) -> None:
        rows = order(study)
        for name in ("chrom", "pos", "marker", "effect", "other"):
            setattr(study, name, [getattr(study, name)[k] for k in rows])
        study.calls = study.calls[rows]

    return study_with(change)


def relabelled(labels: Mapping[str, str]) -> Spoil:
    """Other labels for chromosomes."""

    def change(study: Study) -> None:
        study.chrom = [labels.get(label, label) for label in study.chrom]

    return study_with(change)


def relabelled_from(label: str, first: int, new: str) -> Spoil:
    """Another label for the variants of a chromosome from its `first` on."""

    def change(study: Study) -> None:
        for row in study.on(label)[first:]:
            study.chrom[row] = new

    return study_with(change)


def same(number: int, name: str, spoil: Spoil, warning: str | None, *words: str) -> Row:
    """The files are those of the sound study, to the byte; the GRM is in them."""
    looks = (AS_CLEAN,) if warning else (AS_CLEAN, unwarned)
    return Row(number, name, both(spoil, HEIGHT), Accepted(warning, words, all_of(*looks)))


def null_table(prefix: Path) -> pd.DataFrame:
    """The null models by group."""
    return read_tsv(Path(f"{prefix}.height.null.tsv")).set_index("group")


def groups(*expected: str) -> Look:
    """Expect these LOCO groups, in this order; of a merged one its first part."""

    def look(files: StudyFiles, prefix: Path) -> None:
        found = [name.split("-")[0] for name in null_table(prefix).index]
        assert found == [*expected, "all"]

    return look


def on_chromosome(name: str, *markers: str) -> Look:
    """Expect these variants in the table, on that chromosome."""

    def check(found: pd.DataFrame) -> None:
        assert (found.loc[list(markers), "chromosome"] == name).all()

    return in_table(check)


def against_all_autosomes(group: str) -> Look:
    """Expect the fit of a group to be that of the whole GRM, which is of autosomes alone."""

    def look(files: StudyFiles, prefix: Path) -> None:
        null = null_table(prefix)
        assert null.loc["all", "n_variants_grm"] == "236"
        shared = ["n_variants_grm", "h2", "loglik", "sigma_g2"]
        assert (null.loc[group, shared] == null.loc["all", shared]).all()

    return look


# --- 34 to 36: order and labels ---------------------------------------------------------------


def blocks(*labels: str) -> Callable[[Study], np.ndarray]:
    """Chromosomes in this order."""
    return lambda study: np.concatenate([study.on(label) for label in labels])


def halves(study: Study) -> np.ndarray:
    """The second half of chromosome 1 behind all others."""
    rows = np.arange(len(study.chrom))
    return np.r_[rows[:30], rows[60:], rows[30:60]]


def two_exchanged(study: Study) -> np.ndarray:
    rows = np.arange(len(study.chrom))
    rows[[70, 71]] = rows[[71, 70]]
    return rows


def sorted_rows(files: StudyFiles, prefix: Path) -> None:
    """Rows of a group stand together, by position."""
    found = table(prefix)
    runs = (found["chromosome"] != found["chromosome"].shift()).sum()
    assert runs == found["chromosome"].nunique()
    for _, rows in found.groupby("chromosome"):
        assert rows["base_pair_location"].astype(int).is_monotonic_increasing


def shuffled(study: Study) -> np.ndarray:
    return np.random.default_rng(34).permutation(len(study.chrom))


PREFIXES = {"1": "chr1", "2": "CHR2", "3": "03", "4": "chr04", "X": "chrX"}
ORDER = (
    same(34, "two positions exchanged", reordered(two_exchanged), "W206",
         "1 positions are smaller than the one before them on their chromosome (first on line 72)"),
    same(34, "chromosomes backwards", reordered(blocks("4", "3", "2", "1", "X", "Y", "MT", "0")),
         "W206", "chromosomes are out of order"),
    Row(34, "shuffled", both(reordered(shuffled), HEIGHT), Accepted(
        "W206", ("positions are smaller", "chromosomes are out of order", "written sorted"),
        all_of(AS_CLEAN, sorted_rows), strict="W207")),
    same(34, "unplaced first, as PLINK sorts",
         reordered(blocks("0", "1", "2", "3", "4", "X", "Y", "MT")), None),
    same(35, "chromosome 1 in two blocks", reordered(halves), "W207",
         "chromosomes in more than one block of lines: 1;"),
    same(36, "chr, zeros, case", relabelled(PREFIXES), None,
         "Chromosome labels: label, group, role, variants", "chr1\t1\tautosome\t60",
         "chr04\t4\tautosome\t60", "chrX\tX\tX\t40"),
    same(36, "1 and chr1", relabelled_from("1", 20, "chr1"), "W202",
         "labels that name one chromosome were joined: 1, chr1", "chr1\t1\tautosome\t40"),
    same(36, "X and chrx", relabelled_from("X", 20, "chrx"), "W202", "X, chrx"),
    Row(36, "contigs 2L, chr2L, CHR2l", both(relabelled({"1": "2L", "2": "3R"}),
        relabelled_from("2L", 20, "chr2L"), relabelled_from("chr2L", 20, "CHR2l"), HEIGHT,
        options("--min-loco-variants", "10")),
        Accepted("W202", ("2L, CHR2l, chr2L",), all_of(
            groups("3", "4", "2L", "3R", "X"), on_chromosome("2L", "rs1015", "rs1030", "rs1050")))),
    Row(36, "--chr takes either name", both(relabelled({"1": "chr2L"}), HEIGHT,
        options("--chr", "2l,3")), Accepted(None, (), groups("3", "chr2L"))),
)  # fmt: skip

# --- 37 and 38: X, Y, MT, unplaced ------------------------------------------------------------

ON_X = ("rs1240", "rs1279")
ON_Y, ON_MT, UNPLACED = ("rs1280", "rs1281"), ("rs1282", "rs1283"), ("rs1284", "rs1285")
TESTED = options("--include-nonautosomal", "--mac", "1", "--pheno-name", "height")


def male_heterozygotes(study: Study) -> None:
    """Seven calls that no man has."""
    males = [i for i, sex in enumerate(study.sex) if sex != FEMALE]
    study.calls[251, males[10:17]] = 1


def set_missing(files: StudyFiles, prefix: Path) -> None:
    """They do not count among the observed calls of the variant."""
    observed = table(prefix)["n"]
    assert (observed["rs1251"], observed["rs1253"]) == (114 - 7, 114)


def sexless(*samples: int) -> Spoil:
    """Nobody knows the sex of these."""

    def change(study: Study) -> None:
        for i in samples:
            study.sex[i] = 0

    return study_with(change)


def excluded(number: int, label: str, new: str, reason: str, markers: tuple[str, ...]) -> Row:
    """Variants of a chromosome that is not tested unless it is asked for."""
    return Row(number, new or "empty", both(relabelled({label: new}), QUICK), Flagged(
        reason, markers))  # fmt: skip


def tested(
    number: int, label: str, new: str, name: str, group: str, markers: tuple[str, ...]
) -> Row:
    """The same with --include-nonautosomal: against the GRM of all autosomes."""
    looks = all_of(on_chromosome(name, *markers), against_all_autosomes(group))
    return Row(number, f"{new}, on demand", both(relabelled({label: new}), TESTED), Accepted(
        None, ("of 240 autosomal variants",), looks))  # fmt: skip


PSEUDOAUTOSOMAL = all_of(on_chromosome("23", *ON_X), against_all_autosomes("X"))
BY_NUMBER = "were read by the human code (22 autosomes): give --species or --autosomes"
SEX_CHROMOSOMES = (
    *(same(37, f"X as {label}", relabelled({"X": label}), None)
      for label in ("x", "chrX", "CHRX")),
    same(37, "X as 23", relabelled({"X": "23"}), "W203", "23 = X", BY_NUMBER),
    *(Row(37, f"X as {label}", both(relabelled({"X": label}), HEIGHT), Accepted(
          None, (), PSEUDOAUTOSOMAL)) for label in ("XY", "PAR1", "par2", "chrXY")),
    Row(37, "X as 25", both(relabelled({"X": "25"}), HEIGHT), Accepted(
        "W203", ("25 = XY",), PSEUDOAUTOSOMAL)),
    Row(37, "X", HEIGHT, Accepted(None, ("GRM: 236 of 240 autosomal variants",), all_of(
        on_chromosome("23", *ON_X), against_all_autosomes("X")))),
    Row(37, "heterozygous males", both(study_with(male_heterozygotes), HEIGHT), Accepted(
        "W216", ("7 heterozygous calls of males on X were set missing",), set_missing)),
    Row(37, "sex unknown", both(sexless(20, 30, 40), QUICK), Accepted(
        "W217", ("3 analysed samples of unknown sex are treated as female on X",))),
    Elsewhere(37, "0/2", "test_cli.py::test_x_is_coded_0_2_in_the_regression"),
    Elsewhere(37, "frequencies", "test_cli.py::test_x_counts_a_male_once"),
    Elsewhere(37, "XY is diploid", "test_cli.py::test_pseudo_autosomal_variants_are_diploid"),
    *(excluded(37, "Y", label, "NON_AUTOSOME", ON_Y) for label in ("Y", "24", "chrY")),
    *(excluded(37, "MT", label, "NON_AUTOSOME", ON_MT) for label in ("MT", "26", "M", "chrM")),
    tested(37, "Y", "chrY", "24", "Y", ON_Y),
    tested(37, "MT", "M", "25", "MT", ON_MT),
    *(excluded(38, "0", label, "UNPLACED", UNPLACED)
      for label in ("0", ".", "00", "chr0", "Un", "chrUn")),
    Row(38, "empty", both(fields("bim", 1, {285: "", 286: ""}), QUICK), Flagged(
        "UNPLACED", UNPLACED)),
    tested(38, "0", ".", "0", "0", UNPLACED),
    Row(38, "on demand, and said so", TESTED, Accepted(None, (
        "Note: 2 on Y, 2 on MT, 2 unplaced: these variants are tested against the whole GRM",))),
)  # fmt: skip

# --- 39 to 42, 50: groups ---------------------------------------------------------------------

CONTIGS = {"3": "scaffold_9", "4": "NW_001|7"}
ALL_CONTIGS = {"1": "c1", "2": "c2", "3": "c3", "4": "c4"}


def few_left(n: int) -> Spoil:
    """All autosomal variants but n on chromosome 1."""

    def change(study: Study) -> None:
        for row in range(len(study.chrom)):
            if study.chrom[row] in ("2", "3", "4"):
                study.chrom[row] = "1"
        for row in study.on("1")[-n:]:
            study.chrom[row] = "2"

    return study_with(change)


def from_three_chromosomes(files: StudyFiles, study: Study) -> list[object]:
    """A GRM of a file set without chromosome 4."""
    rows = np.flatnonzero(np.array(study.chrom) != "4")
    for name in ("chrom", "pos", "marker", "effect", "other"):
        setattr(study, name, [getattr(study, name)[k] for k in rows])
    study.calls = study.calls[rows]
    return ["--grm-bfile", study.write(files.folder / "three").bfile]


ONE = relabelled(dict.fromkeys("234", "1"))
LOCO = (
    Row(39, "contigs are groups", both(relabelled(CONTIGS), HEIGHT, options(
        "--min-loco-variants", "60")), Accepted(None, (), all_of(
            groups("1", "2", "NW_001|7", "scaffold_9", "X"), unwarned))),
    Row(39, "small contigs are one group", both(relabelled(CONTIGS), HEIGHT), Accepted(
        None, ("Note: 2 contigs with fewer than 100 variants form one LOCO group",
               "scaffold_9\tcontigs-"), all_of(groups("1", "2", "contigs", "X"), on_chromosome(
                   "scaffold_9", "rs1120", "rs1179")))),
    Row(39, "never below two groups", both(relabelled(ALL_CONTIGS), HEIGHT), Accepted(
        None, (), all_of(groups("c1", "c2", "c3", "c4", "X")))),
    Row(40, "one chromosome", ONE, Refused(5, "E801", ("LOCO leaves 0 variants", "--no-loco",
                                                       "--grm"))),
    Row(40, "one chromosome, --no-loco", both(ONE, HEIGHT, options("--no-loco")), Accepted(
        None, ("LOCO is off",))),
    Row(41, "LOCO leaves 8 variants", few_left(8), Refused(5, "E802", (
        "leaving chromosome 1 out leaves 8 of ", "at least 10 are needed", "--no-loco"))),
    Row(41, "LOCO leaves fewer than 500", HEIGHT, Accepted("W802", (
        "leaving chromosome 2 out leaves 176 of 236 variants in the GRM, 4 of 4 groups leave fewer "
        "than 500",))),
    Row(42, "--grm-chr", options("--grm-chr", "1-3"), Refused(4, "E803", (
        "no part for chromosome 4", "it has 1, 2, 3"))),
    Row(42, "--grm-bfile", from_three_chromosomes, Refused(4, "E803", (
        "no part for chromosome 4",))),
    Row(42, "a label that no autosome has", both(relabelled({"4": "ctg"}), options(
        "--grm-chr", "1-3")), Refused(4, "E803", ("no part for chromosome ctg",))),
    Row(50, "a number beyond", relabelled({"4": "30"}), Refused(4, "E210", (
        "chromosome 30", "22 autosomes", "--autosomes N", "--species"))),
    Row(50, "--autosomes", both(relabelled({"4": "30", "3": "23"}), HEIGHT, options(
        "--autosomes", "30")), Accepted(None, (), all_of(
            groups("1", "2", "23", "30", "X"), on_chromosome("23", "rs1120"),
            on_chromosome("X", *ON_X)))),
    Row(50, "--species cow", both(relabelled({"4": "29", "X": "30"}), HEIGHT, options(
        "--species", "cow")), Accepted(None, (), all_of(
            groups("1", "2", "3", "29", "X"), unwarned))),
    Row(50, "sex chromosomes of few autosomes", both(relabelled({"X": "5", "Y": "6", "MT": "8"}),
        QUICK, options("--autosomes", "4")), Flagged("NON_AUTOSOME", (*ON_Y, *ON_MT))),
    Elsewhere(50, "mouse", "test_cli.py::test_another_species"),
)  # fmt: skip

ROWS: tuple[Row | Elsewhere, ...] = (*ORDER, *SEX_CHROMOSOMES, *LOCO)

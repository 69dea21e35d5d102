"""Section E of the catalogue: covariates."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from conftest import Study, StudyFiles

from catalogue.looks import Near, all_of, in_table, near, nothing, reasons, same_as, unwarned
from catalogue.rows import Accepted, Elsewhere, Flagged, Refused, Row, Spoil
from catalogue.spoil import both, cells, new_column, options, study_with, whole_column

# Bases of the same span differ by rounding, and the scan computes in float32: what that moves is
# 1e-5 at most in -log10 p (design.md, section 6), here far less.
SAME_SPAN = Near(p=1e-5, effect=1e-5)


def covariate(name: str, values: Callable[[Study], Sequence[object]]) -> Spoil:
    return new_column("covar", name, values)


def cells_of(name: str, values: dict[int, str]) -> Spoil:
    return cells("covar", name, values)


def ages(study: Study) -> list[int | None]:
    return [None if text == "NA" else int(text) for text in study.covar.column("age")]


def of_age(change: Callable[[int], object]) -> Callable[[Study], list[object]]:
    return lambda study: ["NA" if age is None else change(age) for age in ages(study)]


def sum_of_scores(study: Study) -> list[str]:
    total = study.covar.numbers("PC1") + study.covar.numbers("PC2")
    return [f"{value:.5f}" for value in total]


def of_site(*sites: str) -> Callable[[Study], list[int]]:
    return lambda study: [int(site in sites) for site in study.covar.column("site")]


# --- 91, 92: dependent columns ----------------------------------------------------------------


def dropped(name: str, spoil: Spoil, *words: str) -> Row:
    """A column that the others span is dropped, and the results are those without it."""
    said = ("was dropped: it is a combination of", *words)
    return Row(91, name, spoil, Accepted("W501", said, near(nothing, SAME_SPAN), "E501"))


def under_strict(name: str, spoil: Spoil, code: str, *words: str) -> Row:
    return Row(91, name, both(spoil, options("--strict")), Refused(5, code, words))


SUM = covariate("PC3", sum_of_scores)

DEPENDENT = (
    dropped("a sum", SUM, "PC1 + PC2"),
    dropped("age in months", covariate("months", of_age(lambda age: 12 * age))),
    dropped("age from the year of birth", covariate("born", of_age(lambda age: 1990 - age))),
    dropped("the same column twice", covariate("PC1 again", lambda s: s.covar.column("PC1")),
            "PC1"),
    dropped("the same categories twice", covariate("place",
            lambda s: [site.upper() for site in s.covar.column("site")]), "site=", "place="),
    dropped("an indicator of a category", covariate("south", of_site("south")), "site="),
    dropped("all indicators", both(covariate("n", of_site("north")),
            covariate("s", of_site("south")), covariate("w", of_site("west")))),
    under_strict("a sum under --strict", SUM, "E501", "was dropped", "PC1 + PC2", "--strict"),
    Row(91, "nearly dependent", covariate("near", lambda s: [
        f"{v + 1e-5 * (-1) ** k:.5f}" for k, v in enumerate(s.covar.numbers("PC1"))]),
        Accepted(None, ("covariates intercept, age, site=south, site=west, PC1, PC2, near",),
                 unwarned)),
)  # fmt: skip


def constant(name: str, values: Callable[[Study], Sequence[object]]) -> Row:
    said = ("covariate column ones was dropped: it is constant", "intercept")
    return Row(
        92, name, covariate("ones", values), Accepted("W501", said, near(nothing, SAME_SPAN))
    )


def but_for_70(value: object, other: object) -> Callable[[Study], list[object]]:
    """Sample 70 has no age, and so is not analysed."""
    return lambda study: [other if k == 70 else value for k in range(len(study.iid))]


CONSTANT = (
    constant("ones", but_for_70(1, 1)),
    constant("zeros", but_for_70(0, 0)),
    constant("large", but_for_70("123456789.1", "123456789.1")),
    constant("where it is analysed", but_for_70(1, 2)),
    constant("of one category", but_for_70("a", "a")),
    constant("of one category where it is analysed", but_for_70("a", "b")),
)


# --- 93, 94: too much -------------------------------------------------------------------------


def noise(count: int) -> Spoil:
    def change(study: Study) -> None:
        rng = np.random.default_rng(0)
        for k in range(count):
            study.covar.add(f"noise{k}", [f"{v:.4f}" for v in rng.normal(size=len(study.iid))])

    return study_with(change)


def filled(study: Study) -> None:
    """Nobody lacks a height or an age: 118 are analysed, with 6 columns and the intercept."""
    for row in (5, 50, 100):
        study.pheno.set("height", row, "171.5")
    study.covar.set("age", 70, "44")


def copied(name: str) -> Callable[[Study], list[str]]:
    return lambda study: study.pheno.column(name)


HEIGHT_ONLY = options("--pheno-name", "height")

TOO_MUCH = (
    Row(93, "the name of the trait", covariate("height", copied("height")),
        Refused(4, "E502", ("pheno.tsv:1:3: ", "height is both trait and covariate",
                            "--pheno-name", "--covar-name"))),
    Row(93, "the name of another trait", covariate("weight", copied("weight")),
        Refused(4, "E502", ("pheno.tsv:1:4: ", "weight is both trait and covariate"))),
    Row(93, "the trait by another name", covariate("stature", copied("height")),
        Refused(4, "E502", ("pheno.tsv:1:3: ", "covariate 'stature' equals trait 'height'"))),
    Row(93, "another trait by another name", covariate("kg", copied("weight")),
        Refused(4, "E502", ("covariate 'kg' equals trait 'weight'",))),
    Row(93, "the trait in other units", covariate("metres", lambda s: [
        "NA" if text == "NA" else f"{float(text) / 100:.5f}" for text in copied("height")(s)]),
        Refused(5, "E408", ("'height'", "linear function of the covariates"))),
    Row(93, "a trait that is not analysed", both(covariate("weight", copied("weight")),
        HEIGHT_ONLY), Accepted(None, ("PC2, weight",), unwarned)),
    Row(94, "no degree of freedom", both(study_with(filled), noise(111), HEIGHT_ONLY),
        Refused(5, "E504", ("118 samples and 117 covariate columns", "leave 0 degrees",
                            "fewer covariates"))),
    Row(94, "more covariates than samples", both(noise(150), HEIGHT_ONLY),
        Refused(5, "E504", ("114 samples and 114 covariate columns", "leave -1 degrees"))),
    Row(94, "one degree of freedom", both(study_with(filled), noise(110), HEIGHT_ONLY),
        Accepted(look=in_table(lambda found: finite(found)))),
)  # fmt: skip


def finite(found: pd.DataFrame) -> None:
    assert len(found) > 200
    for name in ("beta", "standard_error", "neg_log_10_p_value"):
        assert np.isfinite(found[name]).all()
    assert not found["p_value"].isin(["0", "NA"]).any()


# --- 95 to 97: text and missing values --------------------------------------------------------


def mixed(study: Study) -> list[object]:
    return ["low", *range(len(study.iid) - 1)]


def doses(study: Study) -> list[str]:
    return [("1", "2", "high")[k % 3] for k in range(len(study.iid))]


def refused_value(name: str, value: str, code: str, *words: str, number: int = 95) -> Row:
    place = ("covar.tsv:8:5: ", "'PC1'", "S006", f"'{value}'")
    return Row(number, name, cells_of("PC1", {6: value}), Refused(3, code, (*place, *words)))


CATEGORIES = both(cells_of("site", {6: "N/A"}), cells_of("site", {7: "North"}))

TEXT = (
    Row(95, "a text among numbers", covariate("dose", mixed),
        Refused(3, "E503", ("covar.tsv:2:7: ", "'dose'", "117 numbers", "1 texts ('low'",
                            "F00 S000", "--cat-covar-name dose"))),
    Row(95, "numbers and text in two columns", both(covariate("dose", doses),
        cells_of("PC2", {7: "x"})), Refused(3, "E503", ("covar.tsv:9:6: ", "covar.tsv:4:7: "))),
    Row(95, "mixed but said to be categorical", both(covariate("dose", doses),
        options("--cat-covar-name", "dose", "--covar-name", "age,site,PC1,PC2")),
        Accepted(None, ("Categorical covariate (3 levels) dose: 118 values, 0 missing",
                        "dose=2, dose=high"), unwarned)),
    Row(95, "text only", nothing,
        Accepted(None, ("Categorical covariate (3 levels) site: 118 values, 0 missing",),
                 unwarned)),
    Row(95, "numbers said to be categories", both(
        whole_column("covar", "site", lambda s, k: len(s.covar.rows[k][3])),
        options("--cat-covar-name", "site", "--covar-name", "age,PC1,PC2")),
        Accepted(None, ("Categorical covariate (2 levels) site",), unwarned)),
    refused_value("decimal comma", "0,45", "E401", "decimal comma?"),
    refused_value("infinite", "-inf", "E402", "infinite"),
    refused_value("too large", "1e999", "E402"),
    refused_value("hexadecimal", "0x1A", "E503", "--cat-covar-name PC1"),
    refused_value("missing, spelt otherwise", "N/A", "E503", "NA, NaN, nan", number=96),
    Row(96, "a level that may be missing", cells_of("site", {6: "N/A"}),
        Accepted("W503", ("covariate site: 'N/A' was read as a level",))),
    Row(99, "levels that differ in case", CATEGORIES,
        Accepted("W503", ("'North' and 'north' were read as 2 levels",))),
)  # fmt: skip


def without_rows(*rows: int) -> Spoil:
    """Samples that the covariate table lacks."""

    def change(study: Study) -> None:
        study.covar.rows = [row for k, row in enumerate(study.covar.rows) if k not in rows]

    return study_with(change)


def missing_in(*names: str) -> Spoil:
    return both(*(cells_of(name, {k: "NA"}) for k, name in enumerate(names)))


SAMPLES = ".samples.tsv"
ONE_LACKS = reasons({"S000": "MISSING_COVARIATE", "S001": "MISSING_COVARIATE",
                     "S070": "MISSING_COVARIATE", "S004": ""})  # fmt: skip


def as_missing(number: int, name: str, column: str, value: str, *words: str) -> Row:
    """A value that means missing: the bytes are those of NA."""
    look = all_of(same_as(cells_of(column, {6: "NA"})), reasons({"S006": "MISSING_COVARIATE"}))
    counted = f"{column}: 117 values, 1 missing"
    return Row(number, name, cells_of(column, {6: value}), Accepted(None, (counted, *words), look))


def near_nine(study: Study) -> list[str]:
    return ["-9" if k == 4 else "-8.5" if k == 9 else f"{k % 17 - 3}" for k in range(118)]


MISSING = (
    Row(96, "counted by column", missing_in("PC1", "site"),
        Accepted(None, ("Covariate age: 117 values, 1 missing",
                        "Categorical covariate (3 levels) site: 117 values, 1 missing",
                        "Covariate PC1: 117 values, 1 missing",
                        "Covariate PC2: 118 values, 0 missing"), ONE_LACKS)),
    Row(96, "as if it were not listed", missing_in("PC1", "site"),
        Accepted(look=same_as(without_rows(0, 1), without=SAMPLES))),
    Row(96, "not listed", without_rows(0, 1),
        Accepted(None, ("in the covariate table           116", "dropped: NOT_IN_COVAR"),
                 reasons({"S000": "NOT_IN_COVAR", "S001": "NOT_IN_COVAR"}))),
    Row(96, "all missing", whole_column("covar", "PC2", lambda s, k: "NA"),
        Refused(4, "E405", ("covar.tsv:1:6: ", "covariate 'PC2' has no value at all"))),
    as_missing(96, "a point", "PC1", "."),
    as_missing(96, "an empty field", "PC1", ""),
    as_missing(96, "an empty category", "site", ""),
    as_missing(97, "-9", "PC1", "-9", "1 of them by code"),
    as_missing(97, "-9.0", "PC2", "-9.0", "1 of them by code"),
    as_missing(97, "-9 as a category", "site", "-9", "1 of them by code"),
    Row(97, "-9 with values beside it", covariate("x", near_nine),
        Refused(3, "E403", ("covar.tsv:6:7: ", "'x'", "S004", "'-8.5'", "--no-missing-code"))),
    Row(97, "-9 said to be a value", both(covariate("x", near_nine),
        options("--no-missing-code")),
        Accepted(None, ("Covariate x: 118 values, 0 missing",), unwarned)),
    Row(97, "-9 said to be missing", both(covariate("x", near_nine),
        options("--missing-code", "-9")),
        Accepted(None, ("Covariate x: 117 values, 1 missing, 1 of them by code",),
                 same_as(covariate("x", lambda s: [v.replace("-9", "NA") for v in near_nine(s)])))),
)  # fmt: skip


# --- 98 to 101: scale, levels, variants, order ------------------------------------------------


def scaled(factor: float, shift: float = 0.0) -> Spoil:
    """All numeric covariates in another unit, every digit of the double written."""

    def change(study: Study) -> None:
        for name in ("age", "PC1", "PC2"):
            for row, text in enumerate(study.covar.column(name)):
                if text != "NA":
                    study.covar.set(name, row, repr(factor * float(text) + shift))

    return study_with(change)


def years(centre: int) -> Spoil:
    """A year and its square; around another centre they span the same."""
    return both(
        covariate("year", of_age(lambda age: 2020 - age - centre)),
        covariate("year2", of_age(lambda age: (2020 - age - centre) ** 2)),
        options("--covar-name", "site,PC1,PC2,year,year2"),
    )


def sized(factor: float) -> Row:
    return Row(
        98,
        f"times {factor:g}",
        scaled(factor),
        Accepted(None, ("PC1, PC2",), all_of(near(nothing, SAME_SPAN), unwarned)),
    )


def clinics(count: int) -> Callable[[Study], list[str]]:
    return lambda study: [f"c{k % count:02d}" for k in range(len(study.iid))]


def lone(*rows: int) -> Callable[[Study], list[str]]:
    return lambda study: [f"c{k}" if k in rows else "ab"[k % 2] for k in range(len(study.iid))]


COMPLETE = 31
"""A variant of chromosome 1 without missing calls."""
MARKER = f"rs{1000 + COMPLETE}"


def dosage(noise: float = 0.0, scale: float = 1.0, shift: float = 0.0) -> Spoil:
    """The calls of a variant as a covariate, perhaps not quite."""

    def values(study: Study) -> list[str]:
        errors = noise * np.random.default_rng(4).normal(size=len(study.iid))
        return [repr(float(v)) for v in scale * (study.calls[COMPLETE] + errors) + shift]

    return covariate("snp", values)


def tested(found: pd.DataFrame) -> None:
    finite(found)
    assert MARKER in found.index


def shuffled(*names: str) -> Spoil:
    def change(study: Study) -> None:
        for k, name in enumerate(names):
            people = getattr(study, name)
            order = np.random.default_rng(k).permutation(len(people.rows))
            people.rows = [people.rows[i] for i in order]

    return study_with(change)


def columns_moved(files: StudyFiles, study: Study) -> list[object]:
    """The columns in another order in the file; the options ask for the usual one."""
    order = (0, 1, 5, 3, 2, 4)
    study.covar.names = [study.covar.names[k] for k in order]
    study.covar.rows = [[row[k] for k in order] for row in study.covar.rows]
    study.write(files.folder)
    return ["--covar-name", "age,site,PC1,PC2"]


REST = (
    *(sized(factor) for factor in (1e12, 1e-12, 1e200, 1e-200, 1e300)),
    Row(98, "plus 1e9", scaled(1.0, 1e9),
        # Of PC1 and PC2 a double near 1e9 keeps 1e-7, against a standard deviation of one.
        Accepted(None, ("age, site=south, site=west, PC1, PC2",),
                 all_of(near(nothing, Near(p=1e-5, effect=1e-5)), unwarned))),
    Row(98, "plus 1e12", scaled(1.0, 1e12),
        # Of PC1 and PC2 a double near 1e12 keeps 1e-4.
        Accepted(None, ("age, site=south, site=west, PC1, PC2",),
                 all_of(near(nothing, Near(p=1e-2, effect=1e-2)), unwarned))),
    Row(98, "year and its square", years(0),
        Accepted(None, ("PC1, PC2, year, year2",), all_of(near(years(1900), SAME_SPAN), unwarned))),
    Row(99, "too many levels", covariate("person", lambda study: study.iid),
        Refused(5, "E505", ("covar.tsv:1:7: ", "'person' has 114 levels", "at most 11",
                            "identifier?"))),
    Row(99, "one level too many", covariate("clinic", clinics(12)),
        Refused(5, "E505", ("'clinic' has 12 levels", "at most 11"))),
    Row(99, "as many levels as may be", covariate("clinic", clinics(11)),
        Accepted(None, ("(11 levels) clinic",), unwarned)),
    Row(99, "a level of one sample", covariate("clinic", lone(7)),
        Accepted("W505", ("clinic=c7", "fitted exactly"))),
    Row(99, "two levels of one sample", covariate("clinic", lone(7, 9)),
        Accepted("W505", ("clinic=c7, clinic=c9",))),
    Row(100, "a variant", dosage(), Flagged("COLLINEAR", (MARKER,))),
    Row(100, "a variant, the other allele", dosage(scale=-1, shift=2),
        Flagged("COLLINEAR", (MARKER,))),
    Row(100, "a variant, nearly", dosage(noise=1e-5), Flagged("COLLINEAR", (MARKER,))),
    Row(100, "a variant, not quite", dosage(noise=0.01), Accepted(look=in_table(tested))),
    Row(100, "a variant by --condition", options("--condition", MARKER),
        Flagged("COLLINEAR", (MARKER,))),
    Row(100, "a variant without calls by --condition", options("--condition", "rs1001"),
        Refused(5, "E506", ("--condition: rs1001", "no call"))),
    Row(100, "a variant that does not vary by --condition", options("--condition", "rs1000"),
        Accepted("W501", ("covariate column rs1000 was dropped: it is constant",),
                 near(nothing, SAME_SPAN))),
    Row(101, "covariates", shuffled("covar"), Accepted(look=all_of(same_as(), unwarned))),
    Row(101, "traits", shuffled("pheno"), Accepted(look=all_of(same_as(), unwarned))),
    Row(101, "both tables", shuffled("pheno", "covar"), Accepted(look=same_as())),
    Row(101, "columns", columns_moved,
        Accepted(look=same_as(options("--covar-name", "age,site,PC1,PC2")))),
)  # fmt: skip

ROWS: tuple[Row | Elsewhere, ...] = (
    *DEPENDENT, *CONSTANT, *TOO_MUCH, *TEXT, *MISSING, *REST,
)  # fmt: skip

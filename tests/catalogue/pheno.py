"""Section D of the catalogue: phenotypes. The values are here, the files in `pheno_files`."""

from pathlib import Path

import numpy as np
import pandas as pd
from conftest import MISSING, Study, StudyFiles, files_of, read_tsv

from catalogue.looks import (
    Near,
    all_of,
    in_table,
    near,
    nothing,
    reasons,
    run_again,
    same_as,
    unwarned,
)
from catalogue.pheno_files import ROWS as FILES
from catalogue.rows import Accepted, Elsewhere, Look, Refused, Row, Spoil
from catalogue.spoil import both, cells, options, study_with, whole_column

NA = "NA, NaN, nan, ."
"""What a message about a value says of missing ones."""


def height(values: dict[int, str]) -> Spoil:
    """Replace cells of `height`: column 3; row 0 is on line 2."""
    return cells("pheno", "height", values)


def refused_value(number: int, name: str, value: str, code: str = "E401", *words: str) -> Row:
    """A value that is no number, in a trait, on line 8."""
    shown = f"'{value[:40]}'" if len(value) <= 40 else f"'{value[:40]}...' ({len(value)} char"
    place = ("pheno.tsv:8:3: ", "'height'", "F01 S006", shown.replace("\u00a0", "\\xa0"), NA)
    return Row(number, name, height({6: value}), Refused(3, code, (*place, *words)))


def as_missing(number: int, name: str, value: str, words: tuple[str, ...] = ()) -> Row:
    """A value that means missing, in a trait: the bytes are those of NA."""
    counted = ("Trait height: 114 values, 4 missing",)
    look = all_of(same_as(height({6: "NA"})), reasons({"S006": "MISSING_TRAIT:height"}))
    return Row(number, name, height({6: value}), Accepted(None, (*counted, *words), look))


# --- 61 to 63, 66, 76: what is no number ------------------------------------------------------

many_bad = height({k: f"bad{k}" for k in range(30)})
two_columns = both(height({6: "tall"}), cells("pheno", "weight", {8: "inf"}))

NOT_NUMBERS = (
    refused_value(61, "text", "abc"),
    Row(61, "30 texts", many_bad, Refused(3, "E401", ("'bad0'", "'bad19'", "10 more problems"))),
    Row(61, "in two columns", two_columns,
        Refused(3, "E401", ("pheno.tsv:8:3: ", "'tall'", "[E402]", "pheno.tsv:10:4: ", "'inf'"))),
    Row(61, "in trait and covariate", both(height({6: "tall"}), cells("covar", "PC1", {7: "inf"})),
        Refused(3, "E402", ("covar.tsv:9:5: ", "[E401]", "pheno.tsv:8:3: "))),
    Row(61, "in a trait that is not asked for", both(height({6: "abc"}),
        options("--pheno-name", "weight")), Accepted(look=same_as(nothing, "weight"))),
    refused_value(62, "number and text", "1.5abc"),
    refused_value(62, "a unit", "170 cm"),
    refused_value(62, "two points", "1.5.2"),
    refused_value(62, "two signs", "--5"),
    refused_value(62, "a sum", "1+2"),
    refused_value(62, "no-break space", "170.5\u00a0"),
    refused_value(62, "no digit", "e5"),
    refused_value(63, "decimal comma", "0,451", "E401", "decimal comma?", "point"),
    refused_value(63, "decimal comma, signed", "-170,5", "E401", "decimal comma?"),
    refused_value(63, "thousands", "1,170.5"),
    *(refused_value(66, value[:9], value, "E402", "infinite or beyond 1.8e308")
      for value in ("inf", "-inf", "+Inf", "Infinity", "1e400", "-1e400", "9" * 310)),
    *(refused_value(76, name, value) for name, value in {
        "hexadecimal": "0x1A", "underscore": "1_000", "full-width": "\uff11\uff17\uff10",
        "Arabic digits": "\u0661\u0667\u0660", "minus sign": "\u2212170.5", "Fortran": "1d2",
        "percent": "5%", "brackets": "(170)", "exponent alone": "170e", "a half": "170\u00bd",
        "a bit": "True",
    }.items()),
)  # fmt: skip


def exponents(study: Study, row: int) -> str:
    """Each value in another of the forms that the grammar has."""
    text = study.pheno.column("height")[row]
    if text == "NA":
        return text
    tenth = f"{float(text):.3f}".replace(".", "")
    return (text, f"+{text}", f"{tenth}e-3", f".{tenth}E+3", f"{tenth}000.e-006")[row % 5]


# --- 64, 67 to 70: what is missing, and what may be -------------------------------------------


def scores(near_nine: bool) -> Spoil:
    """A trait from -20 to 20 with two values of -9, and perhaps one beside it."""

    def change(study: Study) -> None:
        values = np.random.default_rng(9).uniform(-20, 20, len(study.iid))
        values = np.where(np.abs(values + 9) < 1, 5.0, values)
        texts = [f"{v:.2f}" for v in values]
        texts[20], texts[60] = "-9", "-9.00"
        if near_nine:
            texts[30] = "-9.25"
        study.pheno.add("score", texts)

    return study_with(change)


def sample_counts(trait: str, n: int) -> Look:
    """Expect so many samples in the analysis of a trait."""

    def look(files: StudyFiles, prefix: Path) -> None:
        samples = read_tsv(prefix.with_name("run.samples.tsv"))
        lacking = samples["reason"].str.contains(trait) | (samples["analysed"] != "1")
        assert int((~lacking).sum()) == n

    return look


def sentinels(value: str, count: int) -> Spoil:
    return height({7 * k + 4: value for k in range(1, count + 1)})


def told_missing(value: str, count: int) -> Row:
    codes = ("--missing-code", f"-9,{value}")
    return Row(70, f"{value} by --missing-code", both(sentinels(value, count), options(*codes)),
               Accepted(None, (f"{count} of them by code",),
                        same_as(sentinels("NA", count))))  # fmt: skip


SCORE = options("--pheno-name", "score")

ABSENT = (
    as_missing(64, "point", "."),
    *(as_missing(67, f"spelt {value}", value) for value in ("NaN", "nan")),
    Row(67, "a mixture", height({6: "NA", 7: "nan", 8: ".", 9: "NaN", 10: ""}),
        Accepted(None, ("Trait height: 110 values, 8 missing",),
                 same_as(height(dict.fromkeys(range(6, 11), "NA"))))),
    *(refused_value(67, f"spelt {value}", value)
      for value in ("na", "N/A", "NULL", "None", "-", "?", "#N/A", "missing")),
    as_missing(68, "-9 once", "-9", ("1 of them by code",)),
    as_missing(68, "-9.000", "-9.000", ("1 of them by code",)),
    Row(68, "-9 with values beside it", both(scores(True), SCORE),
        Refused(3, "E403", ("pheno.tsv:22:5: ", "S020", "2 times", "'-9.25'", "line 32",
                            "--missing-code -9", "--no-missing-code"))),
    Row(68, "-9 that is said to be missing",
        both(scores(True), SCORE, options("--missing-code", "-9")),
        Accepted(None, ("Trait score: 116 values, 2 missing, 2 of them by code",),
                 all_of(sample_counts("score", 115), unwarned))),
    Row(69, "-9 that is said to be a value",
        both(scores(True), SCORE, options("--no-missing-code")),
        Accepted(None, ("Trait score: 118 values, 0 missing",),
                 all_of(sample_counts("score", 117), unwarned))),
    Row(69, "-9 far from other values", both(scores(False), SCORE),
        Accepted(None, ("Trait score: 116 values, 2 missing, 2 of them by code",
                        "dropped: MISSING_TRAIT"),
                 reasons({"S020": "MISSING_TRAIT", "S060": "MISSING_TRAIT"}))),
    Row(69, "both options", both(scores(False), options("--missing-code", "-9",
        "--no-missing-code")), Refused(2, "E002", ("--missing-code", "--no-missing-code"))),
    Row(70, "-999", sentinels("-999", 3),
        Accepted("W409", ("trait height holds -999 3 times", "--missing-code -9,-999"))),
    Row(70, "9999", sentinels("9999", 5), Accepted("W409", ("9999 5 times",))),
    Row(70, "99.0 and 99", both(sentinels("999.0", 3), height({0: "999"})),
        Accepted("W409", ("999 4 times",))),
    Row(70, "two codes", both(sentinels("-999", 3), height(dict.fromkeys((1, 2, 3), "-998"))),
        Accepted("W409", ("holds -999 3 times", "holds -998 3 times"))),
    Row(70, "in a covariate", cells("covar", "PC1", dict.fromkeys((1, 2, 3), "-999")),
        Accepted("W409", ("covariate PC1 holds -999 3 times",))),
    told_missing("-999", 3),
    Row(70, "a tail that repeats", whole_column("pheno", "height",
        lambda study, k: round(float(np.exp(1.6 * np.random.default_rng(k).normal())))),
        Accepted(look=lambda files, prefix: no_warning("W409", prefix))),
)  # fmt: skip


def no_warning(code: str, prefix: Path) -> None:
    assert f"[{code}]" not in prefix.with_name("run.log").read_text(encoding="utf-8")


# --- 71 to 73: too little in it ---------------------------------------------------------------


def by_row(value: str) -> Spoil:
    return whole_column("pheno", "height", lambda study, k: value)


def levels(*names: str) -> Spoil:
    return whole_column("pheno", "height", lambda study, k: names[k % len(names)])


def constant_but_for_70(study: Study, row: int) -> str:
    """The sample without an age is not analysed."""
    return "180.5" if row == 70 else "170.25"


CONSTANT = ("pheno.tsv:1:3: ", "'height'", "constant (170.25)", "nothing to explain")

POOR = (
    Row(71, "constant", by_row("170.25"), Refused(5, "E404", CONSTANT)),
    Row(71, "constant where it is analysed",
        whole_column("pheno", "height", constant_but_for_70), Refused(5, "E404", CONSTANT)),
    Row(71, "constant to rounding", levels("170.25", "170.25000000000001"),
        Refused(5, "E404", CONSTANT)),
    Row(71, "constant at 0", levels("0", "-0.0", "0e5"), Refused(5, "E404", ("constant (0)",))),
    Row(72, "all missing", levels("NA", ".", "-9"),
        Refused(4, "E405", ("pheno.tsv:1:3: ", "'height'", "no value at all"))),
    Row(72, "no value where all covariates are known",
        whole_column("pheno", "height", lambda study, k: "170" if k == 70 else "NA"),
        Refused(4, "E306", ("height", "no sample is left"))),
    Row(73, "0/1", levels("0", "1", "0"),
        Accepted("W406", ("1 = case (38), 0 = control (79)", "as a number", "logistic model"))),
    Row(73, "1/2", levels("1", "2", "1"),
        Accepted("W406", ("2 = case (38), 1 = control (79)", "logistic model"))),
    Row(73, "two other values", levels("3.5", "7", "3.5"),
        Accepted("W406", ("two values (3.5 and 7)", "logistic model"))),
    Row(73, "0/1/2, which may be 1/2 with missing ones", levels("1", "2", "0", "1"),
        Refused(3, "E416", ("pheno.tsv:4:3: ", "0, 1 and 2 only", "S002", "control",
                            "--missing-code 0,-9", "--missing-code -9"))),
    Row(73, "0 said to be missing", both(levels("1", "2", "0", "1"),
        options("--missing-code", "0,-9")),
        Accepted("W406", ("2 = case", "1 = control"), same_as(levels("1", "2", "NA", "1")),
                 "W307")),
    Row(73, "0 said to be a value", both(levels("1", "2", "0", "1"),
        options("--missing-code", "-9")), Accepted(look=sample_counts("height", 117))),
)  # fmt: skip


# --- 74, 75: far from zero, and far from one --------------------------------------------------


def known(study: Study) -> list[float | None]:
    return [None if text == "NA" else float(text) for text in study.pheno.column("height")]


def transformed(scale: float, shift: float = 0.0) -> Spoil:
    """`height` as scale * y + shift, every digit of the double written."""

    def change(study: Study) -> None:
        for row, value in enumerate(known(study)):
            if value is not None:
                study.pheno.set("height", row, repr(scale * value + shift))

    return study_with(change)


def shifted_there_and_back(shift: float) -> Spoil:
    """What a double leaves of `height` near the shift; the difference is exact."""

    def change(study: Study) -> None:
        for row, value in enumerate(known(study)):
            if value is not None:
                study.pheno.set("height", row, repr((value + shift) - shift))

    return study_with(change)


# The shifted values and the others differ by a number that is added to all, exactly. Of the
# centring, the rounding of the mean remains: 1e-16 of the shift, against the standard deviation.
# All other differences are those of float32 in the scan, which see the same numbers.
def shift_row(name: str, shift: float, warning: str | None, within: float) -> Row:
    look = near(shifted_there_and_back(shift), Near(p=within, effect=within))
    return Row(74, name, transformed(1.0, shift), Accepted(warning, (), look))


# A power of ten that is no power of two rounds each value once more; the table has 8 digits.
def scale_row(scale: float) -> Row:
    look = near(nothing, Near(p=1e-6, effect=1e-6, unit=scale))
    return Row(75, f"times {scale:g}", transformed(scale), Accepted(None, (), look))


def beyond(scale: float) -> Row:
    words = ("pheno.tsv:1:3: ", "'height'", "standard deviation of", "unit")
    return Row(75, f"times {scale:g}", transformed(scale), Refused(5, "E414", words))


UNITS = (
    shift_row("plus 1e6", 1e6, None, 1e-6),
    shift_row("plus 1e12", 1e12, "W408", 1e-6),
    shift_row("minus 1e12", -1e12, "W408", 1e-6),
    *(scale_row(scale) for scale in (1e140, 1e-140, 1e12, 1e-12)),
    *(beyond(scale) for scale in (1e200, 1e-200, 1e305, 1e-305)),
)


# --- 76: what is a number, 87 to 90 -----------------------------------------------------------


def three_traits(study: Study) -> None:
    rng = np.random.default_rng(87)
    values = [f"{v:.4f}" if u > 0.3 else "NA" for v, u in rng.normal(size=(len(study.iid), 2))]
    study.pheno.add("third trait", values)


def joint_is_single(files: StudyFiles, prefix: Path) -> None:
    """Every trait by itself has the bytes of the joint run."""
    for k, trait in enumerate(("height", "weight", "third trait")):
        stem = trait.replace(" ", "_")
        spoil = both(study_with(three_traits), options("--pheno-name", trait))
        folder = files.folder.parent / f"alone{k}"
        same_files(prefix, run_again(folder, spoil), stem)


def same_files(one: Path, two: Path, trait: str) -> None:
    ours, theirs = files_of(one, trait=f"{trait}."), files_of(two, trait=f"{trait}.")
    assert len(ours) >= 5
    assert ours == theirs


def linear(study: Study, row: int) -> str:
    age = study.covar.column("age")[row]
    return "NA" if age == "NA" else str(3 * int(age) - 7)


def linear_with_site(study: Study, row: int) -> str:
    age, site = study.covar.column("age")[row], study.covar.column("site")[row]
    return "NA" if age == "NA" else f"{0.5 * int(age) + len(site):.1f}"


COMPLETE = 31
"""A variant of chromosome 1 without missing calls."""


def of_a_variant(study: Study, row: int) -> str:
    return f"{160 + 2.5 * study.calls[COMPLETE, row]:.1f}"


def perfect(found: pd.DataFrame) -> None:
    row = found.loc[f"rs{1000 + COMPLETE}"]
    assert np.isfinite(row["neg_log_10_p_value"])
    assert row["neg_log_10_p_value"] > 300
    assert row["p_value"] not in ("0", "NA")
    assert "e-" in row["p_value"]
    assert abs(row["beta"] - 2.5) < 1e-5
    assert found["neg_log_10_p_value"].map(np.isfinite).all()
    # Of a perfect fit of the trait, and of none else.
    assert (found["neg_log_10_p_value"] > 300).sum() == 1


def polygenic(study: Study) -> None:
    """The trait is a sum over all autosomal variants, without missing calls, and nothing else."""
    study.calls = np.where(study.calls == MISSING, 1, study.calls)
    calls = study.calls[5:240].astype(float)
    Z = (calls - calls.mean(axis=1, keepdims=True)) / calls.std(axis=1, keepdims=True)
    for row, value in enumerate(np.random.default_rng(2).normal(size=len(Z)) @ Z):
        study.pheno.set("height", row, repr(float(value)))


def all_finite(found: pd.DataFrame) -> None:
    for name in ("beta", "standard_error", "neg_log_10_p_value"):
        assert np.isfinite(found[name]).all()
    assert not found["p_value"].isin(["0", "NA"]).any()


def heavy(study: Study, row: int) -> str:
    return f"{np.random.default_rng(row).standard_cauchy() ** 3:.4f}"


REST = (
    Row(76, "exponents and signs", whole_column("pheno", "height", exponents),
        Accepted(None, ("Trait height: 115 values, 3 missing",), same_as())),
    Row(87, "traits with different missing values", study_with(three_traits),
        Accepted(look=joint_is_single)),
    Row(88, "linear in a covariate", whole_column("pheno", "height", linear),
        Refused(5, "E408", ("pheno.tsv:1:3: ", "'height'", "linear function of the covariates"))),
    Row(88, "linear in two covariates", whole_column("pheno", "height", linear_with_site),
        Refused(5, "E408", ("'height'",))),
    Row(89, "equal to a variant", whole_column("pheno", "height", of_a_variant),
        Accepted("W902", ("1 variants fit trait height perfectly", "lower bound"),
                 in_table(perfect))),
    *(Row(89, f"equal to a variant, {' '.join(given)}", both(
        whole_column("pheno", "height", of_a_variant), options(*given)),
        Accepted("W902", ("lower bound",), in_table(perfect),
                 "W603" if "per-variant" in given else None))
      for given in (("--test", "lrt"), ("--variance", "per-variant"), ("--h2", "0"))),
    Row(89, "h2 = 1", both(study_with(polygenic), options("--covar-name", "age")),
        Accepted(None, ("h2 1.0000, upper_bound",), in_table(all_finite))),
    Row(90, "an outlier", height({9: "9999"}),
        Accepted("W407", ("height", "standard deviations from its mean", "--rint"))),
    Row(90, "heavy tails", whole_column("pheno", "height", heavy),
        Accepted("W407", ("excess kurtosis", "--rint"))),
    Row(90, "an outlier under --rint", both(height({9: "9999"}), options("--rint")),
        Accepted(None, ("Trait height: rank-based inverse normal transform",),
                 all_of(same_as(both(height({9: "250"}), options("--rint"))), unwarned))),
)  # fmt: skip

ROWS: tuple[Row | Elsewhere, ...] = (
    *NOT_NUMBERS, *ABSENT, *POOR, *UNITS, *REST, *FILES,
)  # fmt: skip

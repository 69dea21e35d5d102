"""PLINK 2 on test_data: its GRM and principal components, its linear regression against h2 = 0.

Chromosome X and the exact Hardy-Weinberg test, too.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from bed_reader import open_bed
from reference import (
    TEST_DATA,
    Check,
    UnavailableError,
    at_most,
    none_of,
    read_results,
    run_lmmgwas,
    run_program,
)

from lmmgwas.numerics.hwe import hardy_weinberg_p

GRM_LIMIT = 1e-5
COMPONENT_LIMIT = 1e-4
TRAITS = ("height", "ldl")
HWE_THRESHOLDS = (0.05, 1e-3, 1e-5)
_STUDY = TEST_DATA / "study"
_N_COMPONENTS = 5
_DIGITS = 6  # significant digits that PLINK 2 prints
_COLUMNS = (("p", "p_value", "P"), ("beta", "beta", "BETA"), ("se", "standard_error", "SE"))


def grm(folder: Path) -> list[Check]:
    """`--make-grm-bin` against `--grm-model hwe --grm-missing pairwise`, same filters."""
    # --nonfounders: PLINK 2 takes frequencies from founders only unless told, we from everyone.
    filters = ["--autosome", "--maf", "0.01", "--geno", "0.1", "--nonfounders"]
    theirs = folder / "theirs"
    _plink2("--bfile", _STUDY, *filters, "--make-grm-bin", "--out", theirs)
    ours = folder / "ours"
    model = ["--grm-model", "hwe", "--grm-missing", "pairwise"]
    limits = ["--grm-maf", "0.01", "--grm-geno", "0.1"]
    run_lmmgwas("grm", "--bfile", _STUDY, *model, *limits, "--out", ours)
    K, L = (_triangle(prefix, ".grm.bin") for prefix in (ours, theirs))
    N, M = (_triangle(prefix, ".grm.N.bin") for prefix in (ours, theirs))
    return [
        at_most("GRM, largest difference", float(np.abs(K - L).max()), GRM_LIMIT),
        none_of("pairs with another count of variants", int((N != M).sum()), N.size),
    ]


def components(folder: Path) -> list[Check]:
    """`--pca` against `grm --pca`, model and variants of `grm` above: the first components."""
    filters = ["--autosome", "--maf", "0.01", "--geno", "0.1", "--nonfounders"]
    theirs = folder / "theirs"
    _plink2("--bfile", _STUDY, *filters, "--pca", str(_N_COMPONENTS), "--out", theirs)
    ours = folder / "ours"
    model = ["--grm-model", "hwe", "--grm-missing", "pairwise", "--pca", str(_N_COMPONENTS)]
    run_lmmgwas("grm", "--bfile", _STUDY, *model, "--out", ours)
    tables = [pd.read_csv(f"{prefix}.eigenvec", sep="\t") for prefix in (ours, theirs)]
    both = tables[0].merge(tables[1], on=["#FID", "IID"], suffixes=("", "_theirs"))
    lost = none_of("samples without components", len(tables[1]) - len(both), len(tables[1]))
    S, T = (np.loadtxt(f"{prefix}.eigenval") for prefix in (ours, theirs))
    eigenvalues = at_most("eigenvalues, largest relative difference", np.abs(S / T - 1).max(), 5e-6)
    checks = [lost, eigenvalues]
    for name in (f"PC{k}" for k in range(1, _N_COMPONENTS + 1)):
        short = 1.0 - abs(np.corrcoef(both[name], both[f"{name}_theirs"])[0, 1])
        checks.append(at_most(f"{name}: 1 - |correlation|", short, COMPONENT_LIMIT))
    return checks


def linear_regression(folder: Path) -> list[Check]:
    """`--glm` against `--h2 0 --precision double`.

    PLINK 2 leaves a person with a missing call out of that variant's regression, we put the
    variant's mean. So digits are compared where no call is missing. Signs are compared on all
    variants, with PLINK 2 given the same means as dosages; where it drops people, the signs of
    effects next to zero may differ, and that count is only noted.
    """
    covariates = _plink_covariates(folder)
    ours = folder / "ours"
    tables = ["--pheno", TEST_DATA / "pheno.tsv", "--covar", TEST_DATA / "covar.tsv"]
    model = ["--h2", "0", "--precision", "double", "--chr", "1-22", "--plots", "none"]
    run_lmmgwas("assoc", "--bfile", _STUDY, *tables, *model, "--out", ours)
    _glm(["--bfile", _STUDY, "--autosome", "--nonfounders"], covariates, folder / "dropped")
    checks = []
    for trait in TRAITS:
        result = read_results(ours, trait)
        dropped = _joined(result, folder / f"dropped.{trait}.glm.linear")
        complete = dropped[dropped["n"] == dropped["n"].max()]
        checks.append(none_of(f"{trait}: tested here, not by PLINK 2", *_lost(dropped)))
        filled = _joined(result, _glm_of_filled(trait, covariates, folder))
        signs = (f"{trait}: signs of beta that differ, {kind}" for kind in ("complete", "all"))
        checks.append(none_of(next(signs), len(_other_sign(complete)), len(complete)))
        checks.append(none_of(next(signs), len(_other_sign(filled)), len(filled)))
        checks.append(_note_of_dropped(trait, dropped))
        checks += _all_printed_digits(trait, complete)
    return checks


def chromosome_x(folder: Path) -> list[Check]:
    """`--glm --xchr-model 2` on X against `--h2 0 --precision double`: men are 0 or 2 in both.

    PLINK 2 adds sex to the covariates on X unless told `no-x-sex`. Without sex the effects
    rest on the coding of men most; with it, ours is told of sex and PLINK 2 finds it in the .fam.
    Its A1_FREQ of --glm counts men twice with this model; that of --freq, once, is compared.
    """
    covariates = _plink_covariates(folder)
    checks = []
    for mode, names, option in (
        ("without sex", ("age", "site"), ["no-x-sex"]),
        ("with sex", ("age", "sex", "site"), []),
    ):
        ours = folder / mode.replace(" ", "_")
        tables = ["--pheno", TEST_DATA / "pheno.tsv", "--covar", TEST_DATA / "covar.tsv"]
        model = ["--h2", "0", "--precision", "double", "--chr", "X", "--plots", "none"]
        options = ["--covar-name", ",".join(names), *model, "--out", ours]
        run_lmmgwas("assoc", "--bfile", _STUDY, *tables, *options)
        for trait in TRAITS:
            theirs = folder / f"{trait}_{ours.name}"
            keep = _keep(Path(f"{theirs}.keep"), _analysed(trait, names))
            study = ["--bfile", _STUDY, "--keep", keep, "--chr", "X", "--nonfounders"]
            chosen = ["--xchr-model", "2", "--pheno-name", trait, "--covar-name", "age,site"]
            _glm([*study, *chosen], covariates, theirs, *option)
            _plink2(*study, "--freq", "--out", theirs)
            both = _joined(read_results(ours, trait), Path(f"{theirs}.{trait}.glm.linear"))
            checks += _x_checks(f"{trait} {mode}", both, Path(f"{theirs}.afreq"))
    return checks


def _x_checks(what: str, both: pd.DataFrame, frequencies: Path) -> list[Check]:
    complete = both[both["n"] == both["n"].max()]
    with_frequency = _with_frequency(both, frequencies)
    return [
        none_of(f"{what}: tested here, not by PLINK 2", *_lost(both)),
        none_of(f"{what}: signs of beta that differ", len(_other_sign(complete)), len(complete)),
        *_all_printed_digits(what, complete),
        _printed_digits(f"{what}: frequency", with_frequency, "effect_allele_frequency", "FREQ"),
    ]


def hardy(folder: Path) -> list[Check]:
    """`--hardy` against our exact test on its counts, and its p < T against `--hwe T`.

    On autosomes and, for women, on X: PLINK 2's own test on X counts men, too, and is its
    women's where there are no men.
    """
    study = ["--bfile", _STUDY, "--pheno", TEST_DATA / "pheno.tsv", "--pheno-name", "height"]
    study += ["--h2", "0", "--mac", "0", "--geno", "1", "--plots", "none"]
    keep = _keep(folder / "keep", _analysed("height", ()))
    checks = []
    for who, option in (("founders", []), ("all", ["--nonfounders"])):
        excluded = []
        for threshold in HWE_THRESHOLDS:
            ours = folder / f"{who}_{threshold:g}"
            run_lmmgwas("assoc", *study, *option, "--hwe", str(threshold), "--out", ours)
            left_out = read_results(ours, "height", ".excluded.tsv.gz")
            excluded.append(set(left_out.loc[left_out["reason"] == "HWE", "marker_id"]))
        theirs = ["--bfile", _STUDY, "--keep", keep, *option, "--hardy", "--out"]
        _plink2(*theirs, folder / who, "--autosome")
        _plink2(*theirs, folder / who, "--chr", "X", "--keep-females")
        autosomes = _hardy_table(folder / f"{who}.hardy", "")
        women = _hardy_table(folder / f"{who}.hardy.x", "FEMALE_")
        checks.append(_printed_digits(f"{who}: p", autosomes, "ours", "P"))
        checks.append(_printed_digits(f"{who}, women on X: p", women, "ours", "P"))
        p = pd.concat([autosomes["P"], women["P"]])
        for threshold, left_out in zip(HWE_THRESHOLDS, excluded, strict=True):
            below = set(p.index[p < threshold])
            what = f"{who}, --hwe {threshold:g}: excluded by one only"
            checks.append(none_of(what, len(below ^ left_out), len(below)))
    return checks


def _plink2(*arguments: str | Path) -> None:
    program = shutil.which("plink2")
    if program is None:
        raise UnavailableError("plink2 is not installed (apt-get install plink2)")
    run_program([program, *arguments], "plink2")


def _triangle(prefix: Path, suffix: str) -> np.ndarray:
    values = np.fromfile(prefix.with_name(prefix.name + suffix), dtype="<f4")
    return values.astype(np.float64)


def _read_text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def _plink_covariates(folder: Path) -> Path:
    """Write covar.tsv with NONE for a missing category, as PLINK 2 demands."""
    table = _read_text(TEST_DATA / "covar.tsv")
    categories = ["sex", "site"]
    table[categories] = table[categories].replace("NA", "NONE")
    path = folder / "covar.tsv"
    table.to_csv(path, sep="\t", index=False)
    return path


def _glm(genotypes: list[str | Path], covariates: Path, out: Path, *modifiers: str) -> None:
    tables = ["--pheno", TEST_DATA / "pheno.tsv", "--covar", covariates]
    _plink2(*genotypes, *tables, "--glm", "hide-covar", "omit-ref", *modifiers, "--out", out)


def _glm_of_filled(trait: str, covariates: Path, folder: Path) -> Path:
    """Run `--glm` on dosages in which a missing call is the mean over the trait's people."""
    bim = pd.read_csv(f"{_STUDY}.bim", sep="\t", header=None, dtype=str)
    autosomal = np.flatnonzero(bim[0].str.isdigit())
    with open_bed(f"{_STUDY}.bed", count_A1=True, num_threads=1) as bed:
        dosage = bed.read(np.s_[:, autosomal], dtype="float64").T
    with np.errstate(invalid="ignore"):
        mean = np.nanmean(dosage[:, _analysed(trait)], axis=1)
    dosage = np.where(np.isnan(dosage), mean[:, None], dosage)
    lines = [
        " ".join([*bim.loc[j, [1, 4, 5]], *(f"{x:.5g}" for x in row)])
        for j, row in zip(autosomal.tolist(), dosage.tolist(), strict=True)
    ]
    path = folder / f"{trait}.dosage"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    map_file = folder / f"{trait}.map"
    bim.loc[autosomal, [0, 1, 2, 3]].to_csv(map_file, sep="\t", header=False, index=False)
    imported = ["--import-dosage", path, "noheader", "format=1", "--map", map_file]
    imported += ["--psam", f"{_STUDY}.fam"]
    _glm([*imported, "--pheno-name", trait], covariates, folder / "filled")
    return folder / f"filled.{trait}.glm.linear"


def _analysed(trait: str, names: Sequence[str] = ("age", "sex", "site")) -> np.ndarray:
    """Which people of the .fam have the trait and these covariates."""
    fam = _fam()
    pheno, covar = (_read_text(TEST_DATA / f"{name}.tsv") for name in ("pheno", "covar"))
    has_trait = set(pheno.loc[pheno[trait] != "NA", "IID"])
    has_covariates = set(covar.loc[(covar[list(names)] != "NA").all(axis=1), "IID"])
    return fam[1].isin(has_trait & has_covariates if names else has_trait).to_numpy()


def _fam() -> pd.DataFrame:
    return pd.read_csv(f"{_STUDY}.fam", sep=r"\s+", header=None, dtype=str)


def _keep(path: Path, analysed: np.ndarray) -> Path:
    """Write these people for --keep."""
    _fam().loc[analysed, [0, 1]].to_csv(path, sep="\t", header=False, index=False)
    return path


def _with_frequency(both: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return our rows with PLINK 2's frequency of our effect allele."""
    theirs = _read_text(path).set_index("ID")[["ALT", "ALT_FREQS"]]
    both = both.join(theirs, on="marker_id")
    # Where our effect allele is its reference, the last digit of 1 - frequency would be ours.
    if (both["ALT"] != both["effect_allele"]).any():
        raise RuntimeError("the .bim of test_data has column 5 as PLINK 2's ALT")
    return both.assign(FREQ=both["ALT_FREQS"].astype(float))


def _hardy_table(path: Path, prefix: str) -> pd.DataFrame:
    """Read --hardy's p by variant, and put beside it ours of the counts that it prints."""
    table = _read_text(path).set_index("ID")
    names = [f"{prefix}{name}" for name in ("HOM_A1_CT", "HET_A1_CT", "TWO_AX_CT")]
    counts = table[names].astype(int).to_numpy()
    return pd.DataFrame({"ours": hardy_weinberg_p(counts), "P": table["P"].astype(float)})


def _joined(ours: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Our rows with PLINK 2's beside them, its beta per copy of our effect allele."""
    theirs = _read_text(path).set_index("ID")[["A1", "OBS_CT", "BETA", "SE", "P"]]
    both = ours.join(theirs, on="marker_id")
    flipped = both["A1"] == both["other_allele"]
    known = flipped | (both["A1"] == both["effect_allele"])
    numbers = both[["BETA", "SE", "P"]].apply(pd.to_numeric, errors="coerce")
    numbers.loc[flipped, "BETA"] *= -1.0
    both[["BETA", "SE", "P"]] = numbers.where(known)
    both["p_value"] = both["p_value"].astype(float)
    return both


def _lost(both: pd.DataFrame) -> tuple[int, int]:
    wrong_count = both["OBS_CT"].fillna("0").astype(int) != both["n"]
    return int((both["BETA"].isna() | wrong_count).sum()), len(both)


def _other_sign(both: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose effects do not have the same sign; no result of theirs counts."""
    return both[np.sign(both["beta"]) != np.sign(both["BETA"])]


def _note_of_dropped(trait: str, both: pd.DataFrame) -> Check:
    other = _other_sign(both)
    t = np.concatenate([other["beta"] / other["standard_error"], other["BETA"] / other["SE"]])
    largest = float(np.abs(t).max(initial=0.0))
    return Check(
        f"{trait}: signs that differ, people with missing calls dropped by PLINK 2",
        "-",
        f"{len(other)} of {len(both):,}, largest |t| {largest:.2g}",
        None,
    )


def _all_printed_digits(what: str, complete: pd.DataFrame) -> list[Check]:
    """p, beta and se of variants without missing calls."""
    kind = f"of {len(complete):,} complete variants"
    return [
        _printed_digits(f"{what}: {name} {kind}", complete, ours, theirs)
        for name, ours, theirs in _COLUMNS
    ]


def _printed_digits(what: str, both: pd.DataFrame, ours: str, theirs: str) -> Check:
    """Round ours to the digits of theirs; one unit of the last digit is allowed.

    One unit is allowed: PLINK 2's printer rounds what lies near a half either way (an exact
    p of 0.06686315388, as ours, is 0.0668631 there), so the difference before rounding, which
    is shown too, may pass 0.5 a little.
    """
    printed = both[theirs].to_numpy()
    rounded = np.array([float(f"{x:.{_DIGITS}g}") for x in both[ours]])
    unit = 10.0 ** (np.floor(np.log10(np.abs(printed))) - _DIGITS + 1)
    units = np.rint(np.abs(rounded - printed) / unit)
    largest = float(units.max())
    before = float((np.abs(both[ours].to_numpy() - printed) / unit).max())
    differ = int((units > 0).sum())
    return Check(
        f"{what}, units of the last of {_DIGITS} digits",
        "<= 1",
        f"{largest:g} ({differ} of {len(both):,} differ; {before:.2f} before rounding)",
        bool(largest <= 1.0),
    )


CHECKS = [
    ("PLINK 2 --make-grm-bin on test_data", grm),
    ("PLINK 2 --pca on test_data", components),
    ("PLINK 2 --glm on test_data", linear_regression),
    ("PLINK 2 --glm --xchr-model 2 on X of test_data", chromosome_x),
    ("PLINK 2 --hardy on test_data", hardy),
]

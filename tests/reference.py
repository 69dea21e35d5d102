"""Comparisons with what other programs computed; shared by the tests and by scripts/validate.

Nothing here computes a statistic: the installed command is run as a user would run it, and its
files are held against those of `../shared/data`, which is not part of the repository. (What
judges the few rows where GEMMA is known to differ is in gemma_oracle.py.)
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from gemma_oracle import GemmaModel

REPOSITORY = Path(__file__).resolve().parents[1]
TEST_DATA = REPOSITORY / "test_data"
SHARED = REPOSITORY.parent / "shared" / "data"
MOUSE = SHARED / "mouse_hs1940"
TOY = SHARED / "toydata5chrom"

H2_LIMIT = 1e-5
LOG10_P_LIMITS = {"single": 1e-3, "double": 1e-5}
LOGLIK_LIMIT = 1e-3

ALL_VARIANTS = ("--grm-maf", "0", "--grm-geno", "1", "--mac", "0", "--geno", "1")
"""FaST-LMM filters nothing: whatever varies is in its GRM and is tested."""

GEMMA_NULL = {  # as GEMMA 0.98.5 prints them
    "CD8": {"vg": "1.47914", "ve": "0.340552", "pve": "0.609672", "se(pve)": "0.0327788"},
    "MCH": {"vg": "2.09221", "ve": "0.431909", "pve": "0.635891", "se(pve)": "0.0314314"},
}
CD8_LOGLIK = -1584.07400
"""Dense float64, no constant dropped. GEMMA prints -1584.07."""

GEMMA_TESTS = ("wald", "lrt", "score")
GEMMA_OPTIONS = ("--no-loco", "--variance", "per-variant", "--precision", "double")
GEMMA_LIMIT = 2e-5
"""Of beta in units of se, of se relative, of -log10 p. GEMMA's 7 digits are finer than that."""
MOST_STOPPED = 10
STOPPED_LIMIT = 1e-6
"""GEMMA ends its search for lambda at a step that changes it by less than 1e-5 of it: rows whose
p_wald is beyond GEMMA_LIMIT for that reason are known, few, and shown to be so to this limit."""


class UnavailableError(Exception):
    """A program or its data are not on this machine: the comparison is skipped."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the validation table; `ok` is None where a figure is only noted."""

    what: str
    required: str
    measured: str
    ok: bool | None


def at_most(what: str, value: float, limit: float) -> Check:
    """A figure that must not pass a limit; NaN does."""
    return Check(what, f"<= {limit:g}", f"{value:.3g}", bool(value <= limit))


def none_of(what: str, count: int, total: int) -> Check:
    """A count that must be zero."""
    return Check(what, "0", f"{count:,} of {total:,}", count == 0)


def require_data(folder: Path) -> None:
    """Raise UnavailableError where a folder of reference data is absent."""
    if not folder.is_dir():
        raise UnavailableError(f"no {folder.name} in ../shared/data")


def run_program(arguments: list[str | Path], name: str) -> str:
    """Run a program, return what it printed; RuntimeError with its last lines when it fails."""
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    if done.returncode != 0:
        last = "\n".join(printed.strip().split("\n")[-12:])
        raise RuntimeError(f"{name} ended with exit code {done.returncode}:\n{last}")
    return printed


def run_lmmgwas(*arguments: str | Path) -> str:
    """Run the command of this interpreter."""
    return run_program([sys.executable, "-m", "lmmgwas", *arguments], "lmmgwas")


def read_results(prefix: Path, trait: str, suffix: str = ".tsv.gz") -> pd.DataFrame:
    """Read one of a trait's tables; labels stay text."""
    text = dict.fromkeys(("chromosome", "marker_id", "group", "p_value"), str)
    path = prefix.with_name(f"{prefix.name}.{trait}{suffix}")
    return pd.read_csv(path, sep="\t", dtype=text, na_values=["#NA"])


def fastlmm_mouse(trait: str, precision: str, folder: Path) -> list[Check]:
    """Run the mice that have the trait, and compare with FaST-LMM's leave-one-out table."""
    require_data(MOUSE)
    table = pd.read_csv(MOUSE / "pheno.tsv", sep="\t", dtype={"FID": str, "IID": str})
    keep = folder / f"{trait}.keep"
    table.loc[table[trait].notna(), ["FID", "IID"]].to_csv(keep, sep="\t", index=False)
    prefix = folder / f"fastlmm_{precision}"
    study = ["--bfile", MOUSE / "mouse_hs1940", "--species", "mouse", "--keep", keep]
    study += ["--pheno", MOUSE / "pheno.tsv", "--pheno-name", trait]
    options = ["--precision", precision, "--plots", "none", "--out", prefix]
    run_lmmgwas("assoc", *study, *ALL_VARIANTS, *options)
    published = MOUSE / f"fastlmm_loco_{trait}.tsv.gz"
    return compare_with_fastlmm(published, prefix, trait, LOG10_P_LIMITS[precision])


def fastlmm_toy(precision: str, folder: Path) -> list[Check]:
    """Run FaST-LMM's toy data with its covariate, and compare with its own expected table."""
    require_data(TOY)
    prefix = folder / f"toy_{precision}"
    study = ["--bfile", TOY / "toydata.5chrom", "--pheno", TOY / "pheno.tsv"]
    study += ["--covar", TOY / "covar.tsv"]
    options = ["--precision", precision, "--plots", "none", "--out", prefix]
    run_lmmgwas("assoc", *study, *ALL_VARIANTS, *options)
    published = TOY / "fastlmm_loco.tsv.gz"
    return compare_with_fastlmm(published, prefix, "y", LOG10_P_LIMITS[precision])


def compare_with_fastlmm(published: Path, prefix: Path, trait: str, limit: float) -> list[Check]:
    """Hold a trait's results against a FaST-LMM table: variants, h2 by chromosome, p."""
    theirs = pd.read_csv(published, sep="\t", dtype={"SNP": str}).set_index("SNP")
    ours = read_results(prefix, trait).set_index("marker_id")
    left_out = read_results(prefix, trait, ".excluded.tsv.gz").set_index("marker_id")
    h2 = read_results(prefix, trait, ".null.tsv").set_index("group")["h2"]
    # FaST-LMM gives a variant that does not vary p = 1 and weight 0; we exclude it.
    monomorphic = theirs.index[(theirs["PValue"] == 1.0) & (theirs["SnpWeight"] == 0.0)]
    lost = theirs.index.difference(ours.index).difference(monomorphic)
    extra = left_out.index.symmetric_difference(monomorphic)
    unknown = ours.index.difference(theirs.index)
    everyone = pd.concat([ours["chromosome"], left_out["chromosome"]]).reindex(theirs.index)
    h2_error = (everyone.map(h2) - theirs["Nullh2"]).abs().max(skipna=False)
    both = theirs.join(ours["neg_log_10_p_value"], how="inner")
    p_error = (both["neg_log_10_p_value"] + np.log10(both["PValue"])).abs().max(skipna=False)
    n_groups = everyone.nunique()
    return [
        none_of("variants of theirs that we lack", len(lost) + len(unknown), len(theirs)),
        none_of(
            "excluded here and not monomorphic there, or vice versa", len(extra), len(left_out)
        ),
        at_most(f"h2 of {n_groups} LOCO groups, largest difference", float(h2_error), H2_LIMIT),
        at_most(f"-log10 p of {len(both):,} variants, largest", float(p_error), limit),
    ]


def gemma_null_models(folder: Path) -> list[Check]:
    """Fit the null models of both mouse traits with GEMMA's own matrix."""
    require_data(MOUSE)
    prefix = folder / "gemma_null"
    study = ["--bfile", MOUSE / "mouse_hs1940", "--species", "mouse"]
    study += ["--pheno", MOUSE / "pheno.tsv", "--grm", MOUSE / "gemma_centered", "--no-loco"]
    # Null models do not depend on what is tested: one chromosome is enough.
    run_lmmgwas("assoc", *study, "--chr", "19", "--plots", "none", "--out", prefix)
    checks = []
    for trait, printed in GEMMA_NULL.items():
        row = read_results(prefix, trait, ".null.tsv").set_index("group").loc["all"]
        ours = {
            "vg": float(row["sigma_g2"]) / float(row["grm_scale"]),
            "ve": float(row["sigma_e2"]),
            "pve": float(row["h2"]),
            "se(pve)": float(row["h2_se"]),
        }
        checks += [
            Check(f"{trait} {name}, printed digits", text, f"{ours[name]:.6g}", same)
            for name, text in printed.items()
            for same in [f"{ours[name]:.6g}" == text]
        ]
        if trait == "CD8":
            difference = abs(float(row["loglik"]) - CD8_LOGLIK)
            checks.append(at_most("CD8 log-likelihood, difference", difference, LOGLIK_LIMIT))
        checks.append(_same_in_manifest(prefix, trait, row))
    return checks


def _same_in_manifest(prefix: Path, trait: str, row: pd.Series) -> Check:
    """The manifest's null model is that of the table, to the table's 8 digits."""
    manifest = json.loads(prefix.with_name(f"{prefix.name}.run.json").read_text(encoding="utf-8"))
    fits = next(t["null_models"] for t in manifest["traits"] if t["name"] == trait)
    whole = next(fit for fit in fits if fit["group"] == "all")
    names = ("h2", "h2_se", "loglik", "grm_scale")
    differ = [name for name in names if float(f"{whole[name]:.8g}") != float(row[name])]
    return Check(
        f"{trait} null model in run.json",
        "as in .null.tsv",
        ", ".join(differ) or "same",
        not differ,
    )


def gemma_tables(test: str, folder: Path) -> list[Check]:
    """Test both mouse traits with GEMMA's matrix, and compare with its published tables."""
    require_data(MOUSE)
    prefix = folder / f"gemma_{test}"
    bfile, grm = MOUSE / "mouse_hs1940", MOUSE / "gemma_centered"
    study = ["--bfile", bfile, "--species", "mouse", "--pheno", MOUSE / "pheno.tsv", "--grm", grm]
    options = [*GEMMA_OPTIONS, "--test", test, "--maf", "0.01", "--plots", "none"]
    run_lmmgwas("assoc", *study, *options, "--out", prefix)
    traits = pd.read_csv(MOUSE / "pheno.tsv", sep="\t", dtype={"IID": str}).set_index("IID")
    checks = []
    for trait in GEMMA_NULL:

        def model(y: pd.Series = traits[trait]) -> GemmaModel:
            return GemmaModel.of(bfile, grm, y)

        published = MOUSE / f"gemma_lmm4_{trait}.assoc.txt.gz"
        checks += compare_with_gemma(published, prefix, trait, test, model)
    return checks


def compare_with_gemma(
    table: Path, prefix: Path, trait: str, test: str, model: Callable[[], GemmaModel]
) -> list[Check]:
    """Hold a trait's rows against GEMMA's: alleles, counts, beta, se and the p of this test.

    `model` is called where Wald's p differ, to ask whether GEMMA stopped early.
    """
    theirs = pd.read_csv(table, sep="\t", dtype={"rs": str, "chr": str}).set_index("rs")
    ours = read_results(prefix, trait).set_index("marker_id")
    both = theirs.join(ours.drop(columns="beta").assign(b=ours["beta"]), how="left")
    same = (both["allele1"] == both["effect_allele"]) & (both["allele0"] == both["other_allele"])
    n_analysed = (both["n"] + both["n_miss"]).dropna().unique()
    one_count = len(n_analysed) == 1
    beta = ((both["b"] - both["beta"]) / both["se"]).abs().max(skipna=False)
    se = (both["standard_error"] / both["se"] - 1.0).abs().max(skipna=False)
    p = (both["neg_log_10_p_value"] + np.log10(both[f"p_{test}"])).abs()
    beyond = both.index[~(p <= GEMMA_LIMIT)] if test == "wald" else both.index[:0]
    what = f"{trait} {test}"
    within = f"p_{test} of {len(both) - len(beyond):,} variants, -log10"
    checks = [
        none_of(f"{what}: rows of theirs that we lack", int((~same).sum()), len(both)),
        Check(f"{what}: their n, less n_miss, is ours", "yes", "yes" * one_count, one_count),
        at_most(f"{what}: beta, in se", float(beta), GEMMA_LIMIT),
        at_most(f"{what}: se, relative", float(se), GEMMA_LIMIT),
        at_most(f"{what}: {within}", float(p.drop(beyond).max(skipna=False)), GEMMA_LIMIT),
    ]
    if test == "wald":
        checks += _stopped(what, both.loc[beyond], model)
    return checks


def _stopped(what: str, rows: pd.DataFrame, model: Callable[[], GemmaModel]) -> list[Check]:
    """Show that GEMMA stopped short of the best lambda in these rows, and that we did not."""
    checks = [at_most(f"{what}: rows beyond, GEMMA stopped early", len(rows), MOST_STOPPED)]
    if not 0 < len(rows) <= MOST_STOPPED:
        return checks
    gemma = model()
    at_theirs, at_best, gain = [], [], []
    for marker, row in rows.iterrows():
        A = gemma.design(str(marker))
        stopped, best = row["l_remle"], gemma.best_ratio(row["l_remle"], A)
        at_theirs.append(abs(gemma.wald_p(stopped, A) / row["p_wald"] - 1.0))
        at_best.append(abs(np.log10(gemma.wald_p(best, A)) + row["neg_log_10_p_value"]))
        gain.append(gemma.reml(best, A) - gemma.reml(stopped, A))
    higher = f"{min(gain):.2g} to {max(gain):.2g}"
    theirs, ours = float(np.max(at_theirs)), float(np.max(at_best))
    return [
        *checks,
        at_most(f"{what}: their p, dense at their l_remle, relative", theirs, STOPPED_LIMIT),
        at_most(f"{what}: our p, dense at the best lambda, -log10", ours, STOPPED_LIMIT),
        Check(f"{what}: log-likelihood there, above GEMMA's", "> 0", higher, bool(min(gain) > 0.0)),
    ]

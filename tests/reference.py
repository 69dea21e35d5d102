"""Comparisons with what other programs computed; shared by the tests and by scripts/validate.

Nothing here computes a statistic: the installed command is run as a user would run it, and its
files are held against those of `../shared/data`, which is not part of the repository.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

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

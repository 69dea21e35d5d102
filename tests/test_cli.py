"""The program as its users meet it: what they type, what they get, and what never changes.

Wrong input is the subject of test_cli_errors.py.
"""

import gzip
import hashlib
import itertools
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest
from conftest import (
    CAUSAL,
    MALE,
    MISSING,
    SPECIAL,
    RunCli,
    Study,
    StudyFiles,
    Table,
    files_of,
    read_tsv,
)
from scipy import special, stats

import lmmgwas

COLUMNS = [
    *("chromosome", "base_pair_location", "effect_allele", "other_allele"),
    *("beta", "standard_error", "effect_allele_frequency", "p_value"),
    *("rsid", "ref_allele", "n", "neg_log_10_p_value", "marker_id"),
]
NULL_COLUMNS = [
    *("group", "n_variants_tested", "n_variants_grm", "n", "grm_scale", "h2", "h2_se"),
    *("sigma_g2", "sigma_e2", "loglik", "status", "lambda_gc", "p_h2"),
]
SAMPLE_COLUMNS = [
    *("FID", "IID", "in_genotypes", "in_pheno", "in_covar", "in_grm", "analysed", "reason"),
]
DATA_SUFFIXES = (
    ".tsv.gz",
    ".tsv.gz.tbi",
    ".tsv.gz-meta.yaml",
    ".excluded.tsv.gz",
    ".leads.tsv",
    ".null.tsv",
)
PLOT_SUFFIXES = (".manhattan.png", ".manhattan.pdf", ".qq.png", ".qq.pdf")
HEAVY = ("numpy", "scipy", "numba", "pandas", "matplotlib", "pyarrow", "bed_reader", "pysam")
WHITENERS = ("cholesky", "spectral")
ONE_THREAD = ("--threads", 1)
"""For small studies: on a shared machine two threads wait for each other."""


@pytest.fixture(autouse=True)
def _same_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sidecar's schema demands a date: two runs around midnight shall have one."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@dataclass(frozen=True)
class Run:
    """A finished run."""

    prefix: Path
    stderr: str

    def path(self, suffix: str) -> Path:
        return self.prefix.with_name(self.prefix.name + suffix)

    def table(self, trait: str = "height") -> pd.DataFrame:
        return read_tsv(self.path(f".{trait}.tsv.gz"))

    def excluded(self, trait: str = "height") -> pd.DataFrame:
        return read_tsv(self.path(f".{trait}.excluded.tsv.gz"))

    def null(self, trait: str = "height") -> pd.DataFrame:
        return read_tsv(self.path(f".{trait}.null.tsv")).set_index("group")

    def leads(self, trait: str = "height") -> pd.DataFrame:
        return read_tsv(self.path(f".{trait}.leads.tsv"))

    def samples(self) -> pd.DataFrame:
        return read_tsv(self.path(".samples.tsv"))

    def manifest(self) -> dict:
        return json.loads(self.path(".run.json").read_text())

    def files(self, trait: str = "") -> dict[str, bytes]:
        return files_of(self.prefix, trait=trait)


def numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    return table[column].astype(float).to_numpy()


def neg_log10_p(run: Run, trait: str = "height") -> pd.Series:
    return run.table(trait).set_index("marker_id")["neg_log_10_p_value"].astype(float)


Assoc = Callable[..., Run]


@pytest.fixture
def assoc(run_cli: RunCli, tmp_path: Path) -> Assoc:
    """`assoc(files, "--option", ...)`: run the study, each time into a folder of its own.

    The prefix has the same name everywhere, since the sidecar names the table.
    """
    count = itertools.count()

    def run(files: StudyFiles, *options: object, plots: str = "none") -> Run:
        out = tmp_path / f"out{next(count)}" / "run"
        out.parent.mkdir()
        usual = ("--out", out, "--plots", plots, *ONE_THREAD)
        result = run_cli("assoc", *files.inputs, *usual, *options)
        assert result.exit_code == 0, result.stderr
        return Run(out, result.stderr)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Study], StudyFiles]:
    """Write a study into a folder of its own."""
    count = itertools.count()
    return lambda study: study.write(tmp_path / f"study{next(count)}")


# --- Starting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--version"], f"lmmgwas, version {lmmgwas.__version__}"),
        (["--help"], "assoc"),
        (["assoc", "--help"], "--cat-covar-name"),
        (["grm", "--help"], "--eigen"),
        (["example", "--help"], "DIR"),
    ],
)
def test_help_answers_without_loading_libraries(args: list[str], said: str) -> None:
    code = (
        "import sys, lmmgwas.cli.main as m\n"
        f"sys.argv = ['lmmgwas', *{args!r}]\n"
        "try: m.main()\n"
        "except SystemExit as left:\n"
        f"    print([n for n in {HEAVY!r} if n in sys.modules], left.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said in done.stdout
    assert done.stdout.endswith("[] 0\n")


def test_python_m_is_the_program() -> None:
    command = [sys.executable, "-m", "lmmgwas", "assoc"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--pheno" in done.stderr


# --- The main job on test_data ----------------------------------------------------------------


@pytest.fixture(scope="module")
def main_run(run_cli: RunCli, test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`assoc` on test_data as a user would type it: both traits, plots, warnings refused."""
    out = tmp_path_factory.mktemp("main") / "first"
    files = {"--bfile": "study", "--pheno": "pheno.tsv", "--covar": "covar.tsv"}
    named = itertools.chain(*((option, test_data / name) for option, name in files.items()))
    result = run_cli("assoc", *named, "--out", out, "--strict", "--genome-build", "GRCh38")
    assert result.exit_code == 0, result.stderr
    return Run(out, result.stderr)


TRAITS = pytest.mark.parametrize("trait", ["height", "ldl"])


def loci(run: Run, trait: str) -> list[str]:
    """How the regional plots of a trait end: one of each format for each lead below 5e-8."""
    leads = read_tsv(run.path(f".{trait}.leads.tsv"))
    below = leads[leads["p_value"].astype(float) < 5e-8]
    places = zip(below["chromosome"], below["base_pair_location"], strict=True)
    return [f"{chrom}_{pos}.{suffix}" for chrom, pos in places for suffix in ("png", "pdf")]


def test_writes_the_promised_files_and_no_others(main_run: Run) -> None:
    per_trait = [f".{t}{s}" for t in ("height", "ldl") for s in DATA_SUFFIXES + PLOT_SUFFIXES]
    per_trait += [f".{t}.region.{place}" for t in ("height", "ldl") for place in loci(main_run, t)]
    report = [".report.html"] if find_spec("plotly") else []
    of_run = (*report, ".samples.tsv", "_mqc.json", ".run.json", ".log")
    names = [f"first{s}" for s in (*per_trait, *of_run)]
    assert sorted(p.name for p in main_run.prefix.parent.iterdir()) == sorted(names)
    for name in names:
        assert (main_run.prefix.parent / name).stat().st_size > 0


@TRAITS
def test_table_has_the_columns_of_gwas_ssf_in_its_order(main_run: Run, trait: str) -> None:
    table = main_run.table(trait)
    assert list(table.columns) == COLUMNS
    assert (table["ref_allele"] == "#NA").all()
    assert table["chromosome"].unique().tolist() == [str(k) for k in range(1, 24)]
    for _, group in table.groupby("chromosome"):
        assert (np.diff(numbers(group, "base_pair_location")) >= 0).all()


@TRAITS
def test_numbers_carry_8_significant_digits(main_run: Run, trait: str) -> None:
    tables = [
        (main_run.table(trait), [*COLUMNS[4:8], "neg_log_10_p_value"]),
        (main_run.null(trait), NULL_COLUMNS[4:10]),
        (main_run.leads(trait), COLUMNS[4:8]),
    ]
    for table, columns in tables:
        for column in columns:
            cells = [cell for cell in table[column] if cell != "NA"]
            assert [f"{float(cell):.8g}" for cell in cells] == cells
    mantissas = main_run.table(trait)["beta"].str.replace(r"e.*|[-.]", "", regex=True)
    assert (mantissas.str.lstrip("0").str.len() == 8).mean() > 0.8  # trailing zeros are not kept


@TRAITS
def test_columns_of_a_row_agree_with_each_other(main_run: Run, trait: str) -> None:
    table = main_run.table(trait)
    beta, se = numbers(table, "beta"), numbers(table, "standard_error")
    null = main_run.null(trait)
    dof = int(null.loc["all", "n"]) - 5 - 1  # intercept, age, sex, two of three sites
    expected = -(np.log(2.0) + stats.t.logsf(np.abs(beta / se), dof)) / np.log(10.0)
    found = numbers(table, "neg_log_10_p_value")
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-7)  # 8 digits of beta and se
    np.testing.assert_allclose(-np.log10(numbers(table, "p_value")), found, rtol=1e-7, atol=1e-8)


def calls_of(test_data: Path) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """.bim, .fam and calls (m, n) with NaN, by a decoder of our own."""
    names = ["chrom", "marker", "cm", "pos", "a5", "a6"]
    bim = pd.read_csv(test_data / "study.bim", sep="\t", names=names, dtype=str)
    people = ["FID", "IID", "father", "mother", "sex", "trait"]
    fam = pd.read_csv(test_data / "study.fam", sep="\t", names=people, dtype=str)
    raw = np.frombuffer((test_data / "study.bed").read_bytes(), np.uint8)[3:]
    codes = (raw.reshape(len(bim), -1, 1) >> np.array([0, 2, 4, 6], np.uint8)) & 3
    copies = np.array([2.0, np.nan, 1.0, 0.0])[codes.reshape(len(bim), -1)[:, : len(fam)]]
    return bim, fam, copies


def analysed(run: Run, fam: pd.DataFrame, trait: str) -> np.ndarray:
    """Which samples of the .fam are analysed for a trait, by samples.tsv."""
    samples = run.samples()
    ours = samples[samples["in_genotypes"] == "1"]
    assert ours["IID"].tolist() == fam["IID"].tolist()
    lacking = ours["reason"].str.contains(rf"MISSING_TRAIT:(?:.*,)?{trait}(?:,|$)")
    return ((ours["analysed"] == "1") & ~lacking).to_numpy()


@TRAITS
def test_alleles_counts_and_frequencies_are_those_of_the_files(
    main_run: Run, test_data: Path, trait: str
) -> None:
    bim, fam, copies = calls_of(test_data)
    rows = analysed(main_run, fam, trait)
    copies = copies[:, rows]
    male = (fam["sex"] == "1").to_numpy()[rows]
    weight = np.where((bim["chrom"] == "X").to_numpy()[:, None] & male, 0.5, 1.0)
    weight = weight * ~np.isnan(copies)
    af = (weight * np.nan_to_num(copies)).sum(1) / np.maximum(2 * weight.sum(1), 1.0)
    truth = bim.assign(af=af, n=(~np.isnan(copies)).sum(1)).set_index("marker")
    table = main_run.table(trait)
    truth = truth.loc[table["marker_id"]]
    assert table["effect_allele"].tolist() == truth["a5"].tolist()
    assert table["other_allele"].tolist() == truth["a6"].tolist()
    assert table["base_pair_location"].tolist() == truth["pos"].tolist()
    assert table["n"].tolist() == truth["n"].astype(str).tolist()
    found = numbers(table, "effect_allele_frequency")
    np.testing.assert_allclose(found, truth["af"], rtol=1e-7)  # 8 digits
    assert int(main_run.null(trait).loc["all", "n"]) == rows.sum()


@TRAITS
def test_finds_the_causal_variants_with_their_sign(
    main_run: Run, test_data: Path, trait: str
) -> None:
    truth = read_tsv(test_data / "truth.tsv")
    truth = truth[truth["trait"] == trait].set_index("marker_id")
    found = main_run.table(trait).set_index("marker_id").loc[truth.index]
    assert found["effect_allele"].tolist() == truth["effect_allele"].tolist()
    assert found["chromosome"].tolist() == truth["chromosome"].tolist()
    beta, se = numbers(found, "beta"), numbers(found, "standard_error")
    simulated = numbers(truth, "beta")
    assert (np.sign(beta) == np.sign(simulated)).all()
    # The simulated effect lies within 4 standard errors: missed once in 16,000 variants.
    assert (np.abs(beta - simulated) < 4 * se).all()
    assert (numbers(found, "neg_log_10_p_value") > 3).all()


@TRAITS
def test_index_finds_variants_by_place(main_run: Run, trait: str) -> None:
    table = main_run.table(trait)
    with pysam.TabixFile(str(main_run.path(f".{trait}.tsv.gz"))) as indexed:
        assert indexed.contigs == table["chromosome"].unique().tolist()
        for row in table.iloc[[0, 3000, len(table) - 1]].itertuples():
            pos = int(row.base_pair_location)
            lines = [line.split("\t") for line in indexed.fetch(row.chromosome, pos - 1, pos)]
            assert [line[-1] for line in lines] == [row.marker_id]
        on_18 = sum(1 for _ in indexed.fetch("18"))
    assert on_18 == (table["chromosome"] == "18").sum()


@TRAITS
def test_variants_are_conserved(main_run: Run, test_data: Path, trait: str) -> None:
    excluded = main_run.excluded(trait)
    assert list(excluded.columns) == ["chromosome", "base_pair_location", "marker_id", "reason"]
    everything = [*main_run.table(trait)["marker_id"], *excluded["marker_id"]]
    in_bim = [line.split("\t")[1] for line in (test_data / "study.bim").read_text().splitlines()]
    assert sorted(everything) == sorted(in_bim)
    described = next(t for t in main_run.manifest()["traits"] if t["name"] == trait)
    counts = excluded["reason"].value_counts().to_dict()
    assert counts == {k: v for k, v in counts.items() if k in ("MONOMORPHIC", "LOW_MAC")}
    text = json.dumps(described)
    assert all(f'"{reason}": {count}' in text for reason, count in counts.items())


def test_samples_are_conserved(main_run: Run, test_data: Path) -> None:
    samples = main_run.samples()
    assert list(samples.columns) == SAMPLE_COLUMNS
    ours = samples[samples["in_genotypes"] == "1"]
    n_fam = len((test_data / "study.fam").read_text().splitlines())
    assert len(ours) == n_fam
    assert ours["analysed"].isin(["0", "1"]).all()
    dropped = ours[ours["analysed"] == "0"]
    assert (dropped["reason"] != "").all()
    assert (ours["analysed"] == "1").sum() + len(dropped) == n_fam
    expected = {"NOT_IN_PHENO": 4, "MISSING_COVARIATE": 3, "MISSING_TRAIT": 3}
    assert dropped["reason"].value_counts().to_dict() == expected
    others = samples[samples["in_genotypes"] == "0"]
    assert others["reason"].tolist() == ["NOT_IN_GENOTYPES"] * 2
    for reason, count in expected.items():  # the printed table
        assert re.search(rf"dropped: {reason} +{count}\n", main_run.stderr)


def test_manifest_accounts_for_every_sample(main_run: Run) -> None:
    """samples in the .fam = analysed + dropped by reason: from run.json alone."""
    counts = main_run.manifest()["samples"]
    samples = main_run.samples()
    ours = samples[samples["in_genotypes"] == "1"]
    n_analysed = int((ours["analysed"] == "1").sum())
    assert counts["in_genotypes"] == n_analysed + sum(counts["dropped"].values())


@TRAITS
def test_null_table(main_run: Run, trait: str) -> None:
    null = main_run.null(trait)
    assert ["group", *null.columns] == NULL_COLUMNS
    assert null.index.tolist() == [*(str(k) for k in range(1, 23)), "X", "all"]
    assert (null["p_h2"][:-1] == "NA").all()
    assert 0.0 < float(null.loc["all", "p_h2"]) < 1e-6
    assert (null["status"] == "converged").all()
    table = main_run.table(trait)
    n_tested = null["n_variants_tested"].astype(int)
    assert n_tested["all"] == len(table) == n_tested[:-1].sum()
    in_grm = null["n_variants_grm"].astype(int)
    assert (in_grm["all"] - in_grm[:-2]).sum() == in_grm["all"] == in_grm["X"]
    h2 = numbers(null, "h2")
    sigma_g2, sigma_e2 = numbers(null, "sigma_g2"), numbers(null, "sigma_e2")
    np.testing.assert_allclose(sigma_g2 / (sigma_g2 + sigma_e2), h2, rtol=1e-7)  # 8 digits
    for group, rows in table.groupby("chromosome"):
        chi2 = stats.chi2.isf(numbers(rows, "p_value"), 1)
        found = float(null.loc["X" if group == "23" else group, "lambda_gc"])
        assert found == pytest.approx(np.median(chi2) / stats.chi2.isf(0.5, 1), rel=1e-6)
    chi2 = stats.chi2.isf(numbers(table, "p_value"), 1)
    found = float(null.loc["all", "lambda_gc"])
    assert found == pytest.approx(np.median(chi2) / stats.chi2.isf(0.5, 1), rel=1e-6)


def test_x_is_tested_against_all_autosomes(main_run: Run) -> None:
    null = main_run.null()
    same = ["n_variants_grm", "grm_scale", "h2", "h2_se", "sigma_g2", "sigma_e2", "loglik"]
    assert null.loc["X", same].tolist() == null.loc["all", same].tolist()


@TRAITS
def test_leads_are_the_best_of_each_locus(main_run: Run, trait: str) -> None:
    leads, table = main_run.leads(trait), main_run.table(trait)
    assert list(leads.columns) == [*COLUMNS, "locus_start", "locus_end", "n_variants_in_locus"]
    significant = table[numbers(table, "p_value") < 5e-8]
    assert len(leads) > 0
    assert set(leads["marker_id"]) <= set(significant["marker_id"])
    assert (np.diff(numbers(leads, "neg_log_10_p_value")) <= 0).all()
    rows = table.set_index("marker_id").loc[leads["marker_id"]].reset_index()
    pd.testing.assert_frame_equal(rows[COLUMNS], leads[COLUMNS])
    for hit in significant.itertuples():  # each belongs to a locus
        near = leads[leads["chromosome"] == hit.chromosome]
        distance = np.abs(numbers(near, "base_pair_location") - int(hit.base_pair_location))
        assert (distance <= 500_000).any()
    pos = numbers(leads, "base_pair_location")
    assert (numbers(leads, "locus_end") == pos + 500_000).all()
    assert (numbers(leads, "locus_start") == np.maximum(1, pos - 500_000)).all()


def test_manifest_is_complete(main_run: Run, test_data: Path) -> None:
    manifest = main_run.manifest()
    assert list(manifest)[-1] == "complete"
    assert manifest["complete"] is True
    assert manifest["software"]["lmmgwas"] == lmmgwas.__version__
    assert manifest["software"]["libraries"]["numpy"] == np.__version__
    assert {"library", "version", "kernels", "threads"} <= set(manifest["blas"][0])
    assert manifest["arguments"]["mac"] == 5.0  # a default
    assert manifest["arguments"]["genome_build"] == "GRCh38"  # as typed
    assert manifest["n_variants_selected"] == 7000
    assert manifest["threshold"] == 5e-8
    assert manifest["loco"] is True
    assert manifest["warnings"] == []
    assert [t["name"] for t in manifest["traits"]] == ["height", "ldl"]
    for trait in manifest["traits"]:
        null = main_run.null(trait["name"])
        assert trait["n_samples"] == int(null.loc["all", "n"])
        assert trait["whitener"]["used"][0] in WHITENERS
        assert {"cost_spectral", "cost_cholesky", "rule"} <= set(trait["whitener"])
        assert f"{trait['lambda_gc']:.8g}" == null.loc["all", "lambda_gc"]
        groups = [model["group"] for model in trait["null_models"]]
        assert groups == null.index.tolist()
    names = [Path(item["path"]).name for item in manifest["inputs"]]
    assert names == ["study.bed", "study.bim", "study.fam", "pheno.tsv", "covar.tsv"]


def test_manifest_has_the_digest_of_every_file(main_run: Run) -> None:
    manifest = main_run.manifest()
    for item in manifest["inputs"] + manifest["outputs"]:
        data = Path(item["path"]).read_bytes()
        assert item["bytes"] == len(data)
        assert item["sha256"] == hashlib.sha256(data).hexdigest()
    listed = {Path(item["path"]).name for item in manifest["outputs"]}
    there = {p.name for p in main_run.prefix.parent.iterdir()}
    assert listed == there - {"first.run.json", "first.log"}
    rows = {Path(item["path"]).name: item.get("rows") for item in manifest["outputs"]}
    assert rows["first.height.tsv.gz"] == len(main_run.table())


def test_log_is_what_was_said(main_run: Run) -> None:
    log = main_run.path(".log").read_text()
    for line in main_run.stderr.splitlines():
        assert line in log
    said = ("analysed", "lambda_gc", "h2 0.", "excluded", "Results:", "rs1006096")
    assert all(word in main_run.stderr for word in said)


@TRAITS
def test_sidecar_describes_the_table(main_run: Run, trait: str) -> None:
    text = main_run.path(f".{trait}.tsv.gz-meta.yaml").read_text()
    table = main_run.path(f".{trait}.tsv.gz").read_bytes()
    n = main_run.null(trait).loc["all", "n"]
    digest = hashlib.md5(table, usedforsecurity=False).hexdigest()
    for line in (
        f'data_file_name: "first.{trait}.tsv.gz"',
        f"data_file_md5sum: {digest}",
        "file_type: GWAS-SSF v1.0",
        'genome_assembly: "GRCh38"',
        f"sample_size: {n}",
        "is_sorted: true",
    ):
        assert line in text


def gzip_members(data: bytes) -> list[bytes]:
    """The header of each member of a BGZF file."""
    headers = []
    while data:
        size = int.from_bytes(data[16:18], "little") + 1  # BSIZE of the BC field
        headers.append(data[:18])
        data = data[size:]
    return headers


@TRAITS
def test_tables_hold_nothing_that_changes_between_runs(main_run: Run, trait: str) -> None:
    prefix = f".{trait}"
    packed = [main_run.path(f"{prefix}{s}").read_bytes() for s in (".tsv.gz", ".excluded.tsv.gz")]
    for data in packed:
        for header in gzip_members(data):
            assert header[:3] == b"\x1f\x8b\x08"
            assert header[3] == 4  # an extra field; neither name nor comment
            assert header[4:8] == bytes(4)  # no time
    plain = [main_run.path(f"{prefix}{s}").read_bytes() for s in (".leads.tsv", ".null.tsv")]
    plain.append(main_run.path(".samples.tsv").read_bytes())
    for content in [gzip.decompress(data) for data in packed] + plain:
        text = content.decode()
        for word in (str(main_run.prefix.parent), socket.gethostname(), "lmmgwas"):
            assert word not in text
        assert not re.search(r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}\b", text)


def test_plots_are_pictures(main_run: Run) -> None:
    for suffix in PLOT_SUFFIXES:
        data = main_run.path(f".height{suffix}").read_bytes()
        assert data.startswith(b"\x89PNG" if suffix.endswith("png") else b"%PDF")
        assert len(data) < 200_000


# --- The same bytes ---------------------------------------------------------------------------


def test_the_same_run_twice(assoc: Assoc, small_study: StudyFiles) -> None:
    first, second = (assoc(small_study, plots="all") for _ in range(2))
    whole = [name for name in first.files() if ".region." not in name]
    assert len(whole) == 2 * len(DATA_SUFFIXES + PLOT_SUFFIXES) + 1
    assert first.files() == second.files()


def test_two_threads(assoc: Assoc, small_study: StudyFiles) -> None:
    """The same bytes for the same number of threads; 1e-5 of another number's."""
    one, two, again = (assoc(small_study, "--threads", k) for k in (1, 2, 2))
    assert two.files() == again.files()
    assert np.abs(neg_log10_p(one) - neg_log10_p(two)).max() < 1e-5
    assert two.manifest()["threads"] == 2


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("whitener", WHITENERS)
def test_block_size_changes_nothing(
    assoc: Assoc, small_study: StudyFiles, block: int, whitener: str
) -> None:
    usual = assoc(small_study, "--whitener", whitener)
    assert assoc(small_study, "--whitener", whitener, "--block-size", block).files() == (
        usual.files()
    )


def test_block_size_changes_nothing_where_tiles_are_full(
    assoc: Assoc, test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chromosome 1 of test_data is four tiles and a half."""
    for name in ("_FEWEST_ROWS", "_MOST_ROWS"):
        monkeypatch.setattr(f"lmmgwas.model.scan.{name}", 128)
    keep = tmp_path / "keep"
    people = (test_data / "study.fam").read_text().splitlines()[::4]
    keep.write_text("".join("\t".join(line.split("\t")[:2]) + "\n" for line in people))
    common = ("--keep", keep, "--chr", "1,X", "--precision", "double")
    files = StudyFiles(test_data)
    runs = [assoc(files, *common, "--block-size", size) for size in (100, 4096)]
    assert runs[0].files() == runs[1].files()
    # Other threads: BLAS sums in another order while the null models are fitted.
    two = assoc(files, *common, "--block-size", 50, "--threads", 2)
    assert np.abs(neg_log10_p(runs[0]) - neg_log10_p(two)).max() < 1e-5


@pytest.mark.parametrize(
    ("of_grm", "of_model"),
    [
        ((), ()),
        ((), ("--whitener", "spectral", "--precision", "double")),
        (("--grm-model", "hwe"), ()),
        (("--grm-missing", "pairwise"), ()),
        (("--grm-model", "centered", "--grm-maf", "0.2", "--grm-geno", "0.01"), ()),
        ((), ("--no-loco",)),
    ],
    ids=" ".join,
)
def test_grm_then_assoc_is_assoc_alone(
    assoc: Assoc,
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    of_grm: tuple[str, ...],
    of_model: tuple[str, ...],
) -> None:
    alone = assoc(small_study, *of_grm, *of_model)
    prefix = tmp_path / "kept"
    made = run_cli("grm", "--bfile", small_study.bfile, "--out", prefix, *of_grm, *ONE_THREAD)
    assert made.exit_code == 0
    assert assoc(small_study, *of_model, "--grm", prefix).files() == alone.files()


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("whitener", WHITENERS)
def test_traits_do_not_depend_on_each_other(
    assoc: Assoc, study: Study, write: Callable, whitener: str, precision: str
) -> None:
    """Also for traits with the same samples, which share a decomposition and a rotation."""
    rng = np.random.default_rng(3)
    gaps = study.pheno.column("height")
    third = [
        g if g == "NA" else f"{float(g) + 4 * e:.3f}"
        for g, e in zip(gaps, rng.normal(size=118), strict=True)
    ]
    study.pheno.add("other", third)
    files = write(study)
    options = ("--whitener", whitener, "--precision", precision)
    joint = assoc(files, *options)
    for trait in ("height", "weight", "other"):
        alone = assoc(files, *options, "--pheno-name", trait)
        assert alone.files(trait) == joint.files(trait)
        assert len(alone.files(trait)) == len(DATA_SUFFIXES)


def _packed(text: str) -> bytes:
    return gzip.compress(text.encode())


@pytest.mark.parametrize(
    ("what", "as_written"),
    {
        "gzip": _packed,
        "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
        "CRLF, gzip": lambda text: _packed(text.replace("\n", "\r\n")),
        "commas": lambda text: text.replace("\t", ",").encode(),
        "blanks": lambda text: text.replace("\t", "  ").encode(),
        "byte order mark": lambda text: text.encode("utf-8-sig"),
        "no last line end": lambda text: text.rstrip("\n").encode(),
        "#FID": lambda text: f"#{text}".encode(),
        "empty fields": lambda text: text.replace("\tNA", "\t").encode(),
        "IID only": lambda text: re.sub(r"(?m)^\S+\t", "", text).encode(),
        "rows in another order": lambda text: "\n".join(
            [text.split("\n")[0], *sorted(text.split("\n")[1:-1], reverse=True), ""]
        ).encode(),
    }.items(),
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_tables_may_be_written_in_other_ways(
    assoc: Assoc, study: Study, write: Callable, what: str, as_written: Callable[[str], bytes]
) -> None:
    usual = assoc(write(study))
    files = write(study)
    files.pheno.write_bytes(as_written(study.pheno.text()))
    files.covar.write_bytes(as_written(study.covar.text()))
    assert assoc(files).files() == usual.files()


def test_bim_and_fam_may_have_windows_line_ends(
    assoc: Assoc, small_study: StudyFiles, study: Study
) -> None:
    usual = assoc(small_study)
    small_study.bim.write_bytes(study.bim().replace("\n", "\r\n").encode())
    small_study.fam.write_bytes(study.fam().replace("\n", "\r\n").encode())
    windows = assoc(small_study)
    assert windows.files() == usual.files()
    assert "CRLF" in windows.stderr


def test_bfile_or_three_files_or_one_per_chromosome(
    assoc: Assoc, run_cli: RunCli, small_study: StudyFiles, study: Study, tmp_path: Path
) -> None:
    usual = assoc(small_study, "--chr", "1-4")
    named = [x for s in ("bed", "bim", "fam") for x in (f"--{s}", getattr(small_study, s))]
    tables = small_study.inputs[2:]
    options = ["--plots", "none", "--chr", "1-4", *ONE_THREAD]
    out = tmp_path / "three" / "run"
    out.parent.mkdir()
    assert run_cli("assoc", *named, *tables, "--out", out, *options).exit_code == 0
    assert files_of(out) == usual.files()
    raw = small_study.bed.read_bytes()
    width = (len(raw) - 3) // len(study.chrom)
    for label in "1234":
        rows = study.on(label)
        start = small_study.folder / f"part{label}"
        body = b"".join(raw[3 + r * width : 3 + (r + 1) * width] for r in rows)
        Path(f"{start}.bed").write_bytes(raw[:3] + body)
        lines = study.bim().splitlines(keepends=True)
        Path(f"{start}.bim").write_text("".join(lines[r] for r in rows))
        Path(f"{start}.fam").write_text(study.fam())
    out = tmp_path / "parts" / "run"
    out.parent.mkdir()
    parts = small_study.folder / "part@"
    assert run_cli("assoc", "--bfile", parts, *tables, "--out", out, *options).exit_code == 0
    assert files_of(out) == usual.files()


def test_a_missing_trait_value_is_an_absent_row(
    assoc: Assoc, study: Study, write: Callable
) -> None:
    with_gap = assoc(write(study), "--pheno-name", "height")
    study.pheno.rows = [row for row in study.pheno.rows if row[2] != "NA"]
    without_row = assoc(write(study), "--pheno-name", "height")
    assert without_row.files("height") == with_gap.files("height")
    assert (without_row.samples()["reason"] == "NOT_IN_PHENO").sum() == 3


def test_with_a_given_grm_it_is_a_sample_absent_from_every_file(
    assoc: Assoc, run_cli: RunCli, study: Study, write: Callable, tmp_path: Path
) -> None:
    files = write(study)
    grm = tmp_path / "whole"
    assert run_cli("grm", "--bfile", files.bfile, "--out", grm, *ONE_THREAD).exit_code == 0
    one = ("--grm", grm, "--pheno-name", "height")
    with_gap = assoc(files, *one)
    gone = {
        i for i, cell in zip(study.iid, study.pheno.column("height"), strict=True) if cell == "NA"
    }
    study.take_samples(np.array([k for k, iid in enumerate(study.iid) if iid not in gone]))
    for table in (study.pheno, study.covar):
        table.rows = [row for row in table.rows if row[1] not in gone]
    assert assoc(write(study), *one).files("height") == with_gap.files("height")


@pytest.mark.parametrize("whitener", [(), ("--whitener", "spectral")], ids=["chosen", "spectral"])
def test_kept_decompositions_are_used_and_change_nothing(
    assoc: Assoc,
    run_cli: RunCli,
    study: Study,
    write: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whitener: tuple[str, ...],
) -> None:
    for table in (study.pheno, study.covar):  # the sample list of the GRM: nobody lacks a value
        table.rows = [["50" if cell == "NA" else cell for cell in row] for row in table.rows]
    files = write(study)
    fresh = assoc(files, "--whitener", "spectral")
    grm = tmp_path / "kept"
    assert (
        run_cli("grm", "--bfile", files.bfile, "--out", grm, "--eigen", *ONE_THREAD).exit_code == 0
    )
    for group in ("", ".chr1", ".chr4"):
        assert (tmp_path / f"kept{group}.eigen.npy").exists()

    def refuse(*args: object) -> None:
        raise RuntimeError("a decomposition that is there was made again")

    monkeypatch.setattr("lmmgwas.model.fitting.decompose", refuse)
    kept = assoc(files, "--grm", grm, *whitener)
    assert kept.manifest()["traits"][0]["whitener"]["used"] == ["spectral"]
    assert kept.files() == fresh.files()


def test_kept_decompositions_of_other_samples_are_not_used(
    assoc: Assoc, run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    fresh = assoc(small_study, "--whitener", "spectral")
    grm = tmp_path / "kept"
    assert (
        run_cli("grm", "--bfile", small_study.bfile, "--out", grm, "--eigen", *ONE_THREAD).exit_code
        == 0
    )
    kept = assoc(small_study, "--grm", grm, "--whitener", "spectral")  # some lack the trait
    assert kept.files() == fresh.files()


@pytest.mark.parametrize("whitener", WHITENERS)
def test_swapped_alleles_flip_beta_only(
    assoc: Assoc, run_cli: RunCli, study: Study, write: Callable, tmp_path: Path, whitener: str
) -> None:
    files = write(study)
    grm = tmp_path / "grm"
    assert run_cli("grm", "--bfile", files.bfile, "--out", grm, *ONE_THREAD).exit_code == 0
    options = ("--precision", "double", "--whitener", whitener, "--grm", grm)
    before = assoc(files, *options).table()
    study.effect, study.other = study.other, study.effect
    study.calls = np.where(study.calls == MISSING, MISSING, 2 - study.calls)
    after = assoc(write(study), *options).table()
    assert after["effect_allele"].tolist() == before["other_allele"].tolist()
    assert after["other_allele"].tolist() == before["effect_allele"].tolist()
    assert after["n"].tolist() == before["n"].tolist()
    se = numbers(before, "standard_error")
    # 1e-7: the last of 8 digits may round the other way.
    np.testing.assert_allclose(numbers(after, "standard_error"), se, rtol=1e-7)
    beta = numbers(before, "beta")
    assert (np.abs(numbers(after, "beta") + beta) <= 1e-7 * np.abs(beta) + 1e-10 * se).all()
    af = [numbers(t, "effect_allele_frequency") for t in (before, after)]
    np.testing.assert_allclose(af[0] + af[1], 1.0, rtol=1e-7)
    p = [numbers(t, "neg_log_10_p_value") for t in (before, after)]
    np.testing.assert_allclose(p[0], p[1], rtol=1e-7, atol=1e-9)


# --- Model options ----------------------------------------------------------------------------


def ordinary_regression(study: Study, row: int, trait: str = "height") -> tuple[float, float]:
    """Beta and -log10 p of one variant by numpy's least squares, missing calls at the mean."""
    site = np.array(study.covar.column("site"))
    y, age = study.pheno.numbers(trait), study.covar.numbers("age")
    columns = [np.ones_like(y), age, site == "south", site == "west"]
    columns += [study.covar.numbers("PC1"), study.covar.numbers("PC2")]
    rows = ~np.isnan(y) & ~np.isnan(age)
    x = study.dosage(row)[rows]
    x = np.where(np.isnan(x), np.nanmean(x), x)
    X = np.column_stack([x, *(column[rows] for column in columns)])
    coefficients, rss, _, _ = np.linalg.lstsq(X, y[rows])
    dof = X.shape[0] - X.shape[1]
    se = np.sqrt(rss[0] / dof * np.linalg.inv(X.T @ X)[0, 0])
    p = 2 * special.stdtr(dof, -abs(coefficients[0] / se))
    return coefficients[0], -np.log10(p)


def test_h2_of_zero_is_ordinary_regression(
    assoc: Assoc, small_study: StudyFiles, study: Study
) -> None:
    run = assoc(small_study, "--h2", "0", "--precision", "double")
    table = run.table().set_index("marker_id")
    for row in (5, 20, *CAUSAL.values(), 239):
        beta, log_p = ordinary_regression(study, row)
        found = table.loc[f"rs{1000 + row}"]
        assert float(found["beta"]) == pytest.approx(beta, rel=1e-7)  # 8 digits
        assert float(found["neg_log_10_p_value"]) == pytest.approx(log_p, rel=1e-7)
    null = run.null()
    assert set(null["status"]) == {"fixed"}
    assert set(null["h2"]) == {"0"}
    assert set(null["n_variants_grm"]) == {"NA"}  # none was built
    assert null.loc["all", "p_h2"] == "NA"


def test_h2_can_be_fixed(assoc: Assoc, small_study: StudyFiles) -> None:
    run = assoc(small_study, "--h2", "0.5")
    null = run.null()
    assert set(null["h2"]) == {"0.5"}
    assert set(null["status"]) == {"fixed"}
    assert set(null["h2_se"]) == {"NA"}
    np.testing.assert_array_equal(null["sigma_g2"], null["sigma_e2"])
    assert null.loc["all", "p_h2"] == "NA"


def test_without_loco(assoc: Assoc, small_study: StudyFiles) -> None:
    loco, whole = assoc(small_study), assoc(small_study, "--no-loco")
    assert "LOCO is off" in whole.stderr
    assert "LOCO is off" not in loco.stderr
    assert whole.manifest()["loco"] is False
    null = whole.null()
    assert null["h2"].nunique() == 1
    assert null["n_variants_grm"].nunique() == 1
    assert null.loc["all"].tolist()[5:10] == loco.null().loc["all"].tolist()[5:10]
    x_rows = [run.table().query("chromosome == '23'") for run in (loco, whole)]
    pd.testing.assert_frame_equal(*x_rows)  # X is tested against the whole GRM anyway
    # A variant tested against itself in the GRM loses: this is why LOCO is the default.
    causal = [f"rs{1000 + row}" for row in CAUSAL.values()]
    assert neg_log10_p(loco)[causal].sum() > neg_log10_p(whole)[causal].sum()


@pytest.mark.parametrize(("precision", "bound"), [("single", 1e-5), ("double", 1e-8)])
def test_whiteners_agree(
    assoc: Assoc, small_study: StudyFiles, precision: str, bound: float
) -> None:
    """The bounds are those of design.md, section 6; the table's own rounding comes on top."""
    runs = [assoc(small_study, "--precision", precision, "--whitener", w) for w in WHITENERS]
    for run, whitener in zip(runs, WHITENERS, strict=True):
        assert run.manifest()["traits"][0]["whitener"]["used"] == [whitener]
    for trait in ("height", "weight"):
        first, second = (neg_log10_p(run, trait) for run in runs)
        rounding = 10.0 ** (np.floor(np.log10(np.maximum(first, 1e-300))) - 7)
        assert (np.abs(first - second) <= bound + rounding).all()


def test_precisions_agree(assoc: Assoc, small_study: StudyFiles) -> None:
    single, double = (
        neg_log10_p(assoc(small_study, "--precision", p)) for p in ("single", "double")
    )
    assert np.abs(single - double).max() < 1e-4  # the promise of the default precision
    assert (single != double).any()


def test_rint_is_blom_scores_of_the_trait(assoc: Assoc, study: Study, write: Callable) -> None:
    options = ("--precision", "double", "--pheno-name", "height")
    asked = assoc(write(study), "--rint", *options)
    y = study.pheno.numbers("height")
    rows = ~np.isnan(y) & ~np.isnan(study.covar.numbers("age"))
    scores = np.full(y.size, np.nan)
    scores[rows] = special.ndtri((stats.rankdata(y[rows]) - 0.375) / (rows.sum() + 0.25))
    for row, value in enumerate(scores):
        study.pheno.set("height", row, "NA" if np.isnan(value) else repr(float(value)))
    by_hand = assoc(write(study), *options)
    for column in ("beta", "standard_error", "neg_log_10_p_value"):
        found, expected = (numbers(run.table(), column) for run in (asked, by_hand))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    assert "rank-based inverse normal" in asked.stderr


# --- Choosing samples and variants ------------------------------------------------------------


def test_keep_and_remove_are_complements(
    assoc: Assoc, small_study: StudyFiles, study: Study, tmp_path: Path
) -> None:
    pairs = [f"{f}\t{i}\n" for f, i in zip(study.fid, study.iid, strict=True)]
    keep, remove = tmp_path / "keep", tmp_path / "remove"
    keep.write_text("FID\tIID\n" + "".join(pairs[:110]))  # a header is optional
    remove.write_text("".join(pairs[110:]))
    kept, left = assoc(small_study, "--keep", keep), assoc(small_study, "--remove", remove)
    assert kept.files() == left.files()
    assert kept.samples()["reason"].value_counts()["REMOVED"] == 8
    assert int(kept.null().loc["all", "n"]) == 106
    inputs = [Path(item["path"]).name for item in kept.manifest()["inputs"]]
    assert "keep" in inputs


def test_extract_exclude_and_chr_choose_what_is_tested(
    assoc: Assoc, small_study: StudyFiles, tmp_path: Path
) -> None:
    everything = assoc(small_study)
    names = [f"rs{1000 + k}" for k in range(30, 90)]
    listed = tmp_path / "list"
    listed.write_text("\n".join(names) + "\n")
    extracted = assoc(small_study, "--extract", listed)
    excluded = assoc(small_study, "--exclude", listed)
    on_some = assoc(small_study, "--chr", "1-2,X")
    assert extracted.table()["marker_id"].tolist() == names
    whole = set(everything.table()["marker_id"])
    assert set(excluded.table()["marker_id"]) == whole - set(names)
    assert on_some.table()["chromosome"].unique().tolist() == ["1", "2", "23"]
    for run in (extracted, excluded, on_some):
        # Never the GRM's: the null models stay.
        assert run.null().loc["1", "loglik"] == everything.null().loc["1", "loglik"]
        assert run.null().loc["all", "h2"] == everything.null().loc["all", "h2"]
        found, expected = neg_log10_p(run), neg_log10_p(everything)
        assert np.abs(found - expected[found.index]).max() < 1e-5  # other tiles, single precision
        selected = len(run.table()) + len(run.excluded())
        assert selected == run.manifest()["n_variants_selected"]


def test_reasons_are_given_in_order(assoc: Assoc, small_study: StudyFiles, study: Study) -> None:
    excluded = assoc(small_study).excluded().set_index("marker_id")["reason"]
    expected = {f"rs{1000 + row}": reason for reason, row in SPECIAL.items()}
    for label in ("Y", "MT"):
        expected |= {study.marker[row]: "NON_AUTOSOME" for row in study.on(label)}
    expected |= {study.marker[row]: "UNPLACED" for row in study.on("0")}
    assert excluded.to_dict() == expected


@pytest.mark.parametrize("options", [("--mac", "10000"), ("--chr", "Y")], ids=" ".join)
def test_a_run_that_tests_nothing_still_says_why(
    assoc: Assoc, small_study: StudyFiles, options: tuple[str, ...]
) -> None:
    run = assoc(small_study, *options, plots="png")
    assert list(run.table().columns) == COLUMNS
    assert len(run.table()) == len(run.leads()) == 0
    assert len(run.excluded()) == run.manifest()["n_variants_selected"] > 0
    assert run.null().loc["all", ["n_variants_tested", "lambda_gc"]].tolist() == ["0", "NA"]
    assert not [name for name in run.files() if name.endswith(".png")]


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [("--maf", 0.3, "LOW_MAF"), ("--mac", 60, "LOW_MAC"), ("--geno", 0.02, "HIGH_MISSING")],
)
def test_filters_look_at_the_analysed_samples(
    assoc: Assoc, small_study: StudyFiles, option: str, value: float, reason: str
) -> None:
    usual = assoc(small_study).table()
    af = numbers(usual, "effect_allele_frequency")
    n = numbers(usual, "n")
    maf = np.minimum(af, 1 - af)
    low = {
        "--maf": maf < value - 1e-7,
        # X: males carry one chromosome; left to the tests of X
        "--mac": np.round(maf * 2 * n, 3) < value,
        "--geno": 1 - n / 114 > value + 1e-9,
    }[option]
    autosomal = usual["chromosome"] != "23"
    filtered = assoc(small_study, option, value)
    excluded = filtered.excluded().set_index("marker_id")["reason"]
    expected = set(usual["marker_id"][low & autosomal])
    found = set(excluded.index[excluded == reason]) - {f"rs{1000 + SPECIAL[k]}" for k in SPECIAL}
    on_x = set(usual["marker_id"][~autosomal])
    assert found - on_x == expected
    assert 5 < len(expected) < 235
    assert filtered.null().loc["all", "h2"] == assoc(small_study).null().loc["all", "h2"]


def test_a_covariate_that_equals_a_variant_excludes_it(
    assoc: Assoc, study: Study, write: Callable
) -> None:
    full = np.flatnonzero((study.calls != MISSING).all(axis=1) & (study.calls.std(axis=1) > 0))
    row = int(full[full > 40][0])
    study.covar.add("carried", study.calls[row])
    excluded = assoc(write(study)).excluded().set_index("marker_id")["reason"]
    assert excluded[study.marker[row]] == "COLLINEAR"
    assert (excluded == "COLLINEAR").sum() == 1


def test_the_grm_is_of_the_variants_that_its_options_choose(
    assoc: Assoc, small_study: StudyFiles, tmp_path: Path
) -> None:
    listed = tmp_path / "list"
    listed.write_text("".join(f"rs{1000 + k}\n" for k in range(60, 240)))
    runs = [
        assoc(small_study, "--chr", "2-4", "--grm-chr", "2-4"),
        assoc(small_study, "--chr", "2-4", "--grm-extract", listed),
    ]
    assert runs[0].files() == runs[1].files()
    null = runs[0].null()
    in_grm = null["n_variants_grm"].astype(int)
    assert in_grm["all"] == 180
    assert in_grm["2"] == 120
    tighter = assoc(small_study, "--grm-exclude", listed, "--no-loco").null()
    assert int(tighter.loc["all", "n_variants_grm"]) == 236 - 180


def test_the_grm_can_come_from_another_genotype_set(
    assoc: Assoc, run_cli: RunCli, study: Study, write: Callable, tmp_path: Path
) -> None:
    files = write(study)
    usual = assoc(files)
    study.take_samples(np.arange(118)[::-1])
    other = write(study)  # the same people in another order
    built = assoc(files, "--grm-bfile", other.bfile)
    grm = tmp_path / "other"
    assert run_cli("grm", "--bfile", other.bfile, "--out", grm, *ONE_THREAD).exit_code == 0
    assert assoc(files, "--grm", grm).files() == built.files()
    assert np.abs(neg_log10_p(built) - neg_log10_p(usual)).max() < 1e-4
    inputs = [item["path"] for item in built.manifest()["inputs"]]
    assert str(other.bed) in inputs


def test_samples_that_the_grm_lacks_are_dropped_with_their_reason(
    assoc: Assoc, run_cli: RunCli, small_study: StudyFiles, study: Study, tmp_path: Path
) -> None:
    keep = tmp_path / "keep"
    keep.write_text(
        "".join(f"{f}\t{i}\n" for f, i in zip(study.fid[8:], study.iid[8:], strict=True))
    )
    grm = tmp_path / "grm"
    made = run_cli("grm", "--bfile", small_study.bfile, "--keep", keep, "--out", grm)
    assert made.exit_code == 0
    run = assoc(small_study, "--grm", grm)
    samples = run.samples()
    assert (samples["in_grm"] == "0").sum() == 8
    assert (samples["reason"] == "NOT_IN_GRM").sum() == 8
    assert not (samples["analysed"][samples["in_grm"] == "0"] == "1").any()


# --- Tables -----------------------------------------------------------------------------------


def described(run: Run, trait: str = "height") -> list[str]:
    """The columns of the design."""
    found = next(t for t in run.manifest()["traits"] if t["name"] == trait)
    return found["covariates"]


@pytest.mark.parametrize(
    ("options", "design"),
    [
        ((), ["intercept", "age", "site=south", "site=west", "PC1", "PC2"]),
        (("--covar-name", "PC1-PC2"), ["intercept", "PC1", "PC2"]),
        (("--covar-name", "age,PC1-PC2"), ["intercept", "age", "PC1", "PC2"]),
        (("--covar-name", "site"), ["intercept", "site=south", "site=west"]),
        (
            ("--covar-name", "age", "--cat-covar-name", "batch"),
            ["intercept", "age", "batch=2", "batch=3"],
        ),
    ],
    ids=lambda part: " ".join(part) or "all",
)
def test_covariates_are_chosen_by_name(
    assoc: Assoc, study: Study, write: Callable, options: tuple[str, ...], design: list[str]
) -> None:
    if "batch" in options:
        study.covar.add("batch", [1 + k % 3 for k in range(118)])
    run = assoc(write(study), *options)
    assert described(run) == design
    assert ", ".join(design) in run.stderr


def test_without_covariates(run_cli: RunCli, small_study: StudyFiles) -> None:
    out = small_study.folder / "plain"
    inputs = small_study.inputs[:4]
    assert run_cli("assoc", *inputs, "--out", out, "--plots", "none", *ONE_THREAD).exit_code == 0
    run = Run(out, "")
    assert described(run) == ["intercept"]
    assert int(run.null().loc["all", "n"]) == 115  # nobody lacks a covariate


def test_one_file_may_hold_traits_and_covariates(
    assoc: Assoc, run_cli: RunCli, study: Study, write: Callable
) -> None:
    usual = assoc(write(study))
    for name in study.covar.names[2:]:
        study.pheno.add(name, study.covar.column(name))
    files = write(study)
    files.covar.unlink()
    out = files.folder / "o" / "run"
    out.parent.mkdir()
    options = ["--covar-name", "age,site,PC1-PC2", "--plots", "none", "--out", out]
    named = ["--bfile", files.bfile, "--pheno", files.pheno, "--covar", files.pheno]
    result = run_cli("assoc", *named, *options, *ONE_THREAD)
    assert result.exit_code == 0, result.stderr
    assert files_of(out, trait="height") == usual.files("height")
    assert files_of(out, trait="weight") == usual.files("weight")
    assert not list(out.parent.glob("run.age*"))


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("-9", ()),
        ("-9.0", ()),
        ("-99", ("--missing-code", "-99")),
        ("999", ("--missing-code", "-99,999")),
        (".", ()),
        ("nan", ()),
    ],
)
def test_missing_values_have_codes(
    assoc: Assoc, study: Study, write: Callable, code: str, options: tuple[str, ...]
) -> None:
    usual = assoc(write(study), *options)
    for table in (study.pheno, study.covar):
        table.rows = [[code if cell == "NA" else cell for cell in row] for row in table.rows]
    coded = assoc(write(study), *options)
    assert coded.files() == usual.files()
    assert "3 missing" in coded.stderr
    if code not in (".", "nan"):
        assert "3 of them by code" in coded.stderr


def test_minus_nine_can_be_a_value(assoc: Assoc, study: Study, write: Callable) -> None:
    study.pheno.set("height", 5, "-9")
    run = assoc(write(study), "--no-missing-code", "--pheno-name", "height")
    assert int(run.null().loc["all", "n"]) == 115


def test_tables_without_header(assoc: Assoc, study: Study, write: Callable) -> None:
    usual = assoc(write(study), "--covar-name", "age")
    files = write(study)
    for path, table in ((files.pheno, study.pheno), (files.covar, study.covar)):
        path.write_text(Table(table.rows[0], table.rows[1:]).text())
    run = assoc(files, "--no-header", "--pheno-name", "V1", "--covar-name", "C1")
    pd.testing.assert_frame_equal(run.table("V1"), usual.table())


def test_trait_names_become_safe_file_names(assoc: Assoc, study: Study, write: Callable) -> None:
    study.pheno.names[2:] = ["../HDL/c $x", "weight"]
    run = assoc(write(study))
    assert run.path("._HDL_c__x.tsv.gz").exists()
    assert {p.parent for p in run.prefix.parent.rglob("*")} == {run.prefix.parent}
    assert run.manifest()["traits"][0]["name"] == "../HDL/c $x"


@pytest.mark.parametrize("names", [("HDL", "hdl"), ("a/b", "a_b"), ("..", "log")])
def test_traits_whose_file_names_would_collide(
    assoc: Assoc, study: Study, write: Callable, names: tuple[str, str]
) -> None:
    """Also where upper and lower case are the same to the file system."""
    study.pheno.names[2:] = names
    run = assoc(write(study))
    tables = {name.lower() for name in run.files() if name.endswith(".tsv.gz")}
    assert len(tables) == 4  # results and excluded variants of each
    assert [t["name"] for t in run.manifest()["traits"]] == list(names)
    assert run.path(".log").read_text().splitlines()[1].startswith("Genotypes:")


# --- Output options ---------------------------------------------------------------------------


def test_threshold_bounds_the_leads(assoc: Assoc, small_study: StudyFiles) -> None:
    usual, loose = assoc(small_study), assoc(small_study, "--threshold", "0.01")
    assert len(usual.leads()) == 10  # nothing below 5e-8: the ten best
    assert usual.manifest()["threshold"] == 5e-8
    p = numbers(loose.leads(), "p_value")
    assert p.size > 0
    assert (p < 0.01).all()
    assert loose.manifest()["threshold"] == 0.01
    assert f"loci with p < 0.01: {p.size}" in loose.stderr
    assert usual.files("height").keys() == loose.files("height").keys()
    assert usual.table().equals(loose.table())


@pytest.mark.parametrize(
    ("plots", "suffixes"),
    [("png", {".png"}), ("none", set()), ("all", {".png", ".pdf"})],
)
def test_plots_are_as_asked(
    assoc: Assoc, small_study: StudyFiles, plots: str, suffixes: set[str]
) -> None:
    run = assoc(small_study, "--pheno-name", "height", "--chr", "1", plots=plots)
    drawn = {name for name in run.files() if "manhattan" in name or ".qq." in name}
    assert drawn == {f".height.{kind}{s}" for kind in ("manhattan", "qq") for s in suffixes}


def test_strict_passes_where_nothing_is_to_be_warned_of(
    assoc: Assoc, small_study: StudyFiles
) -> None:
    run = assoc(small_study, "--h2", "0", "--strict")
    assert run.manifest()["warnings"] == []


def test_quiet_and_verbose(assoc: Assoc, small_study: StudyFiles) -> None:
    quiet, verbose = assoc(small_study, "--quiet", "--no-loco"), assoc(small_study, "--verbose")
    assert quiet.stderr == ""
    assert "null model, without 1" in verbose.stderr
    assert "lambda_gc" in quiet.path(".log").read_text()


def test_temporary_files_can_lie_elsewhere(
    assoc: Assoc, small_study: StudyFiles, tmp_path: Path
) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    assert assoc(small_study, "--tmpdir", folder).files() == assoc(small_study).files()
    assert not list(folder.iterdir())


def test_markers_without_name_or_rs_number(
    assoc: Assoc, small_study: StudyFiles, study: Study
) -> None:
    table = assoc(small_study).table()
    row = dict(zip(table["marker_id"], table["rsid"], strict=True))
    assert row["rs1020"] == "rs1020"
    assert row["1_Affx-11"] == "#NA"
    assert row["rs12a"] == "#NA"
    place = f"1:{study.pos[11]}:{study.effect[11]}:{study.other[11]}"
    assert row[place] == "#NA"


def test_unknown_positions_are_tested_and_written_as_zero(
    assoc: Assoc, study: Study, write: Callable
) -> None:
    study.pos[70], study.pos[71] = -9, 0
    run = assoc(write(study), plots="png")
    table = run.table().set_index("marker_id")
    assert table.loc[["rs1070", "rs1071"], "base_pair_location"].tolist() == ["0", "0"]
    assert "2 variants have position 0 or less" in run.stderr
    with pysam.TabixFile(str(run.path(".height.tsv.gz"))) as indexed:
        assert len(list(indexed.fetch("2"))) >= 58


def test_unsorted_variants_are_written_sorted(assoc: Assoc, study: Study, write: Callable) -> None:
    usual = assoc(write(study), "--precision", "double")
    order = np.random.default_rng(0).permutation(len(study.chrom))
    for name in ("chrom", "pos", "marker", "effect", "other"):
        setattr(study, name, [getattr(study, name)[k] for k in order])
    study.calls = study.calls[order]
    shuffled = assoc(write(study), "--precision", "double")
    assert shuffled.files() == usual.files()


# --- Chromosomes ------------------------------------------------------------------------------


def test_y_mt_and_unplaced_on_demand(assoc: Assoc, small_study: StudyFiles) -> None:
    run = assoc(small_study, "--include-nonautosomal", "--mac", "1")
    table = run.table()
    assert table["chromosome"].unique().tolist()[4:] == ["23", "24", "25", "0"]
    null = run.null()
    assert null.index.tolist() == ["1", "2", "3", "4", "X", "Y", "MT", "0", "all"]
    assert (null.loc[["X", "Y", "MT", "0"], "h2"] == null.loc["all", "h2"]).all()
    assert not set(run.excluded()["reason"]) & {"NON_AUTOSOME", "UNPLACED"}


@pytest.mark.parametrize(
    "labels",
    [{"1": "chr1", "2": "CHR2", "3": "03", "4": "chr04", "X": "chrX"}, {"X": "x"}],
    ids=["prefixes", "lower case"],
)
def test_labels_of_one_chromosome_are_one_group(
    assoc: Assoc, study: Study, write: Callable, labels: dict[str, str]
) -> None:
    usual = assoc(write(study))
    study.chrom = [labels.get(label, label) for label in study.chrom]
    assert assoc(write(study)).files() == usual.files()


def test_numeric_x_is_said(assoc: Assoc, study: Study, write: Callable) -> None:
    usual = assoc(write(study))
    study.chrom = ["23" if label == "X" else label for label in study.chrom]
    run = assoc(write(study))
    assert run.files() == usual.files()
    assert "23 = X" in run.stderr  # a warning: it could be a cow's chromosome
    assert any("--species" in warning for warning in run.manifest()["warnings"])


def test_another_species(assoc: Assoc, study: Study, write: Callable) -> None:
    study.chrom = [{"X": "20", "4": "19"}.get(label, label) for label in study.chrom]
    run = assoc(write(study), "--species", "mouse")
    assert run.table()["chromosome"].unique().tolist() == ["1", "2", "3", "19", "X"]
    assert "not valid GWAS-SSF: the species is not human" in run.stderr
    assert "non-GWAS-SSF" in run.path(".height.tsv.gz-meta.yaml").read_text()
    n = run.manifest()["n_variants_selected"]
    assert run.manifest()["threshold"] == pytest.approx(0.05 / n)


def test_contigs_are_groups(assoc: Assoc, study: Study, write: Callable) -> None:
    study.chrom = [{"3": "scaffold_a", "4": "scaffold_b"}.get(c, c) for c in study.chrom]
    merged = assoc(write(study), "--autosomes", "2").null()
    assert merged.index.tolist() == ["1", "2", merged.index[2], "X", "all"]
    assert merged.index[2].startswith("contigs-")  # and which they are
    apart = assoc(write(study), "--autosomes", "2", "--min-loco-variants", "20").null()
    assert apart.index.tolist() == ["1", "2", "scaffold_a", "scaffold_b", "X", "all"]


def test_x_counts_a_male_once(assoc: Assoc, study: Study, write: Callable) -> None:
    """Males are 0 or 2; their heterozygous calls are set missing, counted and warned of."""
    males = np.flatnonzero(np.array(study.sex) == MALE)
    row = int(study.on("X")[7])
    clean = assoc(write(study), "--precision", "double")
    called = males[(study.calls[row, males] != MISSING) & ~np.isin(males, [5, 50, 70, 100])][:3]
    study.calls[row, called] = 1
    impossible = assoc(write(study), "--precision", "double", "--pheno-name", "height")
    study.calls[row, called] = MISSING
    absent = assoc(write(study), "--precision", "double", "--pheno-name", "height")
    assert impossible.files() == absent.files()
    assert "3 heterozygous calls of males on X were set missing" in impossible.stderr
    warned = [text for text in impossible.manifest()["warnings"] if "of males" in text]
    assert len(warned) == 1
    assert "heterozygous" not in clean.stderr
    y, age = study.pheno.numbers("height"), study.covar.numbers("age")
    rows = ~np.isnan(y) & ~np.isnan(age)
    copies = study.dosage(row)[rows]
    chromosomes = np.where(np.array(study.sex)[rows] == MALE, 1.0, 2.0)
    seen = ~np.isnan(copies)
    af = (copies * chromosomes / 2)[seen].sum() / chromosomes[seen].sum()
    found = impossible.table().set_index("marker_id").loc[study.marker[row]]
    assert float(found["effect_allele_frequency"]) == pytest.approx(af, rel=1e-7)
    assert found["n"] == str(seen.sum())
    assert found["chromosome"] == "23"


def test_x_is_coded_0_2_in_the_regression(
    assoc: Assoc, small_study: StudyFiles, study: Study
) -> None:
    table = assoc(small_study, "--h2", "0", "--precision", "double").table().set_index("marker_id")
    for row in study.on("X")[[1, 8, 30]]:
        beta, log_p = ordinary_regression(study, int(row))
        found = table.loc[study.marker[row]]
        assert float(found["beta"]) == pytest.approx(beta, rel=1e-7)
        assert float(found["neg_log_10_p_value"]) == pytest.approx(log_p, rel=1e-7)


def test_pseudo_autosomal_variants_are_diploid(assoc: Assoc, study: Study, write: Callable) -> None:
    rows = study.on("X")[:5]
    males = np.flatnonzero(np.array(study.sex) == MALE)
    for row in rows:
        study.chrom[row] = "XY"
        study.calls[row, males[:30]] = 1
    run = assoc(write(study))
    assert "heterozygous calls" not in run.stderr
    table = run.table().set_index("marker_id").loc[[study.marker[row] for row in rows]]
    assert set(table["chromosome"]) == {"23"}
    y, age = study.pheno.numbers("height"), study.covar.numbers("age")
    analysed_rows = ~np.isnan(y) & ~np.isnan(age)
    for row in rows:
        af = np.nanmean(study.dosage(row)[analysed_rows]) / 2
        found = float(table.loc[study.marker[row], "effect_allele_frequency"])
        assert found == pytest.approx(af, rel=1e-7)


def test_unknown_sex_is_read_as_female_and_warned_of(
    assoc: Assoc, study: Study, write: Callable
) -> None:
    study.sex[:4] = [0, 0, 0, 0]
    assert any("sex" in warning for warning in assoc(write(study)).manifest()["warnings"])


# --- grm --------------------------------------------------------------------------------------


def test_grm_files_have_the_layout_of_gcta(
    run_cli: RunCli, small_study: StudyFiles, study: Study, tmp_path: Path
) -> None:
    out = tmp_path / "kept"
    result = run_cli("grm", "--bfile", small_study.bfile, "--out", out)
    assert result.exit_code == 0, result.stderr
    names = ["grm.bin", "grm.N.bin", "grm.id", "grm.json", "log"]
    names += [f"chr{k}.grm.bin" for k in "1234"]
    assert sorted(p.name for p in tmp_path.glob("kept.*")) == sorted(f"kept.{n}" for n in names)
    pairs = [f"{f}\t{i}" for f, i in zip(study.fid, study.iid, strict=True)]
    assert (tmp_path / "kept.grm.id").read_text().splitlines() == pairs
    manifest = json.loads((tmp_path / "kept.grm.json").read_text())
    assert [g["name"] for g in manifest["groups"]] == ["1", "2", "3", "4"]
    assert sum(g["n_variants"] for g in manifest["groups"]) == manifest["n_variants"] == 236

    def matrix(name: str) -> np.ndarray:
        K = np.zeros((118, 118))
        K[np.tril_indices(118)] = np.fromfile(tmp_path / f"kept.{name}", "<f4")
        return K

    Z = []
    for row in range(240):
        x = study.dosage(row)
        seen = ~np.isnan(x)
        if not seen.any() or (~seen).mean() > 0.1:
            continue
        af = x[seen].mean() / 2
        if min(af, 1 - af) >= 0.01:
            Z.append(np.where(seen, (x - x[seen].mean()) / x[seen].std(), 0.0))
    assert len(Z) == 236
    naive = np.tril(np.array(Z).T @ np.array(Z) / len(Z))
    whole = matrix("grm.bin")
    # float32 products summed over 240 variants: 1e-6 of the mean diagonal is promised.
    assert np.abs(whole - naive).max() < 1e-6 * np.diag(naive).mean()
    parts = sum(g["n_variants"] * matrix(f"chr{g['name']}.grm.bin") for g in manifest["groups"])
    assert np.abs(parts / manifest["n_variants"] - whole).max() < 1e-6
    assert (np.fromfile(tmp_path / "kept.grm.N.bin", "<f4") == manifest["n_variants"]).all()


def test_grm_twice_is_the_same_bytes(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    found = []
    for k, block in enumerate((1, 50, 4096)):
        out = tmp_path / str(k) / "g"
        out.parent.mkdir()
        options = ("--block-size", block, "--grm-missing", "pairwise", *ONE_THREAD)
        assert run_cli("grm", "--bfile", small_study.bfile, "--out", out, *options).exit_code == 0
        found.append(files_of(out))
    assert found[0] == found[1] == found[2]
    assert ".chr1.grm.N.bin" in found[0]


def test_example_can_be_analysed(run_cli: RunCli, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    result = run_cli("example", folder)
    assert result.exit_code == 0, result.stderr
    printed = re.search(r"lmmgwas (assoc .*)", result.stderr)
    assert printed
    again = run_cli("example", folder)
    assert again.exit_code == 8
    # As printed, but for the time that 22 chromosomes and the plots take.
    typed = printed[1].split()
    shorter = ["--chr", "22", "--plots", "none", "--pheno-name", "height", "--strict"]
    done = run_cli(*typed, *shorter)
    assert done.exit_code == 0, done.stderr
    assert (folder / "results.height.tsv.gz").exists()

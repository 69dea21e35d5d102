"""PREFIX_mqc.json: the figures of the tables, and what MultiQC itself makes of them.

MultiQC is the program that TEST_MULTIQC names, or that is on the PATH.
"""

import csv
import hashlib
import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import RunCli, StudyFiles, read_tsv

from lmmgwas.report.multiqc import KeyFigures, format_multiqc

MULTIQC = os.environ.get("TEST_MULTIQC") or shutil.which("multiqc")
THRESHOLD = 0.01  # so that the small study has leads
FIGURES = KeyFigures("run.height", 118, 251, 9, 1.01, 0.4, 0.1, 3, 9.5, "rs1")


@pytest.fixture(scope="module")
def runs(run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs: both traits with h2 fitted, one with h2 fixed."""
    from conftest import simulate_study

    files = simulate_study().write(tmp_path_factory.mktemp("in"))
    folder = tmp_path_factory.mktemp("runs")
    usual = (*files.inputs, "--plots", "none", "--threads", 1, "--threshold", THRESHOLD)
    for name, options in (("fitted", ()), ("fixed", ("--pheno-name", "height", "--h2", 0.5))):
        done = run_cli("assoc", *usual, *options, "--out", folder / name)
        assert done.exit_code == 0, done.stderr
    return folder


def content(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("trait", ["height", "weight"])
def test_figures_are_those_of_the_tables(runs: Path, trait: str) -> None:
    row = content(runs / "fitted_mqc.json")["data"][f"fitted.{trait}"]
    whole = read_tsv(runs / f"fitted.{trait}.null.tsv").set_index("group").loc["all"]
    leads = read_tsv(runs / f"fitted.{trait}.leads.tsv")
    table = read_tsv(runs / f"fitted.{trait}.tsv.gz")
    excluded = read_tsv(runs / f"fitted.{trait}.excluded.tsv.gz")
    assert (row["n_samples"], row["n_variants"]) == (int(whole["n"]), len(table))
    assert row["n_excluded"] == len(excluded)
    for ours, theirs in (("lambda_gc", "lambda_gc"), ("h2", "h2"), ("h2_se", "h2_se")):
        if whole[theirs] == "NA":
            assert ours not in row
        else:
            assert f"{row[ours]:.8g}" == whole[theirs]
    small = table[table["neg_log_10_p_value"].astype(float) > -math.log10(THRESHOLD)]
    assert row["n_leads"] == len(leads) > 0
    assert len(small) > 0
    top = table.loc[table["neg_log_10_p_value"].astype(float).idxmax()]
    assert row["top_marker"] == top["marker_id"]
    assert f"{row['top_neg_log10_p']:.8g}" == top["neg_log_10_p_value"]


def test_what_is_not_there_is_left_out(runs: Path) -> None:
    row = content(runs / "fixed_mqc.json")["data"]["fixed.height"]
    assert row["h2"] == 0.5
    assert "h2_se" not in row


def test_the_manifest_lists_it(runs: Path) -> None:
    outputs = content(runs / "fitted.run.json")["outputs"]
    (entry,) = [item for item in outputs if item["path"].endswith("_mqc.json")]
    data = (runs / "fitted_mqc.json").read_bytes()
    assert entry["bytes"] == len(data)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()


def test_it_is_never_replaced_unasked(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    (tmp_path / "run_mqc.json").write_text("mine")
    tried = run_cli("assoc", *small_study.inputs, "--out", tmp_path / "run", "--threads", 1)
    assert tried.exit_code == 8
    assert "run_mqc.json" in tried.stderr
    assert (tmp_path / "run_mqc.json").read_text() == "mine"


@pytest.mark.parametrize("bad", ["<script>alert(1)</script>", "a\nb", "é\ud800", '"', "x y"])
def test_names_are_plain(bad: str) -> None:
    figures = KeyFigures(f"run.{bad}", 1, 1, 0, math.nan, 0.1, math.inf, 0, math.nan, bad)
    text = format_multiqc([figures])
    assert text.isascii()
    ((name, row),) = json.loads(text)["data"].items()
    assert not set(name + row["top_marker"]) & set("<>&\"'\n ")
    assert set(row) == {"n_samples", "n_variants", "n_excluded", "h2", "n_leads", "top_marker"}


def test_every_column_has_a_title_and_an_explanation() -> None:
    found = json.loads(format_multiqc([FIGURES]))
    assert set(found["data"]["run.height"]) == set(found["headers"])
    for column in found["headers"].values():
        assert column["title"]
        assert column["description"]


@pytest.mark.skipif(not MULTIQC, reason="multiqc is not on the PATH, TEST_MULTIQC does not name it")
def test_multiqc_finds_it_without_configuration(runs: Path, tmp_path: Path) -> None:
    assert MULTIQC
    environ = {**os.environ, "MULTIQC_NO_VERSION_CHECK": "true", "HOME": str(tmp_path)}
    done = subprocess.run(
        [MULTIQC, str(runs), "--outdir", str(tmp_path / "out"), "--strict", "--no-ansi"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (table,) = (tmp_path / "out" / "multiqc_data").glob("multiqc_lmmgwas*.txt")
    with table.open(encoding="utf-8", newline="") as stream:
        rows = {row["Sample"]: row for row in csv.DictReader(stream, delimiter="\t")}
    ours = content(runs / "fitted_mqc.json")["data"] | content(runs / "fixed_mqc.json")["data"]
    assert rows.keys() == ours.keys()
    for name, row in ours.items():
        for column, value in row.items():
            found = rows[name][column]
            assert found == value if isinstance(value, str) else float(found) == value
    page = (tmp_path / "out" / "multiqc_report.html").read_text(encoding="utf-8")
    for title in ("lmmgwas", "Mixed-model association", "Top -log10 p", "Leads"):
        assert title in page

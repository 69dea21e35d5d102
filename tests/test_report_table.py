"""Tests of the page that `lmmgwas plot` makes of a table: what the table says, and no more."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import RunCli, read_tsv, simulate_study
from hostile import MARK, NAMES, shown
from page_reader import NO_PLOTLY, STUB, Reader, path_of
from scipy import stats

from lmmgwas.pipeline import report_run

ASSOC = ("--pheno-name", "height", "--no-loco", "--plots", "png", "--mac", "1", "--threads", "1")
THRESHOLD = ("--threshold", "0.01")


@pytest.fixture(scope="module", autouse=True)
def no_library() -> None:
    """Pages with a stub in place of plotly.js."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_run, "read_plotly_js", lambda: STUB)
        yield


@pytest.fixture(scope="module")
def prefix(run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of a study with its report."""
    folder = tmp_path_factory.mktemp("study")
    files = simulate_study().write(folder / "in")
    out = folder / "run"
    result = run_cli("assoc", *files.inputs, "--out", out, *ASSOC, *THRESHOLD)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture
def page_of(run_cli: RunCli, tmp_path: Path) -> Callable[..., Reader]:
    """`page_of(table, "--option", ...)`: the page of a table."""

    def make(table: Path, *options: object) -> Reader:
        result = run_cli("plot", table, "--out", tmp_path / "again", "--plots", "png", *options)
        assert result.exit_code == 0, result.stderr
        return Reader((tmp_path / "again.report.html").read_text(encoding="utf-8"))

    return make


def write(path: Path, columns: dict[str, object]) -> Path:
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False)
    return path


def test_the_plots_are_those_of_the_study(prefix: Path, page_of: Callable[..., Reader]) -> None:
    study = Reader(path_of(prefix, ".report.html").read_text(encoding="utf-8"))
    again = page_of(path_of(prefix, ".height.tsv.gz"), *THRESHOLD)
    first, second = study.data["traits"][0], again.data["traits"][0]
    assert sorted(second) == ["manhattan", "qq"]
    for plot in (first["manhattan"], second["manhattan"]):
        for chrom in plot["chroms"]:
            del chrom["index"]  # chromosomes without a tested variant are not in a table
        assert len(plot["leads"]) > 0
        for lead in plot["leads"]:
            lead["y"] = pytest.approx(lead["y"], rel=1e-7)
            del lead["chrom"]
        pairs = plot.pop("pairs")
        plot["pair"] = [pairs[k] for k in plot["pair"]]
    assert second == {"manhattan": first["manhattan"], "qq": first["qq"]}
    for phrase in ("Genomic inflation λ", "Strongest variant", "Lead variants", "Methods"):
        assert phrase in again.text
    for phrase in ("Heritability", "Null models", "Variants that were not tested"):
        assert phrase not in again.text
    assert len([a for t, a in again.elements if t == "img"]) == 2  # without JavaScript
    assert not [a for t, a in again.elements if t == "section" and a.get("id") == "samples"]


def test_numbers_of_the_page_against_the_table(
    prefix: Path, page_of: Callable[..., Reader]
) -> None:
    path = path_of(prefix, ".height.tsv.gz")
    page = page_of(path, *THRESHOLD)
    table = read_tsv(path)
    p = table["p_value"].astype(float)
    chi2 = stats.chi2.isf(p, 1)
    assert f"λ was {np.median(chi2) / stats.chi2.ppf(0.5, 1):.3f}" in page.text
    assert f"The p-values of {len(table):,} variants, tested in " in page.text
    assert "a table of lmmgwas (its column neg_log_10_p_value)" in page.text
    assert "beta is of effect_allele." in page.text
    best = table.loc[p.idxmin()]
    assert f"Strongest variant {best['marker_id']} {best['chromosome']}:" in page.text
    plot = page.data["traits"][0]["manhattan"]
    at = plot["id"].index(best["marker_id"])
    assert plot["beta"][at] == pytest.approx(float(best["beta"]), rel=1e-3)
    assert plot["se"][at] == pytest.approx(float(best["standard_error"]), rel=1e-3)
    assert plot["af"][at] == pytest.approx(float(best["effect_allele_frequency"]), abs=1e-4)
    assert plot["pairs"][plot["pair"][at]] == [best["effect_allele"], best["other_allele"]]
    maf = table["effect_allele_frequency"].astype(float)
    maf = np.minimum(maf, 1 - maf)
    names = [curve["name"] for curve in page.data["traits"][0]["qq"]["curves"]]
    counts = [curve["n"] for curve in page.data["traits"][0]["qq"]["curves"]]
    expected = {
        "below 1 %": int((maf < 0.01).sum()),
        "1 to 5 %": int(((maf >= 0.01) & (maf < 0.05)).sum()),
        "5 % and above": int((maf >= 0.05).sum()),
    }
    expected = {name: n for name, n in expected.items() if n}
    if len(expected) > 1:
        assert dict(zip(names, counts, strict=True)) == {"all": len(table), **expected}


def test_what_a_table_does_not_say_is_left_out(
    tmp_path: Path, page_of: Callable[..., Reader]
) -> None:
    k = np.arange(60)
    columns = {"chr": 1 + k % 5, "rs": [f"rs{j}" for j in k], "ps": 1000 * k + 1}
    page = page_of(write(tmp_path / "mice.assoc.txt", {**columns, "p_wald": (k + 1) / 61}))
    plot = page.data["traits"][0]["manhattan"]
    assert set(plot["beta"]) == set(plot["se"]) == set(plot["af"]) == {None}
    assert plot["pairs"] == [["", ""]]
    assert [curve["name"] for curve in page.data["traits"][0]["qq"]["curves"]] == ["all"]
    assert "a table of GEMMA (its column p_wald)" in page.text
    assert "Of its columns" not in page.text
    assert "tested in" not in page.text
    cells = [a.get("data-copy") for t, a in page.elements if t == "td"]
    n_leads = 5  # one of each chromosome, whose variants lie within one locus
    assert cells.count("NA") == n_leads * len(("effect", "other", "frequency", "beta", "se"))


def test_frequencies_of_a_peer(
    tmp_path: Path, page_of: Callable[..., Reader], run_cli: RunCli
) -> None:
    k = np.arange(90)
    columns = {
        "chr": 1 + k % 5,
        "rs": [f"rs{j}" for j in k],
        "ps": 1000 * k + 1,
        "allele1": "A",
        "allele0": "C",
        "af": np.where(k < 30, "0.004", np.where(k < 60, "0.97", "nan")),
        "beta": "-0.25",
        "se": "inf",
        "p_wald": (k + 1) / 91,
    }
    page = page_of(write(tmp_path / "mice.assoc.txt", columns))
    curves = page.data["traits"][0]["qq"]["curves"]
    found = {curve["name"]: curve["n"] for curve in curves}
    assert found == {"all": 90, "below 1 %": 30, "1 to 5 %": 30}
    plot = page.data["traits"][0]["manhattan"]
    assert {plot["af"][plot["id"].index(name)] for name in ("rs0", "rs31", "rs70")} == {
        0.004,
        0.97,
        None,
    }
    assert set(plot["beta"]) == {-0.25}
    assert set(plot["se"]) == {None}
    assert "Of its columns beta is of allele1." in page.text
    columns["af"] = np.where(k == 7, "1.2", "0.5")
    path = write(tmp_path / "wrong.assoc.txt", columns)
    result = run_cli("plot", path, "--out", tmp_path / "none")
    assert result.exit_code == 3
    assert f"[E441] {path}:9:6: af '1.2' is out of range" in result.stderr
    assert not list(tmp_path.glob("none.*[!g]"))


def test_hostile_names_stay_text(tmp_path: Path, page_of: Callable[..., Reader]) -> None:
    names = [name for name in NAMES if name.isprintable() and '"' not in name]
    rows = [
        f"{1 + j % 3}\t{1000 * j + 1}\tA\tC\t0.1\t0.1\t0.3\t{(j + 1) * 1e-9}\t100\t{name}\n"
        for j, name in enumerate(names)
    ]
    header = "chromosome\tbase_pair_location\teffect_allele\tother_allele\tbeta\tstandard_error"
    header += "\teffect_allele_frequency\tp_value\tn\tmarker_id\n"
    path = tmp_path / "<b>x.tsv"
    path.write_text(header + "".join(rows), encoding="utf-8")
    page = page_of(path, "--title", names[0])
    assert len(names) > 30
    assert not [a for _, a in page.elements if a.get("id") == MARK]
    assert sorted(page.data["traits"][0]["manhattan"]["id"]) == sorted(shown(n) for n in names)
    assert "<b>x.tsv" in page.text
    assert names[0] in page.text


def test_a_table_of_leads_keeps_its_counts(prefix: Path, page_of: Callable[..., Reader]) -> None:
    path = path_of(prefix, ".height.leads.tsv")
    page = page_of(path, *THRESHOLD)
    counts = read_tsv(path)["n_variants_in_locus"].tolist()
    cells = [a.get("data-copy") for t, a in page.elements if t == "td" and "data-copy" in a]
    assert len(counts) > 1
    per_row = len(("position", "frequency", "beta", "se", "p", "count"))
    assert cells[-per_row * len(counts) :][per_row - 1 :: per_row] == counts


@pytest.mark.parametrize("option", ["--no-report", None])
def test_who_gets_no_page(
    prefix: Path,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str | None,
) -> None:
    if option is None:
        monkeypatch.setattr(report_run, "read_plotly_js", lambda: None)
    options = [option] if option else []
    table = path_of(prefix, ".height.tsv.gz")
    result = run_cli("plot", table, "--out", tmp_path / "x", *options, "--strict")
    assert result.exit_code == 0, result.stderr
    assert (NO_PLOTLY in result.stderr) is (option is None)
    assert not (tmp_path / "x.report.html").exists()
    assert (tmp_path / "x.qq.png").exists()


def test_a_page_that_fails_costs_no_plot(
    prefix: Path, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise ValueError("spoilt")

    monkeypatch.setattr(report_run, "read_plotly_js", fail)
    table = path_of(prefix, ".height.tsv.gz")
    result = run_cli("plot", table, "--out", tmp_path / "x")
    assert result.exit_code == 0, result.stderr
    assert "W130" in result.stderr
    assert not (tmp_path / "x.report.html").exists()
    assert (tmp_path / "x.qq.pdf").exists()


def test_a_page_that_is_there_is_not_replaced(
    prefix: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    (tmp_path / "x.report.html").write_text("mine")
    table = path_of(prefix, ".height.tsv.gz")
    result = run_cli("plot", table, "--out", tmp_path / "x")
    assert result.exit_code == 8
    assert (tmp_path / "x.report.html").read_text() == "mine"
    again = run_cli("plot", table, "--out", tmp_path / "x", "--overwrite")
    assert again.exit_code == 0, again.stderr
    assert (tmp_path / "x.report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_page_of_the_same_table_is_the_same(
    prefix: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    table = path_of(prefix, ".height.tsv.gz")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        assert run_cli("plot", table, "--out", tmp_path / folder / "x").exit_code == 0
    pages = [(tmp_path / folder / "x.report.html").read_bytes() for folder in ("a", "b")]
    assert pages[0] == pages[1]


def test_drawings_of_an_earlier_run_do_not_stay(run_cli: RunCli, tmp_path: Path) -> None:
    """With --overwrite; and nothing else goes."""
    files = simulate_study().write(tmp_path / "in")
    out = tmp_path / "out"
    out.mkdir()
    study = ["assoc", *files.inputs, "--out", out / "run", *ASSOC, *THRESHOLD]
    assert run_cli(*study, "--plots", "all", "--parquet").exit_code == 0
    (out / "run.height.manhattan.svg").write_text("mine")
    (out / "run.weight.qq.png").write_text("of another trait")
    drawn = {"run.report.html", "run.height.parquet", "run.height.qq.png", "run.height.qq.pdf"}
    drawn |= {"run.height.manhattan.png", "run.height.manhattan.pdf"}
    before = {path.name for path in out.iterdir()}
    regions = {name for name in before if ".region." in name}
    assert drawn < before
    assert len(regions) > 1
    assert run_cli(*study, "--plots", "none", "--overwrite").exit_code == 0
    assert {path.name for path in out.iterdir()} == before - drawn - regions
    table = out / "run.height.tsv.gz"
    plot = ["plot", table, "--out", out / "again"]
    assert run_cli(*plot).exit_code == 0
    assert (out / "again.report.html").exists()
    assert run_cli(*plot, "--plots", "png", "--no-report", "--overwrite").exit_code == 0
    again = {path.name.removeprefix("again") for path in out.glob("again.*")}
    assert again == {".manhattan.png", ".qq.png", ".leads.tsv", ".log"}
    (out / "run.report.html").write_text("of the study")
    assert run_cli("plot", table, "--out", out / "run", "--no-report", "--overwrite").exit_code == 0
    assert (out / "run.report.html").read_text() == "of the study"

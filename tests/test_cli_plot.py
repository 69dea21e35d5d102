"""`lmmgwas plot`: the same pictures again, from any of our tables, and what it refuses."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import RunCli, Study, StudyFiles, files_of, read_tsv

from lmmgwas.io.sumstats import LOCUS_COLUMNS

PLOTS = (".manhattan.png", ".manhattan.pdf", ".qq.png", ".qq.pdf")
ALL = (*PLOTS, ".leads.tsv")


def written(folder: Path) -> dict[str, bytes]:
    """What the plot run under the prefix `again` wrote."""
    return files_of(folder / "again")


def write_table(path: Path, table: pd.DataFrame) -> Path:
    table.to_csv(path, sep="\t", index=False)
    return path


@pytest.fixture(scope="module")
def main_run(run_cli: RunCli, test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of `assoc` on test_data."""
    out = tmp_path_factory.mktemp("main") / "first"
    named = ("bfile", "study"), ("pheno", "pheno.tsv"), ("covar", "covar.tsv")
    options = [part for name, file in named for part in (f"--{name}", test_data / file)]
    result = run_cli("assoc", *options, "--out", out)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture
def plot(run_cli: RunCli, tmp_path: Path) -> Callable[..., str]:
    """`plot(table, "--option", ...)`: what the run said."""

    def run(table: Path, *options: object) -> str:
        result = run_cli("plot", table, "--out", tmp_path / "again", *options)
        assert result.exit_code == 0, result.stderr
        return result.stderr

    return run


@pytest.fixture
def refused(run_cli: RunCli, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """`refused(table, "--option", ...)`: exit code and message; nothing is written."""

    def run(table: Path, *options: object) -> tuple[int, str]:
        result = run_cli("plot", table, "--out", tmp_path / "again", *options)
        assert result.exit_code != 0
        assert written(tmp_path) == {}
        return result.exit_code, result.stderr

    return run


def table_of(prefix: Path, trait: str = "height", suffix: str = ".tsv.gz") -> Path:
    return prefix.with_name(f"{prefix.name}.{trait}{suffix}")


@pytest.mark.parametrize("trait", ["height", "ldl"])
def test_the_same_bytes_as_assoc(
    main_run: Path, trait: str, plot: Callable[..., str], tmp_path: Path
) -> None:
    said = plot(table_of(main_run, trait), "--strict", "--verbose")
    found = written(tmp_path)
    assert sorted(found) == sorted(ALL)
    for suffix in ALL:
        assert found[suffix] == table_of(main_run, trait, suffix).read_bytes(), suffix
    assert "lambda_gc" in said
    assert (tmp_path / "again.log").read_text() == said


def test_the_same_bytes_with_x_missing_calls_and_an_odd_trait(
    study: Study, run_cli: RunCli, plot: Callable[..., str], tmp_path: Path
) -> None:
    """Unplaced variants, ties, a name that no file can have, every variant with a gap; 0/1."""
    study.calls[:, 7] = -127
    study.calls[21] = study.calls[20]  # the same test twice
    study.pheno.names[2] = "HDL/c (mmol/L)"
    for row in range(len(study.fid)):
        study.pheno.set("weight", row, str(row % 2))
    files = study.write(tmp_path / "in")
    options = ["--include-nonautosomal", "--threshold", "0.01", "--mac", "1"]
    result = run_cli("assoc", *files.inputs, "--out", tmp_path / "run", *options)
    assert result.exit_code == 0, result.stderr
    for trait in ("HDL_c__mmol_L_", "weight"):
        plot(tmp_path / f"run.{trait}.tsv.gz", "--threshold", "0.01", "--overwrite")
        for suffix, content in written(tmp_path).items():
            assert content == (tmp_path / f"run.{trait}{suffix}").read_bytes(), suffix
    assert "approximate_log_odds_ratio" in (tmp_path / "again.leads.tsv").read_text()


def test_any_order_of_columns_and_rows(
    main_run: Path, plot: Callable[..., str], tmp_path: Path
) -> None:
    table = read_tsv(table_of(main_run)).sample(frac=1, random_state=1)
    path = tmp_path / "x.height.tsv"
    write_table(path, table[["n", "neg_log_10_p_value", "base_pair_location", "chromosome"]])
    plot(path)
    found = written(tmp_path)
    n = int(table["n"].astype(int).max())
    whole = read_tsv(table_of(main_run, suffix=".leads.tsv"))
    again = read_tsv(tmp_path / "again.leads.tsv")
    assert list(again.columns) == [
        "n",
        "neg_log_10_p_value",
        "base_pair_location",
        "chromosome",
        *LOCUS_COLUMNS,
    ]
    pd.testing.assert_frame_equal(again, whole[again.columns])
    if n == 479:  # all analysed samples: the same title
        assert found[".qq.png"] == table_of(main_run, suffix=".qq.png").read_bytes()


def test_p_values_alone_give_the_same_leads(
    main_run: Path, plot: Callable[..., str], tmp_path: Path
) -> None:
    table = read_tsv(table_of(main_run)).drop(columns="neg_log_10_p_value")
    table.loc[100, "p_value"] = "1.23e-412"
    said = plot(write_table(tmp_path / "t.tsv", table), "--plots", "png")
    assert "p from p_value" in said
    leads = read_tsv(tmp_path / "again.leads.tsv")
    whole = read_tsv(table_of(main_run, suffix=".leads.tsv"))
    assert leads.loc[0, "p_value"] == "1.23e-412"
    assert leads["marker_id"].tolist()[1:] == whole["marker_id"].tolist()
    assert sorted(written(tmp_path)) == [".leads.tsv", ".manhattan.png", ".qq.png"]


def test_a_table_of_leads_gives_itself(
    main_run: Path, plot: Callable[..., str], tmp_path: Path
) -> None:
    path = table_of(main_run, suffix=".leads.tsv")
    said = plot(path)
    assert written(tmp_path)[".leads.tsv"] == path.read_bytes()
    assert "these few only" in said
    assert "479 samples" in said


def test_lines_title_and_missing_p(
    main_run: Path, plot: Callable[..., str], tmp_path: Path
) -> None:
    table = read_tsv(table_of(main_run))
    table.loc[[3, 4], "neg_log_10_p_value"] = ["NA", "#NA"]
    path = write_table(tmp_path / "t.tsv", table)
    said = plot(path, "--threshold", "1e-4", "--suggestive", "1e-3", "--title", "<b>$x$")
    assert "Note: 2 rows without a p-value" in said
    p = read_tsv(tmp_path / "again.leads.tsv")["p_value"].astype(float)
    assert (p < 1e-4).all()
    assert f"loci with p < 0.0001: {p.size}" in said
    first = written(tmp_path)
    plot(path, "--threshold", "1e-4", "--overwrite", "--quiet")
    second = written(tmp_path)
    assert first[".leads.tsv"] == second[".leads.tsv"]
    assert first[".manhattan.png"] != second[".manhattan.png"]


@pytest.mark.parametrize(
    ("labels", "options", "threshold"),
    [
        (["1", "23", "25"], [], "5e-08"),
        (["1", "23", "29"], [], "0.0166667"),  # cattle: 0.05/m
        (["1", "2", "X"], ["--species", "mouse"], "0.0166667"),
        (["1", "2", "3"], ["--autosomes", "5"], "0.0166667"),
    ],
)
def test_whose_chromosomes(
    plot: Callable[..., str], tmp_path: Path, labels: list[str], options: list[str], threshold: str
) -> None:
    rows = [f"{label}\t5\t9\t0.5\n" for label in labels]
    path = tmp_path / "t.tsv"
    path.write_text("chromosome\tbase_pair_location\tn\tp_value\n" + "".join(rows))
    assert f"p < {threshold}:" in plot(path, *options)


def test_names_of_chromosomes_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from lmmgwas.io.read_sumstats import SummaryTable
    from lmmgwas.io.table_layouts import OURS, FoundLayout
    from lmmgwas.io.text import Remarks
    from lmmgwas.pipeline.table_results import arrange

    def names(labels: tuple[str, ...], chrom: list[int]) -> tuple[str, ...]:
        m = len(chrom)
        table = SummaryTable(
            "t",
            FoundLayout(OURS, "\t", (), {}),
            labels,
            np.array(chrom, np.int32),
            np.ones(m, np.int64),
            np.ones(m),
            None,
            np.arange(m),
            1,
            0,
            0,
            (),
            Remarks(),
        )
        return arrange(table).names

    assert names(("10", "X", "2", "0", "scaffold", "MT"), [0, 1, 2, 3, 4, 5]) == (
        "2",
        "10",
        "scaffold",
        "X",
        "MT",
        "0",
    )
    in_order = ("1", "b", "a", "X", "0")  # as `assoc` writes merged contigs
    assert names(in_order, [0, 1, 2, 3, 4]) == in_order
    assert names(in_order, [0, 1, 0, 2, 3, 4]) == ("1", "a", "b", "X", "0")


# --- Refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "cell", "code", "said"),
    [
        ("neg_log_10_p_value", "high", "E423", "is not a number"),
        ("neg_log_10_p_value", "-0.5", "E423", "0 or more"),
        ("base_pair_location", "1.5", "E426", "is not an integer"),
        ("chromosome", "", "E425", "write 0"),
        ("n", "x", "E427", "whole number"),
    ],
)
def test_a_bad_cell_is_named_with_its_place(
    main_run: Path,
    refused: Callable[..., tuple[int, str]],
    tmp_path: Path,
    column: str,
    cell: str,
    code: str,
    said: str,
) -> None:
    table = read_tsv(table_of(main_run))
    table.loc[5000, column] = cell
    path = tmp_path / "bad.tsv.gz"
    text = table.to_csv(sep="\t", index=False)
    path.write_bytes(gzip.compress(text.encode()))
    exit_code, error = refused(path)
    assert exit_code == 3
    field = list(table.columns).index(column) + 1
    assert f"[{code}] {path}:5002:{field}: " in error
    assert said in error


def test_p_of_zero_asks_for_the_logarithm(
    refused: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("p_value\tn\tchromosome\tbase_pair_location\n0\t5\t1\t7\n")
    exit_code, error = refused(path)
    assert (exit_code, "-log10 p is needed" in error) == (3, True)
    assert f"[E424] {path}:2:1" in error


@pytest.mark.parametrize("suffix", [".null.tsv", ".excluded.tsv.gz"])
def test_tables_without_p_values(
    main_run: Path, refused: Callable[..., tuple[int, str]], suffix: str
) -> None:
    exit_code, error = refused(table_of(main_run, suffix=suffix))
    assert exit_code == 3
    assert "E420" in error
    assert "PREFIX.TRAIT.tsv.gz" in error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threshold", "0"], "--threshold 0 is out of range"),
        (["--threshold", "nan"], "--threshold nan is out of range"),
        (["--suggestive", "2"], "--suggestive 2 is out of range"),
        (["--suggestive", "1e-9"], "stricter than the threshold"),
        (["--species", "mouse", "--autosomes", "5"], "not both"),
        (["--plots", "none"], "none"),
    ],
)
def test_options_out_of_range(
    main_run: Path, refused: Callable[..., tuple[int, str]], options: list[str], said: str
) -> None:
    exit_code, error = refused(table_of(main_run), *options)
    assert exit_code == 2
    assert said in error


def test_nothing_is_replaced_unasked(
    small_study: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run_cli("assoc", *small_study.inputs, "--out", out).exit_code == 0
    table = tmp_path / "run.height.tsv.gz"
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for prefix, options, said in (
        (out, [], "the prefix of a study"),
        (tmp_path / "run.height", [], "exist already"),
        (tmp_path / "absent" / "x", [], "does not exist"),
    ):
        result = run_cli("plot", table, "--out", prefix, *options)
        assert result.exit_code == (7 if "absent" in str(prefix) else 8)
        assert said in result.stderr
    leads = tmp_path / "run.height.leads.tsv"
    result = run_cli("plot", leads, "--out", tmp_path / "run.height", "--overwrite")
    assert (result.exit_code, "would be replaced" in result.stderr) == (8, True)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before
    result = run_cli("plot", table, "--out", tmp_path / "run.height", "--overwrite")
    assert result.exit_code == 0
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())

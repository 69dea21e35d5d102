"""`lmmgwas convert`, `assoc --parquet`, and `plot` of the peers' tables, as a user runs them."""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import RunCli, Study, StudyFiles, read_tsv, simulate_study
from export_rules import RULES, open_vcf, read_target

from lmmgwas.io.export_formats import FORMATS
from lmmgwas.io.parquet import column_type

NAMES = {name: f"out.{name}" for name in FORMATS} | {"gwas-vcf": "out.vcf.gz"}


ADDED = {20: 6.0, 90: -6.0, 150: 6.0, 200: -6.0, 260: 6.0, 270: -6.0}
"""By row of the small study: what each copy of the effect allele adds to `height`."""


@pytest.fixture(scope="module")
def known() -> Study:
    """The small study with a `height` made of six variants, on chromosomes 1 to 4 and X."""
    study = simulate_study()
    rng = np.random.default_rng(5)
    height = 160 + rng.normal(size=len(study.iid))
    for row, added in ADDED.items():
        dosage = study.dosage(row)
        height += added * np.where(np.isnan(dosage), np.nanmean(dosage), dosage)
    for k, value in enumerate(height):
        study.pheno.set("height", k, f"{value:.4f}")
    return study


@pytest.fixture(scope="module")
def prefix(known: Study, run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of `assoc --parquet` on the small study, X and Y included."""
    folder = tmp_path_factory.mktemp("known")
    files = known.write(folder / "in")
    out = folder / "run"
    options = ["--include-nonautosomal", "--parquet", "--plots", "none", "--out", out]
    result = run_cli("assoc", *files.inputs, *options)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture
def convert(run_cli: RunCli, prefix: Path, tmp_path: Path) -> Callable[..., tuple[Path, str]]:
    """`convert("ldsc", "--option")`: the file and what was said."""

    def run(name: str, *options: object, out: str = "") -> tuple[Path, str]:
        file = tmp_path / (out or NAMES[name])
        table = prefix.with_name("run.height.tsv.gz")
        result = run_cli("convert", table, "--to", name, "--out", file, *options)
        assert result.exit_code == 0, result.stderr
        return file, result.stderr

    return run


@pytest.mark.parametrize("name", FORMATS)
def test_a_simulated_effect_keeps_its_direction(
    known: Study, convert: Callable[..., tuple[Path, str]], name: str
) -> None:
    out, said = convert(name)
    rule, table = RULES[name], read_target(out, name)
    assert FORMATS[name].effect_rule in said
    if not rule.marker:
        of_x = "23" if name == "fuma" else "X"
        places = {
            f"{of_x if c == 'X' else c}:{p}": m
            for c, p, m in zip(known.chrom, known.pos, known.marker, strict=True)
        }
        keys = [
            f"{c}:{p}" for c, p in zip(table[rule.chromosome], table[rule.position], strict=True)
        ]
        table = table.assign(ID=[places.get(key, key) for key in keys])
    by_id = table.set_index(rule.marker or "ID")
    for k, added in ADDED.items():
        row, counted = by_id.loc[known.marker[k]], known.effect[k]
        assert {row[rule.effect_allele], row[rule.other_allele]} == {counted, known.other[k]}
        turn = 1.0 if row[rule.effect_allele] == counted else -1.0
        assert np.sign(float(row[rule.effect])) == turn * np.sign(added), known.marker[k]


@pytest.mark.parametrize("name", FORMATS)
def test_all_rows_are_there_in_their_order(
    convert: Callable[..., tuple[Path, str]], prefix: Path, name: str
) -> None:
    ours = read_tsv(prefix.with_name("run.height.tsv.gz"))
    out, said = convert(name)
    rule, table = RULES[name], read_target(out, name)
    placed = ours[(ours["base_pair_location"] != "0") & (ours["chromosome"] != "0")]
    expected = placed if name in ("fuma", "pheweb", "gwas-vcf") else ours
    assert ("[W441]" in said) == (len(expected) < len(ours))
    assert len(table) == len(expected)
    if rule.marker:
        assert table[rule.marker].tolist() == expected["marker_id"].tolist()
    if rule.effect in ("BETA", "beta", "b", "EFFECT", "ES"):
        found = [float(cell) for cell in table[rule.effect]]
        assert found == [float(cell) for cell in expected["beta"]]
    if rule.position:
        assert [str(p) for p in table[rule.position]] == expected["base_pair_location"].tolist()


def test_regions_of_the_vcf(convert: Callable[..., tuple[Path, str]], prefix: Path) -> None:
    out, said = convert("gwas-vcf")
    assert "no ref_allele" in said
    assert out.with_name(f"{out.name}.tbi").exists()
    ours = read_tsv(prefix.with_name("run.height.tsv.gz"))
    inside = ours[
        (ours["chromosome"] == "23") & ours["base_pair_location"].astype(int).between(1.5e6, 2e6)
    ]
    assert len(inside) > 5
    with open_vcf(out) as vcf:
        found = [record.id for record in vcf.fetch("X", 1_499_999, 2_000_000)]
        assert list(vcf.header.samples) == ["height"]
        assert "TotalSamples=" in str(vcf.header)
    assert found == inside["marker_id"].tolist()


def test_the_name_decides_about_packing(convert: Callable[..., tuple[Path, str]]) -> None:
    plain, _ = convert("metal")
    packed, _ = convert("metal", out="m.txt.gz")
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()


def test_the_same_bytes_every_time(convert: Callable[..., tuple[Path, str]]) -> None:
    for name in FORMATS:
        out, _ = convert(name)
        before = out.read_bytes()
        convert(name, "--overwrite")
        assert out.read_bytes() == before, name


def test_help_says_whose_effect_each_format_holds(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("convert", "--help").exit_code == 0
    said = " ".join(capsys.readouterr().out.split())
    for name, target in FORMATS.items():
        assert f"{name} {target.effect_rule}" in said


# --- Refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "out", "said"),
    [
        ("prscs", "x.gz", "takes no packed file"),
        ("cojo", "x.ma.gz", "takes no packed file"),
        ("parquet", "x.parquet.gz", "takes no packed file"),
        ("gwas-vcf", "x.vcf", "ends in .gz"),
    ],
)
def test_names_that_do_not_fit(
    run_cli: RunCli, prefix: Path, tmp_path: Path, name: str, out: str, said: str
) -> None:
    table = prefix.with_name("run.height.tsv.gz")
    result = run_cli("convert", table, "--to", name, "--out", tmp_path / out)
    assert result.exit_code == 2
    assert "[E440]" in result.stderr
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unasked(run_cli: RunCli, prefix: Path, tmp_path: Path) -> None:
    table = prefix.with_name("run.height.tsv.gz")
    for name in ("ldsc", "gwas-vcf", "parquet"):
        out = tmp_path / NAMES[name]
        out.write_text("mine")
        result = run_cli("convert", table, "--to", name, "--out", out)
        assert result.exit_code == 8
        assert "E113" in result.stderr
        assert out.read_text() == "mine"
        assert run_cli("convert", table, "--to", name, "--out", out, "--overwrite").exit_code == 0
        assert out.read_bytes() != b"mine"
    index = tmp_path / "other.vcf.gz.tbi"
    index.write_text("mine")
    result = run_cli("convert", table, "--to", "gwas-vcf", "--out", tmp_path / "other.vcf.gz")
    assert (result.exit_code, index.read_text()) == (8, "mine")
    before = table.read_bytes()
    result = run_cli("convert", table, "--to", "gemma", "--out", table, "--overwrite")
    assert result.exit_code == 8
    assert table.read_bytes() == before


def spoilt(prefix: Path, folder: Path) -> Path:
    """The table with a beta that is no number in its last row."""
    text = gzip.decompress(prefix.with_name("run.height.tsv.gz").read_bytes()).decode()
    lines = text.split("\n")
    cells = lines[-2].split("\t")
    cells[4] = "much"
    path = folder / "spoilt.tsv"
    path.write_text("\n".join([*lines[:-2], "\t".join(cells), ""]))
    return path


@pytest.mark.parametrize("name", ["regenie", "parquet", "gwas-vcf"])
def test_a_bad_row_leaves_nothing_behind(
    run_cli: RunCli, prefix: Path, tmp_path: Path, name: str
) -> None:
    table = spoilt(prefix, tmp_path)
    result = run_cli("convert", table, "--to", name, "--out", tmp_path / NAMES[name])
    assert result.exit_code == 3
    n_lines = table.read_text().count("\n")
    assert f"[E441] {table}:{n_lines}:5: beta 'much'" in result.stderr
    left = {path.name for path in tmp_path.iterdir()} - {"spoilt.tsv", f"{NAMES[name]}.log"}
    assert left == set()


def test_strict_refuses_what_is_lost(run_cli: RunCli, prefix: Path, tmp_path: Path) -> None:
    table = prefix.with_name("run.height.tsv.gz")
    out = tmp_path / "out.fuma"
    result = run_cli("convert", table, "--to", "fuma", "--out", out, "--strict")
    assert result.exit_code == 5
    assert "W441" in result.stderr
    assert not out.exists()


def test_small_p_values_are_said(run_cli: RunCli, prefix: Path, tmp_path: Path) -> None:
    table = read_tsv(prefix.with_name("run.height.tsv.gz"))
    table.loc[3, ["p_value", "neg_log_10_p_value"]] = ["1.5e-412", "411.82391"]
    path = tmp_path / "t.tsv"
    table.to_csv(path, sep="\t", index=False)
    result = run_cli("convert", path, "--to", "gemma", "--out", tmp_path / "g.txt")
    assert result.exit_code == 0
    assert "Warning [W440]: 1 p-values below 2.2250739e-308" in result.stderr
    result = run_cli("convert", path, "--to", "regenie", "--out", tmp_path / "r", "--strict")
    assert result.exit_code == 0, result.stderr
    assert read_target(tmp_path / "r", "regenie")["LOG10P"][3] == "411.82391"


def test_another_species(run_cli: RunCli, prefix: Path, tmp_path: Path) -> None:
    table = read_tsv(prefix.with_name("run.height.tsv.gz"))
    table["chromosome"] = table["chromosome"].replace({"23": "X", "24": "Y", "25": "MT"})
    path = tmp_path / "mouse.tsv"
    table.to_csv(path, sep="\t", index=False)
    result = run_cli("convert", path, "--to", "gcta", "--out", tmp_path / "m.mlma")
    assert result.exit_code == 4
    assert "[E444]" in result.stderr
    options = ["--species", "mouse"]
    result = run_cli("convert", path, "--to", "gcta", "--out", tmp_path / "m.mlma", *options)
    assert result.exit_code == 0, result.stderr
    labels = set(read_target(tmp_path / "m.mlma", "gcta")["Chr"])
    assert {"20", "21", "23"} <= labels
    assert not labels & {"X", "Y", "MT"}


# --- assoc --parquet ---------------------------------------------------------------------------


def test_parquet_holds_the_table(prefix: Path) -> None:
    ours = read_tsv(prefix.with_name("run.height.tsv.gz"))
    found = pq.read_table(prefix.with_name("run.height.parquet"))
    assert found.schema.names == list(ours.columns)
    for name in ours.columns:
        assert found.schema.field(name).type == column_type(name)
        values = found[name].to_pylist()
        cells = [None if cell in ("NA", "#NA") else cell for cell in ours[name]]
        if str(column_type(name)) == "string":
            assert values == cells
        else:
            assert values == [None if cell is None else float(cell) for cell in cells]


def test_parquet_is_on_record_with_its_rows(prefix: Path) -> None:
    import hashlib

    record = json.loads(prefix.with_name("run.run.json").read_text())
    outputs = {Path(entry["path"]).name: entry for entry in record["outputs"]}
    for trait in ("height", "weight"):
        path = prefix.with_name(f"run.{trait}.parquet")
        entry = outputs[path.name]
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert entry["rows"] == pq.read_metadata(path).num_rows
    assert record["arguments"]["parquet"] is True


def test_parquet_of_assoc_is_that_of_convert(
    convert: Callable[..., tuple[Path, str]], prefix: Path
) -> None:
    out, _ = convert("parquet")
    assert out.read_bytes() == prefix.with_name("run.height.parquet").read_bytes()


def test_parquet_needs_its_option_and_a_free_name(
    small_study: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    common = [*small_study.inputs, "--plots", "none", "--out", tmp_path / "p"]
    (tmp_path / "p.height.parquet").write_text("mine")
    assert run_cli("assoc", *common, "--parquet").exit_code == 8
    assert run_cli("assoc", *common).exit_code == 0
    assert (tmp_path / "p.height.parquet").read_text() == "mine"
    assert not (tmp_path / "p.weight.parquet").exists()


def test_parts_merge_to_the_same_parquet(
    known: Study, run_cli: RunCli, prefix: Path, tmp_path: Path
) -> None:
    files = known.write(tmp_path / "in")
    options = ["--include-nonautosomal", "--parquet", "--plots", "none", "--out", tmp_path / "run"]
    for part in ("1/2", "2/2"):
        result = run_cli("assoc", *files.inputs, *options, "--part", part)
        assert result.exit_code == 0, result.stderr
    assert not (tmp_path / "run.height.parquet").exists()
    result = run_cli("merge", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    for name in ("run.height.parquet", "run.weight.parquet", "run.height.tsv.gz"):
        assert (tmp_path / name).read_bytes() == prefix.with_name(name).read_bytes()


# --- plot --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["regenie", "plink2", "gcta", "gemma", "saige"])
def test_plot_of_a_converted_table(
    convert: Callable[..., tuple[Path, str]],
    run_cli: RunCli,
    prefix: Path,
    tmp_path: Path,
    name: str,
) -> None:
    out, _ = convert(name)
    result = run_cli(
        "plot", out, "--out", tmp_path / "again", "--plots", "png", "--threshold", "0.001"
    )
    assert result.exit_code == 0, result.stderr
    programs = {"gcta": "GCTA (MLMA)", "plink2": "PLINK 2"}
    assert f"taken for a table of {programs.get(name, name.upper())}, " in result.stderr
    columns = {"regenie": "LOG10P", "plink2": "P", "gcta": "p", "gemma": "p_wald"}
    assert f"; p from {columns.get(name, 'p.value')}" in result.stderr
    assert (tmp_path / "again.manhattan.png").stat().st_size > 10_000
    assert (tmp_path / "again.qq.png").stat().st_size > 10_000
    leads = read_tsv(tmp_path / "again.leads.tsv")
    ours = read_tsv(prefix.with_name("run.height.tsv.gz")).set_index("marker_id")
    assert len(leads) > 0
    for _, lead in leads.iterrows():
        row = ours.loc[lead["marker_id"]]
        for column in ("beta", "standard_error", "effect_allele", "other_allele"):
            assert lead[column] == row[column]
        assert lead["base_pair_location"] == row["base_pair_location"]
    best = ours["neg_log_10_p_value"].astype(float).idxmax()
    assert leads["marker_id"][0] == best


def test_plot_without_a_number_of_samples(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "mice.assoc.txt"
    rows = [f"{1 + k % 5}\trs{k}\t{1000 * k + 1}\t{(k + 1) / 100}\n" for k in range(99)]
    path.write_text("chr\trs\tps\tp_wald\n" + "".join(rows))
    result = run_cli("plot", path, "--out", tmp_path / "x", "--plots", "png")
    assert result.exit_code == 0, result.stderr
    assert (
        "99 variants on 5 chromosomes, number of samples not given; p from p_wald" in result.stderr
    )


def test_plot_refuses_an_unknown_table(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("gene\tscore\nBRCA1\t5\n")
    result = run_cli("plot", path, "--out", tmp_path / "x")
    assert result.exit_code == 3
    assert f"[E420] {path}:1:2: " in result.stderr
    assert "'gene', 'score'" in result.stderr
    assert "GEMMA: chr, ps, p_wald/p_lrt/p_score" in result.stderr


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    """`--help` of this command, in a process of its own."""
    import subprocess

    code = (
        "import sys; from click.testing import CliRunner; from lmmgwas.cli.convert import command;"
        "result = CliRunner().invoke(command, ['--help']); assert result.exit_code == 0;"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'scipy', 'numba', 'matplotlib'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_read_target_reads_text(tmp_path: Path) -> None:
    """The oracle's own reader keeps cells as they are."""
    path = tmp_path / "t"
    path.write_text("A1 b\nNA 1.50\n")
    found = pd.read_csv(path, sep=" ", dtype=str, keep_default_na=False)
    assert found.to_dict("records") == [{"A1": "NA", "b": "1.50"}]

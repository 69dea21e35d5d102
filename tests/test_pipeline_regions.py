"""Regional plots through the command line: what they show, their files, and what never costs."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bed_oracle import MISSING, decode
from conftest import MALE, Result, RunCli, Study, StudyFiles, files_of, read_tsv

from lmmgwas.errors import FileAccessError
from lmmgwas.pipeline.region_files import longest_place, region_places

FAST = ("--threads", 1, "--h2", 0, "--plots", "png", "--pheno-name", "height")
GENES = (
    "1\t900000\t1200000\tLEFT\t0\t+\n"
    "chr1\t2100000\t2250000\tMIDDLE\t0\t-\n"
    "02\t2000000\t2500000\tOTHER\t0\t.\n"
    "4\t1700000\t1900000\tFOURTH\t0\t.\n"
    "X\t1000000\t9000000\tLONG\t0\t+\n"
)


@pytest.fixture
def genes(tmp_path: Path) -> Path:
    path = tmp_path / "genes.bed"
    path.write_text(GENES)
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """What the runs of a test draw: (region, facts) of each picture, which is drawn, too."""
    from lmmgwas.report import region_plot

    seen = []
    draw = region_plot.draw_region

    def note(region: Any, facts: Any) -> Any:
        seen.append((region, facts))
        return draw(region, facts)

    monkeypatch.setattr(region_plot, "draw_region", note)
    return seen


@pytest.fixture
def attempt(run_cli: RunCli, small_study: StudyFiles, tmp_path: Path) -> Callable[..., Result]:
    """`attempt("--option", ...)`: ordinary regression of the small study into out/run."""
    (tmp_path / "out").mkdir()

    def run(*options: object, files: StudyFiles = small_study) -> Result:
        return run_cli("assoc", *files.inputs, "--out", tmp_path / "out" / "run", *FAST, *options)

    return run


def regions_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".region." in path.name)


def r2_oracle(x: np.ndarray, y: np.ndarray) -> float:
    """Numpy's correlation of copies with missing calls at the mean, squared."""
    full = [np.where(np.isnan(v), np.nanmean(v), v) for v in (x, y)]
    return float(np.corrcoef(*full)[0, 1] ** 2)


# --- What is shown ----------------------------------------------------------------------------


def test_the_regions_of_the_simulated_study(
    run_cli: RunCli, test_data: Path, tmp_path: Path, drawn: list[tuple[Any, Any]]
) -> None:
    """LOCO, both traits: each locus below the threshold, its rows, and r2 by the oracle."""
    inputs = ["--bfile", test_data / "study", "--pheno", test_data / "pheno.tsv"]
    inputs += ["--covar", test_data / "covar.tsv", "--threads", 1, "--strict"]
    result = run_cli("assoc", *inputs, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    fam = read_words(test_data / "study.fam")
    bim = read_words(test_data / "study.bim")
    calls = np.array(decode((test_data / "study.bed").read_bytes(), len(fam), len(bim)), float)
    calls[calls == MISSING] = np.nan
    place = {row[1]: k for k, row in enumerate(bim)}
    truth = read_tsv(test_data / "truth.tsv")
    expected = []
    for trait in ("height", "ldl"):
        table = read_tsv(tmp_path / f"run.{trait}.tsv.gz")
        leads = read_tsv(tmp_path / f"run.{trait}.leads.tsv")
        below = leads[leads["p_value"].astype(float) < 5e-8]
        assert set(below["marker_id"]) <= set(truth[truth["trait"] == trait]["marker_id"])
        people = analysed(tmp_path / "run.samples.tsv", trait, test_data / "pheno.tsv")
        assert len(people) == table["n"].astype(int).max()
        rows = np.array([k for k, row in enumerate(fam) if row[1] in people])
        for lead in below.to_dict("records"):
            expected.append((trait, lead["marker_id"]))
            region, facts = drawn[len(expected) - 1]
            assert (facts.title, facts.n_samples) == (trait, len(rows))
            assert (facts.threshold, region.genes_known) == (5e-8, False)
            check_region(region, lead, table, calls[:, rows], place)
    assert [(region.trait, region.lead_id) for region, _ in drawn] == expected
    assert len(expected) >= 4
    names = [
        f"run.{region.trait}.region.{region.chrom}_{region.lead_pos}.{suffix}"
        for region, _ in drawn
        for suffix in ("png", "pdf")
    ]
    assert regions_in(tmp_path) == sorted(names)
    outputs = json.loads((tmp_path / "run.run.json").read_text())["outputs"]
    assert set(names) <= {Path(output["path"]).name for output in outputs}
    for name in names:
        assert 5_000 < (tmp_path / name).stat().st_size < 200_000


def check_region(
    region: Any,
    lead: dict[str, str],
    table: pd.DataFrame,
    calls: np.ndarray,
    place: dict[str, int],
) -> None:
    """Rows and numbers of a region against the table and the genotypes."""
    at = int(lead["base_pair_location"])
    assert (region.start, region.end) == (max(1, at - 500_000), at + 500_000)
    assert (region.lead_id, region.lead_pos) == (lead["marker_id"], at)
    assert region.chrom == {"23": "X"}.get(lead["chromosome"], lead["chromosome"])
    pos = table["base_pair_location"].astype(int)
    near = table[(table["chromosome"] == lead["chromosome"]) & (abs(pos - at) <= 500_000)]
    assert region.marker_ids == tuple(near["marker_id"])
    assert region.pos.tolist() == near["base_pair_location"].astype(int).tolist()
    # The very numbers of the table, by their text.
    assert region.neg_log10_p.tolist() == near["neg_log_10_p_value"].astype(float).tolist()
    x = calls[place[lead["marker_id"]]]
    oracle = [r2_oracle(x, calls[place[name]]) for name in near["marker_id"]]
    np.testing.assert_allclose(region.r2, oracle, rtol=1e-9, atol=1e-12)
    assert region.marker_ids[region.lead] == lead["marker_id"]


def read_words(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def analysed(samples: Path, trait: str, pheno: Path) -> set[str]:
    """IIDs with a value of the trait among those that are analysed for some trait."""
    table = read_tsv(pheno).set_index("IID")
    flow = read_tsv(samples)
    known = {iid for iid, value in table[trait].items() if value != "NA"}
    return {str(iid) for iid in flow[flow["analysed"] == "1"]["IID"]} & known


def test_x_is_shown_as_in_the_tests(
    study: Study,
    attempt: Callable[..., Result],
    tmp_path: Path,
    drawn: list[tuple[Any, Any]],
    genes: Path,
) -> None:
    """A lead on X, labelled 23 in the table: men with two alleles have no call; X's genes."""
    x = study.on("X")
    causal = study.dosage(int(x[20]))
    rng = np.random.default_rng(3)
    for row in range(len(study.iid)):
        dose = 0.0 if np.isnan(causal[row]) else causal[row]
        study.pheno.set("height", row, f"{10 * dose + rng.normal():.4f}")
    men = np.flatnonzero(np.array(study.sex) == MALE)
    study.calls[x[22], men[:9]] = 1
    files = study.write(tmp_path / "in")
    result = attempt("--genes", genes, files=files)
    assert result.exit_code == 0, result.stderr
    region = next(r for r, _ in drawn if r.chrom == "X")
    assert region.lead_id == study.marker[int(x[20])]
    assert (tmp_path / "out" / f"run.height.region.X_{region.lead_pos}.png").exists()
    assert [gene.name for gene in region.genes] == ["LONG"]
    calls = np.where(study.calls == MISSING, np.nan, study.calls.astype(float))
    masked = calls[x]
    masked[:, men] = np.where(masked[:, men] == 1, np.nan, masked[:, men])
    # Ordinary regression on all covariates: whoever has height and all of them.
    kept = [
        k
        for k in range(len(study.iid))
        if study.pheno.column("height")[k] != "NA" and study.covar.column("age")[k] != "NA"
    ]
    by_name = dict(zip([study.marker[k] for k in x], masked[:, kept], strict=True))
    oracle = [r2_oracle(by_name[region.lead_id], by_name[name]) for name in region.marker_ids]
    np.testing.assert_allclose(region.r2, oracle, rtol=1e-9, atol=1e-12)


def test_window_and_number(
    attempt: Callable[..., Result], tmp_path: Path, drawn: list[tuple[Any, Any]], genes: Path
) -> None:
    given = ("--threshold", 0.01, "--region-window", 100, "--regions", 2, "--genes", genes)
    result = attempt(*given)
    assert result.exit_code == 0, result.stderr
    assert "Genes: 5 rows that are genes (BED" in result.stderr
    leads = read_tsv(tmp_path / "out" / "run.height.leads.tsv")
    assert len(leads) > 2
    assert [region.lead_id for region, _ in drawn] == leads["marker_id"].tolist()[:2]
    assert f"Regional plots of height: 2 of {len(leads)} loci" in result.stderr
    for region, _ in drawn:
        assert region.genes_known
        assert region.end == region.lead_pos + 100_000
        assert (abs(region.pos - region.lead_pos) <= 100_000).all()
        assert region.pos.size > 1
    assert len(regions_in(tmp_path / "out")) == 2


def test_genes_of_a_region_are_those_that_reach_into_it(
    attempt: Callable[..., Result], drawn: list[tuple[Any, Any]], genes: Path
) -> None:
    assert attempt("--threshold", 0.05, "--genes", genes).exit_code == 0
    spans = {"1": [("LEFT", 900_001, 1_200_000), ("MIDDLE", 2_100_001, 2_250_000)]}
    spans |= {"2": [("OTHER", 2_000_001, 2_500_000)], "4": [("FOURTH", 1_700_001, 1_900_000)]}
    spans |= {"X": [("LONG", 1_000_001, 9_000_000)]}
    seen = 0
    for region, _ in drawn:
        expected = [
            name
            for name, start, end in spans.get(region.chrom, [])
            if start <= region.end and end >= region.start
        ]
        assert [gene.name for gene in region.genes] == expected
        seen += len(expected)
    assert seen > 2


def test_leads_without_a_position_have_no_surroundings(
    study: Study, attempt: Callable[..., Result], tmp_path: Path, drawn: list[tuple[Any, Any]]
) -> None:
    study.pos = [0] * len(study.pos)
    result = attempt("--threshold", 0.01, files=study.write(tmp_path / "in"))
    assert result.exit_code == 0, result.stderr
    assert drawn == []
    assert "Regional plots of height: 0 of" in result.stderr


def test_no_lead_no_plot(attempt: Callable[..., Result], tmp_path: Path) -> None:
    result = attempt("--threshold", 1e-300)
    assert result.exit_code == 0
    assert "No regional plots of height: no variant has p < 1e-300" in result.stderr
    assert regions_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("options", "suffixes"),
    [
        (["--plots", "none"], set()),
        (["--plots", "png"], {".png"}),
        (["--plots", "all"], {".png", ".pdf"}),
        (["--plots", "all", "--regions", 0], set()),
    ],
)
def test_formats_are_those_of_the_other_plots(
    attempt: Callable[..., Result],
    tmp_path: Path,
    genes: Path,
    options: list[object],
    suffixes: set[str],
) -> None:
    result = attempt(*options, "--threshold", 0.01, "--genes", genes, "--regions", 1, *options)
    assert result.exit_code == 0, result.stderr
    found = {Path(name).suffix for name in regions_in(tmp_path / "out")}
    assert found == suffixes
    assert ("it is not read" in result.stderr) is not bool(suffixes)


# --- The same bytes ---------------------------------------------------------------------------


def test_the_same_bytes_in_parts_and_by_plot(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, genes: Path
) -> None:
    """Parts merged; and `plot` over the analysed samples of the same set."""
    options = [*small_study.inputs, "--threshold", 0.01, "--genes", genes, *FAST]
    for name in ("whole", "parts", "again"):
        (tmp_path / name).mkdir()
    whole = tmp_path / "whole" / "r"
    assert run_cli("assoc", *options, "--out", whole).exit_code == 0
    for part in (2, 1):
        argv = [*options, "--out", tmp_path / "parts" / "r", "--part", f"{part}/2"]
        assert run_cli("assoc", *argv).exit_code == 0
    result = run_cli("merge", "--out", tmp_path / "parts" / "r")
    assert result.exit_code == 0, result.stderr
    expected = files_of(whole)
    regions = {name for name in expected if ".region." in name}
    assert len(regions) > 2
    merged = {name: (tmp_path / "parts" / f"r{name}").read_bytes() for name in expected}
    assert merged == expected
    keep = tmp_path / "keep.txt"
    flow = read_tsv(whole.with_name("r.samples.tsv"))
    rows = flow[flow["analysed"] == "1"]
    keep.write_text("".join(f"{f}\t{i}\n" for f, i in zip(rows["FID"], rows["IID"], strict=True)))
    argv = [whole.with_name("r.height.tsv.gz"), "--bfile", small_study.bfile, "--keep", keep]
    argv += ["--genes", genes, "--threshold", 0.01, "--plots", "png"]
    result = run_cli("plot", *argv, "--out", tmp_path / "again" / "p")
    assert result.exit_code == 0, result.stderr
    again = files_of(tmp_path / "again" / "p")
    for name in regions:
        assert again[name.replace(".height", "")] == expected[name], name


def test_neither_genes_nor_regions_make_another_study(
    attempt: Callable[..., Result], tmp_path: Path, genes: Path
) -> None:
    keys = []
    for more in ([], ["--genes", genes], ["--regions", 1], ["--region-window", 50]):
        assert attempt("--threshold", 0.01, "--overwrite", *more).exit_code == 0
        manifest = json.loads((tmp_path / "out" / "run.run.json").read_text())
        keys.append(manifest["study"])
        named = [given for given in manifest["inputs"] if given["path"] == str(genes)]
        assert len(named) == ("--genes" in more)
        assert all(len(given["sha256"]) == 64 for given in named)
    assert len(set(keys)) == 1


def test_resume_draws_what_a_full_disk_did_not(
    attempt: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--threshold", 0.01)
    assert attempt(*given).exit_code == 0
    whole = files_of(tmp_path / "out" / "run")
    for path in (tmp_path / "out").iterdir():
        path.unlink()

    def fail(*args: object) -> None:
        raise FileAccessError("E112", "no space left")

    with monkeypatch.context() as patch:
        patch.setattr("lmmgwas.pipeline.regions.draw_regions", fail)
        assert attempt(*given).exit_code == 7
    assert (tmp_path / "out" / "run.height.tsv.gz").exists()
    assert regions_in(tmp_path / "out") == []
    assert attempt(*given, "--resume").exit_code == 0
    assert files_of(tmp_path / "out" / "run") == whole


# --- Names ------------------------------------------------------------------------------------


def test_plots_of_an_earlier_run_do_not_stay(
    attempt: Callable[..., Result], tmp_path: Path
) -> None:
    """Refused at first; with --overwrite they go, and nothing else does."""
    folder = tmp_path / "out"
    stale = ["run.height.region.9_123.png", "run.height.region.scaffold_1-2_77.png"]
    other = "run.height.region.9_123.pdf"  # not of a format that is drawn
    kept = [
        "run.height.region.notes.png",
        "run.height.region.x.9_123.png",
        "run.weight.region.9_123.png",  # not a trait of this run
        "run2.height.region.9_123.png",
        "run.height.region.manhattan.png",
    ]
    for name in (*stale, other, *kept):
        (folder / name).write_text("old")
    given = ("--threshold", 0.01, "--regions", 2)
    result = attempt(*given)
    assert result.exit_code == 8
    assert "[E113]" in result.stderr
    assert stale[0] in result.stderr
    assert other not in result.stderr
    assert len(list(folder.iterdir())) == len(stale) + 1 + len(kept)
    assert attempt(*given, "--overwrite").exit_code == 0
    found = regions_in(folder)
    assert not {*stale, other} & set(found)
    assert set(kept) <= set(found)
    assert len(found) == len(kept) + 2
    fewer = attempt("--threshold", 0.01, "--regions", 1, "--overwrite")
    assert fewer.exit_code == 0
    assert len(regions_in(folder)) == len(kept) + 1
    none = attempt("--threshold", 1e-300, "--overwrite")
    assert none.exit_code == 0
    assert set(regions_in(folder)) == set(kept)


def test_places_are_safe_and_unique() -> None:
    loci = [("1", 5), ("a/b", 7), ("a b", 7), ("A_B", 7), ("..", 1), ("", 2), ("x" * 99, 3)]
    places = region_places(loci)
    assert places[:5] == ["1_5", "a_b_7", "a_b-2_7", "A_B-3_7", "___1"]
    assert len({place.lower() for place in places}) == len(loci)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+_[0-9]+", place) for place in places)
    assert max(map(len, places)) < 40


def test_a_name_that_would_be_too_long_is_refused_before_the_work(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    out = tmp_path / ("r" * 210)
    result = run_cli("assoc", *small_study.inputs, "--out", out, *FAST, "--plots", "png")
    without = run_cli("assoc", *small_study.inputs, "--out", out, *FAST, "--regions", 0)
    assert (result.exit_code, without.exit_code) == (2, 0), without.stderr
    assert "[E010]" in result.stderr
    assert "region" in result.stderr


def test_the_longest_place_is_longest(study: Study, tmp_path: Path) -> None:
    from lmmgwas.io.plink import BedSource
    from lmmgwas.model.chromosomes import Karyotype
    from lmmgwas.model.genotypes import arrange_variants

    study.chrom[0] = "scaffold_with_a_name_longer_than_any_file"
    files = study.write(tmp_path / "in")
    source = BedSource.open(files.bed, files.bim, files.fam)
    variants, _ = arrange_variants(source.variants, Karyotype(), 100)
    names = [variants.chromosomes[k].name for k in variants.chrom.tolist()]
    places = region_places(list(zip(names, variants.pos.tolist(), strict=True)))
    assert len(longest_place(variants)) >= max(map(len, places))


# --- Refused, or survived ---------------------------------------------------------------------


@pytest.mark.parametrize("command", ["assoc", "check"])
@pytest.mark.parametrize(
    ("text", "exit_code", "code", "said"),
    [
        ("1\t5\t9\tA\n1\t9\t5\tB\n", 3, "E472", ":2:3"),
        ("NC_000001.11\t5\t9\tA\n", 4, "E476", "NC_000001.11"),
        ("", 3, "E475", "no line of data"),
    ],
)
def test_bad_genes_are_refused_before_the_work(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    command: str,
    text: str,
    exit_code: int,
    code: str,
    said: str,
) -> None:
    genes = tmp_path / "genes.bed"
    genes.write_text(text)
    out = tmp_path / "out" / "run"
    out.parent.mkdir()
    result = run_cli(command, *small_study.inputs, "--out", out, "--genes", genes, *FAST)
    assert result.exit_code == exit_code
    assert f"[{code}]" in result.stderr
    assert said in result.stderr
    assert {path.name for path in out.parent.iterdir()} <= {"run.log"}


@pytest.mark.parametrize(
    "options",
    [["--regions", -1], ["--region-window", 0], ["--region-window", 10**6], ["--genes", "absent"]],
    ids=str,
)
def test_options_out_of_range(
    attempt: Callable[..., Result], tmp_path: Path, options: list[object]
) -> None:
    result = attempt(*options)
    assert result.exit_code == (7 if "absent" in options else 2)
    assert not list((tmp_path / "out").glob("*.tsv*"))


def test_genes_that_are_gone_in_the_end_cost_no_plot(
    attempt: Callable[..., Result],
    tmp_path: Path,
    genes: Path,
    monkeypatch: pytest.MonkeyPatch,
    drawn: list[tuple[Any, Any]],
) -> None:
    from lmmgwas.pipeline import results

    draw = results.draw_plots

    def lose(*args: Any) -> None:
        draw(*args)
        genes.unlink(missing_ok=True)

    monkeypatch.setattr(results, "draw_plots", lose)
    result = attempt("--threshold", 0.01, "--genes", genes)
    assert result.exit_code == 0, result.stderr
    assert "[W470]" in result.stderr
    assert regions_in(tmp_path / "out")
    assert all(region.genes == () and not region.genes_known for region, _ in drawn)


@pytest.mark.parametrize("where", ["regions.collect_regions", "region_rows.r2_to"])
def test_a_plot_that_fails_never_costs_a_table(
    attempt: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    count = itertools.count()

    def fail(*args: object) -> None:
        if next(count) or where.endswith("regions"):
            raise ValueError("no picture today")

    name = {"region_rows.r2_to": "regions.r2_to"}.get(where, where)
    monkeypatch.setattr(f"lmmgwas.pipeline.{name}", fail)
    result = attempt("--threshold", 0.01)
    assert result.exit_code == 0, result.stderr
    assert "[W701]: regional plots of height could not be drawn" in result.stderr.replace("  ", " ")
    assert regions_in(tmp_path / "out") == []
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"run.height.tsv.gz", "run.run.json", "run.height.manhattan.png"} <= names


def test_a_second_picture_that_fails_takes_the_first_away(
    attempt: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmmgwas.report import region_plot

    count, draw = itertools.count(), region_plot.draw_region

    def fail(*args: Any) -> Any:
        if next(count):
            raise ValueError("no second picture")
        return draw(*args)

    monkeypatch.setattr(region_plot, "draw_region", fail)
    result = attempt("--threshold", 0.01)
    assert result.exit_code == 0, result.stderr
    assert "no second picture" in result.stderr
    assert regions_in(tmp_path / "out") == []


# --- `lmmgwas plot` ---------------------------------------------------------------------------


@pytest.fixture
def table(attempt: Callable[..., Result], tmp_path: Path) -> Path:
    """The finished table of the small study."""
    assert attempt("--threshold", 0.01, "--plots", "none").exit_code == 0
    return tmp_path / "out" / "run.height.tsv.gz"


@pytest.fixture
def plot(run_cli: RunCli, tmp_path: Path) -> Callable[..., Result]:
    (tmp_path / "again").mkdir()

    def run(*arguments: object) -> Result:
        usual = ("--out", tmp_path / "again" / "p", "--threshold", 0.01, "--plots", "png")
        return run_cli("plot", *arguments, *usual)

    return run


def test_plot_without_genotypes_draws_no_region(
    table: Path, plot: Callable[..., Result], tmp_path: Path
) -> None:
    assert plot(table).exit_code == 0
    assert regions_in(tmp_path / "again") == []


def test_plot_with_genes_alone_knows_no_r2(
    table: Path, plot: Callable[..., Result], genes: Path, drawn: list[tuple[Any, Any]]
) -> None:
    result = plot(table, "--genes", genes)
    assert result.exit_code == 0, result.stderr
    assert "show no r2" in result.stderr
    assert drawn
    assert all(np.isnan(region.r2).all() for region, _ in drawn)
    assert any(region.genes for region, _ in drawn)


def test_plot_matches_rows_by_place_alleles_and_name(
    study: Study,
    table: Path,
    plot: Callable[..., Result],
    tmp_path: Path,
    drawn: list[tuple[Any, Any]],
) -> None:
    """A set in another order with some variants renamed: those are unknown, the others right."""
    assert plot(table, "--bfile", tmp_path / "in" / "study").exit_code == 0
    usual = {region.lead_id: region for region, _ in drawn}
    drawn.clear()
    order = np.random.default_rng(2).permutation(len(study.chrom))
    for name in ("chrom", "pos", "marker", "effect", "other"):
        values = getattr(study, name)
        setattr(study, name, [values[k] for k in order])
    study.calls = study.calls[order]
    leads = set(usual)
    renamed = [k for k, m in enumerate(study.marker) if m.endswith("5") and m not in leads]
    for k in renamed:
        study.marker[k] += "x"
    files = study.write(tmp_path / "other")
    result = plot(table, "--bfile", files.bfile, "--overwrite")
    assert result.exit_code == 0, result.stderr
    assert "r2 is unknown for" in result.stderr
    assert {region.lead_id for region, _ in drawn} == set(usual)
    for region, _ in drawn:
        before = usual[region.lead_id]
        lost = np.array([f"{name}x" in study.marker for name in region.marker_ids])
        assert np.isnan(region.r2[lost]).all()
        np.testing.assert_array_equal(region.r2[~lost], before.r2[~lost])


def test_plot_with_another_set_warns(
    study: Study, table: Path, plot: Callable[..., Result], tmp_path: Path
) -> None:
    study.marker = [f"other{k}" for k in range(len(study.marker))]
    files = study.write(tmp_path / "other")
    result = plot(table, "--bfile", files.bfile)
    assert result.exit_code == 0, result.stderr
    assert "[W471]" in result.stderr
    assert regions_in(tmp_path / "again")


def test_plot_removes_what_it_does_not_draw_again(
    table: Path, plot: Callable[..., Result], genes: Path, tmp_path: Path
) -> None:
    assert plot(table, "--genes", genes).exit_code == 0
    many = regions_in(tmp_path / "again")
    assert len(many) > 1
    assert plot(table, "--genes", genes, "--regions", 1).exit_code == 8
    assert plot(table, "--genes", genes, "--regions", 1, "--overwrite").exit_code == 0
    assert len(regions_in(tmp_path / "again")) == 1


def test_keep_without_genotypes_is_refused(table: Path, plot: Callable[..., Result]) -> None:
    result = plot(table, "--keep", "people.txt")
    assert (result.exit_code, "[E003]" in result.stderr) == (2, True)

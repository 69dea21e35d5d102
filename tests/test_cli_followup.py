"""What people do next: other tests, conditioning on a hit, filters of quality, binary traits."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import RunCli, Study, StudyFiles, read_tsv
from scipy import stats

MISSING = -127


def assoc(run_cli: RunCli, files: StudyFiles, out: Path, *more: object) -> pd.DataFrame:
    """Run on the small study's first trait; return the table."""
    result = run_cli(
        "assoc", *files.inputs, "--out", out, "--plots", "none", "--whitener", "spectral", *more
    )
    assert result.exit_code == 0, result.stderr
    tables = sorted(p for p in out.parent.glob(f"{out.name}.*.tsv.gz") if "excluded" not in p.name)
    assert tables
    return read_tsv(tables[0])


def all_called(study: Study, chrom: str) -> int:
    """A common variant of a chromosome without a missing call."""
    for row in study.on(chrom):
        x = study.dosage(int(row))
        if not np.isnan(x).any() and 0.2 < x.mean() / 2 < 0.8:
            return int(row)
    raise AssertionError("the small study has no such variant")


def test_conditioning_equals_the_dosage_as_a_covariate(
    run_cli: RunCli, study: Study, tmp_path: Path
) -> None:
    row = all_called(study, "2")
    marker = study.bim().split("\n")[row].split()[1]
    files = study.write(tmp_path / "a")
    assoc(run_cli, files, tmp_path / "by_option", "--condition", marker)
    study.covar.add("dosage", [f"{x:g}" for x in study.dosage(row)])
    files = study.write(tmp_path / "b")
    assoc(run_cli, files, tmp_path / "by_hand")
    ours = sorted(tmp_path.glob("by_option.*.tsv.gz")) + sorted(
        tmp_path.glob("by_option.*.null.tsv")
    )
    for path in ours:
        other = path.with_name(path.name.replace("by_option", "by_hand"))
        assert path.read_bytes() == other.read_bytes(), path.name


@pytest.mark.parametrize("ids", ["no_such_variant", ""])
def test_conditioning_on_an_absent_variant_is_refused(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, ids: str
) -> None:
    result = run_cli(
        "assoc", *small_study.inputs, "--out", tmp_path / "x", "--condition", f"{ids},also_absent"
    )
    assert result.exit_code == 4
    assert "E217" in result.stderr


@pytest.mark.parametrize("test", ["lrt", "score"])
@pytest.mark.parametrize("variance", ["null", pytest.param("per-variant", marks=pytest.mark.slow)])
def test_other_tests_give_similar_p_and_the_same_beta(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, test: str, variance: str
) -> None:
    wald = assoc(run_cli, small_study, tmp_path / "wald", "--variance", variance)
    other = assoc(run_cli, small_study, tmp_path / "o", "--test", test, "--variance", variance)
    pd.testing.assert_series_equal(wald["beta"], other["beta"])
    p = [table["neg_log_10_p_value"].to_numpy(float) for table in (wald, other)]
    assert not np.array_equal(*p)
    # The three tests are equivalent in large samples; ranks agree well in small ones.
    assert stats.spearmanr(*p).statistic > 0.95


def test_few_samples_with_refitted_variances_are_warned_of(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    result = run_cli(
        "assoc",
        *small_study.inputs,
        "--out",
        tmp_path / "x",
        "--variance",
        "per-variant",
        "--plots",
        "none",
    )
    assert result.exit_code == 0
    assert "W603" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--test", "lrt", "--whitener", "cholesky"),
        ("--variance", "per-variant", "--whitener", "cholesky"),
        ("--variance", "per-variant", "--h2", "0.5"),
    ],
    ids=str,
)
def test_options_that_contradict_each_other_are_refused(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = run_cli("assoc", *small_study.inputs, "--out", tmp_path / "x", *options)
    assert result.exit_code == 2
    assert not list(tmp_path.glob("x.*.tsv.gz"))


def test_samples_with_many_missing_calls_are_dropped_and_counted(
    run_cli: RunCli, study: Study, tmp_path: Path
) -> None:
    study.calls[:, 3] = MISSING
    files = study.write(tmp_path / "in")
    assoc(run_cli, files, tmp_path / "x", "--mind", "0.5")
    samples = read_tsv(tmp_path / "x.samples.tsv")
    assert samples["reason"].iloc[3] == "HIGH_MISSING"
    assert (samples["reason"] == "HIGH_MISSING").sum() == 1


def test_variants_out_of_hardy_weinberg_are_excluded(
    run_cli: RunCli, study: Study, tmp_path: Path
) -> None:
    row = all_called(study, "1")
    study.calls[row] = np.where(np.arange(study.calls.shape[1]) % 2, 2, 0)
    marker = study.bim().split("\n")[row].split()[1]
    files = study.write(tmp_path / "in")
    result = run_cli(
        "assoc",
        *files.inputs,
        "--out",
        tmp_path / "x",
        "--hwe",
        "1e-6",
        "--nonfounders",
        "--plots",
        "none",
    )
    assert result.exit_code == 0, result.stderr
    assert "Hardy-Weinberg test on all analysed samples" in result.stderr
    for path in tmp_path.glob("x.*.excluded.tsv.gz"):
        table = read_tsv(path)
        assert table.loc[table["marker_id"] == marker, "reason"].tolist() == ["HWE"]


@pytest.mark.parametrize("codes", [("0", "1"), ("1", "2")], ids=str)
def test_binary_traits_say_how_they_were_read(
    run_cli: RunCli, study: Study, tmp_path: Path, codes: tuple[str, str]
) -> None:
    n = len(study.pheno.column("IID"))
    rng = np.random.default_rng(5)
    is_case = rng.random(n) < 0.4
    study.pheno.add("disease", [codes[int(case)] for case in is_case])
    files = study.write(tmp_path / "in")
    result = run_cli(
        "assoc",
        *files.inputs,
        "--pheno-name",
        "disease",
        "--out",
        tmp_path / "x",
        "--plots",
        "none",
    )
    assert result.exit_code == 0, result.stderr
    assert f"{codes[1]} = case" in result.stderr
    assert "logistic" in result.stderr
    table = read_tsv(tmp_path / "x.disease.tsv.gz")
    samples = read_tsv(tmp_path / "x.samples.tsv")
    analysed = set(samples.loc[samples["analysed"] == "1", "IID"])
    coded = zip(study.pheno.column("IID"), study.pheno.column("disease"), strict=True)
    k = np.mean([value == codes[1] for iid, value in coded if iid in analysed])
    ratio = table["beta"].astype(float) / table["approximate_log_odds_ratio"].astype(float)
    # 8 printed digits of either.
    np.testing.assert_allclose(ratio, k * (1 - k), rtol=1e-6)


def test_conditioning_on_the_top_variant_leaves_the_second_signal(
    run_cli: RunCli, study: Study, tmp_path: Path
) -> None:
    """One locus: a causal variant, three that tag it, and a second causal variant."""
    rng = np.random.default_rng(3)
    first, second, *tags = (int(row) for row in study.on("3")[[10, 14, 11, 12, 13]])
    n = study.calls.shape[1]
    study.calls[first] = rng.binomial(2, 0.4, n)
    study.calls[second] = rng.binomial(2, 0.5, n)
    for tag in tags:
        noisy = rng.random(n) < 0.06
        study.calls[tag] = np.where(noisy, rng.binomial(2, 0.4, n), study.calls[first])
    effect = 6.0 * study.calls[first] + 4.0 * study.calls[second]
    for row, value in enumerate(study.pheno.numbers("height") + effect):
        study.pheno.set("height", row, "NA" if np.isnan(value) else f"{value:.3f}")
    files = study.write(tmp_path / "in")
    usual = assoc(run_cli, files, tmp_path / "usual", "--pheno-name", "height")
    p = usual.set_index("marker_id")["neg_log_10_p_value"].astype(float)
    top = str(p.idxmax())
    assert top == study.marker[first]
    assert (p[[study.marker[tag] for tag in tags]] > 7).all()
    after = assoc(run_cli, files, tmp_path / "after", "--pheno-name", "height", "--condition", top)
    q = after.set_index("marker_id")["neg_log_10_p_value"].astype(float)
    assert top not in q.index  # it is among the covariates now: COLLINEAR
    assert (q[[study.marker[tag] for tag in tags]] < 3).all()
    assert q[study.marker[second]] > 5


def test_haploid_chromosomes_are_not_held_against_hardy_weinberg(
    run_cli: RunCli, study: Study, tmp_path: Path
) -> None:
    for row in study.on("MT"):
        study.calls[row] = np.where(np.arange(study.calls.shape[1]) % 3, 2, 0)
    files = study.write(tmp_path / "in")
    options = ("--hwe", "1e-6", "--nonfounders", "--include-nonautosomal")
    table = assoc(run_cli, files, tmp_path / "x", *options)
    assert (table["chromosome"] == "25").sum() == 2


def test_regression_needs_no_parts_of_a_given_grm(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    assert run_cli("grm", "--bfile", small_study.bfile, "--out", tmp_path / "g").exit_code == 0
    (tmp_path / "g.grm.json").unlink()  # a plain GRM of GCTA's
    result = run_cli(
        "assoc", *small_study.inputs, "--grm", tmp_path / "g", "--h2", "0", "--out",
        tmp_path / "x", "--plots", "none",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "p of h2 = 0" not in result.stderr  # fixed: nothing was estimated


def test_h2_beyond_its_range_is_refused(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    result = run_cli("assoc", *small_study.inputs, "--out", tmp_path / "x", "--h2", "0.99999999")
    assert result.exit_code == 2
    assert "E002" in result.stderr

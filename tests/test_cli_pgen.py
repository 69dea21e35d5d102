"""`--pfile` through the whole program: the bytes that the same calls give as a .bed."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, RunCli, Study, StudyFiles, read_tsv
from pgen_files import pfile_inputs, psam_text, pvar_text, results_of, write_pfile, write_pgen

ONE = ["--threads", 1]
NO_PLOTS = ["--plots", "none"]


def sound(result: Result) -> None:
    assert result.exit_code == 0, result.stderr


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder / "r"


@pytest.fixture
def pfile(study: Study, small_study: StudyFiles, tmp_path: Path) -> Path:
    """The genotypes of the small study as a PLINK 2 file set; REF is provisional, as in a .bed."""
    return write_pfile(study, tmp_path / "in2")


CASES = {
    "default": [],
    "no LOCO": ["--no-loco", "--grm-model", "hwe"],
    "ordinary regression": ["--h2", 0],
    "all filters": ["--maf", 0.05, "--hwe", 0.001, "--mind", 0.5, "--include-nonautosomal"],
    "per variant": ["--variance", "per-variant"],
    "double": ["--precision", "double", "--whitener", "spectral", "--grm-missing", "pairwise"],
    "calibrated": ["--scan", "calibrated"],
    "condition": ["--condition", "rs1030,rs1250", "--block-size", 7],
    "two threads": ["--threads", 2],
}


@pytest.mark.parametrize("case", CASES)
def test_a_study_has_the_bytes_of_the_bed(
    run_cli: RunCli, small_study: StudyFiles, pfile: Path, tmp_path: Path, case: str
) -> None:
    options = [*CASES[case], *NO_PLOTS, *([] if "--threads" in CASES[case] else ONE)]
    bed, pgen = make(tmp_path / "bed"), make(tmp_path / "pgen")
    sound(run_cli("assoc", *small_study.inputs, "--out", bed, *options))
    sound(run_cli("assoc", *pfile_inputs(small_study, pfile), "--out", pgen, *options))
    found, expected = results_of(pgen), results_of(bed)
    assert found.keys() == expected.keys()
    for name, content in expected.items():
        assert found[name] == content, name
    assert len(expected) > 8


def test_a_grm_has_the_bytes_of_the_bed(
    run_cli: RunCli, small_study: StudyFiles, pfile: Path, tmp_path: Path
) -> None:
    bed, pgen = make(tmp_path / "bed"), make(tmp_path / "pgen")
    sound(run_cli("grm", "--bfile", small_study.bfile, "--out", bed, *ONE, "--pca", 3))
    sound(run_cli("grm", "--pfile", pfile, "--out", pgen, *ONE, "--pca", 3))
    found, expected = results_of(pgen), results_of(bed)
    assert found.keys() == expected.keys()
    for name, content in expected.items():
        if not name.endswith(".grm.json"):  # names its inputs
            assert found[name] == content, name


def test_parts_make_the_whole(
    run_cli: RunCli, small_study: StudyFiles, pfile: Path, tmp_path: Path
) -> None:
    argv = ["assoc", *pfile_inputs(small_study, pfile), *ONE, *NO_PLOTS]
    whole, parts = make(tmp_path / "whole"), make(tmp_path / "parts")
    sound(run_cli(*argv, "--out", whole))
    for part in (2, 1):
        sound(run_cli(*argv, "--out", parts, "--part", f"{part}/2"))
    sound(run_cli("merge", "--out", parts))
    assert results_of(parts) == results_of(whole)


def test_some_samples_in_another_order(
    run_cli: RunCli, study: Study, small_study: StudyFiles, tmp_path: Path
) -> None:
    """The order of the samples of either file is that of the analysis: both have the same."""
    order = np.random.default_rng(4).permutation(len(study.iid))[:100]
    study.take_samples(order)
    files = study.write(tmp_path / "other")
    prefix = write_pfile(study, tmp_path / "other2")
    keep = tmp_path / "keep.txt"
    keep.write_text("".join(f"{study.fid[i]} {study.iid[i]}\n" for i in range(0, 95)))
    bed, pgen = make(tmp_path / "bed"), make(tmp_path / "pgen")
    options = [*ONE, *NO_PLOTS, "--keep", keep]
    sound(run_cli("assoc", *files.inputs, "--out", bed, *options))
    sound(run_cli("assoc", *pfile_inputs(files, prefix), "--out", pgen, *options))
    assert results_of(pgen) == results_of(bed)


def split(study: Study, folder: Path) -> Path:
    """One PLINK 2 file set a chromosome; return the prefix with its @."""
    folder.mkdir()
    for label in dict.fromkeys(study.chrom):
        rows = study.on(label)
        write_pgen(folder / f"c{label}.pgen", study.calls[rows])
        lines = pvar_text(study).splitlines()
        (folder / f"c{label}.pvar").write_text(
            "\n".join([*lines[:2], *(lines[2 + row] for row in rows), ""])
        )
        (folder / f"c{label}.psam").write_text(psam_text(study))
    return folder / "c@"


def test_one_set_for_each_chromosome(
    run_cli: RunCli, study: Study, small_study: StudyFiles, tmp_path: Path
) -> None:
    prefix = split(study, tmp_path / "split")
    bed, pgen = make(tmp_path / "bed"), make(tmp_path / "pgen")
    sound(run_cli("assoc", *small_study.inputs, "--out", bed, *ONE, *NO_PLOTS))
    sound(run_cli("assoc", *pfile_inputs(small_study, prefix), "--out", pgen, *ONE, *NO_PLOTS))
    assert results_of(pgen) == results_of(bed)
    psam = tmp_path / "split" / "c2.psam"
    lines = psam.read_text().splitlines()
    psam.write_text("\n".join([lines[0], *lines[:0:-1], ""]))
    other = make(tmp_path / "swapped")
    result = run_cli("assoc", *pfile_inputs(small_study, prefix), "--out", other, *ONE)
    assert result.exit_code == 4
    assert "[E310]" in result.stderr
    assert "c2.psam does not list the same samples" in result.stderr


def test_the_reference_allele_is_named_where_it_is_known(
    run_cli: RunCli, study: Study, small_study: StudyFiles, pfile: Path, tmp_path: Path
) -> None:
    known = write_pfile(study, tmp_path / "in3", nonref=False)
    first, second = make(tmp_path / "a"), make(tmp_path / "b")
    for prefix, out in ((pfile, first), (known, second)):
        sound(run_cli("assoc", *pfile_inputs(small_study, prefix), "--out", out, *ONE, *NO_PLOTS))
    name = "r.height.tsv.gz"
    guessed, told = (read_tsv(out.with_name(name)) for out in (first, second))
    assert (guessed["ref_allele"] == "#NA").all()
    assert (told["ref_allele"] == "OA").all()
    by_marker = dict(zip(study.marker, study.other, strict=True))
    named = told[told["marker_id"].isin(by_marker)]
    assert (named["other_allele"] == named["marker_id"].map(by_marker)).all()
    columns = guessed.columns.drop("ref_allele")
    assert guessed[columns].equals(told[columns])
    leads = [read_tsv(out.with_name("r.height.leads.tsv")) for out in (first, second)]
    assert set(leads[1]["ref_allele"]) == {"OA"}
    assert leads[0].drop(columns="ref_allele").equals(leads[1].drop(columns="ref_allele"))


def test_a_grm_from_another_pfile(
    run_cli: RunCli, small_study: StudyFiles, pfile: Path, tmp_path: Path
) -> None:
    bed, pgen = make(tmp_path / "bed"), make(tmp_path / "pgen")
    argv = ["assoc", *small_study.inputs, *ONE, *NO_PLOTS]
    sound(run_cli(*argv, "--grm-bfile", small_study.bfile, "--out", bed))
    sound(run_cli(*argv, "--grm-pfile", pfile, "--out", pgen))
    assert results_of(pgen) == results_of(bed)


def test_check(run_cli: RunCli, small_study: StudyFiles, pfile: Path) -> None:
    result = run_cli("check", *pfile_inputs(small_study, pfile), *ONE)
    sound(result)
    assert f"118 samples, 286 variants ({pfile}.pgen)" in result.stderr


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["--pfile", "a", "--bfile", "b"], "E003"),
        (["--pfile", "a", "--bed", "b"], "E003"),
        ([], "E003"),
        (["--bfile", "a", "--grm-bfile", "b", "--grm-pfile", "c"], "E004"),
        (["--bfile", "a", "--grm", "b", "--grm-pfile", "c"], "E004"),
    ],
)
def test_genotypes_are_given_in_one_way(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, given: list[str], code: str
) -> None:
    result = run_cli("assoc", *given, "--pheno", small_study.pheno, "--out", tmp_path / "r")
    assert result.exit_code == 2
    assert f"[{code}]" in result.stderr


def test_without_pgenlib(
    run_cli: RunCli,
    small_study: StudyFiles,
    pfile: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pgenlib", None)
    result = run_cli("assoc", *pfile_inputs(small_study, pfile), "--out", tmp_path / "r")
    assert result.exit_code == 2
    assert "[E148]" in result.stderr
    assert "pip install 'lmmgwas[pgen]'" in result.stderr


def test_a_file_that_is_replaced_during_the_run(
    run_cli: RunCli,
    small_study: StudyFiles,
    pfile: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lmmgwas.io.pfile import PgenSource

    path = pfile.with_suffix(".pgen")
    healthy = PgenSource.read

    def then_replace(source: PgenSource, index: np.ndarray) -> np.ndarray:
        if int(index[-1]) == 239 and not path.with_name("done").exists():
            shutil.copyfile(path, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
            path.with_name("done").touch()
        return healthy(source, index)

    monkeypatch.setattr(PgenSource, "read", then_replace)
    out = make(tmp_path / "out")
    result = run_cli("assoc", *pfile_inputs(small_study, pfile), "--out", out, *ONE, "--chr", "1-4")
    assert result.exit_code == 7, result.stderr
    assert f"[E106] {path}: the file was changed or replaced during the run" in result.stderr
    assert {each.name for each in out.parent.iterdir()} <= {"r.log", ".r.work"}


def test_a_cut_file(run_cli: RunCli, small_study: StudyFiles, pfile: Path, tmp_path: Path) -> None:
    path = pfile.with_suffix(".pgen")
    path.write_bytes(path.read_bytes()[:-1])
    result = run_cli("assoc", *pfile_inputs(small_study, pfile), "--out", tmp_path / "r")
    assert result.exit_code == 3
    assert f"[E141] {path}: " in result.stderr
    assert "short by 1" in result.stderr


def test_lines_of_a_pvar_are_counted_from_its_first(
    run_cli: RunCli, small_study: StudyFiles, pfile: Path, tmp_path: Path
) -> None:
    """The place of a variant that stands before its predecessor: two lines of header are there."""
    path = pfile.with_suffix(".pvar")
    lines = path.read_text().splitlines()
    cells = lines[7].split("\t")
    lines[7] = "\t".join([cells[0], "999", *cells[2:]])
    path.write_text("\n".join([*lines, ""]))
    result = run_cli("assoc", *pfile_inputs(small_study, pfile), "--out", tmp_path / "r", *ONE)
    sound(result)
    assert "[W206]" in result.stderr
    assert "(first on line 8)" in result.stderr

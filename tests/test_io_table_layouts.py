"""The peers' tables: recognised by their headers, read as strictly as ours, or refused."""

import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import StudyFiles
from reference import MOUSE, TOY

from lmmgwas.errors import FormatError
from lmmgwas.io import blocks
from lmmgwas.io.read_sumstats import SummaryTable, read_rows, read_sumstats
from lmmgwas.io.sumstats import COLUMNS
from lmmgwas.io.table_layouts import PEERS, find_layout

# Headers as the programs write them, with two rows each; the second has no p-value.
TABLES = {
    "GEMMA": (
        "chr\trs\tps\tn_miss\tallele1\tallele0\taf\tbeta\tse\tlogl_H1\tl_remle\tp_wald\n"
        "1\trs1\t3197400\t0\tA\tG\t0.443\t-7.8e-02\t6.1e-02\t-1.5e+03\t4.3\t2.5e-03\n"
        "-9\trs2\t-9\t0\tA\tG\t0.443\tnan\tnan\t-1.5e+03\t4.3\tnan\n"
    ),
    "GCTA (MLMA)": (
        "Chr\tSNP\tbp\tA1\tA2\tFreq\tb\tse\tp\n"
        "1\trs1\t3197400\tA\tG\t0.443\t-7.8e-02\t6.1e-02\t2.5e-03\n"
        "23\trs2\t5\tA\tG\tNA\tNA\tNA\tNA\n"
    ),
    "GCTA (fastGWA)": (
        "CHR\tSNP\tPOS\tA1\tA2\tN\tAF1\tBETA\tSE\tP\n"
        "1\trs1\t3197400\tA\tG\t500\t0.443\t-7.8e-02\t6.1e-02\t2.5e-03\n"
        "2\trs2\t5\tA\tG\t500\t0.443\t1\t1\tnan\n"
    ),
    "REGENIE": (
        "CHROM GENPOS ID ALLELE0 ALLELE1 A1FREQ N TEST BETA SE CHISQ LOG10P EXTRA\n"
        "1 3197400 rs1 G A 0.443 500 ADD -7.8e-02 6.1e-02 9.1 2.60206 NA\n"
        "23 5 rs2 G A 0.443 500 ADD NA NA NA NA TEST_FAIL\n"
        "23 6 rs2 G A 0.443 500 DOM 1 1 1 9 NA\n"
    ),
    "PLINK 2": (
        "#CHROM\tPOS\tID\tREF\tALT\tA1\tTEST\tOBS_CT\tBETA\tSE\tT_STAT\tP\tERRCODE\n"
        "1\t3197400\trs1\tG\tA\tA\tADD\t500\t-7.8e-02\t6.1e-02\t-3\t0.0025\t.\n"
        "X\t5\trs2\tG\tA\tA\tADD\t500\tNA\tNA\tNA\tNA\tCONST_ALLELE\n"
        "X\t5\trs2\tG\tA\tA\tage\t500\t1\t1\t1\t1e-90\t.\n"
    ),
    "BOLT-LMM": (
        "SNP\tCHR\tBP\tGENPOS\tALLELE1\tALLELE0\tA1FREQ\tF_MISS\tBETA\tSE\tP_BOLT_LMM_INF\tP_BOLT_LMM\n"
        "rs1\t1\t3197400\t0\tA\tG\t0.443\t0\t-7.8e-02\t6.1e-02\t9.7E-02\t2.5E-03\n"
        "rs2\t23\t5\t0\tA\tG\t0.443\t0\t-nan\tnan\tnan\t-nan\n"
    ),
    "SAIGE": (
        "CHR\tPOS\tMarkerID\tAllele1\tAllele2\tAC_Allele2\tAF_Allele2\tMissingRate\tBETA\tSE\t"
        "Tstat\tvar\tp.value\tp.value.NA\tN\n"
        "chr1\t3197400\trs1\tG\tA\t443\t0.443\t0\t-7.8e-02\t6.1e-02\t1\t1\t2.5e-03\t0.9\t500\n"
        "chrX\t5\trs2\tG\tA\t4\t0.4\t0\tNA\tNA\t1\t1\tNA\tNA\tNA\n"
    ),
    "FaST-LMM": (
        ",SNP,Chr,GenDist,ChrPos,PValue,SnpWeight,SnpWeightSE,Nullh2\n"
        "0,rs1,1.0,0.0,3197400.0,0.0025,0.1,0.01,0.5\n"
        "1,rs2,2.0,0.0,5.0,,,,0.5\n"
    ),
    "METAL": (
        "Chromosome\tPosition\tMarkerName\tAllele1\tAllele2\tEffect\tStdErr\tP-value\tDirection\n"
        "1\t3197400\trs1\ta\tg\t-0.078\t0.061\t0.0025\t--\n"
        "2\t5\trs2\ta\tg\t0\t0\tNA\t??\n"
    ),
}
P_NAMES = {
    "GEMMA": "p_wald",
    "GCTA (MLMA)": "p",
    "GCTA (fastGWA)": "P",
    "REGENIE": "LOG10P",
    "PLINK 2": "P",
    "BOLT-LMM": "P_BOLT_LMM",
    "SAIGE": "p.value",
    "FaST-LMM": "PValue",
    "METAL": "P-value",
}


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "peer.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def first_row(table: SummaryTable) -> dict[str, str]:
    return dict(zip(table.header, read_rows(table, np.array([0]))[0], strict=True))


def test_every_peer_is_tested() -> None:
    assert {layout.tool for layout in PEERS} == set(TABLES)


@pytest.mark.parametrize("block", [80, 1 << 23])
@pytest.mark.parametrize("tool", TABLES)
def test_is_recognised_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, block: int
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK", block)
    table = read_sumstats(write(tmp_path, TABLES[tool]))
    layout = table.layout
    assert layout.tool == tool
    assert layout.columns[layout.p_name] == P_NAMES[tool]
    assert table.labels[0] == "1"
    assert table.pos.tolist() == [3197400]
    np.testing.assert_allclose(table.neg_log10_p, [-math.log10(0.0025)], rtol=1e-5)
    assert table.n_skipped == 1
    assert table.n_other == (1 if tool in ("REGENIE", "PLINK 2") else 0)
    assert table.n_samples == (500 if "500" in TABLES[tool] else 0)
    row = first_row(table)
    assert row["marker_id"] == "rs1"
    assert list(row) == [name for name in COLUMNS if name in row]
    assert len(row) == len(layout.columns)


@pytest.mark.parametrize("tool", sorted(set(TABLES) - {"FaST-LMM"}))
def test_the_effect_is_of_the_documented_allele(tmp_path: Path, tool: str) -> None:
    """The rows of `TABLES` say that A takes 0.078 from the trait."""
    row = first_row(read_sumstats(write(tmp_path, TABLES[tool])))
    assert row["effect_allele"].upper() == "A"
    assert float(row["beta"]) == -0.078
    if "other_allele" in row:
        assert row["other_allele"].upper() == "G"
    allele = next(layout for layout in PEERS if layout.tool == tool).effect_rule
    assert allele.endswith(".")


@pytest.mark.parametrize(
    ("tool", "absent", "next_best"),
    [
        ("GEMMA", "p_wald", "p_lrt"),
        ("BOLT-LMM", "P_BOLT_LMM", "P_BOLT_LMM_INF"),
        ("PLINK 2", "P", "LOG10_P"),
    ],
)
def test_the_next_best_p(tmp_path: Path, tool: str, absent: str, next_best: str) -> None:
    head, _, body = TABLES[tool].partition("\n")
    names = head.split("\t")
    names[names.index(absent)] = next_best
    if tool == "BOLT-LMM":
        names[names.index(next_best)] = "P_OTHER"
    table = read_sumstats(write(tmp_path, "\t".join(names) + "\n" + body))
    assert table.layout.columns[table.layout.p_name] == next_best
    if next_best == "LOG10_P":
        assert table.neg_log10_p.tolist() == [0.0025]


def test_runs_of_blanks_and_a_cut_file(tmp_path: Path) -> None:
    spread = TABLES["REGENIE"].replace(" ", "   ")
    assert read_sumstats(write(tmp_path, spread)).pos.tolist() == [3197400]
    with pytest.raises(FormatError) as caught:
        read_sumstats(write(tmp_path, TABLES["REGENIE"][:-12]))
    problem = caught.value.problems[0]
    assert (problem.code, problem.where.split(":")[1]) == ("E422", "4")


BAD = {
    "p": ("2.5e-03", "high", "E423", "p_wald 'high'"),
    "p above 1": ("2.5e-03", "1.5", "E423", "outside 0 to 1"),
    "p of 0": ("2.5e-03", "0", "E424", "is 0"),
    "position": ("3197400", "3e6", "E426", "'3e6'"),
    "a field more": ("rs1\t", "rs1\t1\t", "E422", "13 fields, where 12"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_cell_is_named_with_its_place(tmp_path: Path, kind: str) -> None:
    old, new, code, said = BAD[kind]
    path = write(tmp_path, TABLES["GEMMA"].replace(old, new, 1))
    with pytest.raises(FormatError) as caught:
        read_sumstats(path)
    problem = caught.value.problems[0]
    column = {"p": 12, "position": 3, "a field more": 12}.get(kind, 12)
    assert (problem.code, problem.where) == (code, f"{path}:2:{column}")
    assert said in problem.message


def refusal(header: str) -> str:
    with pytest.raises(FormatError) as caught:
        find_layout(header, "t")
    problem = caught.value.problems[0]
    assert problem.code == "E420"
    assert problem.where.startswith("t:1:")
    return problem.message


def test_a_header_that_is_of_no_program_names_what_is_there_and_what_is_wanted() -> None:
    message = refusal("gene\tscore\tvalue")
    for name in ("'gene'", "'score'", "'value'"):
        assert name in message
    for layout in PEERS:
        assert layout.tool in message
    for name in ("neg_log_10_p_value", "p_wald", "GENPOS", "P_BOLT_LMM", "ChrPos", "p.value"):
        assert name in message


def test_a_header_that_lacks_one_column_names_the_program_and_the_column() -> None:
    message = refusal("chr\trs\tps\tallele1\tallele0\taf\tbeta\tse\tlogl_H1")
    assert "GEMMA" in message
    assert "'p_wald' or 'p_lrt' or 'p_score'" in message
    assert "'logl_H1'" in message
    message = refusal("MarkerName\tAllele1\tAllele2\tWeight\tZscore\tP-value\tDirection")
    assert "METAL" in message
    assert "TRACKPOSITIONS ON" in message
    assert "REGENIE" in refusal("CHROM GENPOS ID ALLELE0 ALLELE1 BETA SE LOG10P.Y1")


def test_ours_is_ours_and_its_lacks_are_said_as_before() -> None:
    assert find_layout("chromosome\tbase_pair_location\tn\tp_value", "t").is_ours
    assert "'n'" in refusal("chromosome\tbase_pair_location\tp_value")
    assert "tabs separate" in refusal("chromosome,base_pair_location,n,p_value")
    with pytest.raises(FormatError, match="E421"):
        find_layout("chr\tps\tp_wald\tps", "t")


# --- Tables that the programs themselves wrote -------------------------------------------------


@pytest.mark.skipif(not MOUSE.exists(), reason="the reference data are not here")
@pytest.mark.parametrize("trait", ["CD8", "MCH"])
def test_gemmas_table_of_the_mice(trait: str) -> None:
    path = MOUSE / f"gemma_lmm4_{trait}.assoc.txt.gz"
    table = read_sumstats(path)
    theirs = pd.read_csv(path, sep="\t")
    assert table.layout.tool == "GEMMA"
    assert len(table) == len(theirs) - int(theirs["p_wald"].isna().sum())
    np.testing.assert_allclose(table.neg_log10_p, -np.log10(theirs["p_wald"]), rtol=1e-12)
    assert (table.pos == theirs["ps"].clip(lower=0)).all()


@pytest.mark.skipif(not TOY.exists(), reason="the reference data are not here")
def test_fastlmms_table_without_positions_is_refused_by_name() -> None:
    with pytest.raises(FormatError) as caught:
        read_sumstats(TOY / "fastlmm_loco.tsv.gz")
    assert "'PValue'" in caught.value.problems[0].message


PLINK2 = shutil.which("plink2")


@pytest.mark.skipif(PLINK2 is None, reason="plink2 is not installed")
@pytest.mark.parametrize("modifier", ["", "log10"])
def test_plink2s_own_table(small_study: StudyFiles, tmp_path: Path, modifier: str) -> None:
    """With covariates shown: only the rows of the variants are taken."""
    tables = ["--pheno", small_study.pheno, "--pheno-name", "height", "--covar", small_study.covar]
    chosen = ["--covar-name", "age", "--covar-variance-standardize", "--threads", "1"]
    glm = ["--glm", *([modifier] if modifier else [])]
    command = ["--bfile", small_study.bfile, *tables, *chosen, *glm, "--out", tmp_path / "theirs"]
    done = subprocess.run(
        [str(PLINK2), *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path / "theirs.height.glm.linear"
    table = read_sumstats(path)
    theirs = pd.read_csv(path, sep="\t", dtype={"#CHROM": str})
    column = table.layout.columns[table.layout.p_name]
    assert column == ("P" if not modifier else column)
    kept = theirs[(theirs["TEST"] == "ADD") & theirs[column].notna()]
    assert table.n_other == int((theirs["TEST"] != "ADD").sum()) > 0
    expected = kept[column] if modifier else -np.log10(kept[column])
    np.testing.assert_allclose(table.neg_log10_p, expected, atol=1e-12)
    assert table.pos.tolist() == kept["POS"].tolist()

"""Wrong input through the command line: exit code, error code, place, remedy, and no output.

The common cases of the catalogue of bad input; each row of a table below is one of them.
"""

import gzip
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import MISSING, Result, RunCli, Study, StudyFiles

from lmmgwas.io.atomic import OutputSet

Change = Callable[[StudyFiles, Study], Sequence[object] | None]
"""Spoils a study that is on disk; may return further options."""


@dataclass(frozen=True)
class Case:
    """One kind of wrong input and what must come of it."""

    name: str
    change: Change
    exit_code: int
    code: str
    words: tuple[str, ...]
    strict_code: str = ""  # of the error under --strict, where it has one of its own


@dataclass(frozen=True)
class Attempt:
    """A run into a folder of its own."""

    result: Result
    folder: Path

    def left(self) -> list[str]:
        """What lies in the output folder."""
        return sorted(path.name for path in self.folder.iterdir())


Try = Callable[..., Attempt]

RESUMABLE = {7, 70, 130, 137, 143}
"""Exit codes of runs that did not fail by their input."""


@pytest.fixture
def attempt(run_cli: RunCli, tmp_path: Path) -> Try:
    """`attempt(files, "--option", ...)`: run `assoc` on the study."""
    folder = tmp_path / "out"
    folder.mkdir()

    def run(files: StudyFiles, *options: object) -> Attempt:
        usual = ("--out", folder / "run", "--plots", "none", "--threads", 1)
        return Attempt(run_cli("assoc", *files.inputs, *usual, *options), folder)

    return run


def check(attempt: Attempt, exit_code: int, code: str, words: Sequence[str]) -> None:
    """The promises that every refusal keeps."""
    said = attempt.result.stderr
    assert attempt.result.exit_code == exit_code, said
    errors = [line for line in said.splitlines() if line.startswith("Error")]
    assert errors, said
    assert len(errors) <= 21  # up to 20 problems of a file, and how many more there are
    assert f"[{code}]" in errors[0]
    for word in words:
        assert word in "\n".join(errors)
    assert "Traceback" not in said
    check_nothing_written(attempt.folder, exit_code)


def check_nothing_written(folder: Path, exit_code: int) -> None:
    """Only the log, and the finished steps of a study that --resume can go on with."""
    kept = {".run.work"} if exit_code in RESUMABLE else set()
    assert {path.name for path in folder.iterdir()} <= {"run.log"} | kept
    work = folder / ".run.work"
    if work.exists():
        assert [path.name for path in work.iterdir()] == ["study"]
        assert list(work.glob("study/*.shard")) or (work / "study" / "grm.json").exists()


# --- Ways to spoil a study --------------------------------------------------------------------


def edited(name: str, edit: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of one file."""

    def change(files: StudyFiles, study: Study) -> None:
        path = getattr(files, name)
        path.write_bytes(edit(path.read_bytes()))

    return change


def without_line(name: str, line: int) -> Change:
    """Delete one line (from 0) of a text file."""

    def edit(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        return b"".join(lines[:line] + lines[line + 1 :])

    return edited(name, edit)


def removed(name: str) -> Change:
    return lambda files, study: getattr(files, name).unlink()


def trait_cells(name: str, cells: dict[int, str]) -> Change:
    """Replace cells of a trait; row 0 is on line 2 of the file."""

    def change(files: StudyFiles, study: Study) -> None:
        for row, value in cells.items():
            study.pheno.set(name, row, value)
        study.write(files.folder)

    return change


def every_trait_value(value: Callable[[Study, int], str]) -> Change:
    """Replace the whole column `height`."""
    return lambda files, study: trait_cells("height", {k: value(study, k) for k in range(118)})(
        files, study
    )


def renamed(rename: Callable[[str], str]) -> Change:
    """Change all IIDs of the tables."""

    def change(files: StudyFiles, study: Study) -> None:
        for table in (study.pheno, study.covar):
            table.rows = [[row[0], rename(row[1]), *row[2:]] for row in table.rows]
        study.write(files.folder)

    return change


def options(*given: object) -> Change:
    """Spoil nothing but the command line."""
    return lambda files, study: given


def covariate(name: str, values: Callable[[Study], Sequence[object]]) -> Change:
    """Add a covariate column."""

    def change(files: StudyFiles, study: Study) -> None:
        study.covar.add(name, values(study))
        study.write(files.folder)

    return change


def many_covariates(files: StudyFiles, study: Study) -> None:
    rng = np.random.default_rng(0)
    for k in range(113):
        study.covar.add(f"noise{k}", [f"{v:.4f}" for v in rng.normal(size=118)])
    study.write(files.folder)


def linear_trait(files: StudyFiles, study: Study) -> None:
    ages = study.covar.column("age")
    trait_cells("height", {k: a if a == "NA" else str(3 * int(a)) for k, a in enumerate(ages)})(
        files, study
    )


def short_row(text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    lines[9] = lines[9].rsplit(b"\t", 1)[0] + b"\n"
    return b"".join(lines)


def duplicate_sample(files: StudyFiles, study: Study) -> None:
    study.pheno.rows.append(list(study.pheno.rows[3]))
    study.write(files.folder)


def only_chromosome_1(files: StudyFiles, study: Study) -> None:
    study.chrom = ["1"] * len(study.chrom)
    study.write(files.folder)


def nobody_varies(files: StudyFiles, study: Study) -> None:
    study.calls = np.where(study.calls == MISSING, MISSING, 1)
    study.write(files.folder)


def few_samples(files: StudyFiles, study: Study) -> list[object]:
    keep = files.folder / "keep"
    keep.write_text(
        "".join(f"{f} {i}\n" for f, i in zip(study.fid[:9], study.iid[:9], strict=True))
    )
    return ["--keep", keep]


def keeps_strangers(files: StudyFiles, study: Study) -> list[object]:
    keep = files.folder / "keep"
    keep.write_text("no one\n")
    return ["--keep", keep]


def no_trait_left(files: StudyFiles, study: Study) -> None:
    """Whoever has the trait lacks a covariate."""
    trait_cells("height", {k: "NA" for k in range(118) if k != 70})(files, study)


def ambiguous_iids(files: StudyFiles, study: Study) -> None:
    """Two people share an IID, and the tables have no FID."""
    study.iid[1] = study.iid[100]
    study.write(files.folder)
    for table, path in ((study.pheno, files.pheno), (study.covar, files.covar)):
        path.write_text("\n".join("\t".join(r[1:]) for r in [table.names, *table.rows]))


def listed(name: str, *ids: str) -> Change:
    """A list of variants for --extract or --exclude."""

    def change(files: StudyFiles, study: Study) -> list[object]:
        path = files.folder / "list"
        path.write_text("\n".join(ids) + "\n")
        return [name, path]

    return change


def twice_the_same_id(files: StudyFiles, study: Study) -> list[object]:
    study.marker[60] = study.marker[61]
    study.write(files.folder)
    return listed("--extract", study.marker[61])(files, study) or []


GENOTYPES = [
    Case("no .bed", removed("bed"), 7, "E110", ("study.bed", "no such file", "study.bim")),
    Case("no .bim", removed("bim"), 7, "E110", ("study.bim", "no such file")),
    Case("no .fam", removed("fam"), 7, "E110", ("study.fam", "no such file")),
    Case(
        ".bed one byte short",
        edited("bed", lambda data: data[:-1]),
        3,
        "E101",
        ("study.bed", "8582 bytes, expected 8583", "286 variants", "short by 1", "truncated copy?"),
    ),
    Case(
        "half a .bed",
        edited("bed", lambda data: data[: len(data) // 2]),
        3,
        "E101",
        ("expected 8583", "truncated copy?"),
    ),
    Case(
        ".bed with extra bytes",
        edited("bed", lambda data: data + b"\0\0"),
        3,
        "E101",
        ("8585 bytes, expected 8583", "2 too many"),
    ),
    Case(
        "another .bed appended",
        edited("bed", lambda data: data + data[3:]),
        3,
        "E101",
        ("the size fits 572 variants", "286 lines short"),
    ),
    Case("empty .bed", edited("bed", lambda data: b""), 3, "E101", ("0 bytes", "truncated")),
    Case(
        "wrong magic",
        edited("bed", lambda data: b"\x6c\x1c" + data[2:]),
        3,
        "E102",
        ("6c 1c 01", "expected 6c 1b 01"),
    ),
    Case(
        "gzip under .bed",
        edited("bed", gzip.compress),
        3,
        "E102",
        ("1f 8b 08", "gunzip"),
    ),
    Case(
        "individual-major",
        edited("bed", lambda data: data[:2] + b"\0" + data[3:]),
        3,
        "E103",
        ("individual-major", "plink2 --make-bed"),
    ),
    Case(
        ".bim one line short",
        without_line("bim", 100),
        3,
        "E101",
        ("the size fits 286 variants, study.bim has 285", "1 lines short"),
    ),
    Case(
        ".fam line deleted from the middle",
        without_line("fam", 40),
        3,
        "E104",
        ("117 samples", "does the .fam lack a line?", "wrong people"),
    ),
    Case(
        ".fam with a line too many",
        edited("fam", lambda data: data + b"F99\tS999\t0\t0\t1\t-9\n"),
        3,
        "E104",
        ("S999", "does the .fam have 1 lines too many?"),
    ),
    Case("no samples", edited("fam", lambda data: b""), 4, "E107", ("study.fam", "no samples")),
    Case("no variants", edited("bim", lambda data: b""), 4, "E107", ("study.bim", "no variants")),
    Case(
        ".bim with a text position",
        edited("bim", lambda data: data.replace(b"\t1040000\t", b"\tabc\t", 1)),
        3,
        "E203",
        ("study.bim:2", "'abc'"),
    ),
    Case(
        "sample twice in the .fam",
        edited("fam", lambda data: data.replace(b"F00\tS001", b"F00\tS000")),
        3,
        "E301",
        ("study.fam:2", "lines 1 and 2"),
    ),
    Case("one chromosome", only_chromosome_1, 5, "E801", ("LOCO leaves 0 variants", "--no-loco")),
    Case("nobody varies", nobody_varies, 5, "E216", ("polymorphic",)),
    Case(
        "number beyond the human chromosomes",
        edited("bim", lambda data: re.sub(rb"(?m)^4\t", b"30\t", data)),
        4,
        "E210",
        ("chromosome 30", "--autosomes", "--species"),
    ),
]

TABLES = [
    Case(
        "text in a trait",
        trait_cells("height", {6: "tall", 8: "1.5abc"}),
        3,
        "E401",
        ("pheno.tsv:8:3:", "'tall'", "S006", "pheno.tsv:10:3:", "'1.5abc'", "NA, NaN"),
    ),
    Case(
        "infinite trait",
        trait_cells("weight", {6: "inf", 7: "-1e400"}),
        3,
        "E402",
        ("pheno.tsv:8:4:", "'inf'", "pheno.tsv:9:4:", "'-1e400'"),
    ),
    Case(
        "decimal comma",
        trait_cells("height", {6: "170,5"}),
        3,
        "E401",
        ("pheno.tsv:8:3:", "'170,5'", "decimal comma?"),
    ),
    Case(
        "is -9 a value?",
        trait_cells("height", {6: "-9", 7: "-9.25"}),
        3,
        "E403",
        ("pheno.tsv:8:3:", "'-9.25'", "--missing-code", "--no-missing-code"),
    ),
    Case(
        "constant trait",
        every_trait_value(lambda study, k: "1.75"),
        5,
        "E404",
        ("'height'", "constant (1.75)"),
    ),
    Case(
        "trait of missing values",
        every_trait_value(lambda study, k: "NA"),
        4,
        "E405",
        ("'height'", "no value"),
    ),
    Case("no trait with covariates", no_trait_left, 4, "E306", ("height", "no sample is left")),
    Case("empty trait table", edited("pheno", lambda data: b""), 4, "E405", ("empty",)),
    Case(
        "header only",
        edited("pheno", lambda data: b"FID\tIID\theight\n"),
        4,
        "E405",
        ("a header and no rows",),
    ),
    Case("no trait table", removed("pheno"), 7, "E110", ("pheno.tsv", "no such file")),
    Case("no covariate table", removed("covar"), 7, "E110", ("covar.tsv", "no such file")),
    Case(
        "no header",
        edited("pheno", lambda data: data.split(b"\n", 1)[1]),
        3,
        "E410",
        ("pheno.tsv:1", "--no-header"),
    ),
    Case(
        "ragged table",
        edited("pheno", short_row),
        3,
        "E406",
        ("pheno.tsv:10", "3 fields, expected 4"),
    ),
    Case("sample twice", duplicate_sample, 3, "E407", ("S003", "lines 5 and 120")),
    Case(
        "truncated gzip",
        edited("pheno", lambda data: gzip.compress(data)[:-20]),
        3,
        "E601",
        ("pheno.tsv", "truncated copy?"),
    ),
    Case(
        "other IDs",
        renamed(lambda iid: f"X{iid}"),
        4,
        "E304",
        ("0 of 118 samples", "'F00 S000'", "'F00 XS000'"),
    ),
    Case("IDs in another case", renamed(str.lower), 4, "E304", ("upper and lower case differ",)),
    Case(
        "IDs without zeros",
        renamed(lambda iid: f"0{iid}"),
        4,
        "E304",
        ("leading zeros differ",),
    ),
    Case(
        "FID and IID joined",
        renamed(lambda iid: f"F{int(iid[1:]) // 6:02d}_{iid}"),
        4,
        "E304",
        ("joins FID and IID by '_'",),
    ),
    Case("IID alone is not unique", ambiguous_iids, 4, "E308", ("S100", "FID")),
    Case(
        "unknown trait",
        options("--pheno-name", "hieght"),
        4,
        "E411",
        ("'hieght'", "did you mean height"),
    ),
    Case(
        "unknown covariate",
        options("--covar-name", "AGE"),
        4,
        "E411",
        ("'AGE'", "did you mean age?"),
    ),
    Case(
        "unknown category",
        options("--cat-covar-name", "sites"),
        4,
        "E411",
        ("'sites'", "did you mean site?"),
    ),
    Case(
        "trait that is a covariate",
        covariate("height", lambda study: study.pheno.column("height")),
        4,
        "E502",
        ("height is both trait and covariate", "--pheno-name", "--covar-name"),
    ),
    Case(
        "numbers and text in a covariate",
        covariate("dose", lambda study: ["low", *range(117)]),
        3,
        "E503",
        ("covar.tsv:2:7", "'low'", "--cat-covar-name dose"),
    ),
    Case(
        "too many levels",
        covariate("person", lambda study: study.iid),
        5,
        "E505",
        ("'person'", "levels", "identifier?"),
    ),
    Case("trait linear in a covariate", linear_trait, 5, "E408", ("height", "covariates")),
    Case("too many covariates", many_covariates, 5, "E504", ("degrees of freedom", "fewer")),
    Case("fewer than 10 samples", few_samples, 5, "E307", ("at least 10",)),
    Case("nobody kept", keeps_strangers, 4, "E309", ("--keep and --remove leave none",)),
    Case("nothing extracted", listed("--extract", "rs1"), 4, "E211", ("none of the 286 variants",)),
    Case(
        "ambiguous ID extracted", twice_the_same_id, 4, "E212", ("rs1061", "more than one variant")
    ),
    Case("absent chromosome", options("--chr", "7"), 4, "E213", ("'7'", "there are 1, 2, 3, 4")),
    Case(
        "tested chromosome is not in the GRM",
        options("--grm-chr", "1-3"),
        4,
        "E803",
        ("no part for chromosome 4", "it has 1, 2, 3"),
    ),
]


@pytest.mark.parametrize("case", GENOTYPES + TABLES, ids=lambda case: case.name)
def test_refuses(attempt: Try, small_study: StudyFiles, study: Study, case: Case) -> None:
    more = case.change(small_study, study) or ()
    before = sorted(path.name for path in small_study.folder.iterdir())
    check(attempt(small_study, *more), case.exit_code, case.code, case.words)
    assert sorted(path.name for path in small_study.folder.iterdir()) == before


def test_up_to_20_problems_of_a_file_are_shown(
    attempt: Try, small_study: StudyFiles, study: Study
) -> None:
    trait_cells("height", {k: f"bad{k}" for k in range(30)})(small_study, study)
    tried = attempt(small_study)
    check(tried, 3, "E401", ("'bad0'", "'bad19'", "... and 10 more problems"))
    assert "'bad20'" not in tried.result.stderr


def test_the_log_keeps_the_error(attempt: Try, small_study: StudyFiles, study: Study) -> None:
    trait_cells("height", {6: "tall"})(small_study, study)
    tried = attempt(small_study)
    assert tried.left() == ["run.log"]
    log = (tried.folder / "run.log").read_text()
    assert "[E401]" in log
    assert "'tall'" in log


def test_a_file_cannot_drive_the_terminal(attempt: Try, study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[31mb"
    files = study.write(folder)
    files.bed.unlink()
    assert "\x1b" not in attempt(files).result.stderr


# --- Usage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--maf", "0.6"), ("--maf", "0.5")),
        (("--maf", "-0.1"), ("--maf",)),
        (("--maf", "nan"), ("--maf",)),
        (("--geno", "1.5"), ("--geno",)),
        (("--mac", "-1"), ("--mac",)),
        (("--mac", "inf"), ("--mac",)),
        (("--mac", "many"), ("--mac",)),
        (("--grm-maf", "0.7"), ("--grm-maf",)),
        (("--grm-geno", "-1"), ("--grm-geno",)),
        (("--h2", "1"), ("--h2",)),
        (("--h2", "-0.1"), ("--h2",)),
        (("--h2", "nan"), ("--h2",)),
        (("--threshold", "0"), ("--threshold",)),
        (("--threshold", "1"), ("--threshold",)),
        (("--threads", "0"), ("--threads",)),
        (("--block-size", "0"), ("--block-size",)),
        (("--autosomes", "0"), ("--autosomes",)),
        (("--min-loco-variants", "0"), ("--min-loco-variants",)),
        (("--species", "unicorn"), ("--species", "mouse")),
        (("--species", "mouse", "--autosomes", "19"), ("--species", "--autosomes")),
        (("--precision", "half"), ("--precision", "double")),
        (("--whitener", "bleach"), ("--whitener", "cholesky")),
        (("--plots", "gif"), ("--plots", "png")),
        (("--grm-model", "ibs"), ("--grm-model", "hwe")),
        (("--chr", "4-2"), ("--chr", "backwards")),
        (("--chr", "1,,2"), ("--chr", "comma")),
        (("--covar-name", "age,,site"), ("comma",)),
        (("--covar-name", "PC2-PC1"), ("backwards",)),
        (("--grm", "a", "--grm-bfile", "b"), ("--grm", "--grm-bfile", "not both")),
        (("--bed", "a.bed"), ("--bfile", "--bed, --bim and --fam")),
        (("--no-such-option",), ("--no-such-option",)),
    ],
    ids=lambda part: " ".join(part),
)
def test_usage(attempt: Try, small_study: StudyFiles, given: tuple, words: tuple) -> None:
    tried = attempt(small_study, *given)
    assert tried.result.exit_code == 2, tried.result.stderr
    for word in words:
        assert word in tried.result.stderr
    assert set(tried.left()) <= {"run.log"}


@pytest.mark.parametrize("option", ["--covar-name", "--cat-covar-name"])
def test_covariate_names_need_a_file(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, option: str
) -> None:
    without_covar = small_study.inputs[:4]
    result = run_cli("assoc", *without_covar, option, "age", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "need --covar" in result.stderr


@pytest.mark.parametrize("lacking", ["--bfile", "--pheno", "--out"])
def test_what_must_be_given(run_cli: RunCli, small_study: StudyFiles, lacking: str) -> None:
    given = dict(zip(small_study.inputs[::2], small_study.inputs[1::2], strict=True))
    given |= {"--out": str(small_study.folder / "run")}
    del given[lacking]
    result = run_cli("assoc", *(part for pair in given.items() for part in pair))
    assert result.exit_code == 2
    assert lacking in result.stderr


# --- A given GRM ------------------------------------------------------------------------------


@pytest.fixture
def grm(run_cli: RunCli, small_study: StudyFiles, tmp_path: Path) -> Path:
    """The prefix of a GRM set of the small study."""
    prefix = tmp_path / "grm" / "set"
    prefix.parent.mkdir()
    made = run_cli("grm", "--bfile", small_study.bfile, "--out", prefix, "--threads", 1)
    assert made.exit_code == 0
    return prefix


def of_set(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(f"{prefix.name}.{suffix}")


def truncate(name: str) -> Callable[[Path], object]:
    def spoil(prefix: Path) -> None:
        path = of_set(prefix, name)
        path.write_bytes(path.read_bytes()[:-4])

    return spoil


def absent(name: str) -> Callable[[Path], object]:
    return lambda prefix: of_set(prefix, name).unlink()


def plain(prefix: Path) -> None:
    """What GCTA would have written."""
    for path in prefix.parent.iterdir():
        if path.name not in ("set.grm.bin", "set.grm.N.bin", "set.grm.id"):
            path.unlink()


def of_others(prefix: Path) -> None:
    path = of_set(prefix, "grm.id")
    path.write_text(path.read_text().replace("S", "T"))


def one_sample_less(prefix: Path) -> None:
    path = of_set(prefix, "grm.id")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def sample_twice(prefix: Path) -> None:
    path = of_set(prefix, "grm.id")
    path.write_text(path.read_text().replace("F00\tS001", "F00\tS000"))


def not_finite(prefix: Path) -> None:
    path = of_set(prefix, "grm.bin")
    values = np.fromfile(path, "<f4")
    values[500] = np.nan
    values.tofile(path)


@pytest.mark.parametrize(
    ("spoil", "exit_code", "code", "words"),
    [
        (truncate("grm.bin"), 3, "E707", ("set.grm.bin", "28080 bytes, expected 28084")),
        (truncate("chr2.grm.bin"), 3, "E707", ("set.chr2.grm.bin", "expected 28084")),
        (absent("grm.bin"), 7, "E110", ("set.grm.bin",)),
        (absent("chr2.grm.bin"), 7, "E110", ("set.chr2.grm.bin",)),
        (absent("grm.id"), 7, "E110", ("set.grm.id",)),
        (plain, 4, "E804", ("no per-chromosome parts", "lmmgwas grm", "--no-loco")),
        (of_others, 4, "E305", ("none of the 118 samples", "'F00 T000'")),
        (one_sample_less, 4, "E806", ("118 samples", "117")),
        (sample_twice, 3, "E301", ("set.grm.id", "twice")),
        (not_finite, 5, "E702", ("not finite",)),
    ],
    ids=[
        *("truncated", "truncated part", "no matrix", "no part", "no IDs", "plain under LOCO"),
        *("other samples", "ID missing", "sample twice", "NaN"),
    ],
)
def test_refuses_a_grm(
    attempt: Try,
    small_study: StudyFiles,
    grm: Path,
    spoil: Callable[[Path], object],
    exit_code: int,
    code: str,
    words: tuple[str, ...],
) -> None:
    spoil(grm)
    check(attempt(small_study, "--grm", grm), exit_code, code, words)


def test_a_plain_grm_is_welcome_without_loco(
    attempt: Try, small_study: StudyFiles, grm: Path
) -> None:
    plain(grm)
    tried = attempt(small_study, "--grm", grm, "--no-loco")
    assert tried.result.exit_code == 0, tried.result.stderr


def test_grm_refuses_to_replace(run_cli: RunCli, small_study: StudyFiles, grm: Path) -> None:
    before = {path.name: path.read_bytes() for path in grm.parent.iterdir()}
    result = run_cli("grm", "--bfile", small_study.bfile, "--out", grm)
    assert result.exit_code == 8
    assert "[E113]" in result.stderr
    assert "--overwrite" in result.stderr
    assert {path.name: path.read_bytes() for path in grm.parent.iterdir()} == before


# --- Output -----------------------------------------------------------------------------------


def test_output_that_exists_is_kept(attempt: Try, small_study: StudyFiles) -> None:
    first = attempt(small_study, "--chr", "1")
    assert first.result.exit_code == 0
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    again = attempt(small_study, "--chr", "2")
    assert again.result.exit_code == 8
    assert "[E113]" in again.result.stderr
    assert "run.samples.tsv" in again.result.stderr
    assert "--overwrite" in again.result.stderr
    # The log, too, is still that of the results.
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before


def test_one_file_in_the_way_is_enough(
    attempt: Try, small_study: StudyFiles, tmp_path: Path
) -> None:
    (tmp_path / "out" / "run.weight.null.tsv").write_text("mine\n")
    tried = attempt(small_study)
    assert tried.result.exit_code == 8
    assert "run.weight.null.tsv" in tried.result.stderr
    assert set(tried.left()) - {"run.log"} == {"run.weight.null.tsv"}
    assert (tmp_path / "out" / "run.weight.null.tsv").read_text() == "mine\n"


def test_overwrite_replaces_at_the_end_only(
    attempt: Try, small_study: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = attempt(small_study, "--chr", "1")
    table = first.folder / "run.height.tsv.gz"
    names = first.left()
    before = table.read_bytes()

    def full(self: OutputSet) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(OutputSet, "commit", full)
        failed = attempt(small_study, "--chr", "2", "--overwrite", "--h2", "0")
    assert failed.result.exit_code == 7
    assert "No space left" in failed.result.stderr
    assert table.read_bytes() == before
    assert failed.left() == [".run.work", *names]
    done = attempt(small_study, "--chr", "2", "--overwrite")
    assert done.result.exit_code == 0
    assert table.read_bytes() != before
    assert done.left() == names


def test_output_folder_must_exist(run_cli: RunCli, small_study: StudyFiles, tmp_path: Path) -> None:
    out = tmp_path / "absent" / "run"
    result = run_cli("assoc", *small_study.inputs, "--out", out)
    assert result.exit_code == 7
    assert "[E111]" in result.stderr
    assert str(out.parent) in result.stderr
    assert not out.parent.exists()


def test_temporary_folder_must_exist(attempt: Try, small_study: StudyFiles, tmp_path: Path) -> None:
    tried = attempt(small_study, "--tmpdir", tmp_path / "absent")
    assert tried.result.exit_code == 7
    assert str(tmp_path / "absent") in tried.result.stderr
    assert set(tried.left()) <= {"run.log"}


@pytest.mark.skipif(os.geteuid() == 0, reason="permission does not bind root")
def test_output_folder_must_be_writable(
    attempt: Try, small_study: StudyFiles, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.chmod(0o555)
    try:
        tried = attempt(small_study)
    finally:
        folder.chmod(0o755)
    check(tried, 7, "E111", (str(folder),))


def test_long_names_are_refused_before_the_work(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    out = tmp_path / "out" / ("r" * 230)
    out.parent.mkdir()
    result = run_cli("assoc", *small_study.inputs, "--out", out)
    assert result.exit_code == 2
    assert "[E010]" in result.stderr
    assert not [path for path in out.parent.iterdir() if path.suffix != ".log"]


# --- Warnings ---------------------------------------------------------------------------------


def two_values(files: StudyFiles, study: Study) -> None:
    study.pheno.names[3] = "case"
    trait_cells("case", {k: str(1 + k % 2) for k in range(118)})(files, study)


def outlier(files: StudyFiles, study: Study) -> None:
    trait_cells("weight", {9: "9999"})(files, study)


def sum_of_others(study: Study) -> list[str]:
    scores = study.covar.numbers("PC1") + study.covar.numbers("PC2")
    return [f"{value:.5f}" for value in scores]


def half_is_there(files: StudyFiles, study: Study) -> None:
    for table in (study.pheno, study.covar):
        table.rows = [[*row[:1], f"{row[1]}x" if k < 14 else row[1], *row[2:]]
                      for k, row in enumerate(table.rows)]  # fmt: skip
    study.write(files.folder)


WARNINGS = [
    Case("two values", two_values, 0,
         "W406", ("case is binary", "2 = case (59)", "1 = control (58)", "as a number")),
    Case("outlier", outlier, 0, "W407", ("weight", "standard deviations", "--rint")),
    Case(
        "dependent covariate",
        covariate("PC3", sum_of_others),
        0,
        "W501",
        ("PC1 + PC2", "combination"),
        "E501",
    ),
    Case(
        "constant covariate",
        covariate("ones", lambda study: [1] * 118),
        0,
        "W501",
        ("ones was dropped", "intercept"),
    ),
    Case(
        "level of one sample",
        covariate("clinic", lambda study: ["c" if k == 7 else "ab"[k % 2] for k in range(118)]),
        0,
        "W505",
        ("clinic=c",),
    ),
    Case("partial overlap", half_is_there, 0, "W305", ("104 of 118 samples",)),
    Case("unknown position", edited("bim", lambda data: data.replace(b"\t3160000\t", b"\t0\t")), 0,
         "W201", ("position 0 or less",)),
    Case("X by number", edited("bim", lambda data: re.sub(rb"(?m)^X\t", b"23\t", data)), 0,
         "W203", ("23 = X", "--species")),
    Case("quotation marks", edited("covar", lambda data: data.replace(b"north", b'"north"')), 0,
         "W401", ("quotation marks",)),
]  # fmt: skip


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: case.name)
def test_warns(attempt: Try, small_study: StudyFiles, study: Study, case: Case) -> None:
    """A warning is in the log and in run.json; under --strict it is an error."""
    case.change(small_study, study)
    strict = attempt(small_study, "--strict")
    check(strict, 5, case.strict_code or case.code, (*case.words, "--strict"))
    tried = attempt(small_study)
    assert tried.result.exit_code == 0, tried.result.stderr
    said = [line for line in tried.result.stderr.splitlines() if f"Warning [{case.code}]" in line]
    assert said
    for word in case.words:
        assert word in said[0]
    text = (tried.folder / "run.run.json").read_text()
    assert '"warnings": []' not in text
    assert "Warning" in (tried.folder / "run.log").read_text()


@pytest.mark.parametrize("strict", [False, True])
def test_a_plot_that_fails_never_costs_a_table(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise ValueError("no picture today")

    monkeypatch.setattr("lmmgwas.report.qq.draw_qq", fail)
    out = tmp_path / "out" / "run"
    out.parent.mkdir()
    more = ["--threads", 1, "--chr", "1", "--pheno-name", "height", "--no-loco"]
    more += ["--strict"] if strict else []
    result = run_cli("assoc", *small_study.inputs, "--out", out, *more)
    left = sorted(path.name for path in out.parent.iterdir())
    assert result.exit_code == (5 if strict else 0)
    assert "[W701]" in result.stderr
    assert "no picture today" in result.stderr
    assert "run.height.tsv.gz" in left
    assert ("run.run.json" in left) is not strict  # the study is not complete
    assert not [name for name in left if name.endswith(("png", "pdf")) or name.startswith(".")]


def test_files_are_closed_when_the_work_fails(
    attempt: Try, small_study: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is removed while it is open stays behind on NFS, under another name."""

    def fail(*args: object, **named: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("lmmgwas.pipeline.group_shards.GroupWriter.add", fail)
    check(attempt(small_study), 7, "E112", ("Input/output error",))


# --- Bugs and interruptions -------------------------------------------------------------------


MOMENTS = pytest.mark.parametrize(
    "where",
    [
        "lmmgwas.io.plink.BedSource.read",
        "lmmgwas.pipeline.group_shards.GroupWriter.add",
        "lmmgwas.io.atomic.OutputSet.commit",
    ],
    ids=["GRM", "scan", "end"],
)
"""What is called early, in the middle and late in a run."""


@MOMENTS
def test_a_bug_of_ours_leaves_nothing(
    attempt: Try, small_study: StudyFiles, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(where, fail)
    tried = attempt(small_study)
    check(tried, 70, "E999", ("ZeroDivisionError: oops", "--debug"))
    with pytest.raises(ZeroDivisionError, match="oops"):
        attempt(small_study, "--debug", "--overwrite")
    check_nothing_written(tried.folder, 70)


@pytest.mark.parametrize(
    ("raised", "exit_code"), [(KeyboardInterrupt(), 130), (MemoryError("8 GiB"), 137)]
)
def test_interrupted_or_out_of_memory(
    attempt: Try,
    small_study: StudyFiles,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    exit_code: int,
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise raised

    monkeypatch.setattr("lmmgwas.io.plink.BedSource.read", fail)
    tried = attempt(small_study)
    assert tried.result.exit_code == exit_code
    check_nothing_written(tried.folder, exit_code)


@pytest.mark.parametrize("moment", ["grm/*", "0000.00003.*.shard"], ids=["GRM", "scan"])
def test_sigterm_leaves_no_temporary_files(test_data: Path, tmp_path: Path, moment: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-m", "lmmgwas", "assoc", "--bfile", test_data / "study"]
    command += ["--pheno", test_data / "pheno.tsv", "--out", folder / "run", "--plots", "none"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60.0
    while not list(folder.glob(f".run.work/study/{moment}")):
        assert run.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    said = run.communicate(timeout=30)[1]
    assert run.returncode == 143
    assert b"Traceback" not in said
    check_nothing_written(folder, 143)


class _LastWords:
    """Sends SIGTERM from where Python drops exceptions, as a callback of numba's compiler does."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "where",
    ["lmmgwas.io.plink.BedSource.read", "lmmgwas.pipeline.group_shards.GroupWriter.add"],
    ids=["GRM", "scan"],
)
def test_sigterm_is_not_lost(
    attempt: Try, small_study: StudyFiles, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Seen in 3 of 44 first runs, while kernels were compiled: exit code 70, or 0 at the end."""
    owner, name = where.rsplit(".", 1)
    module, kind = owner.rsplit(".", 1)
    original = getattr(getattr(importlib.import_module(module), kind), name)
    armed = [_LastWords()]

    def interrupted(*args: object, **named: object) -> object:
        armed.clear()
        return original(*args, **named)

    monkeypatch.setattr(where, interrupted)
    monkeypatch.setattr("lmmgwas.cli.watch._GRACE", 600.0)  # the process is the tests' own
    tried = attempt(small_study)
    assert tried.result.exit_code == 143
    check_nothing_written(tried.folder, 143)


def test_a_vanished_reader_of_the_terminal_does_not_fail_the_run(
    test_data: Path, tmp_path: Path
) -> None:
    """`lmmgwas ... 2>&1 | head -1`: 141, and the results are intact."""
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-m", "lmmgwas", "assoc", "--bfile", test_data / "study"]
    command += ["--pheno", test_data / "pheno.tsv", "--pheno-name", "ldl", "--chr", "22"]
    command += ["--out", folder / "run", "--plots", "none"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stderr=writing, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert (folder / "run.run.json").exists()
    assert (folder / "run.ldl.tsv.gz").exists()


def test_the_trait_table_as_covariates_must_say_which(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    """Taken as no covariates at all, the run would look adjusted and not be."""
    result = run_cli(
        "assoc", "--bfile", small_study.bfile, "--pheno", small_study.pheno,
        "--covar", small_study.pheno, "--out", tmp_path / "x",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "E415" in result.stderr
    assert "--covar-name" in result.stderr


def test_a_failed_run_spares_the_log_of_a_finished_one(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    arguments = [*small_study.inputs, "--out", tmp_path / "x", "--plots", "none"]
    assert run_cli("assoc", *arguments).exit_code == 0
    log = (tmp_path / "x.log").read_text()
    small_study.pheno.unlink()
    assert run_cli("assoc", *arguments).exit_code == 7
    assert (tmp_path / "x.log").read_text().startswith(log)

"""Every line of the text files of a study deleted, doubled, or exchanged with its neighbour.

The .bim and the .fam name the rows and columns of the .bed by their order alone. A line too few
or too many must be refused, whatever the number of bytes per variant says. Two lines of a .bim
that changed places show where positions are sorted, and the run says so. Two lines of a .fam
that changed places cannot be known: nothing else in the three files tells people apart.

Tables are matched by ID: there a deleted line is a sample without a value, and order is nothing.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import RunCli, StudyFiles, read_tsv
from tiny_study import tiny_study

from lmmgwas.errors import LmmgwasError
from lmmgwas.io.columns import MissingCodes, covariate_column
from lmmgwas.io.plink import BedSource
from lmmgwas.io.tables import read_table

SIZES = (16, 17, 18, 19)
"""Samples; the last byte of each variant holds 4, 1, 2, 3 of them. A line of the .fam too few
changes the number of bytes per variant of the second only, a line too many of the first."""

Change = Callable[[list[str], int], list[str]]


def deleted(lines: list[str], k: int) -> list[str]:
    return lines[:k] + lines[k + 1 :]


def doubled(lines: list[str], k: int) -> list[str]:
    return lines[: k + 1] + lines[k:]


def swapped(lines: list[str], k: int) -> list[str]:
    return [*lines[:k], lines[k + 1], lines[k], *lines[k + 2 :]]


def code_of(files: StudyFiles) -> str:
    """The code with which the set is refused, "" where it is not."""
    try:
        BedSource.open(files.bed, files.bim, files.fam)
    except LmmgwasError as error:
        return error.problems[0].code
    return ""


@pytest.mark.parametrize("change", [deleted, doubled])
@pytest.mark.parametrize("suffix", ["bim", "fam"])
def test_a_line_too_few_or_too_many(
    tmp_path: Path, suffix: str, change: Change, figures: Callable[[str], None]
) -> None:
    codes: Counter[str] = Counter()
    for n in SIZES:
        files = tiny_study(n).write(tmp_path / str(n))
        path = getattr(files, suffix)
        lines = path.read_text().splitlines(keepends=True)
        for k in range(len(lines)):
            path.write_text("".join(change(lines, k)))
            codes[code_of(files)] += 1
    counts = ", ".join(f"{codes[code]} {code or 'silent'}" for code in sorted(codes))
    figures(f"lines: {codes.total()} single lines of .{suffix} files {change.__name__}: {counts}")
    assert set(codes) <= {"E101", "E104", "E301"}


def test_a_line_too_many_that_is_another_person(tmp_path: Path) -> None:
    """As doubled, with an ID of its own, so that only the .bed can tell."""
    for n in SIZES:
        files = tiny_study(n, per_chromosome=60).write(tmp_path / str(n))
        lines = files.fam.read_text().splitlines(keepends=True)
        for k in range(len(lines) + 1):
            files.fam.write_text("".join([*lines[:k], "F9\tnew\t0\t0\t2\t-9\n", *lines[k:]]))
            assert code_of(files) in ("E101", "E104")


@pytest.mark.parametrize("change", [deleted, doubled])
@pytest.mark.parametrize("suffix", ["bim", "fam"])
def test_through_the_command_line(
    tmp_path: Path, run_cli: RunCli, suffix: str, change: Change
) -> None:
    """Exit code, place and nothing written, for every fourth line."""
    files = tiny_study(18).write(tmp_path / "in")
    path = getattr(files, suffix)
    lines = path.read_text().splitlines(keepends=True)
    (tmp_path / "out").mkdir()
    usual = (*files.inputs, "--out", tmp_path / "out" / "run", "--plots", "none", "--threads", 1)
    for k in range(0, len(lines), 4):
        path.write_text("".join(change(lines, k)))
        result = run_cli("assoc", *usual)
        assert result.exit_code == 3, result.stderr
        assert str(files.folder) in result.stderr
        assert {left.name for left in (tmp_path / "out").iterdir()} <= {"run.log"}


def test_neighbours_of_the_bim_exchanged(tmp_path: Path, run_cli: RunCli) -> None:
    """Genotypes change their variants; the positions are then out of order, which is said."""
    files = tiny_study(16, per_chromosome=8).write(tmp_path / "in")
    lines = files.bim.read_text().splitlines(keepends=True)
    usual = (*files.inputs, "--plots", "none", "--threads", 1, "--h2", 0)
    (tmp_path / "out").mkdir()
    for k in range(len(lines) - 1):
        files.bim.write_text("".join(swapped(lines, k)))
        result = run_cli("assoc", *usual, "--out", tmp_path / "out" / f"run{k}")
        assert result.exit_code == 0, result.stderr
        warned = [line for line in result.stderr.splitlines() if line.startswith("Warning")]
        # Within a chromosome positions fall; at a border a chromosome stands in two blocks.
        assert any("sorted" in line or "order" in line or "block" in line for line in warned), k


# --- Tables, which are matched by ID ----------------------------------------------------------


def read_values(path: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """Read every column of a table; return the values of each sample."""
    table = read_table(path)
    for name in table.columns:
        covariate_column(table, name, MissingCodes(), categorical=False)
    values = zip(*table.columns.values(), strict=True)
    return dict(zip(zip(table.fid or (), table.iid, strict=True), values, strict=True))


@pytest.mark.parametrize("name", ["pheno", "covar"])
def test_lines_of_tables(tmp_path: Path, name: str) -> None:
    files = tiny_study().write(tmp_path)
    path = getattr(files, name)
    lines = path.read_text().splitlines(keepends=True)
    whole = read_values(path)
    for k in range(len(lines)):
        path.write_text("".join(doubled(lines, k)))
        with pytest.raises(LmmgwasError, match="E407" if k else "E401|E503"):
            read_values(path)
        path.write_text("".join(deleted(lines, k)))
        if k == 0:
            with pytest.raises(LmmgwasError, match="E410"):
                read_values(path)
            continue
        gone = tuple(lines[k].split("\t")[:2])
        expected = {sample: values for sample, values in whole.items() if sample != gone}
        assert read_values(path) == expected
    for k in range(1, len(lines) - 1):
        path.write_text("".join(swapped(lines, k)))
        assert read_values(path) == whole


def test_a_deleted_line_of_a_table_is_a_sample_with_a_reason(
    tmp_path: Path, run_cli: RunCli
) -> None:
    study = tiny_study()
    files = study.write(tmp_path / "in")
    (tmp_path / "out").mkdir()
    for k in np.arange(0, 16, 5):
        for table, reason in ((files.pheno, "NOT_IN_PHENO"), (files.covar, "NOT_IN_COVAR")):
            whole = table.read_text()
            table.write_text("".join(deleted(whole.splitlines(keepends=True), int(k) + 1)))
            out = tmp_path / "out" / f"{table.stem}{k}"
            options = ("--out", out, "--plots", "none", "--threads", 1, "--h2", 0)
            result = run_cli("assoc", *files.inputs, *options)
            table.write_text(whole)
            assert result.exit_code == 0, result.stderr
            samples = read_tsv(out.with_name(out.name + ".samples.tsv"))
            dropped = samples[samples["analysed"] == "0"]
            assert dropped[["IID", "reason"]].to_numpy().tolist() == [[study.iid[k], reason]]

"""Every row of the catalogue of bad input, through the command line."""

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from catalogue.rows import Accepted, Elsewhere, Flagged, Refused, Row
from conftest import Result, RunCli, Study, StudyFiles, read_tsv

from lmmgwas.errors import escape_control

N_ROWS = 145
SECTIONS = ("bed", "bim", "fam", "pheno", "covar", "genotypes", "grm", "operations")
TESTS = Path(__file__).resolve().parent

ENTRIES: list[Row | Elsewhere] = [
    entry for section in SECTIONS for entry in import_module(f"catalogue.{section}").ROWS
]
ROWS = [entry for entry in ENTRIES if isinstance(entry, Row)]
LINKS = [entry for entry in ENTRIES if isinstance(entry, Elsewhere)]


def spoilt(row: Row, study: Study, folder: Path) -> tuple[StudyFiles, list[object]]:
    """Write the study, spoil it, and return the arguments of the run."""
    files = study.write(folder / "in")
    more = row.spoil(files, study) or ()
    (folder / "out").mkdir()
    usual: list[object] = ["--out", folder / "out" / "run", "--threads", 1]
    if row.command == "assoc":
        return files, [*files.inputs, *usual, "--plots", "none", *more]
    return files, ["--bfile", files.bfile, *usual, *more]


def check_refused(end: Refused, result: Result, folder: Path) -> None:
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert result.exit_code == end.exit_code, result.stderr
    assert errors, result.stderr
    assert len(errors) <= 21  # up to 20 problems of a file, and how many more there are
    assert f"[{end.code}]" in errors[0]
    for word in end.words:
        assert word in "\n".join(errors)
    assert "Traceback" not in result.stderr
    assert {path.name for path in (folder / "out").iterdir()} <= {"run.log"}


def check_flagged(end: Flagged, prefix: Path) -> None:
    excluded = read_tsv(prefix.with_name("run.height.excluded.tsv.gz"))
    found = set(excluded.loc[excluded["reason"] == end.reason, "marker_id"])
    assert set(end.markers) <= found
    tested = read_tsv(prefix.with_name("run.height.tsv.gz"))
    assert not set(end.markers) & set(tested["marker_id"])


def check_accepted(end: Accepted, result: Result, files: StudyFiles, prefix: Path) -> None:
    log = prefix.with_name("run.log").read_text(encoding="utf-8")
    for word in end.words:
        assert word in log
    if end.warning is not None:
        check_warned(end.warning, result, prefix)
    if end.look is not None:
        end.look(files, prefix)


def check_warned(code: str, result: Result, prefix: Path) -> None:
    """The warning is on the terminal, and in the manifest where the command writes one.

    There without the names of samples, which stand at its end on the terminal.
    """
    sign = f"Warning [{code}]: "
    said = [line.partition(sign)[2] for line in result.stderr.splitlines() if sign in line]
    assert said, result.stderr
    manifest = prefix.with_name("run.run.json")
    if manifest.exists():
        kept = json.loads(manifest.read_text(encoding="utf-8"))["warnings"]
        known = tuple(escape_control(text) for text in kept)
        assert all(line.startswith(known) for line in said)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}-{row.name}")
def test_row(row: Row, study: Study, tmp_path: Path, run_cli: RunCli) -> None:
    files, arguments = spoilt(row, study, tmp_path)
    result = run_cli(row.command, *arguments)
    prefix = tmp_path / "out" / "run"
    if isinstance(row.end, Refused):
        check_refused(row.end, result, tmp_path)
        return
    assert result.exit_code == 0, result.stderr
    if isinstance(row.end, Flagged):
        check_flagged(row.end, prefix)
    else:
        check_accepted(row.end, result, files, prefix)


WARNED = [row for row in ROWS if isinstance(row.end, Accepted) and row.end.warning is not None]


@pytest.mark.parametrize("row", WARNED, ids=lambda row: f"{row.number}-{row.name}")
def test_strict_makes_the_warning_an_error(
    row: Row, study: Study, tmp_path: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the study's own warnings only that of few variants is left out: it would come first."""
    if row.number != 41:
        monkeypatch.setattr("lmmgwas.pipeline.variant_checks._FEW_LEFT", 0)
    _, arguments = spoilt(row, study, tmp_path)
    result = run_cli(row.command, *arguments, "--strict")
    assert result.exit_code == 5, result.stderr
    assert "--strict makes it an error" in result.stderr
    assert isinstance(row.end, Accepted)
    assert f"Error [{row.end.strict or row.end.warning}]" in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"run.log"}


def test_every_number_has_a_row(figures: Callable[[str], None]) -> None:
    covered = {entry.number for entry in ENTRIES}
    assert covered == set(range(1, N_ROWS + 1))
    figures(f"catalogue: {len(covered)} of {N_ROWS} numbers, {len(ROWS)} rows through the CLI")


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link.number}-{link.name}")
def test_the_named_test_is_there(link: Elsewhere) -> None:
    file, _, name = link.test.partition("::")
    source = (TESTS / file).read_text(encoding="utf-8")
    assert re.search(rf"^(?:@.*\n)*def {re.escape(name)}\(", source, re.MULTILINE), link.test

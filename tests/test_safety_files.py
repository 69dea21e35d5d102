"""Names that come from files, links that somebody planted, and who may see what.

All through the command line: what a hostile table or a hostile neighbour could try.
"""

import ast
import gzip
import json
import os
import re
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Result, RunCli, Study, StudyFiles, simulate_study
from tiny_study import tiny_study

QUICK = ("--h2", 0, "--plots", "none", "--threads", 1)
"""Ordinary regression without plots: names and links are the same in every run."""
BIDI = "\u202e"
OTHERS_MAY_WRITE = 0o022

Assoc = Callable[..., Result]


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, links as their targets."""
    return {
        str(path.relative_to(folder)): (
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder for results, with a few folders above it."""
    folder = tmp_path / "a" / "b" / "out"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder that is nobody's business."""
    folder = tmp_path / "victim"
    for name in ("files", "study"):
        (folder / name).mkdir(parents=True)
        (folder / name / "precious").write_text("precious")
    (folder / "precious").write_text("precious")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> StudyFiles:
    """A tiny study."""
    return tiny_study().write(tmp_path / "in")


@pytest.fixture
def assoc(run_cli: RunCli, small: StudyFiles, out: Path) -> Assoc:
    """`assoc(...)`: a quick run to OUT/run, with more options."""

    def run(*more: object) -> Result:
        return run_cli("assoc", *small.inputs, "--out", out / "run", *QUICK, *more)

    return run


def named(files: StudyFiles, *names: str) -> None:
    """Name the traits."""
    study = tiny_study()
    study.pheno.names[2:] = names
    files.pheno.write_text(study.pheno.text(), encoding="utf-8")


# --- Names ------------------------------------------------------------------------------------

NAMES = [
    ("../../evil", "/etc/passwd"),
    ("a/b", "a_b"),
    ("..", "."),
    ("-x", "--out"),
    ("CON", "con"),
    ("größe", "gröÃe"),
    ("height", "height.excluded"),
    ("height.excluded", "height"),
    ("samples", "run"),
    ("$(touch x)", "`id`;rm -rf *"),
    (f"{BIDI}lave", "a\u2028b"),
    ("%s%n{0}", "a\\..\\b"),
]


@pytest.mark.parametrize("names", NAMES, ids=ascii)
def test_names_of_traits_never_become_paths(
    assoc: Assoc, small: StudyFiles, out: Path, tmp_path: Path, names: tuple[str, str]
) -> None:
    named(small, *names)
    before = tree(tmp_path)
    result = assoc()
    assert result.exit_code == 0, result.stderr
    after = tree(tmp_path)
    new = [Path(name) for name in after.keys() - before.keys()]
    assert {path.parent for path in new} == {out.relative_to(tmp_path)}
    assert all(re.fullmatch(r"run(\.[A-Za-z0-9._-]+|_mqc\.json)", path.name) for path in new)
    assert all(after[name] == content for name, content in before.items())
    manifest = json.loads((out / "run.run.json").read_text(encoding="utf-8"))
    assert [trait["name"] for trait in manifest["traits"]] == list(names)
    written = [Path(file["path"]).name for file in manifest["outputs"]]
    assert len({name.lower() for name in written}) == len(written) == 2 * 6 + 2
    assert {path.name for path in new} == {*written, "run.run.json", "run.log"}


def test_the_manifest_says_which_table_is_whose(assoc: Assoc, small: StudyFiles, out: Path) -> None:
    named(small, "a/b", "a_b")
    assert assoc().exit_code == 0
    manifest = json.loads((out / "run.run.json").read_text(encoding="utf-8"))
    tables = {trait["name"]: trait["table"] for trait in manifest["traits"]}
    assert tables == {"a/b": "run.a_b.tsv.gz", "a_b": "run.a_b_2.tsv.gz"}
    assert all((out / name).exists() for name in tables.values())


@pytest.mark.parametrize(
    ("name", "code"),
    [("", "E4"), ("x" * 300, "E010"), ("\u0416" * 150, None), ("a\x1b[2J", "E206")],
)
def test_names_that_cannot_be_are_refused_or_cut(
    assoc: Assoc, small: StudyFiles, out: Path, name: str, code: str | None
) -> None:
    """Empty, longer than a file name, 300 bytes of which no letter is kept, driving a terminal."""
    named(small, name, "weight")
    result = assoc()
    assert "\x1b" not in result.stderr
    if code is None:
        assert result.exit_code == 0, result.stderr
        return
    assert result.exit_code in (2, 3, 4)
    assert f"[{code}" in result.stderr
    assert {path.name for path in out.iterdir()} <= {"run.log"}


def test_two_columns_of_one_name_are_refused(assoc: Assoc, small: StudyFiles, out: Path) -> None:
    named(small, "weight", "weight")
    assert assoc().exit_code == 3
    assert {path.name for path in out.iterdir()} <= {"run.log"}


# --- Links and folders of others --------------------------------------------------------------


def test_a_link_in_place_of_the_hidden_folder_is_refused(
    assoc: Assoc, out: Path, victim: Path
) -> None:
    (out / ".run.work").symlink_to(victim)
    before = tree(victim)
    result = assoc("--overwrite", "--break-lock")
    assert result.exit_code == 7
    assert "[E121]" in result.stderr
    assert tree(victim) == before
    assert {path.name for path in out.iterdir()} <= {".run.work", "run.log"}


@pytest.mark.parametrize("kind", ["dangling link", "file"])
def test_no_folder_in_its_place_is_refused(assoc: Assoc, out: Path, kind: str) -> None:
    hidden = out / ".run.work"
    hidden.touch() if kind == "file" else hidden.symlink_to(out / "nowhere")
    result = assoc()
    assert result.exit_code == 7
    assert "[E121]" in result.stderr
    assert not (out / "nowhere").exists()


def test_a_hidden_folder_that_others_can_write_is_refused(assoc: Assoc, out: Path) -> None:
    (out / ".run.work").mkdir()
    (out / ".run.work").chmod(0o777)
    result = assoc()
    assert result.exit_code == 7
    assert "[E121]" in result.stderr
    assert not list((out / ".run.work").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_hidden_folder_of_another_user_is_refused(assoc: Assoc, out: Path) -> None:
    (out / ".run.work").mkdir(mode=0o700)
    os.chown(out / ".run.work", 12345, 12345)
    result = assoc()
    assert result.exit_code == 7
    assert "[E121]" in result.stderr


@pytest.mark.parametrize("name", ["files", "study"])
def test_links_within_the_hidden_folder_are_not_followed(
    assoc: Assoc, out: Path, victim: Path, name: str
) -> None:
    (out / ".run.work").mkdir(mode=0o700)
    (out / ".run.work" / name).symlink_to(victim / name)
    before = tree(victim)
    result = assoc()
    assert result.exit_code == 0, result.stderr
    assert tree(victim) == before
    assert not (out / ".run.work").exists()


@pytest.mark.parametrize("suffix", [".height.tsv.gz", ".run.json", ".log"])
def test_planted_temporary_names_are_not_followed(
    assoc: Assoc, out: Path, victim: Path, suffix: str
) -> None:
    (out / ".run.work" / "files").mkdir(parents=True, mode=0o700)
    (out / ".run.work").chmod(0o700)
    (out / ".run.work" / "files" / f"run{suffix}").symlink_to(victim / "precious")
    result = assoc()
    assert result.exit_code == 0, result.stderr
    assert (victim / "precious").read_text() == "precious"


@pytest.mark.parametrize("content", [b"precious", b'{"token": "x"}'])
def test_a_lock_that_is_a_link_is_respected_or_removed(
    assoc: Assoc, out: Path, victim: Path, content: bytes
) -> None:
    (out / ".run.work").mkdir(mode=0o700)
    (victim / "precious").write_bytes(content)
    (out / ".run.work" / "lock").symlink_to(victim / "precious")
    result = assoc()
    assert result.exit_code == 8
    assert "[E114]" in result.stderr
    result = assoc("--break-lock")
    assert result.exit_code == 0, result.stderr
    assert (victim / "precious").read_bytes() == content


FINALS = (".height.tsv.gz", ".weight.null.tsv", ".samples.tsv", ".run.json")


@pytest.mark.parametrize("target", ["precious", "new"])
@pytest.mark.parametrize("suffix", FINALS)
def test_a_link_at_a_final_name_is_replaced_when_asked_and_never_followed(
    assoc: Assoc, out: Path, victim: Path, suffix: str, target: str
) -> None:
    link = out / f"run{suffix}"
    link.symlink_to(victim / target)
    before = tree(victim)
    refused = assoc()
    assert refused.exit_code == 8
    assert "[E113]" in refused.stderr
    assert link.is_symlink()
    done = assoc("--overwrite")
    assert done.exit_code == 0, done.stderr
    assert not link.is_symlink()
    assert tree(victim) == before


def test_a_folder_at_a_final_name_is_refused_before_the_work(assoc: Assoc, out: Path) -> None:
    (out / "run.height.leads.tsv").mkdir()
    result = assoc("--overwrite")
    assert result.exit_code == 8
    assert "run.height.leads.tsv is a folder" in result.stderr
    assert {path.name for path in out.iterdir()} <= {"run.height.leads.tsv", "run.log"}


@pytest.mark.parametrize("target", ["precious", "new"])
def test_the_log_follows_no_link(assoc: Assoc, out: Path, victim: Path, target: str) -> None:
    (out / "run.log").symlink_to(victim / target)
    before = tree(victim)
    result = assoc()
    assert result.exit_code == 0, result.stderr
    assert tree(victim) == before


def test_a_log_that_is_a_pipe_does_not_stop_the_run(assoc: Assoc, out: Path) -> None:
    os.mkfifo(out / "run.log")
    result = assoc()
    assert result.exit_code == 0, result.stderr


# --- Who may see what -------------------------------------------------------------------------


@pytest.fixture
def with_mask() -> Iterator[Callable[[int], None]]:
    """`with_mask(0o027)`: the umask of the test."""
    before = os.umask(0o022)
    yield lambda mask: os.umask(mask) and None
    os.umask(before)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_results_have_the_modes_that_the_user_wants(
    assoc: Assoc, out: Path, with_mask: Callable[[int], None], mask: int
) -> None:
    with_mask(mask)
    result = assoc()
    assert result.exit_code == 0, result.stderr
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()}
    assert len(modes) == 16
    assert set(modes.values()) == {0o666 & ~mask}, modes


def test_temporary_files_are_private(
    run_cli: RunCli,
    small: StudyFiles,
    out: Path,
    with_mask: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The hidden folder, and those within and in --tmpdir, are the user's alone at every step."""
    from lmmgwas import stop

    with_mask(0)
    elsewhere = out.parent / "tmp"
    elsewhere.mkdir()
    seen: dict[str, int] = {}

    def look() -> None:
        for top in (*out.glob(".*"), *elsewhere.iterdir()):
            for path in (top, *top.rglob("*")):
                if path.is_dir():
                    seen[re.sub("[0-9a-z_]{8,}", "*", path.name)] = path.stat().st_mode

    monkeypatch.setattr(stop, "obey", look)
    result = run_cli(
        *("assoc", *small.inputs, "--out", out / "run", "--plots", "none", "--threads", 1),
        *("--tmpdir", elsewhere),
    )
    assert result.exit_code == 0, result.stderr
    assert ".run.work" in seen
    assert len(seen) >= 4, seen
    assert all(stat.S_IMODE(mode) == 0o700 for mode in seen.values()), seen


# --- Messages ---------------------------------------------------------------------------------


def said(result: Result, out: Path) -> str:
    """Terminal and log."""
    log = out / "run.log"
    return result.stderr + (log.read_text(encoding="utf-8") if log.exists() else "")


def controls(text: str) -> set[str]:
    """Characters that drive a terminal, or turn text around."""
    return {c for c in text if not c.isprintable()} - {"\n", "\t"}


def test_names_are_escaped_in_messages(assoc: Assoc, small: StudyFiles, out: Path) -> None:
    named(small, f"{BIDI}thgieh", "weight\u2028")
    result = assoc()
    assert result.exit_code == 0, result.stderr
    assert not controls(said(result, out))
    assert r"\u202ethgieh" in result.stderr


def test_ids_are_escaped_in_messages(assoc: Assoc, small: StudyFiles, out: Path) -> None:
    study = tiny_study()
    for row in study.pheno.rows:
        row[1] = f"{BIDI}{row[1]}"
    small.pheno.write_text(study.pheno.text(), encoding="utf-8")
    result = assoc()
    assert result.exit_code == 4
    assert not controls(said(result, out))
    assert r"\u202e" in result.stderr


@pytest.mark.parametrize("odd", ["\x1b[31m", "\n[E999] forged: ", BIDI, "\r", "\x07"], ids=ascii)
@pytest.mark.parametrize("missing", [True, False])
def test_paths_are_escaped_in_messages(
    run_cli: RunCli, tmp_path: Path, odd: str, missing: bool
) -> None:
    files = tiny_study().write(tmp_path / f"in{odd}")
    out = tmp_path / f"out{odd}"
    out.mkdir()
    if missing:
        files.covar.unlink()
    result = run_cli("assoc", *files.inputs, "--out", out / "run", *QUICK)
    assert result.exit_code == (7 if missing else 0), result.stderr
    text = said(result, out)
    assert not controls(text)
    assert not [line for line in text.splitlines() if line.startswith("[E999]")]


@pytest.mark.parametrize("option", ["--no\x1b[31m", "--covar-name"])
def test_usage_errors_are_escaped(assoc: Assoc, out: Path, option: str) -> None:
    result = assoc(option, f"a\x1b[2J{BIDI}")
    assert result.exit_code in (2, 3, 4)
    assert not controls(said(result, out))


def test_what_a_bug_of_ours_says_is_escaped(
    assoc: Assoc, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of an exception may quote a file."""

    def fail(*_: object) -> None:
        raise RuntimeError(f"\x1b[2J{BIDI}")

    monkeypatch.setattr("lmmgwas.pipeline.assoc_run.run_assoc", fail)
    result = assoc()
    assert result.exit_code == 70
    assert not controls(said(result, out))


def test_the_job_script_runs_nothing_but_the_program(
    run_cli: RunCli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`lmmgwas check` prints one: names of files and traits are words in it, never commands."""
    odd = "in'$(touch pwned)`touch pwned`;touch pwned\n touch pwned\n#"
    files = tiny_study().write(tmp_path / odd)
    named(files, "$(touch pwned)", "weight;touch pwned")
    given = [*files.inputs, "--pheno-name", "$(touch pwned)", "--out", tmp_path / "a b" / "$HOME"]
    (tmp_path / "a b").mkdir()
    result = run_cli("check", *given, *QUICK[:2])
    assert result.exit_code == 0, result.stderr
    script = tmp_path / "job.sh"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "lmmgwas").write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
    (programs / "lmmgwas").chmod(0o700)
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    typed = ast.literal_eval(done.stdout)
    assert typed[:3] == ["assoc", "--bfile", str(files.bfile)]
    assert typed[typed.index("--pheno-name") + 1] == "$(touch pwned)"
    assert typed[typed.index("--out") + 1] == str(tmp_path / "a b" / "$HOME")
    assert not list(tmp_path.rglob("pwned"))


# --- IDs --------------------------------------------------------------------------------------


def texts(path: Path) -> bytes:
    """What a file says, unpacked."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if path.suffix == ".pdf":
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
        for stream in streams:
            try:
                content += zlib.decompress(stream)
            except zlib.error:  # not packed
                content += stream
    return content


def marked_study() -> Study:
    """The small study with IDs that occur nowhere by chance, and all that warnings name."""
    study = simulate_study()
    study.calls[:, 9] = study.calls[:, 8]  # twins
    study.calls[:250, 20] = 1  # heterozygous throughout
    study.calls[::3, 30] = -127  # a third of the calls missing
    study.iid = [f"Qz{k:03d}jX" for k in range(len(study.iid))]
    study.fid = [f"Kw{fid}vY" for fid in study.fid]
    for table in (study.pheno, study.covar):
        for row, fid, iid in zip(table.rows, study.fid, study.iid, strict=True):
            row[:2] = fid, iid
    del study.pheno.rows[60:90]
    for k in range(40):  # who is not in the genotypes: examples are shown
        study.pheno.rows.append([f"Kw{k}vY", f"Qz{500 + k}jX", "170", "70"])
    return study


ID = re.compile(rb"Qz[0-9]{3}jX|Kw\w{1,3}vY")
NAMED_AT_MOST = 60
"""IDs in a log: 20 twin pairs, as many other samples, and a few examples."""


@pytest.mark.parametrize("command", ["assoc", "grm"])
def test_ids_are_in_the_tables_of_samples_only(
    run_cli: RunCli, tmp_path: Path, command: str
) -> None:
    files = marked_study().write(tmp_path / "in")
    prefix = tmp_path / "out" / "run"
    prefix.parent.mkdir()
    given = files.inputs if command == "assoc" else ["--bfile", files.bfile]
    result = run_cli(command, *given, "--out", prefix, "--threads", 1)
    assert result.exit_code == 0, result.stderr
    found = {path.name: set(ID.findall(texts(path))) for path in prefix.parent.iterdir()}
    assert len(found.pop("run.log")) <= NAMED_AT_MOST
    samples = found.pop("run.samples.tsv" if command == "assoc" else "run.grm.id")
    assert len(samples) > 100  # they are recognised where they are
    assert not {name: sorted(ids) for name, ids in found.items() if ids}

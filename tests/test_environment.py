"""The same bytes whatever the environment: locale, optimisation, home and temporary folders.

Each run is a process of its own, as in a batch job. The plain run, which the others are held
against, has the environment of the tests.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import StudyFiles, files_of, simulate_study

ROOT = Path(__file__).resolve().parent.parent
MAIN = "from lmmgwas.cli.main import main; main()"
IN_LOCALE = "import locale; locale.setlocale(locale.LC_ALL, ''); " + MAIN
"""As a program would that embeds ours: C's own formatting follows the locale, too."""
OF_LOCALES = ("LANG", "LANGUAGE", "LC_", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONCOERCECLOCALE")
ORDINARY = ("--h2", 0)
"""Ordinary regression: few kernels, where none can be kept and all are compiled again."""


@dataclass(frozen=True)
class Ended:
    """A process that ended."""

    code: int
    stderr: str
    files: dict[str, bytes]


def environment(
    changes: Mapping[str, str] | None = None, without: tuple[str, ...] = ()
) -> dict[str, str]:
    """That of the tests, with changes; a fixed day, since the sidecar's schema demands a date."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(without or ("\0",))}
    return {**kept, "SOURCE_DATE_EPOCH": "1700000000", **(changes or {})}


def run(
    files: StudyFiles,
    folder: Path,
    env: Mapping[str, str],
    *options: object,
    python: tuple[str, ...] = ("-c", MAIN),
    plots: str = "none",
) -> Ended:
    """Run `assoc` in a process of its own; the prefix has the same name everywhere."""
    folder.mkdir(parents=True)
    common = ("--out", folder / "run", "--plots", plots, "--threads", 1)
    typed = [sys.executable, *python, "assoc", *files.inputs, *common, *options]
    done = subprocess.run(
        list(map(str, typed)), env=env, cwd=ROOT, capture_output=True, check=False, timeout=600
    )
    stderr = done.stderr.decode("utf-8", "replace")
    return Ended(done.returncode, stderr, files_of(folder / "run"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """A study with letters that a locale or an encoding could change."""
    study = simulate_study()
    names = {"S003": "Müller", "S004": "İğne", "S005": "ınanç", "S006": "TITLE", "S007": "title"}
    study.iid = [names.get(iid, iid) for iid in study.iid]
    for table in (study.pheno, study.covar):
        table.rows = [[row[0], names.get(row[1], row[1]), *row[2:]] for row in table.rows]
    study.marker[20] = "rs10İ20"
    study.pheno.names[2] = "größe"
    study.chrom = [{"X": "chrx"}.get(label, label) for label in study.chrom]
    where = study.write(tmp_path_factory.mktemp("environment"))
    for path in (where.bim, where.fam, where.pheno, where.covar):
        assert path.read_text(encoding="utf-8")
    return where


@pytest.fixture(scope="module")
def plain(files: StudyFiles, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The run that the others are held against."""
    found = run(files, tmp_path_factory.mktemp("plain") / "out", environment())
    assert found.code == 0, found.stderr
    assert len(found.files) == 13
    return found


@pytest.fixture(scope="module")
def ordinary(files: StudyFiles, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The same of ordinary regression."""
    found = run(files, tmp_path_factory.mktemp("ordinary") / "out", environment(), *ORDINARY)
    assert found.code == 0, found.stderr
    return found


def same(found: Ended, expected: Ended) -> None:
    assert found.code == 0, found.stderr
    assert found.files == expected.files
    assert found.stderr.count("Warning") == expected.stderr.count("Warning")


# --- Locales ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of locales, made where the system has the tool and the sources for it."""
    folder = tmp_path_factory.mktemp("locales")
    localedef = shutil.which("localedef")
    if localedef is not None:
        for language, charset in (("de_DE", "UTF-8"), ("de_DE", "ISO-8859-1"), ("tr_TR", "UTF-8")):
            command = [localedef, "-i", language, "-f", charset, folder / f"{language}.{charset}"]
            subprocess.run(command, capture_output=True, check=False)
    return folder


@pytest.mark.parametrize("name", ["C", "C.UTF-8", "de_DE.UTF-8", "de_DE.ISO-8859-1", "tr_TR.UTF-8"])
def test_locale_changes_nothing(
    files: StudyFiles, plain: Ended, locales: Path, tmp_path: Path, name: str
) -> None:
    """Decimal commas, Turkish i, and encodings that are not UTF-8."""
    settings = {"LC_ALL": name, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    if (locales / name).exists():
        settings["LOCPATH"] = str(locales)
    env = environment(settings, without=OF_LOCALES)
    tried = [sys.executable, "-c", "import locale; print(locale.setlocale(locale.LC_ALL, ''))"]
    there = subprocess.run(tried, env=env, capture_output=True, text=True, check=False)
    if there.returncode != 0 or there.stdout.strip() != name:
        pytest.skip(f"locale {name} is not installed and cannot be made here")
    same(run(files, tmp_path / "out", env, python=("-c", IN_LOCALE)), plain)


# --- Python -----------------------------------------------------------------------------------


def test_optimised_python_changes_nothing(files: StudyFiles, plain: Ended, tmp_path: Path) -> None:
    """Checks must not be assertions."""
    same(run(files, tmp_path / "out", environment(), python=("-O", "-c", MAIN)), plain)


def test_optimised_python_refuses_as_much(files: StudyFiles, tmp_path: Path) -> None:
    fam = tmp_path / "short.fam"
    fam.write_text("".join(files.fam.read_text(encoding="utf-8").splitlines(True)[:-1]), "utf-8")
    given = ("--bed", files.bed, "--bim", files.bim, "--fam", fam, "--pheno", files.pheno)
    typed = [sys.executable, "-O", "-c", MAIN, "assoc", *given, "--out", tmp_path / "run"]
    done = subprocess.run(
        list(map(str, typed)), env=environment(), cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 3
    assert b"[E104]" in done.stderr
    assert not files_of(tmp_path / "run")


# --- Folders ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "home", [pytest.param("unset", marks=pytest.mark.slow), "not a folder", "read-only"]
)
def test_unwritable_home_changes_nothing(
    files: StudyFiles, ordinary: Ended, tmp_path: Path, home: str
) -> None:
    """Nor is anything written elsewhere in its place."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "file").touch()
    value = {"unset": None, "not a folder": folder / "file", "read-only": folder}[home]
    of_home = ("HOME", "XDG_", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")
    env = environment({} if value is None else {"HOME": str(value)}, without=of_home)
    folder.chmod(0o500)
    if home == "read-only" and os.access(folder, os.W_OK):
        folder.chmod(0o700)
        pytest.skip("this user may write everywhere")
    before = set(Path.cwd().iterdir())
    found = run(files, tmp_path / "out", env, *ORDINARY)
    folder.chmod(0o700)
    same(found, ordinary)
    assert set(Path.cwd().iterdir()) == before
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.slow  # matplotlib looks through all fonts again
def test_plots_need_no_home(files: StudyFiles, tmp_path: Path) -> None:
    """Nor a display: matplotlib keeps its settings and fonts in a home where it has one."""
    of_home = ("HOME", "XDG_", "MPLCONFIGDIR", "DISPLAY", "WAYLAND")
    one = ("--pheno-name", "weight", *ORDINARY)
    usual = run(files, tmp_path / "usual", environment(), *one, plots="png")
    env = environment({"HOME": os.devnull}, without=of_home)  # kernels lie where they are
    found = run(files, tmp_path / "out", env, *one, plots="png")
    same(found, usual)
    assert sum(name.endswith(".png") for name in found.files) == 2


def test_missing_tmp_changes_nothing(files: StudyFiles, plain: Ended, tmp_path: Path) -> None:
    env = environment({"TMPDIR": str(tmp_path / "missing")})
    same(run(files, tmp_path / "out", env), plain)


def test_no_usable_tmp_changes_nothing(files: StudyFiles, plain: Ended, tmp_path: Path) -> None:
    """As where /tmp, /var/tmp and the working folder are full or read-only."""
    nowhere = str(tmp_path / "missing")
    code = f"import tempfile; tempfile._candidate_tempdir_list = lambda: [{nowhere!r}]; "
    same(run(files, tmp_path / "out", environment(), python=("-c", code + MAIN)), plain)

"""What surrounds a run: streams, limits, folders, libraries. Section H of the catalogue.

Most runs are processes of their own, with ordinary regression on one chromosome, which needs few
kernels. Locales, python -O and homes are the subject of test_environment.py.
"""

import ast
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import RunCli, StudyFiles, files_of, simulate_study

from lmmgwas.errors import FileAccessError
from lmmgwas.io import open_files
from lmmgwas.numerics.processor import flushed_denormals

ROOT = Path(__file__).resolve().parent.parent
MAIN = "from lmmgwas.cli.main import main; main()"
DAY = {"SOURCE_DATE_EPOCH": "1700000000"}
ONE = ("--pheno-name", "height", "--chr", "1", "--h2", "0", "--threads", "1", "--plots", "none")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return simulate_study().write(tmp_path_factory.mktemp("operations"))


def command(files: StudyFiles, out: Path, *options: object, code: str = MAIN) -> list[str]:
    given = ("assoc", *files.inputs, "--out", out, *ONE, *options)
    return [sys.executable, "-c", code, *map(str, given)]


def start(
    typed: list[str], env: dict[str, str] | None = None, **more: object
) -> "subprocess.CompletedProcess[str]":
    """Run a command in the folder of the package."""
    streams = {} if {"stderr", "stdout"} & set(more) else {"capture_output": True}
    return subprocess.run(
        typed, cwd=ROOT, env={**os.environ, **DAY, **(env or {})}, text=True, check=False,
        timeout=300, **streams, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(files: StudyFiles, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of a run that nothing is odd about."""
    out = tmp_path_factory.mktemp("plain") / "run"
    done = start(command(files, out))
    assert done.returncode == 0, done.stderr
    found = files_of(out)
    assert len(found) == 7
    return found


# --- Processes --------------------------------------------------------------------------------


WATCHED = """
import sys
seen = []
NAMES = ("os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "subprocess.Popen",
         "socket.connect", "socket.bind")
sys.addaudithook(lambda name, args: seen.append(name) if name in NAMES else None)
from lmmgwas.cli.main import main
try:
    main()
finally:
    print("events:", seen)
"""


def test_no_process_is_started(files: StudyFiles, plain: dict[str, bytes], tmp_path: Path) -> None:
    """A fork after BLAS or numba have threads may wait for ever; nor is a connection made."""
    done = start(command(files, tmp_path / "run", code=WATCHED))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "events: []\n"
    assert files_of(tmp_path / "run") == plain


def test_durations_are_not_of_the_wall_clock() -> None:
    """A clock that jumps changes no duration: they come from the monotonic one."""
    wall = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.datetime.now"}
    found = []
    for path in sorted((ROOT / "lmmgwas").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in wall:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    # The date of the metadata, which the sidecar's schema demands.
    assert all(place.startswith("lmmgwas/io/metadata.py") for place in found), found


# --- Arithmetic -------------------------------------------------------------------------------


X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86-64")
FLUSH = """
import ctypes
libm = ctypes.CDLL("libm.so.6")
state = (ctypes.c_uint32 * 8)()
libm.fegetenv(state)
state[7] |= 0x8040  # FTZ and DAZ of MXCSR, as crtfastmath.o sets them
libm.fesetenv(state)
"""


@X86
def test_flushed_denormals_are_noticed() -> None:
    assert flushed_denormals() is None
    found: list[str | None] = []

    def work() -> None:  # in a thread, whose flags are its own
        exec(FLUSH, {})  # noqa: S102
        found.append(flushed_denormals())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0] is not None
    assert "-ffast-math" in found[0]
    assert flushed_denormals() is None


@X86
@pytest.mark.parametrize("strict", [False, True])
def test_flushed_denormals_are_warned_of(files: StudyFiles, tmp_path: Path, strict: bool) -> None:
    more = ("--strict",) if strict else ()
    done = start(command(files, tmp_path / "run", *more, code=FLUSH + MAIN))
    assert done.returncode == (5 if strict else 0), done.stderr
    assert "[W903]" in done.stderr
    assert bool(files_of(tmp_path / "run")) != strict


# --- Streams ----------------------------------------------------------------------------------


def shell(typed: list[str], redirection: str, folder: Path) -> int:
    """Run a command with streams that only a shell can make; return its exit code."""
    script = folder / "start.sh"
    quoted = " ".join("'" + part.replace("'", "'\\''") + "'" for part in typed)
    script.write_text(f"exec {quoted} {redirection}\n")
    done = subprocess.run(
        ["sh", script], cwd=ROOT, env={**os.environ, **DAY}, check=False, timeout=300
    )
    return done.returncode


@pytest.mark.parametrize(
    "redirection",
    ["<&- >&- 2>&-", "2>&-", ">&-", "<&- 2>&-"],
    ids=["all", "stderr", "stdout", "stdin and stderr"],
)
def test_closed_streams_change_nothing(
    files: StudyFiles, plain: dict[str, bytes], tmp_path: Path, redirection: str
) -> None:
    quiet = redirection if "2>" in redirection else f"{redirection} 2>/dev/null"
    assert shell(command(files, tmp_path / "run"), quiet, tmp_path) == 0
    assert files_of(tmp_path / "run") == plain


def test_closed_streams_keep_the_exit_code(files: StudyFiles, tmp_path: Path) -> None:
    typed = command(files, tmp_path / "run", "--pheno-name", "absent")
    assert shell(typed, "<&- >&- 2>&-", tmp_path) == start(typed).returncode == 4
    assert "absent" in (tmp_path / "run.log").read_text()


GUARDED = """
import ctypes, os, sys
from lmmgwas.cli.streams import guard_streams
guard_streams()
opened = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
assert opened > 2
os.write(opened, b"results")
ctypes.CDLL(None).write(2, b"a library's complaint", 21)
print("out"); print("err", file=sys.stderr); sys.stdin.read()
"""


def test_what_a_library_says_does_not_go_into_a_file(tmp_path: Path) -> None:
    """With descriptor 2 closed, the next file would get its number."""
    typed = [sys.executable, "-c", GUARDED, str(tmp_path / "table")]
    assert shell(typed, "<&- >&- 2>&-", tmp_path) == 0
    assert (tmp_path / "table").read_bytes() == b"results"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_streams_that_are_full(files: StudyFiles, plain: dict[str, bytes], tmp_path: Path) -> None:
    """A log that cannot be shown is not a failed result."""
    with Path("/dev/full").open("w") as full:
        done = start(command(files, tmp_path / "run"), stderr=full, stdout=full)
    assert done.returncode == 0
    assert files_of(tmp_path / "run") == plain
    assert "lambda_gc" in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_for_a_reader_that_went_away(option: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = start([sys.executable, "-c", MAIN, option], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


# --- Limits -----------------------------------------------------------------------------------


def low_limit(n_files: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n_files, n_files))


def test_few_open_files_are_enough(files: StudyFiles, tmp_path: Path) -> None:
    """`ulimit -n 64`, with LOCO, so that the GRM has its parts on disk, and both traits."""
    more = ("--pheno-name", "height,weight", "--chr", "1-4")
    typed = [part for part in command(files, tmp_path / "run", *more) if part not in ("--h2", "0")]
    done = start(typed, preexec_fn=low_limit(64))
    assert done.returncode == 0, done.stderr
    assert start([part.replace("/run", "/all") for part in typed]).returncode == 0
    few, usual = files_of(tmp_path / "run"), files_of(tmp_path / "all")
    for found in (few, usual):
        for name in (".height.tsv.gz-meta.yaml", ".weight.tsv.gz-meta.yaml"):
            del found[name]  # names the table
    assert few == usual


OPENED = """
import os, sys
from pathlib import Path
most = 0
from lmmgwas.pipeline import logbook
told = logbook.Progress.advance
def advance(self, n):
    global most
    most = max(most, len(os.listdir("/proc/self/fd")))
    told(self, n)
logbook.Progress.advance = advance
from lmmgwas.cli.main import main
try:
    main()
finally:
    print("most:", most)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
def test_a_run_has_few_files_open(test_data: Path, tmp_path: Path) -> None:
    """Twenty-two chromosomes, whose parts of the GRM are mapped one after another."""
    typed = [sys.executable, "-c", OPENED, "assoc", "--bfile", test_data / "study", "--pheno",
             test_data / "pheno.tsv", "--out", tmp_path / "run", "--plots", "none"]  # fmt: skip
    done = start(list(map(str, typed)))
    assert done.returncode == 0, done.stderr
    assert 3 < int(done.stdout.removeprefix("most:")) <= 32


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A limit of open files that belongs to the test: [soft, hard]."""
    state = [64, 1024]

    def change(_: int, new: tuple[int, int]) -> None:
        if new[0] > state[1]:
            raise ValueError("not allowed to raise maximum limit")
        state[0] = new[0]

    monkeypatch.setattr(open_files.resource, "getrlimit", lambda _: (state[0], state[1]))
    monkeypatch.setattr(open_files.resource, "setrlimit", change)
    return state


def test_the_limit_of_open_files_is_raised(limits: list[int]) -> None:
    open_files.require_open_files()
    assert limits[0] == 64  # enough as it is
    open_files.require_open_files(more=500)
    assert 500 < limits[0] <= 1024


def test_a_hard_limit_of_open_files_is_named(limits: list[int]) -> None:
    with pytest.raises(FileAccessError, match=r"E120.* open files, and the limit is 1024.*ulimit"):
        open_files.require_open_files(more=3000)


def test_no_limit_of_open_files(limits: list[int]) -> None:
    limits[:] = [resource.RLIM_INFINITY, resource.RLIM_INFINITY]
    open_files.require_open_files(more=10**6)


# --- Folders ----------------------------------------------------------------------------------


ODD_FOLDERS = {
    "blanks": "my study  1",
    "quotes": "a 'b' \"c\" `d`",
    "unicode": "größe 東京 e\u0301",
    "signs": "$HOME; rm -rf * | & > < ? [x] {y} ~ # % ! \\",
    "a leading dash": "-rf",
    "a newline": "two\nlines",
    "control characters": "one\ttwo\x1b[31m",
    "not UTF-8": os.fsdecode(b"caf\xe9"),
    "long": "d" * 200,
}


@pytest.mark.parametrize("name", ODD_FOLDERS.values(), ids=ODD_FOLDERS)
def test_odd_names_of_folders(
    run_cli: RunCli, files: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Of inputs and output alike; named from the folder above, so that a dash may lead."""
    folder = tmp_path / name
    shutil.copytree(files.folder, folder)
    monkeypatch.chdir(tmp_path)
    where = StudyFiles(Path(name))
    done = run_cli("assoc", *where.inputs, "--out", f"{name}/run", *ONE)
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((folder / "run.run.json").read_text(encoding="utf-8"))
    outputs = {Path(os.fsdecode(os.fsencode(entry["path"]))) for entry in manifest["outputs"]}
    assert len(outputs) >= 6
    assert {path.parent for path in outputs} == {Path(name)}
    assert all(path.exists() for path in outputs)
    assert "\x1b" not in (folder / "run.log").read_text(encoding="utf-8", errors="replace")
    assert "\x1b" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {name}


ODD_PREFIXES = ["a b", "-x", "a\nb", "a\tb", 'a"b', "a: b #c", "größe", ".hidden", "x" * 150]


@pytest.mark.parametrize("name", ODD_PREFIXES, ids=lambda name: repr(name[:12]))
def test_odd_prefixes(
    run_cli: RunCli, files: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """All files have it, and the metadata names the table."""
    monkeypatch.chdir(tmp_path)
    done = run_cli("assoc", *files.inputs, "--out", name, *ONE)
    assert done.exit_code == 0, done.stderr
    found = files_of(tmp_path / name)
    assert len(found) == 7
    assert all(path.name.startswith((f"{name}.", f"{name}_mqc.")) for path in tmp_path.iterdir())
    metadata = found[".height.tsv.gz-meta.yaml"].decode()
    quoted = json.dumps(f"{name}.height.tsv.gz", ensure_ascii=False)
    assert f"data_file_name: {quoted}\n" in metadata


NO_PRIVILEGES = """
import ctypes, os
if os.geteuid() == 0:
    version, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(version, none) == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="root's privileges are those of Linux")
@pytest.mark.parametrize("what", ["output folder", "--tmpdir"])
def test_a_folder_that_is_read_only_is_refused(
    files: StudyFiles, tmp_path: Path, what: str
) -> None:
    """Before the work. Root may write everywhere, and drops that privilege first."""
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o555)
    out, more = folder / "run", ()
    if what == "--tmpdir":
        out, more = tmp_path / "run", ("--tmpdir", folder, "--h2", "0.5")
    done = start(command(files, out, *more, code=NO_PRIVILEGES + MAIN))
    folder.chmod(0o755)
    assert done.returncode == 7, done.stderr
    assert "[E111]" in done.stderr
    assert str(folder) in done.stderr
    assert not list(folder.iterdir())
    assert not files_of(out)


NO_HOME = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")
NO_TMP = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']\n"
FIGURE = """
import sys
from pathlib import Path
from lmmgwas.report.settings import load_matplotlib
folder = Path(sys.argv[1])
load_matplotlib(folder)
import os
assert "MPLCONFIGDIR" not in os.environ
from lmmgwas.report.style import new_axes, figure_of, save_png
axes = new_axes((3, 2), (0.5, 0.1, 0.5, 0.1))
axes.plot([1, 2], [1, 2])
save_png(figure_of(axes), folder / "figure.png")
"""


def test_plots_need_neither_home_nor_tmp(tmp_path: Path) -> None:
    """And nobody is told that some folder cannot be written to."""
    env = {k: v for k, v in os.environ.items() if k not in NO_HOME} | {"HOME": "/proc/nowhere"}
    typed = [sys.executable, "-c", NO_TMP + FIGURE, str(tmp_path)]
    done = subprocess.run(
        typed, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


# --- Kept kernels -----------------------------------------------------------------------------


COUNT = """
import sys
import numpy as np
from lmmgwas.numerics import kernels
out = np.zeros(3, dtype=np.int64)
kernels.add_missing(np.array([[0, -127, 2], [-127, -127, 1]], dtype=np.int8), out)
print(out.tolist(), sum(kernels.add_missing.stats.cache_hits.values()))
"""


def count(cache: Path | str, before: str = "") -> tuple[str, int]:
    """Call a kernel in a process of its own; what it found, and how often it was kept."""
    done = start([sys.executable, "-c", before + COUNT], env={"NUMBA_CACHE_DIR": str(cache)})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found, hits = re.fullmatch(r"(\[.*\]) (\d+)\n", done.stdout).groups()
    return found, int(hits)


def test_kernels_are_kept(tmp_path: Path) -> None:
    assert count(tmp_path) == ("[1, 2, 0]", 0)
    assert count(tmp_path) == ("[1, 2, 0]", 1)


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [b"", b"\x80\x05damaged", b"not a pickle"])
def test_damaged_kernels_are_compiled_again(tmp_path: Path, suffix: str, damage: bytes) -> None:
    """As after a crash of the machine, or a disk that was full: then they are kept anew."""
    assert count(tmp_path)[1] == 0
    for path in tmp_path.rglob(f"*.{suffix}"):
        path.write_bytes(damage)
    assert count(tmp_path) == ("[1, 2, 0]", 0)
    assert count(tmp_path) == ("[1, 2, 0]", 1)


def test_kernels_that_cannot_be_kept_are_used(tmp_path: Path) -> None:
    """A file system that is full, or a quota, as for home folders on clusters."""
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    assert count(tmp_path, full) == ("[1, 2, 0]", 0)
    assert not list(tmp_path.rglob("*.nbc"))


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/cache"])
def test_a_cache_that_is_no_folder_is_not_used(folder: str) -> None:
    assert count(folder)[0] == "[1, 2, 0]"

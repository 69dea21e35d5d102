"""What the program must never do: run what it reads, start programs, reach out of the machine.

The first half reads the source. The second half runs the program and listens to what Python
reports of itself (PEP 578), and to what the system sees of the process.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import StudyFiles, simulate_study

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lmmgwas"
AUDITED = Path(__file__).resolve().parent / "audited.py"

# --- The source -------------------------------------------------------------------------------

BANNED_MODULES = {
    # objects that run code when they are read
    *("pickle", "_pickle", "cPickle", "cloudpickle", "marshal", "shelve", "dill", "joblib"),
    *("jsonpickle", "yaml", "code", "codeop", "runpy", "imp", "pty"),
    # other programs
    *("subprocess", "_posixsubprocess", "multiprocessing", "concurrent.futures.process"),
    # the network
    *("socket", "_socket", "socketserver", "ssl", "select", "selectors", "asyncio"),
    *("urllib", "urllib3", "http", "ftplib", "smtplib", "poplib", "imaplib", "telnetlib"),
    *("nntplib", "xmlrpc", "webbrowser", "requests", "httpx", "aiohttp"),
}
"""The host's name, which a lock needs, comes from os.uname: not even `socket` is needed."""

BANNED_NAMES = {
    *("eval", "exec", "compile", "__import__", "breakpoint", "input"),
    *("os.system", "os.popen", "os.fork", "os.forkpty", "os.startfile", "os.umask"),
    *("concurrent.futures.ProcessPoolExecutor", "importlib.reload"),
    *("ctypes.CDLL", "ctypes.PyDLL", "ctypes.cdll", "ctypes.util.find_library"),
    *("tempfile.mktemp", "tempfile.gettempdir", "tempfile.gettempprefix"),
    *("numpy.savez", "numpy.savez_compressed", "numpy.fromregex", "pandas.eval"),
}
BANNED_PREFIXES = ("os.exec", "os.spawn", "os.posix_spawn", "pty.")
BANNED_ATTRIBUTES = {"eval", "query", "read_pickle", "to_pickle"}
"""Of data frames: they evaluate text, or read objects."""

OPENERS = {"open", "read_text", "write_text"}
BUILTIN_OPENERS = {"open", "io.open", "gzip.open", "os.fdopen", "io.TextIOWrapper"}
OTHERS_MAY_WRITE = 0o022
Fault = tuple[int, str]


def constant(node: ast.AST | None) -> object:
    """The value of a constant, None of anything else."""
    return node.value if isinstance(node, ast.Constant) else None


class Source:
    """A module, and where its names come from."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self.origins: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.split(".")[0]
                    self.origins[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self.origins[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def origin(self, node: ast.AST) -> str:
        """`numpy.load` of `np.load`; empty where the beginning is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.origins.get(node.id, node.id), *reversed(parts)])


def imports(source: Source) -> Iterator[Fault]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if any(".".join(parts[:k]) in BANNED_MODULES for k in range(1, len(parts) + 1)):
                yield node.lineno, f"import of {name}"


def banned_names(source: Source) -> Iterator[Fault]:
    """Called or handed on: `map(eval, ...)` is as bad."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
            continue
        name = source.origin(node)
        if name in BANNED_NAMES or name.startswith(BANNED_PREFIXES):
            yield node.lineno, name
        elif isinstance(node, ast.Attribute) and node.attr in BANNED_ATTRIBUTES:
            yield node.lineno, f".{node.attr}"


def keyword_of(node: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in node.keywords if k.arg == name), None)


def calls(source: Source) -> Iterator[ast.Call]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))


def pickled_arrays(source: Source) -> Iterator[Fault]:
    for node in calls(source):
        allowed = keyword_of(node, "allow_pickle")
        needed = source.origin(node.func) in ("numpy.load", "numpy.save")
        if (needed or allowed is not None) and constant(allowed) is not False:
            yield node.lineno, "allow_pickle=False is not said"


def switches(source: Source) -> Iterator[Fault]:
    for node in calls(source):
        for name in ("fastmath", "shell"):
            if (value := keyword_of(node, name)) is not None and constant(value) is not False:
                yield node.lineno, name


def modules_by_name(source: Source) -> Iterator[Fault]:
    """`import_module` gets a name of ours, whatever else is in it."""
    for node in calls(source):
        if source.origin(node.func) != "importlib.import_module":
            continue
        first: ast.AST = node.args[0]
        if isinstance(first, ast.JoinedStr):
            first = first.values[0]
        if not str(constant(first)).startswith("lmmgwas."):
            yield node.lineno, "import_module of what is not in the package"


def text_encodings(source: Source) -> Iterator[Fault]:
    """Text files name their encoding: the locale must not decide."""
    for node in calls(source):
        name = source.origin(node.func)
        last = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        method = last in OPENERS
        of_class = "".join(name.split(".")[-2:-1])[:1].isupper()  # BedSource.open is ours
        if last == "write_text" and len(node.args) == 2:
            continue  # OutputSet's, which knows one encoding
        if not (name in BUILTIN_OPENERS or (method and not of_class and name != "os.open")):
            continue
        place = 1 if name in BUILTIN_OPENERS else 0
        mode = keyword_of(node, "mode") or (node.args[place] if len(node.args) > place else None)
        binary = "b" in str(constant(mode)) and name != "io.TextIOWrapper"
        if not binary and keyword_of(node, "encoding") is None:
            yield node.lineno, "text without encoding"


def temporary_places(source: Source) -> Iterator[Fault]:
    """Temporary files lie beside the output, or where the user said; never just anywhere."""
    for node in calls(source):
        if source.origin(node.func).startswith("tempfile.") and keyword_of(node, "dir") is None:
            yield node.lineno, "a temporary file without dir="


def modes(source: Source) -> Iterator[Fault]:
    for node in calls(source):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name == "chmod":
            mode = node.args[-1] if node.args else keyword_of(node, "mode")
        elif name in ("mkdir", "makedirs"):
            mode = keyword_of(node, "mode")
            if mode is None:
                continue
        else:
            continue
        value = constant(mode)
        if not isinstance(value, int) or value & OTHERS_MAY_WRITE:
            yield node.lineno, f"{name}: others may write"


def assertions(source: Source) -> Iterator[Fault]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "an assert, which python -O removes"


def standard_output(source: Source) -> Iterator[Fault]:
    for node in calls(source):
        name = source.origin(node.func)
        if name == "print":
            file = keyword_of(node, "file")
            if file is None or source.origin(file) != "sys.stderr":
                yield node.lineno, "print to standard output"
        elif name in ("click.echo", "click.secho"):
            if constant(keyword_of(node, "err")) is not True:
                yield node.lineno, f"{name} to standard output"
        elif name in ("sys.stdout.write", "sys.stdout.writelines", "sys.stdout.buffer.write"):
            yield node.lineno, name


SCRIPTS = (Path("cli/check.py"), Path("cli/completion.py"))
"""Those that print to standard output: a script for a batch job or a shell, and nothing else."""

RULES: tuple[Callable[[Source], Iterator[Fault]], ...] = (
    *(imports, banned_names, pickled_arrays, switches, modules_by_name, text_encodings),
    *(temporary_places, modes, assertions, standard_output),
)


def faults(text: str) -> list[str]:
    """What is wrong with the source of a module, line by line."""
    source = Source(text)
    found = {fault for rule in RULES for fault in rule(source)}
    return [f"line {line}: {what}" for line, what in sorted(found)]


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_the_source_does_nothing_that_is_banned(path: Path) -> None:
    found = faults(path.read_text(encoding="utf-8"))
    if path.relative_to(PACKAGE) in SCRIPTS:
        printed = [fault for fault in found if fault.endswith("click.echo to standard output")]
        assert len(printed) == 1
        found.remove(printed[0])
    assert not found, path


def test_dask_is_imported_where_a_cluster_is_asked_for() -> None:
    """Its transport is the one that may reach for a network; nothing else loads it."""
    users = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [node for node in ast.walk(tree) if _imports_dask(node)]
        if found:
            at_the_top = [node for node in tree.body if _imports_dask(node)]
            users[str(path.relative_to(PACKAGE))] = len(at_the_top)
    assert users == {"pipeline/cluster.py": 0}


def _imports_dask(node: ast.AST) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
    return any(name.split(".")[0] in ("dask", "distributed") for name in names)


BAD = [
    *("import pickle", "from pickle import loads", "import joblib", "import dill as d"),
    *("import marshal", "import shelve", "import yaml\nyaml.load(s)", "from _pickle import load"),
    *("eval(s)", "list(map(eval, s))", "exec(s)", "compile(s, '', 'exec')", "__import__(s)"),
    *("import os\nos.system(s)", "from os import system as run\nrun(s)", "import os\nos.popen(s)"),
    *("import os\nos.fork()", "import os as o\no.execv(s, t)", "import os\nos.posix_spawn(s)"),
    *("import subprocess", "from subprocess import run", "f(x, shell=True)", "f(x, shell=y)"),
    *("import multiprocessing", "from concurrent.futures.process import ProcessPoolExecutor"),
    "from concurrent.futures import ProcessPoolExecutor as P\nP(2)",
    *("import socket", "import urllib.request", "from urllib import request", "import http.client"),
    *("import ftplib", "import ssl", "import asyncio", "import requests"),
    *("import numpy as np\nnp.load(p)", "import numpy as np\nnp.load(p, allow_pickle=True)"),
    *("import numpy as np\nnp.save(p, a)", "from numpy import load\nload(p, allow_pickle=x)"),
    *("import numpy as np\nnp.savez(p, a=a)", "from numpy.lib import f\nf(s, allow_pickle=True)"),
    *("import pandas as pd\npd.read_pickle(p)", "frame.to_pickle(p)", "frame.eval(s)"),
    "frame.query(s)",
    *("import tempfile\ntempfile.mktemp()", "from tempfile import mktemp as m\nm(dir=d)"),
    *("import tempfile\ntempfile.TemporaryDirectory()", "import tempfile\ntempfile.mkstemp('x')"),
    *("import os\nos.chmod(p, 0o777)", "p.chmod(0o666)", "p.chmod(m)", "p.mkdir(mode=0o777)"),
    *("import os\nos.umask(0)", "p.mkdir(mode=m)"),
    *("open(p)", "open(p, 'w')", "p.open()", "p.open('a')", "p.open(mode)", "p.read_text()"),
    *("p.write_text(s)", "import io\nio.open(p)", "import io\nio.TextIOWrapper(b)"),
    *("import gzip\ngzip.open(p, 'rt')", "import os\nos.fdopen(d, 'w')", "(a / b).read_text()"),
    *("assert x", "numba.njit(fastmath=True)(f)", "njit(fastmath={'nnan'})(f)"),
    *("print(x)", "import sys\nprint(x, file=sys.stdout)", "import sys\nsys.stdout.write(x)"),
    *("import click\nclick.echo(x)", "import click\nclick.echo(x, err=False)"),
    *("from importlib import import_module\nimport_module(s)", "import ctypes\nctypes.CDLL(s)"),
    "from importlib import import_module as i\ni(f'{s}.x')",
    "from ctypes.util import find_library\nfind_library(s)",
]
GOOD = [
    *("import re\nre.compile(s)", "import os\nos.open(p, 0)", "p.open('rb')", "p.open(mode='wb')"),
    *("p.open('w', encoding='utf-8')", "p.open(m, encoding='utf-8')", "open(p, 'rb')"),
    *("BedSource.open(a, b, c)", "import os\nos.fdopen(d, 'wb')", "p.read_bytes()"),
    *("import numpy as np\nnp.load(p, allow_pickle=False)", "p.mkdir(mode=0o700)", "p.mkdir()"),
    *("import sys\nprint(x, file=sys.stderr)", "import click\nclick.echo(x, err=True)"),
    "from importlib import import_module\nimport_module(f'lmmgwas.cli.{s}')",
    "import tempfile\ntempfile.TemporaryDirectory(dir=d)",
    "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(1)",
]


@pytest.mark.parametrize("text", BAD)
def test_the_rules_see_what_they_are_for(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize("text", GOOD)
def test_the_rules_let_the_rest_pass(text: str) -> None:
    assert not faults(text)


# --- What is installed ------------------------------------------------------------------------

LOCKS = {"requirements/run.txt": ("dependencies",), "requirements/ci.txt": ("test", "dev")}


def wanted(groups: tuple[str, ...]) -> set[str]:
    """Names of the packages that pyproject.toml asks for, ours aside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [
        project["dependencies"],
        *(project["optional-dependencies"].get(g, []) for g in groups),
    ]
    names = {re.match(r"[A-Za-z0-9._-]+", text)[0].lower() for some in lists for text in some}
    return names - {"lmmgwas"}


@pytest.mark.parametrize("lock", LOCKS)
def test_what_is_installed_is_known_by_its_hash(lock: str) -> None:
    """And comes from wherever the user's own settings say: the locks name no host."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"://|--(?!hash=)|@|\.(com|org|io|net)\b", text)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    entries = [line for line in lines if not line.lstrip().startswith("#")]
    names = set()
    for entry in entries:
        found = re.fullmatch(
            r"([a-z0-9.-]+)==[^ ]+( ;[^\\]*?)?(\s+--hash=sha256:[0-9a-f]{64})+", entry
        )
        assert found, entry[:80]
        names.add(found[1])
    assert wanted(LOCKS[lock]) <= names


# --- The run ----------------------------------------------------------------------------------

OUTWARD = re.compile(
    r"socket\.|ssl\.|http\.|urllib\.|ftplib\.|smtplib\.|poplib\.|imaplib\.|nntplib\.|telnetlib\."
    r"|webbrowser\.|subprocess\.|os\.(system|exec|fork|forkpty|posix_spawn|spawn|startfile)"
    r"|pty\.|pickle\.|shelve\.|code\.__new__|pdb\."
)
OF_NUMBA = "numba/core/caching.py"
"""Where the one exception comes from: numba keeps compiled kernels, and their index is a pickle.

It lies in a folder that only this user can write to; test_numerics_jit.py shows that another one
is not used. Who can write there can write this user's programs, too."""

OF_MATPLOTLIB = "fc-list"
"""The other one: matplotlib asks fontconfig, once for each user, which fonts there are."""


class Report:
    """What an audited run did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[dict] = [json.loads(line) for line in path.read_text().splitlines()]

    def outward(self) -> list[dict]:
        """What reached for a network, a program or a pickle."""
        return [event for event in self.events if OUTWARD.match(event["event"])]

    def written(self) -> set[Path]:
        """What was opened for writing, made, renamed or removed."""
        return {Path(path) for event in self.events for path in event.get("written", ())}


def audited(folder: Path, *arguments: object, **changes: str) -> Report:
    """Run `lmmgwas ARGUMENTS` in a process that notes what it does."""
    report = folder / "events.jsonl"
    typed = [sys.executable, str(AUDITED), str(report), *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **changes}
    done = subprocess.run(typed, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return Report(report)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """The small study; the tests only read it."""
    return simulate_study().write(tmp_path_factory.mktemp("safety") / "in")


COMMANDS = ("assoc", "grm", "plot", "example", "convert")


def commands(files: StudyFiles, out: Path) -> dict[str, list[object]]:
    common: list[object] = ["--out", out / "run", "--threads", 1]
    return {
        "assoc": ["assoc", *files.inputs, *common],
        "grm": ["grm", "--bfile", files.bfile, *common, "--pca", 2],
        "plot": ["plot", out.parent / "assoc" / "run.height.tsv.gz", "--out", out / "again"],
        "example": ["example", out / "study"],
        "convert": [
            "convert",
            out.parent / "assoc" / "run.height.tsv.gz",
            *("--to", "gwas-vcf", "--out", out / "height.vcf.gz"),
        ],
    }


@pytest.fixture(scope="module")
def studied(files: StudyFiles, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Each command, run once, and what it did. Fonts are known before."""
    import matplotlib.font_manager  # noqa: F401

    folder = tmp_path_factory.mktemp("studied")
    reports = {}
    for command in COMMANDS:
        out = folder / command
        out.mkdir()
        reports[command] = audited(out, *commands(files, out)[command])
    return reports


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_reaches_for_nothing_but_its_files(studied: dict[str, Report], command: str) -> None:
    report = studied[command]
    assert len(report.events) > 100  # the hook is there
    others = [event for event in report.outward() if OF_NUMBA not in event["stack"]]
    assert not others


def test_a_run_without_kept_kernels_unpickles_nothing(files: StudyFiles, tmp_path: Path) -> None:
    """Compiled in memory: then there is no exception."""
    folder = tmp_path / "not a folder"
    folder.touch()
    few = ("--h2", 0, "--plots", "none", "--pheno-name", "height")  # few kernels are compiled
    typed = [*commands(files, tmp_path)["assoc"], *few]
    report = audited(tmp_path, *typed, XDG_CACHE_HOME=str(folder), NUMBA_CACHE_DIR="")
    assert not report.outward()


@pytest.mark.slow  # all fonts are looked through
def test_the_first_plot_asks_for_fonts_and_nothing_else(
    studied: dict[str, Report], tmp_path: Path
) -> None:
    table = studied["assoc"].path.parent / "run.height.tsv.gz"
    typed = ["plot", table, "--out", tmp_path / "again"]
    report = audited(tmp_path, *typed, MPLCONFIGDIR=str(tmp_path / "matplotlib"))
    started = [event for event in report.outward() if OF_NUMBA not in event["stack"]]
    assert {event["event"] for event in started} <= {"subprocess.Popen", "os.posix_spawn"}
    assert all(OF_MATPLOTLIB in event["arguments"] for event in started)


def test_a_run_writes_under_its_prefix_only(studied: dict[str, Report]) -> None:
    """Temporary files are in its hidden folder; libraries keep kernels and fonts elsewhere."""
    report = studied["assoc"]
    out = report.path.parent
    written = {path for path in report.written() if path != Path(os.devnull)}
    inside = {path for path in written if path.is_relative_to(out)}
    assert inside
    kept = [{*path.parts[:-1], path.name} for path in written - inside]
    assert all({"kernels", "matplotlib"} & parts or "lmmgwas" in parts for parts in kept)
    tops = {path.relative_to(out).parts[0] for path in inside}
    probes = {name for name in tops if re.fullmatch(r"\.lmmgwas\.[0-9a-f]{8}\.tmp", name)}
    finals = {name for name in tops if name.startswith(("run.", "run_mqc."))}
    assert tops == {".run.work"} | finals | probes
    assert {path.name for path in out.iterdir()} == {report.path.name} | finals


def traces_here() -> bool:
    """Whether strace is there and may watch a process."""
    strace = shutil.which("strace")
    if strace is None:
        return False
    done = subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not traces_here(), reason="strace is not there, or may not trace")
def test_the_system_sees_no_network_and_no_program(
    files: StudyFiles, studied: dict[str, Report], tmp_path: Path
) -> None:
    """Not by libraries in C, either."""
    trace = tmp_path / "trace"
    (tmp_path / "out").mkdir()
    watched = ["strace", "-f", "-qq", "-e", "trace=%network,execve,fork,vfork", "-o", str(trace)]
    typed = [sys.executable, "-m", "lmmgwas", *commands(files, tmp_path / "out")["assoc"]]
    done = subprocess.run(
        [*watched, *map(str, typed)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    called = [found[1] for found in re.finditer(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE)]
    assert called == ["execve"], trace.read_text()

"""What installs and presents the program: wheel, sdist, container, recipe, README, the house.

Builds and installs are slow tests; they need the build backend and, for clean environments, a
package index.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import lmmgwas

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONDA_NAMES = {"matplotlib": "matplotlib-base"}
PNG = b"\x89PNG\r\n\x1a\n"


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- The recipe -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    """The bioconda recipe, rendered as conda-build renders it."""
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    rendered = environment.from_string(text_of("packaging/bioconda/meta.yaml")).render(
        PYTHON="python", pin_subpackage=lambda name, max_pin: f"{name} >=0.1.0,<0.2 # {max_pin}"
    )
    return yaml.safe_load(rendered)


def test_the_recipe_asks_for_what_the_package_asks_for(recipe: dict[str, Any]) -> None:
    python = f"python {PROJECT['project']['requires-python']}"
    wanted = {python}
    for dependency in PROJECT["project"]["dependencies"]:
        name, bound = re.fullmatch(r"([a-z]+)(>=.+)", dependency).groups()  # type: ignore[union-attr]
        wanted.add(f"{CONDA_NAMES.get(name, name)} {bound}")
    assert set(recipe["requirements"]["run"]) == wanted
    (backend,) = PROJECT["build-system"]["requires"]
    assert set(recipe["requirements"]["host"]) == {python, "pip", backend.replace(">=", " >=")}


def test_the_recipe_builds_this_package(recipe: dict[str, Any]) -> None:
    assert recipe["package"] == {"name": PROJECT["project"]["name"], "version": lmmgwas.__version__}
    scripts = [f"{name} = {place}" for name, place in PROJECT["project"]["scripts"].items()]
    assert recipe["build"]["entry_points"] == scripts
    assert recipe["build"]["noarch"] == "python"
    for word in ("-m pip install .", "--no-deps", "--no-build-isolation"):
        assert word in recipe["build"]["script"]
    assert recipe["build"]["run_exports"]
    assert (ROOT / "packaging" / "bioconda" / recipe["source"]["path"]).resolve() == ROOT
    assert recipe["about"]["license"] == PROJECT["project"]["license"]
    assert (ROOT / recipe["about"]["license_file"]).exists()


def test_the_recipe_tests_commands_that_there_are(recipe: dict[str, Any]) -> None:
    from lmmgwas.cli.main import cli

    lines = [shlex.split(line) for line in recipe["test"]["commands"]]
    ours = [words[1] for words in lines if words[0] == "lmmgwas" and words[1][0] != "-"]
    assert {"example", "assoc"} <= set(ours) <= set(cli.list_commands(None))  # type: ignore[arg-type]


# --- The container ----------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest), continued lines joined."""
    lines = [line for line in text_of("Dockerfile").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (words[0], " ".join(words[1].split()))
        for words in (line.split(None, 1) for line in joined.splitlines() if line.strip())
    ]


def test_the_container_follows_the_rules() -> None:
    found = instructions()
    bases = [rest.split()[0] for name, rest in found if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", base) for base in bases)  # never `latest`
    assert not [rest for name, rest in found if name in ("ADD", "MAINTAINER")]
    runs = [rest for name, rest in found if name == "RUN"]
    for run in runs:
        assert "sudo" not in run
        if "apt-get install" in run:
            assert "apt-get update &&" in run
            assert "--no-install-recommends" in run
            assert "rm -rf /var/lib/apt/lists/*" in run
        if "pip install" in run:
            assert "--no-cache-dir" in run
            assert "--require-hashes" in run or "--no-deps" in run
    last = max(k for k, (name, _) in enumerate(found) if name == "FROM")
    final = found[last:]
    assert "procps" in " ".join(rest for name, rest in final if name == "RUN")
    (user,) = [rest for name, rest in final if name == "USER"]
    assert user not in ("root", "0")
    names = [name for name, _ in final]
    assert names.index("USER") < names.index("CMD")  # what runs is not root
    assert "ENTRYPOINT" not in names  # workflow managers start a shell


def test_what_the_container_copies_is_there_and_sent() -> None:
    sent = {line[1:] for line in text_of(".dockerignore").splitlines() if line.startswith("!")}
    for name, rest in instructions():
        if name != "COPY" or "--from" in rest:
            continue
        *sources, _ = rest.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in sent, f".dockerignore keeps {source} from the daemon"


@pytest.mark.slow
def test_the_container_builds_and_runs() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True).returncode:
        pytest.skip("no docker daemon")
    tag = "lmmgwas-test"
    done = subprocess.run([docker, "build", "-q", "-t", tag, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    script = "lmmgwas --version && ps -o pid && test $(id -u) != 0 && lmmgwas example study"
    done = subprocess.run([docker, "run", "--rm", tag, "sh", "-ec", script], capture_output=True)
    assert done.returncode == 0, done.stderr


# --- Versions, citation, pages ----------------------------------------------------------------


def test_one_version() -> None:
    cited = yaml.safe_load(text_of("CITATION.cff"))
    assert cited["version"] == lmmgwas.__version__
    assert f'version = "{lmmgwas.__version__}"' in text_of("packaging/bioconda/meta.yaml")
    assert f"## [{lmmgwas.__version__}]" in text_of("CHANGELOG.md")


def test_the_citation_is_whole() -> None:
    cited = yaml.safe_load(text_of("CITATION.cff"))
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type", "license"} <= set(cited)
    assert cited["license"] == PROJECT["project"]["license"]
    assert [author["name"] for author in cited["authors"]] == [
        author["name"] for author in PROJECT["project"]["authors"]
    ]
    cffconvert = pytest.importorskip("cffconvert", reason="checked with cffconvert where it is")
    cffconvert.Citation(text_of("CITATION.cff")).validate()


def test_the_house_has_the_floors_of_the_architecture() -> None:
    from test_architecture import FLOORS

    where = importlib.util.spec_from_file_location("house", ROOT / "scripts" / "draw_house.py")
    assert where is not None
    assert where.loader is not None
    house = importlib.util.module_from_spec(where)
    where.loader.exec_module(house)
    top = len(house.STOREYS) - 1
    drawn = {name: top - k for k, storey in enumerate(house.STOREYS) for name, _, _ in storey}
    assert drawn == {name: FLOORS[name] for name in drawn}
    folders = {path.parent.name for path in (ROOT / "lmmgwas").glob("*/__init__.py")}
    assert drawn.keys() == folders


def test_the_house_is_drawn_as_it_stands() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "draw_house.py", "--check"], capture_output=True
    )
    assert done.returncode == 0, "run scripts/draw_house.py (make house)"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_files_that_pages_name_are_there(page: str) -> None:
    text = text_of(page)
    named = re.findall(r"\]\(([^)#:]+)\)", text)
    named += re.findall(r"`((?:scripts|tests|lmmgwas|packaging|requirements|docs)/[\w./]+)`", text)
    assert named or page == "README.md"
    for name in named:
        assert (ROOT / name).exists(), name


# --- Wheel, sdist and the first three commands ------------------------------------------------


def git_files() -> list[str]:
    """The files of the repository; the test is skipped where there is none (in an sdist)."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a repository")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.slow
def test_wheel_and_sdist_hold_what_they_should(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    files = git_files()
    assert sorted(names) == sorted(name for name in files if name.startswith("lmmgwas/"))
    with tarfile.open(sdist) as archive:
        inside = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    left_out = {name for name in files if name not in inside}
    assert left_out <= {".ci/run"}, left_out
    assert not [name for name in inside if "__pycache__" in name or name.startswith("dist/")]


def commands_of_the_readme() -> list[str]:
    """What stands under "Install", line by line."""
    section = text_of("README.md").split("\n## Install\n")[1].split("\n## ")[0]
    block = section.split("```")[1].strip()
    return block.replace("\\\n", " ").splitlines()


def test_the_first_picture_takes_three_commands() -> None:
    commands = commands_of_the_readme()
    assert len(commands) <= 3
    assert commands[0].startswith("pip install")
    assert not [line for line in commands if re.search(r"[;|]|&&", line)]


@pytest.mark.slow
def test_the_commands_of_the_readme_in_a_clean_environment(tmp_path: Path) -> None:
    """As a newcomer: a copy of the repository, a new environment, and what the README says."""
    copy = tmp_path / "copy"
    for name in git_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    venv.create(tmp_path / "env", with_pip=True)
    inside = tmp_path / "env" / "bin"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LMMGWAS_"))}
    environ = {**kept, "PATH": f"{inside}:/usr/bin:/bin", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    probe = ["pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path), "hatchling"]
    if subprocess.run(probe, env=environ, cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("no package index: nothing can be installed")
    for command in commands_of_the_readme():
        done = subprocess.run(
            shlex.split(command), env=environ, cwd=copy, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    named = re.findall(r"`(first\.[\w.]+)`", text_of("README.md"))
    pictures = [copy / name for name in named if name.endswith(".png")]
    assert len(pictures) >= 2
    for picture in pictures:
        assert picture.read_bytes()[:8] == PNG
    assert all((copy / name).stat().st_size > 0 for name in named)

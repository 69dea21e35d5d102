"""Builds wheel and sdist, installs each into a clean environment and runs the example study there.

    python scripts/check_install.py                          # this Python
    python scripts/check_install.py --python python3.12 --python python3.13

For each interpreter and each file: a new environment, the file installed with what it needs from
the package index, `pip check`, then `lmmgwas example` and `lmmgwas assoc` in an empty folder, and a
look at the picture. A Python that does not start or is too old is named and passed over.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PNG = b"\x89PNG\r\n\x1a\n"
SUFFIXES = {"wheel": ".whl", "sdist": ".tar.gz"}
STEPS = (
    ("example", "study"),
    (
        *("assoc", "--bfile", "study/study", "--pheno", "study/pheno.tsv"),
        *("--covar", "study/covar.tsv", "--out", "first"),
    ),
)


def build(folder: Path) -> list[Path]:
    """Build sdist and wheel into a folder; return them."""
    run([sys.executable, "-m", "hatchling", "build", "--directory", str(folder)], ROOT)
    return [*folder.glob("*.tar.gz"), *folder.glob("*.whl")]


def require_contents(package: Path) -> None:
    """The wheel holds the package and nothing else, the sdist all that tests need."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as archive:
            roots = {name.split("/")[0] for name in archive.namelist()}
        strangers = {root for root in roots if root != "lmmgwas" and ".dist-info" not in root}
        require(not strangers, f"{package.name} holds {', '.join(sorted(strangers))}")
        return
    with tarfile.open(package) as archive:
        inside = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / "lmmgwas").rglob("*.py")}
    wanted |= {"pyproject.toml", "LICENSE", "README.md", "tests/conftest.py", "test_data/study.bed"}
    wanted |= {"CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "Dockerfile"}
    lacking = sorted(wanted - inside)
    require(not lacking, f"{package.name} lacks {', '.join(lacking[:5])}")


def check(package: Path, python: str, folder: Path) -> float:
    """Install a package into a new environment and run the study; return the seconds it took."""
    began = time.monotonic()
    run([python, "-m", "venv", str(folder / "env")], folder)
    inside = folder / "env" / "bin"
    pip = [str(inside / "python"), "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", str(package)], folder)
    run([*pip, "check"], folder)
    work = folder / "work"
    work.mkdir()
    for step in STEPS:
        run([str(inside / "lmmgwas"), *step], work)
    for name in ("first.height.manhattan.png", "first.height.qq.png"):
        require((work / name).read_bytes()[:8] == PNG, f"{name} is no picture")
    require('"complete": true' in (work / "first.run.json").read_text(), "first.run.json")
    return time.monotonic() - began


def run(command: Sequence[str], folder: Path) -> None:
    """Run a command apart from this environment; say what it said where it fails."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, check=False
    )
    require(done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def require(holds: bool, what: str) -> None:
    """End with a message where something does not hold."""
    if not holds:
        raise SystemExit(f"check_install: {what}")


def version_of(python: str) -> tuple[int, int] | None:
    """The version of an interpreter; None where it cannot be used."""
    probe = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True)
        major, minor = map(int, done.stdout.split())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    return major, minor


def main() -> None:
    """Build, check, and leave the files in dist/."""
    parser = argparse.ArgumentParser(description="Check wheel and sdist in clean environments.")
    parser.add_argument("--python", action="append", metavar="P", help="interpreters to check with")
    parser.add_argument("--only", choices=SUFFIXES, help="install this one of the two files")
    parser.add_argument("--dist", default=ROOT / "dist", type=Path, help="where the files go")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packages = build(Path(folder) / "dist")
        for package in packages:
            require_contents(package)
        checked = set()
        for python in given.python or [sys.executable]:
            version = version_of(python)
            if version in checked:
                continue
            if version is None or version < (3, 11):
                print(f"{python}: not there, or older than 3.11: passed over")
                continue
            checked.add(version)
            for package in packages:
                if given.only and not package.name.endswith(SUFFIXES[given.only]):
                    continue
                place = Path(tempfile.mkdtemp(dir=folder))
                seconds = check(package, python, place)
                said = f"Python {version[0]}.{version[1]}: {package.name} ({seconds:.0f} s)"
                print(said, flush=True)
                shutil.rmtree(place)
        given.dist.mkdir(exist_ok=True)
        for package in packages:
            shutil.copy(package, given.dist)
            print(f"{given.dist / package.name}")


if __name__ == "__main__":
    main()

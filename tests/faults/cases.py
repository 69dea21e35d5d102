"""The runs that faults are put into, and what must hold of the files after each of them."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from conftest import MALE, Study, StudyFiles
from tiny_study import tiny_study

from faults.client import KILLED, Ended, Server

Files = dict[str, bytes]
"""By path below the folder of the outputs."""


def small_study() -> Study:
    """48 samples, three autosomes and X, two traits that do not miss the same samples."""
    study = tiny_study(48, 25)
    study.chrom = [*["1"] * 14, *["2"] * 12, *["3"] * 12, *["X"] * 12]
    study.pos = [10_000 + 700 * k for k in range(50)]
    x, males = study.on("X"), np.flatnonzero(np.array(study.sex) == MALE)
    study.calls[np.ix_(x, males)] = 2 * (study.calls[np.ix_(x, males)] > 0)
    study.calls[x[0], males[0]] = 1  # a heterozygous man: what is warned of is resumed, too
    study.pheno.set("weight", 3, "NA")
    return study


@dataclass(frozen=True)
class Case:
    """A command whose results are known."""

    name: str
    command: str
    options: tuple[str, ...] = ()
    has_old: bool = False  # whether older results lie under the prefix
    with_tmpdir: bool = False

    @property
    def resumes(self) -> bool:
        """Whether finished steps are kept for --resume."""
        return self.command == "assoc"


QUICK = ("--threads", "1", "--verbose")
CASES = {
    case.name: case
    for case in (
        Case("assoc", "assoc", ("--plots", "none")),
        Case("assoc-grm", "assoc", ("--plots", "none", "--grm", "GRM")),
        Case("grm", "grm", ("--pca", "2")),
        Case("assoc-overwrite", "assoc", ("--plots", "none", "--overwrite"), has_old=True),
        Case("assoc-tmpdir", "assoc", ("--plots", "none", "--tmpdir", "TMPDIR"), with_tmpdir=True),
        Case("assoc-png", "assoc", ("--plots", "png", "--pheno-name", "height")),
    )
}


class Arena:
    """A folder where one case is run again and again under the same name."""

    def __init__(self, folder: Path, case: Case, study: StudyFiles, grm: Path) -> None:
        self.case = case
        self.folder = folder
        self.out = folder / "out"
        self.tmpdir = folder / "tmp"
        places = {"GRM": str(grm), "TMPDIR": str(self.tmpdir)}
        inputs = study.inputs if case.command == "assoc" else study.inputs[:2]
        given = [places.get(option, option) for option in case.options]
        self.argv = [case.command, *inputs, "--out", str(self.out / "run"), *QUICK, *given]
        self.old: Files = {}
        self.whole: Files = {}  # what an undisturbed run leaves

    def learn(self, server: Server) -> None:
        """Run undisturbed; remember what came out."""
        self.clear()
        if self.case.has_old:
            self._make_old(server)
        ended = server.run(self.argv)
        assert ended.code == 0, ended.stderr
        self.whole = self.finals()
        assert len(self.whole) >= 7
        self.require_complete()

    def _make_old(self, server: Server) -> None:
        """Older results of other content, all under the same names."""
        older = [*(option for option in self.argv if option != "--overwrite"), "--h2", "0.3"]
        ended = server.run([*older, "--maf", "0.2"])
        assert ended.code == 0, ended.stderr
        self.old = self.finals()
        shutil.copytree(self.out, self.folder / "old")

    def clear(self) -> None:
        """Make the folder as it is before a run."""
        for folder in (self.out, self.tmpdir):
            shutil.rmtree(folder, ignore_errors=True)
        if self.old:
            shutil.copytree(self.folder / "old", self.out)
        else:
            self.out.mkdir(parents=True)
        self.tmpdir.mkdir()

    def finals(self) -> Files:
        """All files at final names but the log."""
        return {p.name: p.read_bytes() for p in self._shown() if p.name != "run.log"}

    def _shown(self) -> Iterator[Path]:
        return (path for path in self.out.iterdir() if not path.name.startswith("."))

    def has_steps(self) -> bool:
        """Whether finished steps are kept."""
        study = self.out / ".run.work" / "study"
        return (study / "grm.json").exists() or any(study.glob("*.shard"))

    def require_whole(self) -> None:
        """Raise unless each file at a final name is whole: the new one, or the old."""
        for name, content in self.finals().items():
            assert content in (self.whole.get(name), self.old.get(name)), f"{name} is partial"

    def require_same(self, but: tuple[str, ...] = ()) -> None:
        """Raise unless the files at final names are those of an undisturbed run."""
        found = self.finals()
        assert sorted(found) == sorted(self.whole)
        different = {name for name in found if found[name] != self.whole[name]}
        assert not different - set(but)

    def require_complete(self) -> None:
        """Raise unless all is as an undisturbed run leaves it, and nothing else is there."""
        self.require_same()
        assert {path.name for path in self.out.iterdir()} == {*self.whole, "run.log"}
        assert not list(self.tmpdir.iterdir())

    def save(self) -> None:
        """Remember the state after a fault."""
        for folder in (self.out, self.tmpdir):
            saved = self.folder / f"saved.{folder.name}"
            shutil.rmtree(saved, ignore_errors=True)
            shutil.copytree(folder, saved, symlinks=True)

    def restore(self) -> None:
        """Go back to it."""
        for folder in (self.out, self.tmpdir):
            shutil.rmtree(folder)
            shutil.copytree(self.folder / f"saved.{folder.name}", folder, symlinks=True)


class Ground:
    """A server, a study, and an arena for each case that is asked for."""

    def __init__(self, folder: Path, server: Server, study: StudyFiles, grm: Path) -> None:
        self.server = server
        self.study = study
        self._folder = folder
        self._grm = grm
        self._arenas: dict[str, Arena] = {}

    def arena(self, name: str) -> Arena:
        """The arena of a case, its results known."""
        if name not in self._arenas:
            arena = Arena(self._folder / name, CASES[name], self.study, self._grm)
            arena.learn(self.server)
            self._arenas[name] = arena
        return self._arenas[name]


@contextlib.contextmanager
def ground(folder: Path, plots: str = "none") -> Iterator[Ground]:
    """Start a server; `plots` says for which plots it is to be ready."""
    study = small_study().write(folder / "in")
    for name in ("grm", "warm"):
        (folder / name).mkdir()
    grm = folder / "grm" / "set"
    warm = [
        ["grm", *study.inputs[:2], "--out", str(grm), "--pca", "2", *QUICK],
        ["assoc", *study.inputs, "--out", str(folder / "warm" / "run"), "--plots", plots, *QUICK],
    ]
    with Server(folder, warm) as server:
        assert server.n_threads == 1  # or a fork would not be sound
        yield Ground(folder, server, study, grm)


def points_of(arena: Arena, server: Server) -> list[str]:
    """Run undisturbed; return the commit points that it passes."""
    arena.clear()
    names = arena.folder / "points"
    names.unlink(missing_ok=True)
    ended = server.run(arena.argv, points=str(names))
    assert ended.code == 0, ended.stderr
    return names.read_text().splitlines()


def require_refused(arena: Arena, ended: Ended) -> None:
    """A run without --resume or --overwrite left everything as it was."""
    before = {p.name: p.read_bytes() for p in (arena.folder / "saved.out").glob("run.*")}
    after = {p.name: p.read_bytes() for p in arena.out.glob("run.*")}
    assert ended.code == 8, ended.stderr
    assert "[E115]" in ended.stderr or "[E113]" in ended.stderr
    assert before == after


def recover(arena: Arena, server: Server) -> str:
    """After a kill: a plain second run, then --resume from the same state; say what they met."""
    arena.require_whole()
    arena.save()
    steps, named = arena.has_steps(), bool(arena.finals())
    again = server.run(arena.argv)
    if (steps or named) and "--overwrite" not in arena.argv:
        require_refused(arena, again)
        assert ("[E115]" in again.stderr) == steps
        met = "refused, resumed" if steps else "refused"
    else:
        assert again.code == 0, again.stderr
        arena.require_complete()
        met = "begun anew"
    arena.restore()
    resumed = server.run([*arena.argv, "--resume"])
    assert resumed.code == 0, resumed.stderr
    arena.require_complete()
    return met


def kill(arena: Arena, server: Server, **how: object) -> str:
    """Kill a run and recover; say what became of it."""
    arena.clear()
    ended = server.run(arena.argv, **how)
    if ended.code == 0:
        arena.require_complete()
        return "ended before the kill"
    assert ended.code == KILLED, ended.stderr
    return recover(arena, server)

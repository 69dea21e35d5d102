"""What lets a study go on after a kill: its key, and the steps that are finished.

The key is a digest of all that results depend on: the content of every input, the options, the
versions of the program and its libraries, BLAS's kernels, the threads. A study is resumed only
under the very same key; what differs is named.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmmgwas.errors import MismatchError, OutputExistsError
from lmmgwas.io.atomic import OutputSet, write_whole
from lmmgwas.io.workspace import Workspace
from lmmgwas.io.writing import remove_tree
from lmmgwas.model.chromosomes import Chromosome
from lmmgwas.numerics.threads import blas_libraries
from lmmgwas.pipeline.group_shards import AnalysisShards
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions
from lmmgwas.pipeline.parts import Part, differences, is_done, require_free_part
from lmmgwas.report.manifest import describe_software

_FORMAT = 1
WHO_AND_WHERE = {"part", "nulls", "save_nulls", "nulls_of", "scheduler", "workers"}
"""Arguments that say who computes what, and nothing of the results."""

_WITHOUT_EFFECT = {
    *("out", "plots", "report", "regions", "region_window", "genes", "tmpdir", "memory", "strict"),
    *("quiet", "verbose", "debug", "resume", "overwrite", "break_lock"),
    *WHO_AND_WHERE,
}


def refuse_unfinished(workspace: Workspace, run: RunOptions) -> None:
    """Raise OutputExistsError (E115) where finished steps would be thrown away unasked."""
    if run.resume or run.overwrite or not workspace.is_worth_keeping():
        return
    raise OutputExistsError(
        "E115",
        f"{workspace.folder} holds the finished steps of a run that was interrupted: go on with "
        "--resume, or say --overwrite to begin anew",
    )


class Journal:
    """The finished steps of one study: a folder to write to, and others to read from."""

    def __init__(
        self, folder: Path, key: str, facts: dict[str, Any], others: tuple[Path, ...] = ()
    ) -> None:
        self.folder = folder
        self.key = key
        self.facts = facts
        self._others = others

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Every input with its checksum."""
        found: list[dict[str, Any]] = self.facts["inputs"]
        return found

    @classmethod
    def begin(
        cls,
        workspace: Workspace,
        outputs: OutputSet,
        run: RunOptions,
        inputs: list[dict[str, Any]],
        log: Logbook,
    ) -> "Journal | None":
        """Open the journal of an interrupted run of the same study, or begin one.

        `inputs` describes every input with its checksum. Returns None where --resume finds that
        the study, or the part, is complete.

        Raises MismatchError (E116) where the interrupted run was another study, and
        OutputExistsError (E113) where another complete one lies there.
        """
        facts = study_facts(run, inputs)
        key = digest(facts)
        path = workspace.study / "journal.json"
        if run.resume and path.exists():
            kept = _read(path)
            _require_same(kept["facts"], facts, workspace)
            outputs.overwrite |= bool(kept["overwrite"])
            workspace.owns_study = True
            log.say(f"Going on with the run whose finished steps are in {workspace.study}")
            return cls(workspace.study, key, facts)
        if run.resume and not run.overwrite:
            if _is_complete(run, key):
                log.say(f"It is complete already: {_last_file(run)}")
                workspace.owns_study = True  # what a kill left while it was being removed
                return None
            outputs.require_free_of_others()
            if run.is_part:
                require_free_part(replace(run, resume=False))
            log.say("--resume finds no interrupted run under this name: it begins")
        _begin(workspace, facts, overwrite=outputs.overwrite)
        return cls(workspace.study, key, facts)

    @classmethod
    def of_parts(
        cls,
        workspace: Workspace,
        run: RunOptions,
        inputs: list[dict[str, Any]],
        parts: Sequence[Part],
    ) -> "Journal":
        """Return the journal of a study whose steps were finished in parts.

        Raises MismatchError (E116) where inputs or versions are not those of the parts. The
        processor may be another one: nothing is computed any more.
        """
        facts = {**study_facts(run, inputs), "blas": parts[0].facts.get("blas")}
        if digest(facts) != parts[0].key:
            what = differences(parts[0].facts, facts)
            raise MismatchError(
                "E116",
                f"the parts of {parts[0].folder.parent} are not of the study as it is now: {what}; "
                "bring the inputs back, or run the parts again",
            )
        _begin(workspace, facts, overwrite=run.overwrite)
        return cls(workspace.study, parts[0].key, facts, tuple(part.folder for part in parts))

    def scratch(self, run: RunOptions, what: str) -> Path:
        """Return the name of a large temporary folder: the study's own, or in --tmpdir.

        The next run of the same study finds it there, whether to use it or to remove it.
        """
        if run.tmpdir is None:
            return self.folder / what
        where = zlib.crc32(os.fsencode(run.out.absolute()))
        return run.tmpdir / f".{run.out.name}.{self.key[:16]}.{where:08x}.{what}"

    def analysis(
        self, number: int, chromosomes: tuple[Chromosome, ...], log: Logbook
    ) -> AnalysisShards:
        """Return the shards of an analysis, those that are there verified."""
        folders = (self.folder, *self._others)
        shards = AnalysisShards(folders, number, self.key, chromosomes)
        shards.review(log)
        return shards


def _begin(workspace: Workspace, facts: dict[str, Any], *, overwrite: bool) -> None:
    """Begin an empty journal."""
    remove_tree(workspace.study)
    workspace.study.mkdir(mode=0o700)
    workspace.owns_study = True
    content = json.dumps({"facts": facts, "overwrite": overwrite}, indent=1)
    write_whole(workspace.study / "journal.json", content.encode())


def _read(path: Path) -> dict[str, Any]:
    """Return a journal that is there. Raises MismatchError (E116) where it says nothing."""
    try:
        kept: dict[str, Any] = json.loads(path.read_bytes())
        _ = kept["facts"], kept["overwrite"]
    except (ValueError, KeyError, TypeError) as error:
        raise MismatchError(
            "E116",
            f"{path} is damaged: it does not say which study the finished steps belong to; begin "
            "anew with --overwrite, without --resume",
        ) from error
    return kept


def study_facts(run: RunOptions, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all that results depend on, as JSON has it."""
    libraries = [
        {name: found.get(name) for name in ("library", "version", "kernels")}
        for found in blas_libraries()
    ]
    facts = {
        "format": _FORMAT,
        "software": describe_software(),
        "blas": libraries,
        "threads": run.threads,
        "options": {name: v for name, v in run.arguments if name not in _WITHOUT_EFFECT},
        "inputs": inputs,
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain


def digest(facts: dict[str, Any]) -> str:
    """Return the key of a study."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _require_same(kept: dict[str, Any], now: dict[str, Any], workspace: Workspace) -> None:
    what = differences(kept, now)
    if what:
        raise MismatchError(
            "E116",
            f"the run in {workspace.folder} cannot be resumed, its results would not be of one "
            f"piece: {what}; give the same inputs and options, or say --overwrite without --resume",
        )


def _last_file(run: RunOptions) -> Path:
    return run.out if run.is_part else run.path(".run.json")


def _is_complete(run: RunOptions, key: str) -> bool:
    """Whether the results under the prefix are those of this study, whole."""
    if run.is_part:
        return is_done(run, key)
    try:
        found = json.loads(run.path(".run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("study") == key and bool(found.get("complete"))

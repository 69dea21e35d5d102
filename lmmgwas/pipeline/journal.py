"""What lets a study go on after a kill: its key, and the steps that are finished.

The key is a digest of all that results depend on: the content of every input, the options, the
versions of the program and its libraries, BLAS's kernels, the threads. A study is resumed only
under the very same key; what differs is named.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from lmmgwas.errors import MismatchError, OutputExistsError
from lmmgwas.io.atomic import OutputSet, write_whole
from lmmgwas.io.workspace import Workspace
from lmmgwas.model.chromosomes import Chromosome
from lmmgwas.numerics.threads import blas_libraries
from lmmgwas.pipeline.group_shards import AnalysisShards
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions
from lmmgwas.report.manifest import describe_software

_FORMAT = 1
_WITHOUT_EFFECT = {
    *("out", "plots", "tmpdir", "memory"),
    *("quiet", "verbose", "debug", "resume", "overwrite", "break_lock"),
}
_SHOWN = 5


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
    """The finished steps of one study."""

    def __init__(self, folder: Path, key: str, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.key = key
        self.inputs: list[dict[str, Any]] = facts["inputs"]

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
        the study is complete.

        Raises MismatchError (E116) where the interrupted run was another study, and
        OutputExistsError (E113) where another complete one lies there.
        """
        facts = {"format": _FORMAT, **_facts(run, inputs)}
        key = _digest(facts)
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
                log.say(f"The study is complete already: {run.path('.run.json')}")
                workspace.owns_study = True  # what a kill left while it was being removed
                return None
            outputs.require_free_of_others()
            log.say("--resume finds no interrupted run under this name: it begins")
        _begin(workspace, facts, overwrite=outputs.overwrite)
        return cls(workspace.study, key, facts)

    def scratch(self, run: RunOptions, what: str) -> Path:
        """Return the name of a large temporary folder: the study's own, or in --tmpdir.

        The next run of the same study finds it there, whether to use it or to remove it.
        """
        if run.tmpdir is None:
            return self.folder / what
        return run.tmpdir / f".{run.out.name}.{self.key[:16]}.{what}"

    def analysis(
        self, number: int, chromosomes: tuple[Chromosome, ...], n_groups: int, log: Logbook
    ) -> AnalysisShards:
        """Return the shards of an analysis, those that are there verified."""
        shards = AnalysisShards(self.folder, number, self.key, chromosomes)
        finished = shards.review(n_groups, log)
        if finished:
            log.say(f"Resumed: {finished} of {n_groups} groups are finished")
        return shards


def _begin(workspace: Workspace, facts: dict[str, Any], *, overwrite: bool) -> None:
    """Begin an empty journal."""
    shutil.rmtree(workspace.study, ignore_errors=True)
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


def _facts(run: RunOptions, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """All that results depend on, as JSON has it."""
    libraries = [
        {name: found.get(name) for name in ("library", "version", "kernels")}
        for found in blas_libraries()
    ]
    facts = {
        "software": describe_software(),
        "blas": libraries,
        "threads": run.threads,
        "options": {name: v for name, v in run.arguments if name not in _WITHOUT_EFFECT},
        "inputs": inputs,
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _require_same(kept: dict[str, Any], now: dict[str, Any], workspace: Workspace) -> None:
    before, after = _leaves(kept), _leaves(now)
    names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
    if not names:
        return
    shown = "; ".join(f"{n} was {before.get(n)}, is {after.get(n)}" for n in names[:_SHOWN])
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    raise MismatchError(
        "E116",
        f"the run in {workspace.folder} cannot be resumed, its results would not be of one piece: "
        f"{shown}{more}; give the same inputs and options, or say --overwrite without --resume",
    )


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """The values of nested JSON by a readable path: of an input, its name instead of a number."""
    if isinstance(value, dict):
        parts = [_leaves(v, f"{name} {k}".strip()) for k, v in value.items() if k != "path"]
    elif isinstance(value, list):
        parts = [
            _leaves(v, f"{name} {v['path'] if isinstance(v, dict) and 'path' in v else k}")
            for k, v in enumerate(value)
        ]
    else:
        return {name: value}
    return {key: leaf for part in parts for key, leaf in part.items()}


def _is_complete(run: RunOptions, key: str) -> bool:
    """Whether the results under the prefix are those of this study, whole."""
    try:
        found = json.loads(run.path(".run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("study") == key and bool(found.get("complete"))

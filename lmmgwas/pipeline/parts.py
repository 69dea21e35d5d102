"""Parts of a run on disk: a folder for each, which appears whole, and how they are found again.

    PREFIX.part-3-of-7/        of `assoc`: shards, and part.json
    PREFIX.grm-part-3-of-7/    of `grm`

part.json says which study the part belongs to, how it was asked for, and what it was warned of.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmmgwas.errors import MismatchError, OutputExistsError, UsageError
from lmmgwas.io.atomic import write_whole
from lmmgwas.io.text import access_error
from lmmgwas.io.writing import flush, remove_tree, rename_folder
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions, Share
from lmmgwas.report.manifest import describe_software

_FORMAT = 1
_NAME = "part.json"
_FOLDER = re.compile(r"(?P<grm>grm-)?part-(?P<part>[0-9]+)-of-(?P<n_parts>[0-9]+)")
_SHOWN = 10

KINDS = ("grm", "assoc")


@dataclass(frozen=True, slots=True)
class Said:
    """What a run was warned of, and noted, before its scan."""

    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def so_far(cls, log: Logbook) -> "Said":
        """Return what was said until now."""
        return cls(tuple(log.warnings), tuple(log.notes))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part that is complete."""

    folder: Path
    kind: str  # grm or assoc
    share: Share
    key: str
    facts: dict[str, Any]
    given: dict[str, Any]  # arguments of the command
    given_from: dict[str, str]  # where those were set that were not typed
    said: Said


def seal_part(
    run: RunOptions,
    folder: Path,
    kind: str,
    study: tuple[str, dict[str, Any]],
    said: Said,
    *,
    overwrite: bool,
) -> None:
    """Write part.json into a folder of shards, and give the folder its name.

    `folder` lies on the file system of the output; `study` is its key and its facts. Raises
    FileAccessError.
    """
    if run.share is None:
        raise ValueError("not a part")
    content = {
        "format": _FORMAT,
        "kind": kind,
        "part": run.share.part,
        "n_parts": run.share.n_parts,
        "key": study[0],
        "facts": study[1],
        "given": dict(run.arguments),
        "given_from": dict(run.origins),
        "warnings": said.warnings,
        "notes": said.notes,
    }
    write_whole(folder / _NAME, json.dumps(content, indent=1).encode())
    for stray in (*folder.glob(".*.tmp"), folder / "grm.json"):
        stray.unlink(missing_ok=True)
    if overwrite and run.out.is_dir():
        remove_tree(run.out)
    flush(folder)
    rename_folder(folder, run.out)
    (run.out / "journal.json").unlink(missing_ok=True)
    flush(run.out.parent)


def require_free_part(run: RunOptions) -> None:
    """Raise OutputExistsError (E113) where the part's folder is there already."""
    if run.out.is_symlink() or (run.out.exists() and not run.out.is_dir()):
        raise OutputExistsError("E113", f"{run.out} is no folder of a part: move it away")
    if run.out.exists() and not run.overwrite and not run.resume:
        raise OutputExistsError(
            "E113",
            f"{run.out} exists already and would be replaced: the part is done (lmmgwas merge puts "
            "parts together); say --overwrite to do it again",
        )


def is_done(run: RunOptions, key: str) -> bool:
    """Whether --resume finds this very part complete."""
    if not run.resume or not run.out.is_dir():
        return False
    try:
        part = _read(run.out)
    except MismatchError:
        return False
    return part.key == key and part.share == run.share


def find_parts(out: Path, kind: str | None) -> list[Part]:
    """Return the parts of a prefix, 1 to N, of one kind.

    Raises UsageError (E008) where there are parts of both kinds and none was chosen,
    MismatchError: E123 where none is there, some are missing, or they are of several divisions,
    E116 where they are of different studies.
    """
    folders: dict[str, dict[int, dict[int, Path]]] = {}
    try:
        found = sorted(path for path in out.parent.iterdir() if path.is_dir())
    except OSError as error:
        raise access_error(out.parent, error) from error
    for path in found:
        if not path.name.startswith(f"{out.name}."):
            continue
        match = _FOLDER.fullmatch(path.name.removeprefix(f"{out.name}."))
        if match is not None:
            own = folders.setdefault("grm" if match["grm"] else "assoc", {})
            own.setdefault(int(match["n_parts"]), {})[int(match["part"])] = path
    chosen = _chosen_kind(out, kind, set(folders))
    parts = [_read(path) for path in _complete(out, folders[chosen])]
    _require_one_study(parts)
    return parts


def _chosen_kind(out: Path, kind: str | None, there: set[str]) -> str:
    wanted = there if kind is None else there & {kind}
    if not wanted:
        suffixes = {"grm": "grm-part", "assoc": "part"}
        names = [f"{out}.{suffixes[k]}-1-of-N" for k in KINDS if kind in (None, k)]
        raise MismatchError(
            "E123",
            f"no parts are there: {' or '.join(names)} would be the first; give --out as the "
            "commands with --part had it, in the same folder",
        )
    if len(wanted) > 1:
        raise UsageError(
            "E008",
            f"{out} has parts of a GRM and of a study: say --what grm or --what assoc",
        )
    return wanted.pop()


def _complete(out: Path, divisions: dict[int, dict[int, Path]]) -> list[Path]:
    """The folders of the one division that is there, in order."""
    if len(divisions) > 1:
        counts = ", ".join(
            f"{len(parts)} of {n_parts} parts" for n_parts, parts in sorted(divisions.items())
        )
        raise MismatchError(
            "E123",
            f"{out} was divided in several ways ({counts}): remove the folders of all but one",
        )
    ((n_parts, parts),) = divisions.items()
    missing = [part for part in range(1, n_parts + 1) if part not in parts]
    if missing:
        shown = ", ".join(map(str, missing[:_SHOWN]))
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise MismatchError(
            "E123",
            f"{len(missing)} of {n_parts} parts of {out} are missing: {shown}{more}; run them "
            f"(--part {missing[0]}/{n_parts}), then merge again",
        )
    return [parts[part] for part in range(1, n_parts + 1)]


def _read(folder: Path) -> Part:
    """Read part.json. Raises MismatchError (E123), FileAccessError."""
    path = folder / _NAME
    try:
        found = json.loads(path.read_bytes())
        share = Share(int(found["part"]), int(found["n_parts"]))
        if found["format"] != _FORMAT or found["kind"] not in KINDS:
            raise ValueError("of another version")
        part = Part(
            folder,
            found["kind"],
            share,
            str(found["key"]),
            dict(found["facts"]),
            dict(found["given"]),
            dict(found["given_from"]),
            Said(tuple(found["warnings"]), tuple(found["notes"])),
        )
    except FileNotFoundError as error:
        raise MismatchError("E123", f"{folder} is no part: it has no {_NAME}") from error
    except OSError as error:
        raise access_error(path, error) from error
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise MismatchError("E123", f"{path} is damaged ({error}): run the part again") from error
    prefix = "grm-" if part.kind == "grm" else ""
    if not folder.name.endswith(f".{prefix}{share.name}"):
        raise MismatchError(
            "E123",
            f"{folder} holds part {share.part} of {share.n_parts}: was the folder renamed? A part "
            "would count twice",
        )
    return part


def _require_one_study(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.key != first.key:
            what = differences(first.facts, part.facts)
            raise MismatchError(
                "E116",
                f"{part.folder} and {first.folder} are of different studies: {what}; run the odd "
                "one again with the options of the others",
            )


def require_software(part: Part) -> None:
    """Raise MismatchError (E116) where a part was made by other versions than these."""
    now = json.loads(json.dumps(describe_software()))
    if part.facts.get("software") != now:
        what = differences({"software": part.facts.get("software")}, {"software": now})
        raise MismatchError(
            "E116",
            f"{part.folder} was made by other versions: {what}; merge with those, or run the parts "
            "again",
        )


def differences(before: dict[str, Any], after: dict[str, Any], *, most: int = 5) -> str:
    """Return what differs between the facts of two studies, in words."""
    old, new = _leaves(before), _leaves(after)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    shown = "; ".join(f"{name} was {old.get(name)}, is {new.get(name)}" for name in names[:most])
    return shown + (f"; and {len(names) - most} more" if len(names) > most else "")


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


def repeat(said: Said, log: Logbook) -> None:
    """Say again what a part was warned of, and this run was not."""
    for text in said.warnings:
        log.repeat(text)
    log.notes.extend(note for note in said.notes if note not in log.notes)

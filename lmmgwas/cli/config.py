"""Options from a file: `--config run.toml`.

    threads = 8                        # for every command that has the option
    pheno-name = ["height", "ldl"]     # or pheno_name = "height,ldl"

    [assoc]                            # for this command only; `check` reads it, too
    bfile = "study"
    no-loco = true

Paths are relative to the working directory, as on the command line. A key that is no option of
any command is an error, and so is a table that is no command; what another command has is passed
over. (`grm` is both: an option at the top, a command as a table. Where both are wanted the option
goes into [assoc].)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lmmgwas.cli.names import NOT_SET_ELSEWHERE, commands_of, options_of, suggest
from lmmgwas.errors import FileAccessError, FormatError, Problem, UsageError

_LARGEST = 1 << 20  # bytes: what is larger is another file
_ALSO_OF = {"check": ("assoc",)}
"""Whose tables a command reads before its own."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of an option, as click takes it, and where it stands."""

    value: str | bool | list[str]
    where: str


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    content: dict[str, Any]

    def place(self, key: str, table: str = "") -> str:
        """`run.toml, line 3`, or the file alone where the line is not to be found."""
        wanted = re.compile(rf"""\s*(["']?){re.escape(key)}\1\s*[=.]""")
        header = re.compile(rf"""\s*\[\s*(["']?){re.escape(key)}\1\s*[].]""")
        inside = ""
        for number, line in enumerate(self.text.splitlines(), start=1):
            opened = re.match(r"""\s*\[\s*["']?([^]"'.]+)""", line)
            if not table and header.match(line):
                return f"{self.path}, line {number}"
            inside = opened[1].strip() if opened else inside
            if inside == table and wanted.match(line):
                return f"{self.path}, line {number}"
        return str(self.path)


def settings_of(path: Path, context: click.Context) -> dict[str, Setting]:
    """Return what a file sets for the command of a context, by the parameter's name.

    Raises FileAccessError (E110), FormatError (E024) where it is no TOML, UsageError: E025 for a
    name that is none, E026 for a value of another kind than the option takes.
    """
    file = _read(path)
    commands = commands_of(context)
    _require_names(file, commands)
    own = options_of(context.command)
    name = str(context.command.name)
    found: dict[str, Setting] = {}
    for table in ("", *_ALSO_OF.get(name, ()), name):
        content = file.content.get(table, {}) if table else file.content
        if not isinstance(content, dict):
            continue  # `grm = "..."`, the option, where [grm] would be the command
        for key, value in _values(content):
            option = own.get(_dashed(key))
            if option is not None:
                where = file.place(key, table)
                found[str(option.name)] = Setting(_converted(option, key, value, where), where)
    return found


def _values(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in content.items() if not isinstance(value, dict))


def _dashed(key: str) -> str:
    return key.replace("_", "-")


def _read(path: Path) -> _File:
    import tomllib

    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise FileAccessError(
            "E110", f"cannot read --config {path}: {error.strerror or error}; check the name"
        ) from error
    if len(data) > _LARGEST:
        raise FormatError(
            "E024", f"more than {_LARGEST:,} bytes: this is no file of options", str(path)
        )
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        return _File(path, text, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(
            "E024",
            f"not TOML: {error}. Write one option a line, names without dashes in front, texts in "
            'quotes: pheno = "traits.tsv"',
            str(path),
        ) from error


def _require_names(file: _File, commands: dict[str, click.Command]) -> None:
    """Every key must be an option, every table a command."""
    options = {name: options_of(command).keys() for name, command in commands.items()}
    everywhere = set().union(*options.values()) - set(NOT_SET_ELSEWHERE)
    problems: list[Problem] = []
    for key, value in file.content.items():
        if not isinstance(value, dict):
            problems += _unknown(file, key, "", everywhere, "no command has such an option")
        elif key not in commands:
            what = f"[{key}]: no such command{suggest(key, commands)}"
            problems.append(UsageError("E025", what, file.place(key)).problems[0])
        else:
            known = set(options[key]) - set(NOT_SET_ELSEWHERE)
            for inner in value:
                what = f"`lmmgwas {key}` has no such option"
                problems += _unknown(file, inner, key, known, what)
        problems += _twice(file, value if isinstance(value, dict) else {}, key)
    problems += _twice(file, dict(_values(file.content)), "")
    if problems:
        raise UsageError.of(problems)


def _unknown(file: _File, key: str, table: str, known: set[str], what: str) -> tuple[Problem, ...]:
    if _dashed(key) in known:
        return ()
    hint = suggest(key, known) or "; lmmgwas COMMAND --help lists the options"
    return UsageError("E025", f"{key}: {what}{hint}", file.place(key, table)).problems


def _twice(file: _File, content: dict[str, Any], table: str) -> list[Problem]:
    """An option that is spelled both ways in one table."""
    keys = [key for key in content if "_" in key and _dashed(key) in content]
    return [
        UsageError(
            "E025", f"{key} and {_dashed(key)} are one option: give it once", file.place(key, table)
        ).problems[0]
        for key in keys
    ]


def _converted(option: click.Option, key: str, value: Any, where: str) -> str | bool | list[str]:
    """The value as the command line would have it: text, or a boolean for a flag."""
    if option.is_flag:
        if isinstance(value, bool):
            return value
        raise UsageError("E026", f"{key} = {value!r}: it is on or off, give true or false", where)
    if isinstance(value, list):
        words = [_word(key, item, where) for item in value]
        if option.multiple:
            return words
        if "," in (option.metavar or "") or option.metavar == "LIST":
            apart = [word for word in words if "," in word]
            if not apart:
                return ",".join(words)
            raise UsageError("E026", f"{key}: {apart[0]!r} has a comma, which parts names", where)
        raise UsageError("E026", f"{key}: {len(words)} values where one is taken", where)
    return [_word(key, value, where)] if option.multiple else _word(key, value, where)


def _word(key: str, value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError("E026", f"{key}: {value!r} is neither a text nor a number", where)
    return str(value)

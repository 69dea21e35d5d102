"""What options and commands are called, and which name was probably meant."""

from collections.abc import Iterable

import click

from lmmgwas.cli.groups import long_name

PREFIX = "LMMGWAS_"
NOT_SET_ELSEWHERE = ("help", "config")
"""Options that a configuration file cannot hold."""

_SHOWN = 3
_ALIKE = 0.6  # of difflib's ratio, which is 1 for the same word
_SPREAD = 0.15  # below the best: what is much less alike was not meant


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command by their long names, without the dashes."""
    found = {long_name(p): p for p in command.params if isinstance(p, click.Option)}
    return {name: option for name, option in found.items() if name}


def commands_of(context: click.Context) -> dict[str, click.Command]:
    """Return all commands of the program that a context belongs to."""
    root = context.find_root()
    group = root.command
    if not isinstance(group, click.Group):
        return {str(group.name): group}
    found = {name: group.get_command(root, name) for name in group.list_commands(root)}
    return {name: command for name, command in found.items() if command is not None}


def variable_of(name: str) -> str:
    """Return LMMGWAS_PHENO_NAME of `pheno-name`."""
    return PREFIX + name.replace("-", "_").upper()


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `: did you mean A, or B?`, or nothing where no name is near."""
    shown = near(word, known)
    return f": did you mean {', or '.join(shown)}?" if shown else ""


def near(word: str, known: Iterable[str]) -> list[str]:
    """Return up to three names that `word` may stand for, the nearest first.

    Case, underscores and the number of dashes make no difference; a beginning counts as near.
    """
    from difflib import SequenceMatcher

    plain = {_plain(name): name for name in sorted(known, reverse=True)}
    wanted = _plain(word)
    if wanted in plain:
        return [plain[wanted]]
    begun = sorted((key for key in plain if wanted and key.startswith(wanted)), key=len)
    alike = {key: SequenceMatcher(None, key, wanted).ratio() for key in plain}
    least = max(_ALIKE, max(alike.values(), default=0.0) - _SPREAD)
    close = sorted((key for key in plain if alike[key] >= least), key=lambda key: -alike[key])
    found = list(dict.fromkeys([*close, *begun]))[:_SHOWN]
    return [plain[key] for key in found]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").lstrip("-")

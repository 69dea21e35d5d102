"""Options from environment variables: LMMGWAS_ and the option's name, as LMMGWAS_PHENO_NAME.

There is one rule and no variable for a single command (LMMGWAS_GRM_BFILE is `--grm-bfile`): what
holds for one command only belongs into a configuration file. A variable is passed over by
commands that lack the option; one that no command has is reported.
"""

import os

import click

from lmmgwas.cli.names import PREFIX, commands_of, near, options_of, variable_of


def strangers(context: click.Context) -> list[str]:
    """Return a sentence about each variable LMMGWAS_* that names no option of any command."""
    there = sorted(name for name in os.environ if name.startswith(PREFIX))
    if not there:
        return []
    options = (options_of(command) for command in commands_of(context).values())
    known = {name for names in options for name in names if name != "help"}
    variables = {variable_of(name) for name in known}
    return [_sentence(name, known) for name in there if name not in variables]


def _sentence(variable: str, known: set[str]) -> str:
    meant = [variable_of(name) for name in near(variable.removeprefix(PREFIX), known)]
    hint = f": did you mean {', or '.join(meant)}?" if meant else ""
    return f"the environment variable {variable} names no option and changes nothing{hint}"

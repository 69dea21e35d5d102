"""What the tests of `workflow/` share: where its files are, and what stands in them."""

import re
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
SNAKEMAKE = ROOT / "workflow" / "snakemake"
NEXTFLOW = ROOT / "workflow" / "nextflow"
WRAPPER = SNAKEMAKE / "wrapper" / "bio" / "lmmgwas" / "assoc"
MODULES = sorted((NEXTFLOW / "modules" / "local" / "lmmgwas").iterdir())

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_SCRIPT = re.compile(r'^    script:\n(.*?)\n    """\n(.*?)\n    """\n', re.DOTALL | re.MULTILINE)


def options_in(text: str) -> set[str]:
    """The long options that a text names."""
    return set(_OPTION.findall(text))


def options_of(command: str) -> set[str]:
    """The options that the help of a command of the program lists."""
    from lmmgwas.cli.main import cli

    context = click.Context(cli, info_name="lmmgwas")
    found = cli.get_command(context, command)
    if found is None:
        return set()
    return options_in(found.get_help(click.Context(found, info_name=command, parent=context)))


def rules_of(path: Path) -> dict[str, str]:
    """The text of each rule of a Snakemake file, by name."""
    pieces = re.split(r"^rule (\w+):\n", path.read_text(), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def process_script(module: Path) -> tuple[str, str]:
    """The definitions and the shell script of a module's process."""
    found = _SCRIPT.search((module / "main.nf").read_text())
    if found is None:
        raise ValueError(f"{module.name}: no script")
    return found[1], found[2]

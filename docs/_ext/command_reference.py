"""The reference of a command, written from what the command says of itself.

A page holds a directive, `{lmmgwas-command} assoc`, and nothing else need be written: usage,
options by group with their defaults, and examples are those of `lmmgwas assoc --help`. Whatever
groups a command makes of its options, they are the sections here, because the command is asked to
write its help, and what it writes is noted down.

`describe` and `examples_of` need no Sphinx; tests use them, too.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from lmmgwas.cli.main import cli
from lmmgwas.io.export_formats import FORMATS

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

COMMANDS = tuple(cli.list_commands(click.Context(cli)))
_WIDE = 10_000  # columns: nothing is wrapped
_NAME = re.compile(r"(?<![\w-])--?[A-Za-z0-9][A-Za-z0-9-]*")
_CODE = re.compile(r"`([^`]+)`|(?<![\w-])(--[a-z][a-z0-9-]*)")


@dataclass(frozen=True)
class Option:
    """An option as help shows it: `--bfile PREFIX`, and what it does."""

    signature: str
    text: str

    @property
    def names(self) -> list[str]:
        """`--help` and `-h` of `-h, --help`; metavars are no names."""
        return _NAME.findall(re.sub(r"\[.*?\]", "", self.signature))


@dataclass
class Group:
    """A section of the help: its title, words before the options, and the options."""

    title: str
    words: list[str]
    options: list[Option]


@dataclass(frozen=True)
class Description:
    """All that the help of a command says."""

    usage: str
    paragraphs: list[str]
    groups: list[Group]
    examples: list[str]


class _Notebook(click.HelpFormatter):
    """Notes down what help would print."""

    def __init__(self) -> None:
        super().__init__(width=_WIDE, max_width=_WIDE)
        self.groups: list[Group] = []

    def write_heading(self, heading: str) -> None:
        self.groups.append(Group(heading, [], []))

    def write_text(self, text: str) -> None:
        self._group().words.append(text)

    def write_dl(self, rows: Sequence[tuple[str, str]], *_: Any, **__: Any) -> None:
        self._group().options += [Option(first, second) for first, second in rows]

    def _group(self) -> Group:
        if not self.groups:
            self.write_heading("Options")
        return self.groups[-1]


def command_of(name: str) -> tuple[click.Command, click.Context]:
    """Return a command and a context to ask it in; "" is `lmmgwas` itself."""
    top = click.Context(cli, info_name="lmmgwas", **cli.context_settings)
    if not name:
        return cli, top
    command = cli.get_command(top, name)
    if command is None:
        raise ValueError(f"lmmgwas has no command {name!r}")
    return command, click.Context(command, info_name=name, parent=top)


def summary_of(name: str) -> str:
    """Return the first sentence of a command's help, as man pages have it."""
    command, _ = command_of(name)
    first = (command.help or "").strip().split("\n\n")[0]
    return re.sub(r"\s+", " ", first).replace("`", "").rstrip(".")


def describe(name: str) -> Description:
    """Return what the help of a command says."""
    command, context = command_of(name)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = (command.help or "").replace("\b", "")
    paragraphs = [re.sub(r"\s+", " ", part).strip() for part in text.split("\n\n")]
    notebook = _Notebook()
    command.format_options(context, notebook)
    commands_title = "Commands"
    groups = [group for group in notebook.groups if group.title != commands_title]
    return Description(usage, [p for p in paragraphs if p], groups, list(examples_of(command)))


def examples_of(command: click.Command) -> Iterator[str]:
    """Yield the command lines of a command's epilog."""
    for line in (command.epilog or "").splitlines():
        if re.match(r"\s*([A-Z_]+=\S+ )*lmmgwas ", line):
            yield line.strip()


def formats_table() -> str:
    """Return what `convert` writes as a table in Markdown: option, program, whose effect."""
    rows = [
        f"| `{target.name}` | [{target.title}]({target.source}) | {target.effect_rule} |"
        for target in FORMATS.values()
    ]
    return "\n".join(["| `--to` | for | whose effect |", "|---|---|---|", *rows, ""])


# --- what Sphinx sees -----------------------------------------------------------------------------


def _rich(text: str) -> "list[nodes.Node]":
    """Words, with `code` and --options as literals."""
    from docutils import nodes

    found: list[nodes.Node] = []
    end = 0
    for match in _CODE.finditer(text):
        found.append(nodes.Text(text[end : match.start()]))
        code = match[1] or match[2]
        found.append(nodes.literal(code, code))
        end = match.end()
    return [*found, nodes.Text(text[end:])]


def _paragraph(text: str) -> "nodes.paragraph":
    from docutils import nodes

    return nodes.paragraph("", "", *_rich(text))


def _literal(lines: Sequence[str], language: str) -> "nodes.literal_block":
    from docutils import nodes

    text = "\n".join(lines)
    block = nodes.literal_block(text, text)
    block["language"] = language
    return block


def setup(app: "Sphinx") -> dict[str, Any]:
    """Register the directive."""
    from docutils import nodes
    from sphinx import addnodes
    from sphinx.util.docutils import SphinxDirective

    class CommandDirective(SphinxDirective):
        """`{lmmgwas-command} NAME`; without a name `lmmgwas` itself."""

        optional_arguments = 1

        def run(self) -> list[nodes.Node]:
            name = self.arguments[0] if self.arguments else ""
            said = describe(name)
            self.env.ref_context["std:program"] = f"lmmgwas {name}".strip()
            found: list[nodes.Node] = [_paragraph(text) for text in said.paragraphs]
            found.append(self._section("Synopsis", [_literal([said.usage], "none")]))
            for group in said.groups:
                inside: list[nodes.Node] = [_paragraph(text) for text in group.words]
                for option in group.options:
                    inside += self._option(option)
                found.append(self._section(group.title, inside))
            if said.examples:
                found.append(self._section("Examples", [_literal(said.examples, "bash")]))
            return found

        def _section(self, title: str, inside: "list[nodes.Node]") -> nodes.section:
            section = nodes.section("", nodes.title(title, title), *inside)
            section["names"].append(nodes.fully_normalize_name(title))
            self.state.document.note_implicit_target(section, section)
            return section

        def _option(self, option: Option) -> list[nodes.Node]:
            """The node of Sphinx's own `option` directive, with the help as its content."""
            forms = option.signature.replace(" / ", ", ")  # as Sphinx parts names
            made = self.parse_text_to_nodes(f"```{{option}} {forms}\n```\n")
            content = _paragraph(option.text)
            for desc in made:
                if isinstance(desc, addnodes.desc):
                    desc.children[-1].append(content)
            return made

    class FormatsDirective(SphinxDirective):
        """`{lmmgwas-formats}`: what `convert` writes, from where the program has it."""

        def run(self) -> list[nodes.Node]:
            return self.parse_text_to_nodes(formats_table())

    app.add_directive("lmmgwas-command", CommandDirective)
    app.add_directive("lmmgwas-formats", FormatsDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""What all commands have in common: grouped help, a configuration file, environment variables,
and an answer to a mistyped command line.

    command line > environment variable > configuration file > default
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from lmmgwas.cli.config import Setting, settings_of
from lmmgwas.cli.environment import strangers
from lmmgwas.cli.groups import grouped, long_name
from lmmgwas.cli.layout import Context, write_epilog
from lmmgwas.cli.names import commands_of, options_of, suggest, variable_of
from lmmgwas.errors import UsageError

_CONFIG = "lmmgwas.cli.config"  # keys of click's Context.meta
_DOUBTS = "lmmgwas.cli.doubts"
_PATHS = {"FILE": "file", "PREFIX": "file", "TABLE": "file", "DIR": "dir"}
"""What a shell completes where help shows this metavar."""

STATED = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
"""Sources of a value that somebody gave."""


class Command(click.Command):
    """A command of ours. Its epilog holds at least two examples, each a line of its own."""

    context_class = Context

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_config_option())
        for parameter in self.params:
            _complete_paths(parameter)
            if isinstance(parameter, click.Option) and parameter.envvar is None:
                parameter.envvar = variable_of(long_name(parameter))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        for title, options in grouped(self.get_params(ctx)):
            records = [option.get_help_record(ctx) for option in options]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_epilog(formatter, self.epilog or "")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line. Raises UsageError (E021, E022, E023) where it is wrong."""
        typed = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _explained(error, ctx, typed) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with `debug` noted for whoever reports its failure."""
        if isinstance(ctx.obj, dict) and ctx.params.get("debug"):
            ctx.obj["debug"] = True
        ctx.meta[_DOUBTS] = strangers(ctx)
        try:
            return super().invoke(ctx)
        finally:
            for text in doubts():
                click.echo(f"Warning [W021]: {text}", err=True)


def doubts() -> Iterator[str]:
    """Yield what is doubtful about how the command was called (W021), each once."""
    context = click.get_current_context(silent=True)
    waiting = context.meta.get(_DOUBTS, []) if context is not None else []
    while waiting:
        yield waiting.pop(0)


def is_typed(name: str) -> bool:
    """Whether the command line itself sets a parameter."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def origins() -> tuple[tuple[str, str], ...]:
    """Return (parameter, where it was set) of all that the command line does not set."""
    context = click.get_current_context(silent=True)
    if context is None:
        return ()
    found = []
    for parameter in context.command.params:
        name = str(parameter.name)
        where = _origin(parameter, context)
        if where and parameter.expose_value:
            found.append((name, where))
    return tuple(sorted(found))


def _origin(parameter: click.Parameter, context: click.Context) -> str:
    """Where a value comes from, unless that is the command line or the default."""
    source = context.get_parameter_source(str(parameter.name))
    if source is ParameterSource.ENVIRONMENT:
        return f"environment variable {parameter.envvar}"
    if source is ParameterSource.DEFAULT_MAP:
        settings: dict[str, Setting] = context.meta.get(_CONFIG, {})
        setting = settings.get(str(parameter.name))
        return "" if setting is None else setting.where
    return ""


def _config_option() -> click.Option:
    return click.Option(
        ["--config"],
        metavar="FILE",
        is_eager=True,  # before the options that it sets
        expose_value=False,
        callback=_load,
        help="Options from a TOML file: names without dashes, for one command under [assoc]. "
        "Variables such as LMMGWAS_THREADS go before the file, the command line before both.",
    )


def _load(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None or context.resilient_parsing:
        return
    settings = settings_of(Path(value), context)
    context.meta[_CONFIG] = settings
    context.default_map = {name: setting.value for name, setting in settings.items()}


def _complete_paths(parameter: click.Parameter) -> None:
    """Let shells complete names of files, by what help shows in place of the value."""
    kind = _PATHS.get(str(parameter.metavar))
    if kind is None:
        return

    def complete(context: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type=kind)]

    parameter._custom_shell_complete = complete  # as the argument `shell_complete` does


def _explained(error: click.UsageError, context: click.Context, typed: Sequence[str]) -> UsageError:
    """Return click's finding with what was probably meant, and where to look."""
    look = f"see {context.command_path} --help"
    if isinstance(error, click.NoSuchOption):
        return UsageError("E021", f"{_no_such_option(error, context, typed)} ({look})")
    if isinstance(error, click.MissingParameter):
        names = " and ".join(_missing(context, typed)) or str(error.param_hint)
        return UsageError("E023", f"{names} must be given ({look})")
    if isinstance(error, click.BadParameter) and error.param is not None:
        return UsageError("E022", f"{_bad_value(error, error.param, context)} ({look})")
    return UsageError("E023", f"{error.format_message().rstrip('.')} ({look})")


def _no_such_option(error: click.NoSuchOption, context: click.Context, typed: Sequence[str]) -> str:
    """With the nearest options of this command, or the commands that have the option."""
    name = error.option_name
    if not name.startswith("--"):  # click takes -bfile for -b: look at what was typed
        name = next((word for word in typed if word.startswith(name)), name).split("=")[0]
    known = {f"--{own}" for own in options_of(context.command)} | {"--help"}
    hint = suggest(name, known)
    if not hint:
        others = commands_of(context).items()
        having = [there for there, command in others if name.lstrip("-") in options_of(command)]
        hint = f"; {' and '.join(having)} would take it" if having else ""
    return f"no such option {name}{hint}"


def _missing(context: click.Context, typed: Sequence[str]) -> list[str]:
    """What is required and given nowhere."""
    given = {word.split("=")[0] for word in typed}
    settings: dict[str, Setting] = context.meta.get(_CONFIG, {})
    return [
        parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.metavar)
        for parameter in context.command.params
        if parameter.required
        and not given & set(parameter.opts)
        and parameter.name not in settings
        and context.params.get(str(parameter.name)) is None
        and not parameter.resolve_envvar_value(context)
    ]


def _bad_value(
    error: click.BadParameter, parameter: click.Parameter, context: click.Context
) -> str:
    """With the nearest choice, and where the value was set."""
    what = parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.metavar)
    message = error.message.rstrip(".")
    if isinstance(parameter.type, click.Choice):
        value = re.match(r"'(.*)' is not one of", message, re.DOTALL)
        message += suggest(value[1], parameter.type.choices) if value else ""
    where = _origin(parameter, context)
    return f"{what}: {message}" + (f" (from {where})" if where else "")

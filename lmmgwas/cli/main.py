"""The command `lmmgwas`: its subcommands, and the one place where errors become exit codes."""

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from lmmgwas import __version__, stop
from lmmgwas.cli.completion import VARIABLE
from lmmgwas.cli.layout import Context, write_epilog
from lmmgwas.cli.names import commands_of, options_of, suggest
from lmmgwas.cli.streams import guard_streams
from lmmgwas.cli.watch import EXIT_CODES, describe
from lmmgwas.errors import LmmgwasError, UsageError, escape_control
from lmmgwas.io.writing import remedy
from lmmgwas.numerics.processor import prepare_blas

_COMMANDS = (
    "assoc",
    "check",
    "grm",
    "merge",
    "plot",
    "convert",
    "example",
    "selftest",
    "completion",
)

_EPILOG = """
\b
First steps:
  lmmgwas example study
  lmmgwas assoc --bfile study/study --pheno study/pheno.tsv --covar study/covar.tsv --out first
"""


class _LazyGroup(click.Group):
    """Loads a command's module when it is asked for."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"lmmgwas.cli.{cmd_name}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what stands before the command. Raises UsageError (E021)."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            having = [
                there
                for there, command in commands_of(ctx).items()
                if name.lstrip("-") in options_of(command)
            ]
            hint = suggest(name, ("--help", "--version"))
            if having:
                hint = f": options stand behind the command: lmmgwas {having[0]} {name} ..."
            raise UsageError("E021", f"no such option {name}{hint}") from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for. Raises UsageError (E021)."""
        if ctx.resilient_parsing or args[0] in _COMMANDS:
            return super().resolve_command(ctx, args)
        hint = suggest(args[0], _COMMANDS) or f"; there are {', '.join(_COMMANDS)}"
        raise UsageError("E021", f"no such command {args[0]!r}{hint}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with the first sentence of its help."""
        commands = commands_of(ctx).items()
        rows = [(name, (command.help or "").split("\n\n")[0]) for name, command in commands]
        with formatter.section("Commands"):
            formatter.write_dl([(name, " ".join(text.split())) for name, text in rows])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first steps."""
        write_epilog(formatter, self.epilog or "")


@click.group(
    cls=_LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="lmmgwas")
def cli() -> None:
    """Exact mixed-model association for genome-wide data, leaving one chromosome out."""


def main() -> NoReturn:
    """Run the command line and leave with the exit code of the interface."""
    guard_streams()
    prepare_blas()
    stop.clear()
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, _interrupt)
    usual_hook, sys.unraisablehook = sys.unraisablehook, _ignore_dropped_exit
    try:
        sys.exit(_run({"debug": "--debug" in sys.argv[1:]}))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    finally:
        sys.unraisablehook = usual_hook


def _ignore_dropped_exit(dropped: "sys.UnraisableHookArgs") -> None:
    """Where Python drops the exit of `_terminate`, `stop` has noted it: nothing to print."""
    if not isinstance(dropped.exc_value, SystemExit):
        sys.__unraisablehook__(dropped)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM unwinds the run, so that its temporary files go."""
    stop.request(143)
    sys.exit(143)


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """SIGINT likewise."""
    stop.request(130)
    raise KeyboardInterrupt


def _run(state: dict[str, bool]) -> int:
    """Run the command; return its exit code. A command that is asked to debug notes it."""
    try:
        cli.main(standalone_mode=False, obj=state, complete_var=VARIABLE)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:  # a call without a command: its help
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # click takes that for an interruption
            return _say(*_explain(error.__cause__))
        return _say(f"[E130] {describe(130)}", 130)
    except SystemExit as leave:
        return _left(leave)
    except BrokenPipeError:
        raise
    except Exception as error:
        if state["debug"]:
            raise
        return _say(*_explain(error))
    return 0


def _left(leave: SystemExit) -> int:
    """Return the exit code of what left by itself: a signal, or click without a reader of help."""
    if leave.code == EXIT_CODES[signal.SIGTERM]:
        return _say(f"[E143] {describe(143)}", 143)
    if leave.code == 1 and "PacifyFlush" in type(sys.stdout).__name__:
        return 141
    raise leave


def _explain(error: Exception) -> tuple[str, int]:
    """Return the message and the exit code of a failure."""
    if isinstance(error, LmmgwasError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        return f"[E137] not enough memory ({error}): use fewer samples, or a larger machine", 137
    if isinstance(error, OSError):
        return f"[E112] reading or writing failed: {escape_control(str(error))}; {remedy(error)}", 7
    return (
        f"[E999] a bug of ours ({type(error).__name__}: {escape_control(str(error))}): no result "
        "was written; please report it with what the same command prints under --debug",
        70,
    )


def _say(message: str, code: int) -> int:
    for line in message.split("\n"):
        click.echo(f"Error {line}", err=True)
    return code

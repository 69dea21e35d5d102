"""`lmmgwas completion`: what a shell needs to complete commands, options, choices and files."""

import click

from lmmgwas.cli.command import Command

_EPILOG = """
\b
Examples:
  lmmgwas completion bash >> ~/.bashrc
  lmmgwas completion zsh >> ~/.zshrc
  lmmgwas completion fish >> ~/.config/fish/config.fish
"""

VARIABLE = "_LMMGWAS_COMPLETE"
"""Set by a shell's script when it asks for completions."""


@click.command("completion", cls=Command, epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
def command(shell: str) -> None:
    """Print the script that makes the Tab key complete this program's command lines."""
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if kind is None:
        raise ValueError(shell)
    # Not the class's own `source`: for bash it would start another program.
    click.echo(ShellComplete.source(kind(root, {}, "lmmgwas", VARIABLE)), nl=False)

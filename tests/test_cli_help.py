"""The help of every command: headings, units, defaults, examples, width; and how fast it comes."""

import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from conftest import RunCli

from lmmgwas.cli import groups, layout
from lmmgwas.cli.command import Command
from lmmgwas.cli.main import cli
from lmmgwas.cli.names import options_of, variable_of

ROOT = click.Context(cli, info_name="lmmgwas")
COMMANDS = cli.list_commands(ROOT)
EVERY = pytest.mark.parametrize("name", COMMANDS)
HEAVY = ("numpy", "scipy", "numba", "pandas", "matplotlib", "pyarrow", "pysam", "tomllib")
SECONDS = 0.2
"""Of the interface: `lmmgwas --help` answers within. Processor time, which others do not use up."""


def command_of(name: str) -> Command:
    command = cli.get_command(ROOT, name)
    assert isinstance(command, Command), f"{name} lacks cls=Command"
    return command


def context_of(name: str) -> click.Context:
    return layout.Context(command_of(name), info_name=name, parent=ROOT)


def help_of(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    return command_of(name).get_help(context_of(name)) + "\n"


@EVERY
def test_every_option_has_a_heading(name: str) -> None:
    context = context_of(name)
    found = dict(groups.grouped(command_of(name).get_params(context)))
    lost = [option.opts[0] for option in found.pop(groups.OTHER, [])]
    assert not lost, f"give {', '.join(lost)} a place in lmmgwas/cli/groups.py"
    assert groups.long_name(found["General"][-1]) == "help"


def test_no_name_stands_under_two_headings_or_is_gone() -> None:
    names = " ".join(groups._GROUPS.values()).split()
    assert len(names) == len(set(names))
    there = {option for name in COMMANDS for option in options_of(command_of(name))} | {"help"}
    assert set(names) <= there


@EVERY
@pytest.mark.parametrize("columns", [80, 40, 200])
def test_help_fits_the_terminal(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of(name, columns, monkeypatch)
    wide = [line for line in text.splitlines() if len(line) > columns]
    assert not [line for line in wide if " " in line.strip().removesuffix(" \\")], wide
    assert max(map(len, text.splitlines())) <= max(columns, 60)
    for option in options_of(command_of(name)):
        assert f"--{option}" in text


def test_a_narrow_terminal_has_one_column(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = help_of("assoc", 40, monkeypatch).splitlines()
    at = lines.index("  --maf FREQUENCY")
    assert re.fullmatch(r" {6}\S.*", lines[at + 1])


@EVERY
def test_numbers_have_a_unit_and_a_default(name: str) -> None:
    for option in options_of(command_of(name)).values():
        if isinstance(option.type, click.types.FloatParamType | click.types.IntParamType):
            assert option.metavar, f"{option.opts[0]}: say what the number counts (metavar)"
            shown = option.get_help_record(context_of(name))
            assert shown is not None
            assert "default:" in shown[1], f"{option.opts[0]}: say what it is when it is not given"


def examples_of(name: str) -> list[list[str]]:
    """The command lines of a command's examples, word by word, without variables and pipes."""
    found = []
    for example in layout.examples(command_of(name).epilog):
        for single in example.split(";"):
            words = shlex.split(re.split(r"[>|]", single)[0])
            found.append(words[1:] if "=" in words[0] else words)
    return found


@EVERY
def test_every_command_has_two_examples_that_are_right(name: str) -> None:
    found = examples_of(name)
    assert len([words for words in found if words[:2] == ["lmmgwas", name]]) >= 2
    for words in found:
        assert words[0] == "lmmgwas"
        command_of(words[1]).make_context(words[1], words[2:], parent=ROOT)


def test_long_examples_go_on_behind_a_backslash() -> None:
    example = "lmmgwas assoc --bfile study --pheno traits.tsv --covar covariates.tsv --out results"
    lines = layout.fitted(example, 60)
    assert [len(line) <= 60 for line in lines] == [True] * len(lines)
    assert len(lines) > 1
    script = "\n".join(lines)
    assert shlex.split(script.replace("\\\n", "")) == example.split()


def test_the_program_lists_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = cli.get_help(layout.Context(cli, info_name="lmmgwas"))
    assert re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE) == COMMANDS
    assert "First steps:" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_variable_stands_for_one_option_name() -> None:
    names = {option for name in COMMANDS for option in options_of(command_of(name))}
    assert len({variable_of(name) for name in names}) == len(names)
    for name in COMMANDS:
        for option, parameter in options_of(command_of(name)).items():
            assert parameter.envvar == variable_of(option)


def test_help_comes_at_once() -> None:
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "lmmgwas", "--help"], stdout=subprocess.DEVNULL, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if spent[-1] < SECONDS:
            return
    pytest.fail(f"lmmgwas --help took {min(spent):.2f} s of the processor")


@pytest.mark.parametrize("args", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=str)
def test_help_loads_no_library(args: list[str]) -> None:
    code = (
        "import sys, lmmgwas.cli.main as m\n"
        f"sys.argv = ['lmmgwas', *{args!r}]\n"
        "try: m.main()\n"
        "except SystemExit as left:\n"
        f"    print([n for n in {HEAVY!r} if n in sys.modules], left.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[] 0\n")


# --- Mistyped ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        ("asoc", "E021", "did you mean assoc?"),
        ("gwas", "E021", "there are assoc, check, grm"),
        ("--bfile x assoc", "E021", "options stand behind the command: lmmgwas assoc --bfile"),
        ("--verison", "E021", "did you mean --version?"),
        ("assoc --phenoname h", "E021", "no such option --phenoname: did you mean --pheno-name"),
        ("assoc --pheno_name h", "E021", "did you mean --pheno-name?"),
        ("assoc --PHENO h", "E021", "did you mean --pheno?"),
        ("assoc -bfile x", "E021", "no such option -bfile: did you mean --bfile?"),
        ("assoc -bfile=x", "E021", "no such option -bfile: did you mean --bfile?"),
        ("grm --maf 0.1 --bfile x --out y", "E021", "did you mean --grm-maf?"),
        ("grm --whitener x", "E021", "assoc and check would take it"),
        ("assoc --xyzzy", "E021", "no such option --xyzzy (see"),
        ("assoc --scan calibrate", "E022", "did you mean calibrated?"),
        ("assoc --test Wald", "E022", "did you mean wald?"),
        ("assoc --threads 0", "E022", "--threads: 0 is not in the range"),
        ("assoc --maf many", "E022", "--maf: 'many' is not a valid float"),
        ("assoc --bfile x", "E023", "--pheno and --out must be given"),
        ("plot", "E023", "--out must be given"),
        ("plot --out x", "E023", "TABLE must be given"),
        ("assoc --out", "E023", "requires an argument"),
        ("assoc --strict=yes", "E023", "does not take a value"),
        ("merge --out x y", "E023", "unexpected extra argument"),
    ],
)
def test_a_mistyped_line_gets_one_line_of_help(
    run_cli: RunCli, typed: str, code: str, words: str
) -> None:
    result = run_cli(*typed.split())
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error [{code}] ")
    assert words in line


def test_every_way_to_misspell_an_option_by_one_letter_finds_it(run_cli: RunCli) -> None:
    names = [name for name in options_of(command_of("assoc")) if len(name) >= 5]
    known = {f"--{name}" for name in options_of(command_of("assoc"))}
    from lmmgwas.cli.names import near

    for name in names:
        for at in range(len(name)):
            for spoilt in (name[:at] + name[at + 1 :], f"{name[:at]}q{name[at:]}"):
                if f"--{spoilt}" not in known:
                    assert f"--{name}" in near(f"--{spoilt}", known), spoilt


# --- Completion -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `lmmgwas`, as an installation has it, for PATH."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "lmmgwas"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m lmmgwas "$@"\n')
    script.chmod(0o755)
    return folder


def ask(program: Path, shell: str, script: str) -> list[str]:
    """Run a script in a shell that finds `lmmgwas`; return what it prints."""
    import shutil

    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    root = str(Path(__file__).resolve().parent.parent)
    environ = {**os.environ, "PATH": f"{program}:{os.environ['PATH']}", "PYTHONPATH": root}
    plain = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [shell, *plain, "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


CASES = [
    (["as"], {"assoc"}),
    (["assoc", "--pheno"], {"--pheno", "--pheno-name"}),
    (["assoc", "--scan", ""], {"exact", "calibrated"}),
    (["completion", ""], {"bash", "zsh", "fish"}),
]


@pytest.mark.parametrize(("words", "expected"), CASES, ids=lambda part: " ".join(sorted(part)))
def test_bash_completes(program: Path, words: list[str], expected: set[str]) -> None:
    typed = shlex.join(["lmmgwas", *words])
    script = (
        'eval "$(lmmgwas completion bash)"\n'
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}\n"
        '_lmmgwas_completion lmmgwas; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert set(ask(program, "bash", script)) == expected


@pytest.mark.parametrize(("words", "expected"), CASES, ids=lambda part: " ".join(sorted(part)))
def test_fish_completes(program: Path, words: list[str], expected: set[str]) -> None:
    line = " ".join(["lmmgwas", *words])
    script = f"lmmgwas completion fish | source; complete -C {shlex.quote(line)}"
    found = {answer.split("\t")[0] for answer in ask(program, "fish", script)}
    assert found == expected


@pytest.mark.parametrize(("words", "expected"), CASES, ids=lambda part: " ".join(sorted(part)))
def test_zsh_completes(program: Path, words: list[str], expected: set[str]) -> None:
    """The function of the script, with what zsh would show caught at its two ways out."""
    typed = shlex.join(["lmmgwas", *words])
    script = (
        "compdef() { }; compadd() { print -l -- $completions }\n"
        "_describe() { print -l -- $completions_with_descriptions }\n"
        'eval "$(lmmgwas completion zsh)"\n'
        f"words=({typed}); CURRENT={len(words) + 1}; _lmmgwas_completion"
    )
    found = {answer.split(":")[0] for answer in ask(program, "zsh", script)}
    assert found == expected


@pytest.mark.parametrize(
    ("words", "kind"),
    [("assoc --pheno t", "file"), ("assoc --bfile s", "file"), ("grm --tmpdir t", "dir")],
)
def test_names_of_files_are_the_shells_business(
    program: Path, words: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_LMMGWAS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"lmmgwas {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    done = subprocess.run([program / "lmmgwas"], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [f"{kind},{words.split()[-1]}"]

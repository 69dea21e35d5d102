"""The documentation is true: its commands run, and what it lists is what the program has."""

import ast
import contextlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from conftest import RunCli, simulate_study
from doc_pages import (
    COMMANDS,
    DOCS,
    PAGES,
    Block,
    blocks_of,
    calls_in,
    command_of,
    describe,
    examples_of,
    is_plain_call,
    shell_blocks,
    shows,
    table_under,
    tables_of,
    words_of,
)

import lmmgwas
from lmmgwas.errors import LmmgwasError, UsageError

ROOT = DOCS.parent
PACKAGE = Path(lmmgwas.__file__).parent
MESSAGES, OUTPUTS = DOCS / "reference" / "messages.md", DOCS / "reference" / "outputs.md"

SHELL = shell_blocks()
RUN = [block for block in SHELL if block.mark != "not run"]
UNRUN = [block for block in SHELL if block.mark == "not run"]
PAGES_THAT_RUN = sorted({block.page for block in RUN})
PAGES_WITH_SLOW = sorted({block.page for block in RUN if block.mark == "slow"})


def name_of(page: Path) -> str:
    """The page without folder of the documentation and ending."""
    return str(page.relative_to(DOCS).with_suffix(""))


# --- commands -------------------------------------------------------------------------------------


def mice_and_plants(folder: Path) -> None:
    """The files that the page on other species names: a small study, twice."""
    study = simulate_study()
    for name in ("mice", "arabidopsis"):
        files = study.write(folder / name)
        for suffix in ("bed", "bim", "fam"):
            (folder / name / f"study.{suffix}").rename(folder / f"{name}.{suffix}")
    files.pheno.rename(folder / "traits.tsv")


def options_in_a_file(folder: Path) -> None:
    """The file of options that its page shows."""
    page = DOCS / "howto" / "configuration.md"
    (shown,) = [b for b in blocks_of(page) if b.language == "{code-block}"]
    (folder / "study.toml").write_text(shown.text)


PREPARE = {"howto/configuration": options_in_a_file, "howto/species": mice_and_plants}


class Shell:
    """Runs lines of the shell in a folder; `lmmgwas` in this process where that is possible."""

    def __init__(self, folder: Path, run_cli: RunCli) -> None:
        self._folder = folder
        self._run_cli = run_cli
        tools = folder / ".tools"
        tools.mkdir()
        (tools / "lmmgwas").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lmmgwas "$@"\n')
        (tools / "lmmgwas").chmod(0o755)
        self._path = f"{tools}{os.pathsep}{os.environ['PATH']}"

    def run(self, line: str) -> str:
        """Run a line, which must succeed; return what it prints."""
        return self._call(line) if is_plain_call(line) else self._bash(line)

    def _call(self, line: str) -> str:
        words = words_of(line)[1:]
        arguments, _, target = (
            (words[: words.index(">")], ">", words[-1]) if ">" in words else (words, "", "")
        )
        printed = io.StringIO()
        with contextlib.chdir(self._folder), contextlib.redirect_stdout(printed):
            result = self._run_cli(*arguments)
        assert result.exit_code == 0, f"{line}\n{result.stderr}"
        if not target:
            return result.stderr + printed.getvalue()
        (self._folder / target).write_text(printed.getvalue())
        return result.stderr

    def _bash(self, line: str) -> str:
        environment = {**os.environ, "PATH": self._path, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail; {line}"],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def run_page(page: Path, folder: Path, run_cli: RunCli, *, slow: bool) -> int:
    """Run the commands of a page; hold what they print against what the page shows."""
    PREPARE.get(name_of(page), lambda _: None)(folder)
    shell = Shell(folder, run_cli)
    printed, n_lines = "", 0
    for block in blocks_of(page):
        if block.mark == "prints":
            assert not (missing := shows(block.text, printed)), f"{block}: not printed: {missing}"
        elif block.language == "sh" and (not block.mark or (slow and block.mark == "slow")):
            printed = "".join(shell.run(line) for line in block.commands)
            n_lines += len(block.commands)
    return n_lines


@pytest.mark.parametrize("page", PAGES_THAT_RUN, ids=name_of)
def test_commands_run(page, tmp_path, run_cli):
    assert run_page(page, tmp_path, run_cli, slow=False) > 0


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_WITH_SLOW, ids=name_of)
def test_slow_commands_run(page, tmp_path, run_cli):
    assert run_page(page, tmp_path, run_cli, slow=True) > 0


def test_blocks_are_marked_as_is_known():
    """A block of commands in another language would not be run, a strange mark not be seen."""
    for page in PAGES:
        text = page.read_text()
        blocks = blocks_of(page)
        languages = {block.language for block in blocks if not block.language.startswith("{")}
        assert languages <= {"sh", "text"}, page
        marks = re.findall(r"^% .*$", text, re.MULTILINE)
        assert len(marks) == sum(bool(block.mark) for block in blocks), (page, marks)
        for block in blocks:
            assert (block.mark == "prints") <= (block.language == "text"), block
            assert (block.mark in ("not run", "slow")) <= bool(block.reason), block


def parse(arguments: list[str]) -> None:
    """Parse a command line of ours with click, without running it."""
    command, context = command_of(arguments[0])
    command.make_context(arguments[0], list(arguments[1:]), parent=context.parent)


def test_few_blocks_are_not_run():
    assert len(UNRUN) <= 9, "every command that can run is to be run"


@pytest.mark.parametrize("block", UNRUN, ids=str)
def test_commands_that_do_not_run_have_valid_options(block: Block):
    for line in block.commands:
        for call in calls_in(line):
            parse(call)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_help_have_valid_options(name):
    command, _ = command_of(name)
    examples = list(examples_of(command))
    assert len(examples) >= 2
    for call in itertools.chain.from_iterable(calls_in(line) for line in examples):
        parse(call)


_STUDY = "lmmgwas assoc --bfile study --pheno traits.tsv --plots none"
BEFORE = {
    "assoc": ["lmmgwas grm --bfile study --out study"],
    "convert": [f"{_STUDY} --out first"],
    "merge": [f"{_STUDY} --out results --part {part}/2" for part in (1, 2)],
    "plot": [f"{_STUDY} --out results", r"printf '5\t128000000\t128200000\tG1\n' > genes.bed"],
}
"""What the examples of a command take for granted."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"selftest"}))
def test_examples_of_help_run(name, tmp_path, run_cli):
    """With the files that they name. Those of `selftest` take half a minute, and have tests."""
    shell = Shell(tmp_path, run_cli)
    shell.run("lmmgwas example .")
    (tmp_path / "pheno.tsv").rename(tmp_path / "traits.tsv")
    (tmp_path / "covar.tsv").rename(tmp_path / "covariates.tsv")
    command, _ = command_of(name)
    replaces = any("--overwrite" in parameter.opts for parameter in command.params)
    for line in [*BEFORE.get(name, []), *examples_of(command)]:
        again = replaces and is_plain_call(line) and ">" not in line and name != "merge"
        shell.run(f"{line} --overwrite" if again else line)


def test_words_of_the_shell():
    """The tests above rest on these."""
    assert calls_in("lmmgwas merge --out a; lmmgwas merge --out b") == [
        ["merge", "--out", "a"],
        ["merge", "--out", "b"],
    ]
    assert calls_in("OPENBLAS_CORETYPE=Haswell lmmgwas selftest > log") == [["selftest"]]
    assert calls_in("srun dask worker --nthreads 1 &") == []
    assert is_plain_call("lmmgwas check --bfile a > job.sh")
    assert not is_plain_call("lmmgwas check --bfile a | head")
    assert not is_plain_call("for f in *; do lmmgwas plot $f; done")
    with pytest.raises(UsageError, match="did you mean --bfile"):
        parse(["assoc", "--bfle", "study", "--pheno", "p", "--out", "o"])


# --- what is listed is what there is --------------------------------------------------------------


def codes_raised() -> dict[str, set[str]]:
    """Each code of the package, and the classes that it is raised by, where the call says so."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and re.fullmatch(r"[EW]\d{3}", str(node.value)):
                found.setdefault(str(node.value), set())
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                code = str(node.args[0].value)
                name = getattr(node.func, "id", "")
                if re.fullmatch(r"E\d{3}", code) and name.endswith("Error"):
                    found.setdefault(code, set()).add(name)
        for code in re.findall(r"\[([EW]\d{3})\]", text):
            found.setdefault(code, set())
    return found


def codes_documented() -> dict[str, str]:
    """Each code of the page, and what it says."""
    text = MESSAGES.read_text()
    found = re.findall(r"^([EW]\d{3})\n((?:  .*\n)+)", text, re.MULTILINE)
    assert len(found) == len(dict(found)), "a code is explained twice"
    return dict(found)


def subclasses(of: type) -> dict[str, type]:
    """All classes below one, by name."""
    below = {kind.__name__: kind for kind in of.__subclasses__()}
    for kind in list(below.values()):
        below |= subclasses(kind)
    return below


def test_every_code_is_explained():
    assert sorted(codes_documented()) == sorted(codes_raised())


def test_codes_have_their_exit_codes():
    exits = {name: kind.exit_code for name, kind in subclasses(LmmgwasError).items()}
    raised = codes_raised()
    for code, text in codes_documented().items():
        stated = re.match(r"  \*Exit ([\d or]+)\.\*", text)
        assert (stated is not None) == code.startswith("E"), code
        if stated is not None:
            numbers = {int(number) for number in re.findall(r"\d+", stated[1])}
            expected = {exits[name] for name in raised[code]}
            assert expected <= numbers, (code, expected, numbers)
            assert not expected or numbers == expected, (code, expected, numbers)


def test_every_exit_code_is_explained():
    table = tables_of(DOCS / "reference" / "exit-codes.md")[0]
    documented = {int(row[0]) for row in table.rows}
    from lmmgwas.cli.watch import EXIT_CODES

    kinds = [LmmgwasError, *subclasses(LmmgwasError).values()]
    classes = {kind.exit_code for kind in kinds}
    main = (PACKAGE / "cli" / "main.py").read_text()
    literal = {int(n) for n in re.findall(r"(?:exit\(|return |, )(\d{2,3})\b", main)}
    assert documented == {0} | classes | set(EXIT_CODES.values()) | literal
    readme = (ROOT / "README.md").read_text()
    cells = re.findall(r"^\| ([\d, ]+) \|", readme, re.MULTILINE)
    stated = {int(number) for cell in cells for number in cell.split(",")}
    assert stated == documented


def test_every_column_is_explained():
    from lmmgwas.io import sumstats
    from lmmgwas.pipeline.trait_output import NULL_COLUMNS

    wanted = {
        "Summary statistics": [
            *sumstats.COLUMNS,
            sumstats.BINARY_COLUMN,
            sumstats.COMPUTED_COLUMN,
        ],
        "Lead variants": list(sumstats.LOCUS_COLUMNS),
        "Null models": list(NULL_COLUMNS),
        "Excluded variants": list(sumstats.EXCLUDED_COLUMNS),
    }
    for heading, columns in wanted.items():
        assert table_under(OUTPUTS, heading, "column").first_codes == columns, heading


def test_every_reason_is_explained():
    from lmmgwas.model.genotypes import REASONS

    documented = table_under(OUTPUTS, "Excluded variants", "reason").first_codes
    assert documented == [str(reason) for reason in REASONS]
    flow = (PACKAGE / "pipeline" / "flow.py").read_text()
    named = {name.rstrip(":") for name in re.findall(r'"([A-Z]+_[A-Z_]+:?)', flow)} | {"REMOVED"}
    listed = table_under(OUTPUTS, "Samples", "reason").first_codes
    assert {name.partition(":")[0] for name in listed} == named | {"MISSING_TRAIT"}


def test_files_of_a_run_are_explained(small_study, tmp_path, run_cli):
    """A real run: every file has a section or a row, every column and every key of it, too."""
    out = tmp_path / "res"
    extra = ["--scan", "calibrated", "--plots", "all", "--parquet", "--threshold", 0.01]
    assert run_cli("assoc", *small_study.inputs, *extra, "--out", out).exit_code == 0
    matrix = ["--bfile", small_study.bfile, "--eigen", "--pca", 2, "--grm-missing", "pairwise"]
    assert run_cli("grm", *matrix, "--out", out).exit_code == 0
    text = OUTPUTS.read_text()
    assert list(tmp_path.glob("res.height.region.*.png"))
    for path in sorted(tmp_path.glob("res[._]*")):
        name = re.sub(r"\.(height|weight)\.", ".TRAIT.", path.name)
        name = re.sub(r"\.region\.\w+_\d+\.", ".region.CHROMOSOME_POSITION.", name)
        name = re.sub(r"\.chr\d+\.", ".chrLABEL.", name).replace("res", "PREFIX", 1)
        if not name.endswith((".tbi", ".pdf")):
            assert f"`{name}`" in text, name
    columns = {
        "Samples": out.with_suffix(".samples.tsv"),
        "Null models": out.with_suffix(".height.null.tsv"),
    }
    for heading, path in columns.items():
        header = path.read_text().split("\n")[0].split("\t")
        assert table_under(OUTPUTS, heading, "column").first_codes == header
    manifest = json.loads(out.with_suffix(".run.json").read_text())
    assert table_under(OUTPUTS, "The run", "key").first_codes == list(manifest)


def test_every_option_is_in_the_reference():
    for name in COMMANDS:
        command, context = command_of(name)
        documented = {n for g in describe(name).groups for o in g.options for n in o.names}
        for parameter in command.get_params(context):
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert set(parameter.opts) <= documented, (name, parameter.opts)
        page = DOCS / "reference" / "commands" / f"{name}.md"
        assert f"```{{lmmgwas-command}} {name}\n" in page.read_text()
        assert f"\n{name}\n" in (page.parent / "index.md").read_text()


def test_no_page_names_an_option_that_is_not_there():
    groups = itertools.chain.from_iterable(describe(name).groups for name in COMMANDS)
    ours = {name for group in groups for option in group.options for name in option.names}
    theirs = {"--array", "--interaction", "--nthreads"}  # of Slurm, REGENIE and Dask
    option = re.compile(r"(?<![\w-])--[a-z0-9-]*[a-z0-9]\b(?!-|\.\.\.)")
    for page in PAGES:
        for line in page.read_text().splitlines():
            shown = line
            if page.name == "coming-from.md" and line.startswith("|"):
                shown = re.split(r"(?<!\\)\|", line)[2]
            for code in re.findall(r"`((?:--|lmmgwas |assoc |grm )[^`]*)`", shown):
                assert set(option.findall(code)) <= ours | theirs, (page.name, code)

"""Options from a file and from variables: the same as typed, the right one wins, none is lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import RunCli, StudyFiles, files_of

from lmmgwas.cli.command import origins
from lmmgwas.cli.main import _run, cli
from lmmgwas.cli.names import NOT_SET_ELSEWHERE, options_of, variable_of
from lmmgwas.errors import FileAccessError, FormatError, LmmgwasError, UsageError

ROOT = click.Context(cli, info_name="lmmgwas")
QUICK = ("--plots", "none", "--threads", 1, "--no-loco")

Parse = Callable[..., dict[str, Any]]


@pytest.fixture
def parse(tmp_path: Path) -> Parse:
    """`parse("assoc", "--maf", "0.1", config="maf = 0.2")`: the values of all parameters."""

    def run(name: str, *args: str, config: str | bytes | None = None) -> dict[str, Any]:
        command = cli.get_command(ROOT, name)
        assert command is not None
        given = list(args)
        if config is not None:
            data = config if isinstance(config, bytes) else config.encode()
            (tmp_path / "run.toml").write_bytes(data)
            given += ["--config", str(tmp_path / "run.toml")]
        context = command.make_context(name, given, parent=ROOT)
        with context:
            return {**context.params, "origins": dict(origins())}

    return run


def refusal(kind: type[LmmgwasError], parse: Parse, *args: str, config: str | bytes) -> str:
    with pytest.raises(kind) as caught:
        parse(*args, config=config)
    return str(caught.value)


REQUIRED = {"assoc": ("--pheno", "p", "--out", "o"), "grm": ("--out", "o")}
REQUIRED |= {"check": ("--pheno", "p"), "merge": ("--out", "o"), "plot": ("t.tsv", "--out", "o")}
REQUIRED |= {"example": ("d",), "selftest": ()}


def options() -> list[tuple[str, str]]:
    """Every option of every command that a file or a variable can hold."""
    found = []
    for name in REQUIRED:
        command = cli.get_command(ROOT, name)
        assert command is not None
        found += [(name, o) for o in options_of(command) if o not in NOT_SET_ELSEWHERE]
    return found


def sample_of(option: click.Option) -> tuple[str, str]:
    """A value other than the default, as typed and as TOML."""
    if option.is_flag:
        return "true", "true"
    if isinstance(option.type, click.Choice):
        other = next(choice for choice in option.type.choices if choice != option.default)
        return other, json.dumps(other)
    if isinstance(option.type, click.types.IntParamType):
        return "7", "7"
    if isinstance(option.type, click.types.FloatParamType):
        return "3.5e-7", "3.5e-7"
    return "some,thing", '"some,thing"'


@pytest.mark.parametrize(("name", "option"), options(), ids=lambda part: part)
def test_a_value_is_the_same_wherever_it_stands(
    parse: Parse, monkeypatch: pytest.MonkeyPatch, name: str, option: str
) -> None:
    command = cli.get_command(ROOT, name)
    assert command is not None
    parameter = options_of(command)[option]
    text, toml = sample_of(parameter)
    others = list(REQUIRED[name])
    if f"--{option}" in others:
        at = others.index(f"--{option}")
        del others[at : at + 2]
    typed = [f"--{option}"] if parameter.is_flag else [f"--{option}", text]
    expected = parse(name, *others, *typed)
    assert expected.pop("origins") == {}
    for key in {option, option.replace("-", "_")}:
        for config in (f"{key} = {toml}", f"[{name}]\n{key} = {toml}"):
            found = parse(name, *others, config=config)
            where = found.pop("origins")
            assert found == expected
            line = config.count("\n") + 1
            assert where == {parameter.name: where[str(parameter.name)]}
            assert where[str(parameter.name)].endswith(f"run.toml, line {line}")
    monkeypatch.setenv(variable_of(option), text)
    found = parse(name, *others)
    assert found.pop("origins") == {parameter.name: f"environment variable {variable_of(option)}"}
    assert found == expected


def test_the_command_line_wins_then_the_variable_then_the_file(
    parse: Parse, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = (*REQUIRED["assoc"],)
    config = "maf = 0.1\nmac = 7\n[assoc]\nmaf = 0.2\n[grm]\ngrm-maf = 0.3\n"
    assert parse("assoc", *line)["maf"] == 0.0
    assert parse("assoc", *line, config=config)["maf"] == 0.2  # its table, not the top
    assert parse("assoc", *line, config=config)["mac"] == 7.0
    monkeypatch.setenv("LMMGWAS_MAF", "0.3")
    assert parse("assoc", *line, config=config)["maf"] == 0.3
    assert parse("assoc", *line, "--maf", "0.4", config=config)["maf"] == 0.4
    monkeypatch.setenv("LMMGWAS_MAF", "")  # empty is not set
    assert parse("assoc", *line, config=config)["maf"] == 0.2


def test_a_variable_turns_a_flag_of_the_file_off(
    parse: Parse, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse("assoc", *REQUIRED["assoc"], config="strict = true")["strict"] is True
    monkeypatch.setenv("LMMGWAS_STRICT", "0")
    assert parse("assoc", *REQUIRED["assoc"], config="strict = true")["strict"] is False


def test_check_reads_the_table_of_assoc(parse: Parse) -> None:
    config = '[assoc]\nmaf = 0.1\nmac = 7\nnulls = "dir"\n[check]\nmac = 9\n'
    found = parse("check", *REQUIRED["check"], config=config)
    assert (found["maf"], found["mac"]) == (0.1, 9.0)


def test_names_are_joined_and_numbers_are_text_where_an_option_takes_text(parse: Parse) -> None:
    config = 'pheno-name = ["a", "b c"]\nmissing-code = [-9, -99]\nchr = 22\n'
    found = parse("assoc", *REQUIRED["assoc"], config=config)
    assert found["pheno_name"] == "a,b c"
    assert found["missing_code"] == "-9,-99"
    assert found["chromosomes"] == "22"


def test_the_variable_may_name_the_file(
    parse: Parse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "site.toml").write_text("threads = 3\n")
    monkeypatch.setenv("LMMGWAS_CONFIG", str(tmp_path / "site.toml"))
    assert parse("assoc", *REQUIRED["assoc"])["threads"] == 3


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("treads = 2", ("E025", "run.toml, line 1", "treads", "did you mean threads?")),
        ("\n\nphenoname = 'a'", ("E025", "run.toml, line 3", "did you mean pheno-name")),
        ("[asoc]\nmaf = 1", ("E025", "run.toml, line 1", "did you mean assoc?")),
        ("[grm]\nmaf = 1", ("E025", "run.toml, line 2", "did you mean grm-maf?")),
        ("x = 1\ny = 2", ("line 1: x:", "line 2: y:")),
        ("--maf = 1", ("E025", "did you mean maf?")),
        ("config = 'a'", ("E025", "config: no command")),
        ("help = true", ("E025", "help")),
        ("maf = 1\nmaf_ = 2", ("E025", "line 2")),
        ("grm-maf = 0.1\ngrm_maf = 0.2", ("E025", "one option", "line 2")),
        ("strict = 1", ("E026", "true or false")),
        ("strict = 'yes'", ("E026", "true or false")),
        ("threads = true", ("E026", "line 1")),
        ("threads = [1, 2]", ("E026", "2 values where one is taken")),
        ("pheno-name = ['a,b']", ("E026", "comma")),
        ("pheno-name = [['a']]", ("E026", "neither")),
        ("maf = 2020-01-01", ("E026", "neither a text nor a number")),
        ("threads = 0", ("E022", "--threads", "run.toml, line 1")),
        ("[assoc]\nscan = 'exakt'", ("E022", "did you mean exact?", "run.toml, line 2")),
    ],
)
def test_what_a_file_cannot_say(parse: Parse, config: str, words: tuple[str, ...]) -> None:
    said = refusal(UsageError, parse, "assoc", *REQUIRED["assoc"], config=config)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    "config",
    ["maf = ", "maf 0.1", b"\xff\xfe", "x = 1\nx = 2", b"#" * (1 << 21), b"\x00"],
)
def test_what_is_no_toml(parse: Parse, config: str | bytes) -> None:
    assert "[E024]" in refusal(FormatError, parse, "grm", *REQUIRED["grm"], config=config)


def test_a_file_that_is_not_there(parse: Parse, tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(FileAccessError, match="E110"):
            parse("grm", *REQUIRED["grm"], "--config", str(path))


def test_a_value_of_a_variable_that_is_wrong(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMMGWAS_STRICT", "perhaps")
    with pytest.raises(UsageError, match=r"E022.*--strict.*variable LMMGWAS_STRICT"):
        parse("assoc", *REQUIRED["assoc"])


# --- Through the program ----------------------------------------------------------------------


def test_a_study_from_a_file_is_the_study_as_typed(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("typed", "filed"):
        (tmp_path / name).mkdir()
    options = ("--pheno-name", "height", "--mac", 9)
    typed = run_cli(
        "assoc", *small_study.inputs, *QUICK, *options, "--out", tmp_path / "typed" / "r"
    )
    assert typed.exit_code == 0, typed.stderr
    config = tmp_path / "run.toml"
    config.write_text(
        f'threads = 1\nno-loco = true\npheno = "{small_study.pheno}"\n'
        f'[assoc]\nbfile = "{small_study.bfile}"\ncovar = "{small_study.covar}"\n'
        'pheno_name = ["height"]\nplots = "all"\nmac = 3\n'
    )
    monkeypatch.setenv("LMMGWAS_PLOTS", "none")
    filed = run_cli("assoc", "--config", config, "--mac", 9, "--out", tmp_path / "filed" / "r")
    assert filed.exit_code == 0, filed.stderr
    assert files_of(tmp_path / "typed" / "r") == files_of(tmp_path / "filed" / "r")
    manifest = json.loads((tmp_path / "filed" / "r.run.json").read_text())
    assert manifest["arguments_from"] == {
        "bfile": f"{config}, line 5",
        "covar": f"{config}, line 6",
        "no_loco": f"{config}, line 2",
        "pheno": f"{config}, line 3",
        "pheno_name": f"{config}, line 7",
        "plots": "environment variable LMMGWAS_PLOTS",
        "threads": f"{config}, line 1",
    }
    assert manifest["arguments"]["mac"] == 9.0
    assert "config" not in manifest["arguments"]


def test_a_job_script_holds_what_the_file_says(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "run.toml"
    config.write_text("no-loco = true\n[assoc]\nmac = 9\n")
    monkeypatch.setenv("LMMGWAS_RINT", "1")
    monkeypatch.setenv("LMMGWAS_OVERWRITE", "0")
    result = run_cli("check", *small_study.inputs, "--config", config, "--threads", 1)
    assert result.exit_code == 0, result.stderr
    script = capsys.readouterr().out
    assert "--no-loco" in script
    assert "--mac 9.0" in script
    assert "--rint" in script
    assert "--overwrite" not in script
    assert "--config" not in script


def test_a_variable_that_names_no_option_is_reported(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMMGWAS_TREADS", "1")
    monkeypatch.setenv("LMMGWAS_TITLE", "of plot")  # another command's
    line = ("assoc", *small_study.inputs, *QUICK, "--pheno-name", "height", "--h2", 0)
    result = run_cli(*line, "--out", tmp_path / "r")
    assert result.exit_code == 0
    warned = [text for text in result.stderr.splitlines() if "[W021]" in text]
    assert len(warned) == 1
    assert "LMMGWAS_TREADS" in warned[0]
    assert "did you mean LMMGWAS_THREADS" in warned[0]
    (kept,) = json.loads((tmp_path / "r.run.json").read_text())["warnings"]
    assert "LMMGWAS_TREADS" in kept
    strict = run_cli(*line, "--strict", "--out", tmp_path / "s")
    assert strict.exit_code == 5
    assert "W021" in strict.stderr
    assert {path.name for path in tmp_path.glob("s.*")} == {"s.log"}


def test_commands_without_a_log_report_it_too(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMMGWAS_HOME", "/opt")
    result = run_cli("completion", "bash")
    assert result.exit_code == 0
    assert "Warning [W021]: the environment variable LMMGWAS_HOME" in result.stderr


def test_debug_from_a_variable(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug's traceback is shown, as with --debug."""
    import lmmgwas.pipeline.example as example

    def fail(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(example, "write_example", fail)
    assert run_cli("example", tmp_path / "d").exit_code == 70
    monkeypatch.setenv("LMMGWAS_DEBUG", "1")
    monkeypatch.setattr("sys.argv", ["lmmgwas", "example", str(tmp_path / "d")])
    with pytest.raises(ZeroDivisionError):
        _run({"debug": False})

"""The files for Snakemake and Nextflow hold together, and name only options that there are.

Neither engine is needed; `test_workflow_runs.py` runs what can be run.
"""

import ast
import json
import os
import re
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from workflow_files import (
    MODULES,
    NEXTFLOW,
    SNAKEMAKE,
    WRAPPER,
    options_in,
    options_of,
    process_script,
    rules_of,
)

import lmmgwas

yaml = pytest.importorskip("yaml")

SCHEMA_FOLDER = "TEST_NFCORE_SCHEMAS"
YAML_FILES = sorted(p for p in SNAKEMAKE.parent.rglob("*.y*ml") if ".snakemake" not in p.parts)
RULES = {
    name: text for path in sorted(SNAKEMAKE.rglob("*.smk")) for name, text in rules_of(path).items()
}
CALLS = {name: text for name, text in RULES.items() if "{params.command}" in text}


def load(path: Path) -> Any:
    """What a YAML file holds."""
    return yaml.safe_load(path.read_text())


def test_there_is_something_to_test():
    assert [module.name for module in MODULES] == ["assoc", "grm", "merge", "mergegrm", "nulls"]
    assert set(CALLS) == set(RULES)
    assert len(RULES) == 6
    assert len(YAML_FILES) >= 16


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda p: str(p.relative_to(SNAKEMAKE.parent)))
def test_yaml_can_be_read(path):
    assert isinstance(load(path), dict)


# --- every option exists ---------------------------------------------------------------------


def functions_of(path: Path) -> dict[str, str]:
    """The text of each function of a Snakemake file that is Python but for a directive."""
    text = re.sub(r"^wildcard_constraints:\n(    .*\n)+", "", path.read_text(), flags=re.MULTILINE)
    return {
        node.name: ast.get_source_segment(text, node) or ""
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
    }


def command_texts() -> list[tuple[str, str, str]]:
    """(where, command of lmmgwas, text) of all places that make a command line."""
    found = []
    for name, text in CALLS.items():
        command = re.search(r"\{params\.command\} (\w+)", text)
        assert command, name
        shell = text[command.end() :]
        found.append((f"rule {name}", command[1], shell))
    functions = functions_of(SNAKEMAKE / "rules" / "common.smk")
    found += [(f"{c}_arguments", c, functions[f"{c}_arguments"]) for c in ("grm", "assoc")]
    for module in MODULES:
        definitions, script = process_script(module)
        command = re.search(r"^ *lmmgwas (\w+) ", script, re.MULTILINE)
        assert command, module.name
        found.append((f"module {module.name}", command[1], definitions + script))
    found.append(("wrapper", "assoc", (WRAPPER / "wrapper.py").read_text()))
    found.append(("wrapper test", "assoc", "--pheno-name --plots"))
    config = (NEXTFLOW / "conf" / "modules.config").read_text()
    found.append(("modules.config", "assoc", config))
    comments = (SNAKEMAKE / "config" / "config.yaml").read_text()
    for command, text in re.findall(r"`lmmgwas (\w+)`.*?(--.*)", comments):
        found.append(("config.yaml", command, text))
    readme = (NEXTFLOW / "README.md").read_text()
    for text in re.findall(r"--assoc_options '(.*?)'", readme):
        found.append(("README.md", "assoc", text))
    return found


@pytest.mark.parametrize(
    ("where", "command", "text"),
    [pytest.param(*one, id=f"{one[0]}: {one[1]}") for one in command_texts()],
)
def test_every_option_is_in_the_help_of_its_command(where, command, text):
    known = options_of(command)
    assert known, f"{where}: the program has no command {command}"
    assert options_in(text) <= known


def test_every_command_line_is_looked_at():
    """What names an option and is not among the texts above holds options of other programs."""
    looked_at = {"common.smk", "grm.smk", "nulls.smk", "scan.smk", "wrapper.py", "modules.config"}
    for path in [*SNAKEMAKE.rglob("*"), *NEXTFLOW.rglob("*")]:
        if path.suffix not in {".smk", ".py", ".nf", ".config"} and path.name != "Snakefile":
            continue
        inside = options_in(path.read_text())
        known = path.name in looked_at or path.parent in MODULES or path.parent.name == "test"
        assert known or not inside, f"{path}: {inside}"


# --- Snakemake ---------------------------------------------------------------------------------


def test_the_configuration_is_what_its_schema_says():
    config = load(SNAKEMAKE / "config" / "config.yaml")
    schema = load(SNAKEMAKE / "schemas" / "config.schema.yaml")
    assert list(config) == list(schema["properties"])
    assert schema["additionalProperties"] is False
    for key in ("grm", "threads", "parts", "resources"):
        assert list(config[key]) == list(schema["properties"][key]["properties"])
        assert schema["properties"][key]["additionalProperties"] is False


def test_every_key_of_the_configuration_is_used():
    used = set()
    for path in [SNAKEMAKE / "Snakefile", *SNAKEMAKE.rglob("*.smk")]:
        used |= set(re.findall(r"config\[[\"'](\w+)[\"']\]", path.read_text()))
    assert used == set(load(SNAKEMAKE / "config" / "config.yaml"))


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_rule_has_log_environment_and_resources(name):
    text = CALLS[name]
    assert load(SNAKEMAKE / "config" / "config.yaml")["resources"].get(name)
    for what in ("mem_mb", "runtime"):
        assert f'{what}=resource("{name}", "{what}")' in text
    for directive in ("log:", "conda:", "output:"):
        assert f"    {directive}\n" in text
    assert "2> {log:q}" in text
    assert "--out {params.out}" in text


def test_every_assoc_call_has_the_same_options():
    calls = {name: text for name, text in CALLS.items() if "{params.command} assoc" in text}
    assert set(calls) == {"null_genome", "null_part", "scan_part"}
    for text in calls.values():
        assert "given=assoc_arguments()," in text
        assert "{params.command} assoc {params.given} " in text
        assert 'threads: config["threads"]["assoc"]' in text
        assert "{threads}" not in text  # Snakemake lowers it to --cores, and results change


def test_the_environments_take_this_version():
    for path in (SNAKEMAKE / "envs" / "lmmgwas.yaml", WRAPPER / "environment.yaml"):
        environment = load(path)
        assert environment["channels"] == ["conda-forge", "nodefaults"]
        assert environment["dependencies"][-1] == {
            "pip": [f"lmmgwas[report] =={lmmgwas.__version__}"]
        }


# --- the wrapper -------------------------------------------------------------------------------


class Items(list):
    """Files of a rule as Snakemake hands them over: a list, some of it by name."""

    def __init__(self, **named: Any) -> None:
        super().__init__()
        for name, value in named.items():
            setattr(self, name, value)
            self.extend([value] if isinstance(value, str) else value)

    def get(self, name: str, default: Any = None) -> Any:
        """A named item, or what is given for it."""
        return getattr(self, name, default)


FILES = {"bed": "a.bed", "bim": "b.bim", "fam": "c.fam", "pheno": "my traits.tsv"}


@pytest.fixture
def wrapped(monkeypatch):
    """`wrapped(inputs, outputs)`: the command that the wrapper would run."""
    said: list[tuple[str, dict[str, Any]]] = []
    module = types.ModuleType("snakemake.shell")
    module.shell = said.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snakemake", types.ModuleType("snakemake"))
    monkeypatch.setitem(sys.modules, "snakemake.shell", module)

    def run(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
        job = types.SimpleNamespace(
            input=Items(**inputs),
            output=Items(**outputs),
            params={"extra": "--maf 0.01"},
            threads=3,
            log_fmt_shell=lambda **_: "> log",
        )
        names = runpy.run_path(str(WRAPPER / "wrapper.py"), init_globals={"snakemake": job})
        assert len(said) == 1
        return names

    return run


def test_the_wrapper_passes_what_it_is_given(wrapped):
    files = {"covar": "covar.tsv", "grm": ["g/x.grm.bin", "g/x.grm.id", "g/x.grm.json"]}
    names = wrapped({**FILES, **files}, {"run": "out/s.run.json", "files": ["out/s.y.tsv.gz"]})
    assert names["prefix"] == "out/s"
    assert names["given"] == (
        "--bed a.bed --bim b.bim --fam c.fam --pheno 'my traits.tsv' --covar covar.tsv --grm g/x"
    )


def test_the_wrapper_leaves_out_what_is_not_given(wrapped):
    names = wrapped(FILES, {"run": "s.run.json"})
    assert names["given"].endswith("--pheno 'my traits.tsv'")


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({}, {"run": "out/s.json"}, r"PREFIX\.run\.json"),
        ({}, {"run": "s.run.json", "files": ["t.y.tsv.gz"]}, "t.y.tsv.gz"),
        ({"grm": "g/x.grm.bin"}, {"run": "s.run.json"}, "grm.id"),
    ],
)
def test_the_wrapper_refuses_names_that_do_not_fit(wrapped, inputs, outputs, message):
    with pytest.raises(ValueError, match=message):
        wrapped({**FILES, **inputs}, outputs)


def test_the_wrapper_has_the_files_of_its_repository():
    meta = load(WRAPPER / "meta.yaml")
    assert {"name", "description", "authors", "input", "output", "params"} <= set(meta)
    text = (WRAPPER / "wrapper.py").read_text()
    used = set(re.findall(r"snakemake\.input\.(?:get\(\")?(\w+)", text))
    assert used == set(meta["input"])
    snakefile = (WRAPPER / "test" / "Snakefile").read_text()
    for name in re.findall(r'"(data/.*?)"', snakefile):
        assert (WRAPPER / "test" / name.replace("{study}", "study")).is_file()


# --- Nextflow ----------------------------------------------------------------------------------


def nextflow_parameters() -> dict[str, Any]:
    """Each parameter of the schema."""
    schema = json.loads((NEXTFLOW / "nextflow_schema.json").read_text())
    groups = schema["$defs"]
    assert [one["$ref"] for one in schema["allOf"]] == [f"#/$defs/{name}" for name in groups]
    found: dict[str, Any] = {}
    for group in groups.values():
        assert set(group.get("required", [])) <= set(group["properties"])
        assert not set(found) & set(group["properties"])
        found.update(group["properties"])
    return found


def test_every_parameter_is_in_the_schema_with_its_default():
    config = (NEXTFLOW / "nextflow.config").read_text()
    block = re.search(r"^params \{\n(.*?)^\}", config, re.DOTALL | re.MULTILINE)
    assert block
    given = dict(re.findall(r"^    (\w+) += (.*)$", block[1], re.MULTILINE))
    described = nextflow_parameters()
    assert set(given) == set(described)
    for name, value in given.items():
        default = None if value == "null" else json.loads(value.replace("'", '"'))
        assert described[name].get("default") == default, name


def test_every_parameter_that_is_used_is_there():
    described = set(nextflow_parameters())
    used = set()
    for path in [NEXTFLOW / "main.nf", *NEXTFLOW.glob("*.config"), *NEXTFLOW.glob("conf/*.config")]:
        used |= set(re.findall(r"\b(?:params|given)\.(\w+)", path.read_text()))
    assert used - {"keySet"} == described
    test = (NEXTFLOW / "conf" / "test.config").read_text()
    assert (
        set(re.findall(r"^    (\w+) += ", test.split("}\n\nprocess")[0], re.MULTILINE)) <= described
    )


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.name)
def test_a_module_has_the_parts_of_one(module):
    text = (module / "main.nf").read_text()
    process = f"LMMGWAS_{module.name.upper()}"
    assert text.startswith(f"process {process} {{\n")
    order = ["    tag ", "    label 'process_", "    conda ", "    input:", "    output:"]
    order += ["    when:\n    task.ext.when == null || task.ext.when\n", "    script:", "    stub:"]
    places = [text.index(f"\n{part}") for part in order]
    assert places == sorted(places)
    assert 'conda "${moduleDir}/environment.yml"' in text
    assert text.count("def args = task.ext.args ?: ''") >= 1
    assert text.count('prefix = task.ext.prefix ?: "${meta.id}"') == 2
    version = re.search(
        r'val\("\$\{task.process\}"\), val\(.lmmgwas.\), eval\("(.*?)"\), (.*)', text
    )
    assert version
    assert version[1] == "lmmgwas --version | sed 's/.* //'"
    assert version[2] == "emit: versions_lmmgwas, topic: versions"
    tests = (module / "tests" / "main.nf.test").read_text()
    assert f'process "{process}"' in tests
    assert tests.count('options "-stub"') >= 1


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.name)
def test_the_description_of_a_module_is_that_of_its_process(module):
    text = (module / "main.nf").read_text()
    meta = load(module / "meta.yml")
    assert meta["name"] == f"lmmgwas_{module.name}"
    inputs = re.search(r"    input:\n(.*?)\n\n", text, re.DOTALL)
    assert inputs
    described = [
        [next(iter(one)) for one in entry] if isinstance(entry, list) else [next(iter(entry))]
        for entry in meta["input"]
    ]
    written = [re.findall(r"(?:val|path)[ (](\w+)", line) for line in inputs[1].splitlines()]
    assert described == written
    globs = dict(re.findall(r'path\(("[^"]*")[^)]*\), emit: (\w+)', text))
    emitted = [*globs.values(), "versions_lmmgwas"]
    assert list(meta["output"]) == emitted
    for glob, name in globs.items():
        ((first, second),) = meta["output"][name]
        assert list(first) == ["meta"]
        assert list(second) == [glob.strip('"')]
    assert meta["output"]["versions_lmmgwas"] == meta["topics"]["versions"]
    (versions,) = meta["topics"]["versions"]
    assert [next(iter(one)) for one in versions] == [
        "${task.process}",
        "lmmgwas",
        "lmmgwas --version | sed 's/.* //'",
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.name)
def test_the_environment_of_a_module_takes_this_version(module):
    environment = load(module / "environment.yml")
    program = "lmmgwas[report]" if module.name in ("assoc", "merge") else "lmmgwas"
    assert environment["dependencies"][-1] == {"pip": [f"{program}=={lmmgwas.__version__}"]}


def test_modules_take_the_study_in_the_same_order():
    """The same names in the same order in all of them, so that tasks see the same files."""
    heads = {}
    for module in MODULES:
        inputs = re.search(r"    input:\n(.*?)\n\n", (module / "main.nf").read_text(), re.DOTALL)
        assert inputs
        heads[module.name] = inputs[1].splitlines()
    assert len({tuple(lines[:5]) for name, lines in heads.items() if "grm" not in name}) == 1
    assert len({lines[0] for lines in heads.values()}) == 1


def test_the_schemas_are_schemas():
    jsonschema = pytest.importorskip("jsonschema")
    schema = load(SNAKEMAKE / "schemas" / "config.schema.yaml")
    check = jsonschema.Draft202012Validator
    check.check_schema(schema)
    check(schema).validate(load(SNAKEMAKE / "config" / "config.yaml"))
    check.check_schema(json.loads((NEXTFLOW / "nextflow_schema.json").read_text()))


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.name)
@pytest.mark.parametrize("kind", ["meta", "environment"])
def test_nf_core_schemas(module, kind):
    folder = os.environ.get(SCHEMA_FOLDER)
    if not folder:
        pytest.skip(f"{SCHEMA_FOLDER} does not name the folder of nf-core/modules' schemas")
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(folder) / f"{kind}-schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(load(module / f"{kind}.yml"))

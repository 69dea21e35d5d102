"""The house of design.md, section 4, enforced by reading the source; nothing is imported."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "lmmgwas"

FLOORS = {
    "": 0,  # lmmgwas itself: the version
    "errors": 0,
    "stop": 0,
    "numerics": 0,
    "model": 1,
    "io": 2,
    "report": 3,
    "pipeline": 3,
    "cli": 4,
    "__main__": 5,  # nothing but a call of the cli
}
BETWEEN_PACKAGES = {("pipeline", "report"), ("numerics", "errors")}
"""Which part of a floor may import another part of the same floor."""

MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_ARGUMENTS = 9
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source file."""

    name: str  # "io.plink"; "" is the package itself
    path: Path
    tree: ast.Module

    @property
    def part(self) -> str:
        """The folder, or the file where it lies in none."""
        return self.name.split(".")[0]

    def nodes(self, kind: type | tuple[type, ...]) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kind))

    def imported(self) -> set[str]:
        """Absolute names of all that is imported, at the top or within functions."""
        names: set[str] = set()
        for node in self.nodes((ast.Import, ast.ImportFrom)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            else:
                assert node.level == 0, f"{self.path}:{node.lineno}: a relative import"
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        return names


@cache
def modules() -> dict[str, Module]:
    """All modules by name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return found


@cache
def inner_imports(name: str) -> frozenset[str]:
    """Modules of the package that a module imports; `import_module` with a constant, too."""
    known = modules()
    targets = set()
    for full in modules()[name].imported():
        if full.split(".")[0] != "lmmgwas":
            continue
        inner = full.removeprefix("lmmgwas").removeprefix(".")
        while inner not in known:  # a function or class: its module
            inner = inner.rpartition(".")[0]
        targets.add(inner)
    return frozenset(targets - {name})


ALL = pytest.mark.parametrize("name", sorted(modules()), ids=lambda name: name or "lmmgwas")


@ALL
def test_imports_go_down(name: str) -> None:
    module = modules()[name]
    for target in inner_imports(name):
        part = modules()[target].part
        if part == module.part:
            continue
        allowed = FLOORS[part] < FLOORS[module.part]
        allowed = allowed or (module.part, part) in BETWEEN_PACKAGES or part == ""
        assert allowed, f"{name} (floor {FLOORS[module.part]}) imports {target}"


@cache
def lines_of(part: str) -> list[list[str]]:
    """The places of `a -> b, c -> d` in the docstring of a folder: [[a], [b, c], [d]]."""
    text = " ".join((ast.get_docstring(modules()[part].tree) or "").split())
    arrows = r"\w+(?:, \w+)*(?: -> \w+(?:, \w+)*)+"
    found = re.search(arrows, text)
    return [place.split(", ") for place in found[0].split(" -> ")] if found else []


PARTS = sorted(name for name in modules() if name and (PACKAGE / name).is_dir())


@pytest.mark.parametrize("part", PARTS)
def test_imports_within_a_folder_follow_its_line(part: str) -> None:
    """A module imports what stands to its left only; one that is not on the line, nothing."""
    place = {name: k for k, names in enumerate(lines_of(part)) for name in names}
    there = {name.split(".")[1] for name in modules() if name.startswith(f"{part}.")}
    assert set(place) <= there, f"the line of {part} names what is not there"
    for name in sorted(there):
        for target in inner_imports(f"{part}.{name}"):
            if not target.startswith(f"{part}."):
                continue
            other = target.split(".")[1]
            on_line = name in place and other in place
            assert on_line, f"{part}.{name} imports {other}: the docstring of {part} has no line"
            assert place[other] < place[name], f"{part}.{name} imports {other}, to its right"


def test_no_circles() -> None:
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a circle: {' -> '.join([*way, name])}"
        if name not in done:
            for target in inner_imports(name):
                visit(target, (*way, name))
            done.add(name)

    for name in modules():
        visit(name, ())


def test_numba_has_one_door() -> None:
    users = [
        n for n in modules() if any(i.split(".")[0] == "numba" for i in modules()[n].imported())
    ]
    assert users == ["numerics.jit"]


@ALL
def test_floors_keep_to_their_trade(name: str) -> None:
    """No files and no command line in the mathematics; no mathematics libraries in the cli."""
    module = modules()[name]
    roots = {full.split(".")[0] for full in module.imported()}
    banned = {
        "numerics": {"click", "pandas", "bed_reader", "pysam", "matplotlib"},
        "model": {"click", "pandas", "bed_reader", "pysam", "matplotlib", "pathlib", "os"},
        "io": {"click", "scipy", "numba", "matplotlib"},
        "report": {"click", "bed_reader"},
        "pipeline": {"click", "numba", "matplotlib"},
        "cli": {"numpy", "scipy", "pandas", "numba", "matplotlib", "pyarrow", "pysam"},
    }
    found = roots & banned.get(module.part, set())
    assert not found, f"{name} imports {', '.join(sorted(found))}"


def called(node: ast.Call) -> str:
    """`a.b.c` of a call."""
    parts: list[str] = []
    target: ast.AST = node.func
    while isinstance(target, ast.Attribute):
        parts.append(target.attr)
        target = target.value
    if isinstance(target, ast.Name):
        parts.append(target.id)
    return ".".join(reversed(parts))


@ALL
def test_nothing_that_the_law_forbids(name: str) -> None:
    module = modules()[name]
    faults = [
        f"line {node.lineno}: an assert, which python -O removes"
        for node in module.nodes(ast.Assert)
    ]
    roots = {full.split(".")[0] for full in module.imported()}
    faults += [
        f"imports {root}" for root in roots & {"pickle", "marshal", "shelve", "dill", "subprocess"}
    ]
    faults += [f"line {node.lineno}: global" for node in module.nodes(ast.Global)]
    for node in module.nodes(ast.Call):
        what = called(node)
        if what in ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.fork"):
            faults.append(f"line {node.lineno}: {what}()")
        if what == "print" and name != "pipeline.logbook":
            faults.append(f"line {node.lineno}: print(), which is the logbook's")
        for keyword in node.keywords:
            on = not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
            if keyword.arg in ("fastmath", "shell", "allow_pickle") and on:
                faults.append(f"line {node.lineno}: {keyword.arg}")
    assert not faults, f"{module.path}: {'; '.join(faults)}"


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


@ALL
def test_modules_and_functions_are_short(name: str) -> None:
    module = modules()[name]
    n_lines = len(module.path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_LINES, f"{module.path} has {n_lines} lines"
    for node in functions(module.tree):
        length = (node.end_lineno or 0) - node.lineno + 1
        assert length <= MAX_FUNCTION_LINES, f"{name}.{node.name} has {length} lines"
        given = node.args
        arguments = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        count = len([a for a in arguments if a not in ("self", "cls")])
        assert count <= MAX_ARGUMENTS, f"{name}.{node.name} has {count} arguments"


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public classes, functions and methods without docstring.

    The members of a Protocol whose body is `...` are attributes, and need none.
    """

    def visit(node: ast.AST, way: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.ClassDef | Function) or child.name.startswith("_"):
                continue
            body = child.body[0]
            stub = isinstance(body, ast.Expr) and getattr(body.value, "value", None) is ...
            if ast.get_docstring(child) is None and not stub:
                yield f"{way}{child.name} (line {child.lineno})"
            if isinstance(child, ast.ClassDef):
                yield from visit(child, f"{way}{child.name}.")

    return visit(tree, "")


@ALL
def test_what_is_public_has_a_docstring(name: str) -> None:
    module = modules()[name]
    assert ast.get_docstring(module.tree), f"{module.path} has no docstring"
    assert not list(undocumented(module.tree)), module.path


@ALL
def test_there_are_no_leftovers(name: str) -> None:
    text = modules()[name].path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)

"""Draws the house: folders as floors, modules as rooms, imports from floor to floor as pipes.

    python scripts/draw_house.py            # writes docs/house.svg
    python scripts/draw_house.py --check    # says whether it is current

The rooms and their order are read from the folders and the line in each folder's docstring, the
pipes from the imports. A test holds the floors to those of tests/test_architecture.py.
"""

import argparse
import ast
import re
import sys
from collections import Counter
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lmmgwas"
PICTURE = ROOT / "docs" / "house.svg"

WIDTH = 1180
MARGIN = 30
ROOM_HEIGHT = 22
CHARACTER = 6.7  # pixels, of the rooms' font
GAP = 6
HEAD = 50  # a floor's name and what it is for
BETWEEN = 56  # from floor to floor: the pipes
APART = 44  # from folder to folder on one floor

STOREYS = (
    (("cli", "options become frozen bundles, errors become exit codes", 1.0),),
    (
        ("pipeline", "what a command does, step by step; sees files and mathematics", 0.74),
        ("report", "what a person looks at", 0.26),
    ),
    (("io", "PLINK, tables, matrices, summary statistics, atomic output; no mathematics", 1.0),),
    (("model", "samples, GRM, null model, scan: types and pure functions; no files", 1.0),),
    (("numerics", "arrays in, arrays out; the one door to numba", 1.0),),
)
COLOURS = {
    "cli": "#f6d5c3",
    "pipeline": "#f5e6b8",
    "report": "#e5ecc0",
    "io": "#cfe8d5",
    "model": "#cbe0f0",
    "numerics": "#dcd3ec",
}


def modules_of(folder: str) -> list[str]:
    """Modules of a folder: first those on its line, in that order, then the others."""
    text = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text("utf-8"))) or ""
    arrows = re.search(r"\w+(?:, \w+)*(?: -> \w+(?:, \w+)*)+", " ".join(text.split()))
    line = re.split(r" -> |, ", arrows[0]) if arrows else []
    there = sorted(path.stem for path in (PACKAGE / folder).glob("*.py") if path.stem != "__init__")
    return [name for name in line if name in there] + [n for n in there if n not in line]


def imports() -> Counter[tuple[str, str]]:
    """How many modules of one folder import from another one."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted(PACKAGE.glob("*/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        targets = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lmmgwas."):
                targets.add(str(node.module).split(".")[1])
        found.update((path.parent.name, target) for target in targets - {path.parent.name})
    return found


def rooms_of(folder: str, width: float) -> list[tuple[str, float, int, float]]:
    """(module, left, row, width) of the rooms of a folder that is so wide."""
    rooms, row, left = [], 0, 12.0
    for module in modules_of(folder):
        needed = len(module) * CHARACTER + 12
        if left + needed > width - 12 and left > 12:
            row, left = row + 1, 12.0
        rooms.append((module, left, row, needed))
        left += needed + GAP
    return rooms


def height_of(folder: str, width: float) -> float:
    """How high a folder of this width is."""
    return HEAD + (rooms_of(folder, width)[-1][2] + 1) * (ROOM_HEIGHT + GAP) + 8


class Drawing:
    """Pieces of SVG, from top to bottom."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.boxes: dict[str, tuple[float, float, float, float]] = {}

    def text(self, x: float, y: float, words: str, style: str) -> None:
        """Write words with their left end, or middle, at a point."""
        self.parts.append(f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(words)}</text>')

    def box(self, at: tuple[float, float, float, float], style: str) -> None:
        """Draw a rectangle: x, y, width, height."""
        x, y, width, height = at
        self.parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" {style}/>'
        )

    def folder(self, name: str, purpose: str, at: tuple[float, float, float, float]) -> None:
        """Draw a folder with its rooms into x, y, width, height."""
        x, y, width, height = at
        self.box((x, y, width, height), f'rx="6" fill="{COLOURS[name]}" stroke="#555"')
        self.text(x + 12, y + 22, name, 'class="name"')
        self.text(x + 12, y + 40, purpose, 'class="what"')
        for module, left, row, needed in rooms_of(name, width):
            top = y + HEAD + row * (ROOM_HEIGHT + GAP)
            self.box((x + left, top, needed, ROOM_HEIGHT), 'rx="3" fill="#fff" stroke="#999"')
            self.text(x + left + 6, top + 15, module, 'class="room"')
        self.boxes[name] = (x, y, width, height)
        return height

    def pipes(self, counts: Counter[tuple[str, str]]) -> None:
        """Draw what goes down from folder to folder, side by side."""
        lower: Counter[str] = Counter()
        upper: Counter[str] = Counter()
        for (source, target), count in sorted(counts.items(), key=lambda item: _depth(item[0])):
            if source not in self.boxes or target not in self.boxes:
                continue
            x, y, width, height = self.boxes[source]
            to = self.boxes[target]
            if y == to[1]:
                self.across(source, target, count)
                continue
            if to[1] - (y + height) > BETWEEN + 1:
                continue  # past a floor: in the table below the house
            start = x + width * (0.25 + 0.5 * upper[source] / 2)
            upper[source] += 1
            lower[target] += 1
            end = min(max(start, to[0] + 40), to[0] + to[2] - 40)
            self.arrow(start, y + height + 2, end, to[1] - 4)
            self.text(
                (start + end) / 2 + 10, (y + height + to[1]) / 2 + 5, str(count), 'class="count"'
            )

    def across(self, source: str, target: str, count: int) -> None:
        """An import on one floor."""
        x, y, width, _ = self.boxes[source]
        self.arrow(x + width + 1, y + 20, self.boxes[target][0] - 4, y + 20)
        self.text(x + width + 10, y + 14, str(count), 'class="count"')

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """A line with a head."""
        self.parts.append(
            f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" '
            'stroke="#555" stroke-width="1.6" marker-end="url(#head)"/>'
        )


def _depth(pair: tuple[str, str]) -> tuple[int, int, str]:
    order = [name for storey in STOREYS for name, _, _ in storey]
    places = [order.index(name) if name in order else len(order) for name in pair]
    return places[0], places[1], pair[1]


def draw() -> str:
    """Return the picture as SVG text."""
    house, counts = Drawing(), imports()
    inner = WIDTH - 2 * MARGIN
    y = 96.0
    roof = f"{MARGIN - 14},{y - 8:.0f} {WIDTH / 2:.0f},14 {WIDTH - MARGIN + 14},{y - 8:.0f}"
    house.parts.append(f'<polygon points="{roof}" fill="#b5533c" stroke="#555"/>')
    house.text(WIDTH / 2, 72, "lmmgwas", 'class="roof" text-anchor="middle"')
    for storey in STOREYS:
        x = float(MARGIN)
        room = inner - APART * (len(storey) - 1)
        height = max(height_of(name, room * share) for name, _, share in storey)
        for name, purpose, share in storey:
            house.folder(name, purpose, (x, y, room * share, height))
            x += room * share + APART
        y += height + BETWEEN
    house.pipes(counts)
    y -= BETWEEN - 28
    past = [
        f"{source} {count} {target}"
        for (source, target), count in sorted(counts.items(), key=lambda item: _depth(item[0]))
        if target in house.boxes and _is_past_a_floor(house, source, target)
    ]
    house.text(
        MARGIN,
        y,
        "Numbers: modules above that import something below. Past a floor: "
        + ", ".join(past)
        + ".",
        'class="what"',
    )
    house.text(
        MARGIN,
        y + 20,
        "Rooms stand in the order of their folder's line: each imports what is to its left only. "
        "Everybody may import errors and stop.",
        'class="what"',
    )
    return _page(house.parts, y + 40)


def _is_past_a_floor(house: Drawing, source: str, target: str) -> bool:
    _, y, _, height = house.boxes[source]
    return house.boxes[target][1] - (y + height) > BETWEEN + 1


def _page(parts: list[str], height: float) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img" '
        'aria-label="The folders of lmmgwas as floors of a house, imports going down">\n'
        "<style>text{font-family:Helvetica,Arial,sans-serif;fill:#222}"
        ".room{font-family:DejaVu Sans Mono,Menlo,Consolas,monospace;font-size:11px}"
        ".name{font-weight:bold;font-size:17px}.what{font-size:13px}"
        ".count{font-size:13px;font-weight:bold}"
        ".roof{font-weight:bold;font-size:26px;fill:#fff}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def main() -> int:
    """Write the picture, or compare it."""
    parser = argparse.ArgumentParser(description="Draw docs/house.svg from the imports.")
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    given = parser.parse_args()
    text = draw()
    if given.check:
        current = PICTURE.exists() and PICTURE.read_text(encoding="utf-8") == text
        print(f"{PICTURE} is {'current' if current else 'not current'}")
        return 0 if current else 1
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(text, encoding="utf-8")
    print(f"wrote {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

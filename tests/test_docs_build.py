"""The documentation builds without a warning, and its pages hold together and need no network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from doc_pages import COMMANDS, DOCS, describe

pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")


def build(kind: str, folder: Path) -> Path:
    """Build, every warning an error; return the folder."""
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", kind]
    done = subprocess.run(
        [*command, "-d", str(folder / "trees"), str(DOCS), str(folder / kind)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / kind


class Page(HTMLParser):
    """What a page of HTML links to and loads, and what it can be linked to by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("script", "img", "iframe", "source") and "src" in given:
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(given["href"])


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Path:
    """The built pages."""
    return build("html", tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="module")
def pages(html) -> dict[Path, Page]:
    """The pages, by their files."""
    return {path: Page(path.read_text()) for path in sorted(html.rglob("*.html"))}


def test_links_within_the_documentation_resolve(html, pages):
    n_links = 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), (path.relative_to(html), link)
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, (path.name, link)
            n_links += 1
    assert n_links > 500


def test_no_page_loads_anything_from_elsewhere(html, pages):
    for path, page in pages.items():
        for source in page.loads:
            assert not urlsplit(source).netloc, (path.name, source)
            assert (path.parent / unquote(urlsplit(source).path)).is_file(), (path.name, source)
    for sheet in html.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import\s*)['\"]?(?:https?:)?//", sheet.read_text()), sheet


def test_every_option_has_an_anchor(pages):
    for name in COMMANDS:
        page = next(page for path, page in pages.items() if path.match(f"commands/{name}.html"))
        for group in describe(name).groups:
            for option in group.options:
                for form in option.names:
                    anchor = f"cmdoption-lmmgwas-{name}-{form.lstrip('-')}"
                    short = f"cmdoption-lmmgwas-{name}-{form.removeprefix('-')}"
                    assert {anchor, short} & page.ids, (name, form)


def test_every_code_has_an_anchor(pages):
    page = next(page for path, page in pages.items() if path.match("reference/messages.html"))
    text = (DOCS / "reference" / "messages.md").read_text()
    codes = re.findall(r"^([EW]\d{3})$", text, re.MULTILINE)
    assert len(codes) > 150
    assert {f"term-{code}" for code in codes} <= page.ids


def test_formulas_are_drawn_by_the_browser(html, pages):
    path = html / "explain" / "model.html"
    text = path.read_text()
    assert text.count("<math") > 20
    assert not any("mathjax" in source.lower() for source in pages[path].loads)
    assert "\\frac" not in text


def test_pictures_are_small():
    for path in sorted((DOCS / "_static").rglob("*.png")):
        assert path.stat().st_size < 150_000, path.name


def test_man_pages(tmp_path):
    folder = build("man", tmp_path)
    names = {path.name for path in folder.rglob("*.1")}
    assert names == {"lmmgwas.1", *(f"lmmgwas-{name}.1" for name in COMMANDS)}
    for name in COMMANDS:
        text = next(folder.rglob(f"lmmgwas-{name}.1")).read_text().replace("\\-", "-")
        assert ".SH NAME" in text
        assert ".SH SYNOPSIS" in text
        for group in describe(name).groups:
            assert all(form in text for option in group.options for form in option.names)

"""The report as one HTML file: templates, escaping, and a policy that allows nothing else.

Two ways lead text into the page: `fill`, which escapes all that is not markup of ours, and a
block of JSON that the page's script reads. The policy names each script and style by its
SHA-256: nothing else runs, and no address is asked.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from string import Template
from typing import Any

from lmmgwas.errors import escape_control
from lmmgwas.report import style
from lmmgwas.report.content import Bar, Cell, Fact, Page, Picture, Table, TraitPart
from lmmgwas.report.interactive import FREQUENCY_CLASSES

_HASHED = re.compile(r"<(script|style)(?: id=\"[\w.-]+\")?>(.*?)</\1>", re.DOTALL)
_PLOTLY_STYLE = "/* plotly.js adds its rules here */"
_STYLE_OF_MAPS = re.compile(r"document\.getElementById\(\"([0-9a-f]{64})\"\)")
_NO_MARKUP = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def render_page(page: Page, plotly_js: str) -> str:
    """Return the page; the same content gives the same text.

    `plotly_js` is the library's text, which stands in the page once.
    """
    if re.search(r"</script|<!--", plotly_js, re.IGNORECASE):
        plotly_js = _disarm(plotly_js)
    parts = [_trait(index, part) for index, part in enumerate(page.traits)]
    text = fill(
        "page.html",
        policy=Markup("@POLICY@"),
        software=page.software,
        title=page.title,
        summary=page.summary,
        mark=_script("mark.js"),
        style=_style(),
        plotly_styles=_plotly_styles(plotly_js),
        links=_links(page),
        overview=_overview(page),
        traits=_join(parts),
        samples=_samples(page),
        methods=page.methods,
        warnings=_warnings(page.warnings),
        notes=_notes(page.notes),
        manifest=_join(_escape(line) for line in page.manifest.split("\n")),
        data=_json({"traits": [part.plots or {} for part in page.traits]}),
        plotly=Markup("@PLOTLY@"),
        script=_script("page.js"),
    )
    content = text.replace("@POLICY@", _policy(text, plotly_js), 1)
    before, _, after = content.rpartition("@PLOTLY@")
    return "".join((before, plotly_js, after))


def fill(name: str, /, **values: object) -> Markup:
    """Return a template of the folder `page` with its values, escaped unless they are Markup."""
    return Markup(Template(_load(name)).substitute({k: _escape(v) for k, v in values.items()}))


def _escape(value: object) -> str:
    """Text that a browser shows as it is; control and direction characters as escapes."""
    if isinstance(value, Markup):
        return value
    return html.escape(escape_control(str(value)))


@cache
def _load(name: str) -> str:
    """A file of the folder `page`."""
    return resources.files("lmmgwas.report").joinpath("page", name).read_text(encoding="utf-8")


def _script(name: str) -> Markup:
    return Markup(_load(name))


def _style() -> Markup:
    colours = {
        "ink": style.INK,
        "muted": style.MUTED,
        "grid": style.GRID,
        "rule": style.RULE,
        "dark": style.DARK,
        "light": style.LIGHT,
        "significant": style.SIGNIFICANT,
        "band": style.BAND,
    }
    return Markup(Template(_load("page.css")).substitute(colours))


def _plotly_styles(plotly_js: str) -> Markup:
    """Elements that plotly.js looks for before it makes styles of its own, which it must not.

    The first takes its rules. Others are of maps, which it brings and this page has none of.
    """
    places = ["plotly.js-style-global", *dict.fromkeys(_STYLE_OF_MAPS.findall(plotly_js))]
    return _join(_element("style", Markup(_PLOTLY_STYLE), id=place) for place in places)


def _disarm(script: str) -> str:
    """Break up what would end a script early; in a string it means the same."""
    return re.sub(r"<(?=/script|!--)", r"\\x3c", script, flags=re.IGNORECASE)


def _policy(text: str, plotly_js: str) -> str:
    """Return the content security policy of a page without plotly.js, and of that."""
    found: dict[str, list[str]] = {"script": [_digest(plotly_js)], "style": []}
    for kind, content in _HASHED.findall(text):
        if content != "@PLOTLY@":
            found[kind].append(_digest(content))
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(dict.fromkeys(found['script']))}",
            f"style-src {' '.join(dict.fromkeys(found['style']))}",
            "img-src data:",
            "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(content: Any) -> Markup:
    """JSON that cannot end the element it stands in; names without control characters."""
    text = json.dumps(_shown(content), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_NO_MARKUP))


def _shown(value: Any) -> Any:
    """The same with every text as `_escape` would show it."""
    if isinstance(value, str):
        return value if value.isascii() and value.isprintable() else escape_control(value)
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list) and not (value and isinstance(value[0], int | float)):
        return [_shown(item) for item in value]
    return value


def _join(parts: Iterable[str]) -> Markup:
    return Markup("\n".join(parts))


def _element(tag: str, text: object, /, **attributes: object) -> Markup:
    """An element; `class_` stands for class, `data_x` for data-x, None for no attribute."""
    given = [(k.strip("_").replace("_", "-"), v) for k, v in attributes.items() if v is not None]
    shown = "".join(f' {name}="{_escape(value)}"' for name, value in given)
    return Markup(f"<{tag}{shown}>{_escape(text)}</{tag}>")


def _anchor(index: int) -> str:
    return f"trait-{index + 1}"


def _links(page: Page) -> Markup:
    places: list[tuple[str, str, str | None]] = []
    if page.overview.rows:
        places.append(("overview", "Overview", None))
    places += [(_anchor(k), part.name, "trait") for k, part in enumerate(page.traits)]
    if page.samples is not None:
        places.append(("samples", "Samples", None))
    places.append(("methods", "Methods", None))
    if page.warnings:
        places.append(("warnings", f"Warnings ({len(page.warnings)})", None))
    places.append(("run", "The run", None))
    return _join(_element("a", text, href=f"#{where}", class_=kind) for where, text, kind in places)


def _overview(page: Page) -> Markup:
    if not page.overview.rows:
        return Markup("")
    inner = _join([_element("h2", "Overview"), _table(page.overview)])
    return _element("section", inner, id="overview", data_table="overview")


def _trait(index: int, part: TraitPart) -> Markup:
    anchor = _anchor(index)
    return fill(
        "trait.html",
        anchor=anchor,
        index=index,
        name=part.name,
        facts=_join(_fact(fact) for fact in part.facts),
        plots=_plots(part),
        leads_name="leads",
        leads_title="Lead variants",
        leads=_table(part.leads),
        regions=_regions(part.regions),
        fits=_more("Null models by group", None if part.fits is None else _table(part.fits)),
        excluded=_more(
            "Variants that were not tested", None if part.excluded is None else _bars(part.excluded)
        ),
    )


def _more(summary: str, content: Markup | None) -> Markup:
    """What is shown on demand; nothing where it is not known."""
    if content is None:
        return Markup("")
    return _element("details", Markup(_element("summary", summary) + content), class_="more")


def _fact(fact: Fact) -> Markup:
    detail = _element("small", fact.detail) if fact.detail else Markup("")
    value = _element("dd", Markup(_escape(fact.value) + detail))
    return _element("div", _join([_element("dt", fact.label), value]))


def _plots(part: TraitPart) -> Markup:
    if part.plots is None:
        return Markup("")
    kinds = zip(part.static, ("", " qq"), strict=False)
    images = [*(_static(picture, kind) for picture, kind in kinds), Markup(""), Markup("")]
    return fill(
        "plots.html",
        manhattan_static=images[0],
        manhattan_caption=part.captions[0],
        qq_static=images[1],
        qq_caption=part.captions[1],
        classes=_classes(part.classes),
        h2=fill("h2.html") if part.plots.get("h2") else "",
    )


def _static(picture: Picture, kind: str) -> Markup:
    """A picture for readers without JavaScript."""
    return _element("noscript", _element("div", _image(picture), class_=f"static{kind}"))


def _image(picture: Picture) -> Markup:
    data = base64.b64encode(picture.png).decode()
    return Markup(f'<img src="data:image/png;base64,{data}" alt="{_escape(picture.title)}">')


def _regions(pictures: tuple[Picture, ...]) -> Markup:
    if not pictures:
        return Markup("")
    figures = [
        _element("figure", _join([_image(picture), _element("figcaption", picture.title)]))
        for picture in pictures
    ]
    inner = [_element("h3", "Regions"), _element("div", _join(figures), class_="regions")]
    return _element("section", _join(inner), class_="leads")


def _classes(table: Table) -> Markup:
    """The table of frequency classes, each with the colour of its curve."""
    names = [name for _, _, name in FREQUENCY_CLASSES]
    rows = []
    for row in table.rows:
        k = names.index(row[0].text) + 1 if row[0].text in names else 0
        dot = _element("span", "", class_=f"swatch c{k}")
        first = _element("td", Markup(dot + _escape(row[0].text)), class_="text")
        rows.append(_element("tr", _join([first, *map(_cell, row[1:])])))
    return _element("div", _grid(table, rows), class_="classes")


def _table(table: Table) -> Markup:
    """A table, and a note on it."""
    note = _element("p", table.note, class_="note") if table.note else Markup("")
    if not table.rows:
        return note
    rows = [_element("tr", _join(map(_cell, row))) for row in table.rows]
    return _join([_grid(table, rows), note])


def _grid(table: Table, rows: list[Markup]) -> Markup:
    numbers = [all(row[k].is_number for row in table.rows) for k in range(len(table.columns))]
    heads = [
        _element("th", name, scope="col", class_="number" if number else None)
        for name, number in zip(table.columns, numbers, strict=True)
    ]
    head = _element("thead", _element("tr", _join(heads)))
    inner = _element("table", _join([head, _element("tbody", _join(rows))]))
    return _element("div", inner, class_="scroll", tabindex="0")


def _cell(cell: Cell) -> Markup:
    order = None if cell.order is None else f"{cell.order:.12g}"
    chrom, pos = cell.target if cell.target is not None else (None, None)
    return _element(
        "td",
        cell.text,
        class_="number" if cell.is_number else "text",
        data_order=order,
        data_copy=cell.copied,
        data_chrom=chrom,
        data_pos=pos,
    )


def _bars(bars: tuple[Bar, ...]) -> Markup:
    """Counts as bars of a common scale."""
    if not bars:
        return _element("p", "None.", class_="note")
    whole = max(bar.count for bar in bars) or 1
    lines = []
    for bar in bars:
        detail = _element("small", bar.detail) if bar.detail else Markup("")
        width = f"{100 * bar.count / whole:.2f}"
        rect = Markup(f'<rect width="{width}" height="8"/>')
        drawn = Markup(
            f'<svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{rect}</svg>'
        )
        lines += [
            _element("dt", Markup(_escape(bar.label) + detail)),
            _element("dd", drawn, class_="loss" if bar.is_loss else None),
            _element("dd", f"{bar.count:,}", class_="n"),
        ]
    return _element("dl", _join(lines), class_="bars")


def _samples(page: Page) -> Markup:
    if page.samples is None:
        return Markup("")
    inner = _join([_element("h2", "Samples"), _bars(page.samples)])
    return _element("section", inner, id="samples")


def _warnings(warnings: tuple[str, ...]) -> Markup:
    if not warnings:
        return Markup("")
    inner = [_element("h2", "Warnings"), _list(warnings, None)]
    return _element("section", _join(inner), id="warnings", class_="warnings")


def _notes(notes: tuple[str, ...]) -> Markup:
    if not notes:
        return Markup("")
    summary = _element("summary", f"Notes ({len(notes)})")
    return _element("details", _join([summary, _list(notes, "plain")]))


def _list(lines: tuple[str, ...], kind: str | None) -> Markup:
    return _element("ul", _join(_element("li", line) for line in lines), class_=kind)

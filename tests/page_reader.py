"""What a page of the report holds, read as a browser would."""

import json
from html.parser import HTMLParser
from pathlib import Path

STUB = "window.Plotly = {};\n"
"""In place of plotly.js, where a test needs none of it."""
NO_PLOTLY = "needs plotly (pip install 'lmmgwas[report]')"


class Reader(HTMLParser):
    """Elements with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inner: list[tuple[str, dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, attributes = self._open[-1]
            self.inner.append((tag, attributes, data))
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def policy(self) -> dict[str, list[str]]:
        key = "http-equiv"
        [content] = [a["content"] for _, a in self.elements if a.get(key, "").startswith("Con")]
        parts = [part.split() for part in str(content).split(";")]
        return {part[0]: part[1:] for part in parts}

    @property
    def data(self) -> dict[str, object]:
        [text] = [x for _, a, x in self.inner if a.get("type") == "application/json"]
        return json.loads(text)


def path_of(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)

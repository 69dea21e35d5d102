"""What stands on the report's page, before it is HTML.

All text is as it came from files and options: `render` escapes every piece of it.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure that is drawn already."""

    title: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Fact:
    """A number that a reader looks for first."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: as shown, as it is sorted, and as it is copied."""

    text: str
    order: float | None = None  # None: by the text
    copied: str | None = None  # None: the text
    target: tuple[int, int] | None = None  # chromosome (index) and position to zoom to

    @property
    def is_number(self) -> bool:
        """Whether it is set to the right."""
        return self.order is not None


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the names of its columns, and what a reader should know of it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A count out of a whole, drawn as a bar."""

    label: str
    count: int
    detail: str = ""
    is_loss: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TraitPart:
    """One trait's part of the page."""

    name: str
    facts: tuple[Fact, ...]
    leads: Table
    classes: Table  # lambda by frequency
    fits: Table | None  # null models; None where they are not known
    excluded: tuple[Bar, ...] | None
    plots: dict[str, Any] | None = None  # manhattan, qq, h2: as `interactive` has them
    captions: tuple[str, str] = ("", "")  # of Manhattan and QQ plot
    static: tuple[Picture, ...] = ()  # the same plots for readers without JavaScript
    regions: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """The whole page."""

    title: str
    summary: str
    traits: tuple[TraitPart, ...]
    overview: Table
    samples: tuple[Bar, ...] | None  # None where they are not known
    methods: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    manifest: str  # JSON text
    software: str

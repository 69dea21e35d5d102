"""What every figure shares: colours, type, clean text, labels that keep apart, saving.

Figures are made as objects on an Agg canvas: pyplot and its global state are never touched, and
the user's own matplotlib settings do not change the look. The same figure gives the same bytes.
"""

import io
import math
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from fontTools.subset import Options
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from matplotlib.text import Text
from PIL import Image

from lmmgwas.io.writing import write_error

DPI = 345
MANHATTAN_SIZE = (2000 / DPI, 960 / DPI)
QQ_SIZE = (1100 / DPI, 1100 / DPI)
POINTS_PER_INCH = 72.0

DARK = "#1f3a5f"
LIGHT = "#7fa8cf"
SIGNIFICANT = "#d55e00"
BAND = "#d5dee8"
INK = "#1a1a1a"
MUTED = "#5f6b76"
RULE = "#8a949d"
GRID = "#e9ecef"

TITLE_SIZE = 9.5
TEXT_SIZE = 8.0
SMALL_SIZE = 6.8
SMALLEST_TITLE = 7.5

MAX_TEXT = 60
ELLIPSIS = "…"
UNKNOWN_CHARACTER = "\ufffd"

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_RIM = 0.04
_LIFT = 0.06
_RASTER_DPI_PDF = 300
_PNG_EFFORT = 6  # of 9, which takes five times as long for a file smaller by a seventh
_RAMP_STEPS = 12
_BLEND_STEPS = 4
_DROPPED = "_drop_tables_default"
_LAYOUT_TABLES = ("GSUB", "GPOS", "GDEF", "kern")
_NOT_STYLE = frozenset({"backend", "backend_fallback", "interactive", "toolbar", "timezone"})
_OWN_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT_SIZE,
    "mathtext.fontset": "dejavusans",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT_SIZE,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": TEXT_SIZE,
    "ytick.labelsize": TEXT_SIZE,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "pdf.fonttype": 42,
    "pdf.compression": 9,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw under this module's settings, whatever the user's matplotlibrc says."""
    defaults = matplotlib.rcParamsDefault
    settings: dict[Any, Any] = {name: defaults[name] for name in defaults if name not in _NOT_STYLE}
    with matplotlib.rc_context(settings | _OWN_STYLE):
        yield


def new_axes(size: tuple[float, float], margins: tuple[float, float, float, float]) -> Axes:
    """Return the axes of a new figure; margins in inches: left, right, bottom, top."""
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    left, right, bottom, top = margins
    width, height = size
    return figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    )


def figure_of(axes: Axes) -> Figure:
    """Return the figure that holds `axes`."""
    figure = axes.get_figure(root=True)
    if figure is None:  # pragma: no cover - axes made by `new_axes` have one
        raise ValueError("axes without a figure")
    return figure


def axes_points(axes: Axes) -> tuple[float, float]:
    """Return the width and height of `axes` in points."""
    box, figure = axes.get_position(), figure_of(axes)
    width = box.width * figure.get_figwidth() * POINTS_PER_INCH
    return width, box.height * figure.get_figheight() * POINTS_PER_INCH


@cache
def _known_characters() -> frozenset[int]:
    """The characters that the font shipped with matplotlib can show."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return frozenset(get_font(str(path)).get_charmap())


def clean_text(text: str, max_length: int = MAX_TEXT) -> str:
    """Return text from a file as one short printable line.

    Blanks are merged, control and formatting characters removed, characters that the font
    lacks shown as a replacement sign, and what is over `max_length` cut with an ellipsis.
    """
    merged = " ".join(text[: 20 * max_length].split())
    kept = (c for c in merged if unicodedata.category(c) not in ("Cc", "Cf"))
    known = _known_characters()
    line = "".join(c if ord(c) in known else UNKNOWN_CHARACTER for c in kept)
    return line if len(line) <= max_length else line[: max_length - 1].rstrip() + ELLIPSIS


def text_extent(figure: Figure, text: str, size: float) -> tuple[float, float]:
    """Return the width and height in points of `text` when drawn at `size` points."""
    probe = Text(0, 0, text, fontsize=size, parse_math=False, figure=figure)
    box = probe.get_window_extent()
    scale = POINTS_PER_INCH / figure.dpi
    return float(box.width) * scale, float(box.height) * scale


def add_title(axes: Axes, title: str, subtitle: str, right: float = 0.985) -> None:
    """Write a title from a file and a line of our own under it, left-aligned above `axes`.

    The title ends before `right`, a fraction of the figure's width.
    """
    figure = figure_of(axes)
    box = axes.get_position()
    room = (right - box.x0) * figure.get_figwidth() * POINTS_PER_INCH
    line = clean_text(title)
    size = TITLE_SIZE
    width = text_extent(figure, line, size)[0]
    if width > room:
        size = max(SMALLEST_TITLE, size * room / width)
    while len(line) > 2 and text_extent(figure, line, size)[0] > room:
        line = line[:-2].rstrip() + ELLIPSIS
    height = figure.get_figheight()
    figure.text(
        box.x0,
        1 - 0.07 / height,
        line,
        fontsize=size,
        fontweight="normal",
        va="top",
        parse_math=False,
    )
    figure.text(
        box.x0, 1 - 0.25 / height, subtitle, fontsize=SMALL_SIZE + 0.4, color=MUTED, va="top"
    )


def add_axis_labels(axes: Axes, x_label: str, y_label: str) -> None:
    """Write axis labels of our own at fixed places by the rim, however wide the ticks are."""
    figure = figure_of(axes)
    axes.set_xlabel(x_label, va="bottom")
    axes.set_ylabel(y_label, va="top")
    rim = figure.transFigure
    box = axes.get_position()
    axes.xaxis.set_label_coords((box.x0 + box.x1) / 2, _RIM / figure.get_figheight(), transform=rim)
    axes.yaxis.set_label_coords(_RIM / figure.get_figwidth(), (box.y0 + box.y1) / 2, transform=rim)


def raise_x_label(axes: Axes) -> None:
    """Move the label of the x axis nearer where tick labels take one row only."""
    x, y = axes.xaxis.label.get_position()
    lift = _LIFT / figure_of(axes).get_figheight()
    axes.xaxis.set_label_coords(x, y + lift, transform=figure_of(axes).transFigure)


def add_empty_message(axes: Axes, text: str) -> None:
    """Say in the middle of an empty frame why it is empty."""
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=MUTED,
        parse_math=False,
    )


def count_phrase(count: int, noun: str) -> str:
    """Return `1 variant`, `12,034 variants`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def sample_phrases(n_samples: int) -> list[str]:
    """Return how many samples there are, nothing where a table does not say."""
    return [count_phrase(n_samples, "sample")] if n_samples else []


def p_phrase(p: float) -> str:
    """Return a p-value in two digits as it is written in a paper: 5×10⁻⁸."""
    mantissa, exponent = f"{p:.1e}".split("e")
    if -3 < int(exponent) <= 0:
        return f"{p:.2g}"
    return _power_phrase(mantissa, int(exponent))


def log_p_phrase(neg_log10_p: float) -> str:
    """Return `p_phrase` of a p that may be below the smallest double."""
    if neg_log10_p < 300.0:
        return p_phrase(10.0**-neg_log10_p)
    whole = math.floor(-neg_log10_p)
    mantissa, carry = f"{10.0 ** (-neg_log10_p - whole):.1e}".split("e")
    return _power_phrase(mantissa, whole + int(carry))


def _power_phrase(mantissa: str, exponent: int) -> str:
    mantissa = mantissa.removesuffix(".0")
    power = "10" + str(exponent).translate(_SUPERSCRIPT)
    return power if mantissa == "1" else f"{mantissa}×{power}"


def lambda_phrase(lambda_gc: float) -> str:
    """Return lambda_gc as it stands in a figure (mathtext of our own making)."""
    value = f"{lambda_gc:.3f}" if math.isfinite(lambda_gc) else "NA"
    return rf"$\lambda_{{\mathrm{{GC}}}}$ = {value}"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _blend(a: str, b: str, steps: int) -> list[tuple[int, int, int]]:
    """Return the colours strictly between `a` and `b`."""
    pairs = list(zip(_rgb(a), _rgb(b), strict=True))
    return [
        (
            round(pairs[0][0] + (pairs[0][1] - pairs[0][0]) * k / steps),
            round(pairs[1][0] + (pairs[1][1] - pairs[1][0]) * k / steps),
            round(pairs[2][0] + (pairs[2][1] - pairs[2][0]) * k / steps),
        )
        for k in range(1, steps)
    ]


@cache
def _palette(more: tuple[str, ...] = ()) -> Image.Image:
    """Every colour of the figures, its way to white, and the edges where points overlap.

    `more` are colours of one kind of figure.
    """
    inks = (DARK, LIGHT, SIGNIFICANT, INK, MUTED, *more)
    colours = [_rgb(c) for c in (*inks, "#ffffff", BAND, RULE, GRID)]
    for ink in inks:
        colours += _blend(ink, "#ffffff", _RAMP_STEPS)
    for a, b in ((DARK, LIGHT), (DARK, SIGNIFICANT), (LIGHT, SIGNIFICANT), (DARK, BAND)):
        colours += _blend(a, b, _BLEND_STEPS)
    image = Image.new("P", (1, 1))
    image.putpalette([value for colour in colours for value in colour])
    return image


def png_bytes(figure: Figure, more: tuple[str, ...] = ()) -> bytes:
    """Return the figure as a paletted PNG without anything that varies between runs.

    `more` are its colours beyond those that all figures have.
    """
    raw = io.BytesIO()
    with figure_style():
        figure.savefig(raw, format="rgba", dpi=DPI)
        size = figure.canvas.get_width_height()
    image = Image.frombytes("RGBA", size, raw.getvalue()).convert("RGB")
    paletted = image.quantize(palette=_palette(more), dither=Image.Dither.NONE)
    stream = io.BytesIO()
    paletted.save(stream, format="PNG", compress_level=_PNG_EFFORT, dpi=(DPI, DPI))
    return stream.getvalue()


def pdf_bytes(figure: Figure) -> bytes:
    """Return the figure as a PDF: vector axes and text, rasterised points, no date."""
    stream = io.BytesIO()
    undated = {"Creator": None, "Producer": None, "CreationDate": None}
    with figure_style(), _plain_fonts():
        figure.savefig(stream, format="pdf", dpi=_RASTER_DPI_PDF, metadata=undated)
    return stream.getvalue()


@contextmanager
def _plain_fonts() -> Iterator[None]:
    """Embed fonts without the tables by which text is laid out.

    No viewer asks for them, as every glyph has its place by then; to take them apart is half of
    the time that a PDF takes. fontTools has no public way to say so through matplotlib.
    """
    usual = getattr(Options, _DROPPED, None)
    if usual is None:
        yield
        return
    setattr(Options, _DROPPED, [*usual, *_LAYOUT_TABLES])
    try:
        yield
    finally:
        setattr(Options, _DROPPED, usual)


def save_png(figure: Figure, path: Path, more: tuple[str, ...] = ()) -> None:
    """Write `png_bytes` to `path`."""
    _write(path, png_bytes(figure, more))


def save_pdf(figure: Figure, path: Path) -> None:
    """Write `pdf_bytes` to `path`."""
    _write(path, pdf_bytes(figure))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise write_error(path, error, "E111") from error

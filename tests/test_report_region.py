"""Tests of regional plots: classes of r2, colours, gene tracks without overlap, what is drawn."""

import io
import re

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from lmmgwas.report import style
from lmmgwas.report.region import (
    LEAD_COLOUR,
    R2_BOUNDS,
    R2_COLOURS,
    UNKNOWN,
    UNKNOWN_COLOUR,
    Gene,
    Region,
    pack_genes,
    r2_classes,
)
from lmmgwas.report.region_plot import COLOURS, RegionFacts, draw_region

HOSTILE = (
    r"$\frac{1$",
    "x" * 5000,
    "tab\there\nline\x1b[31m\x00 and \u202e reversed",
    "名前 \udcff \U0001f600",
    "",
    "$",
    "<script>alert(1)</script>",
)
FACTS = RegionFacts("Height", 479, 5e-8)
LIMIT_BYTES = 200_000


def simulated(k: int = 300, seed: int = 0, start: int = 1_000_001, **changes) -> Region:
    rng = np.random.default_rng(seed)
    end = start + 1_000_000
    pos = np.sort(rng.integers(start, end, k))
    lead = k // 2
    pos[lead] = (pos[max(lead - 1, 0)] + pos[min(lead + 1, k - 1)]) // 2
    r2 = np.exp(-np.abs(pos - pos[lead]) / 60_000) * rng.uniform(0.2, 1.0, k)
    r2[lead] = 1.0
    neg_log10_p = 20 * r2 * rng.uniform(0.7, 1.0, k) - np.log10(rng.random(k))
    neg_log10_p[lead] = neg_log10_p.max() + 1.0
    values = {
        "trait": "height",
        "lead_id": "rs1",
        "chrom": "6",
        "lead_pos": int(pos[lead]),
        "start": start,
        "end": end,
        "pos": pos,
        "neg_log10_p": neg_log10_p,
        "r2": r2,
        "marker_ids": tuple("rs1" if j == lead else f"rs{j + 10}" for j in range(k)),
    }
    return Region(**(values | changes))


def genes(count: int, start: int = 1_000_001, length: int = 30_000, seed: int = 1):
    rng = np.random.default_rng(seed)
    begins = np.sort(rng.integers(start - 50_000, start + 1_000_000, count))
    ends = begins + rng.integers(500, length, count)
    return tuple(
        Gene(f"GENE{j}", int(begin), int(end), "+-."[j % 3])
        for j, (begin, end) in enumerate(zip(begins, ends, strict=True))
    )


def texts_of(figure: Figure) -> list[Text]:
    figure.canvas.draw()
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def words_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts_of(figure))


def points_of(figure: Figure, gid: str) -> Line2D:
    (line,) = [line for line in figure.axes[0].lines if line.get_gid() == gid]
    return line


def assert_apart(boxes: list) -> None:
    for k, box in enumerate(boxes):
        for other in boxes[:k]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0
            assert apart or box.y1 <= other.y0 or other.y1 <= box.y0


# classes and colours


def test_classes_begin_at_their_bounds() -> None:
    r2 = np.array([0.0, 0.19999, 0.2, 0.4, 0.59, 0.6, 0.8, 1.0, np.nan])
    assert r2_classes(r2).tolist() == [0, 0, 1, 2, 2, 3, 4, 4, UNKNOWN]
    assert len(R2_BOUNDS) + 1 == len(R2_COLOURS)


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
SIGHT = {
    "full": np.eye(3),
    "no red": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no green": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no blue": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lab(colour: str, sight: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as such eyes see it."""
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(sight @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", sorted(SIGHT))
def test_colours_are_apart_for_every_kind_of_sight(sight: str) -> None:
    """A difference of 2.3 can just be seen; ten times that is told apart in small marks."""
    colours = [lab(c, SIGHT[sight]) for c in (*R2_COLOURS, "#ffffff", LEAD_COLOUR)]
    for k, one in enumerate(colours):
        for other in colours[:k]:
            assert np.linalg.norm(one - other) > 20.0


# genes


@st.composite
def packed(draw):
    count = draw(st.integers(0, 40))
    ends = st.floats(-50, 400, allow_nan=False)
    bars = np.array([sorted((draw(ends), draw(ends))) for _ in range(count)]).reshape(-1, 2)
    widths = np.array([draw(st.sampled_from([0.0, 12.0, 33.0, 500.0])) for _ in range(count)])
    return bars, widths, draw(st.integers(1, 9))


@given(packed())
@settings(max_examples=200, deadline=None)
def test_neither_bars_nor_names_overlap(given_genes) -> None:
    bars, widths, most = given_genes
    tracks = pack_genes(bars, widths, 150.0, 300.0, most)
    assert tracks.n_rows <= most
    n_rows = tracks.n_rows + tracks.n_bar_rows
    assert (tracks.row < n_rows).all()
    assert not tracks.named[tracks.row >= tracks.n_rows].any()
    for row in range(n_rows):
        own = np.flatnonzero(tracks.row == row)
        half = np.where(tracks.named[own], np.minimum(widths[own], 300.0) / 2, 0.0)
        left = np.minimum(tracks.left[own], tracks.label[own] - half)
        right = np.maximum(tracks.right[own], tracks.label[own] + half)
        left[half == 0], right[half == 0] = (
            tracks.left[own][half == 0],
            tracks.right[own][half == 0],
        )
        order = np.argsort(left)
        gap = 2.999 if row < tracks.n_rows else 0.799
        assert (left[order][1:] >= right[order][:-1] + gap).all()
    named = tracks.named
    assert (tracks.label[named] - np.minimum(widths[named], 300) / 2 >= -1e-9).all()
    assert (tracks.label[named] + np.minimum(widths[named], 300) / 2 <= 300 + 1e-9).all()
    assert not named[(tracks.row < 0) | (widths == 0)].any()
    if (tracks.row >= 0).all() and named[widths > 0].all():
        return
    assert tracks.n_rows == most  # whoever is left out, it was for want of room
    if (tracks.row < 0).any():
        assert tracks.n_bar_rows == 4


def test_of_too_many_genes_the_nearest_are_named() -> None:
    bars = np.column_stack([np.arange(0.0, 300, 2), np.arange(1.0, 301, 2)])
    tracks = pack_genes(bars, np.full(150, 30.0), 150.0, 300.0, 3)
    away = np.abs(bars[:, 0] - 150.0)
    assert 20 < tracks.named.sum() < 31
    assert tracks.named[away <= 1].all()
    assert (tracks.row >= 0).all()
    assert tracks.n_rows == 3
    assert 1 <= tracks.n_bar_rows <= 2


def test_no_gene_takes_no_row() -> None:
    assert pack_genes(np.empty((0, 2)), np.empty(0), 1.0, 2.0, 3).n_rows == 0


# the picture


def test_every_variant_is_drawn_in_its_class_once() -> None:
    region = simulated(300, r2=np.where(np.arange(300) % 7 == 0, np.nan, simulated(300).r2))
    figure = draw_region(region, FACTS)
    classes = r2_classes(region.r2)
    others = np.arange(300) != region.lead
    for k in range(UNKNOWN, len(R2_COLOURS)):
        line = points_of(figure, f"r2 {k}")
        x, y = line.get_data()
        chosen = (classes == k) & others
        assert sorted(zip(x, y, strict=True)) == sorted(
            zip(region.pos[chosen], region.neg_log10_p[chosen], strict=True)
        )
        colour = UNKNOWN_COLOUR if k == UNKNOWN else R2_COLOURS[k]
        seen = line.get_markeredgecolor() if k == UNKNOWN else line.get_markerfacecolor()
        assert to_hex(seen) == colour
    lead = points_of(figure, "lead")
    assert [float(v[0]) for v in lead.get_data()] == [
        region.lead_pos,
        region.neg_log10_p[region.lead],
    ]
    assert lead.get_zorder() > max(
        line.get_zorder() for line in figure.axes[0].lines if line is not lead
    )
    words = words_of(figure)
    for said in ("Height", "rs1", "479 samples", "300 variants", "chromosome 6 (Mb)", "unknown"):
        assert said in words


def test_high_r2_lies_above_low() -> None:
    figure = draw_region(simulated(), FACTS)
    orders = [points_of(figure, f"r2 {k}").get_zorder() for k in range(-1, 5)]
    assert orders == sorted(set(orders))


@pytest.mark.parametrize("threshold", [5e-8, 1e-4, 1e-30])
def test_the_line_of_significance(threshold: float) -> None:
    figure = draw_region(simulated(), RegionFacts("t", 5, threshold))
    axes = figure.axes[0]
    (line,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert line.get_ydata()[0] == pytest.approx(-np.log10(threshold))
    assert line.get_ydata()[0] < axes.get_ylim()[1]
    assert style.p_phrase(threshold) in words_of(figure)


def test_p_below_the_smallest_double_is_written_in_full() -> None:
    region = simulated()
    region.neg_log10_p[region.lead] = 411.91
    assert "P = 1.2×10⁻⁴¹²" in words_of(draw_region(region, FACTS))


@pytest.mark.parametrize("count", [0, 1, 12, 80, 700])
def test_genes_are_drawn_or_counted(count: int) -> None:
    region = simulated(genes=genes(count), genes_known=True)
    figure = draw_region(region, FACTS)
    axes = figure.axes[1]
    bars = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_gid() == "gene"]
    found = re.search(r"([0-9,]+) genes?\nnot drawn", words_of(figure))
    n_hidden = int(found[1].replace(",", "")) if found else 0
    assert len(bars) + n_hidden == count
    figure.canvas.draw()
    names = [text for text in axes.texts if "GENE" in text.get_text()]
    assert_apart([text.get_window_extent() for text in names])
    assert_apart([bar.get_window_extent() for bar in bars])
    frame = axes.get_window_extent()
    assert all(frame.y0 <= bar.get_window_extent().y0 for bar in bars)
    assert all(text.get_window_extent().y1 <= frame.y1 + 1 for text in names)
    if count == 12:
        shown = {text.get_text() for text in names}
        assert shown == {
            {"+": f"{g.name} →", "-": f"← {g.name}"}.get(g.strand, g.name) for g in region.genes
        }
    if count == 0:
        assert "No gene" in words_of(figure)


def test_a_gene_lies_where_it_is() -> None:
    region = simulated(genes=(Gene("A", 1_200_000, 1_300_000, "+"), Gene("B", 1, 9_000_000, "-")))
    figure = draw_region(region, FACTS)
    first, second = (p for p in figure.axes[1].patches if p.get_gid() == "gene")
    assert sorted([first.get_x(), second.get_x()]) == pytest.approx([1_000_001, 1_200_000])
    widths = sorted([first.get_width(), second.get_width()])
    assert widths == pytest.approx([100_001, 1_000_000], rel=1e-6)
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == (region.start, region.end)


def test_without_a_file_of_genes_there_is_one_panel() -> None:
    figure = draw_region(simulated(), FACTS)
    assert len(figure.axes) == 1
    known = draw_region(simulated(genes_known=True), FACTS)
    assert len(known.axes) == 2
    assert figure.get_figheight() < known.get_figheight()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_any_text_of_a_file_is_shown_as_text(hostile: str) -> None:
    region = simulated(
        lead_id=hostile,
        chrom=hostile,
        marker_ids=(hostile,) * 300,
        genes=tuple(Gene(hostile, 1_100_000 + k * 1000, 1_150_000, "+") for k in range(5)),
    )
    figure = draw_region(region, RegionFacts(hostile, 7, 5e-8))
    width = figure.get_figwidth() * figure.dpi
    for text in texts_of(figure):
        box = text.get_window_extent()
        assert box.x0 > -1, text.get_text()
        assert box.x1 < width + 1, text.get_text()
    assert style.png_bytes(figure, COLOURS).startswith(b"\x89PNG")
    assert style.pdf_bytes(figure).startswith(b"%PDF")


@pytest.mark.parametrize("k", [1, 2, 30])
def test_few_variants(k: int) -> None:
    region = simulated(k)
    x, _ = points_of(draw_region(region, FACTS), "lead").get_data()
    assert x[0] == region.lead_pos


@pytest.mark.parametrize(
    ("start", "span", "unit", "ticks"),
    [
        (1, 512_345, "Mb", ["0.1", "0.2"]),
        (154_000_000, 1_000_000, "Mb", ["154.2", "154.4"]),
        (5_000, 20_000, "kb", ["10", "15"]),
        (10, 150, "bp", ["25", "50"]),
    ],
)
def test_positions_are_named_in_their_unit(
    start: int, span: int, unit: str, ticks: list[str]
) -> None:
    rng = np.random.default_rng(1)
    pos = np.sort(rng.integers(start, start + span, 300))
    region = simulated(start=start, end=start + span, pos=pos, lead_pos=int(pos[150]))
    words = words_of(draw_region(region, FACTS)).split("\n")
    assert any(word.endswith(f"({unit})") for word in words)
    assert set(ticks) <= set(words)


@pytest.mark.parametrize("n_samples", [479, 1_234_567])
def test_labels_do_not_collide(n_samples: int) -> None:
    region = simulated(2000, genes=genes(400), lead_id="chr6:1499999:ACGTACGTACGTTT:A")
    figure = draw_region(region, RegionFacts("A long name of a trait " * 3, n_samples, 5e-8))
    texts = texts_of(figure)
    ticks = {id(t) for axes in figure.axes for t in axes.get_xticklabels() + axes.get_yticklabels()}
    assert_apart([text.get_window_extent() for text in texts if id(text) not in ticks])


def test_thinning_of_the_dense_keeps_the_skyline() -> None:
    region = simulated(150_000)
    figure = draw_region(region, FACTS)
    drawn = sum(points_of(figure, f"r2 {k}").get_xdata().size for k in range(-1, 5))
    assert drawn < 100_000
    strong = np.flatnonzero(region.neg_log10_p >= 5)
    shown = {
        (int(x), float(y))
        for k in range(-1, 5)
        for x, y in zip(*points_of(figure, f"r2 {k}").get_data(), strict=True)
    } | {(region.lead_pos, float(region.neg_log10_p[region.lead]))}
    assert {(int(region.pos[j]), float(region.neg_log10_p[j])) for j in strong} <= shown


def test_the_same_bytes_whatever_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    region = simulated(genes=genes(30))
    first = [save(draw_region(region, FACTS)) for save in (style.png_bytes, style.pdf_bytes)]
    with matplotlib.rc_context({"font.size": 30, "lines.markersize": 40, "axes.grid": True}):
        second = [save(draw_region(region, FACTS)) for save in (style.png_bytes, style.pdf_bytes)]
    assert first == second


def test_the_colours_survive_the_palette() -> None:
    content = style.png_bytes(draw_region(simulated(600), FACTS), COLOURS)
    assert len(content) < LIMIT_BYTES
    image = Image.open(io.BytesIO(content)).convert("RGB")
    counted = {to_hex(np.array(colour) / 255) for _, colour in image.getcolors(1 << 24)}
    assert set(R2_COLOURS) | {LEAD_COLOUR} <= counted

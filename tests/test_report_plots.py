"""Tests of the figures: what is drawn, what is left out, and that bytes repeat."""

import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from scipy import stats

from lmmgwas.errors import FileAccessError
from lmmgwas.report import style
from lmmgwas.report.manhattan import LeadLabel, ManhattanData, draw_manhattan
from lmmgwas.report.qq import (
    band_ranks,
    chance_band,
    draw_qq,
    expected_neg_log10_p,
    quantile_points,
)
from lmmgwas.report.thinning import KEEP_NEG_LOG10_P, lay_out, thin_curve, thin_points

HOSTILE = (
    r"$\frac{1$",
    "x" * 5000,
    "tab\there\nline\x1b[31m\x00 and \u202e reversed",
    "名前 \udcff \U0001f600",
    "",
    "$",
)
LIMIT_BYTES = 200_000


def simulated(names=("1", "2", "3"), m=3000, seed=0, **changes):
    rng = np.random.default_rng(seed)
    k = len(names)
    chrom = np.sort(rng.integers(0, k, m))
    pos = rng.integers(1, 50_000_000, m)
    order = np.lexsort((pos, chrom))
    chrom, pos = chrom[order], pos[order]
    neg_log10_p = -np.log10(rng.random(m))
    peaks = rng.choice(m, 20, replace=False)
    neg_log10_p[peaks] = rng.uniform(8, 25, 20)
    leads = tuple(
        LeadLabel(int(chrom[j]), int(pos[j]), float(neg_log10_p[j]), f"rs{j}") for j in peaks
    )
    values = {
        "chrom_names": tuple(names),
        "chrom_index": chrom,
        "pos": pos,
        "neg_log10_p": neg_log10_p,
        "leads": leads,
        "threshold": 5e-8,
        "suggestive": 1e-5,
        "title": "Trait",
        "lambda_gc": 1.0123,
        "n_samples": 1234,
    }
    return ManhattanData(**(values | changes))


def shown_texts(figure: Figure) -> list[Text]:
    figure.canvas.draw()  # makes the tick labels
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def all_words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in shown_texts(figure))


def drawn_points(figure: Figure) -> np.ndarray:
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    return np.concatenate([np.column_stack(line.get_data()) for line in lines])


def assert_apart(texts: list[Text]) -> None:
    boxes = [text.get_window_extent() for text in texts]
    for k, box in enumerate(boxes):
        for other, text in zip(boxes[:k], texts[:k], strict=True):
            apart = (
                box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 or other.y1 <= box.y0
            )
            assert apart, f"{texts[k].get_text()} lies on {text.get_text()}"


# thinning


@pytest.mark.parametrize("m", [1, 7, 5000, 2_500_000])
def test_thinning_keeps_strong_points_and_the_skyline(m):
    rng = np.random.default_rng(m)
    x, y = rng.random(m), -np.log10(rng.random(m))
    columns, rows = grid = (50, 40)
    kept = thin_points(x, y, grid)
    assert np.all(np.diff(kept) > 0)
    strong = np.flatnonzero(y >= KEEP_NEG_LOG10_P)
    assert np.isin(strong, kept).all()
    assert kept.size <= columns * rows + strong.size
    column = np.minimum((x * columns).astype(int), columns - 1)
    for part in range(columns):
        inside = np.flatnonzero(column == part)
        if inside.size:
            assert inside[np.argmax(y[inside])] in kept
            drawn = y[kept[column[kept] == part]]
            assert drawn.min() - y[inside].min() <= y.max() / rows


def test_thinning_keeps_one_point_per_cell_the_highest_and_of_equals_the_first():
    rng = np.random.default_rng(3)
    x, y = rng.random(4000), np.round(-np.log10(rng.random(4000)), 1)
    y = np.minimum(y, KEEP_NEG_LOG10_P - 0.1)
    columns, rows = 20, 10
    best: dict[tuple[int, int], int] = {}
    for j in range(x.size):
        row = min(int(y[j] * (rows / y.max())), rows - 1)
        cell = (min(int(x[j] * columns), columns - 1), row)
        if cell not in best or y[j] > y[best[cell]]:
            best[cell] = j
    assert thin_points(x, y, (columns, rows)).tolist() == sorted(best.values())


@pytest.mark.parametrize("thin", [thin_points, thin_curve])
def test_thinning_of_nothing_and_of_zeros(thin):
    assert thin(np.empty(0), np.empty(0), (5, 5)).size == 0
    assert thin(np.zeros(4), np.zeros(4), (5, 5))[0] == 0


def test_a_thinned_curve_keeps_ends_strong_points_and_every_cell():
    m = 1_500_000
    y = -np.log10(np.random.default_rng(5).random(m))
    expected, observed = quantile_points(y)
    assert observed[0] == y.max()
    assert observed[-1] == y.min()
    assert np.count_nonzero(observed >= 5) == np.count_nonzero(y >= 5)
    assert observed.size <= 1000 + np.count_nonzero(y >= 5) + 1
    assert np.all(np.diff(expected) < 0)
    full = np.sort(y)[::-1]
    ranks = expected_neg_log10_p(np.arange(1.0, m + 1), m)
    nearest = np.searchsorted(-expected, -ranks, side="right") - 1  # the point drawn before it
    assert np.max(observed[nearest] - full) <= y.max() / 500 + 1e-12
    assert np.max(expected[nearest] - ranks) <= expected[0] / 500 + 1e-12


def test_chromosomes_follow_each_other_without_overlap():
    chrom = np.array([0, 0, 2, 2, 3, 3])
    pos = np.array([100, 2100, 5, 1005, 7, 7])
    layout = lay_out(chrom, pos, 5)
    ends = layout.left + layout.width
    drawn = layout.width > 0
    assert drawn.tolist() == [True, False, True, True, False]
    assert layout.width[0] == 2000
    assert layout.width[2] == 1000
    assert np.all(layout.left[drawn][1:] > ends[drawn][:-1])
    x = pos + layout.shift[chrom]
    assert np.all((x >= layout.left[chrom]) & (x <= ends[chrom]))
    assert layout.total == pytest.approx(ends[3], rel=1e-12)  # one sum in two orders


# QQ


def test_expected_positions_of_a_small_case():
    expected, observed = quantile_points(np.array([0.2, 3.0, 1.0]))
    np.testing.assert_array_equal(expected, -np.log10(np.array([0.5, 1.5, 2.5]) / 3))
    np.testing.assert_array_equal(observed, [3.0, 1.0, 0.2])


@pytest.mark.parametrize("m", [1, 3, 1000, 10_000_000])
def test_the_chance_band_is_that_of_order_statistics(m):
    ranks = np.unique(np.rint(band_ranks(m)))
    lower, upper = chance_band(ranks, m)
    order = stats.beta(ranks, m - ranks + 1)
    # two implementations of the same quantile, each good to about 1e-10 relative in p
    np.testing.assert_allclose(upper, -np.log10(order.ppf(0.025)), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(lower, -np.log10(order.ppf(0.975)), rtol=1e-8, atol=1e-9)
    middle = expected_neg_log10_p(ranks, m)
    assert np.all((lower <= middle) & (middle <= upper))


def test_band_ranks_run_from_first_to_last():
    ranks = band_ranks(12_345)
    assert ranks[0] == 1
    assert ranks[-1] == 12_345
    assert np.all(np.diff(ranks) > 0)


def test_qq_says_lambda_counts_and_what_is_missing():
    values = -np.log10(np.random.default_rng(1).random(5000))
    values[:7] = np.nan
    words = all_words(draw_qq(values, 1.04567, "Trait", 321))
    assert r"$\lambda_{\mathrm{GC}}$ = 1.046" in words
    assert "321 samples" in words
    assert "4,993 variants" in words
    assert "7 without a p-value" in words


def test_qq_of_nothing_is_an_empty_frame():
    figure = draw_qq(np.empty(0), float("nan"), "Trait", 0)
    assert "No variant" in all_words(figure)
    assert "= NA" in all_words(figure)
    assert style.png_bytes(figure)


# Manhattan


def test_every_significant_point_is_drawn_and_highlighted():
    data = simulated(m=20_000)
    figure = draw_manhattan(data)
    significant = [line for line in figure.axes[0].lines if line.get_color() == style.SIGNIFICANT]
    heights = np.sort(np.asarray(significant[0].get_ydata()))
    passed = data.neg_log10_p > -np.log10(data.threshold)
    np.testing.assert_array_equal(heights, np.sort(data.neg_log10_p[passed]))


def test_variants_that_cannot_be_drawn_are_counted():
    data = simulated()
    pos, neg_log10_p = data.pos.copy(), data.neg_log10_p.copy()
    pos[:11], pos[11:13], neg_log10_p[13:16] = -9, 0, np.nan
    figure = draw_manhattan(simulated(pos=pos, neg_log10_p=neg_log10_p))
    assert "3,000 variants (13 without a known position, 3 without a p-value" in all_words(figure)
    assert np.isfinite(drawn_points(figure)).all()


@pytest.mark.parametrize("m", [0, 5])
def test_no_known_position_gives_a_labelled_frame(m):
    empty = np.zeros(m, dtype=np.int64)
    data = simulated(chrom_index=empty, pos=empty, neg_log10_p=np.ones(m))
    figure = draw_manhattan(data)
    words = all_words(figure)
    assert ("No variant has a known position" if m else "No variant") in words
    assert "Chromosome" in words
    assert style.png_bytes(figure)
    assert style.pdf_bytes(figure)


def test_one_position_only():
    figure = draw_manhattan(
        simulated(
            chrom_index=np.array([1, 1]), pos=np.array([500, 500]), neg_log10_p=np.array([1.0, 2.0])
        )
    )
    points = drawn_points(figure)
    assert points.shape == (2, 2)
    left, right = figure.axes[0].get_xlim()
    assert np.all((points[:, 0] > left) & (points[:, 0] < right))


@pytest.mark.parametrize(
    "names",
    [
        [str(k) for k in range(1, 6)],
        [str(k) for k in range(1, 23)] + ["X"],
        [str(k) for k in range(1, 41)],
        [f"scaffold_{k}" for k in range(200)],
    ],
)
def test_labels_never_collide(names):
    figure = draw_manhattan(simulated(names, m=8000))
    texts = shown_texts(figure)
    assert any(text.get_text() in names for text in texts)
    assert any(text.get_text().startswith("rs") for text in texts)
    assert_apart(texts)


def test_all_chromosomes_of_the_human_genome_are_named():
    names = [str(k) for k in range(1, 23)] + ["X"]
    words = all_words(draw_manhattan(simulated(names))).split("\n")
    assert set(names) <= set(words)


def test_one_chromosome_shows_positions():
    data = simulated(("7",), leads=())
    words = all_words(draw_manhattan(data))
    assert "Position on chromosome 7 (Mb)" in words
    assert "20" in words.split("\n")


def test_leads_below_the_threshold_are_not_named():
    leads = (LeadLabel(0, 1000, 7.0, "weak"), LeadLabel(1, 1000, 9.0, "strong"))
    leads += (LeadLabel(1, -9, 30.0, "placeless"),)
    words = all_words(draw_manhattan(simulated(leads=leads)))
    assert "strong" in words
    assert "weak" not in words
    assert "placeless" not in words


def test_huge_values_and_lines_stay_inside():
    data = simulated()
    data.neg_log10_p[5] = 4321.0
    low, high = draw_manhattan(data).axes[0].get_ylim()
    assert low == 0
    assert 4321 < high < 4321 * 1.2
    quiet = simulated(neg_log10_p=np.full(3000, 0.3), leads=())
    assert draw_manhattan(quiet).axes[0].get_ylim()[1] > -np.log10(5e-8)


@pytest.mark.parametrize("threshold", [0.0, 1.0, float("nan")])
def test_a_threshold_that_is_none_draws_no_line(threshold):
    figure = draw_manhattan(simulated(threshold=threshold))
    assert style.png_bytes(figure)


# text and files


@pytest.mark.parametrize("title", HOSTILE)
def test_text_from_files_is_shown_as_it_is(title):
    data = simulated(
        (title, title + "2"),
        chrom_index=np.repeat([0, 1], 1500),
        leads=(LeadLabel(1, 1_000_000, 20.0, title),),
        title=title,
    )
    alone = simulated((title,), chrom_index=np.zeros(3000, dtype=int), leads=(), title=title)
    figures = (
        draw_manhattan(data),
        draw_manhattan(alone),
        draw_qq(data.neg_log10_p, 1.0, title, 10),
    )
    for figure in figures:
        assert style.png_bytes(figure)
        assert style.pdf_bytes(figure)
        width = figure.get_figwidth() * figure.dpi
        foreign = [text for text in shown_texts(figure) if not text.get_parse_math()]
        assert all(text.get_window_extent().x1 <= width for text in foreign)


def test_clean_text():
    assert style.clean_text(" a\tb \x1b[1m\x00c\u202e ") == "a b [1mc"
    assert style.clean_text("x" * 100) == "x" * 59 + "…"
    assert style.clean_text("名\udcff") == "\ufffd\ufffd"
    assert style.clean_text("naïve β-Å") == "naïve β-Å"


@pytest.mark.parametrize(
    ("p", "phrase"),
    [(5e-8, "5×10⁻⁸"), (1e-5, "10⁻⁵"), (4.1e-6, "4.1×10⁻⁶"), (0.05 / 3, "0.017"), (0.5, "0.5")],
)
def test_p_phrase(p, phrase):
    assert style.p_phrase(p) == phrase


def test_files_repeat_are_small_and_carry_no_date(tmp_path):
    names = [str(k) for k in range(1, 23)] + ["X"]
    data = simulated(names, m=150_000)
    files: dict[str, bytes] = {}
    for attempt in range(2):
        rough = {"axes.facecolor": "red", "font.size": 30.0, "savefig.bbox": "tight"}
        with matplotlib.rc_context(rough if attempt else {}):
            for name, figure in (
                ("manhattan", draw_manhattan(data)),
                ("qq", draw_qq(data.neg_log10_p, 1.01, "Trait", 1234)),
            ):
                style.save_png(figure, tmp_path / f"{name}.png")
                style.save_pdf(figure, tmp_path / f"{name}.pdf")
        for path in sorted(tmp_path.iterdir()):
            content = path.read_bytes()
            assert len(content) < LIMIT_BYTES
            assert files.setdefault(path.name, content) == content
    assert len(files) == 4
    for name, size in (("manhattan.png", (2000, 960)), ("qq.png", (1100, 1100))):
        image = Image.open(io.BytesIO(files[name]))
        assert (image.mode, image.size) == ("P", size)
        assert set(image.info) <= {"dpi"}
    for name in ("manhattan.pdf", "qq.pdf"):
        assert b"CreationDate" not in files[name]
        assert b"/Producer" not in files[name]


def test_a_file_that_cannot_be_written_is_an_error_with_its_place(tmp_path):
    figure = draw_qq(np.ones(3), 1.0, "Trait", 3)
    with pytest.raises(FileAccessError, match="no-such-folder"):
        style.save_png(figure, tmp_path / "no-such-folder" / "qq.png")


def test_drawing_leaves_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    draw_manhattan(simulated())
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys, numpy, lmmgwas.report.manhattan as a, lmmgwas.report.qq as b;"
        "b.style.pdf_bytes(b.draw_qq(numpy.ones(3), 1.0, 't', 3));"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""Tests of the report's page: what it says, that it runs nothing of others, that bytes repeat."""

import base64
import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import RunCli, StudyFiles
from hostile import MARK, NAMES, hostile_page, read_table, rename_study, shown
from page_reader import NO_PLOTLY, STUB, Reader, path_of
from scipy import stats

from lmmgwas.pipeline import report_run
from lmmgwas.pipeline.report_tables import p_shown
from lmmgwas.report import style
from lmmgwas.report.interactive import MOST_POINTS, Genome, choose, qq_data
from lmmgwas.report.render import render_page
from lmmgwas.report.thinning import choose_points

ONE_THREAD = ("--threads", "1")


def test_a_page_of_hostile_names_has_no_element_of_theirs() -> None:
    text = render_page(hostile_page(), STUB)
    page = Reader(text)
    assert not [a for _, a in page.elements if a.get("id") == MARK]
    known = {"html", "head", "meta", "title", "script", "link", "style", "body", "a", "header"}
    known |= {"div", "p", "h1", "h2", "h3", "nav", "main", "section", "table", "thead", "tbody"}
    known |= {"tr", "th", "td", "dl", "dt", "dd", "small", "svg", "rect", "figure", "canvas", "i"}
    known |= {"noscript", "img", "figcaption", "span", "details", "summary", "ul", "li", "pre"}
    known |= {"footer"}
    assert {tag for tag, _ in page.elements} <= known
    handlers = [name for _, a in page.elements for name in a if name.startswith("on")]
    assert handlers == []
    assert [a for _, a in page.elements if "style" in a] == []
    addresses = {str(a[k]) for _, a in page.elements for k in ("href", "src", "action") if a.get(k)}
    assert all(re.match(r"#[\w-]+$|data:(image/png;base64,|,)", address) for address in addresses)
    for name in NAMES:
        assert shown(name) in page.text.replace("  ", " ") or shown(name) in "".join(page.words)
    assert page.data["traits"][0]["manhattan"]["id"][:40] == [shown(name) for name in NAMES]


def test_the_policy_names_each_script_and_style_and_nothing_else() -> None:
    page = Reader(render_page(hostile_page(), STUB))
    assert page.policy["default-src"] == page.policy["connect-src"] == ["'none'"]
    assert page.policy["base-uri"] == page.policy["form-action"] == ["'none'"]
    assert page.policy["img-src"] == ["data:"]
    assert len(page.policy) == 7
    for tag in ("script", "style"):
        texts = [x for t, a, x in page.inner if t == tag and a.get("type") != "application/json"]
        digests = [base64.b64encode(hashlib.sha256(x.encode()).digest()).decode() for x in texts]
        expected = sorted(f"'sha256-{digest}'" for digest in digests)
        assert sorted(page.policy[f"{tag}-src"]) == expected
        assert len(expected) == {"script": 3, "style": 2}[tag]


def test_a_style_that_plotly_would_add_for_maps_is_there_already() -> None:
    place = "0123456789abcdef" * 4
    page = Reader(render_page(hostile_page(), f'if(!document.getElementById("{place}")){{}}'))
    assert [a.get("id") for t, a in page.elements if t == "style"][1:] == [
        "plotly.js-style-global",
        place,
    ]


def test_a_library_that_would_end_its_script_is_mended() -> None:
    library = 'window.a = "</script><b>"; window.b = "<!--"; window.c = "</SCRIPT>";'
    page = Reader(render_page(hostile_page(), library))
    kept = r'window.a = "\x3c/script><b>"; window.b = "\x3c!--"; window.c = "\x3c/SCRIPT>";'
    assert kept in [text for tag, _, text in page.inner if tag == "script"]


def test_the_same_page_twice_is_the_same_text() -> None:
    assert render_page(hostile_page(), STUB) == render_page(hostile_page(), STUB)


def test_colours_are_those_of_the_plots() -> None:
    text = render_page(hostile_page(), STUB)
    light = text[text.index(":root {") : text.index("prefers-color-scheme")]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    assert found["dark"] == style.DARK
    assert found["light"] == style.LIGHT
    assert found["significant"] == style.SIGNIFICANT
    assert found["band"] == style.BAND


# ---- points --------------------------------------------------------------------------------


def chosen_naively(x: np.ndarray, y: np.ndarray, at_most: int) -> np.ndarray:
    """Which points must be there: p < 1e-3, or the most significant of them."""
    strong = [k for k in range(x.size) if y[k] > 3.0]
    room = at_most if x.size <= at_most else int(0.8 * at_most)
    return np.array(sorted(strong, key=lambda k: (-y[k], k))[:room], dtype=int)


@pytest.mark.parametrize(
    ("m", "boost", "at_most"),
    [(0, 1, 10), (50, 1, 100), (5000, 1, 700), (5000, 8, 700), (20000, 1, 3), (300, 1, 300)],
)
def test_the_significant_stay_and_the_others_are_thinned(
    m: int, boost: float, at_most: int
) -> None:
    rng = np.random.default_rng(m + at_most)
    x, y = rng.uniform(size=m), -boost * np.log10(rng.uniform(size=m))
    kept = choose_points(x, y, at_most)
    assert (np.diff(kept) > 0).all()
    assert kept.size <= at_most
    assert set(chosen_naively(x, y, at_most)) <= set(kept.tolist())
    if m <= at_most:
        assert kept.size == m
    elif at_most > 100:
        assert kept.size > 0.4 * at_most  # the room is used
        weak = np.setdiff1d(kept, np.flatnonzero(y > 3.0))
        columns = np.unique((x[weak] * 10).astype(int))
        assert columns.size == 10  # everywhere along the genome


def test_equal_p_values_do_not_burst_the_room() -> None:
    x = np.linspace(0, 1, 10_000)
    assert choose_points(x, np.full(10_000, 7.0), 500).size <= 500
    assert choose_points(x, np.zeros(10_000), 500).size <= 500
    assert choose_points(np.zeros(10_000), np.zeros(10_000), 500).size >= 1


def test_variants_without_a_position_are_counted_and_not_drawn() -> None:
    genome = Genome(("1", "2"), np.array([0, 0, 1]), np.array([0, 5, 7]), np.array([9.0, 1.0, 2.0]))
    chosen = choose(genome, 100)
    assert chosen.rows.tolist() == [1, 2]
    assert chosen.n_unplaced == 1
    nothing = choose(Genome(("1",), np.array([0]), np.array([0]), np.array([9.0])), 100)
    assert nothing.rows.size == 0


def test_quantiles_by_frequency() -> None:
    rng = np.random.default_rng(5)
    maf = np.concatenate([np.full(400, 0.005), np.full(4000, 0.03), np.full(6000, 0.3)])
    z = rng.normal(size=maf.size) * np.where(maf < 0.01, 2.0, 1.0)
    neg_log10_p = -np.log10(2 * stats.norm.sf(np.abs(z)))
    data, classes = qq_data(neg_log10_p, maf, 900)
    assert [c.name for c in classes] == ["all", "below 1 %", "1 to 5 %", "5 % and above"]
    assert [c.n_variants for c in classes] == [10400, 400, 4000, 6000]
    for found, inside in zip(classes[1:], (maf < 0.01, maf == 0.03, maf == 0.3), strict=True):
        assert found.lambda_gc == pytest.approx(np.median(z[inside] ** 2) / 0.454936, rel=1e-5)
    assert sum(len(curve["expected"]) for curve in data["curves"]) <= 900
    first = data["curves"][0]
    assert first["observed"][0] == round(float(neg_log10_p.max()), 4)
    assert first["expected"][0] == round(-math.log10(0.5 / 10400), 4)
    assert (np.diff(first["expected"]) <= 0).all()
    assert (np.diff(first["observed"]) <= 0).all()


def test_one_class_has_no_curve_of_its_own() -> None:
    data, classes = qq_data(np.linspace(0.01, 4, 500), np.full(500, 0.2), 900)
    assert [c.name for c in classes] == ["all", "5 % and above"]
    assert [curve["colour"] for curve in data["curves"]] == [0]


@pytest.mark.parametrize(
    ("neg_log10_p", "text"),
    [
        (0.0, "1"),
        (1.30103, "0.05"),
        (2.9999999, "0.001"),
        (7.30103, "5.0×10⁻⁸"),
        (8.0 - 1e-9, "1.0×10⁻⁸"),
        (411.5, "3.2×10⁻⁴¹²"),
    ],
)
def test_p_in_two_digits(neg_log10_p: float, text: str) -> None:
    assert p_shown(neg_log10_p) == text


# ---- runs ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A study of two traits with hostile names, and what it said."""
    pytest.importorskip("plotly")
    folder = tmp_path_factory.mktemp("page")
    from conftest import simulate_study

    study = simulate_study()
    study.pheno.names[3] = "<b id=injected>weight"
    files = study.write(folder)
    rename_study(folder)
    out = folder / "a&b<i>.run"
    result = run_cli("assoc", *files.inputs, "--plots", "png", "--out", out, *ONE_THREAD)
    assert result.exit_code == 0, result.stderr
    return out, result.stderr


def test_the_page_of_a_run_holds_its_numbers(finished: tuple[Path, str]) -> None:
    out, _ = finished
    text = path_of(out, ".report.html").read_text(encoding="utf-8")
    page = Reader(text)
    manifest = json.loads(path_of(out, ".run.json").read_text(encoding="utf-8"))
    for trait, data in zip(manifest["traits"], page.data["traits"], strict=True):
        assert trait["name"] in page.text
        assert f"{trait['n_samples']:,}" in page.text
        assert f"{trait['n_variants_tested']:,}" in page.text
        assert f"{trait['lambda_gc']:.3f}" in page.text
        whole = trait["null_models"][-1]
        assert f"{whole['h2']:.3f}" in page.text
        table = read_table(path_of(out, f".{trait['files']}.tsv.gz"))
        drawn = data["manhattan"]
        placed = table[table["base_pair_location"].astype(int) > 0]
        assert drawn["id"] == placed["marker_id"].map(shown).tolist()
        assert drawn["pos"] == placed["base_pair_location"].astype(int).tolist()
        y = placed["neg_log_10_p_value"].astype(float).to_numpy()
        assert np.abs(np.array(drawn["y"]) - y).max() <= 0.5e-4 + 1e-9
        for name, column in (("beta", "beta"), ("se", "standard_error")):
            expected = placed[column].astype(float).to_numpy()
            assert drawn[name] == pytest.approx(expected, rel=6e-4)
        pairs = [drawn["pairs"][k] for k in drawn["pair"]]
        assert [p[0] for p in pairs] == placed["effect_allele"].tolist()
        assert [p[1] for p in pairs] == placed["other_allele"].tolist()
        null = read_table(path_of(out, f".{trait['files']}.null.tsv"))
        groups = null[null["group"] != "all"]
        assert data["h2"]["names"] == groups["group"].tolist()
        assert data["h2"]["h2"] == pytest.approx(groups["h2"].astype(float).tolist(), abs=1e-5)
        for reason, count in trait["n_variants_excluded"].items():
            assert (f"{reason}" in page.text) or count == 0
    for warning in manifest["warnings"]:
        assert shown(warning) in page.text
    for reason in manifest["samples"]["dropped"]:
        assert reason in page.text
    assert "LOCO" in page.text
    assert f"lmmgwas {manifest['software']['lmmgwas']}" in page.text


def test_the_leads_are_those_of_the_table(finished: tuple[Path, str]) -> None:
    out, _ = finished
    page = Reader(path_of(out, ".report.html").read_text(encoding="utf-8"))
    leads = read_table(path_of(out, ".height.leads.tsv"))
    for marker, p in zip(leads["marker_id"], leads["p_value"], strict=True):
        assert shown(marker) in "".join(page.words)
        copied = [a.get("data-copy") for t, a in page.elements if t == "td"]
        assert p in copied


def test_no_sample_is_named(finished: tuple[Path, str]) -> None:
    out, _ = finished
    text = path_of(out, ".report.html").read_text(encoding="utf-8")
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    samples = read_table(path_of(out, ".samples.tsv"))
    assert len(samples) > 100
    for name in samples["IID"]:
        assert not re.search(rf"\b{re.escape(name)}\b", own)


def test_the_page_embeds_plotly_once_and_the_pictures(finished: tuple[Path, str]) -> None:
    out, _ = finished
    text = path_of(out, ".report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 8_000_000
    scripts = [x for t, a, x in Reader(text).inner if t == "script"]
    assert sum(len(script) > 1_000_000 for script in scripts) == 1
    for kind in ("manhattan", "qq"):
        png = path_of(out, f".height.{kind}.png").read_bytes()
        assert base64.b64encode(png).decode() in text


def test_the_manifest_lists_the_page(finished: tuple[Path, str]) -> None:
    out, _ = finished
    path = path_of(out, ".report.html")
    manifest = json.loads(path_of(out, ".run.json").read_text(encoding="utf-8"))
    [listed] = [o for o in manifest["outputs"] if o["path"] == str(path)]
    assert listed["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_run_gives_the_same_bytes(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    """The name of the output stands in the page as its last part only."""
    pytest.importorskip("plotly")
    pages = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        out = tmp_path / folder / "run"
        options = ["--plots", "png", "--pheno-name", "height", "--out", out, *ONE_THREAD]
        assert run_cli("assoc", *small_study.inputs, *options).exit_code == 0
        pages.append(path_of(out, ".report.html").read_bytes())
    assert pages[0] == pages[1]
    assert str(tmp_path / "a").encode() not in pages[0]


QUICK = ("--pheno-name", "height", "--chr", "1-2", "--no-loco", *ONE_THREAD)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--plots", "none"), False),
        (("--plots", "png", "--no-report"), False),
        (("--plots", "none", "--report"), True),
    ],
)
def test_who_gets_a_report(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    expected: bool,
) -> None:
    monkeypatch.setattr(report_run, "read_plotly_js", lambda: STUB)
    out = tmp_path / "run"
    result = run_cli("assoc", *small_study.inputs, "--out", out, *QUICK, *options)
    assert result.exit_code == 0, result.stderr
    assert path_of(out, ".report.html").exists() is expected
    assert NO_PLOTLY not in result.stderr
    for path in set(tmp_path.glob("run*")) - {path_of(out, ".report.html")}:
        path.unlink()
    again = run_cli("assoc", *small_study.inputs, "--out", out, *QUICK, *options)
    assert again.exit_code == (8 if expected else 0)


def test_without_plotly_the_log_says_how_to_get_it(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_run, "read_plotly_js", lambda: None)
    out = tmp_path / "run"
    options = ("--plots", "png", "--strict", "--mac", "10")
    result = run_cli("assoc", *small_study.inputs, "--out", out, *QUICK, *options)
    assert result.exit_code == 0, result.stderr
    assert NO_PLOTLY in result.stderr
    assert not path_of(out, ".report.html").exists()
    assert path_of(out, ".run.json").exists()


@pytest.mark.parametrize("strict", [False, True])
def test_a_page_that_fails_costs_no_table(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
) -> None:
    def fail() -> str:
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "spoilt")

    monkeypatch.setattr(report_run, "read_plotly_js", fail)
    out = tmp_path / "run"
    options = [*QUICK, "--plots", "png", *(["--strict"] if strict else [])]
    result = run_cli("assoc", *small_study.inputs, "--out", out, *options)
    assert "W130" in result.stderr
    assert "spoilt" in result.stderr
    assert result.exit_code == (5 if strict else 0)
    assert not path_of(out, ".report.html").exists()
    assert path_of(out, ".height.tsv.gz").exists()
    if not strict:
        manifest = json.loads(path_of(out, ".run.json").read_text(encoding="utf-8"))
        assert any("spoilt" in warning for warning in manifest["warnings"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--h2", "0"), ("ordinary linear regression", "Wald")),
        (("--no-loco", "--test", "score"), ("no LOCO", "score test", "REML")),
        (("--test", "lrt", "--rint", "--no-loco"), ("likelihood-ratio", "by rank")),
        (("--variance", "per-variant", "--no-loco"), ("again for each variant",)),
        (
            ("--maf", "0.02", "--hwe", "1e-6", "--no-loco", "--h2", "0.3"),
            ("frequency of at least 0.02", "Hardy-Weinberg p of at least 10⁻⁶", "fixed at 0.3"),
        ),
    ],
    ids=lambda value: value[0],
)
def test_the_methods_say_what_was_done(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    monkeypatch.setattr(report_run, "read_plotly_js", lambda: STUB)
    out = tmp_path / "run"
    common = ("--pheno-name", "height", "--chr", "1-2", "--plots", "none", "--report")
    result = run_cli("assoc", *small_study.inputs, "--out", out, *common, *options, *ONE_THREAD)
    assert result.exit_code == 0, result.stderr
    page = Reader(path_of(out, ".report.html").read_text(encoding="utf-8"))
    for phrase in expected:
        assert phrase in page.text
    assert page.data["traits"][0]["manhattan"]["y"]
    n_points = len(page.data["traits"][0]["manhattan"]["y"])
    assert n_points <= MOST_POINTS


def test_merging_gives_the_report_of_the_undivided_run(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_run, "read_plotly_js", lambda: STUB)
    argv = ["assoc", *small_study.inputs, "--pheno-name", "height", "--plots", "png", *ONE_THREAD]
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    assert run_cli(*argv, "--out", tmp_path / "whole/r").exit_code == 0
    for part in ("1/2", "2/2"):
        assert run_cli(*argv, "--out", tmp_path / "parts/r", "--part", part).exit_code == 0
    merged = run_cli("merge", "--out", tmp_path / "parts/r")
    assert merged.exit_code == 0, merged.stderr
    pages = [(tmp_path / folder / "r.report.html").read_bytes() for folder in ("whole", "parts")]
    assert pages[0] == pages[1]

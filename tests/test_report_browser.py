"""The report in a real browser: it runs under its own policy, asks nobody, and can be used.

Needs Debian's chromium and chromium-driver, selenium and plotly; skipped without them.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import RunCli, simulate_study
from hostile import MARK, NAMES, PER_CHROM, hostile_page, read_table, rename_study, shown

from lmmgwas.report.plotly_library import read_plotly_js
from lmmgwas.report.render import render_page

pytest.importorskip("selenium")
pytest.importorskip("plotly")

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="chromium and chromium-driver are not installed"
)

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1"),
)
WIDE, NARROW = (1400, 900), (400, 800)
WAIT = 30.0

Driver = Any


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A browser with logs of its console and of its network."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def resize(browser: Driver, size: tuple[int, int]) -> None:
    """Set the size of the page's window."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def colours(browser: Driver, scheme: str) -> None:
    """Ask for light or dark."""
    wanted = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})


def until(browser: Driver, true: Callable[[Driver], Any]) -> Any:
    """Wait until something holds."""
    return WebDriverWait(browser, WAIT, 0.05).until(true)


def opened(browser: Driver, path: Path, size: tuple[int, int] = WIDE) -> Driver:
    """Open a page and wait for its first plots."""
    resize(browser, size)
    colours(browser, "light")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # forget what was before
    browser.get(path.as_uri())
    figure = browser.find_element(By.CSS_SELECTOR, "[data-plot=manhattan]")
    browser.execute_script("arguments[0].scrollIntoView()", figure)
    until(browser, lambda _: figure.get_attribute("data-drawn"))
    browser.execute_script("scrollTo(0, 0)")
    return browser


def draw_all(browser: Driver) -> None:
    """Scroll through the page, so that every plot is drawn."""
    for figure in browser.find_elements(By.CSS_SELECTOR, "[data-plot]"):
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
        until(browser, lambda _, f=figure: f.get_attribute("data-drawn"))
    browser.execute_script("scrollTo(0, 0)")


def complaints(browser: Driver) -> list[str]:
    """What the console says of errors and warnings."""
    return [line["message"] for line in browser.get_log("browser") if line["level"] != "INFO"]


def asked_addresses(browser: Driver) -> list[str]:
    """Addresses that were asked for, data: excepted."""
    found = []
    for line in browser.get_log("performance"):
        message = json.loads(line["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return [address for address in found if not address.startswith("data:")]


@pytest.fixture(scope="module")
def hostile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page in which every text is hostile."""
    path = tmp_path_factory.mktemp("hostile") / "page.html"
    library = read_plotly_js()
    assert library is not None
    path.write_text(render_page(hostile_page(), library), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run_prefix(run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with hostile names of variants, a trait and files."""
    folder = tmp_path_factory.mktemp("run")
    study = simulate_study()
    study.pheno.names[3] = f"<b id={MARK}>weight"
    files = study.write(folder)
    rename_study(folder)
    out = folder / f"<img src=x onerror={MARK}()>"
    options = ("--plots", "png", "--threshold", "0.2", "--out", out, "--threads", "1")
    result = run_cli("assoc", *files.inputs, *options)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def run_file(run_prefix: Path) -> Path:
    """The report of that study."""
    return run_prefix.with_name(f"{run_prefix.name}.report.html")


def place_of_point(browser: Driver, index: int) -> tuple[int, int]:
    """Where in the window a point of the first Manhattan plot is."""
    script = """
      const axes = document.querySelector("[data-plot=manhattan] .axes");
      const {xaxis, yaxis} = axes._fullLayout, box = axes.getBoundingClientRect();
      const point = axes.data[0];
      return [box.left + xaxis._offset + xaxis.l2p(point.x[arguments[0]]),
              box.top + yaxis._offset + yaxis.l2p(point.y[arguments[0]])];
    """
    x, y = browser.execute_script(script, index)
    return round(x), round(y)


def x_range(browser: Driver) -> list[float]:
    """What part of the genome is seen."""
    axes = 'document.querySelector("[data-plot=manhattan] .axes")'
    found: list[float] = browser.execute_script(f"return {axes}._fullLayout.xaxis.range")
    return found


def n_shown(browser: Driver) -> int:
    """How many points are painted."""
    canvas = browser.find_element(By.CSS_SELECTOR, "[data-plot=manhattan] canvas")
    return int(canvas.get_attribute("data-shown"))


def move(browser: Driver, x: int, y: int) -> None:
    """Move the pointer to a place of the window, as a hand does: not in one leap."""
    chain = ActionChains(browser, duration=20)
    chain.w3c_actions.pointer_action.move_to_location(x - 3, y - 2)
    chain.w3c_actions.pointer_action.move_to_location(x, y)
    chain.perform()


def plot_box(browser: Driver) -> dict[str, float]:
    """The inner rectangle of the first Manhattan plot, in the window."""
    script = """
      const drag = document.querySelector("[data-plot=manhattan] .nsewdrag");
      const box = drag.getBoundingClientRect();
      return {x: box.left, y: box.top, width: box.width, height: box.height};
    """
    found: dict[str, float] = browser.execute_script(script)
    return found


def to_top_plot(browser: Driver) -> None:
    figure = browser.find_element(By.CSS_SELECTOR, "[data-plot=manhattan]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    time.sleep(0.1)


@pytest.mark.parametrize("which", ["hostile_file", "run_file"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_names_stay_names_and_nobody_is_asked(
    browser: Driver, request: pytest.FixtureRequest, which: str, size: tuple[int, int]
) -> None:
    path = request.getfixturevalue(which)
    opened(browser, path, size)
    draw_all(browser)
    for details in browser.find_elements(By.CSS_SELECTOR, "details"):
        browser.execute_script("arguments[0].open = true", details)
    assert complaints(browser) == []
    assert asked_addresses(browser) == [path.as_uri()]
    resources = browser.execute_script("return performance.getEntriesByType('resource').length")
    assert resources == 0
    assert browser.execute_script(f"return document.getElementById('{MARK}')") is None
    assert browser.execute_script(f"return typeof window.{MARK}") == "undefined"
    foreign = "script[src], iframe, object, embed, base, form, main b, link:not([href='data:,'])"
    assert browser.find_elements(By.CSS_SELECTOR, foreign) == []
    assert len(browser.find_elements(By.CSS_SELECTOR, "script")) == 4
    anchors = browser.find_elements(By.CSS_SELECTOR, "a")
    assert all(a.get_dom_attribute("href").startswith("#") for a in anchors)
    overflow = "return document.documentElement.scrollWidth - innerWidth"
    assert browser.execute_script(overflow) <= 0


def test_every_hostile_name_is_read_as_it_is(browser: Driver, hostile_file: Path) -> None:
    opened(browser, hostile_file)
    cells = (
        "return [...document.querySelectorAll('#trait-1 .leads td.text')].map(c => c.textContent)"
    )
    assert browser.execute_script(cells) == [shown(name) for name in NAMES]
    assert browser.title == " ".join(NAMES[0].split())
    options = "return [...document.querySelectorAll('select')][0].textContent"
    assert all(shown(name) in browser.execute_script(options) for name in NAMES)


def test_hostile_names_when_they_are_pointed_at(browser: Driver, hostile_file: Path) -> None:
    """Each chromosome's strongest variant: the name in the tooltip, on the axis, as text."""
    opened(browser, hostile_file)
    to_top_plot(browser)
    figure = browser.find_element(By.CSS_SELECTOR, "[data-plot=manhattan]")
    select = Select(figure.find_element(By.CSS_SELECTOR, "select"))
    label = "return document.querySelector('[data-plot=manhattan] .xtitle').textContent"
    heading = "const s = document.querySelector('#tip strong'); return s && s.textContent"

    def reads(script: str, text: str) -> bool:
        return text in (browser.execute_script(script) or "").replace("\xa0", " ")

    for k, name in enumerate(map(shown, NAMES[:-1])):
        start = name if len(name) <= 24 else name[:23]
        select.select_by_value(str(k))
        until(browser, lambda _, text=start: reads(label, text))
        move(browser, *place_of_point(browser, PER_CHROM * k))
        until(browser, lambda _, text=name: reads(heading, text))
    assert complaints(browser) == []
    assert browser.execute_script(f"return document.getElementById('{MARK}')") is None


def test_pointing_at_a_variant_says_what_the_table_has(
    browser: Driver, run_file: Path, run_prefix: Path
) -> None:
    opened(browser, run_file)
    to_top_plot(browser)
    table = read_table(run_prefix.with_name(f"{run_prefix.name}.height.tsv.gz"))
    table = table[table["base_pair_location"] != "0"].reset_index(drop=True)
    best = int(table["neg_log_10_p_value"].astype(float).idxmax())
    move(browser, *place_of_point(browser, best))
    tip = browser.find_element(By.ID, "tip")
    until(browser, lambda _: tip.is_displayed())
    row = table.loc[best]
    text = tip.text
    assert shown(row["marker_id"]) in text
    assert f"{row['chromosome']}:{int(row['base_pair_location']):,}" in text
    assert f"{row['effect_allele']} (other {row['other_allele']})" in text
    assert f"{float(row['beta']):.4g} ± {float(row['standard_error']):.4g}" in text
    assert f"{float(row['p_value']):.2e}".split("e")[0] in text
    move(browser, 5, 5)
    until(browser, lambda _: not tip.is_displayed())


def gesture(browser: Driver, chain: ActionChains, done: Callable[[Driver], bool]) -> None:
    """Do it until it is understood: a busy machine tears the clicks of a double click apart."""
    for _ in range(4):
        chain.perform()
        try:
            until(browser, done)
        except TimeoutException:
            continue
        return
    raise AssertionError("four times and not understood")


def test_zoom_and_back(browser: Driver, run_file: Path) -> None:
    opened(browser, run_file)
    to_top_plot(browser)
    whole, everything = x_range(browser), n_shown(browser)
    box = plot_box(browser)
    start = round(box["x"] + 0.3 * box["width"]), round(box["y"] + 0.2 * box["height"])
    end = round(box["x"] + 0.5 * box["width"]), round(box["y"] + 0.9 * box["height"])
    chain = ActionChains(browser, duration=50)
    pointer = chain.w3c_actions.pointer_action
    pointer.move_to_location(*start)
    pointer.pointer_down()
    pointer.move_to_location(*end)
    pointer.pointer_up()
    gesture(browser, chain, lambda b: x_range(b) != whole)
    low, high = x_range(browser)
    width = whole[1] - whole[0]
    assert low == pytest.approx(whole[0] + 0.3 * width, abs=0.01 * width)
    assert high == pytest.approx(whole[0] + 0.5 * width, abs=0.01 * width)
    until(browser, lambda b: 0 < n_shown(b) < everything)
    chain = ActionChains(browser)
    chain.w3c_actions.pointer_action.move_to_location(*start)
    chain.double_click()
    gesture(browser, chain, lambda b: x_range(b) == pytest.approx(whole))
    until(browser, lambda b: n_shown(b) == everything)
    assert complaints(browser) == []


def test_a_chromosome_by_its_name_and_the_genome_again(browser: Driver, run_file: Path) -> None:
    opened(browser, run_file)
    figure = browser.find_element(By.CSS_SELECTOR, "[data-plot=manhattan]")
    whole, everything = x_range(browser), n_shown(browser)
    Select(figure.find_element(By.CSS_SELECTOR, "select")).select_by_visible_text("3")
    until(browser, lambda b: n_shown(b) == 60)
    assert "Position on chromosome 3" in figure.text
    figure.find_element(By.CSS_SELECTOR, ".tools button").click()
    until(browser, lambda b: x_range(b) == pytest.approx(whole))
    assert n_shown(browser) == everything


def test_a_lead_is_shown_in_the_plot(browser: Driver, run_file: Path) -> None:
    opened(browser, run_file)
    whole = x_range(browser)
    button = browser.find_element(By.CSS_SELECTOR, "#trait-1 .leads td button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    until(browser, lambda b: x_range(b)[1] - x_range(b)[0] < (whole[1] - whole[0]) / 3)
    assert 0 < n_shown(browser) <= 60


LEADS = "#trait-1 .leads"


def rows(browser: Driver, column: int) -> list[str]:
    """The cells of a column of the first table of leads, as seen."""
    script = f"""
      return [...document.querySelectorAll("{LEADS} tbody tr")].filter(r => !r.hidden)
        .map(r => r.cells[{column}].textContent)"""
    found: list[str] = browser.execute_script(script)
    return found


def test_sorting(browser: Driver, run_file: Path) -> None:
    opened(browser, run_file)
    heads = browser.find_elements(By.CSS_SELECTOR, f"{LEADS} th button")
    names = [head.text for head in heads]
    assert len(rows(browser, 0)) > 3
    for column in (names.index("Position"), names.index("β")):
        heads[column].click()
        values = [float(text.replace(",", "")) for text in rows(browser, column)]
        assert values == sorted(values)
        heads[column].click()
        values = [float(text.replace(",", "")) for text in rows(browser, column)]
        assert values == sorted(values, reverse=True)
    heads[0].click()
    markers = rows(browser, 0)
    heads[0].click()
    assert rows(browser, 0) == markers[::-1]
    order = browser.find_elements(By.CSS_SELECTOR, f"{LEADS} th[aria-sort=descending]")
    assert len(order) == 1


def test_searching(browser: Driver, hostile_file: Path) -> None:
    opened(browser, hostile_file)
    search = browser.find_element(By.CSS_SELECTOR, f"{LEADS} input[type=search]")
    search.send_keys("ONERROR")
    assert rows(browser, 0) == [name for name in NAMES if "onerror" in name]
    count = browser.find_element(By.CSS_SELECTOR, f"{LEADS} .count")
    assert count.text == f"{len(rows(browser, 0))} of {len(NAMES)}"
    search.clear()
    search.send_keys(Keys.SPACE, Keys.BACKSPACE)
    until(browser, lambda b: len(rows(b, 0)) == len(NAMES))


def pasted(browser: Driver) -> str:
    """What is in the clipboard, by pasting it."""
    browser.execute_script(
        "const a = document.createElement('textarea'); a.id = 'paste';"
        "document.body.prepend(a); a.focus();"
    )
    area = browser.find_element(By.ID, "paste")
    area.send_keys(Keys.CONTROL, "v")
    text: str = area.get_property("value")
    browser.execute_script("arguments[0].remove()", area)
    return text


def button_of(browser: Driver, place: str, text: str) -> Any:
    found = browser.find_elements(By.CSS_SELECTOR, f"{place} button")
    [button] = [b for b in found if b.text == text]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    return button


def test_copying_the_leads(browser: Driver, run_file: Path, run_prefix: Path) -> None:
    opened(browser, run_file)
    button = button_of(browser, LEADS, "Copy as TSV")
    button.click()
    until(browser, lambda _: button.text.startswith("Copied"))
    lines = [line.split("\t") for line in pasted(browser).splitlines()]
    leads = read_table(run_prefix.with_name(f"{run_prefix.name}.height.leads.tsv"))
    assert lines[0][:3] == ["Marker", "Chr", "Position"]
    assert len(lines) == len(leads) + 1
    found = {name: [line[k] for line in lines[1:]] for k, name in enumerate(lines[0])}
    assert found["P"] == leads["p_value"].tolist()
    assert found["Position"] == leads["base_pair_location"].tolist()
    assert found["β"] == leads["beta"].tolist()
    assert found["Effect"] == leads["effect_allele"].tolist()
    markers = [shown(name) for name in leads["marker_id"]]
    assert [marker.removeprefix("'") for marker in found["Marker"]] == markers


def test_a_formula_is_copied_as_text(browser: Driver, hostile_file: Path) -> None:
    opened(browser, hostile_file)
    button = button_of(browser, LEADS, "Copy as TSV")
    button.click()
    until(browser, lambda _: button.text.startswith("Copied"))
    lines = [line.split("\t") for line in pasted(browser).splitlines()]
    [formula] = [name for name in NAMES if name.startswith("=")]
    assert [f"'{formula}"] == [line[0] for line in lines if "HYPERLINK" in line[0]]


def test_copying_the_methods(browser: Driver, run_file: Path) -> None:
    opened(browser, run_file)
    button = button_of(browser, "#methods", "Copy text")
    button.click()
    until(browser, lambda _: button.text == "Copied")
    text = browser.find_element(By.CSS_SELECTOR, ".methods").text
    assert pasted(browser).strip() == text


def test_quantiles_by_frequency(browser: Driver, hostile_file: Path) -> None:
    opened(browser, hostile_file)
    draw_all(browser)
    place = "#trait-1 [data-plot=qq]"
    points = f"return document.querySelectorAll('{place} .point').length"
    n_all = browser.execute_script(points)
    button_of(browser, place, "By frequency").click()
    until(browser, lambda b: b.execute_script(points) not in (0, n_all))
    script = f"return document.querySelectorAll('{place} .trace.scatter').length"
    assert browser.execute_script(script) == 4  # the band and three classes
    assert complaints(browser) == []


def test_dark_and_light(browser: Driver, run_file: Path) -> None:
    opened(browser, run_file)
    ground = "return getComputedStyle(document.body).backgroundColor"
    pixels = """
      const canvas = document.querySelector("[data-plot=manhattan] canvas");
      return canvas.toDataURL().length + canvas.toDataURL().slice(-400)"""
    tick = "return document.querySelector('[data-plot=manhattan] .xtick text').style.fill"
    light = [browser.execute_script(script) for script in (ground, pixels, tick)]
    colours(browser, "dark")
    until(browser, lambda b: b.execute_script(tick) != light[2])
    until(browser, lambda b: b.execute_script(pixels) != light[1])
    dark = [browser.execute_script(script) for script in (ground, pixels, tick)]
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] == "rgb(18, 22, 27)"
    colours(browser, "light")
    until(browser, lambda b: b.execute_script(pixels) == light[1])
    assert complaints(browser) == []


def test_another_width_draws_again(browser: Driver, run_file: Path) -> None:
    opened(browser, run_file)
    wide = plot_box(browser)["width"]
    resize(browser, NARROW)
    until(browser, lambda b: plot_box(b)["width"] < 400)
    assert wide > 900
    assert complaints(browser) == []


def test_without_javascript_there_are_pictures_and_tables(browser: Driver, run_file: Path) -> None:
    resize(browser, WIDE)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(run_file.as_uri())
        tree = browser.execute_cdp_cmd("DOMSnapshot.captureSnapshot", {"computedStyles": []})
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    names = tree["strings"]
    nodes, boxes = tree["documents"][0]["nodes"], tree["documents"][0]["layout"]
    tags = [names[k] for k in nodes["nodeName"]]
    seen = {(tags[node], k): boxes["bounds"][k] for k, node in enumerate(boxes["nodeIndex"])}
    images = [box for (tag, _), box in seen.items() if tag == "IMG"]
    regions = list(run_file.parent.glob("*.region.*.png"))
    assert len(images) == 4 + len(regions)  # two traits, two plots
    assert all(width > 300 and height > 200 for _, _, width, height in images)
    assert not [tag for tag, _ in seen if tag == "CANVAS"]  # no empty frames
    assert [tag for tag, _ in seen if tag == "TABLE"]

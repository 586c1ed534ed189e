"""Reports, opened in a browser."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from pathlib import Path

import pytest

from fastflow.durable import (
    DurableRunner,
)
from fastflow.seeing.past import past
from fastflow.seeing.report import file as report
from fastflow.seeing.report import write_report
from seeing import report_traces as traces
from seeing.browser import browser, needs_browser
from seeing.recorded_calls import order

pytestmark = needs_browser


def stored():
    """The trace of a durable run, from its store."""
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory, "runs.db")
        with DurableRunner(store) as runner:
            runner.run(order, list(range(100)), execution_name="order-1")
        return past(store)


MAKERS = {
    "flow": lambda: traces.many(10_000),
    "durable": traces.durable,
    "processes": traces.processes,
    "hostile": traces.hostile,
    "failed": traces.failed,
    "one": traces.one,
    "empty": traces.empty,
    "store": stored,
}
SIZES = [(1440, 900), (390, 844)]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def page(downloads):
    with browser(downloads) as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The report of each trace, written when it is asked for."""
    directory = tmp_path_factory.mktemp("reports")

    class Files(dict):
        def __missing__(self, name):
            self[name] = path = directory / f"{name}.html"
            write_report(MAKERS[name](), path)
            return path

    return Files()


def shown(page):
    """The part of the timeline that is shown, in nanoseconds."""
    data = page.js("return {...document.getElementById('lanes').dataset}")
    return int(data["from"]), int(data["to"])


def column(page, number):
    """The texts of a column of the table that is shown, from top to bottom."""
    return page.js(
        "return [...document.querySelectorAll('#table .grid:not([hidden]) .body"
        " .row:not([hidden])')].sort((a, b) => a.getAttribute('aria-rowindex')"
        " - b.getAttribute('aria-rowindex')).map(row => row.children[arguments[0]]"
        ".textContent.toWellFormed())",
        number,
    )


def count(page):
    return page.js("return document.getElementById('count').value")


def colors_in(page, selector):
    """How many colours a canvas has."""
    return page.js(
        "const canvas = document.querySelector(arguments[0]);"
        "const bytes = canvas.getContext('2d').getImageData(0, 0, canvas.width,"
        " canvas.height).data;"
        "return new Set(new Uint32Array(bytes.buffer)).size",
        selector,
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("name", MAKERS)
def test_a_report_opens(page, files, name, width, height, dark):
    page.open(files[name], width, height, dark)
    page.frames(3)
    assert page.messages() == []
    asked = page.requests()
    assert [url for url in asked if not url.startswith("data:")] == [
        files[name].as_uri()
    ]
    assert page.js("return document.documentElement.scrollWidth") <= width
    assert page.js("return window.broken") is None
    theme = page.js("return document.documentElement.dataset.theme")
    assert theme == ("dark" if dark else "light")
    if name != "empty":
        assert colors_in(page, "#lanes-canvas") > 3
        assert colors_in(page, "#histogram") > 3


def test_title_and_summary_are_of_the_run(page, files):
    page.open(files["flow"])
    assert page.driver.title == "nightly"
    assert page.element("h1").text == "nightly"
    summary = page.element("#summary").text.split("\n")
    assert summary[summary.index("Calls") + 1] == "10,000"
    assert summary[summary.index("Failures") + 1] == "50"
    page.open(files["durable"])
    assert "2 made again" in page.element("#summary").text


def test_the_timeline_zooms_by_wheel_and_moves_by_dragging(page, files):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    page.open(files["flow"])
    whole = shown(page)
    lanes = page.element("#lanes")
    page.js("arguments[0].scrollIntoView({block: 'center'})", lanes)
    origin = ScrollOrigin.from_element(lanes, 100, 0)
    for _ in range(6):
        ActionChains(page.driver).scroll_from_origin(origin, 0, -200).perform()
    page.frames()
    begin, end = shown(page)
    assert end - begin < (whole[1] - whole[0]) / 4
    assert whole[0] < begin < end < whole[1]
    drag = ActionChains(page.driver).move_to_element(lanes).click_and_hold()
    drag.move_by_offset(-150, 0).release().perform()
    page.frames()
    moved = shown(page)
    assert moved[0] > begin
    assert moved[1] - moved[0] == pytest.approx(end - begin, abs=2)
    for _ in range(12):
        ActionChains(page.driver).scroll_from_origin(origin, 0, 200).perform()
    page.frames()
    assert shown(page) == whole
    # With nothing left to zoom out of, the wheel is the page's.
    prevented = page.js(
        "const box = arguments[0].getBoundingClientRect();"
        "return [100, -100].map(deltaY => { const event = new WheelEvent('wheel',"
        " {deltaY, clientX: box.right - 50, clientY: box.top + 9, cancelable: true});"
        " arguments[0].dispatchEvent(event); return event.defaultPrevented; })",
        lanes,
    )
    assert prevented == [False, True]


def test_the_timeline_zooms_and_chooses_by_keyboard(page, files):
    from selenium.webdriver.common.keys import Keys

    page.open(files["flow"])
    whole = shown(page)
    page.js("document.getElementById('lanes').focus()")
    page.keys("+", "+")
    begin, end = shown(page)
    assert end - begin == pytest.approx((whole[1] - whole[0]) / 4, rel=0.01)
    page.keys("d")
    assert shown(page)[0] > begin
    page.keys("-")
    assert shown(page)[1] - shown(page)[0] > end - begin
    page.keys("0")
    assert shown(page) == whole
    page.keys(Keys.ARROW_RIGHT)
    first = page.element("#selected").text
    assert "worker 0" in first
    assert "Attempt" in first
    page.keys(Keys.ARROW_RIGHT)
    assert page.element("#selected").text != first
    page.keys(Keys.ARROW_DOWN)
    assert "worker 1" in page.element("#selected").text
    page.keys("f")
    assert shown(page)[1] - shown(page)[0] < (whole[1] - whole[0]) / 10
    page.keys(Keys.ESCAPE)
    assert page.element("#selected").text == ""


def test_a_click_chooses_and_the_pointer_tells(page, files):
    from selenium.webdriver.common.action_chains import ActionChains

    page.open(files["failed"])
    lanes = page.element("#lanes")
    page.js("arguments[0].scrollIntoView({block: 'center'})", lanes)
    box = lanes.size
    above = 11 - box["height"] // 2
    ActionChains(page.driver).move_to_element_with_offset(lanes, 40, above).perform()
    page.frames()
    tip = page.element("#tip").text
    assert "fetch" in tip
    assert "failed, attempt 1" in tip
    assert "OSError: disk full" in tip
    ActionChains(page.driver).click().perform()
    page.frames()
    details = page.element("#selected").text
    for words in ("fetch", "failed", "OSError: disk full", "5.00 ms", "worker 0"):
        assert words in details


def test_gaps_collapse_and_rows_expand(page, files):
    page.open(files["durable"])
    # It has waited for hours: what is not waiting is seen only without them.
    assert page.element("#gaps").get_attribute("aria-pressed") == "true"
    folded = page.js("return document.getElementById('lanes-canvas').toDataURL()")
    page.click("#gaps")
    assert page.element("#gaps").get_attribute("aria-pressed") == "false"
    plain = page.js("return document.getElementById('lanes-canvas').toDataURL()")
    assert plain != folded
    page.click("#gaps")
    again = page.js("return document.getElementById('lanes-canvas').toDataURL()")
    assert again == folded
    page.open(files["processes"])
    height = page.js("return document.getElementById('lanes-height').offsetHeight")
    page.click("#levels")
    assert (
        page.js("return document.getElementById('lanes-height').offsetHeight") > height
    )


def test_running_calls_are_counted_from_the_spans(page, files):
    page.open(files["failed"])
    label = page.element("#counters canvas").get_attribute("aria-label")
    assert label.startswith("Running: at most 2 calls")
    page.open(files["flow"])
    labels = page.js(
        "return [...document.querySelectorAll('#counters canvas')]"
        ".map(one => one.getAttribute('aria-label'))"
    )
    assert labels[0].startswith("Ready: at most 10,000 calls, 5,000 calls on average")
    assert labels[1].startswith("Running: at most 4 calls")


def test_the_table_sorts(page, files):
    page.open(files["flow"])
    totals = page.js("return document.querySelectorAll('#table [aria-sort]').length")
    assert totals > 8
    page.click("#table .grid:not([hidden]) [role=columnheader]:nth-child(1) button")
    names = column(page, 0)
    assert names == sorted(names)
    assert len(names) == 8
    page.click("#table .grid:not([hidden]) [role=columnheader]:nth-child(1) button")
    assert column(page, 0) == names[::-1]
    page.click("#by-span")
    page.click("#table .grid:not([hidden]) [role=columnheader]:nth-child(2) button")
    header = page.element("#table .grid:not([hidden]) [role=columnheader]:nth-child(2)")
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, 1)[:3] == ["9,999", "9,998", "9,997"]
    page.click("#table .grid:not([hidden]) [role=columnheader]:nth-child(2) button")
    assert column(page, 1)[:3] == ["0", "1", "2"]


def test_the_table_searches_and_filters(page, files):
    page.open(files["flow"])
    page.click("#by-span")
    assert count(page) == "10,000 of 10,000"
    box = page.element("#search")
    box.send_keys("PARSE")
    page.wait("document.getElementById('count').value !== '10,000 of 10,000'")
    assert set(column(page, 0)) == {"parse"}
    box.clear()
    box.send_keys("#1234")
    page.wait("document.getElementById('count').value.startsWith('1 of')")
    assert column(page, 1) == ["1,234"]
    box.clear()
    page.wait("document.getElementById('count').value.startsWith('10,000')")
    page.js(
        "const state = document.getElementById('state');"
        "state.value = '1'; state.dispatchEvent(new Event('change'))"
    )
    page.frames()
    assert count(page) == "50 of 10,000"
    assert set(column(page, 3)) == {"failed"}
    page.open(files["durable"])
    page.click("#by-span")
    page.js(
        "const attempt = document.getElementById('attempt');"
        "attempt.value = 'more'; attempt.dispatchEvent(new Event('change'))"
    )
    page.frames()
    assert column(page, 2) == ["2", "3"]


def test_few_rows_are_elements_and_all_are_reached(page, files):
    from selenium.webdriver.common.keys import Keys

    page.open(files["flow"])
    page.click("#by-span")
    assert page.js("return document.getElementsByTagName('*').length") < 1500
    body = "#table .grid:not([hidden]) .body"
    page.js(f"document.querySelector('{body}').focus()")
    page.keys(Keys.END)
    rows = page.js(
        f"return [...document.querySelectorAll('{body} .row:not([hidden])')]"
        ".map(row => Number(row.getAttribute('aria-rowindex')))"
    )
    assert max(rows) == 10_001
    active = page.js(
        f"return document.getElementById(document.querySelector('{body}')"
        ".getAttribute('aria-activedescendant')).getAttribute('aria-selected')"
    )
    assert active == "true"
    page.keys(Keys.ARROW_UP)
    assert "Begin" in page.element("#selected").text


def test_errors_have_their_tracebacks(page, files):
    page.open(files["flow"])
    assert page.element("#errors-title").text == "Errors (50)"
    page.click(".error > summary")
    page.wait("document.querySelector('.error pre')")
    assert "Traceback (most recent call last)" in page.element(".error pre").text
    page.click(".error button")
    assert "ValueError: item" in page.element("#selected").text
    page.open(files["durable"])
    assert "made again" in page.element(".error > summary").text
    page.open(files["one"])
    assert not page.element("#errors").is_displayed()


def test_the_histogram_is_of_the_chosen_label(page, files):
    page.open(files["flow"])
    assert page.element("#histogram-text").text.startswith("10,000 calls: median")
    page.click("#table .grid:not([hidden]) .body .row")
    text = page.element("#histogram-text").text
    assert not text.startswith("10,000 calls")
    assert text in page.element("#histogram").get_attribute("aria-label")


def test_names_are_text(page, files):
    page.open(files["hostile"])
    assert page.driver.title == traces.BAD_NAMES[1]
    assert page.js("return document.scripts.length") == 1
    assert page.js("return document.images.length") == 0
    names = column(page, 0)
    assert traces.BAD_NAMES[0] in names
    assert traces.BAD_NAMES[2] in names
    page.click(".error > summary")
    page.js("document.getElementById('lanes').focus()")
    page.keys("=", "f")
    assert page.js("return window.broken") is None
    assert page.messages() == []


def test_a_durable_run_shows_its_attempts_and_waits(page, files):
    page.open(files["store"])
    assert page.element("h1").text == "order-1"
    assert "2 made again" in page.element("#summary").text
    page.click("#by-span")
    box = page.element("#search")
    box.send_keys("charge <")
    page.wait("document.getElementById('count').value.startsWith('3 of')")
    assert column(page, 0) == ["charge <card>"] * 3
    assert column(page, 2) == ["1", "2", "3"]
    assert column(page, 3) == ["retried", "retried", "done"]
    page.js(
        "const kind = document.getElementById('kind');"
        "kind.value = '4'; kind.dispatchEvent(new Event('change'))"
    )
    page.frames()
    assert column(page, 3) == ["done", "done"]
    assert "ConnectionError: no answer" in page.element("#errors").text


def test_calls_without_spans_are_counted(page, files):
    page.open(files["hostile"])
    heads = page.js(
        "return [...document.querySelectorAll('#table .grid:not([hidden])"
        " [role=columnheader]')].map(one => one.textContent)"
    )
    assert heads[1:3] == ["Calls", "Made"]
    assert set(column(page, 1)) == {"1"}
    assert sorted(column(page, 2)) == [f"1,00{n}" for n in range(7)]
    assert "7,021" in page.element("#summary").text


def test_the_theme_is_chosen(page, files):
    page.open(files["flow"])
    background = "return getComputedStyle(document.body).backgroundColor"
    light = page.js(background)
    page.click("#theme")
    assert page.element("#theme").text == "Light"
    page.click("#theme")
    assert page.element("#theme").text == "Dark"
    assert page.js(background) != light
    page.click("#theme")
    assert page.js(background) == light


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["flow", "durable", "hostile", "failed"])
def test_texts_have_enough_contrast(page, files, name, dark):
    page.open(files[name], dark=dark)
    page.js("for (const one of document.querySelectorAll('details')) one.open = true")
    page.js("document.getElementById('lanes').focus()")
    page.keys("\ue014")  # chooses a span, so that it is told
    page.click("#table .grid:not([hidden]) .body .row")
    page.frames(3)
    weak = page.js(
        (Path(__file__).parent / "contrast.js").read_text("utf-8") + "return weak(4.5)"
    )
    assert weak == []


def test_texts_on_bars_have_enough_contrast():
    source = (Path(report.__file__).parent / "page" / "colors.js").read_text("utf-8")
    bars = {
        theme: re.findall(r"#[0-9a-f]{6}", source.split(f"{theme}: [")[1].split("]")[0])
        for theme in ("light", "dark")
    }

    def luminance(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
                  for c in parts]  # fmt: skip
        return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for theme, text in (("light", "#101318"), ("dark", "#0b0d10")):
        assert len(bars[theme]) == len(set(bars[theme])) == 10
        for color in bars[theme]:
            assert (luminance(color) + 0.05) / (luminance(text) + 0.05) >= 4.5, color


def test_the_focus_goes_through_everything_in_order_and_is_seen(page, files):
    from selenium.webdriver.common.keys import Keys

    page.open(files["failed"])
    expected = page.js(
        "return [...document.querySelectorAll('a[href], button, input, select, summary,"
        ' [tabindex="0"]\')].filter(one => one.checkVisibility() &&'
        " (one.offsetWidth || one.className === 'skip')).length"
    )
    places, unseen = [], []
    for _ in range(expected + 1):
        page.keys(Keys.TAB)
        place = page.js(
            "const all = [...document.querySelectorAll('*')];"
            "const one = document.activeElement;"
            "if (one === document.body) return null;"
            "const style = getComputedStyle(one);"
            "return [all.indexOf(one), style.outlineStyle !== 'none' &&"
            " parseFloat(style.outlineWidth) >= 2, one.outerHTML.slice(0, 80)]"
        )
        if place is None:
            break
        places.append(place[0])
        if not place[1]:
            unseen.append(place[2])
    assert unseen == []
    assert places == sorted(set(places))
    assert len(places) >= expected
    # Everything that can be used has a name.
    nameless = page.js(
        "return [...document.querySelectorAll('button, a, summary')].filter(one =>"
        " !(one.textContent.trim() || one.getAttribute('aria-label')))"
        ".map(one => one.outerHTML.slice(0, 80))"
    )
    assert nameless == []


def test_numbers_are_downloaded(page, files, downloads):
    page.open(files["hostile"])

    def got(name):
        page.click("#downloads > summary")
        page.click(f"[data-download='{name}']")
        path = downloads / name
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(page.driver, 30, 0.02).until(lambda _: path.exists())
        page.js("document.getElementById('downloads').open = false")
        return path.read_bytes().decode("utf-8")

    rows = list(csv.DictReader(got("spans.csv").splitlines(keepends=True)))
    assert len(rows) == 7
    assert rows[0]["name"] == traces.BAD_NAMES[0]
    assert rows[5]["name"] == "'" + traces.BAD_NAMES[5]  # no formula
    assert (rows[1]["start_ns"], rows[1]["end_ns"]) == ("1000000", "1500000")
    found = json.loads(got("run.json"))
    expected = traces.hostile()
    assert found["labels"][:6] == list(traces.BAD_NAMES[:6])
    for name in ("start", "end", "item", "label", "state"):
        assert found["spans"][name] == expected.spans[name].tolist()
    assert found["dropped"] == 12_345
    assert found["errors"][0]["traceback"] == traces.BAD_NAMES[1]
    tasks = list(csv.DictReader(got("tasks.csv").splitlines(keepends=True)))
    assert {row["calls"] for row in tasks} == {"1"}
    assert page.messages() == []


def test_a_page_prints_in_light_with_all_errors_open(page, files):
    import base64

    page.open(files["failed"], dark=True)
    page.js(
        "window.addEventListener('beforeprint', () => { window.seen = ["
        "document.documentElement.dataset.theme, document.querySelector('.error').open,"
        " document.querySelector('.error pre').textContent,"
        " document.getElementById('lanes-canvas').toDataURL()]; })"
    )
    dark = page.js("return document.getElementById('lanes-canvas').toDataURL()")
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF-")
    theme, is_open, traceback, canvas = page.wait("window.seen")
    assert (theme, is_open, traceback) == ("light", True, "Traceback ...\nOSError")
    assert canvas != dark
    page.wait("document.documentElement.dataset.theme === 'dark'")
    assert page.js("return document.querySelector('.error').open") is False


@pytest.mark.slow
def test_a_million_spans(page, tmp_path):
    path = tmp_path / "million.html"
    write_report(traces.many(1_000_000, 8), path)
    page.open(path)
    assert page.messages() == []
    print(f"\n{path.stat().st_size:,} bytes, ready after "
          f"{page.js('return document.documentElement.dataset.ready')} ms")  # fmt: skip
    page.click("#by-span")
    assert count(page) == "1,000,000 of 1,000,000"
    frames = page.driver.execute_async_script(
        "const done = arguments[0]; const times = []; let n = 0;"
        "const body = document.querySelector('#table .grid:not([hidden]) .body');"
        "(function next(now) { times.push(now); body.scrollTop += 997;"
        " n++ < 90 ? requestAnimationFrame(next) : done(times); })(performance.now());"
    )
    print(f"scrolling: {1000 * (len(frames) - 1) / (frames[-1] - frames[0]):.0f} "
          "frames a second")  # fmt: skip
    assert len({*column(page, 1)}) > 10
    page.click("#table .grid:not([hidden]) [role=columnheader]:nth-child(2) button")
    assert column(page, 1)[0] == "999,999"
    page.js("document.getElementById('lanes').focus()")
    frames = page.driver.execute_async_script(
        "const done = arguments[0]; const times = []; let n = 0;"
        "const host = document.getElementById('lanes');"
        "(function next(now) { times.push(now);"
        " host.dispatchEvent(new KeyboardEvent('keydown', {key: n % 2 ? '-' : '+'}));"
        " n++ < 60 ? requestAnimationFrame(next) : done(times); })(performance.now());"
    )
    print(f"zooming: {1000 * (len(frames) - 1) / (frames[-1] - frames[0]):.0f} "
          "frames a second")  # fmt: skip
    assert page.messages() == []

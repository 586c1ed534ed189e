"""Reports of what was really recorded: a flow of 10,000 tasks, processes, waits."""

from __future__ import annotations

import pytest

import fastflow
from fastflow import Flow
from fastflow.durable import (
    DurableRunner,
)
from seeing.browser import browser, needs_browser
from seeing.recorded_calls import order

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("downloads")) as found:
        yield found


def opened(page, recording, tmp_path):
    """Open the report of a recording; what is said of calls in its summary."""
    path = tmp_path / "report.html"
    recording.report(path)
    page.open(path)
    assert page.messages() == []
    requests = page.requests()
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    lines = page.element("#summary").text.split("\n")
    return lines[lines.index("Calls") + 1]


def rows(page):
    """By name: how many calls the table has."""
    return page.js(
        "return Object.fromEntries([...document.querySelectorAll('#table"
        " .grid:not([hidden]) .body .row:not([hidden])')].map(row =>"
        " [row.children[0].textContent, row.children[1].textContent]))"
    )


def numbers():
    return list(range(9_998))


def square(n):
    return n * n


def test_a_flow_of_ten_thousand_tasks(page, tmp_path):
    flow = Flow(
        "flow Squares:\n    numbers -> square[*] -> total\n",
        registry={"numbers": numbers, "square": square, "total": sum},
    )
    with fastflow.record() as recording:
        result = flow.run()
    assert result["total"] == sum(map(square, numbers()))
    assert opened(page, recording, tmp_path) == "10,000"
    assert page.element("h1").text == "Squares"
    page.click("#by-label")
    assert rows(page) == {"numbers": "1", "square": "9,998", "total": "1"}
    assert page.element("#graph").is_displayed()
    assert "10,000 calls" in page.element("#why").text


def test_a_durable_run_with_waits_and_retries(page, tmp_path):
    with fastflow.record() as recording, DurableRunner() as runner:
        runner.run(order, list(range(20)), execution_name="order-1")
    opened(page, recording, tmp_path)
    page.click("#by-label")
    found = rows(page)
    assert found["charge <card>"] == "3"
    assert found["square"] == "20"
    assert "2 made again" in page.element("#summary").text
    assert "ConnectionError: no answer" in page.element("#errors").text


def test_a_run_on_processes(page, tmp_path):
    with fastflow.record() as recording:
        with fastflow.ProcessExecutor(2) as executor:
            assert sum(executor.map(square, range(500))) == sum(map(square, range(500)))
    opened(page, recording, tmp_path)
    lanes = page.js(
        "document.getElementById('by-span').click();"
        "return [...document.querySelectorAll('#table .grid:not([hidden]) .body"
        " .row:not([hidden])')].length"
    )
    assert lanes > 0
    page.frames()
    names = page.js(
        "return [...document.querySelectorAll('#table .grid:not([hidden]) .body"
        " .row:not([hidden])')].map(row => row.children[8].textContent)"
    )
    assert any(name.startswith("process") for name in names)

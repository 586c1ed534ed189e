"""A headless Chromium for the tests of pages, where there is one."""

from __future__ import annotations

import importlib.util
import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

_BINARY = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
_DRIVER = shutil.which("chromedriver")

#: Why pages can't be opened here; empty if they can.
MISSING = ", ".join(
    what
    for what, there in (
        ("chromium (Debian: chromium)", _BINARY),
        ("chromedriver (Debian: chromium-driver)", _DRIVER),
        ("selenium (the extra test-browser)", importlib.util.find_spec("selenium")),
    )
    if not there
)
needs_browser = pytest.mark.skipif(bool(MISSING), reason=f"there is no {MISSING}")

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
)


class Page:
    """A page that was opened, and what the tests do with it."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, width=1440, height=900, dark=False):
        """Open a file and wait until it has drawn all that it has."""
        self.size(width, height)
        media = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce",
        }
        features = [{"name": name, "value": value} for name, value in media.items()]
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": features}
        )
        self.messages()
        self.requests()
        self.driver.get(Path(path).as_uri())
        self.wait("document.documentElement.dataset.ready")
        return self

    def size(self, width, height):
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def js(self, code, *args):
        return self.driver.execute_script(code, *args)

    def wait(self, condition, timeout=30):
        """Wait until a JavaScript expression is true; return its value."""
        from selenium.webdriver.support.wait import WebDriverWait

        def value(driver):
            return driver.execute_script(f"return {condition}")

        return WebDriverWait(self.driver, timeout, 0.02).until(value, condition)

    def frames(self, n=2):
        """Let the page draw."""
        self.driver.execute_async_script(
            "const done = arguments[1]; let n = arguments[0];"
            "(function next() { n-- ? requestAnimationFrame(next) : done(); })();",
            n,
        )

    def element(self, selector):
        from selenium.webdriver.common.by import By

        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector):
        element = self.element(selector)
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        self.frames()

    def keys(self, *keys):
        """Press keys where the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()
        self.frames()

    def messages(self):
        """What the page has logged since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """The addresses that were asked for since the last call."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found


@contextmanager
def browser(downloads):
    """Start a browser; a `Page` of it."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _BINARY
    for option in _OPTIONS:
        options.add_argument(option)
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    driver = webdriver.Chrome(options, webdriver.ChromeService(_DRIVER))
    try:
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior",
            {"behavior": "allow", "downloadPath": str(downloads)},
        )
        yield Page(driver)
    finally:
        driver.quit()

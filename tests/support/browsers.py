"""A real browser (headless Chromium) for tests, that talks to nobody but the page under test."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
# Everything that would make the browser talk to anybody but the server under test.
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1400,1600",
)
PATIENCE = 60  # seconds for a page; a cold start on two busy cores takes a third of it


def why_no_browser() -> str:
    """Why there is none; nothing where there is one."""
    if CHROMIUM and DRIVER:
        return ""
    return "no Chromium with its driver (Debian: apt-get install chromium chromium-driver)"


@contextmanager
def open_browser(profile: Path) -> Iterator:
    """A browser with an empty profile, whose console is recorded."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def wait_for_text(browser, *wanted: str) -> str:
    """The page's text as soon as it holds all that is wanted."""
    deadline = time.monotonic() + PATIENCE
    text = ""
    while time.monotonic() < deadline:
        text = browser.execute_script("return document.body.innerText")
        if all(word in text for word in wanted):
            return text
        time.sleep(0.2)
    missing = [word for word in wanted if word not in text]
    raise AssertionError(f"after {PATIENCE} s the page does not show {missing}; it shows:\n{text}")


def wait_for(browser, script: str):
    """What a script returns, as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := browser.execute_script(script):
            return found
        time.sleep(0.2)
    raise AssertionError(f"after {PATIENCE} s still false: {script}")


def console_errors(browser, harmless: tuple[str, ...] = ()) -> list[str]:
    """Severe console messages since the last call, without those that match one of `harmless`."""
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in severe if not any(re.search(known, message) for known in harmless)]


def save_screenshot(browser, name: str) -> None:
    """Keep a picture for people where XLPROMPT_SCREENSHOTS names a folder."""
    folder = os.environ.get("XLPROMPT_SCREENSHOTS")
    if folder:
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))

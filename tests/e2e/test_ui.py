"""A run as a person sees it: the real server, opened in a real browser (headless Chromium)."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xlprompt.training.tracker import DatasetRecord, MlflowTracker

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
# Everything that would make the browser talk to anybody but the server under test.
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1400,1600",
)
RUN_NAME = "prompt-tiny-seed0"
HARMLESS = (
    r"^https://",  # what could not be fetched from other servers
    r"/mlflow/users/current - ",  # asks whether there are logins; a server without them answers 404
    r"ResizeObserver loop",  # Chromium's note that a layout took one frame more
)
PATIENCE = 60  # seconds for a page; a cold start on two busy cores takes a third of it

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="no Chromium with its driver (Debian: apt-get install chromium chromium-driver)",
    ),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with one finished run, written as training writes it."""
    mlruns = tmp_path_factory.mktemp("ui") / "ml runs"
    tracker = MlflowTracker(mlruns)
    run_id = tracker.start(
        experiment="xnli",
        run_name=RUN_NAME,
        params={"model": "tiny", "trainable_params": 740355, "total_params": 564463616},
        tags={"method": "prompt"},
    )
    record = DatasetRecord("xnli-en-test", "0123456789ab", str(mlruns), False, 100, "test-en")
    tracker.log_dataset(record)
    tracker.log_metrics({"test/accuracy/en": 61.25}, dataset=record)
    tracker.log_metrics({"test/accuracy/mean_zero_shot": 52.5})
    tracker.end("FINISHED")
    return mlruns, run_id


@pytest.fixture(scope="module")
def runs_address(store):
    """The address that `xlprompt ui` prints for the experiment; its process group ends with the tests."""
    mlruns, _ = store
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run_command = "from xlprompt.cli.main import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", run_command, "ui", "--mlruns", str(mlruns), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed = server.stdout.readline() + server.stdout.readline()
        assert f"http://127.0.0.1:{port} " in printed, "the server did not start"
        yield re.search(r"runs of xnli: (\S+)", printed).group(1)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=30)
        finally:
            kill_group(server.pid)


def kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
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


def own_errors(browser) -> list[str]:
    """Severe console messages about the page itself, without those that are no fault of the store."""
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in severe if not any(re.search(known, message) for known in HARMLESS)]


def save_screenshot(browser, name: str) -> None:
    """Keep a picture for people where XLPROMPT_SCREENSHOTS names a folder."""
    folder = os.environ.get("XLPROMPT_SCREENSHOTS")
    if folder:
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_the_runs_page_shows_the_run_with_its_parameters_and_metrics(browser, runs_address, store):
    _, run_id = store
    browser.get(runs_address.replace("/runs?", f"/runs/{run_id}?"))
    text = wait_for_text(browser, RUN_NAME, "trainable_params", "test/accuracy/en")
    save_screenshot(browser, "run")
    assert "740355" in text
    assert "61.25" in text
    assert own_errors(browser) == []


def test_the_printed_address_of_an_experiment_lists_its_runs(browser, runs_address):
    browser.get(runs_address)
    wait_for_text(browser, RUN_NAME)
    save_screenshot(browser, "experiment")
    assert own_errors(browser) == []

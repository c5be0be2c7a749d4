"""A study as a person sees it in MLflow's UI: the real server, opened in a real browser."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from urllib.parse import quote

import numpy as np
import pytest
from browsers import console_errors, save_screenshot, wait_for, wait_for_text, why_no_browser
from PIL import Image
from rich.console import Console
from small import write_data
from studies import runs_of, write_study

from xlprompt.studies.grid.study import run_study

HARMLESS = (
    r"^https://",  # what could not be fetched from other servers
    r"/mlflow/users/current - ",  # asks whether there are logins; a server without them answers 404
    r"ResizeObserver loop",  # Chromium's note that a layout took one frame more
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser() or "there is one"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory, tiny_xglm):
    """A store with one study of three seeds; its parent and its children."""
    folder = tmp_path_factory.mktemp("ui")
    store = folder / "ml runs"
    grid = write_study(folder / "study", tiny_xglm, write_data(folder / "data"))
    done = run_study(
        grid,
        store=store,
        console=Console(file=io.StringIO()),
        grid_overrides={"executor.workers": 0, "seeds": 3},
    )
    assert done.finished
    (parent,), children = runs_of(store)
    return store, parent, sorted(children, key=lambda run: run.info.run_name)


@pytest.fixture(scope="module")
def runs_address(study):
    """The address that `xlprompt ui` prints for the experiment; its process group ends with the tests."""
    store, *_ = study
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run_command = "from xlprompt.cli.main import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", run_command, "ui", "--mlruns", str(store), "--port", str(port)],
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


@pytest.fixture(autouse=True)
def _console_of_this_test(browser):
    """Forget what the pages of other tests had to say."""
    browser.get_log("browser")


def errors(browser) -> list[str]:
    """Severe console messages about the page itself, without those that are no fault of the store."""
    return console_errors(browser, HARMLESS)


def inked(element) -> float:
    """Share of an element's pixels on the screen that are not nearly white."""
    pixels = np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"))
    return float((pixels.min(axis=2) < 200).mean())


def test_the_printed_address_lists_the_parent_with_its_three_children(browser, runs_address, study):
    _, parent, children = study
    browser.get(runs_address)
    wait_for_text(browser, parent.info.run_name)
    # A parent's row has one button, which shows its children ("Expand rows" is for rows yet to be loaded).
    wait_for(browser, "return document.querySelector('.ag-row button')").click()
    text = wait_for_text(browser, *(child.info.run_name for child in children))
    save_screenshot(browser, "experiment")
    for column in ("score/trained_on", "score/zero_shot", "score/gap", "method", "seed"):
        assert column in text
    assert f"{children[0].data.metrics['score/zero_shot']:g}" in text
    assert "4 matching runs" in text
    assert len(children) == 3
    (grid,) = browser.find_elements("css selector", ".ag-root-wrapper")
    assert inked(grid) > 0.01
    assert errors(browser) == []


def test_the_page_of_a_run_shows_its_scores_and_what_to_do_next_with_its_figures(
    browser, runs_address, study
):
    _, parent, (child, *_) = study
    browser.get(runs_address.replace("/runs?", f"/runs/{child.info.run_id}?"))
    text = wait_for_text(browser, child.info.run_name, "trainable_params", "test/accuracy/en")
    save_screenshot(browser, "run")
    assert child.data.params["trainable_params"] in text
    for headline in ("score/trained_on", "score/zero_shot", "score/gap"):
        assert text.index(headline) < text.index("cost/estimated")
    assert re.search(r"English [\d.]+ · zero-shot mean [\d.]+ · transfer gap", text)
    assert f"xlprompt evaluate {child.info.run_id}" in text
    assert "python" not in child.data.tags["mlflow.source.name"]
    links = wait_for(
        browser,
        "return [...document.querySelectorAll('a')].filter(a => a.innerText == 'its study').map(a => a.hash)",
    )
    assert links == [f"#/experiments/{child.info.experiment_id}/runs/{parent.info.run_id}"]
    assert browser.find_elements("css selector", "table, [role=table]")
    assert errors(browser) == []


def test_figures_of_one_value_are_bars(browser, runs_address, study):
    _, _, (child, *_) = study
    browser.get(runs_address.replace("/runs?", f"/runs/{child.info.run_id}/model-metrics?"))
    wait_for(browser, "return document.querySelectorAll('.js-plotly-plot .bars path').length > 3")
    save_screenshot(browser, "charts")
    dots = browser.execute_script(
        "return [...document.querySelectorAll('.js-plotly-plot')]"
        ".map(plot => plot.querySelectorAll('.scatterlayer .point').length)"
    )
    assert 1 not in dots
    assert errors(browser) == []


def test_the_page_of_a_parent_holds_its_studys_table_and_figure(browser, runs_address, study):
    _, parent, _ = study
    page = runs_address.replace("/runs?", f"/runs/{parent.info.run_id}{{}}?")
    browser.get(page.format(""))
    text = wait_for_text(browser, parent.info.run_name, "The study", "zero-shot mean")
    assert "3/3" in text
    save_screenshot(browser, "parent")
    browser.get(page.format("/artifacts/methods.svg"))
    wait_for_text(browser, "methods.svg")
    save_screenshot(browser, "methods")
    assert errors(browser) == []


def test_the_three_children_are_compared_in_tables_and_a_plot(browser, runs_address, study):
    _, parent, children = study
    runs = quote(json.dumps([child.info.run_id for child in children]))
    experiments = quote(json.dumps([parent.info.experiment_id]))
    address = runs_address.partition("#")[0]
    browser.get(f"{address}#/compare-runs?runs={runs}&experiments={experiments}")
    names = [child.info.run_name for child in children]
    wait_for_text(browser, "Comparing 3 Runs", *names)
    wait_for(browser, "return document.querySelector('.js-plotly-plot svg.main-svg')")
    save_screenshot(browser, "compare")
    tables = browser.find_elements("css selector", "table")
    plots = browser.find_elements("css selector", ".js-plotly-plot")
    assert len(tables) == 3  # the runs, their parameters, their metrics
    assert plots
    for shown in (*tables, *plots):
        assert inked(shown) > 0.005
    assert errors(browser) == []

"""The page of `xlprompt serve` as a person uses it, on a phone and at a desk, in light and in dark."""

import io
import threading
import time

import pytest
import uvicorn
from browsers import console_errors, save_screenshot, wait_for, wait_for_text, why_no_browser
from rich.console import Console
from small import tiny_recipe, write_data

from xlprompt.training import train
from xlprompt.training.serving.app import create_app
from xlprompt.training.serving.shelf import load_shelf

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser() or "there is one"),
]
VIEWS = {"phone": (390, "dark"), "desk": (1280, "light")}


@pytest.fixture(scope="module")
def address(tmp_path_factory, tiny_xglm):
    """A server of a model for pairs and one for words."""
    folder = tmp_path_factory.mktemp("page")
    data, store, runs = write_data(folder / "data"), folder / "mlruns", []
    for task in ("xnli", "pos"):
        recipe = tiny_recipe(task, tiny_xglm, data, evaluation={"language_model_rows": 0})
        recipe = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"steps": 2})})
        runs.append(train(recipe, store=store, console=Console(file=io.StringIO())).run_id)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(load_shelf(runs, store)), port=0, log_level="error", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(params=VIEWS)
def page(request, browser, address):
    """The page at one width and in one scheme of colors."""
    width, scheme = VIEWS[request.param]
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get_log("browser")
    browser.get(address)
    wait_for(browser, "return document.querySelectorAll('#model option').length === 2")
    yield browser
    save_screenshot(browser, f"try-{request.node.name}")
    assert console_errors(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def choose(browser, which, value):
    browser.execute_script(
        "const s = document.getElementById(arguments[0]);"
        "s.value = arguments[1]; s.dispatchEvent(new Event('change'))",
        which,
        value,
    )


def write(browser, *texts):
    fields = browser.find_elements("css selector", "#fields textarea")
    for field, text in zip(fields, texts, strict=True):
        field.send_keys(text)
    browser.find_element("id", "submit").click()


def shown(browser, selector):
    script = "return [...document.querySelectorAll(arguments[0])].map(found => found.textContent)"
    return browser.execute_script(script, selector)


def test_a_pair_gets_its_label_with_the_probability_of_each(page):
    assert shown(page, "#fields label") == ["Premise", "Hypothesis"]
    choose(page, "language", "de")
    write(page, "der Mann liest", "Mann")
    wait_for(page, "return document.querySelector('#result table')")
    labels, numbers = shown(page, "#result tbody th"), shown(page, "#result td.number")
    assert sorted(labels) == ["contradiction", "entailment", "neutral"]
    assert sum(float(number.strip("<% ")) for number in numbers) == pytest.approx(100, abs=0.3)
    assert shown(page, "#result .answer strong") == [labels[0]]


def test_each_word_gets_a_tag_and_shows_its_probabilities_when_it_is_chosen(page):
    choose(page, "model", "pos")
    assert shown(page, "#fields label") == ["Sentence"]
    write(page, "the red book")
    wait_for(page, "return document.querySelectorAll('.words button').length === 3")
    page.find_elements("css selector", ".words button")[1].click()
    assert shown(page, "#result h2") == ["red"]
    assert len(shown(page, "#result tbody tr")) == 17


def test_what_is_missing_is_said_and_the_field_has_the_cursor(page):
    write(page, "the man", "")
    wait_for_text(page, "Fill in every text first")
    assert page.execute_script("return document.activeElement.name") == "hypothesis"


def test_a_refusal_of_the_server_is_shown_with_its_reason(page):
    page.execute_script("document.querySelectorAll('#fields textarea')[0].value = 'a'.repeat(20001)")
    write(page, "", "b")
    wait_for_text(page, "characters, and an example may have 20000")
    page.get_log("browser")  # where the browser notes the status 422


CONTRAST = """
const light = (color) => {
  const parts = color.match(/[\\d.]+/g).slice(0, 3).map((each) => each / 255)
    .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (!color.endsWith(", 0)")) return color;
  }
  return "rgb(255, 255, 255)";
};
return [...document.querySelectorAll("body *")]
  .filter((each) => each.offsetParent)
  .filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .map((each) => {
    const [one, other] = [light(getComputedStyle(each).color), light(behind(each))].sort((a, b) => b - a);
    return [each.outerHTML.slice(0, 80), (one + 0.05) / (other + 0.05)];
  })
  .filter(([, ratio]) => ratio < 4.5);
"""


def test_text_stands_out_and_everything_has_a_name(page):
    choose(page, "model", "pos")
    write(page, "the red book")
    wait_for(page, "return document.querySelectorAll('.words button').length === 3")
    page.find_elements("css selector", ".words button")[0].click()
    assert page.execute_script(CONTRAST) == []
    assert page.execute_script("return document.documentElement.lang") == "en"
    unnamed = (
        "return [...document.querySelectorAll('select, textarea')].filter((each) => !each.labels.length)"
    )
    assert page.execute_script(unnamed) == []
    small = "return [...document.querySelectorAll('button')].filter((each) => each.offsetHeight < 24).length"
    assert page.execute_script(small) == 0

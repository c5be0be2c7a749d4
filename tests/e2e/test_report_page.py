"""The study's report as a person sees it: opened in a real browser, as wide as a phone and as a desk."""

import io

import numpy as np
import pytest
from browsers import console_errors, save_screenshot, wait_for, why_no_browser
from PIL import Image
from simulated_studies import POS, by_resources, make_runs

from xlprompt.evaluation import compare, judge
from xlprompt.evaluation.comparison.run_facts import Fertility, RunFacts
from xlprompt.studies.reports.findings import StudyFindings
from xlprompt.studies.reports.study_page import tables, write_study_report

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser() or "there is one"),
]
WIDTHS = {"phone": 390, "desk": 1280}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with everything that a report can hold, and its tables."""
    runs = {**make_runs(by_resources(12.0, 0.0)), **make_runs(-15.0, task="pos", languages=POS)}
    comparison = compare(runs, samples=200)
    facts = [
        RunFacts(
            *(task, method, seed, "a-model-with-a-rather-long-name/that-does-not-end"),
            *(564_463_616, 740_355, 0.131, 60.0 + seed, 9000.0),
            curve=tuple((step, 60 - 1000 / step + seed) for step in range(100, 1300, 100)),
            text_loss={code: (2.5, 2.6 + 0.01 * seed) for code in POS},
        )
        for task in ("xnli", "pos")
        for method in ("prompt", "finetune", "head")
        for seed in (0, 1, 2)
    ]
    extras = {
        "heads": dict.fromkeys(("prompt", "finetune"), comparison),
        "fertility": Fertility("pos", dict.fromkeys(POS, 1.5)),
    }
    findings = StudyFindings(comparison, judge(comparison), facts, **extras)
    page, _ = write_study_report(tmp_path_factory.mktemp("report"), findings)
    return page, tables(findings)


@pytest.fixture(params=WIDTHS)
def opened(request, browser, report):
    """The page at one of the widths, and that width's name."""
    metrics = {"width": WIDTHS[request.param], "height": 900, "deviceScaleFactor": 1}
    metrics["mobile"] = request.param == "phone"
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("browser")  # what other pages had to say
    browser.get(report[0].as_uri())
    wait_for(browser, "return [...document.images].every(image => image.complete)")
    yield browser, request.param
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def texts(browser, selector):
    script = "return [...document.querySelectorAll(arguments[0])].map(found => found.textContent)"
    return [text.replace("\xa0", " ") for text in browser.execute_script(script, selector)]


def test_the_page_shows_every_table_claim_and_figure_without_errors(opened, report):
    browser, width = opened
    save_screenshot(browser, f"report-{width}")
    assert texts(browser, "caption") == [table.title for table in report[1] if not table.cards]
    cards = [row for table in report[1] if table.cards for row in table.rows]
    assert texts(browser, "article h4") == [row[0] for row in cards]
    assert texts(browser, "article p") == [row[1] for row in cards]
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 6
    assert min(widths) > 0
    assert console_errors(browser) == []


def test_only_tables_scroll_sideways(opened):
    browser, width = opened
    root = "document.documentElement"
    assert browser.execute_script(f"return {root}.scrollWidth") <= WIDTHS[width]
    too_wide = browser.execute_script(
        "return [...document.querySelectorAll('body *')].filter(found => !found.closest('.scroll table') && "
        f"found.getBoundingClientRect().right > {WIDTHS[width]}).map(found => found.outerHTML.slice(0, 80))"
    )
    assert too_wide == []


def test_figures_are_drawn_and_large_enough_to_read(opened):
    browser, _ = opened
    for figure in browser.find_elements("css selector", "figure img"):
        assert figure.size["width"] >= 350  # of the 360 pixels that they are drawn for
        browser.execute_script("arguments[0].scrollIntoView()", figure)
        pixels = np.asarray(Image.open(io.BytesIO(figure.screenshot_as_png)).convert("RGB"))
        inked = (pixels.min(axis=2) < 200).mean()
        assert 0.01 < inked < 0.9

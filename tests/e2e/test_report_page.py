"""The study's report as a person sees it: opened in a real browser, as wide as a phone and as a desk."""

import io
from pathlib import Path

import numpy as np
import pytest
from browsers import console_errors, save_screenshot, wait_for, why_no_browser
from PIL import Image
from simulated_studies import POS, XNLI, by_resources, make_runs

from xlprompt.evaluation import compare, judge
from xlprompt.evaluation.comparison.counts import join_runs
from xlprompt.evaluation.comparison.decisive import what_decides
from xlprompt.evaluation.comparison.other_methods import compare_others
from xlprompt.evaluation.comparison.run_facts import Fertility, RunFacts
from xlprompt.studies.reports.answer.headline import headline
from xlprompt.studies.reports.findings import StudyFindings
from xlprompt.studies.reports.page import Table
from xlprompt.studies.reports.published_runs import read_published
from xlprompt.studies.reports.study_page import tables, write_study_report

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser() or "there is one"),
]
SIZES = {"phone": (390, 844), "desk": (1280, 800)}
TASKS = ("xnli", "pawsx", "ner", "pos", "sib200", "xcopa", "xquad")
OTHERS = ("head", "lora", "adapter", "ia3", "bitfit")
PUBLISHED = Path(__file__).resolve().parents[2] / "experiments" / "results" / "mini" / "runs.jsonl.gz"
FOLDS = "document.querySelectorAll('details').forEach(each => each.open = true)"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with all tasks and methods and everything that a report can hold; its tables and its answer."""
    gaps = [by_resources(12.0, 0.0), -15.0, 0.0, -9.0, 0.0, 0.0, 5.0]
    runs = {}
    for task, gap in zip(TASKS, gaps, strict=True):
        languages = POS if task == "pos" else XNLI
        two = make_runs(gap, task=task, languages=languages, examples=100)[task]
        more = [two.only({"prompt": name}) for name in OTHERS] if task == "xnli" else []
        runs[task] = join_runs([two, *more])
    comparison = compare(runs, samples=40)
    both = ("prompt", "finetune")
    facts = [
        RunFacts(
            *(task, method, seed, "a-model-with-a-rather-long-name/that-does-not-end"),
            *(564_463_616, 740_355, 0.131, 60.0 + seed, 9000.0),
            curve=tuple((step, 60 - 1000 / step + seed) for step in range(100, 1300, 100)),
            text_loss={code: (2.5, 2.6 + 0.01 * seed) for code in POS},
        )
        for task in TASKS[:2]
        for method in (*both, "head")
        for seed in (0, 1, 2)
    ]
    verdicts = judge(comparison)
    findings = StudyFindings(
        comparison,
        verdicts,
        facts,
        heads=dict.fromkeys(both, comparison),
        others=compare_others(runs, OTHERS, both[:1], train_language="en"),
        fertility=Fertility("pos", dict.fromkeys(POS, 1.5)),
        needs=what_decides(comparison, verdicts, simulations=5),
        provenance=Table("Where these figures come from", ("what", "value"), (("commit", "f" * 40),)),
    )
    sections = list(read_published(PUBLISHED).sections.values())
    page, _ = write_study_report(tmp_path_factory.mktemp("report"), findings, more=sections)
    more = [part for each in sections for part in each.content if isinstance(part, Table)]
    return page, [*tables(findings), *more], headline(comparison)


def show(browser, page, size, **features):
    """Open the page in a window of a size, with folds as they come."""
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": media})
    browser.get_log("browser")  # what other pages had to say
    browser.get(page.as_uri())
    wait_for(browser, "return [...document.images].every(image => image.complete)")


@pytest.fixture
def reset(browser):
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


@pytest.fixture(params=SIZES)
def opened(request, reset, report):
    """The page at one of the sizes, and that size's name."""
    show(reset, report[0], request.param)
    return reset, request.param


def texts(browser, selector):
    script = "return [...document.querySelectorAll(arguments[0])].map(found => found.textContent)"
    return [" ".join(text.replace("\xa0", " ").split()) for text in browser.execute_script(script, selector)]


def test_the_first_screen_holds_headline_figure_and_verdicts(opened, report):
    browser, size = opened
    save_screenshot(browser, f"report-{size}")
    assert texts(browser, "h1") == [report[2]]
    assert len(texts(browser, ".claims summary")) == 4
    places = browser.execute_script(
        "return ['h1', '.methods img', '.claims'].map(name => document.querySelector(name)"
        ".getBoundingClientRect()).map(box => [box.top, box.bottom, box.width])"
    )
    for top, bottom, width in places:
        assert top >= 0
        assert bottom <= SIZES[size][1]
        assert width >= 350
    lines = browser.execute_script(
        "return [...document.querySelectorAll('.claims summary')].map(each => each.offsetHeight)"
    )
    assert max(lines) <= (40 if size == "desk" else 60)  # one line, on a phone two


def test_the_page_is_short_light_and_says_nothing_on_the_console(opened, report):
    browser, size = opened
    assert report[0].stat().st_size < 1_000_000
    if size == "desk":
        assert browser.execute_script("return document.documentElement.scrollHeight") <= 15 * 800
    assert console_errors(browser) == []


def test_the_page_shows_every_table_claim_and_figure(opened, report):
    browser, _ = opened
    assert texts(browser, "caption") == [table.title for table in report[1] if not table.cards]
    cards = [row for table in report[1] if table.cards for row in table.rows]
    assert texts(browser, ".line .what") == [row[0] for row in cards]
    assert texts(browser, ".line b") == [row[1] for row in cards]
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 37
    assert min(widths) > 0


def test_only_tables_scroll_sideways(opened):
    browser, size = opened
    browser.execute_script(FOLDS)
    root = "document.documentElement"
    assert browser.execute_script(f"return {root}.scrollWidth") <= SIZES[size][0]
    too_wide = browser.execute_script(
        "return [...document.querySelectorAll('body *')].filter(found => !found.closest('.scroll table') && "
        f"found.getBoundingClientRect().right > {SIZES[size][0]}).map(found => found.outerHTML.slice(0, 80))"
    )
    assert too_wide == []


def test_figures_are_drawn_and_large_enough_to_read(opened):
    browser, _ = opened
    browser.execute_script(FOLDS)
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('figure img')].map(each => each.getBoundingClientRect().width)"
    )
    assert min(sizes) >= 350  # of the 360 pixels that they are drawn for
    for figure in browser.find_elements("css selector", "figure img")[:6]:
        browser.execute_script("arguments[0].scrollIntoView()", figure)
        pixels = np.asarray(Image.open(io.BytesIO(figure.screenshot_as_png)).convert("RGB"))
        inked = (pixels.min(axis=2) < 200).mean()
        assert 0.01 < inked < 0.9


# WCAG 2.2: contrast of every text with what lies behind it; 4.5, of large letters 3.
CONTRAST = """
const shade = text => text.match(/[\\d.]+/g).map(Number);
const light = color => color.slice(0, 3).map(each => each / 255)
  .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
  .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
const behind = found => {
  for (let each = found; each; each = each.parentElement) {
    const color = shade(getComputedStyle(each).backgroundColor);
    if (color.length < 4 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const worst = {};
for (const found of document.querySelectorAll('body *:not(script)')) {
  const own = [...found.childNodes].some(each => each.nodeType === 3 && each.textContent.trim());
  if (!own && found.tagName !== 'INPUT') continue;
  const style = getComputedStyle(found);
  const [one, other] = [light(shade(style.color)), light(behind(found))];
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) worst[found.outerHTML.slice(0, 80)] = ratio;
}
return [worst, getComputedStyle(document.body).backgroundColor];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_lies_behind_it(reset, report, scheme):
    show(reset, report[0], "desk", prefers_color_scheme=scheme)
    save_screenshot(reset, f"report-{scheme}")
    reset.execute_script(FOLDS)
    worst, ground = reset.execute_script(CONTRAST)
    assert worst == {}
    assert (sum(map(int, ground[4:-1].split(","))) < 150) == (scheme == "dark")


def test_tables_sort_by_a_heading_and_filter_by_words(reset, report):
    show(reset, report[0], "desk")
    table = reset.find_element("xpath", "//table[caption='xnli: scores by language']")
    column = 5  # the differences

    def cells(place=column):
        script = (
            "return [...arguments[0].tBodies[0].rows].filter(row => !row.hidden)"
            ".map(row => row.cells[arguments[1] - 1].textContent)"
        )
        return reset.execute_script(script, table, place)

    before = cells()
    numbers = [float(text) for text in before]
    for order, expected in (
        ("ascending", sorted(numbers)),
        ("descending", sorted(numbers, reverse=True)),
        (None, numbers),
    ):
        heading = table.find_element("xpath", f".//th[{column}]")
        reset.execute_script("arguments[0].querySelector('button').click()", heading)
        assert heading.get_attribute("aria-sort") == order
        assert [float(text) for text in cells()] == expected
    box = reset.execute_script("return arguments[0].closest('.scroll').previousElementSibling", table)
    box.find_element("css selector", "input").send_keys("low sw")
    assert cells(1) == ["Swahili (sw)"]


def test_without_scripts_all_is_there_and_a_link_to_a_fold_leads_to_it(reset, report):
    reset.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(reset, report[0], "phone")
        assert reset.find_elements("css selector", ".filter, th button") == []
        assert len(reset.find_elements("css selector", "caption")) == sum(
            not each.cards for each in report[1]
        )
        line = reset.find_element("css selector", ".claims summary")
        rule = reset.find_element("css selector", ".claims dd:last-child")
        assert not rule.is_displayed()
        line.click()
        assert rule.is_displayed()
    finally:
        reset.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    show(reset, report[0], "desk")
    link = reset.find_element("link text", "What was run")
    link.click()
    wait_for(reset, "return document.querySelector(location.hash + ' details').open")


def test_on_paper_every_fold_is_open(reset, report):
    show(reset, report[0], "desk")
    hidden = "return [...document.querySelectorAll('dd, td')].filter(each => !each.checkVisibility()).length"
    assert reset.execute_script(hidden) > 100
    reset.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert reset.execute_script(hidden) == 0
    assert reset.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"

"""The study's report: what its page and its Markdown hold, what is marked, and that it stands alone."""

import base64
import html
import re

import pytest
from simulated_studies import POS, by_resources, make_runs

from xlprompt.evaluation import compare, judge
from xlprompt.evaluation.study_report import RunFacts, tables, write_study_report

NASTY = '<script>alert("a|b")</script> & co'


def facts(model="xglm-nano"):
    return [
        RunFacts(task, method, seed, model, 4_000_000, 5_000, 0.125, 60.0 + seed, 900.0)
        for task in ("xnli", "pos")
        for method in ("prompt", "finetune")
        for seed in (0, 1, 2)
    ]


@pytest.fixture(scope="module")
def comparison():
    """Prompts win where resources are low in xnli, and lose everywhere in pos."""
    pos = make_runs(-15.0, task="pos", languages=POS)
    return compare({**make_runs(by_resources(12.0, 0.0)), **pos}, samples=300)


@pytest.fixture(scope="module")
def verdicts(comparison):
    return judge(comparison)


@pytest.fixture(scope="module")
def written(comparison, verdicts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "report"
    page, text = write_study_report(folder, comparison, verdicts, facts(NASTY), notes=[NASTY])
    return page.read_text(encoding="utf-8"), text.read_text(encoding="utf-8")


def html_tables(page):
    def cells(row):
        return tuple(html.unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row))

    return [
        [cells(row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)]
        for table in re.findall(r"<table>.*?</table>", page, re.S)
    ]


def markdown_tables(text):
    def plain(cell):
        return cell.strip().replace("\\|", "|").replace("&lt;", "<").replace("&amp;", "&")

    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    rows = [[line for line in block.splitlines() if "| --- |" not in line] for block in blocks]
    return [
        [tuple(plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]) for line in table]
        for table in rows
    ]


def test_page_and_markdown_hold_the_same_tables(written, comparison, verdicts):
    expected = [[table.columns, *table.rows] for table in tables(comparison, verdicts, facts(NASTY))]
    page, text = written
    assert html_tables(page) == expected
    assert markdown_tables(text) == expected


def test_the_better_method_is_named_only_where_the_difference_is_significant(comparison, verdicts):
    found = {table.title: table for table in tables(comparison, verdicts, facts())}
    marks = {"win": "▲ prompt", "loss": "▼ finetune", "tie": ""}
    for task in ("xnli", "pos"):
        rows = [row for row in comparison.differences if row.task == task]
        table = found[f"{task}: scores by language"]
        assert [row[-1] for row in table.rows] == [marks[row.outcome] for row in rows]
    assert {row.outcome for row in comparison.differences} == {"win", "tie", "loss"}


def test_every_claim_stands_with_its_verdict_rule_and_reason(comparison, verdicts):
    claims = tables(comparison, verdicts, facts())[0]
    assert len(claims.rows) == 4
    for row, verdict in zip(claims.rows, verdicts, strict=True):
        assert verdict.claim in row[0]
        assert row[1].endswith(verdict.verdict)
        assert row[2:] == (verdict.evidence["reason"], verdict.rule)


def test_names_are_escaped(written):
    page, text = written
    assert "<script" not in page
    assert "<script" not in text
    assert html.escape(NASTY) in page


def test_the_page_refers_to_nothing_outside_itself(written):
    page, _ = written
    assert re.findall(r"https?:|<link|@import|url\(", page) == []
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 4  # heat map, tokens of two tasks, cost
    for source in sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert b"<image" not in base64.b64decode(data) or b"data:image/png" in base64.b64decode(data)
    assert 'name="viewport"' in page
    assert page.count('<div class="scroll"') == page.count("<table>")


def test_a_study_of_one_seed_is_reported_without_intervals_and_marks(tmp_path):
    comparison = compare(make_runs(20.0, seeds=(0,)), samples=100)
    page, _ = write_study_report(tmp_path, comparison, judge(comparison), [])
    scores = next(
        table
        for table in tables(comparison, judge(comparison), [])
        if "by language" in table.title and table.title.startswith("xnli")
    )
    assert {row[5:] for row in scores.rows} == {("–", "–", "")}
    assert "Cost" not in page.read_text(encoding="utf-8")


def test_the_same_study_gives_the_same_files(tmp_path, comparison, verdicts, written):
    paths = write_study_report(tmp_path, comparison, verdicts, facts(NASTY), notes=[NASTY])
    assert tuple(path.read_text(encoding="utf-8") for path in paths) == written

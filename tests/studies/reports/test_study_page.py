"""The study's report: what its page and its Markdown hold, what is marked, and that it stands alone."""

import html
import re
from dataclasses import replace
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from markupsafe import escape
from simulated_studies import make_runs

from xlprompt.evaluation import compare, judge
from xlprompt.evaluation.comparison.counts import join_runs
from xlprompt.evaluation.comparison.decisive import what_decides
from xlprompt.evaluation.comparison.other_methods import compare_others
from xlprompt.evaluation.comparison.run_facts import Fertility, RunFacts
from xlprompt.studies.reports.answer.headline import headline
from xlprompt.studies.reports.findings import StudyFindings
from xlprompt.studies.reports.page import markdown_table
from xlprompt.studies.reports.study_page import tables, write_study_report

NASTY = '<script>alert("a|b")</script> & co'


def facts(model="xglm-nano"):
    return [
        RunFacts(
            task,
            method,
            seed,
            model,
            4_000_000,
            5_000,
            0.125,
            60.0 + seed,
            900.0,
            curve=((10, 40.0 + seed), (20, 59.5 + seed), (30, 60.0 + seed)),
            text_loss={"en": (2.0, 2.0 + (method == "finetune") * (0.1 + 0.01 * seed)), "sw": (3.0, 3.0)},
        )
        for task in ("xnli", "pos")
        for method in ("prompt", "finetune")
        for seed in (0, 1, 2)
    ]


@pytest.fixture(scope="module")
def verdicts(comparison):
    return judge(comparison)


@pytest.fixture(scope="module")
def extras(studied):
    """Prompts gain over the head alone in English, and lose in Swahili; LoRA does in xnli what prompts do."""
    runs = make_runs(lambda code: {"en": 20.0, "sw": -20.0}.get(code, 0.0))
    lora = studied["xnli"].only({"prompt": "lora"})
    others = compare_others(
        {"xnli": join_runs([studied["xnli"], lora])}, ("lora",), ("prompt", "finetune"), train_language="en"
    )
    fertility = Fertility("pos", {"de": 1.5, "en": 1.25})
    return {"heads": {"prompt": compare(runs, samples=300)}, "others": others, "fertility": fertility}


@pytest.fixture(scope="module")
def written(comparison, verdicts, extras, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "report"
    page, text = write_study_report(
        folder, StudyFindings(comparison, verdicts, facts(NASTY), notes=[NASTY], **extras)
    )
    return page.read_text(encoding="utf-8"), text.read_text(encoding="utf-8")


def plain(text):
    return html.unescape(text).replace("\xa0", " ")


def html_tables(page):
    def cells(row):
        return tuple(plain(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row))

    return [
        [cells(row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)]
        for table in re.findall(r"<table>.*?</table>", page, re.S)
    ]


def html_cards(page):
    """Of each line that opens what it says, the ruling, and what is folded away."""
    cards = re.findall(r'<details class="line">(.*?)</details>', page, re.S)
    found = [[plain(text) for text in re.findall(r"<(?:b|span|dd)\b[^>]*>(.*?)</", card)] for card in cards]
    return [(said, ruling, *rest) for ruling, said, *rest in found]


def markdown_tables(text):
    def cell_text(cell):
        return cell.strip().replace("\\|", "|").replace("&lt;", "<").replace("&amp;", "&")

    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    rows = [[line for line in block.splitlines() if "| --- |" not in line] for block in blocks]
    return [
        [tuple(cell_text(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]) for line in table]
        for table in rows
    ]


def test_page_and_markdown_hold_the_same_tables(written, comparison, verdicts, extras):
    found = tables(StudyFindings(comparison, verdicts, facts(NASTY), **extras))
    page, text = written
    assert markdown_tables(text) == [[table.columns, *table.rows] for table in found]
    assert html_tables(page) == [[table.columns, *table.rows] for table in found if not table.cards]
    assert html_cards(page) == [row for table in found if table.cards for row in table.rows]
    assert all(markdown_table(table) in text for table in found)


def test_the_better_method_is_named_only_where_the_difference_is_significant(comparison, verdicts):
    found = {table.title: table for table in tables(StudyFindings(comparison, verdicts, facts()))}
    marks = {"win": "▲ prompt", "loss": "▼ finetune", "tie": ""}
    for task in ("xnli", "pos"):
        rows = [row for row in comparison.differences if row.task == task]
        table = found[f"{task}: scores by language"]
        assert [row[-1] for row in table.rows] == [marks[row.outcome] for row in rows]
    assert {row.outcome for row in comparison.differences} == {"win", "tie", "loss"}


def test_every_claim_stands_with_its_verdict_rule_and_reason(comparison, verdicts):
    claims = tables(StudyFindings(comparison, verdicts, facts()))[0]
    assert len(claims.rows) == 4
    for row, verdict in zip(claims.rows, verdicts, strict=True):
        assert row[1].endswith(f" {verdict.verdict}")
        assert row[2:] == (
            *(verdict.evidence["reason"], verdict.claim, verdict.evidence["reason"]),
            *("nothing: it is decided", verdict.rule),
        )


def test_an_undecided_claim_says_what_would_decide_it(comparison, verdicts):
    needs = what_decides(comparison, verdicts, simulations=5)
    claims = tables(StudyFindings(comparison, verdicts, facts(), needs=needs))[0]
    assert [need is None for need in needs] == [each.verdict != "undecided" for each in verdicts]
    for row, verdict, need in zip(claims.rows, verdicts, needs, strict=True):
        brief, text = (verdict.evidence["reason"], "nothing: it is decided")
        assert (row[2], row[5]) == ((brief, text) if need is None else (need.brief, need.text))


def test_every_method_is_held_against_the_commonest_label(comparison, verdicts, extras):
    found = {table.title: table for table in tables(StudyFindings(comparison, verdicts, facts(), **extras))}
    rows = {row[:2]: row[2:] for row in found["Against always giving the commonest label"].rows}
    pairs, tags = [("xnli", name) for name in ("prompt", "finetune", "lora")], ("pos", "prompt")
    assert list(rows) == [*pairs, tags, ("pos", "finetune")]
    assert rows["xnli", "lora"] == rows["xnli", "prompt"]  # the same answers
    above = sum(row.skilled for row in comparison.scores if (row.task, row.method) == ("xnli", "finetune"))
    assert rows["xnli", "finetune"][0] == f"{above} of {len(comparison.tasks['xnli'].examples)}"


def test_what_is_not_known_leaves_no_empty_section(comparison, verdicts):
    bare = {table.title for table in tables(StudyFindings(comparison, verdicts, []))}
    everything = {table.title for table in tables(StudyFindings(comparison, verdicts, facts()))}
    assert everything - bare == {
        "Language-model loss on the test sets' text",
        "Development score by step",
        "Cost and score",
    }


def test_learning_is_summed_up_over_the_steps_that_all_seeds_have(comparison, verdicts):
    first, *others = facts()
    longer = [replace(first, curve=(*first.curve, (40, 99.0))), *others]
    for runs in (facts(), longer):
        (table,) = [
            each
            for each in tables(StudyFindings(comparison, verdicts, runs))
            if each.title.startswith("Develop")
        ]
        assert table.rows[0] == (
            *("xnli", "prompt", "3", "10 to 30"),
            *("41.0 ± 1.0", "61.0 ± 1.0", "61.0 ± 1.0", "20"),
        )


def test_further_methods_stand_among_the_runs_and_curves(comparison, verdicts):
    head = replace(facts()[0], method="head", curve=((10, 35.0),))
    found = {table.title: table for table in tables(StudyFindings(comparison, verdicts, [*facts(), head]))}
    assert [row[:3] for row in found["Runs"].rows][:3] == [
        ("xnli", "prompt", "0, 1, 2"),
        ("xnli", "finetune", "0, 1, 2"),
        ("xnli", "head", "0"),
    ]
    assert ("xnli", "head") in [row[:2] for row in found["Development score by step"].rows]


def test_every_methods_trainable_share_stands_beside_its_scores(comparison, verdicts):
    lora = [
        replace(facts()[0], method="lora", seed=seed, trained_on=80.0 + seed, zero_shot=50.0, curve=())
        for seed in (0, 1)
    ]
    found = {table.title: table for table in tables(StudyFindings(comparison, verdicts, [*facts(), *lora]))}
    table = found["Cost and score"]
    assert table.columns[2:5] == ("trained (%)", "English", "zero-shot mean")
    assert [row[:2] for row in table.rows][:3] == [("xnli", "prompt"), ("xnli", "finetune"), ("xnli", "lora")]
    assert table.rows[2][2:] == ("0.125", "80.5", "50.0", "60.0", "900")


def test_names_are_escaped(written):
    page, text = written
    assert page.count("<script") == 1  # the page's own
    assert "<script>alert" not in page
    assert "<script" not in text
    assert escape(NASTY) in page


def test_the_page_refers_to_nothing_outside_itself(written):
    page, _ = written
    sources = re.findall(r'(?:src|srcset)="([^"]*)"', page)
    bare = re.sub(r'(src|srcset)="[^"]*"', "", page)
    assert re.findall(r"https?:|<link|@import|url\(", bare) == []
    links = re.findall(r'href="([^"]*)"', page)
    assert links == [f"#{name}" for name in re.findall(r'<section id="([^"]*)"', page)]
    # The methods twice, heat map, other methods, cost, and of two tasks scores by resources and curves.
    assert len(sources) == 9
    for source in sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/svg+xml"
        svg = unquote(data)
        ElementTree.fromstring(svg)
        links = re.findall(r"(?:href|url)[=(]'?([^')]*)", svg)
        assert {link[:1] for link in links if not link.startswith("data:image/png")} <= {"#"}
    assert 'name="viewport"' in page
    assert page.count('<div class="scroll"') == page.count("<table>")
    assert len(page.encode()) < 1_000_000


def test_the_markdown_opens_with_the_same_answer(written, comparison, verdicts):
    page, text = written
    answer = headline(comparison)
    assert f"<h1>{escape(answer)}</h1>" in page
    opening, _, rest = text.partition("\n## ")
    assert f"\n**{answer}**\n" in opening
    assert all(f"{each.verdict}: {number}. " in opening for number, each in enumerate(verdicts, 1))
    assert rest.startswith("The paper's four claims")


def test_a_study_of_one_seed_is_reported_without_intervals_and_marks(tmp_path):
    comparison = compare(make_runs(20.0, seeds=(0,)), samples=100)
    findings = StudyFindings(comparison, judge(comparison), [])
    page, _ = write_study_report(tmp_path, findings)
    scores = next(
        table for table in tables(findings) if "by language" in table.title and table.title.startswith("xnli")
    )
    assert {row[5:] for row in scores.rows} == {("–", "–", "")}
    (tallies,) = (table for table in tables(findings) if "against" in table.title)
    assert {row[1:4] for row in tallies.rows} == {("–", "–", "–")}  # nothing was tested, so nothing is a tie
    assert "Cost" not in page.read_text(encoding="utf-8")


def test_the_same_study_gives_the_same_files(tmp_path, comparison, verdicts, extras, written):
    paths = write_study_report(
        tmp_path, StudyFindings(comparison, verdicts, facts(NASTY), notes=[NASTY], **extras)
    )
    assert tuple(path.read_text(encoding="utf-8") for path in paths) == written

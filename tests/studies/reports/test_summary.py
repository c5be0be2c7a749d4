"""The summary of a study that a README takes: its figures, its marks, and where it goes."""

from dataclasses import replace

import pytest
from simulated_studies import make_runs

from xlprompt.evaluation import compare, judge
from xlprompt.evaluation.comparison.counts import join_runs
from xlprompt.evaluation.comparison.other_methods import compare_others
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.studies.analyses.ablation.brief import brief_table
from xlprompt.studies.reports.findings import StudyFindings
from xlprompt.studies.reports.page import Section, Table
from xlprompt.studies.reports.publication.document import DocumentError, replace_sections
from xlprompt.studies.reports.summary import publish, summary
from xlprompt.studies.reports.tables import languages

RUNS = [
    RunFacts(task, method, seed, "xglm-nano", 4_000_000, 5_000, 0.125, 60.0 + 60 * seed, 2048.0)
    for task in ("xnli", "pos")
    for method in ("prompt", "finetune")
    for seed in (0, 1, 2)
]


@pytest.fixture(scope="module")
def text(comparison):
    return summary(StudyFindings(comparison, judge(comparison), RUNS))


def rows_of(text, first):
    (table,) = [part for part in text.split("\n\n") if part.startswith(f"| {first} ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_every_language_has_the_mean_and_deviation_of_each_method(comparison, text):
    head, _, *rows = rows_of(text, "language")
    assert head[2:] == ["xnli prompt", "xnli finetune", "pos prompt", "pos finetune"]
    spreads = {(row.task, row.language, row.method): row.spread for row in comparison.scores}
    found = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    telugu = spreads["pos", "te", "finetune"]
    assert found["Telugu"]["pos finetune"].strip("*") == f"{telugu.mean:.1f} ± {telugu.deviation:.1f}"
    assert found["Telugu"]["xnli prompt"] == ""  # which XNLI does not have


def test_only_the_metrics_that_are_there_are_named(comparison, text):
    assert "over seeds (0, 1, 2); accuracy. Bold" in text
    tasks = {**comparison.tasks, "pos": replace(comparison.tasks["pos"], metric="f1")}
    mixed = summary(StudyFindings(replace(comparison, tasks=tasks), judge(comparison), RUNS))
    assert "accuracy, entity F1 for pos. Bold" in mixed
    questions = {"xnli": tasks["xnli"], "ner": tasks["pos"], "xquad": replace(tasks["pos"], task="xquad")}
    three = summary(StudyFindings(replace(comparison, tasks=questions), judge(comparison), RUNS))
    assert "accuracy, entity F1 for ner, token F1 for xquad. Bold" in three


def test_scores_of_one_seed_are_not_called_means():
    one = compare(make_runs(seeds=(4,)), samples=20)
    text = summary(StudyFindings(one, judge(one), []))
    assert "Percent, of one seed (4); accuracy. Resources" in text  # nothing is tested, and so nothing bold
    assert "standard deviation" not in text
    table = languages(one, "xnli")
    assert table.note.startswith(
        "Scores: accuracy in percent, of one seed (4); difference in points. With one"
    )
    assert table.note.endswith(" no language is tested.")
    assert "±" not in str(table.rows)


def test_bold_is_what_won_after_correction_and_nothing_else(comparison, text):
    head, _, *rows = rows_of(text, "language")
    bold = sum(cell.startswith("**") for row in rows for cell in row)
    assert bold == sum(row.wins + row.losses for row in comparison.tallies) > 0
    german = dict(zip(head, next(row for row in rows if row[0] == "German"), strict=True))
    assert german["pos finetune"].startswith("**")
    assert not german["pos prompt"].startswith("**")


def test_what_all_runs_took_is_said_where_every_run_says_it(comparison, text):
    assert "depend on the machine. 12 runs took 24 min in all.\n" in text
    unfinished = [*RUNS[1:], replace(RUNS[0], seconds=None)]
    assert " in all." not in summary(StudyFindings(comparison, judge(comparison), unfinished))


def test_of_several_machines_it_is_said_which_runs_were_made_where(comparison, text):
    assert "peak memory depend on the machine." in text
    runs = [
        replace(run, device="cpu" if (run.task, run.method) == ("pos", "finetune") else "NVIDIA H100")
        for run in RUNS
    ]
    mixed = summary(StudyFindings(comparison, judge(comparison), runs))
    assert "depend on the machine: pos finetune on cpu; the others on NVIDIA H100." in mixed
    runs = [replace(run, device="cpu" if run.seed else "NVIDIA H100") for run in RUNS]
    assert "machine: all on NVIDIA H100 and cpu." in summary(
        StudyFindings(comparison, judge(comparison), runs)
    )


def test_the_zero_shot_mean_and_its_gap_leave_english_out(comparison, text):
    head, _, *rows = rows_of(text, "task")
    row = dict(zip(head, rows[0], strict=True))
    values = {
        each.language: each.values
        for each in comparison.scores
        if (each.task, each.method) == ("xnli", "prompt")
    }
    others = [
        sum(values[code][seed] for code in values if code != "en") / (len(values) - 1) for seed in range(3)
    ]
    assert row["zero-shot mean"].split(" ± ")[0] == f"{sum(others) / 3:.1f}"
    assert row["gap"].split(" ± ")[0] == f"{sum(values['en']) / 3 - sum(others) / 3:.1f}"
    assert (row["trained"], row["minutes"], row["GiB"]) == ("0.125 %", "2.0", "2.0")


def test_seeds_have_a_column_only_where_methods_have_other_ones(comparison, studied):
    def columns(**results):
        others = compare_others(results, ("lora",), ("prompt", "finetune"), train_language="en")
        head, _, *rows = rows_of(
            summary(StudyFindings(comparison, judge(comparison), RUNS, others=others)), "task"
        )
        return [row[head.index("seeds")] for row in rows] if "seeds" in head else None

    lora = studied["pos"].only({"prompt": "lora"})
    assert columns(pos=join_runs([studied["pos"], lora])) is None
    two = lora.pick([("lora", 0), ("lora", 2)])
    assert columns(pos=join_runs([studied["pos"], two])) == ["3", "3", "3", "3", "2"]


def test_another_method_stands_with_its_differences_from_both(comparison, studied):
    pos = studied["pos"].only({"prompt": "lora"})
    joined = {**studied, "pos": join_runs([studied["pos"], pos])}
    others = compare_others(joined, ("lora",), ("prompt", "finetune"), train_language="en")
    facts = [*RUNS, RunFacts("pos", "lora", 0, "xglm-nano", trainable_percent=0.95)]
    head, _, *rows = rows_of(
        summary(StudyFindings(comparison, judge(comparison), facts, others=others)), "task"
    )
    assert [row[1] for row in rows] == ["prompt", "finetune"] + ["prompt", "finetune", "lora"]
    ours, theirs, lora = (dict(zip(head, row, strict=True)) for row in rows[-3:])
    assert lora["trained"] == "0.95 %"
    assert (lora["zero-shot mean"], lora["gap"]) == (ours["zero-shot mean"], ours["gap"])  # the same answers
    value = others["lora"]["finetune"].zero_shot("pos").estimate.value
    assert lora["minus finetune"].split()[0] == f"{value:+.1f}" == ours["minus finetune"].split()[0]
    assert lora["minus prompt"].split()[0] == "+0.0"
    assert (ours["minus prompt"], theirs["minus prompt"], theirs["minus finetune"]) == ("", "", "")


def test_the_verdicts_stand_with_their_reasons(comparison, text):
    for verdict in judge(comparison):
        assert f"**{verdict.verdict}** | {verdict.evidence['reason']}" in text


def test_ablations_are_a_table_where_the_document_has_a_place_for_them(comparison, tmp_path):
    row = ("pos prompt", "8: 60.0 ± 1.0 (0.5 %)", "16: +1.0 [-1.0, +3.0] (0.9 %); std: -1.0 [-3.0, +1.0]")
    length = Section("Ablation: length", (), brief=brief_table("length", [row]))
    scheme = Section("Ablation: scheme", (), brief=brief_table("scheme", [row, row]))
    other = Section("Tokenization", (Table("Figures", ("language",), (("en",),)),))
    document, report = tmp_path / "README.md", tmp_path / "report.md"
    report.write_text("# Report\n")
    document.write_text(
        "<!-- mini begin -->\n<!-- mini end -->\n"
        "<!-- mini-ablations begin -->\nold\n<!-- mini-ablations end -->\n"
    )
    further = {"ablation-length": length, "tokenization-pos": other, "ablation-scheme": scheme}
    publish(
        tmp_path / "mini",
        document,
        StudyFindings(comparison, judge(comparison), RUNS),
        report,
        further=further,
    )
    place = document.read_text().partition("<!-- mini-ablations begin -->\n")[2]
    assert place.startswith(
        "| NAME | task and method | first variant | the others |\n"
        "| --- | --- | --- | --- |\n"
        "| `length` | pos prompt | 8: 60.0 ± 1.0 (0.5 %) "
        "| 16: +1.0 [-1.0, +3.0] (0.9 %); std: -1.0 [-3.0, +1.0] |\n"
    )
    assert place.count("| `scheme` | pos prompt | 8: 60.0") == 2


def test_of_several_places_all_are_filled_or_none(tmp_path):
    document = tmp_path / "README.md"
    content = "<!-- a begin -->\n<!-- a end -->\n<!-- b begin -->\n"
    document.write_text(content)
    with pytest.raises(DocumentError, match="'<!-- b begin -->' and '<!-- b end -->'"):
        replace_sections(document, {"a": "new\n", "b": "new\n"}, optional={"b"})
    assert document.read_text() == content


def test_a_page_that_is_not_there_is_told_with_what_it_needs(tmp_path):
    with pytest.raises(
        DocumentError, match=r"Write it, with the lines '<!-- new begin -->', '<!-- new end -->'"
    ):
        replace_sections(
            tmp_path / "new.md", {"new": "text\n", "new-ablations": ""}, optional={"new-ablations"}
        )


def test_only_the_named_section_is_replaced(tmp_path):
    document = tmp_path / "README.md"
    document.write_text(
        "a\n<!-- mini begin -->\nold\n<!-- mini end -->\nb\n<!-- gemma begin -->\n<!-- gemma end -->\n"
    )
    replace_sections(document, {"mini": "new\n"})
    replace_sections(document, {"mini": "newer\n"})
    assert document.read_text() == (
        "a\n<!-- mini begin -->\nnewer\n<!-- mini end -->\nb\n<!-- gemma begin -->\n<!-- gemma end -->\n"
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<!-- mini begin -->\n",
        "<!-- mini end -->\n<!-- mini begin -->\n",
        "<!-- mini begin -->\n" * 2 + "<!-- mini end -->\n",
    ],
)
def test_a_document_without_the_place_is_left_alone_and_explained(content, comparison, tmp_path):
    document, report = tmp_path / "README.md", tmp_path / "report.md"
    document.write_text(content)
    report.write_text("# Report\n")
    with pytest.raises(DocumentError, match="Write the lines '<!-- mini begin -->'"):
        publish(tmp_path / "mini", document, StudyFindings(comparison, judge(comparison), RUNS), report)
    assert document.read_text() == content
    assert not (tmp_path / "mini").exists()


def test_what_is_published_is_linked_from_where_the_document_lies(comparison, tmp_path):
    document, report = tmp_path / "README.md", tmp_path / "report.md"
    document.write_text("<!-- mini begin -->\n<!-- mini end -->\n")
    report.write_text("# Report\n")
    folder = tmp_path / "experiments" / "results" / "mini"
    titles = ("Ablation: length", "Ablation: scheme", "Tokenization of the pos test set in mini")
    further = {title: Section(title, ()) for title in titles}
    publish(folder, document, StudyFindings(comparison, judge(comparison), RUNS), report, further=further)
    assert "(experiments/results/mini/differences.svg)" in document.read_text()
    assert (
        "rules and costs; Ablation: length, scheme; Tokenization of the pos test set in mini. "
        "`make report RUNS=experiments/results/mini/" in document.read_text()
    )
    assert (folder / "differences.svg").read_text().startswith("<?xml")
    page = tmp_path / "docs" / "results" / "mini.md"
    page.parent.mkdir(parents=True)
    page.write_text("<!-- mini begin -->\n<!-- mini end -->\n")
    publish(folder, page, StudyFindings(comparison, judge(comparison), RUNS), report)
    assert "(../../experiments/results/mini/differences.svg)" in page.read_text()
    assert "`make report RUNS=experiments/results/mini/" in page.read_text()
    assert (folder / "report.md").read_text() == "# Report\n"

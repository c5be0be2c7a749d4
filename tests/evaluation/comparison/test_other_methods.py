"""Methods beside the two compared: what they are held against, and what the report shows of them."""

import numpy as np
import pytest
from simulated_studies import POS, make_runs

from xlprompt.data import language
from xlprompt.evaluation import compare
from xlprompt.evaluation.comparison.counts import join_runs
from xlprompt.evaluation.comparison.other_methods import compare_others, method_results
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.studies.reports.methods_section import other_methods_section
from xlprompt.studies.reports.page import Image, Table

SHARES = {"prompt": 0.06, "finetune": 100.0, "lora": 0.14, "head": 0.001}
FACTS = [
    RunFacts("xnli", method, seed, "nano", trainable_percent=share)
    for method, share in SHARES.items()
    for seed in (0, 1, 2)
]


@pytest.fixture(scope="module")
def runs():
    """In xnli LoRA is 12 points better than both, the head alone 20 worse; pos has neither."""
    lora = make_runs(12.0, draw=1)["xnli"].only({"prompt": "lora"})
    head = make_runs(-20.0, draw=2, seeds=(0, 1))["xnli"].only({"prompt": "head"})
    return {
        "xnli": join_runs([make_runs()["xnli"], lora, head]),
        **make_runs(-15.0, task="pos", languages=POS),
    }


@pytest.fixture(scope="module")
def others(runs):
    methods = ("head", "lora", "ia3")
    return compare_others(runs, methods, ("prompt", "finetune"), train_language="en")


@pytest.fixture(scope="module")
def section(runs, others):
    return other_methods_section(compare(runs), others, FACTS)


def table_of(section, title):
    (table,) = (part for part in section.content if isinstance(part, Table) and part.title.startswith(title))
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_each_is_compared_with_both_in_the_tasks_that_have_it(runs, others):
    assert {method: list(against) for method, against in others.items()} == {
        "head": ["prompt", "finetune"],
        "lora": ["prompt", "finetune"],
    }
    for method, against in others.items():
        for reference, found in against.items():
            assert list(found.tasks) == ["xnli"]
            whole = compare({"xnli": runs["xnli"]}, method=method, baseline=reference)
            assert found.differences == whole.differences  # whatever else has run
            assert found.groups == whole.groups


def test_scores_means_and_gaps_are_those_of_the_runs(runs, others):
    results = method_results(compare(runs), others, FACTS)
    assert [(row.task, row.method) for row in results] == [
        *(("xnli", name) for name in ("prompt", "finetune", "head", "lora")),
        *(("pos", name) for name in ("prompt", "finetune")),
    ]
    for row in results:
        places = runs[row.task].of(row.method)
        scores = {code: counts.scores[places] for code, counts in runs[row.task].languages.items()}
        assert row.seeds == tuple(range(len(places)))
        assert {code: each.mean for code, each in row.scores.items()} == pytest.approx(
            {code: values.mean() for code, values in scores.items()}
        )
        means = np.mean([values for code, values in scores.items() if code != "en"], axis=0)
        assert (row.zero_shot.mean, row.zero_shot.deviation) == pytest.approx(
            (means.mean(), means.std(ddof=1))
        )
        gaps = scores["en"] - means
        assert (row.gap.mean, row.gap.deviation) == pytest.approx((gaps.mean(), gaps.std(ddof=1)))
        assert row.trainable_percent == (SHARES[row.method] if row.task == "xnli" else None)


def test_a_table_holds_every_difference_with_its_interval_and_counts(section, others):
    rows = table_of(section, "xnli: other methods")
    assert [(row["method"], row["minus"], row["seeds"]) for row in rows] == [
        ("head", "prompt", "2"),
        ("head", "finetune", "2"),
        ("lora", "prompt", "3"),
        ("lora", "finetune", "3"),
    ]
    for row in rows:
        against = others[row["method"]][row["minus"]]
        estimate, (tally,) = against.zero_shot("xnli").estimate, against.tallies
        assert row["difference"] == f"{estimate.value:+.1f}"
        assert row["95 % interval"] == f"[{estimate.low:+.1f}, {estimate.high:+.1f}]"
        assert (row["better"], row["worse"]) == (str(tally.wins), str(tally.losses))
        assert row["languages"] == "15"
    assert int(rows[2]["better"]) > 10  # of lora
    assert int(rows[0]["worse"]) > 10  # of the head


def test_a_table_holds_every_score_and_the_means(runs, section):
    rows = table_of(section, "xnli: scores of all methods")
    assert list(rows[0]) == ["language", "resources", "prompt", "finetune", "head", "lora"]
    assert [row["language"] for row in rows] == [
        *(f"{language(code).name} ({code})" for code in runs["xnli"].languages),
        "zero-shot mean",
    ]
    values = runs["xnli"].languages["de"].scores[runs["xnli"].of("lora")]
    (german,) = (row for row in rows if row["language"] == "German (de)")
    assert german["lora"] == f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def test_a_task_without_another_method_has_no_table_and_a_study_without_one_no_section(section, runs):
    titles = [part.title for part in section.content]
    assert not any(title.startswith("pos") for title in titles)
    assert other_methods_section(compare(runs), {}, FACTS) is None


def test_the_figure_shows_every_method_by_its_share(runs, others, section):
    image = section.content[0]
    assert isinstance(image, Image)
    for name in SHARES:
        assert f"<!-- {name} -->" in image.svg  # letters are paths, with the text as a comment
    without = other_methods_section(compare(runs), others, FACTS, figures=False)
    assert not any(isinstance(part, Image) for part in without.content)

"""Published runs: what is written is read back, damage is named, and they join a store's runs."""

import gzip
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from simulated_studies import make_runs
from small import WORDS, write_data
from studies import write_study

from xlprompt.data import DataError
from xlprompt.evaluation import compare
from xlprompt.evaluation.granularity import GranularityEffect
from xlprompt.evaluation.report_page import Image, Section, Table
from xlprompt.evaluation.runs import Counts, TaskRuns
from xlprompt.evaluation.statistics import Estimate
from xlprompt.training.ledger import GROUP_TAG, CellRun, Ledger
from xlprompt.training.published_runs import PublishedRuns, read_published, write_published
from xlprompt.training.report_runs import find_runs, report_study
from xlprompt.training.run_source import RunSource
from xlprompt.training.study import run_study

SECTION = Section("Ablation", (Table("Scores", ("a",), (("1",),)), Image("Figure", "<svg/>")))
SLOPE = GranularityEffect(
    Estimate(1.5, -0.5, 3.5, 0.1, 1.0, None, 0.5, 2.0, 0.7),
    {"xnli": ("de", "es")},
    (0.0, 0.5, 1.0),
    3,
    "both",
)


def cell(method, seed, *, model="nano", started=0, **tags):
    return CellRun(
        f"{method}-{seed}",
        "FINISHED",
        started,
        {"seed": str(seed), "data.source": "/home/me/data", "trainable_percent": "0.13"},
        {"task": "xnli", "method": method, "model": model, GROUP_TAG: method, "process": "host 1"} | tags,
        {"test/accuracy/de": 50.5, "cost/total_seconds": 60.0, "train/loss": 1.0},
        None,
    )


def known(counts):
    """Counts as predictions give them, with what tells one test set from another."""
    digested = {
        code: replace(each, collapsed=(False,) * len(each.numerators), examples_digest=f"rows of {code}")
        for code, each in counts.languages.items()
    }
    return replace(counts, languages=digested)


def study(seeds=(0, 1), *, draw=0, **changes):
    counts = known(make_runs(seeds=seeds, languages=("en", "de", "sw"), examples=50, draw=draw)["xnli"])
    runs = tuple(cell(method, seed) for method in ("prompt", "finetune") for seed in seeds)
    curves = {run.run_id: ((10, 40.0), (20, 50.0)) for run in runs}
    published = PublishedRuns(
        "nano", runs, frozenset({"prompt"}), {"xnli": counts}, curves, {"ablation": SECTION}, SLOPE
    )
    return replace(published, **changes)


def equal(one, other):
    return (one.runs, list(one.languages)) == (other.runs, list(other.languages)) and all(
        np.array_equal(each.numerators, other.languages[code].numerators)
        and np.array_equal(each.denominators, other.languages[code].denominators)
        and (each.majority, each.collapsed, each.examples_digest)
        == (
            other.languages[code].majority,
            other.languages[code].collapsed,
            other.languages[code].examples_digest,
        )
        for code, each in one.languages.items()
    )


def test_what_is_written_is_read_back_but_for_what_belongs_to_the_machine(tmp_path):
    path = tmp_path / "results" / "runs.jsonl.gz"
    head = cell("head", 0, device="cpu")  # of a method whose answers are not compared
    written = study(runs=(*study().runs, head))
    write_published(path, written)
    read = read_published(path)
    assert equal(read.counts["xnli"], written.counts["xnli"])
    assert (read.model, read.complete, read.sections, read.granularity) == (
        written.model,
        written.complete,
        written.sections,
        written.granularity,
    )
    assert read.curves == {**written.curves, "head-0": ()}
    assert [run.run_id for run in read.runs] == [run.run_id for run in written.runs]
    last = read.runs[-1]
    assert last.params == {"seed": "0", "trainable_percent": "0.13"}
    assert last.tags == {
        "task": "xnli",
        "method": "head",
        "model": "nano",
        GROUP_TAG: "head",
        "device": "cpu",
    }
    assert last.metrics == {"test/accuracy/de": 50.5, "cost/total_seconds": 60.0}
    before = path.read_bytes()
    write_published(path, written)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def _change(line, **values):
    return json.dumps({**json.loads(line), **values}).encode()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: lines[:-1], "announces 4 runs, 3 are there"),
        (lambda lines: [lines[0], b"{", *lines[2:]], "gz:2: Invalid JSON"),
        (lambda lines: [_change(lines[0], version=9), *lines[1:]], "gz:1: version: Input should be 1"),
        (
            lambda lines: [_change(lines[0], format="x"), *lines[1:]],
            "gz:1: format: Input should be 'xlprompt",
        ),
        (lambda lines: [*lines[:4], _change(lines[4], tags={})], "gz:5: a run without task"),
        (lambda lines: [*lines[:4], _change(lines[4], params={})], "gz:5: a run without seed"),
        (lambda lines: [*lines[:4], _change(lines[4], answers={})], "gz:5: answers in other languages"),
        (
            lambda lines: [
                *lines[:4],
                _change(
                    lines[4],
                    answers={
                        code: {"numerators": [1], "denominators": [1], "collapsed": False}
                        for code in ("en", "de", "sw")
                    },
                ),
            ],
            "gz:5: answers in en that are not 50",
        ),
        (lambda _: [], "empty"),
    ],
)
def test_damage_is_named_by_file_and_line(tmp_path, damage, message):
    path = tmp_path / "runs.jsonl.gz"
    write_published(path, study())
    path.write_bytes(gzip.compress(b"\n".join(damage(gzip.decompress(path.read_bytes()).splitlines()))))
    with pytest.raises(DataError) as error:
        read_published(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "xlprompt publish wrote" in str(error.value)


def test_a_file_that_is_cut_short_missing_or_another_is_refused(tmp_path):
    path = tmp_path / "runs.jsonl.gz"
    with pytest.raises(DataError, match="cannot be read \\(No such file"):
        read_published(path)
    write_published(path, study())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_published(path)
    path.write_text("text")
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_published(path)


def test_published_runs_join_and_the_same_run_counts_once(tmp_path):
    first, second = study((0, 1)), study((1, 2), draw=1)
    again = replace(second, sections={}, granularity=None)
    source = RunSource(tmp_path, Ledger(tmp_path), [first, again])
    found = find_runs(source)
    assert sorted(found.runs) == [("xnli", m, seed) for m in ("finetune", "prompt") for seed in (0, 1, 2)]
    counts = source.counts(found.runs)
    assert counts.runs == tuple((m, seed) for m in ("prompt", "finetune") for seed in (0, 1, 2))
    ours, theirs = first.counts["xnli"].languages["sw"], second.counts["xnli"].languages["sw"]
    assert np.array_equal(counts.languages["sw"].numerators[:2], ours.numerators[:2])
    assert np.array_equal(counts.languages["sw"].numerators[2], theirs.numerators[1])
    assert source.sections("nano") == {"ablation": SECTION}
    assert source.granularity("nano") == SLOPE
    assert source.granularity("other") is None
    assert source.finished_groups(["xnli"]) == {"prompt"}
    assert source.curve(found.runs["xnli", "prompt", 2], "validation/accuracy/en") == ((10, 40.0), (20, 50.0))


def test_a_run_is_taken_from_the_file_that_has_its_answers(tmp_path):
    whole = study((0, 1))
    counts = whole.counts["xnli"]
    without = replace(
        whole, counts={"xnli": counts.pick([run for run in counts.runs if run != ("prompt", 1)])}
    )
    for files in ([without, whole], [whole, without]):
        source = RunSource(tmp_path, Ledger(tmp_path), files)
        assert source.counts(find_runs(source).runs).runs == counts.runs


def test_runs_that_answered_other_examples_do_not_join(tmp_path):
    other = study((2,))
    counts = other.counts["xnli"]
    others = {code: replace(each, examples_digest="other rows") for code, each in counts.languages.items()}
    for changed, message in (
        (replace(counts, languages=others), "not scored on the same examples of language en"),
        (replace(counts, languages={"en": counts.languages["en"]}), "only one of them has de, sw"),
        (replace(counts, metric="f1"), "has metric accuracy, .* has f1"),
    ):
        source = RunSource(tmp_path, Ledger(tmp_path), [study(), replace(other, counts={"xnli": changed})])
        with pytest.raises(DataError, match=message):
            source.counts(find_runs(source).runs)


def test_counts_of_some_runs_keep_what_is_known_of_their_test_set():
    counts = TaskRuns(
        "xnli",
        "accuracy",
        "test",
        (("prompt", 0), ("prompt", 1)),
        {"de": Counts(np.eye(2), np.ones((2, 2)), 34.0, (True, False), "rows")},
    )
    picked = counts.pick([("prompt", 1)])
    assert picked.runs == (("prompt", 1),)
    kept = picked.languages["de"]
    assert (kept.numerators.tolist(), kept.collapsed, kept.examples_digest) == ([[0, 1]], (False,), "rows")


@pytest.mark.integration
def test_a_report_is_made_anew_from_what_it_published_and_grows_by_another_stores_seeds(tmp_path, tiny_xglm):
    data = write_data(tmp_path / "data")
    console = Console(file=io.StringIO())
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results begin -->\n<!-- results end -->\n")
    stores = [tmp_path / name for name in ("one", "two")]
    grid = write_study(tmp_path / "study", tiny_xglm, data, methods=("prompt", "finetune"))
    for store, seeds in zip(stores, ([0, 1], [2]), strict=True):
        here = {"executor.workers": 0, "executor.engine": "torch", "seeds": seeds}
        assert run_study(grid, store=store, console=console, grid_overrides=here).finished
    folder = tmp_path / "results"
    _, first = report_study(stores[0], tmp_path / "out", publish_in=folder, document=readme)
    published = folder / "runs.jsonl.gz"
    assert "make report RUNS=results/runs.jsonl.gz" in readme.read_text()
    content = gzip.decompress(published.read_bytes()).decode()
    assert not [word for word in WORDS["de"] + WORDS["sw"] + [str(data)] if f'"{word}' in content]
    _, again = report_study(tmp_path / "none", tmp_path / "again", published=[published])
    assert again.read_text() == first.read_text()
    kept = read_published(published)
    some = {"xnli": kept.counts["xnli"].pick([("prompt", 0), ("finetune", 0), ("finetune", 1)])}
    write_published(tmp_path / "some.jsonl.gz", replace(kept, counts=some))
    _, filled = report_study(stores[0], tmp_path / "filled", published=[tmp_path / "some.jsonl.gz"])
    assert filled.read_text() == first.read_text()  # the store has the answers that the file lacks
    _, grown = report_study(stores[1], tmp_path / "grown", published=[published])
    assert "| xnli | finetune | 0, 1, 2 |" in grown.read_text()
    counts = read_published(published).counts
    assert list(compare(counts, method="prompt", baseline="finetune").tasks) == ["xnli"]

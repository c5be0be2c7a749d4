"""Published runs: what is written is read back, damage is named, and they join a store's runs."""

import gzip
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from published_studies import SECTION, SLOPE, cell, study
from rich.console import Console
from small import WORDS, write_data
from studies import write_study

from xlprompt.data import DataError
from xlprompt.evaluation import compare
from xlprompt.evaluation.comparison.counts import Counts, TaskRuns
from xlprompt.evaluation.comparison.learning import LanguageCurves
from xlprompt.studies.grid.ledger import GROUP_TAG, Ledger
from xlprompt.studies.grid.study import run_study
from xlprompt.studies.reports.publication.loss import PublicationError
from xlprompt.studies.reports.published_runs import read_published, write_published
from xlprompt.studies.reports.report import report_study
from xlprompt.studies.reports.selection import find_runs
from xlprompt.studies.reports.sources import RunSource


def equal(one, other):
    return (one.runs, list(one.languages)) == (other.runs, list(other.languages)) and all(
        np.array_equal(each.numerators, other.languages[code].numerators)
        and np.array_equal(each.denominators, other.languages[code].denominators)
        and (each.floor, each.collapsed, each.examples_digest)
        == (
            other.languages[code].floor,
            other.languages[code].collapsed,
            other.languages[code].examples_digest,
        )
        for code, each in one.languages.items()
    )


def test_what_is_written_is_read_back_but_for_what_belongs_to_the_machine(tmp_path):
    path = tmp_path / "results" / "runs.jsonl.gz"
    head = cell("head", 0, device="cpu")  # of a method whose answers are not compared
    curves = {"prompt-0": LanguageCurves((4, 8), {"en": (50.0, 60.0), "de": (40.0, 45.5)}, 100)}
    written = study(runs=(*study().runs, head), language_curves=curves)
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
    assert read.language_curves == curves
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


_LANGUAGE = {"majority": 34.0, "examples": 50, "examples_digest": "rows"}
_TASK = {"metric": "accuracy", "split": "test", "languages": {"en": _LANGUAGE}}
_TAGS = {"task": "xnli", "method": "finetune", "model": "nano", GROUP_TAG: "finetune"}
_TABLE = {"kind": "table", "title": "t", "columns": ["a"], "rows": [["1", "2"]], "note": "", "cards": False}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: lines[:-1], "announces 4 runs, 3 are there"),
        (lambda lines: [lines[0], b"{", *lines[2:]], "gz:2: Invalid JSON"),
        (
            lambda lines: [_change(lines[0], version=9), *lines[1:]],
            "gz:1: version: Input should be 1, 2 or 3",
        ),
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


def refused(folder, place, line):
    """What is said of a file with another line at a place."""
    path = folder / "runs.jsonl.gz"
    write_published(path, study())
    lines = gzip.decompress(path.read_bytes()).splitlines()
    lines[place - 1] = line(lines[place - 1]) if callable(line) else line
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    with pytest.raises(DataError, match=rf"runs\.jsonl\.gz:{place}: ") as error:
        read_published(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": "4"}, "runs: "),
        ({"model": None}, "model: "),
        ({"complete": [5]}, "complete.0: "),
        ({"tasks": 5}, "tasks: "),
        ({"tasks": {"other": _TASK}}, "no task 'other' is judged by accuracy"),
        ({"tasks": {"ner": _TASK}}, "no task 'ner' is judged by accuracy"),
        ({"tasks": {"xnli": {**_TASK, "languages": {"xx": _LANGUAGE}}}}, "unknown language 'xx'"),
        (
            {"tasks": {"xnli": {**_TASK, "languages": {"en": {**_LANGUAGE, "majority": 101}}}}},
            "en.majority: ",
        ),
        ({"sections": {"a": {"title": 5, "note": "", "content": []}}}, "title: "),
        ({"sections": {"a": {"title": "", "note": "", "content": [_TABLE]}}}, "not one cell for each column"),
        ({"granularity": {"slope": float("nan")}}, "granularity."),
    ],
    ids=str,
)
def test_a_first_line_of_other_types_is_named(tmp_path, changes, message):
    assert message in refused(tmp_path, 1, lambda line: _change(line, **changes))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[" * 100_000, "Invalid JSON: recursion"),
        (b'{"run_id": "\\ud800"}', "Invalid JSON"),
        (b"\xff", "Invalid JSON"),
        ({"params": {"seed": "²"}}, "seed is '²'"),
        ({"params": {"seed": 1}}, "params.seed: "),
        ({"params": {"seed": "1", "trainable_percent": "nan"}}, "trainable_percent is 'nan'"),
        ({"params": {"seed": "1", "data.also_train_on": "5"}}, "data.also_train_on is '5'"),
        ({"params": {"seed": "1", "data.train_language": "xx"}}, "unknown language 'xx'"),
        ({"params": {"seed": "0"}}, "the run xnli, finetune, seed 0 is there twice"),
        ({"run_id": "finetune-0"}, "the run xnli, finetune, seed 1 is there twice"),
        ({"tags": {**_TAGS, "method": "magic"}}, "a run of method 'magic'"),
        ({"tags": {**_TAGS, "task": "other"}}, "a run of task 'other'"),
        ({"tags": {**_TAGS, "model": "other"}}, "a run of model 'other'"),
        ({"metrics": {"a": float("inf")}}, "metrics.a: "),
        ({"metrics": {"cost/a": -1}}, "cost/a is below zero"),
        ({"curve": [[1, 101]]}, "curve.0.1: "),
        ({"curve": [[1]]}, "curve.0.1: "),
        ({"started": -1}, "started: "),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_run_that_none_can_be_is_named(tmp_path, line, message):
    change = line if isinstance(line, bytes) else lambda old: _change(old, **line)
    assert message in refused(tmp_path, 5, change)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"numerators": [2]}, "more right answers in de than there were questions"),
        ({"numerators": [-1]}, "answers.de.numerators.0: "),
        ({"numerators": [0.5]}, "answers in de that are right in part"),
        ({"numerators": [True]}, "answers.de.numerators.0: "),
        ({"numerators": [10**400]}, "answers.de.numerators.0: "),
        ({"denominators": [-1]}, "answers.de.denominators.0: "),
        ({"denominators": [2]}, "answers in de to other questions than those of the runs before"),
        ({"collapsed": 1}, "answers.de.collapsed: "),
    ],
    ids=lambda value: str(value)[:60],
)
def test_counts_that_no_answers_have_are_named(tmp_path, changed, message):
    def change(line):
        answers = json.loads(line)["answers"]
        for key, values in changed.items():
            answers["de"][key] = (
                values if key == "collapsed" else [*values, *answers["de"][key][len(values) :]]
            )
        return _change(line, answers=answers)

    assert message in refused(tmp_path, 5, change)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_a_folder_or_pipe_is_refused_at_once(tmp_path, make):
    make(tmp_path / "runs.jsonl.gz")
    with pytest.raises(DataError, match=r"runs\.jsonl\.gz: is not a file"):
        read_published(tmp_path / "runs.jsonl.gz")


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
    shown = {run.run_id for run in found.runs.values()}
    assert source.sections("nano", shown) == {"ablation": SECTION}
    assert source.granularity("nano") == SLOPE
    assert source.granularity("other") is None
    assert source.finished_groups(["xnli"]) == {"prompt"}
    assert source.curve(found.runs["xnli", "prompt", 2], "validation/accuracy/en") == ((10, 40.0), (20, 50.0))


def test_sections_that_tell_of_runs_leave_with_them(tmp_path):
    file = replace(study((0, 1)), sections={"ablation": SECTION, "mistakes": SECTION, "size": SECTION})
    source = RunSource(tmp_path, Ledger(tmp_path), [file])
    shown = {run.run_id for run in file.runs}
    assert set(source.sections("nano", shown)) == {"ablation", "mistakes", "size"}
    others = {*shown, "another"} - {file.runs[0].run_id}  # for which a run of the store stands
    assert set(source.sections("nano", others)) == {"ablation"}


def test_a_run_is_taken_from_the_file_that_has_its_answers(tmp_path):
    whole = study((0, 1))
    counts = whole.counts["xnli"]
    without = replace(
        whole, counts={"xnli": counts.pick([run for run in counts.runs if run != ("prompt", 1)])}
    )
    for files in ([without, whole], [whole, without]):
        source = RunSource(tmp_path, Ledger(tmp_path), files)
        assert source.counts(find_runs(source).runs).runs == counts.runs


def _shorter(counts):
    """With the same digests, as only a changed file can have."""
    return {
        code: replace(each, numerators=each.numerators[:, 1:], denominators=each.denominators[:, 1:])
        for code, each in counts.languages.items()
    }


def test_runs_that_answered_other_examples_do_not_join(tmp_path):
    other = study((2,))
    counts = other.counts["xnli"]
    others = {code: replace(each, examples_digest="other rows") for code, each in counts.languages.items()}
    for changed, message in (
        (replace(counts, languages=others), "not scored on the same examples of language en"),
        (replace(counts, languages={"en": counts.languages["en"]}), "only one of them has de, sw"),
        (replace(counts, metric="f1"), "has metric accuracy, .* has f1"),
        (replace(counts, languages=_shorter(counts)), "not scored on the same examples of language en"),
        (replace(counts, runs=()), "the published run xnli, .*, seed 2 is without its answers"),
    ):
        source = RunSource(tmp_path, Ledger(tmp_path), [study(), replace(other, counts={"xnli": changed})])
        with pytest.raises(DataError, match=message):
            source.counts(find_runs(source).runs)


def of_questions(spans):
    """The study as one of XQuAD, whose answers are right in part."""
    counts = spans.counts["xnli"]
    halves = {
        code: replace(each, numerators=each.numerators * (2 / 3)) for code, each in counts.languages.items()
    }
    runs = tuple(replace(run, tags={**run.tags, "task": "xquad"}) for run in spans.runs)
    questions = replace(counts, task="xquad", metric="f1", languages=halves)
    return replace(spans, runs=runs, counts={"xquad": questions})


def test_what_is_right_in_part_is_kept_and_older_files_that_lost_it_lose_its_runs(tmp_path, caplog):
    path = tmp_path / "runs.jsonl.gz"
    written = of_questions(study())
    write_published(path, written)
    read = read_published(path)
    assert equal(read.counts["xquad"], written.counts["xquad"])
    content = gzip.decompress(path.read_bytes()).replace(b'"version": 3', b'"version": 2')
    path.write_bytes(gzip.compress(content))
    older = read_published(path)
    assert (older.runs, older.counts) == ((), {})
    assert "the runs of xquad are left out" in caplog.text
    assert "Publish them anew" in caplog.text


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


def but_for_the_command(report):
    """A report's lines but the one that tells what makes it anew."""
    lines = report.read_text().splitlines()
    others = [line for line in lines if not line.startswith("| command |")]
    assert len(lines) == len(others) + 1
    return others


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
    _, first, _ = report_study(stores[0], tmp_path / "out", publish_in=folder, document=readme)
    published = folder / "runs.jsonl.gz"
    assert (
        "make report RUNS=<folder>/runs.jsonl.gz" in readme.read_text()
    )  # it lies outside the working directory
    content = gzip.decompress(published.read_bytes()).decode()
    assert not [word for word in WORDS["de"] + WORDS["sw"] + [str(data)] if f'"{word}' in content]
    _, again, _ = report_study(tmp_path / "none", tmp_path / "again", published=[published])
    assert but_for_the_command(again) == but_for_the_command(first)
    kept = read_published(published)
    some = {"xnli": kept.counts["xnli"].pick([("prompt", 0), ("finetune", 0), ("finetune", 1)])}
    write_published(tmp_path / "some.jsonl.gz", replace(kept, counts=some))
    _, filled, _ = report_study(stores[0], tmp_path / "filled", published=[tmp_path / "some.jsonl.gz"])
    assert but_for_the_command(filled) == but_for_the_command(
        first
    )  # the store has the answers that the file lacks
    _, grown, _ = report_study(stores[1], tmp_path / "grown", published=[published])
    assert "| xnli | finetune | 0, 1, 2 |" in grown.read_text()
    counts = read_published(published).counts
    assert list(compare(counts, method="prompt", baseline="finetune").tasks) == ["xnli"]
    before = [path.read_bytes() for path in (*sorted(folder.iterdir()), readme)]
    arguments = {"publish_in": folder, "document": readme}
    with pytest.raises(PublicationError, match="xnli finetune, seeds 0, 1"):
        report_study(stores[1], tmp_path / "less", **arguments)
    assert [path.read_bytes() for path in (*sorted(folder.iterdir()), readme)] == before
    assert not (tmp_path / "less").exists()
    report_study(stores[1], tmp_path / "more", published=[published], **arguments)
    assert len(read_published(published).runs) == 6
    report_study(stores[1], tmp_path / "less", replace=True, **arguments)
    assert len(read_published(published).runs) == 2

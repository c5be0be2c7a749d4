"""The benchmark as a source: sizes, parallel rows, the same bytes everywhere, errors that say what to do."""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache

import pytest

from xlprompt.data import STUDY_LANGUAGES, TASKS, DataError, open_source, task
from xlprompt.data.mini.items import SIZES, pair_items
from xlprompt.data.mini.realize import sentence
from xlprompt.data.sources.mini import MiniSource
from xlprompt.data.sources.rows import schema

SOURCE = MiniSource()
THERE = [name for name, row in TASKS.items() if SOURCE.languages(row, "test")]


FIRST = MiniSource("mini-1")
ROWS = {
    ("mini-1", "ner"): "46a812c63d34",
    ("mini-1", "pos"): "2d27ad3f72f1",
    ("mini", "xnli"): "f43a9faee901",
    ("mini", "pawsx"): "89af99efdc55",
    ("mini", "ner"): "73d90ce3501c",
    ("mini", "pos"): "48330accc6b8",
    ("mini", "sib200"): "703d14c85866",
    ("mini", "xcopa"): "c8ac6f8c86f8",
    ("mini", "xquad"): "b02086ac5061",
}
"""First digits of the SHA-256 of the English and Arabic test rows."""


@cache
def loaded(name, language, split="test", limit=None):
    return SOURCE.load(task(name), language, split, limit).to_dict()


def digest_of(source, name):
    digest = hashlib.sha256()
    for code in ("en", "ar"):
        rows = source.load(task(name), code, "test").to_dict()
        digest.update(json.dumps(rows, sort_keys=True).encode())
    return digest.hexdigest()[:12]


@pytest.mark.parametrize("name", ["mini", "mini-1"])
def test_the_benchmark_is_opened_by_its_name(name):
    assert open_source(name).name == name
    assert isinstance(open_source(name), MiniSource)


@pytest.mark.parametrize(("version", "name"), ROWS)
def test_the_rows_of_a_version_never_change(version, name):
    # Published runs are of these rows. A change of a task's needs another version of it, beside the old one.
    assert digest_of(MiniSource(version), name) == ROWS[version, name]


@pytest.mark.parametrize("name", ["ner", "pos", "xnli"])
def test_the_first_version_differs_in_the_tagging_tasks_alone(name):
    tagged = name in ("ner", "pos")
    prints = [one.fingerprint(task(name), "en", "test") for one in (SOURCE, FIRST)]
    rows = [one.load(task(name), "en", "validation", 20).to_dict() for one in (SOURCE, FIRST)]
    assert (prints[0] != prints[1]) == (rows[0] != rows[1]) == tagged


@pytest.mark.parametrize("split", SIZES)
@pytest.mark.parametrize("name", THERE)
def test_every_task_and_split_is_there_in_the_languages_of_the_study(name, split):
    assert SOURCE.languages(task(name), split) == STUDY_LANGUAGES


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("name", THERE)
def test_a_split_has_the_columns_of_every_source_and_500_rows(name, split):
    rows = SOURCE.load(task(name), "en", split)
    assert rows.features == schema(task(name))
    assert len(rows) == len(set(rows["id"])) == 500


def test_it_says_which_tasks_it_has_where_it_lacks_one():
    assert {"xnli", "pawsx", "ner", "pos"} <= set(THERE)
    for lacking in [row for name, row in TASKS.items() if name not in THERE]:
        assert SOURCE.languages(lacking, "test") == ()
        with pytest.raises(DataError, match=f"the mini benchmark has no {lacking.name}. It has xnli, "):
            SOURCE.load(lacking, "en", "test")


def test_there_are_4000_rows_to_train_on():
    assert len(set(SOURCE.load(task("xnli"), "en", "train")["id"])) == 4000


@pytest.mark.integration
@pytest.mark.parametrize("code", STUDY_LANGUAGES)
def test_a_language_is_parallel_to_english(code):
    for name in ("xnli", "ner"):
        english, other = loaded(name, "en"), loaded(name, code)
        assert other["id"] == english["id"]
        if not TASKS[name].kind.by_word:
            assert other["label"] == english["label"]
            assert all(text for text in other["first"] + other["second"])
            assert code == "en" or other["first"] != english["first"]
        else:
            for words, tags in zip(other["tokens"], other["tags"], strict=True):
                assert len(words) == len(tags) > 0


@pytest.mark.integration
@pytest.mark.parametrize("code", STUDY_LANGUAGES)
def test_a_language_names_as_many_entities_of_each_kind_as_english(code):
    labels = task("ner").labels
    begins = [number for number, label in enumerate(labels) if label.startswith("B-")]

    def named(language):
        return [[tags.count(number) for number in begins] for tags in loaded("ner", language)["tags"]]

    assert named(code) == named("en")


@pytest.mark.parametrize("name", ["pawsx", "ner"])
def test_a_limit_takes_the_same_rows_in_every_language(name):
    ids = {code: loaded(name, code, "test", 20)["id"] for code in ("en", "zh", "ar")}
    assert len(set(ids["en"])) == 20
    assert all(found == ids["en"] for found in ids.values())
    whole = loaded(name, "zh")
    column = "first" if not TASKS[name].kind.by_word else "tokens"
    by_id = dict(zip(whole["id"], whole[column], strict=True))
    limited = loaded(name, "zh", "test", 20)
    assert [by_id[one] for one in limited["id"]] == limited[column]


def test_a_smaller_limit_takes_a_part_of_a_larger_ones_rows():
    small, large = (set(loaded("pos", "en", "test", limit)["id"]) for limit in (5, 50))
    assert small < large


@pytest.mark.parametrize("code", ["it", "xx", "EN", ""])
def test_a_language_that_it_lacks_is_refused_with_those_it_has(code):
    for ask in (SOURCE.load, SOURCE.fingerprint):
        with pytest.raises(DataError) as caught:
            ask(task("xnli"), code, "test")
        assert f"the mini benchmark has no {code!r}" in str(caught.value)
        assert "It has en ru zh" in str(caught.value)
        assert "DATA=hub" in str(caught.value)


@pytest.mark.parametrize("split", ["dev", "pretraining", ""])
def test_a_split_that_it_lacks_is_refused_with_those_it_has(split):
    for ask in (SOURCE.languages, lambda task, split: SOURCE.load(task, "en", split)):
        with pytest.raises(DataError) as caught:
            ask(task("pos"), split)
        assert str(caught.value) == f"unknown split {split!r}. Splits: train, validation, test."


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit):
    with pytest.raises(DataError, match="It has to be 1 or more"):
        SOURCE.load(task("ner"), "en", "test", limit)


def test_a_fingerprint_stands_for_one_task_language_and_split():
    found = {
        SOURCE.fingerprint(task(name), code, split)
        for name in THERE
        for code in STUDY_LANGUAGES
        for split in SIZES
    }
    assert len(found) == len(THERE) * len(STUDY_LANGUAGES) * len(SIZES)
    again = MiniSource().fingerprint(task("xnli"), "en", "test")
    assert SOURCE.fingerprint(task("xnli"), "en", "test") == again


def test_the_rows_of_a_task_are_what_its_items_say():
    first = pair_items("xnli", "test")[0]
    assert loaded("xnli", "fi")["first"][0] == sentence("fi", *first.first).text
    assert loaded("xnli", "fi")["second"][0] == sentence("fi", *first.second).text


DIGEST = """
import hashlib
from itertools import islice
from xlprompt.data.mini.corpus import passages
from xlprompt.data.mini.items import pair_items, sentence_items
from xlprompt.data.mini.realize import sentence

digest = hashlib.sha256()
for language in ("en", "zh"):
    for task in ("xnli", "pawsx"):
        for item in pair_items(task, "test")[:200]:
            for clauses in (item.first, item.second):
                digest.update(sentence(language, *clauses).text.encode())
            digest.update(bytes([item.label]))
    for task in ("ner", "pos"):
        for item in sentence_items(task, "test")[:200]:
            said = sentence(language, *item.clauses)
            digest.update(" ".join([*said.tokens, *said.pos, *said.entities]).encode())
for passage in islice(passages({"en": 0.5, "zh": 0.3, "fi": 0.2}, seed=0), 100):
    for line in passage:
        digest.update(f"{line.language} {line.text}".encode())
print(digest.hexdigest())
"""


@pytest.mark.integration
def test_two_processes_make_the_same_bytes():
    running = [
        subprocess.Popen(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    one, other = (process.communicate()[0] for process in running)
    assert [process.returncode for process in running] == [0, 0]
    assert len(one.strip()) == hashlib.sha256().digest_size * 2
    assert one == other

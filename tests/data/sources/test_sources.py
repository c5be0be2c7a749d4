import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import ClassLabel, List, Value

from xlprompt.data import TASKS, DataError, open_source, task
from xlprompt.data.sources.folder import _part_fingerprint
from xlprompt.data.sources.parts import Part
from xlprompt.data.sources.rows import subset, to_dataset
from xlprompt.data.tasks.kinds.kind import Example


def write_pairs(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"premise": text, "hypothesis": "b", "label": place % 3} for place, text in enumerate(texts))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for code in ("en", "de", "qu"):
        write_pairs(tmp_path / "xnli" / f"{code}.test.jsonl", [f"{code} {place}" for place in range(50)])
    return tmp_path


def test_the_columns_are_the_same_for_every_source_of_a_kind(folder):
    rows = open_source(str(folder)).load(task("xnli"), "en", "test")
    assert rows.features["label"] == ClassLabel(names=["entailment", "neutral", "contradiction"])
    assert list(rows.features) == ["id", "first", "second", "label"]


def test_tagged_sentences_have_lists_of_words_and_class_labels(tmp_path):
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos" / "en.test.jsonl").write_text('{"tokens": ["a"], "tags": ["DET"]}\n')
    rows = open_source(str(tmp_path)).load(task("pos"), "en", "test")
    assert rows.features["tokens"] == List(Value("string"))
    assert rows.features["tags"] == List(ClassLabel(names=list(task("pos").labels)))


def test_languages_come_in_study_order_then_alphabetically(folder):
    assert open_source(str(folder)).languages(task("xnli"), "test") == ("en", "de", "qu")
    assert open_source(str(folder)).languages(task("xnli"), "train") == ()


def test_a_limit_takes_the_same_rows_of_parallel_files_in_file_order(folder):
    source = open_source(str(folder))
    ids = [source.load(task("xnli"), code, "test", limit=10)["id"] for code in ("en", "de", "qu")]
    assert list(ids[0]) == list(ids[1]) == list(ids[2])
    numbers = [int(one) for one in ids[0]]
    assert numbers == sorted(numbers)
    assert numbers != list(range(10)), "not the first rows: files may be ordered by label"


def test_a_smaller_limit_takes_a_part_of_a_larger_ones_rows(folder):
    source = open_source(str(folder))
    small, large = (set(source.load(task("xnli"), "en", "test", limit=limit)["id"]) for limit in (5, 20))
    assert small < large


def test_a_limit_beyond_the_file_takes_all(folder):
    assert len(open_source(str(folder)).load(task("xnli"), "en", "test", limit=1000)) == 50


def test_a_subset_of_a_file_with_skipped_rows_stays_nearly_parallel():
    whole = list(range(1000))
    gaps = [place for place in whole if place % 50]
    chosen = set(subset(whole, 100))
    chosen_with_gaps = {gaps[place] for place in subset(gaps, 100)}
    assert len(chosen & chosen_with_gaps) >= 95


def test_the_subset_is_pinned():
    # A change here changes every limited run; it needs a new version of the tasks.
    assert list(subset(range(2000), 5)) == [443, 1001, 1290, 1787, 1909]


def test_a_fingerprint_follows_content_language_and_task_version(folder, tmp_path):
    source = open_source(str(folder))
    first = source.fingerprint(task("xnli"), "en", "test")
    assert len(first) == 64
    assert first == open_source(str(folder)).fingerprint(task("xnli"), "en", "test")
    assert first != source.fingerprint(task("xnli"), "de", "test")
    path = folder / "xnli" / "en.test.jsonl"
    path.write_text(path.read_text().replace("en 0", "xx 0"))
    os.utime(path, ns=(0, 1))
    assert first != source.fingerprint(task("xnli"), "en", "test"), "a change of the same length is seen"


def test_a_new_version_of_a_task_changes_its_fingerprints(folder):
    # The version belongs to the row that was listed when the folder was opened.
    before = open_source(str(folder)).fingerprint(task("xnli"), "en", "test")
    part = Part(
        replace(task("xnli"), version=99), "en", "test", "jsonl", (folder / "xnli" / "en.test.jsonl",)
    )
    assert _part_fingerprint(part) != before
    assert _part_fingerprint(replace(part, task=task("xnli"))) == before


def test_a_limit_is_part_of_the_datasets_own_fingerprint(folder):
    source = open_source(str(folder))
    whole, some = (source.load(task("xnli"), "en", "test", limit=limit)._fingerprint for limit in (None, 5))
    assert whole != some
    assert whole == source.load(task("xnli"), "en", "test")._fingerprint


def test_rows_go_to_arrow_in_batches_without_a_file():
    rows = (Example(place, str(place), ("a", "b"), place % 3) for place in range(10_000))
    dataset = to_dataset(task("xnli"), rows, limit=None, fingerprint="f" * 64)
    assert len(dataset) == 10_000
    assert dataset.cache_files == []
    assert dataset[9_999]["id"] == "9999"


def test_the_name_of_a_folder_source_is_the_folder(folder):
    assert open_source(str(folder)).name == folder.as_posix()
    assert open_source("hub").name == "hub"


@pytest.mark.parametrize(
    ("code", "split", "said"),
    [
        ("fr", "test", "no xnli data for 'fr' in this folder. It has: en de qu"),
        ("en", "train", "no train split of xnli for 'en' in this folder. It has: test"),
        ("xx", "test", "unknown language 'xx'"),
        ("en", "dev", "unknown split 'dev'. Splits: train, validation, test"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(folder, code, split, said):
    with pytest.raises(DataError) as caught:
        open_source(str(folder)).load(task("xnli"), code, split)
    assert said in str(caught.value)


def test_a_task_that_is_not_there_is_said(folder):
    with pytest.raises(DataError, match="no pos data in this folder. It has: xnli"):
        open_source(str(folder)).load(task("pos"), "en", "test")


def test_a_missing_split_points_at_the_file_that_was_not_understood(folder):
    (folder / "xnli" / "en.trian.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"1 of its files were not understood, the first: .*en\.trian\.jsonl"):
        open_source(str(folder)).load(task("xnli"), "en", "train")


def test_two_forms_of_one_split_are_ambiguous(folder):
    write_pairs(folder / "copy" / "xnli" / "en.test.jsonl", ["x"])
    with pytest.raises(
        DataError, match="xnli en test is there 2 times: copy/xnli/en.test.jsonl, xnli/en.test"
    ):
        open_source(str(folder)).load(task("xnli"), "en", "test")
    assert len(open_source(str(folder)).load(task("xnli"), "de", "test")) == 50, "the others are usable"


def test_a_link_to_a_folder_above_does_not_loop(folder):
    (folder / "xnli" / "loop").symlink_to(folder)
    assert len(open_source(str(folder)).load(task("xnli"), "en", "test")) == 50, "nor is it there twice"


@pytest.mark.integration
def test_the_real_samples_load_with_the_counts_their_readme_gives(benchmark_data):
    source = open_source(str(benchmark_data))
    counts = {
        ("xnli", "en", "train"): 19_008,
        ("xnli", "eu", "test"): 2_000,
        ("pawsx", "de", "test"): 1_968,
        ("ner", "en", "train"): 20_000,
        ("ner", "my", "validation"): 50,
        ("pos", "en", "train"): 17_781,
        ("pos", "zh", "test"): 500,
    }
    for (name, code, split), count in counts.items():
        assert len(source.load(task(name), code, split)) == count
    assert {name: len(source.languages(row, "test")) for name, row in TASKS.items()} == {
        "xnli": 16,
        "pawsx": 5,
        "ner": 24,
        "pos": 25,
        "sib200": 26,
        "xcopa": 10,
        "xquad": 9,
    }


@pytest.mark.integration
def test_a_limited_training_set_of_a_file_ordered_by_label_has_all_labels_in_balance(benchmark_data):
    rows = open_source(str(benchmark_data)).load(task("xnli"), "de", "train", limit=300)
    shares = [list(rows["label"]).count(label) / 300 for label in range(3)]
    # Standard error of a share of a third of 300 is 0.027; the file has exactly a third each.
    assert max(abs(share - 1 / 3) for share in shares) < 0.1


@pytest.mark.integration
def test_limited_test_sets_of_parallel_languages_have_the_same_labels(benchmark_data):
    source = open_source(str(benchmark_data))
    labels = {
        code: list(source.load(task("xnli"), code, "test", limit=200)["label"]) for code in ("en", "my", "el")
    }
    assert labels["en"] == labels["my"] == labels["el"]

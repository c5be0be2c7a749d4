"""Prediction files: what is saved is read back, and a file that is not whole is refused with its place."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xlprompt.data import DataError, Task, task
from xlprompt.evaluation import load_predictions, save_predictions

XNLI, POS = task("xnli"), task("pos")
PAIRS = {"ids": ["a", "b"], "gold": [[0], [2]], "predicted": [[0], [1]]}
SENTENCES = {"ids": ["1", "२"], "gold": [[0, 16], []], "predicted": [[0, 3], []]}


def save(path: Path, of: Task = XNLI, **changed: Any) -> Path:
    content = (PAIRS if not of.kind.by_word else SENTENCES) | changed
    return save_predictions(path, task=of, language="sw", split="test", **content)


def lines_of(path: Path) -> list[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[..., Path]:
    """Save good predictions and put something else in place of one line; None leaves it out."""

    def damage(line: int, content: Any, of: Task = XNLI) -> Path:
        path = save(tmp_path / "p.jsonl.gz", of)
        lines = lines_of(path)
        if content is None:
            del lines[line - 1]
        else:
            lines[line - 1] = lines[line - 1] | content if isinstance(content, dict) else content
        texts = [text if isinstance(text, str) else json.dumps(text) for text in lines]
        path.write_bytes(gzip.compress("\n".join(texts).encode()))
        return path

    return damage


@pytest.mark.parametrize("of", [XNLI, POS])
def test_what_is_saved_is_read_back(tmp_path: Path, of: Task):
    path = save(tmp_path / "new" / "folder" / "p.jsonl.gz", of)
    content = PAIRS if not of.kind.by_word else SENTENCES
    loaded = load_predictions(path)
    assert (loaded.task, loaded.task_version, loaded.kind) == (of.name, of.version, of.kind.name)
    assert (loaded.language, loaded.split, loaded.labels) == ("sw", "test", of.labels)
    assert {"ids": loaded.ids, "gold": loaded.gold, "predicted": loaded.predicted} == content


def test_the_trivial_baseline_of_spans_is_kept_and_files_of_labels_are_as_before(tmp_path: Path):
    spans = {"of": task("xquad"), "gold": [["in Rome"], ["Bo", "to Bo"]], "predicted": [["Rome"], ["Bo"]]}
    path = save(tmp_path / "spans.jsonl.gz", **spans, trivial_baseline=28.25)
    assert load_predictions(path).trivial_baseline == 28.25
    path = save(tmp_path / "labels.jsonl.gz")
    assert load_predictions(path).trivial_baseline is None
    assert "trivial_baseline" not in lines_of(path)[0]


def test_a_line_names_labels_for_people(tmp_path: Path):
    assert lines_of(save(tmp_path / "p.jsonl.gz"))[2] == {
        "id": "b",
        "gold": "contradiction",
        "predicted": "neutral",
    }
    assert lines_of(save(tmp_path / "p.jsonl.gz", POS))[1] == {
        "id": "1",
        "gold": ["ADJ", "X"],
        "predicted": ["ADJ", "AUX"],
    }


def test_the_same_predictions_give_the_same_bytes(tmp_path: Path):
    first, second = save(tmp_path / "a.jsonl.gz"), save(tmp_path / "b.jsonl.gz")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[4:8] == bytes(4)  # gzip's time of writing (RFC 1952), left out


def test_ids_that_a_source_repeats_are_kept(tmp_path: Path):
    """A run must not be lost at its end because its data repeat an id; the order tells examples apart."""
    assert load_predictions(save(tmp_path / "p.jsonl.gz", ids=["a", "a"])).ids == ["a", "a"]


def test_no_examples_make_a_file_too(tmp_path: Path):
    assert load_predictions(save(tmp_path / "p.jsonl.gz", ids=[], gold=[], predicted=[])).ids == []


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = save(tmp_path / "p.jsonl.gz")
    before = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        save(path, ids=["c", "d"])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ids": ["a"]}, "1 ids, 2 gold and 2 predicted"),
        ({"predicted": [[0], []]}, "'b' has 1 gold and 0 predicted"),
        ({"gold": [[0], [1, 1]], "predicted": [[0], [1, 1]]}, "a pair has one of each"),
        ({"predicted": [[0], [3]]}, "'b' has a label index outside 0 to 2"),
        ({"predicted": [[0], [-1]]}, "'b' has a label index outside 0 to 2"),
    ],
)
def test_predictions_that_do_not_match_are_not_saved(tmp_path: Path, changed: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        save(tmp_path / "p.jsonl.gz", **changed)
    assert not list(tmp_path.iterdir())


def test_another_file_name_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"name the file \*\.jsonl\.gz"):
        save(tmp_path / "p.json")


@pytest.mark.parametrize(
    ("line", "content", "message"),
    [
        (1, "{}", r":1: .*format: Field required"),
        (1, {"version": 2}, r":1: .*version: Input should be 1"),
        (1, {"version": "1"}, r":1: .*version: Input should be 1"),
        (1, {"language": None}, r":1: .*language: "),
        (1, {"labels": ["yes", "yes"]}, r":1: .*labels must be different"),
        (1, {"labels": []}, r":1: .*labels: "),
        (1, {"labels": 5}, r":1: .*labels: "),
        (1, {"kind": "triple"}, r":1: .*kind: "),
        (1, {"examples": 10**400}, r"announces 1"),
        (1, {"examples": 2.0}, r":1: .*examples: "),
        (1, "[" * 100_000, r":1: .*Invalid JSON"),
        (2, "{", r":2: .*Invalid JSON"),
        (2, '{"id": "\\ud800", "gold": "neutral", "predicted": "neutral"}', r":2: .*Invalid JSON"),
        (2, "[]", r":2: .*should be an object"),
        (2, {"more": 1}, r":2: .*more: Extra"),
        (2, {"id": 7}, r":2: .*id: .*valid string"),
        (3, {"gold": "perhaps"}, r":3: .*gold label 'perhaps'"),
        (3, {"gold": {}}, r":3: .*gold: .*valid string"),
        (3, {"predicted": ["neutral"]}, r":3: .*predicted: .*valid string"),
        (3, None, r"announces 2 examples, 1 are there"),
    ],
)
def test_a_damaged_file_of_pairs_is_refused_with_its_line(
    damaged: Callable[..., Path], line: int, content: Any, message: str
):
    with pytest.raises(DataError, match=f"p.jsonl.gz.*{message.lstrip(':')}"):
        load_predictions(damaged(line, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [({"gold": "NOUN"}, ":2: .*gold: .*valid array"), ({"gold": ["NOUN"]}, ":2: .*1 gold but 2 predicted")],
)
def test_a_damaged_file_of_sentences_is_refused_with_its_line(
    damaged: Callable[..., Path], content: Any, message: str
):
    with pytest.raises(DataError, match=message):
        load_predictions(damaged(2, content, POS))


def test_a_file_cut_short_is_refused(tmp_path: Path):
    path = save(tmp_path / "p.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"p\.jsonl\.gz: not a whole gzip file"):
        load_predictions(path)


def test_a_file_with_a_wrong_byte_in_the_middle_is_refused(tmp_path: Path):
    path = save(tmp_path / "p.jsonl.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"p\.jsonl\.gz"):
        load_predictions(path)


def test_a_file_that_is_not_gzipped_is_refused(tmp_path: Path):
    path = tmp_path / "p.jsonl.gz"
    path.write_text("{}")
    with pytest.raises(DataError, match="not a whole gzip file"):
        load_predictions(path)


def test_an_empty_file_is_refused(tmp_path: Path):
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match=r"p\.jsonl\.gz:1: "):
        load_predictions(path)


@pytest.mark.parametrize("make", [None, Path.mkdir, os.mkfifo], ids=["missing", "folder", "pipe"])
def test_what_is_no_file_is_refused_with_its_name(tmp_path: Path, make: Callable[[Path], None] | None):
    if make:
        make(tmp_path / "p.jsonl.gz")
    with pytest.raises(DataError, match=r"p\.jsonl\.gz: .*evaluate the run again"):
        load_predictions(tmp_path / "p.jsonl.gz")

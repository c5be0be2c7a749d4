"""Rows of the mini benchmark that are kept between runs."""

import logging

import pytest

from xlprompt.data import TASKS
from xlprompt.data.sources import FolderSource, MiniSource, open_source
from xlprompt.data.sources.kept import load_rows


@pytest.fixture
def load(tmp_path):
    def load_from(source, task="xnli", limit=40):
        return load_rows(source, TASKS[task], "de", "test", limit=limit, cache_dir=tmp_path)

    return load_from


@pytest.mark.parametrize("task", ["xnli", "ner", "xquad"])
def test_rows_are_made_once_and_the_same_ever_after(load, task, tmp_path, monkeypatch):
    source = open_source("mini")
    made = source.load(TASKS[task], "de", "test", limit=40)
    assert load(source, task)[:] == made[:]
    with monkeypatch.context() as patch:
        patch.setattr(MiniSource, "load", None)
        kept = load(source, task)
    assert kept[:] == made[:]
    assert kept.features == made.features
    assert len(load(source, task, limit=41)) == 41  # another entry
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_rows_are_made_anew(load, tmp_path, caplog):
    source = open_source("mini")
    rows = load(source)[:]
    (file,) = tmp_path.glob("*/rows/*.arrow")
    file.write_bytes(file.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        assert load(source)[:] == rows
    assert "Removing the damaged cache entry" in caplog.text


def test_files_are_read_each_time_as_they_may_have_changed(tmp_path):
    folder = tmp_path / "data" / "xnli"
    folder.mkdir(parents=True)
    for label in (0, 1):
        (folder / "de.test.jsonl").write_text(f'{{"premise": "a", "hypothesis": "b", "label": {label}}}\n')
        source = open_source(str(tmp_path / "data"))
        assert isinstance(source, FolderSource)
        rows = load_rows(source, TASKS["xnli"], "de", "test", limit=None, cache_dir=tmp_path / "cache")
        assert rows["label"] == [label]
    assert not (tmp_path / "cache").exists()

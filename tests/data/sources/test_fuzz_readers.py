"""Whatever a file holds, a reader says by a DataError what is wrong, and what it reads can be encoded."""

import gzip
import io
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Dataset
from fuzz import fuzz, json_values, odd_text
from hypothesis import strategies as st

from xlprompt.data import TASKS, DataError, check_folder, open_source
from xlprompt.data.sources.unlabeled import read_rows, typed_rows, unlabeled_dataset

SECONDS = 2.0  # for each of the eleven tests

XNLI_HEADER = "language\tgold_label\tsentence1\tsentence2\tpairID"
LINES = {
    "xnli.dev.tsv": [
        XNLI_HEADER,
        "de\tneutral\ta b\tc\t1",
        'en\t-\t"a ""b"" c"\td\t2',
        "xx\tneutral\ta\tb\t3",
    ],
    "xnli.test.jsonl": ['{"language": "de", "gold_label": "neutral", "sentence1": "a", "sentence2": "b"}'],
    "multinli_1.0_train.jsonl": ['{"gold_label": "-", "genre": "x", "sentence1": "a", "sentence2": "b"}'],
    "multinli.train.de.tsv": ["premise\thypo\tlabel", "a\tb\tcontradictory", "\tb\tneutral"],
    "x-final/de/test_2k.tsv": [
        "id\tsentence1\tsentence2\tlabel",
        "1\ta\tb\t0",
        "2\tNS\tNS\t0",
        '3\t"a\tb"\t1',
    ],
    "de/train": ["de:Bonn\tB-LOC", "de:liegt\tO", "", "de:_\tO", "en:a\tO"],
    "de_gsd-ud-test.conllu": [
        "# sent_id = 1",
        "1-2\tam\t_\t_\t_\t_\t_\t_\t_\t_",
        "1\tan\tan\tADP\t_\t_\t2\tcase\t_\t_",
        "2\t_\t_\tNOUN\t_\t_\t0\troot\t_\t_",
        "2.1\t_\t_\tNOUN\t_\t_\t_\t_\t_\t_",
        "",
    ],
    "xnli/de.valid.jsonl": ['{"premise": "a", "hypothesis": "b", "label": 0}'],
    "pos/de/test.jsonl.gz": ['{"tokens": ["a", "_"], "tags": ["DET", "NOUN"], "id": "x"}'],
}
KEYS = (
    "premise",
    "hypothesis",
    "sentence1",
    "sentence2",
    "label",
    "gold_label",
    "language",
    "tokens",
    "tags",
    "id",
)
WORDS = ("de", "neutral", "NS", "_", "-", "0", "1", "NOUN", "B-LOC", "de:", "a", " ")


def contents(lines: list[str]) -> st.SearchStrategy[bytes]:
    """Draw a file: lines of its format, some of them damaged, between lines of any kind."""
    text = odd_text(*WORDS)
    good = st.sampled_from(lines)
    damaged = st.tuples(good, st.floats(0, 1), st.floats(0, 1), text).map(
        lambda drawn: (
            drawn[0][: int(drawn[1] * len(drawn[0]))] + drawn[3] + drawn[0][int(drawn[2] * len(drawn[0])) :]
        )
    )
    value = st.one_of(json_values(text), text, st.lists(text, max_size=4))
    objects = st.tuples(st.dictionaries(st.sampled_from(KEYS), value), st.booleans()).map(
        lambda drawn: json.dumps(drawn[0], ensure_ascii=drawn[1])
    )
    cells = st.lists(text, max_size=5).map("\t".join)
    line = st.one_of(good, good, damaged, objects, cells).map(
        lambda drawn: drawn.encode("utf-8", "surrogatepass")
    )
    whole = st.lists(st.one_of(line, line, line, st.binary(max_size=8)), max_size=5).map(b"\n".join)
    return whole.map(lambda drawn: "\n".join(lines[:1]).encode() + b"\n" + drawn) | whole


def packed(path: str, content: bytes, cut: int) -> bytes:
    return gzip.compress(content, mtime=0)[:cut] if path.endswith(".gz") else content


def data_or_none(load: Callable[[], Dataset]) -> Dataset | None:
    """Load rows, which every encoder has to take; or None for a DataError, which is to be printable."""
    try:
        rows = load()
    except DataError as error:
        assert_printable(str(error))
        return None
    json.dumps(rows.to_dict(), ensure_ascii=False).encode()
    return rows


def assert_printable(said: object) -> None:
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", json.dumps(said, ensure_ascii=False))


@pytest.mark.integration
@pytest.mark.parametrize("path", LINES)
def test_a_folder_with_any_content_is_read_or_refused_and_the_check_says_which_fuzz(path):
    def check(content: bytes, cut: int | None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(packed(path, content, cut))
            report = check_folder(folder)
            assert_printable(report.to_dict())
            wrong = {problem.file for problem in report.problems}
            for found in report.found:
                problems = bool(wrong & {".", *found.files})
                rows = data_or_none(
                    lambda found=found: open_source(folder).load(
                        TASKS[found.task], found.language, found.split
                    )
                )
                assert problems if rows is None else len(rows) == found.count > 0

    cuts = st.none() | st.integers(0, 60) if path.endswith(".gz") else st.none()
    fuzz(check, seconds=SECONDS, content=contents(LINES[path]), cut=cuts)


PREDICTED = {
    "xnli": [*LINES["xnli.dev.tsv"], "premise\thypothesis", '{"premise": "a", "hypothesis": "b"}'],
    "pos": [*LINES["de_gsd-ud-test.conllu"], *LINES["de/train"], "a b c", '{"tokens": ["a", "b"]}'],
}


@pytest.mark.integration
@pytest.mark.parametrize("name", PREDICTED)
def test_text_to_predict_of_any_content_is_read_or_refused_fuzz(name):
    def check(content: bytes, name_of_file: str, typed: list[str]) -> None:
        task = TASKS[name]
        path = Path(name_of_file)
        data_or_none(lambda: unlabeled_dataset(task, read_rows(task, path, io.BytesIO(content))))
        data_or_none(lambda: unlabeled_dataset(task, typed_rows(task, typed)))

    fuzz(
        check,
        seconds=SECONDS,
        content=contents(PREDICTED[name]),
        name_of_file=st.sampled_from(["text", "text.jsonl", "text.tsv", "text.conllu", "\udcff\x1b"]),
        typed=st.lists(odd_text(*WORDS), min_size=1, max_size=3),
    )

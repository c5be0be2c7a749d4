"""Labels for new text: those that an evaluation gave to the same rows, and what stands in their way."""

import gzip
import io
import json
import os
from dataclasses import replace

import pytest
from rich.console import Console
from small import TAGS, WORDS, tiny_recipe, write_data, write_lines

from xlprompt.data import TASKS, DataError
from xlprompt.data.sources.unlabeled import read_rows, typed_rows
from xlprompt.evaluation import load_predictions
from xlprompt.studies.grid.ledger import Ledger
from xlprompt.training import RunError, find_checkpoint, predict, train
from xlprompt.training.errors import CheckpointError
from xlprompt.training.runs.predictions import write_predicted

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_data(tmp_path_factory.mktemp("data"))
    rows = [{"tokens": WORDS["de"][i : i + 3], "tags": TAGS[i : i + 3]} for i in range(7)] * 2
    write_lines(folder / "pos" / "de.validation.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "mlruns"


@pytest.fixture(scope="module")
def trained(tiny_xglm, data, store, tmp_path_factory):
    """Runs by task: a prompt under a verbalizer, and a fine-tuned tagger with moments beside it."""
    settings = {
        "xnli": {"method": "prompt", "head": {"kind": "verbalizer"}},
        "pos": {"method": "finetune", "evaluation": {"alignment": {"kinds": ["mean"], "sentences": 12}}},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPROMPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {
            task: train(
                tiny_recipe(task, tiny_xglm, data, **values),
                store=store,
                console=Console(file=io.StringIO()),
                engine="torch",
            )
            for task, values in settings.items()
        }


@pytest.mark.parametrize(("task", "align"), [("xnli", "none"), ("pos", "none"), ("pos", "mean")], ids=str)
def test_rows_of_the_test_set_get_the_labels_that_were_scored(trained, store, data, task, align):
    run_id = trained[task].run_id
    checkpoint, _ = find_checkpoint(run_id, store)
    rows = read_rows(TASKS[task], data / task / "de.test.jsonl")
    predicted = predict(checkpoint, rows, language="de", align=align)
    scored = load_predictions(Ledger(store).predictions(run_id, align)["de"])
    labels = [[TASKS[task].labels.index(answer.label) for answer in row.answers] for row in predicted.rows]
    assert labels == scored.predicted
    assert (predicted.alignment is not None) == (align == "mean")
    for row in predicted.rows:
        for answer in row.answers:
            assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
            assert answer.probability == max(answer.probabilities.values())


def test_what_is_written_can_be_read_as_a_data_folder_is(trained, store, tmp_path):
    checkpoint, _ = find_checkpoint(trained["pos"].run_id, store)
    predicted = predict(checkpoint, typed_rows(TASKS["pos"], ["the man reads", "Buch"]))
    path = tmp_path / "new" / "de.test.jsonl.gz"
    write_predicted(path, predicted)
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [row["tokens"] for row in rows] == [["the", "man", "reads"], ["Buch"]]
    assert [row["tags"] for row in rows] == [[a.label for a in row.answers] for row in predicted.rows]
    assert list(path.parent.iterdir()) == [path]
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_predicted(tmp_path / "pipe", predicted)
    assert json.loads(os.read(reader, 10_000).splitlines()[0]) == rows[0], "no file is put in a pipe's place"
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        write_predicted(tmp_path / "file" / "out.jsonl", predicted)


def test_the_rows_that_were_cut_are_known(trained, store):
    checkpoint, _ = find_checkpoint(trained["xnli"].checkpoint, store)  # by its folder, too
    long = [("man " * 300, "man"), ("man", "man")]
    rows = [row for texts in long for row in typed_rows(TASKS["xnli"], texts)]
    predicted = predict(checkpoint, rows)
    assert [row.cut for row in predicted.rows] == [True, False]
    assert predicted.max_length == 64


def test_an_alignment_that_does_not_exist_is_refused(trained, store):
    checkpoint, _ = find_checkpoint(trained["pos"].run_id, store)
    with pytest.raises(RunError, match="align is 'mean-scale', and has to be one of none, mean, "):
        predict(checkpoint, typed_rows(TASKS["pos"], ["a"]), language="de", align="mean-scale")


@pytest.mark.parametrize(
    ("task", "language", "error", "message"),
    [
        (
            "xnli",
            "de",
            CheckpointError,
            "no moments lie beside the checkpoint.*xlprompt evaluate RUN --align",
        ),
        ("pos", "sw", CheckpointError, "are of de, not of 'sw'.*--align mean --languages sw"),
        ("pos", None, CheckpointError, "counts as 'en'.*--language de"),
        ("pos", "xx", DataError, "xx"),
    ],
)
def test_an_alignment_without_moments_names_the_remedy(trained, store, task, language, error, message):
    checkpoint, _ = find_checkpoint(trained[task].run_id, store)
    with pytest.raises(error, match=message):
        predict(checkpoint, typed_rows(TASKS[task], ["a", "b"]), language=language, align="mean")


def test_a_checkpoint_of_another_backbone_is_refused(trained, store):
    checkpoint, _ = find_checkpoint(trained["xnli"].run_id, store)
    other = replace(checkpoint, metadata=replace(checkpoint.metadata, backbone_fingerprint="0" * 64))
    with pytest.raises(CheckpointError, match="fingerprint"):
        predict(other, typed_rows(TASKS["xnli"], ["a", "b"]))

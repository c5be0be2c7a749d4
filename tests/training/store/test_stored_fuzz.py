"""Checkpoints, training states, moments, predictions and published runs with anything in them.

What comes of it is what was written, or an error of the project's own.
"""

import copy
import gzip
import json

import pytest
import torch
from fuzz import fuzz, json_values, odd_text
from hypothesis import strategies as st
from published_studies import study
from safetensors.torch import save_file

from xlprompt.data import DataError, task
from xlprompt.evaluation import load_predictions, save_predictions
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import Ledger
from xlprompt.studies.reports.published_runs import read_published, write_published
from xlprompt.studies.reports.selection import find_runs
from xlprompt.studies.reports.sources import RunSource
from xlprompt.training.alignment.files import load_alignment
from xlprompt.training.errors import CheckpointError
from xlprompt.training.store.checkpoint import CheckpointMetadata, load_checkpoint, save_checkpoint
from xlprompt.training.store.stored_files import sealed
from xlprompt.training.store.training_state import Identity, LoopState, TrainingStates, read_identity

pytestmark = pytest.mark.integration

VALUES = json_values(odd_text("xnli", "en", "model.safetensors", "²", "1e999", "../x"))
PLACE = st.integers(0, 10**6)
METADATA = CheckpointMetadata(
    recipe={"task": "xnli", "data": {"source": "mini"}},
    backbone="nano",
    backbone_fingerprint="abc",
    task="xnli",
    labels=task("xnli").labels,
    budget={"trainable_params": 6},
    step=40,
    metric="accuracy",
    score=61.5,
)


def changed(document, place, value):
    """A copy with another value at one of its places, or the value alone."""
    document = copy.deepcopy(document)
    places = []

    def visit(container):
        for key, inner in container.items() if isinstance(container, dict) else enumerate(container):
            places.append((container, key))
            if isinstance(inner, dict | list):
                visit(inner)

    visit(document)
    place %= len(places) + 1
    if place == len(places):
        return value
    container, key = places[place]
    container[key] = value
    return document


def text_of(document, damage):
    """As JSON, sometimes with bytes in its midst that do not belong there."""
    text = json.dumps(document).encode()
    at, extra = damage
    return text if not extra else text[: at % len(text)] + extra + text[at % len(text) :]


def checked_text_of(document, damage, checked):
    """The same with a checksum that fits, where there can be one."""
    try:
        return sealed(document) if checked and isinstance(document, dict) else text_of(document, damage)
    except UnicodeEncodeError:  # half a character
        return text_of(document, damage)


def refusal(read, *arguments):
    """The error of the project's own that reading ends in, if it does."""
    try:
        read(*arguments)
    except (CheckpointError, DataError) as error:
        return str(error)
    return None


DAMAGE = st.tuples(PLACE, st.just(b"") | st.just(b"") | st.binary(max_size=3))


def test_a_checkpoint_with_anything_in_its_json_is_read_or_refused(tmp_path):
    save_checkpoint(tmp_path, {"a": torch.zeros(1)}, METADATA)
    path = tmp_path / "checkpoint.json"
    good = json.loads(path.read_bytes())
    del good["checksum"]

    def check(place, value, damage, checked):
        path.write_bytes(checked_text_of(changed(good, place, value), damage, checked))
        assert (refusal(load_checkpoint, tmp_path) or str(tmp_path)).startswith(str(tmp_path))

    fuzz(check, seconds=4, place=PLACE, value=VALUES, damage=DAMAGE, checked=st.booleans())


def test_a_training_state_with_anything_in_its_json_is_read_or_refused(tmp_path):
    states = TrainingStates(tmp_path, Identity("run", {"task": "xnli"}, "d", "b"))
    states.save(LoopState(step=7, curve=((5, 1.5),), window={"loss": 1.0}), {}, {})
    path = tmp_path / "step-000007" / "state.json"
    good = json.loads(path.read_bytes())
    del good["checksum"]

    def check(place, value, damage, checked):
        path.write_bytes(checked_text_of(changed(good, place, value), damage, checked))
        read_identity(tmp_path)
        assert (refusal(states.load) or str(tmp_path)).startswith(str(tmp_path))

    fuzz(check, seconds=2, place=PLACE, value=VALUES, damage=DAMAGE, checked=st.booleans())


def test_moments_that_say_anything_of_themselves_are_read_or_refused(tmp_path):
    save_checkpoint(tmp_path, {"a": torch.zeros(1)}, METADATA)
    tensors = {f"en.{part}": torch.ones(2) for part in ("mean", "deviation", "along")}
    tensors["directions"] = torch.eye(2)
    about = {"format_version": 1, "checkpoint": "", "sentences": 5, "layer": None, "train_language": "en"}
    about |= {"counts": {"en": 3}, "texts": {"en": {"split": "train", "sentences": 5, "fingerprint": ""}}}

    def check(place, value):
        document = changed(about, place, value)
        save_file(tensors, tmp_path / "alignment-5.safetensors", {"xlprompt": json.dumps(document)})
        with pytest.raises(CheckpointError, match="alignment-5"):
            load_alignment(tmp_path, 5, None)

    fuzz(check, seconds=1, place=PLACE, value=VALUES)


def test_predictions_with_anything_in_a_line_are_read_or_refused(tmp_path):
    path = tmp_path / "p.jsonl.gz"
    labels = {"gold": [[0, 16], []], "predicted": [[0, 3], []]}
    save_predictions(path, task=task("pos"), language="sw", split="test", ids=["1", "2"], **labels)
    good = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]

    def check(line, place, value, damage):
        lines = [json.dumps(each).encode() for each in good]
        lines[line] = text_of(changed(good[line], place, value), damage)
        path.write_bytes(gzip.compress(b"\n".join(lines), 1))
        assert (refusal(load_predictions, path) or str(path)).startswith(str(path))

    fuzz(check, seconds=2, line=st.integers(0, 2), place=PLACE, value=VALUES, damage=DAMAGE)


def test_published_runs_with_anything_in_a_line_are_read_or_refused(tmp_path):
    path = tmp_path / "runs.jsonl.gz"
    write_published(path, study())
    good = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    for run in good[1:]:  # so that other places are met as often as counts
        for answers in run["answers"].values():
            answers |= {"numerators": answers["numerators"][:3], "denominators": [1, 1, 1]}
    for language in good[0]["tasks"]["xnli"]["languages"].values():
        language["examples"] = 3
    ledger = Ledger(tmp_path)

    def check(line, place, value, damage):
        lines = [json.dumps(each).encode() for each in good]
        lines[line] = text_of(changed(good[line], place, value), damage)
        path.write_bytes(gzip.compress(b"\n".join(lines), 1))
        if (refused := refusal(read_published, path)) is not None:
            assert refused.startswith(str(path))
            return
        source = RunSource(tmp_path, ledger, [read_published(path)])
        try:
            source.counts(find_runs(source).runs)
        except (DataError, StudyError):
            return

    fuzz(check, seconds=6, line=st.integers(0, 4), place=PLACE, value=VALUES, damage=DAMAGE)

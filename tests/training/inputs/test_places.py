"""Where a run's model and data lie, and that what lies there is what the run was trained with."""

import io
import json
import shutil

import pytest
import torch
from rich.console import Console
from small import tiny_recipe, write_data, write_lines
from studies import write_study
from tiny import bpe_tokenizer
from transformers import AutoTokenizer

from xlprompt.data import TASKS, tasks
from xlprompt.data.sources.unlabeled import typed_rows
from xlprompt.data.tasks.own import definition_of
from xlprompt.models import ModelError, load_tokenizer
from xlprompt.studies.grid.cells import make_groups
from xlprompt.studies.grid.grid import load_grid
from xlprompt.training import RunError, evaluate, find_checkpoint, load_recipe, predict, train
from xlprompt.training.errors import CheckpointError
from xlprompt.training.inputs.chosen_data import open_data
from xlprompt.training.inputs.preparation import choose_device, pad_id_of
from xlprompt.training.recipes.recipe import recipe_from_dict, recipe_to_dict

pytestmark = pytest.mark.integration


def test_an_own_tasks_scores_are_called_alike_wherever_its_data_are_opened(tmp_path, tiny_llama, monkeypatch):
    write_lines(tmp_path / "en.test.jsonl", [{"tokens": ["Vera", "reads"], "tags": ["B-PER", "O"]}] * 3)
    definition = definition_of(TASKS["ner"]).model_dump()
    recipe = tiny_recipe("names", tiny_llama, tmp_path, task_definition=definition)
    monkeypatch.setattr(tasks, "_KNOWN", known := dict(tasks.BUNDLED))  # as in another process
    open_data(recipe)
    assert known["names"].kind.metric_titles["f1"] == "entity F1"


@pytest.fixture
def place(tmp_path, tiny_llama, monkeypatch):
    """A folder with a model and data, in which the command runs."""
    shutil.copytree(tiny_llama, tmp_path / "models" / "tiny")
    write_data(tmp_path / "data")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder, **changes):
    recipe = tiny_recipe("xnli", "models/tiny", "data", schedule={"steps": 2}, **changes)
    return train(recipe, store=folder / "mlruns", console=Console(file=io.StringIO()))


def score(result, folder, **options):
    return evaluate(result.run_id, store=folder / "mlruns", console=Console(file=io.StringIO()), **options)


def label(result, folder, **options):
    checkpoint, _ = find_checkpoint(result.run_id, folder / "mlruns")
    return predict(checkpoint, typed_rows(TASKS["xnli"], ["a man", "a dog"]), **options)


def test_a_run_on_relative_paths_is_scored_and_used_from_any_folder(place, monkeypatch):
    result = run(place)
    monkeypatch.chdir(place / "other")
    assert score(result, place).report.to_dict() == result.report.to_dict()
    assert len(label(result, place).rows) == 1


def test_a_model_that_has_moved_is_asked_for_and_found_by_its_fingerprint(place, tiny_xglm, monkeypatch):
    result = run(place)
    (place / "models").rename(place / "moved")
    for use in (score, label):
        with pytest.raises(ModelError, match=r"no such model folder.*--model FOLDER_OR_ID"):
            use(result, place)
        with pytest.raises(CheckpointError, match="load the backbone it was trained on"):
            use(result, place, model=str(tiny_xglm))
        use(result, place, model="moved/tiny")


def test_a_path_of_an_older_run_that_leads_nowhere_is_told_from_a_hub_models_name(place, monkeypatch):
    result = run(place)
    checkpoint, _ = find_checkpoint(result.run_id, place / "mlruns")
    checkpoint.metadata.recipe["model"] = "models/tiny"  # as it was recorded before paths were absolute
    monkeypatch.chdir(place / "other")
    with pytest.raises(ModelError, match="a path, it is one from the folder that the training ran in"):
        predict(checkpoint, typed_rows(TASKS["xnli"], ["a man", "a dog"]))


def test_data_that_have_moved_are_asked_for(place):
    result = run(place)
    (place / "data").rename(place / "elsewhere")
    with pytest.raises(RunError, match="trained on this folder, and it is not there.*--data FOLDER"):
        score(result, place)
    score(result, place, source="elsewhere")


def change_the_rotation(model):
    path = model / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}}))


def change_the_tokenizer(model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens(["man"])
    tokenizer.save_pretrained(model)


def change_the_weights(model):
    path = model / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("change", [change_the_rotation, change_the_tokenizer, change_the_weights])
def test_a_model_that_was_changed_is_refused_and_its_cells_are_not_done(place, change):
    study = write_study(place / "study", place / "models" / "tiny", place / "data")
    cells = {cell.fingerprint for group in make_groups(load_grid(study), study) for cell in group.cells}
    result = run(place)
    change(place / "models" / "tiny")
    for use in (score, label):
        with pytest.raises(CheckpointError, match="load the backbone it was trained on"):
            use(result, place)
    changed = {cell.fingerprint for group in make_groups(load_grid(study), study) for cell in group.cells}
    assert not cells & changed


def test_a_study_whose_model_has_moved_keeps_its_cells(place):
    def cells(model):
        study = write_study(place / "study", model, place / "data")
        return [cell.fingerprint for group in make_groups(load_grid(study), study) for cell in group.cells]

    before = cells("models/tiny")
    (place / "models").rename(place / "moved")
    assert cells("moved/tiny") == before


def test_a_recipes_folders_are_named_from_the_root_and_names_stay_names(place):
    values = recipe_to_dict(tiny_recipe("xnli", "models/tiny", "data"))
    assert (values["model"], values["data"]["source"]) == (
        str(place / "models" / "tiny"),
        str(place / "data"),
    )
    for name, source in (("xglm-nano", "mini"), ("facebook/xglm-564M", "hub"), ("not/here", "nor-here")):
        (place / "mini").mkdir(exist_ok=True)
        kept = recipe_from_dict({**values, "model": name, "data": {"source": source}}, origin="test")
        assert (kept.model, kept.data.source) == (name, source)


def test_a_pad_token_that_the_embedding_does_not_have_is_not_padded_with(place):
    model = place / "models" / "tiny"
    before = run(place)
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})  # and the embedding is not resized
    tokenizer.save_pretrained(model)
    after = run(place)
    assert after.report.to_dict() == before.report.to_dict()
    assert pad_id_of(load_tokenizer(str(model)), rows) == 0
    assert len(label(after, place).rows) == 1


def test_a_token_that_the_embedding_does_not_have_is_named_where_a_text_holds_it(place):
    model = place / "models" / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens(["station"])
    tokenizer.save_pretrained(model)
    with pytest.raises(RunError, match=r"xnli en train: a text holds the token 'station' with id \d+"):
        run(place)


def test_a_tokenizer_of_another_model_is_refused(place):
    larger = bpe_tokenizer()
    larger.add_tokens([f"a{number}" for number in range(9)])
    larger.add_tokens(["free"])  # behind the last row, and in the text that tokenizers are told apart by
    larger.save_pretrained(place / "models" / "tiny")
    rows = [{"premise": "x", "hypothesis": "y", "label": 0}] * 8
    for split in ("train", "validation"):
        write_lines(place / "data" / "xnli" / f"en.{split}.jsonl", rows)
    with pytest.raises(ModelError, match=r"makes ids up to \d+, and its embedding has \d+ rows"):
        run(place)


@pytest.mark.parametrize("name", ["cuda", "cuda:9", "cuda:-1", "mps", "meta", "", "tpu", "cuda:x"])
def test_a_device_that_is_not_there_is_refused_in_one_line(name):
    if name == "cuda" and torch.cuda.is_available():
        pytest.skip("it is there")
    with pytest.raises(RunError, match="cannot be used here") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


def test_a_run_needs_no_cache_and_says_once_that_there_is_none(place, monkeypatch, caplog):
    (place / "file").touch()
    monkeypatch.setenv("XLPROMPT_CACHE", str(place / "file" / "cache"))
    result = run(place)
    assert result.fit.steps == 2
    label(result, place)
    assert caplog.text.count("cannot be written") == 1


def test_a_model_outside_the_assumptions_is_refused_before_its_text_is_encoded(place, monkeypatch):
    path = place / "models" / "tiny" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "is_causal": False}))
    monkeypatch.setattr(
        "xlprompt.training.inputs.preparation.encode", lambda *_, **__: pytest.fail("text was encoded")
    )
    with pytest.raises(ModelError, match="reads its text in both directions"):
        run(place)


def test_a_recipe_file_names_its_model_from_where_the_command_runs(place):
    write_study(place / "study", "models/tiny", "data")
    file = place / "study" / "xnli-prompt.yaml"
    file.write_text(file.read_text().replace(str(place / "models" / "tiny"), "models/tiny"))
    assert load_recipe(file).model == str(place / "models" / "tiny")

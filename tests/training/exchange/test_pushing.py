"""What is pushed is a checkpoint with its recipe and a card, and is taken by its path or its hub id."""

import io
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import yaml
from huggingface_hub import ModelCard
from rich.console import Console
from small import tiny_recipe, write_data

from xlprompt.data import TASKS
from xlprompt.data.sources.unlabeled import typed_rows
from xlprompt.training import (
    CheckpointError,
    RunError,
    evaluate,
    find_checkpoint,
    load_checkpoint,
    load_recipe,
    predict,
    train,
)
from xlprompt.training.alignment.files import kept_alignments
from xlprompt.training.exchange import model_card as cards
from xlprompt.training.exchange.model_card import model_card
from xlprompt.training.exchange.pushing import goes_to_hub, push
from xlprompt.training.exchange.run_facts import StoredFacts
from xlprompt.training.recipes.recipe import recipe_from_dict, task_of

pytestmark = pytest.mark.integration

HUB_ID = "somebody/xnli-prompt"
ROWS = typed_rows(TASKS["xnli"], ("woman reads book", "the man"))


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def runs(tmp_path_factory, empty_store):
    return Path(shutil.copytree(empty_store, tmp_path_factory.mktemp("runs") / "mlruns"))


@pytest.fixture(scope="module")
def trained(tiny_xglm, runs, tmp_path_factory):
    data = write_data(tmp_path_factory.mktemp("data"))
    aligned = {"alignment": {"kinds": ["mean"], "sentences": 12}}
    recipe = tiny_recipe("xnli", tiny_xglm, data, evaluation=aligned)
    return train(recipe, store=runs, console=quiet(), device="cpu")


@pytest.fixture(scope="module")
def pushed(trained, runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "xnli-prompt"
    return push(trained.run_id, str(folder), store=runs), folder


@pytest.fixture
def hub_cache(pushed, tmp_path, monkeypatch):
    """A cache of the hub's client in which a snapshot of the pushed folder lies, as a download leaves it."""
    repository = tmp_path / "hub" / f"models--{HUB_ID.replace('/', '--')}"
    shutil.copytree(pushed[1], repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return repository


def test_the_folder_is_a_checkpoint_that_answers_as_the_run_does(pushed, trained):
    _, folder = pushed
    theirs, ours = load_checkpoint(folder), load_checkpoint(trained.checkpoint)
    assert predict(theirs, ROWS).rows == predict(ours, ROWS).rows
    assert kept_alignments(folder) == kept_alignments(trained.checkpoint) != []


def test_the_recipe_beside_is_the_runs(pushed, trained):
    recipe = load_recipe(pushed[1] / "recipe.yaml")
    assert recipe.prompt.length == 4
    assert recipe.model == load_checkpoint(trained.checkpoint).metadata.recipe["model"]


def test_the_cards_front_is_what_the_hub_reads(pushed, trained):
    front = ModelCard.load(pushed[1] / "README.md").data
    assert front.language == ["de", "en", "sw"]
    assert (front.pipeline_tag, front.library_name) == ("text-classification", "xlprompt")
    assert {"xlprompt", "prompt", "xnli"} <= set(front.tags)
    assert front.base_model is None  # a folder of this machine is no name there
    scores = {each.dataset_config: each.metric_value for each in front.eval_results}
    expected = {code: result.scores["accuracy"].value for code, result in trained.report.results.items()}
    assert scores == pytest.approx(expected, abs=0.01)


def test_an_interval_of_a_score_stays_in_percent_and_that_of_a_gap_need_not():
    low = {"value": 20.0, "stderr": 13.3}
    report = {
        **{"train_language": "en", "also_trained_on": [], "metric": "accuracy", "results": {}},
        "summary": {"accuracy": {"mean_zero_shot": low, "transfer_gap": low}},
    }
    text = cards._scores(StoredFacts(report=report))
    assert "| zero-shot mean | 20.0 [0.0, 46.1] |" in text
    assert "| transfer gap | 20.0 [-6.1, 46.1] |" in text


@pytest.mark.parametrize(
    ("task", "metrics"),
    [
        ("ner", {"f1": "f1", "precision": "precision", "recall": "recall", "accuracy": "accuracy"}),
        ("xquad", {"f1": "f1", "exact_match": "exact_match", "squad_f1": "f1"}),
    ],
)
def test_each_score_is_of_the_hubs_metric(trained, task, metrics):
    metadata = load_checkpoint(trained.checkpoint).metadata
    recipe = recipe_from_dict({**metadata.recipe, "task": task}, origin="test")
    scores = {"scores": {name: {"value": 90.0, "stderr": 1.0} for name in metrics}}
    facts = StoredFacts(report={"results": {"en": {**scores, "language": "en"}}, "summary": {}})
    found = cards._front(task_of(recipe), recipe, facts, "t").eval_results
    assert {each.metric_name: each.metric_type for each in found} == metrics


def test_the_cards_text_has_scores_with_intervals_share_and_cost(pushed, trained):
    text = (pushed[1] / "README.md").read_text()
    result = trained.report.results["sw"].scores["accuracy"]
    assert (
        f"| Swahili (sw) | {result.value:.1f} [" in text or f"| Swahili (sw) ! | {result.value:.1f} [" in text
    )
    assert "| English (en) *" in text
    assert f"{trained.budget.trainable_params:,} of {trained.budget.total_params:,}" in text
    assert "| whole run |" in text
    assert "license is not known here" in text


def test_names_of_this_machines_folders_are_told(pushed, tiny_xglm):
    notes = " ".join(pushed[0].notes)
    assert str(tiny_xglm) in notes
    assert "data.source" in notes


def test_a_backbone_of_the_hub_is_named_with_its_license(trained):
    metadata = load_checkpoint(trained.checkpoint).metadata
    recipe = recipe_from_dict({**metadata.recipe, "model": "xglm-564M"}, origin="test")
    front = yaml.safe_load(model_card(metadata, recipe, StoredFacts(), place="x").split("---")[1])
    assert front["base_model"] == "facebook/xglm-564M"
    assert front["base_model_relation"] == "adapter"
    assert front["license"] == "mit"
    assert "model-index" not in front  # without scores


def test_a_checkpoint_without_a_run_says_that_it_has_no_scores(trained, runs, tmp_path):
    found = push(trained.checkpoint, str(tmp_path / "out"), store=runs)
    assert "No test scores" in found.notes[0]
    assert "no test scores of this checkpoint" in (tmp_path / "out" / "README.md").read_text()


def test_a_pushed_folder_is_replaced_and_nothing_else_is(trained, pushed, runs, tmp_path):
    before = sorted(path.name for path in pushed[1].iterdir())
    (pushed[1] / "alignment-99.safetensors").write_bytes(b"of an earlier push")
    push(trained.run_id, str(pushed[1]), store=runs)
    assert sorted(path.name for path in pushed[1].iterdir()) == before
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(RunError, match="something else"):
        push(trained.run_id, str(tmp_path), store=runs)
    with pytest.raises(RunError, match="the checkpoint itself"):
        push(trained.checkpoint, str(trained.checkpoint), store=runs)


def test_a_hub_id_is_taken_wherever_a_folder_is(hub_cache, trained, store):
    found, model_id = find_checkpoint(HUB_ID, store)
    assert model_id is None
    assert predict(found, ROWS).rows == predict(load_checkpoint(trained.checkpoint), ROWS).rows
    scores = evaluate(HUB_ID, store=store, console=quiet(), device="cpu")
    assert scores.report.metrics() == trained.report.metrics()


def test_a_hub_id_that_is_not_here_is_refused_with_the_reason(hub_cache, store):
    with pytest.raises(CheckpointError, match="no such folder here, and as a hub id: it is not on this mach"):
        find_checkpoint("nobody/nothing", store)


def test_a_destination_is_a_repository_only_where_no_folder_can_be_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    assert goes_to_hub(HUB_ID)
    for folder in ("out/model", "./somebody/model", "model", "a/b/c", "~/model", "/somebody"):
        assert not goes_to_hub(folder)


def test_the_hub_gets_the_same_files_privately(trained, runs, pushed, monkeypatch):
    calls = []

    def create_repo(self, repo_id, **options):
        calls.append((repo_id, options))
        return f"https://hub.example/{repo_id}"

    def upload_folder(self, *, folder_path, **options):
        calls.append((sorted(path.name for path in Path(folder_path).iterdir()), options))

    there = [".gitattributes", "README.md"]
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repo_id: there)
    assert push(trained.run_id, HUB_ID, store=runs).place == f"https://hub.example/{HUB_ID}"
    (made, made_how), (files, _) = calls
    assert (made, made_how["private"]) == (HUB_ID, True)
    assert files == sorted(path.name for path in pushed[1].iterdir())

    there += ["checkpoint.json", "recipe.yaml", "config.json"]  # an earlier push, of a fine-tuned model
    push(trained.run_id, HUB_ID, store=runs)
    assert calls[-1][1]["delete_patterns"] == ["checkpoint.json", "config.json", "recipe.yaml"]


@pytest.mark.parametrize(
    "there",
    [
        ["model-00001-of-00002.safetensors", "config.json"],
        ["checkpoint.json", "recipe.yaml", "lora/weights.bin"],
    ],
    ids=["another model", "more beside a push"],
)
def test_a_repository_with_something_else_is_left_alone(trained, runs, monkeypatch, there):
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda self, repo_id, **options: "address")
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repo_id: there)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", lambda *_, **__: pytest.fail("uploaded"))
    with pytest.raises(RunError, match="there is something else in it .*Name another repository"):
        push(trained.run_id, HUB_ID, store=runs)


def test_a_hub_that_does_not_answer_is_told_with_the_way_out(trained, runs):
    with pytest.raises(RunError, match="the hub did not take it.*hf auth login"):
        push(trained.run_id, HUB_ID, store=runs)

"""Alignment that is trained in: what it reads, that it pulls states together, that runs stay repeatable."""

import io
import shutil
from dataclasses import replace

import mlflow
import numpy as np
import pytest
import torch
from rich.console import Console
from small import TAGS, WORDS, small_model, small_steps, tiny_recipe, write_data, write_lines

from xlprompt.data import TASKS
from xlprompt.evaluation.processes import Processes
from xlprompt.models import load_tokenizer
from xlprompt.training import RunError, train
from xlprompt.training.alignment.loss import AlignmentLoss, alignment_loss
from xlprompt.training.errors import RecipeError
from xlprompt.training.fitting.deepspeed_engine import DeepSpeedEngine
from xlprompt.training.fitting.engine import TorchEngine
from xlprompt.training.inputs.chosen_data import open_data
from xlprompt.training.inputs.preparation import Setup, build_model
from xlprompt.training.recipes.recipe import OptimizerSettings
from xlprompt.training.store.database import store_uri
from xlprompt.training.store.interrupted import LATEST

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
SCORED = ["en", "de", "sw", "hi"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """POS: English whole, German with a development set, Swahili with a training set, Hindi with neither."""
    folder = write_data(tmp_path_factory.mktemp("data"))

    def sentences(language, count):
        words = WORDS.get(language, WORDS["en"])
        chosen = [[(i * j) % 10 for j in range(4)] for i in range(count)]
        return [{"tokens": [words[k] for k in each], "tags": [TAGS[k] for k in each]} for each in chosen]

    for language, split in (("de", "validation"), ("sw", "train"), ("sw", "test"), ("hi", "test")):
        write_lines(folder / "pos" / f"{language}.{split}.jsonl", sentences(language, 12))
    return folder


def recipe_of(model, data, **changes):
    loss = {"weight": 1.0, "rows": 6, **changes.pop("alignment_loss", {})}
    return tiny_recipe("pos", model, data, alignment_loss=loss, **changes)


def setup_of(recipe, processes=None):
    source = open_data(recipe)
    return Setup(
        recipe, TASKS[recipe.task], source, load_tokenizer(recipe.model), CPU, processes or Processes()
    )


def run_of(recipe, store, **options):
    return train(recipe, store=store, console=Console(file=io.StringIO(), width=120), **options)


def test_it_reads_what_has_no_labels_to_learn_from_and_never_a_test_set(tiny_gemma, data):
    loss = AlignmentLoss(setup_of(recipe_of(tiny_gemma, data)), SCORED)
    assert loss.languages == ("de", "sw")  # Hindi has a test set alone
    names = [(record.name, record.context) for record in loss.records()]
    assert names == [
        ("pos-en-validation", "unlabelled-en"),
        ("pos-de-validation", "unlabelled-de"),
        ("pos-sw-train", "unlabelled-sw"),
    ]
    assert alignment_loss(setup_of(recipe_of(tiny_gemma, data, alignment_loss={"weight": 0})), SCORED) is None


def test_it_reads_text_that_has_no_labels(tiny_gemma, data, tmp_path):
    bare = tmp_path / "data"
    shutil.copytree(data, bare)
    write_lines(bare / "pos" / "de.validation.jsonl", [{"tokens": [word]} for word in WORDS["de"]])
    loss = AlignmentLoss(setup_of(recipe_of(tiny_gemma, bare)), ["en", "de"])
    assert loss.languages == ("de",)
    assert len(loss.reads().lengths) == len(WORDS["de"])


def test_a_steps_rows_depend_on_seed_and_step_alone(tiny_gemma, data):
    recipe = recipe_of(tiny_gemma, data)
    first, second = (AlignmentLoss(setup_of(recipe), SCORED) for _ in range(2))
    drawn = [first.of_step(step)._own.input_ids for step in range(1, 13)]
    again = [second.of_step(step)._own.input_ids for step in reversed(range(1, 13))][::-1]
    assert all(torch.equal(one, other) for one, other in zip(drawn, again, strict=True))
    assert len({ids.numpy().tobytes() for ids in drawn}) > 6
    other_seed = AlignmentLoss(setup_of(recipe.model_copy(update={"seed": 1})), SCORED)
    differing = [not torch.equal(ids, other_seed.of_step(n)._own.input_ids) for n, ids in enumerate(drawn, 1)]
    assert any(differing)


def test_the_penalty_is_the_distance_of_the_moments_and_moves_the_pulled_language_alone(tiny_gemma, data):
    recipe = recipe_of(tiny_gemma, data, alignment_loss={"weight": 0.5, "languages": ["de"]})
    setup = setup_of(recipe)
    model = build_model(recipe, setup.tokenizer, CPU)
    penalty = AlignmentLoss(setup, SCORED).of_step(3)
    value = penalty(model)
    with torch.no_grad():
        own, target = (
            model.readout_states(batch.input_ids, batch.rows, batch.columns).double().numpy()
            for batch in (penalty._own, penalty._target)
        )
    apart = (own.mean(0) - target.mean(0)) / target.std(0)
    wider = np.log(own.std(0) / target.std(0))
    assert value.item() == pytest.approx(0.5 * ((apart**2).mean() + (wider**2).mean()), rel=1e-4)
    assert penalty.distance.item() == pytest.approx(2 * value.item())

    value.backward()
    # As if the training language's states were numbers.
    given = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    states = model(penalty._own.input_ids, penalty._own.rows, penalty._own.columns, only_states=True).double()
    mean, deviation = torch.from_numpy(target.mean(0)), torch.from_numpy(target.std(0))
    ratio = (states.std(dim=0, correction=0) / deviation).log()
    (0.5 * (((states.mean(dim=0) - mean) / deviation).square().mean() + ratio.square().mean())).backward()
    assert given
    for name, gradient in given.items():
        torch.testing.assert_close(model.get_parameter(name).grad, gradient, rtol=1e-3, atol=1e-6)


def test_processes_that_share_a_step_add_up_to_one(tiny_gemma, data):
    recipe = recipe_of(tiny_gemma, data)
    setup = setup_of(recipe)
    model = build_model(recipe, setup.tokenizer, CPU)
    whole = AlignmentLoss(setup, SCORED).of_step(1)
    halves = setup_of(recipe, replace(Processes(), size=2))
    with pytest.MonkeyPatch.context() as patch:  # the second process is not there to be waited for
        patch.setattr(Processes, "first_alone", lambda self: io.StringIO())
        half = AlignmentLoss(halves, SCORED).of_step(1)
    assert 2 * half(model).item() == pytest.approx(whole(model).item())
    assert half.distance.item() == pytest.approx(whole.distance.item())


@pytest.mark.parametrize(("method", "rate"), [("prompt", 0.3), ("finetune", 3e-3), ("lora", 1e-2)])
def test_it_pulls_languages_together(method, rate, tiny_gemma, data):
    recipe = recipe_of(tiny_gemma, data, method=method, alignment_loss={"languages": ["de"]})
    setup = setup_of(recipe)
    model = build_model(recipe, setup.tokenizer, CPU)
    loss = AlignmentLoss(setup, SCORED)
    engine = TorchEngine(model, OptimizerSettings(learning_rate=rate), CPU, Processes())
    nothing = replace(small_steps(1)[0], micro_batches=[])
    distances = []
    for step in range(1, 61):
        penalty = loss.of_step(step)
        engine.step(nothing, 1.0, penalty)
        distances.append(penalty.distance.item())
    assert np.mean(distances[-15:]) < 0.8 * np.mean(distances[:15])


def test_a_run_logs_the_distance_and_the_text_and_is_charged_for_both(tiny_gemma, data, store, own_cache):
    run = run_of(recipe_of(tiny_gemma, data), store)
    plain = run_of(recipe_of(tiny_gemma, data, alignment_loss={"weight": 0}), store)
    client = mlflow.MlflowClient(tracking_uri=store_uri(store))
    found = client.get_run(run.run_id)
    assert found.data.metrics["train/alignment_distance"] > 0
    assert found.data.params["alignment_loss.weight"] == "1.0"
    contexts = {tag.value for each in found.inputs.dataset_inputs for tag in each.tags}
    assert {"unlabelled-de", "unlabelled-sw", "unlabelled-en"} <= contexts
    without = client.get_run(plain.run_id)
    assert "train/alignment_distance" not in without.data.metrics
    assert run.cost.flops > 1.5 * plain.cost.flops
    assert run.cost.flops == pytest.approx(run.estimate.flops, rel=0.01)
    again = run_of(recipe_of(tiny_gemma, data), store)
    assert again.report.to_dict() == run.report.to_dict()
    assert again.fit.curve == run.fit.curve


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    tiny_gemma, data, tmp_path, store, own_cache, monkeypatch
):
    recipe = recipe_of(tiny_gemma, data, schedule={"checkpoint_every": 3})
    whole = run_of(recipe, store)
    of_step = AlignmentLoss.of_step

    def stop_at_6(self, step):
        if step == 6:
            raise KeyboardInterrupt
        return of_step(self, step)

    monkeypatch.setattr(AlignmentLoss, "of_step", stop_at_6)
    with pytest.raises(KeyboardInterrupt):
        run_of(recipe, store)
    monkeypatch.undo()
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "cache"))
    resumed = run_of(recipe, store, resume=LATEST)
    assert resumed.fit.curve == whole.fit.curve
    assert resumed.report.to_dict() == whole.report.to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "head"}, "method 'head' trains nothing that moves hidden states"),
        ({"alignment_loss": {"languages": ["de", "en"]}}, "'en' is trained on"),
        ({"alignment_loss": {"languages": ["de", "de"]}}, "name each language once"),
        ({"schedule": {"token_budget": 100}}, "two of the longest rows"),
    ],
)
def test_what_cannot_be_is_refused_with_the_key(changes, message, tiny_gemma, data):
    with pytest.raises(RecipeError, match=message):
        recipe_of(tiny_gemma, data, **changes)


def test_a_language_without_text_is_named(tiny_gemma, data):
    recipe = recipe_of(tiny_gemma, data, alignment_loss={"languages": ["de", "hi"]})
    with pytest.raises(RunError, match="has none of 'hi'"):
        AlignmentLoss(setup_of(recipe), SCORED)
    with pytest.raises(RunError, match="none of a language that is scored"):
        AlignmentLoss(setup_of(recipe_of(tiny_gemma, data)), ["en", "hi"])


def test_deepspeed_takes_the_same_steps(tiny_gemma, data):
    recipe = recipe_of(tiny_gemma, data, method="finetune", alignment_loss={"weight": 2.0})
    setup = setup_of(recipe)
    loss = AlignmentLoss(setup, SCORED)
    norms = {}
    for kind in (TorchEngine, DeepSpeedEngine):
        model = small_model(tiny_gemma, dtype="float32")
        engine = kind(model, OptimizerSettings(learning_rate=1e-3), CPU, Processes())
        norms[kind] = [
            engine.step(step, 1.0, loss.of_step(n))[1].item() for n, step in enumerate(small_steps(4), 1)
        ]
        engine.close()
    assert norms[DeepSpeedEngine] == pytest.approx(norms[TorchEngine], rel=1e-4)

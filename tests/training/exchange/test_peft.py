"""Runs leave the store for PEFT and come back; what PEFT has trained becomes a run that predicts alike."""

import io
import re
import shutil
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from peft import LoraConfig, PrefixTuningConfig, TaskType, get_peft_config
from peft_models import classifier_trained_by_peft, trained_by_peft, with_window
from rich.console import Console
from small import tiny_recipe, write_data
from tiny import make_qwen
from torch.testing import assert_close
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from xlprompt.data import TASKS
from xlprompt.data.sources.unlabeled import typed_rows
from xlprompt.models import ModelError, load_tokenizer
from xlprompt.training import (
    CheckpointError,
    RecipeError,
    RunError,
    evaluate,
    find_checkpoint,
    load_checkpoint,
    predict,
    store_uri,
    train,
)
from xlprompt.training.exchange.peft_export import export_to_peft
from xlprompt.training.exchange.peft_import import import_from_peft
from xlprompt.training.inputs.preparation import build_model
from xlprompt.training.recipes.recipe import recipe_from_dict, recipe_to_dict
from xlprompt.training.store.checkpoint import CheckpointMetadata, save_checkpoint
from xlprompt.training.store.database import find_artifacts, find_model
from xlprompt.training.store.recipe_file import stored_recipe

pytestmark = pytest.mark.integration

PAIRS = [("woman reads book", "the man"), ("red train", "station outside walks"), ("mtu", "Zug geht")]
LABELS = TASKS["xnli"].labels


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def tiny_qwen(tmp_path_factory):
    return make_qwen(tmp_path_factory.mktemp("models") / "qwen")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, empty_store):
    return Path(shutil.copytree(empty_store, tmp_path_factory.mktemp("runs") / "mlruns"))


@pytest.fixture(scope="module")
def trained(tiny_xglm, data, runs):
    """A run of a prompt in all layers."""
    return train(tiny_recipe("xnli", tiny_xglm, data), store=runs, console=quiet())


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    return export_to_peft(load_checkpoint(trained.checkpoint), tmp_path_factory.mktemp("out") / "adapter")


def probabilities(checkpoint, pairs=PAIRS):
    rows = [row for pair in pairs for row in typed_rows(TASKS["xnli"], pair)]
    predicted = predict(checkpoint, rows, device="cpu")
    return torch.tensor([[each.answers[0].probabilities[name] for name in LABELS] for each in predicted.rows])


def logits_here(checkpoint, ids):
    recipe = recipe_from_dict(dict(checkpoint.metadata.recipe), origin="test")
    model = build_model(recipe, load_tokenizer(recipe.model), torch.device("cpu")).eval()
    model.load_trainable_state(checkpoint.state)
    with torch.no_grad():
        return model(ids, torch.zeros(ids.shape[1], dtype=torch.long), torch.arange(ids.shape[1]))


def code_of_readme(folder):
    return re.search("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]


def logits_by_readme(folder, ids):
    """What PEFT's own model of an export gives, by the code in its README."""
    known = {"ids": ids, "mask": torch.ones_like(ids)}
    with torch.no_grad():
        exec(code_of_readme(folder).replace('folder = "."', f"folder = {str(folder)!r}"), known)
    return known["logits"][0]


def test_the_code_of_an_exports_readme_gives_the_runs_logits(exported, trained):
    ids = torch.tensor([[2, 30, 31, 2, 2, 40, 41, 42, 2]])
    ours = logits_here(load_checkpoint(trained.checkpoint), ids)
    assert_close(logits_by_readme(exported.folder, ids), ours, atol=1e-6, rtol=0)
    assert len(code_of_readme(exported.folder).split("folder =")[1].splitlines()) == 5
    assert exported.difference < 1e-5


def test_an_exported_run_comes_back_with_its_recipe_scores_and_answers(exported, trained, store):
    back = import_from_peft(exported.folder, store=store, console=quiet(), device="cpu")
    assert back.recipe == recipe_from_dict(load_checkpoint(trained.checkpoint).metadata.recipe, origin="")
    assert back.scores.report.metrics() == trained.report.metrics()
    first, second = load_checkpoint(trained.checkpoint), load_checkpoint(back.checkpoint)
    assert torch.equal(probabilities(first), probabilities(second))
    assert first.metadata.score == pytest.approx(second.metadata.score)


def test_an_export_belongs_to_its_backbone(exported, tiny_gemma, tmp_path, tiny_xglm):
    from tiny import make_xglm

    other = make_xglm(tmp_path / "xglm", seed=1)
    with pytest.raises(CheckpointError, match="was exported for"):
        import_from_peft(exported.folder, store=tmp_path / "m", console=quiet(), model=str(other))


def test_an_exports_changed_head_is_refused(exported, tmp_path):
    copy = Path(shutil.copytree(exported.folder, tmp_path / "adapter"))
    head = copy / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-1] + b"\1")
    with pytest.raises(CheckpointError, match="not the ones that were saved"):
        import_from_peft(copy, store=tmp_path / "m", console=quiet())


def test_only_an_earlier_export_is_replaced(trained, exported, tmp_path):
    checkpoint = load_checkpoint(trained.checkpoint)
    assert export_to_peft(checkpoint, exported.folder).folder == exported.folder
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("words")
    with pytest.raises(RunError, match="something else"):
        export_to_peft(checkpoint, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()
    for name in ("adapter_config.json", "adapter_model.safetensors"):  # which PEFT writes, too
        shutil.copy(exported.folder / name, tmp_path / "mine")
    with pytest.raises(RunError, match=r"something else \(no xlprompt\.json in it\)"):
        export_to_peft(checkpoint, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()
    repository = Path(shutil.copytree(exported.folder, tmp_path / "cloned"))
    (repository / ".git").mkdir()
    with pytest.raises(RunError, match="a git repository"):
        export_to_peft(checkpoint, repository)


def classifier(base, folder):
    """With random weights."""
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=3, target_modules=["q_proj", "o_proj"], lora_alpha=6)
    return trained_by_peft(AutoModelForSequenceClassification, base, config, folder, num_labels=3)


@pytest.fixture(scope="module")
def wide_gemma(tiny_gemma, tmp_path_factory):
    """All of a text sees PEFT's prefix."""
    return with_window(tiny_gemma, 64, tmp_path_factory.mktemp("models") / "gemma")


# Each method in the words of PEFT's example. XGLM's heads and projections PEFT does not find by itself.
LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "lora_dropout": 0.1}
PREFIX, PROMPT = ({"peft_type": kind, "num_virtual_tokens": 4} for kind in ("PREFIX_TUNING", "PROMPT_TUNING"))


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("tiny_xglm", {**PREFIX, "num_attention_heads": 4}),
        ("wide_gemma", PREFIX),
        ("tiny_llama", LORA),
        ("tiny_qwen", PROMPT),
    ],
)
def test_a_classifier_that_peft_has_trained_predicts_here_as_there_and_goes_back(
    family, options, new_store, tmp_path, request
):
    base = request.getfixturevalue(family)
    config = get_peft_config({**options, "task_type": "SEQ_CLS"})
    model, folder = classifier_trained_by_peft(base, config, tmp_path / "adapter", PAIRS, [0, 1, 2])
    rows = [AutoTokenizer.from_pretrained(base)(*pair, return_tensors="pt") for pair in PAIRS]
    with torch.no_grad():  # one by one: behind a soft prompt PEFT reads the padding of a batch
        expected = torch.cat([model(**row).logits for row in rows])
    overrides = {"task": "xnli", "encoding.max_length": 64 - 4}
    imported = import_from_peft(folder, store=new_store, console=quiet(), overrides=overrides, device="cpu")
    checkpoint, _ = find_checkpoint(imported.run_id, new_store)
    ours = torch.stack([logits_here(checkpoint, row["input_ids"])[-1] for row in rows])
    assert_close(ours, expected, atol=1e-6, rtol=1e-6)
    assert_close(probabilities(checkpoint), expected.softmax(-1), atol=2e-6, rtol=0)  # from texts
    out = export_to_peft(checkpoint, tmp_path / "back")
    back = torch.stack([logits_by_readme(out.folder, row["input_ids"])[-1] for row in rows])
    assert_close(back, expected, atol=1e-6, rtol=1e-6)
    assert "in this order" in imported.notes[0]
    assert ("padding in shorter rows" in imported.notes[-1]) == (options is PROMPT)


def test_an_imported_run_is_one_like_any_other(tiny_qwen, data, tmp_path, store):
    _, folder = classifier(tiny_qwen, tmp_path / "adapter")
    overrides = {"task": "xnli", "data.source": str(data), "seed": 7}
    imported = import_from_peft(folder, store=store, console=quiet(), overrides=overrides, device="cpu")
    run = MlflowClient(store_uri(store)).get_run(imported.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["origin"] == "peft"
    assert run.data.params["method"] == "lora"
    assert run.data.params["seed"] == "7"
    assert {"test/accuracy/en", "test/accuracy/mean_zero_shot", "best/accuracy"} <= run.data.metrics.keys()
    assert (find_model(store, imported.run_id).directory / "MLmodel").is_file()  # MLflow can serve it, too
    assert stored_recipe(find_artifacts(store, imported.run_id), imported.run_id) == imported.recipe
    with pytest.raises(RunError, match="does not say which data its predictions are of"):
        stored_recipe(tmp_path, imported.run_id)
    again = evaluate(imported.run_id, store=store, console=quiet(), device="cpu")
    assert again.report.metrics() == imported.scores.report.metrics()


def test_labels_in_another_order_are_put_into_the_tasks(tiny_qwen, data, store, tmp_path):
    _, folder = classifier(tiny_qwen, tmp_path / "adapter")
    found = {}
    for order in (LABELS, LABELS[::-1]):
        imported = import_from_peft(
            folder, store=store, console=quiet(), overrides={"task": "xnli"}, labels=order, device="cpu"
        )
        assert imported.scores is None  # without data
        found[order] = probabilities(load_checkpoint(imported.checkpoint))
    assert_close(found[LABELS], found[LABELS[::-1]].flip(1))
    for wrong, said in ((("yes", "no"), "yes,no"), ("yes", "yes")):
        with pytest.raises(RunError, match=f"--labels {said}: name each label of xnli once"):
            import_from_peft(folder, store=store, console=quiet(), overrides={"task": "xnli"}, labels=wrong)


def test_a_classifier_without_its_head_is_refused(tiny_xglm, tmp_path, store):
    # XGLM has no class with a head for PEFT to train: it wraps the bare model, and does not say so.
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS")
    _, folder = trained_by_peft(AutoModel, tiny_xglm, config, tmp_path / "adapter")
    with pytest.raises(RunError, match=r"SEQ_CLS.*holds no classifier.*score"):
        import_from_peft(folder, store=store, console=quiet(), overrides={"task": "xnli"})


def test_without_a_classifier_labels_are_read_as_the_next_token(tiny_xglm, tmp_path, store):
    config = PrefixTuningConfig(num_virtual_tokens=3, num_attention_heads=4, task_type="CAUSAL_LM")
    model, folder = trained_by_peft(AutoModelForCausalLM, tiny_xglm, config, tmp_path / "adapter")
    overrides = {"task": "xnli", "encoding.max_length": 64}
    imported = import_from_peft(folder, store=store, console=quiet(), overrides=overrides, device="cpu")
    assert imported.recipe.head.kind == "verbalizer"
    assert "read as the next token" in imported.notes[0]
    ids = torch.tensor([[2, 30, 31, 2, 2, 40, 41, 42, 2]])
    words = build_model(imported.recipe, load_tokenizer(str(tiny_xglm)), torch.device("cpu")).head.weight
    embedding = model.get_base_model().get_input_embeddings().weight
    tokens = [int((embedding == row).all(-1).nonzero()[0]) for row in words]
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, :, tokens]
    ours = logits_here(load_checkpoint(imported.checkpoint), ids)
    assert_close(ours, expected, atol=1e-6, rtol=1e-6)


def test_what_an_adapter_does_not_say_is_asked_for(tiny_qwen, tiny_llama, tmp_path, store):
    _, folder = classifier(tiny_qwen, tmp_path / "adapter")
    with pytest.raises(RecipeError, match="--task"):
        import_from_peft(folder, store=store, console=quiet())
    with pytest.raises(RunError, match="its head has 3 labels"):
        import_from_peft(folder, store=store, console=quiet(), overrides={"task": "pawsx"})
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="FEATURE_EXTRACTION")
    _, bare = trained_by_peft(AutoModel, tiny_llama, config, tmp_path / "bare")
    with pytest.raises(ModelError, match="is not its input embedding.*with PEFT, task_type SEQ_CLS"):
        import_from_peft(bare, store=store, console=quiet(), overrides={"task": "xnli"})
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        import_from_peft(tmp_path, store=store, console=quiet())


def untrained(recipe, folder):
    """A checkpoint of the recipe's model as it starts."""
    model = build_model(recipe, load_tokenizer(recipe.model), torch.device("cpu"))
    metadata = CheckpointMetadata(
        recipe=recipe_to_dict(recipe),
        backbone=recipe.model,
        backbone_fingerprint=model.backbone.fingerprint,
        task=recipe.task,
        labels=TASKS[recipe.task].labels,
        budget=model.budget().to_dict(),
        step=0,
        metric="accuracy",
        score=0.0,
    )
    save_checkpoint(folder, model.trainable_state(), metadata)
    return load_checkpoint(folder)


def test_text_beyond_peft_s_sight_is_told(tiny_gemma, data, tmp_path, store):
    recipe = tiny_recipe("xnli", tiny_gemma, data)
    out = export_to_peft(untrained(recipe, tmp_path / "four slots"), tmp_path / "adapter")
    assert "Rows of more than 4 tokens differ" in out.notes[0]
    assert out.notes[0] in (out.folder / "README.md").read_text()
    back = import_from_peft(out.folder, store=store, console=quiet(), overrides={"data.source": None})
    assert "Rows of more than 4 tokens are scored otherwise" in back.notes[0]
    longer = tiny_recipe("xnli", tiny_gemma, data, prompt={"length": 8})
    with pytest.raises(RunError, match="out of every text's sight"):
        export_to_peft(untrained(longer, tmp_path / "eight slots"), tmp_path / "other")


def test_a_prefix_out_of_every_texts_sight_is_refused(tiny_gemma, tmp_path, store):
    config = PrefixTuningConfig(num_virtual_tokens=8, task_type="CAUSAL_LM")  # the window is 8
    _, folder = trained_by_peft(AutoModelForCausalLM, tiny_gemma, config, tmp_path / "adapter")
    overrides = {"task": "xnli", "encoding.max_length": 64}
    with pytest.raises(RunError, match="a sliding window no longer than the prefix"):
        import_from_peft(folder, store=store, console=quiet(), overrides=overrides, device="cpu")


ROWS_TOLD = {
    "pos": "A row is the ids [2] and the words' tokens",
    "xquad": "A row is [2] question [2, 2] context: ids around",
    "xcopa": "An example is 2 rows: [2] premise [2, 2] question [2, 2] choice1 [2]; "
    "[2] premise [2, 2] question [2, 2] choice2 [2]: ids around",
}


@pytest.mark.parametrize("task", ["pos", "xquad", "xcopa"])
def test_every_kind_of_task_can_leave_and_come_back(task, tiny_xglm, tmp_path, store):
    recipe = tiny_recipe(task, tiny_xglm, tmp_path, method="ia3", data={"source": None})
    out = export_to_peft(untrained(recipe, tmp_path / "checkpoint"), tmp_path / "adapter")
    text = (out.folder / "README.md").read_text()
    assert TASKS[task].kind.read_at in text
    assert ROWS_TOLD[task] in text
    back = import_from_peft(out.folder, store=store, console=quiet(), device="cpu")
    assert back.recipe == recipe

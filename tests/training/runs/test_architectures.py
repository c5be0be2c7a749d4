"""Every architecture, with a tokenizer of its own kind, trains by every method that applies and is scored."""

import copy
import functools
import io
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import architectures
import pytest
import torch
import transformers
from architectures import ARCHITECTURES, METHODS, REFUSED, make_architecture, refusals
from rich.console import Console
from small import tiny_recipe, write_data

from xlprompt.data import TASKS
from xlprompt.data.encoding.batches import TrainingStep, training_steps
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.sources import open_source
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation import predict
from xlprompt.evaluation.processes import Processes
from xlprompt.models import (
    Backbone,
    HeadSettings,
    Method,
    ModelError,
    TaskModel,
    build_task_model,
    load_backbone,
    load_tokenizer,
    parameter_budget,
)
from xlprompt.models.pretrained.examination import examine_config
from xlprompt.training import evaluate, train
from xlprompt.training.fitting.engine import TorchEngine
from xlprompt.training.inputs.preparation import pad_id_of
from xlprompt.training.recipes.recipe import OptimizerSettings, recipe_to_dict
from xlprompt.training.store.checkpoint import (
    CheckpointMetadata,
    load_checkpoint,
    model_files,
    restore,
    save_checkpoint,
)

CPU = torch.device("cpu")
DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "architectures.md"
INSTEAD = {"prompt hidden": "Take the scheme layers, input or both", "bitfit": "Set bitfit.add to true"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @functools.cache
    def make(name: str) -> Path:
        return make_architecture(name, tmp_path_factory.mktemp("architecture"))

    return make


class Trial:
    """An architecture's model and tokenizer, and one task's rows encoded by it."""

    def __init__(self, folder: Path, data: Path, task: str, backbone: Backbone) -> None:
        self.folder, self.task, self._data, self.backbone = folder, TASKS[task], data, backbone
        self.tokenizer = load_tokenizer(str(folder))
        self.pad_id = pad_id_of(self.tokenizer, backbone.vocab_size)
        self._source = open_source(str(data))
        self.train, self.test = self._encoded("en", "train"), self._encoded("de", "test")

    def _encoded(self, language: str, split: str) -> Encoded:
        rows = self._source.load(self.task, language, split)
        return encode(rows, self.task, self.tokenizer, EncodingSettings(max_length=64), language=language)

    def model(self, method: Method, seed: int = 0) -> TaskModel:
        return build_task_model(
            copy.deepcopy(self.backbone),
            self.tokenizer,
            num_labels=len(self.task.labels),
            method=method,
            head=HeadSettings(),
            seed=seed,
        ).train()

    def steps(self, number: int) -> list[TrainingStep]:
        return list(
            islice(
                training_steps(self.train, batch_size=4, token_budget=256, seed=0, pad_id=self.pad_id), number
            )
        )

    def answers(self, model: TaskModel) -> tuple[list[int], float]:
        found = predict(model, self.test, token_budget=1024, pad_id=self.pad_id, device=CPU)
        return list(found.labels), found.loss

    def metadata(self, model: TaskModel) -> CheckpointMetadata:
        return CheckpointMetadata(
            recipe=recipe_to_dict(tiny_recipe(self.task.name, self.folder, self._data)),
            backbone=str(self.folder),
            backbone_fingerprint=model.backbone.fingerprint,
            task=self.task.name,
            labels=self.task.labels,
            budget=model.budget().to_dict(),
            step=2,
            metric="accuracy",
            score=50.0,
        )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_trains_by_every_method_that_applies_and_its_checkpoint_gives_the_same_answers(
    name: str, folder_of: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    folder = folder_of(name)
    backbone = load_backbone(str(folder), dtype="float32")
    trials = [Trial(folder, data, task, backbone) for task in ("xnli", "pos")]
    for number, method in enumerate(method for method in METHODS if method not in refusals(name)):
        trial = trials[number % 2]
        first, second = trial.steps(2)
        model = trial.model(METHODS[method])
        before = {path: one.detach().clone() for path, one in model.named_parameters() if one.requires_grad}
        engine = engine_of(model)
        engine.step(first, 1.0)
        state = {path: tensor.clone() for path, tensor in engine.state().items()}
        loss, norm = engine.step(second, 1.0)
        assert torch.isfinite(loss), method
        assert 0 < norm < 1000, method
        after = dict(model.named_parameters())
        assert any(not torch.equal(after[path], start) for path, start in before.items()), method
        expected = model.trainable_state()

        other = trial.model(METHODS[method], seed=1)
        later = engine_of(other)
        later.load_state(state)
        later.step(second, 1.0)
        resumed = other.trainable_state()
        assert all(torch.equal(expected[path], resumed[path]) for path in expected), method

        later.step(first, 1.0)  # away from it, so that the checkpoint has to bring it back
        files = model_files(model, trial.tokenizer)
        save_checkpoint(tmp_path / method, engine.weights(), trial.metadata(model), model_files=files)
        restore(load_checkpoint(tmp_path / method), other, backbone_fingerprint=backbone.fingerprint)
        assert trial.answers(other) == trial.answers(model), method
        if method == "finetune":  # whose checkpoint is a model folder of its own
            alone = load_backbone(str(tmp_path / method), dtype="float32").eval()
            ids = torch.arange(4, 14)[None]
            with torch.no_grad():
                assert torch.equal(alone(ids), model.eval().backbone(ids))


def engine_of(model: TaskModel) -> TorchEngine:
    return TorchEngine(model, OptimizerSettings(learning_rate=1e-2), CPU, Processes())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_a_method_has_no_place_for_is_refused_beforehand_with_what_would_work(
    name: str, folder_of: Callable[[str], Path]
) -> None:
    for method, said in refusals(name).items():
        assert INSTEAD[method] in said
        with pytest.raises(ModelError) as caught:
            parameter_budget(str(folder_of(name)), num_labels=3, method=METHODS[method])
        assert str(caught.value).replace(str(folder_of(name)), name) == said


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_take_prompts_is_refused_before_anything_is_loaded(name: str) -> None:
    kind, values, _, said = REFUSED[name]
    with pytest.raises(ModelError, match=said):
        examine_config(getattr(transformers, f"{kind}Config")(**values), name=name)


def test_the_table_in_the_docs_is_that_of_these_tests() -> None:
    text = DOCS.read_text(encoding="utf-8")
    told = "make it again: python tests/support/architectures.py"
    assert architectures.table() in text, told


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("BLOOM", "xnli"),
        pytest.param("GPT-2", "pos", marks=pytest.mark.slow),
        pytest.param("OPT, narrow embedding", "pos", marks=pytest.mark.slow),
        pytest.param("Falcon, multi-query", "xnli", marks=pytest.mark.slow),
    ],
)
def test_a_run_scores_the_same_again_from_its_checkpoint(
    name: str, task: str, folder_of: Callable[[str], Path], data: Path, store: Path
) -> None:
    recipe = tiny_recipe(
        task,
        folder_of(name),
        data,
        data={"languages": ["en", "de"]},
        prompt={"init": "text"},
        precision="bfloat16",
        schedule={"steps": 4, "evaluate_every": 2},
        evaluation={"language_model_rows": 4},
    )
    console = Console(file=io.StringIO(), width=100)
    result = train(recipe, store=store, console=console)
    again = evaluate(str(result.checkpoint), store=store, console=console)
    assert again.report.metrics() == result.report.metrics()

"""A model of a few parameters that learns in a blink, and data for it."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import Tensor, nn

from xlprompt.data import TASKS
from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.training.recipes.recipe import Recipe

VOCABULARY = 30


class FakeTaskModel(nn.Module):
    """Has a task model's interface: frozen embeddings, a trained shift as the prompt, a head."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("embedding", torch.randn(VOCABULARY, 32, generator=generator))
        self.prompt = nn.Parameter(torch.zeros(32))
        self.head = nn.Linear(32, num_labels)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(num_labels, 32, generator=generator) * 0.1)
            self.head.bias.zero_()

    def forward(
        self, input_ids: Tensor, rows: Tensor, columns: Tensor, *, tree: Tensor | None = None
    ) -> Tensor:
        return self.head(torch.tanh(self.embedding[input_ids[rows, columns]] + self.prompt))

    method = "prompt"
    reads_trees = trains_on_trees = True

    def undecayed_parameters(self) -> list[nn.Parameter]:
        return [self.prompt]

    def adapter_parameters(self) -> list[nn.Parameter]:
        return []

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def backbone_parameters(self) -> list[nn.Parameter]:
        return []

    def kept_parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.named_parameters())

    def trainable_state(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.named_parameters()}

    def load_trainable_state(self, state: dict[str, Tensor]) -> None:
        self.load_state_dict(state, strict=False)


def make_encoded(task_name: str, *, examples: int, seed: int) -> Encoded:
    """Rows of 3 to 12 tokens whose labels are a function of the token that is read."""
    task = TASKS[task_name]
    random = np.random.default_rng(seed)
    rows: dict[str, list] = {"input_ids": [], "readouts": [], "labels": [], "example": [], "words": []}
    for example in range(examples):
        ids = random.integers(0, VOCABULARY, size=random.integers(3, 13)).tolist()
        readouts = [len(ids) - 1] if not task.kind.by_word else list(range(len(ids)))
        rows["input_ids"].append(ids)
        rows["readouts"].append(readouts)
        rows["labels"].append([ids[column] % len(task.labels) for column in readouts])
        rows["example"].append(example)
        rows["words"].append(list(range(len(readouts))))
    return Encoded(
        task=task,
        settings=EncodingSettings(max_length=16),
        dataset=Dataset.from_dict(rows),
        table=Dataset.from_dict({"id": list(map(str, range(examples)))}),
        truncated=0,
        fingerprint=f"{task_name}-{seed}",
    )


def make_recipe(task: str = "xnli", **changes: object) -> Recipe:
    """A recipe for the fake model; `changes` go into its sections by name."""
    values: dict = {
        "task": task,
        "model": "fake",
        "precision": "float32",
        "encoding": {"max_length": 16},
        "optimizer": {"learning_rate": 0.05},
        "schedule": {"steps": 60, "batch_size": 8, "token_budget": 200, "evaluate_every": 10},
    }
    for section, value in changes.items():
        values[section] = {**values.get(section, {}), **value} if isinstance(value, dict) else value
    return Recipe.model_validate(values)


@pytest.fixture
def fake_model() -> type[FakeTaskModel]:
    return FakeTaskModel


@pytest.fixture
def encoded():
    return make_encoded


@pytest.fixture
def recipe():
    return make_recipe

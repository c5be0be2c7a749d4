"""Which languages a served model is offered in."""

from types import SimpleNamespace

import pytest

from xlprompt.data import Task, task
from xlprompt.data.tasks.own import TaskDefinition
from xlprompt.training.recipes.data_settings import DataSettings
from xlprompt.training.serving.shelf import Served

OWN = TaskDefinition(
    kind="classification", fields=("text", "label"), labels=("food", "sport"), metrics=("accuracy",)
).task("topics")


def served(of: Task, *scored: str, **data: object) -> Served:
    predictor = SimpleNamespace(task=of, recipe=SimpleNamespace(data=DataSettings(**data)))
    return Served("a-run", "0" * 32, predictor, scored)


@pytest.mark.parametrize(
    ("scored", "data", "expected"),
    [
        (("en", "de", "pl"), {}, ("en", "de", "pl")),
        (("en", "de"), {"train_language": "pl", "also_train_on": ("sw",)}, ("pl", "sw", "en", "de")),
        ((), {"languages": ("de", "ha")}, ("en", "de", "ha")),  # a folder says what its recipe names
        ((), {"languages": "study"}, ("en",)),
    ],
)
def test_an_own_task_is_offered_in_what_it_was_trained_on_and_scored_in(scored, data, expected):
    assert served(OWN, *scored, **data).languages == expected


def test_a_bundled_task_is_offered_in_all_its_languages_and_the_others_that_were_scored():
    found = served(task("pawsx"), "en", "sw", train_language="de").languages
    assert found[0] == "de"
    assert found[-1] == "sw"
    assert sorted(found) == sorted({*task("pawsx").languages, "sw"})

"""Which sets a run reads once, and keeps the states of, instead of reading them every epoch.

Where nothing below the head trains and nothing is dropped out, a row's states are the same in every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.answers.known_states import states_bytes
from xlprompt.models import TaskModel
from xlprompt.training.recipes.recipe import Recipe

if TYPE_CHECKING:
    from xlprompt.training.alignment.loss import AlignmentLoss

MOST_BYTES = 2**30
"""States of a set that take more are computed again each time: a million read-outs of 512 units."""


@dataclass(frozen=True)
class ReadOnce:
    """Which sets are read once.

    Attributes:
        train: The training set.
        development: The development set.
        bytes: Memory that their states take.
    """

    train: bool = False
    development: bool = False
    bytes: int = 0


def what_is_read_once(
    model: TaskModel,
    recipe: Recipe,
    train: Encoded,
    development: Encoded,
    alignment: AlignmentLoss | None = None,
) -> ReadOnce:
    """What is read once: what would be read more often, and whose states have room.

    Args:
        model: The task model.
        recipe: Of which the schedule and the backbone's dropout matter.
        train: The training set.
        development: The development set.
        alignment: What is added to the loss; it reads rows of its own.
    """
    below = recipe.method_settings.needs_backward or recipe.backbone_dropout != "off"
    if below or alignment is not None:
        return ReadOnce()
    schedule = recipe.schedule
    sizes = states_bytes(model, train), states_bytes(model, development)
    often = schedule.steps * schedule.batch_size > train.sequences, schedule.steps > schedule.evaluate_every
    of_train, of_development = (
        again and size <= MOST_BYTES for again, size in zip(often, sizes, strict=True)
    )
    return ReadOnce(of_train, of_development, of_train * sizes[0] + of_development * sizes[1])

"""What training made a model forget: the language-model loss of each test language before and after it.

Before is the backbone alone, after is all that was trained in its place. With a prompt, or whatever else can
be taken off again, the loss rises only as long as it is there; fine-tuned weights stay changed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from xlprompt.evaluation.answers.language_model import language_model_loss
from xlprompt.models import TaskModel
from xlprompt.training.fitting.engine import Engine
from xlprompt.training.inputs.preparation import Setup, load_split
from xlprompt.training.store.metric_names import LOSS_AFTER, LOSS_BEFORE, LOSS_CHANGE, MEAN, MEAN_ZERO_SHOT

Losses = dict[str, float]


def losses_by_language(
    setup: Setup, model: TaskModel, languages: Sequence[str], *, engine: Engine | None = None
) -> Losses:
    """Nats a token in the first test rows of each language.

    Args:
        setup: The run's.
        model: The run's.
        languages: The test languages.
        engine: What has trained the model; None before training, when the backbone is measured alone.

    Returns:
        By language; empty where the recipe or the backbone leaves it out.
    """
    settings = setup.recipe.evaluation
    if not settings.language_model_rows or not model.backbone.has_token_logits:
        return {}
    losses = {}
    for language in languages:
        with setup.processes.first_alone():
            encoded = load_split(setup, language, "test").encoded
        losses[language] = language_model_loss(
            model,
            encoded,
            rows=settings.language_model_rows,
            token_budget=settings.token_budget,
            device=setup.device,
            prompted=engine is not None,
            processes=setup.processes,
            whole=engine.whole if engine else None,
        )
    return losses


def forgetting_metrics(before: Losses, after: Losses, trained: Collection[str]) -> dict[str, float]:
    """Metrics for the tracker: both losses and their difference by language, and the mean differences.

    Args:
        before: Losses before training.
        after: Losses after it.
        trained: The languages trained on, which are not in the zero-shot mean.
    """
    if not before:
        return {}
    change = {language: after[language] - loss for language, loss in before.items()}
    metrics = {LOSS_BEFORE + language: loss for language, loss in before.items()}
    metrics |= {LOSS_AFTER + language: loss for language, loss in after.items()}
    metrics |= {LOSS_CHANGE + language: value for language, value in change.items()}
    metrics[LOSS_CHANGE + MEAN] = sum(change.values()) / len(change)
    others = [value for language, value in change.items() if language not in trained]
    if others:
        metrics[LOSS_CHANGE + MEAN_ZERO_SHOT] = sum(others) / len(others)
    return metrics

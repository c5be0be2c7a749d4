"""What training made a model forget: the language-model loss of each test language before and after it.

Before is the backbone alone, after is all that was trained in its place. With a prompt, or whatever else can
be taken off again, the loss rises only as long as it is there; fine-tuned weights stay changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.answers.language_model import language_model_loss
from xlprompt.evaluation.processes import Processes
from xlprompt.evaluation.waiting import counted
from xlprompt.training.fitting.engine import Engine
from xlprompt.training.inputs.preparation import load_split
from xlprompt.training.machine.allocator import FreedMemory
from xlprompt.training.machine.out_of_memory import out_of_memory_explained
from xlprompt.training.runs.known_figures import figure_key, keep_figure, known_figure
from xlprompt.training.runs.opened import Run
from xlprompt.training.store.metric_names import LOSS_AFTER, LOSS_BEFORE, LOSS_CHANGE, MEAN, MEAN_ZERO_SHOT

Losses = dict[str, float]

_WHAT = "language-model losses"


@out_of_memory_explained()
def losses_by_language(run: Run, *, engine: Engine | None = None) -> Losses:
    """Nats a token in the first test rows of each language.

    Args:
        run: The run.
        engine: What has trained the model; None before training, when the backbone is measured alone.

    Returns:
        By language; empty where the recipe or the backbone leaves it out.
    """
    setup, model, settings = run.setup, run.model, run.recipe.evaluation
    if not settings.language_model_rows or not model.backbone.has_token_logits:
        return {}
    # Of a backbone that nothing stands in front of and nothing has changed, they are measured once.
    untouched = engine is None or (not model.method.changes_backbone and model.prompts is None)
    losses, freed = {}, FreedMemory()
    with counted(run.console, _WHAT, len(run.languages)) as done:
        for language in run.languages:
            with setup.processes.first_alone():
                encoded = load_split(setup, language, "test").encoded
            key = _key_of(run, encoded) if untouched else None
            if key is not None and (known := _known(key, setup.processes)) is not None:
                losses[language] = known
                done()
                continue
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
            if key is not None and setup.processes.is_first:
                keep_figure("losses", key, losses[language])
            freed.stepped()
            done()
    return losses


def _known(key: str, processes: Processes) -> float | None:
    """What the first process finds, told to all, as all of them measure a loss or none does."""
    found = known_figure("losses", key) if processes.is_first else None
    told = processes.tell("" if found is None else repr(found))
    return float(told) if told else None


def _key_of(run: Run, encoded: Encoded) -> str:
    """All that the loss of the untouched backbone depends on, to its last digit."""
    backbone, settings, method = run.model.backbone, run.recipe.evaluation, run.model.method
    return figure_key(
        "losses",
        backbone=backbone.fingerprint,
        precision=str(backbone.dtype),
        # What it has put into the backbone has no effect yet, but may be computed with.
        method=method.model_dump(mode="json") | {"name": method.name} if method.changes_backbone else None,
        encoded=encoded.fingerprint,
        rows=settings.language_model_rows,
        token_budget=settings.token_budget,
        processes=run.setup.processes.size,
        machine=[run.environment.cpu, run.environment.device, torch.get_num_threads()],
        packages=run.environment.packages,
    )


def compare_losses(run: Run, before: Losses, engine: Engine, *, model_id: str | None) -> None:
    """Measure the losses again, and tell the user and the store how they have changed.

    Args:
        run: The run.
        before: Losses before training.
        engine: What has trained the model.
        model_id: The model in the store.
    """
    after = losses_by_language(run, engine=engine)
    metrics = forgetting_metrics(before, after, run.recipe.data.train_languages)
    if metrics:
        run.console.print(_in_words(metrics), highlight=False)
    run.tracker.log_metrics(metrics, model_id=model_id)


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


def _in_words(metrics: Mapping[str, float]) -> str:
    changes = {
        key.removeprefix(LOSS_CHANGE): value for key, value in metrics.items() if key.startswith(LOSS_CHANGE)
    }
    mean = changes.pop(MEAN)
    changes.pop(MEAN_ZERO_SHOT, None)
    most = max(changes, key=changes.__getitem__)
    return (
        f"Language-model loss of the test texts: {mean:+.2f} nats a token by training, "
        f"most in {most} ({changes[most]:+.2f})"
    )

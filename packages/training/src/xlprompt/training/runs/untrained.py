"""A run that trains nothing: the untouched backbone is asked about the test sets, and its answers are kept.

It stands in the store as a training run does, with no trained parameter, no development score and no
checkpoint, so that studies and reports find it beside the methods that train. No development set is read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from xlprompt.evaluation.processes import launched_processes
from xlprompt.evaluation.terminal import open_console
from xlprompt.evaluation.waiting import waiting
from xlprompt.evaluation.zeroshot.templates import template_language
from xlprompt.models import ParameterBudget, load_tokenizer, weightless_task_model
from xlprompt.training.errors import RunError
from xlprompt.training.inputs.chosen_data import languages_to_score, open_data, read_test_sets
from xlprompt.training.inputs.preparation import Setup, build_model
from xlprompt.training.machine.environment import peak_memory_bytes, read_environment
from xlprompt.training.machine.out_of_memory import out_of_memory_explained
from xlprompt.training.machine.phases import Phase, Phases
from xlprompt.training.recipes.recipe import Recipe, task_of
from xlprompt.training.runs.cost import RunCost
from xlprompt.training.runs.opened import Run
from xlprompt.training.runs.restored import open_device
from xlprompt.training.runs.scoring import Scores, score_languages
from xlprompt.training.store.labels import run_name, run_params, run_tags
from xlprompt.training.store.metric_names import PEAK_MEMORY_MIB, PHASE_SECONDS, TOTAL_SECONDS
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.recipe_file import log_recipe
from xlprompt.training.store.tracker import NullTracker, log_text, true_end_state

ENGLISH_TAG = "asked_in_english"
"""Tag: languages without words of their own."""


@dataclass(frozen=True)
class Untrained:
    """What such a run leaves behind; see `RunResult`."""

    run_id: str
    budget: ParameterBudget
    scores: Scores
    cost: RunCost


def score_untrained(
    recipe: Recipe,
    *,
    store: Path,
    console: Console,
    recipe_path: Path | None = None,
    device: str | None = None,
    parent_run_id: str | None = None,
    tags: Callable[[], Mapping[str, str]] = dict,
    began: float | None = None,
) -> Untrained | None:
    """Score the untouched backbone on every test language, and record it in MLflow.

    The arguments are those of `train`, and so are the errors.

    Returns:
        None in processes other than the first.
    """
    phases = Phases(began)
    with _opened(recipe, store, console, recipe_path, device, phases) as run, true_end_state(run.tracker):
        in_english = [
            code for code in run.languages if template_language(run.setup.task, code) != code and code != "en"
        ]
        run_id = run.tracker.start(
            experiment=run.setup.task.name,
            run_name=run_name(recipe),
            params={
                **run.model.budget().to_dict(),
                **run_params(recipe),
                "processes": run.setup.processes.size,
                "backbone_fingerprint": run.model.backbone.fingerprint,
            },
            tags={
                **run_tags(recipe, run.environment),
                "job": "train",
                ENGLISH_TAG: " ".join(in_english),
                **tags(),
            },
            parent_run_id=parent_run_id,
        )
        log_recipe(run.tracker, recipe)
        environment = json.dumps(run.environment.to_dict(), indent=2, ensure_ascii=False)
        log_text(run.tracker, "environment.json", environment)
        if in_english:
            run.console.print(
                f"Asked in English words, for there are no others: {', '.join(in_english)}", highlight=False
            )
        with out_of_memory_explained(), phases.of(Phase.TEST):
            scores = score_languages(
                run, "test", [recipe.evaluation.alignment], model_id=None, checkpoint=None
            )
        seconds = phases.seconds()
        cost = RunCost(
            train_seconds=0.0,
            total_seconds=sum(seconds.values()),
            tokens_per_second=0.0,
            flops=0,
            model_flops_utilization=0.0,
            peak_memory_bytes=int(run.setup.processes.largest(peak_memory_bytes(run.setup.device))),
            checkpoint_bytes=0,
            phases=seconds,
        )
        known = cost.to_metrics()
        told = (TOTAL_SECONDS, PEAK_MEMORY_MIB, PHASE_SECONDS)
        run.tracker.log_metrics({key: value for key, value in known.items() if key.startswith(told)})
        return Untrained(run_id, run.model.budget(), scores, cost) if run_id else None


@contextmanager
def _opened(
    recipe: Recipe,
    store: Path,
    console: Console,
    recipe_path: Path | None,
    device: str | None,
    phases: Phases,
) -> Iterator[Run]:
    """Open the run in every process that a launcher has started.

    Raises:
        RunError: The backbone has no language-model head to ask.
    """
    target = open_device(device)
    with launched_processes(target) as processes:
        if not processes.is_first:
            console = open_console(quiet=True)
            logging.getLogger("xlprompt").setLevel(logging.ERROR)
        with waiting(console, "Reading the data and loading the model"):
            with phases.of(Phase.DATA):
                task, source = task_of(recipe), open_data(recipe)
                languages = languages_to_score(source, task, recipe.data)
                read_test_sets(source, task, recipe.data, languages)
            tracker = MlflowTracker(store) if processes.is_first else NullTracker()
            with processes.first_alone(), phases.of(Phase.MODEL):
                _require_token_logits(recipe)
                setup = Setup(recipe, task, source, load_tokenizer(recipe.model), target, processes, phases)
                model = build_model(recipe, setup.tokenizer, target)
        environment = read_environment(repository_of=recipe_path, device=target)
        yield Run(setup, languages, model, tracker, console, store, environment)


def _require_token_logits(recipe: Recipe) -> None:
    """Refuse a backbone that cannot be asked before its weights are read.

    Raises:
        RunError: It has no language-model head that is read here.
    """
    shapes = weightless_task_model(recipe.model, num_labels=1, method=recipe.method_settings)
    if not shapes.backbone.has_token_logits:
        raise RunError(
            f"{recipe.model}: its language-model head is not its input embedding, and is not read here, "
            f"so method '{recipe.method}' cannot ask it. Take another model or method"
        )

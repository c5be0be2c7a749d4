"""The card of a trained model: what it is, what it scores and what it cost, as the hub shows it.

Everything in it comes from the checkpoint and from its run's record.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from xlprompt.data import Task
from xlprompt.data.languages import language as language_row
from xlprompt.data.sources import NAMED
from xlprompt.evaluation.scores.metrics import COLLAPSED
from xlprompt.models import canonical_name, short_name
from xlprompt.models.accounting.trained_share import trained_share
from xlprompt.models.pretrained.known import BUILT_HERE
from xlprompt.models.pretrained.license import license_of
from xlprompt.training.exchange.run_facts import StoredFacts
from xlprompt.training.recipes.recipe import Recipe, task_of
from xlprompt.training.store.checkpoint import CheckpointMetadata
from xlprompt.training.store.metric_names import (
    CHECKPOINT_BYTES,
    MODEL_TFLOPS,
    PEAK_MEMORY_MIB,
    TOTAL_SECONDS,
    TRAIN_SECONDS,
)

_Z = 1.96  # of a 95 % interval
_METRIC_IDS = {"squad_f1": "f1", "squad_exact_match": "exact_match"}  # the hub's; others are called as here

_TEXT = """---
{front}
---

# {title}

{what}

```
xlprompt predict {place} {typed}
```

## Scores

{scores}

## Training

| | |
|---|---|
{training}

The recipe is `recipe.yaml`; `checkpoint.json` has it too, with the fingerprint of the backbone that the
weights belong to: on any other they are refused.
"""


def model_card(metadata: CheckpointMetadata, recipe: Recipe, facts: StoredFacts, *, place: str) -> str:
    """The card as Markdown with its YAML in front.

    Args:
        metadata: The checkpoint's.
        recipe: Its recipe.
        facts: Its run's.
        place: What it will be loaded by: a hub id, or the folder's name.
    """
    task, name = task_of(recipe), short_name(recipe.model)
    title = f"{task.name} · {recipe.method} · {name}"
    front = _front(task, recipe, facts, title).to_yaml().strip()
    trained = ", ".join(language_row(code).name for code in recipe.data.train_languages)
    license_ = license_of(recipe.model)
    trained_of = trained_share(metadata.budget["trainable_params"], metadata.budget["total_params"])
    share = f"{trained_of:.3g} % of the backbone's parameters trained"
    what = (
        f"`{name}` adapted to the task `{task.name}` by xlprompt, method `{recipe.method}` ({share}), "
        f"trained on {trained}. The backbone is {_backbone(recipe)}, "
        + (f"under the license `{license_}`." if license_ else "whose license is not known here: see to it.")
    )
    return _TEXT.format(
        front=front,
        title=title,
        what=what,
        place=place,
        typed=" ".join(f'"{next(iter(task.values_of(field)), field)}"' for field in task.text_fields),
        scores=_scores(facts),
        training=_rows(_training(metadata, recipe, facts)),
    )


def _backbone(recipe: Recipe) -> str:
    base = canonical_name(recipe.model)
    return "a folder of its trainer's (give yours with --model)" if os.path.isabs(base) else f"`{base}`"


def _place(recipe: Recipe) -> str:
    source = recipe.data.source
    return source if source in NAMED else "a folder of files" if source else "not known here"


def _front(task: Task, recipe: Recipe, facts: StoredFacts, title: str) -> ModelCardData:
    base, kind = canonical_name(recipe.model), task.kind.hub_task
    results: Mapping[str, Any] = facts.report["results"] if facts.report else {}
    more: dict[str, Any] = {}
    if not os.path.isabs(base) and base not in BUILT_HERE:  # those are no names of the hub's
        relation = "finetune" if recipe.method_settings.trains_backbone else "adapter"
        more |= {"base_model": base, "base_model_relation": relation}
    hub = task.hub.repository if task.hub and recipe.data.source == "hub" else None
    scored = [
        EvalResult(
            task_type=kind,
            dataset_type=hub or task.name,
            dataset_name=f"{task.name} ({_place(recipe)})",
            dataset_config=code,
            dataset_split="test",
            metric_type=_METRIC_IDS.get(metric, metric),
            metric_name=metric,
            metric_value=round(score["value"], 2),
        )
        for code, result in results.items()
        for metric, score in result["scores"].items()
        if score["value"] is not None
    ]
    return ModelCardData(
        language=sorted({*recipe.data.train_languages, *results}),
        license=license_of(recipe.model),
        library_name="xlprompt",
        pipeline_tag=kind,
        tags=["xlprompt", recipe.method, task.name, "cross-lingual"],
        datasets=[hub] if hub else None,
        metrics=sorted({each.metric_type for each in scored}) or None,
        model_name=title if scored else None,
        eval_results=scored or None,
        **more,
    )


def _scores(facts: StoredFacts) -> str:
    report = facts.report
    if report is None:
        return "The store has no test scores of this checkpoint."
    trained = {report["train_language"], *report["also_trained_on"]}
    metrics = [report["metric"], *(each for each in report["summary"] if each != report["metric"])]
    lines = [
        f"| language | {' | '.join(metrics)} | examples |",
        f"|---|{'---:|' * (len(metrics) + 1)}",
    ]
    for code, result in report["results"].items():
        marks = " *" if code in trained else " !" if result["collapsed"] else ""
        cells = " | ".join(_interval(result["scores"][metric]) for metric in metrics)
        lines.append(f"| {language_row(code).name} ({code}){marks} | {cells} | {result['examples']:,} |")
    for key, title in (("mean_zero_shot", "zero-shot mean"), ("transfer_gap", "transfer gap")):
        if any(report["summary"][metric][key] for metric in metrics):
            bounded = key != "transfer_gap"  # which may be below zero
            cells = " | ".join(
                _interval(report["summary"][metric][key], bounded=bounded) for metric in metrics
            )
            lines.append(f"| {title} | {cells} | |")
    note = (
        "Percent on the test sets, with 95 % intervals over test examples (not over seeds). * trained on: "
        "not in the zero-shot mean; the gap is its score minus that mean."
    )
    if any(result["collapsed"] for result in report["results"].values()):
        note += f" ! collapsed: {COLLAPSED}."
    return "\n".join([*lines, "", note])


def _interval(score: Mapping[str, float | None] | None, *, bounded: bool = True) -> str:
    if score is None or score["value"] is None:
        return "n/a"
    value, error = score["value"], score["stderr"]
    if error is None:
        return f"{value:.1f}"
    low, high = value - _Z * error, value + _Z * error
    if bounded:
        low, high = max(low, 0.0), min(high, 100.0)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _training(metadata: CheckpointMetadata, recipe: Recipe, facts: StoredFacts) -> Sequence[tuple[str, str]]:
    budget, metrics = metadata.budget, facts.metrics
    rows = [
        ("trained parameters", f"{budget['trainable_params']:,} of {budget['total_params']:,}"),
        ("data", f"{_place(recipe)}: {'+'.join(recipe.data.train_languages)}"),
        ("seed", str(recipe.seed)),
        ("precision of the backbone", recipe.precision),
    ]
    if facts.tags.get("origin"):
        rows.append(
            ("trained by", f"{facts.tags['origin']}, and imported: rate, steps and cost are not known")
        )
    else:
        settings = recipe.schedule
        rows += [
            (
                "steps",
                f"{settings.steps:,} of {settings.batch_size} sequences; kept that of {metadata.step:,}",
            ),
            ("learning rate", f"{recipe.optimizer.learning_rate:g}"),
            (f"development {metadata.metric}", f"{metadata.score:.1f}"),
        ]
    shown = (
        (TRAIN_SECONDS, "training steps", "{:.0f} s"),
        (TOTAL_SECONDS, "whole run", "{:.0f} s"),
        (MODEL_TFLOPS, "model FLOPs", "{:.3g} TFLOP"),
        (PEAK_MEMORY_MIB, "peak memory", "{:.0f} MiB"),
        (CHECKPOINT_BYTES, "checkpoint", "{:,.0f} bytes"),
    )
    rows += [(title, form.format(metrics[name])) for name, title, form in shown if name in metrics]
    rows += [
        (title, facts.tags[tag])
        for tag, title in (("device", "device"), ("mlflow.source.git.commit", "commit"))
        if tag in facts.tags
    ]
    rows += [
        (f"version of {tag.removeprefix('version.')}", value)
        for tag, value in sorted(facts.tags.items())
        if tag.startswith("version.")
    ]
    return rows


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"| {title} | {value} |" for title, value in rows)

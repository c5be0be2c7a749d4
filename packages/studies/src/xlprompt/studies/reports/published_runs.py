"""A study's runs as one file of a repository, from which its report can be made anew and added to.

The file holds no text or weight, and no labels but the names of those of own tasks: of each run its counts,
which test examples it got right, and the figures that a report shows. Gzipped JSON Lines, the first about the
study, each other about a run. A report treats them like the store's: runs of several machines join.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from xlprompt.data import TASKS
from xlprompt.data.errors import DataError
from xlprompt.data.files import read_lines, write_json_lines
from xlprompt.data.how_many import how_many
from xlprompt.data.languages import language
from xlprompt.data.strict_json import Strict, parse
from xlprompt.data.tasks import register
from xlprompt.data.tasks.own import TaskDefinition, read_definition
from xlprompt.evaluation.comparison.counts import Counts, TaskRuns
from xlprompt.evaluation.comparison.learning import LanguageCurves
from xlprompt.evaluation.comparison.statistics import without_infinity
from xlprompt.evaluation.comparison.verdicts import GranularityEffect
from xlprompt.evaluation.scores.metrics import main_metric
from xlprompt.models import METHODS
from xlprompt.studies.grid.ledger import GROUP_TAG, CellRun
from xlprompt.studies.reports.answer.provenance import VERSION_TAGS
from xlprompt.studies.reports.given import FIX
from xlprompt.studies.reports.page import Section
from xlprompt.training.store.labels import COMMIT_TAG, TASK_DEFINITION_TAG
from xlprompt.training.store.metric_names import COST, LANGUAGE_MODEL, TEST

# Of version 1 sections had no rows in brief; up to 2 what was right in part counted as wrong.
_FORMAT, _VERSION = "xlprompt runs", 3
_WITH_PARTS = 3

_log = logging.getLogger(__name__)

# What reports read, and what a reader would ask for; nothing that names a machine's folders.
_TAGS = ("task", "method", "model", GROUP_TAG, "device", COMMIT_TAG, TASK_DEFINITION_TAG, *VERSION_TAGS)
_PARAMS = (
    "seed",
    "data.train_language",
    "data.also_train_on",
    "alignment_loss.weight",
    "optimizer.learning_rate",
    "schedule.steps",
    "schedule.batch_size",
    "precision",
    "engine",
    "total_params",
    "trainable_params",
    "trainable_percent",
    "backbone_fingerprint",
    "data_fingerprint.train",
    "data_fingerprint.validation",
)
_METRICS = (TEST, COST, LANGUAGE_MODEL, "tokenization/")

RUNS = "runs.jsonl.gz"
"""The file's name in a folder of published results."""

Curve = tuple[tuple[int, float], ...]
"""Steps and the development scores there, in percent."""


@dataclass(frozen=True)
class PublishedRuns:
    """The runs of one model's study.

    Attributes:
        model: The backbone, as recipes name it.
        runs: What the store knew of each, reduced to what reports read.
        complete: Groups of which every seed that was asked for had finished.
        counts: By task: how its runs answered the test examples, of the methods whose answers are compared.
        curves: By run id.
        sections: Sections of other analyses, such as ablations, by name.
        granularity: What the fourth claim's verdict needs, where it was measured.
        definitions: What the users' own tasks among them are, by name.
        language_curves: By run id, where it scored all languages while it trained.
    """

    model: str
    runs: tuple[CellRun, ...]
    complete: frozenset[str]
    counts: Mapping[str, TaskRuns]
    curves: Mapping[str, Curve]
    sections: Mapping[str, Section]
    granularity: GranularityEffect | None = None
    definitions: Mapping[str, TaskDefinition] = field(default_factory=dict)
    language_curves: Mapping[str, LanguageCurves] = field(default_factory=dict)

    def has_answers(self, run: CellRun) -> bool:
        """Whether `counts` has this run."""
        of_task = self.counts.get(run.tags["task"])
        return of_task is not None and _key(run) in of_task.runs


_Percent = Annotated[float, Field(ge=0, le=100)]
_Count = Annotated[int, Field(ge=0, le=10**9)]
_Right = Annotated[float, Field(ge=0, le=10**9)]
_Figure = Annotated[float, Field(ge=-1e18, le=1e18)]

_NUMBER = r"[0-9]{1,12}(\.[0-9]{1,20})?(e[-+]?[0-9]{1,2})?"
_CODE = r"[A-Za-z-]{2,20}"
# How the parameters are written that reports read as something else than text.
_WRITTEN = {
    "seed": r"[0-9]{1,10}",
    "total_params": r"[0-9]{1,15}",
    "trainable_params": r"[0-9]{1,15}",
    "trainable_percent": _NUMBER,
    "alignment_loss.weight": _NUMBER,
    "data.train_language": _CODE,
    "data.also_train_on": rf'\[("{_CODE}"(, "{_CODE}")*)?\]',
}


class _Language(Strict):
    majority: _Percent  # Counts.floor, called so since there were labels alone
    examples: int = Field(ge=1, le=10**7)
    examples_digest: str


class _Task(Strict):
    metric: str
    split: Literal["validation", "test"]
    languages: dict[str, _Language]

    @field_validator("languages")
    @classmethod
    def _languages_are_known(cls, languages: dict[str, _Language]) -> dict[str, _Language]:
        for code in languages:
            language(code)
        return languages


class _Header(Strict):
    format: Literal["xlprompt runs"]
    version: Literal[1, 2, 3]
    model: str = Field(min_length=1)
    runs: int = Field(ge=1)
    complete: list[str]
    definitions: dict[str, dict[str, Any]] = {}
    tasks: dict[str, _Task]
    sections: dict[str, dict[str, Any]]
    granularity: GranularityEffect | None

    @field_validator("definitions")
    @classmethod
    def _own_tasks_are_learned(cls, definitions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, values in definitions.items():
            register(read_definition(values).task(name))
        return definitions

    @field_validator("tasks")
    @classmethod
    def _tasks_are_judged_as_here(cls, tasks: dict[str, _Task]) -> dict[str, _Task]:
        for name, of_task in tasks.items():
            if name not in TASKS or of_task.metric != main_metric(TASKS[name]):
                raise ValueError(f"no task '{name}' is judged by {of_task.metric}")
        return tasks


class _Answers(Strict):
    numerators: list[_Right]
    denominators: list[_Count]
    collapsed: bool


class _Run(Strict):
    run_id: str = Field(min_length=1)
    started: int = Field(ge=0, le=10**15)
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, _Figure]
    curve: list[tuple[_Count, _Percent]]
    answers: dict[str, _Answers] | None
    language_curves: LanguageCurves | None = None

    @field_validator("params")
    @classmethod
    def _params_are_written_as_runs_write_them(cls, params: dict[str, str]) -> dict[str, str]:
        for key, written in _WRITTEN.items():
            if key in params and not re.fullmatch(written, params[key]):
                raise ValueError(f"{key} is {params[key][:40]!r}")
        return params


def write_published(path: Path, published: PublishedRuns) -> None:
    """Write the file, whole or not at all; the same runs give the same bytes."""
    definitions = {name: each.model_dump(mode="json") for name, each in published.definitions.items()}
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "model": published.model,
        "runs": len(published.runs),
        "complete": sorted(published.complete),
        **({"definitions": definitions} if definitions else {}),  # files of bundled tasks stay as they were
        "tasks": {
            name: {
                "metric": of_task.metric,
                "split": of_task.split,
                "languages": {
                    code: {
                        "majority": counts.floor,
                        "examples": counts.examples,
                        "examples_digest": counts.examples_digest,
                    }
                    for code, counts in of_task.languages.items()
                },
            }
            for name, of_task in published.counts.items()
        },
        "sections": {name: json.loads(part.to_json()) for name, part in published.sections.items()},
        "granularity": published.granularity and without_infinity(asdict(published.granularity)),
    }
    write_json_lines(path, (header, *_lines(published)))


def _lines(published: PublishedRuns) -> Iterator[dict[str, Any]]:
    found = published.language_curves
    for run in published.runs:
        yield {
            "run_id": run.run_id,
            "started": run.started,
            "params": {key: run.params[key] for key in _PARAMS if key in run.params},
            "tags": {key: run.tags[key] for key in _TAGS if key in run.tags},
            "metrics": {key: value for key, value in sorted(run.metrics.items()) if key.startswith(_METRICS)},
            "curve": [list(point) for point in published.curves.get(run.run_id, ())],
            "answers": _answers(run, published),
            **({"language_curves": asdict(of_run)} if (of_run := found.get(run.run_id)) else {}),
        }


def _answers(run: CellRun, published: PublishedRuns) -> dict[str, Any] | None:
    if not published.has_answers(run):
        return None
    own = published.counts[run.tags["task"]].pick([_key(run)])
    return {
        code: {
            "numerators": [
                int(right) if right == int(right) else right for right in counts.numerators[0].tolist()
            ],
            "denominators": counts.denominators[0].astype(np.int64).tolist(),
            "collapsed": bool(counts.collapsed and counts.collapsed[0]),
        }
        for code, counts in own.languages.items()
    }


def _key(run: CellRun) -> tuple[str, int]:
    """Method and seed."""
    return run.tags["method"], int(run.params["seed"])


def read_published(path: Path) -> PublishedRuns:
    """Read a file that write_published wrote.

    Raises:
        DataError: There is no such file, it is damaged or of another kind or version, or a line does not fit
            the first one or holds what no run can have answered; names the file and the line.
    """
    number, header = 1, None
    runs: list[CellRun] = []
    answers: list[tuple[CellRun, Mapping[str, _Answers]]] = []
    curves: dict[str, Curve] = {}
    language_curves: dict[str, LanguageCurves] = {}
    try:
        for number, row in read_lines(path, FIX):  # noqa: B007 - told where it went wrong
            if header is None:
                header = parse(_Header, row)
                sections = {
                    name: Section.from_json(json.dumps(each)) for name, each in header.sections.items()
                }
                continue
            line = parse(_Run, row)
            run = _cell_run(line, header, runs)
            if line.answers is not None:
                _check_answers(line.answers, run, header, answers)
                answers.append((run, line.answers))
            runs.append(run)
            curves[run.run_id] = tuple(line.curve)
            language_curves |= {run.run_id: line.language_curves} if line.language_curves else {}
    except DataError as error:
        if error.file is not None:
            raise
        raise DataError(str(error).rstrip("."), file=path, line=number, fix=FIX) from error
    except ValueError as error:
        raise DataError(str(error), file=path, line=number, fix=FIX) from error
    if header is None:
        raise DataError("empty", file=path, fix=FIX)
    if len(runs) != header.runs:
        problem = f"the first line announces {how_many(header.runs, 'run')}, {len(runs)} are there"
        raise DataError(problem, file=path, fix=FIX)
    if unanswered := header.tasks.keys() - {run.tags["task"] for run, _ in answers}:
        problem = f"the first line has the task {min(unanswered)}, and no run its answers"
        raise DataError(problem, file=path, fix=FIX)
    if lost := [name for name in header.tasks if header.version < _WITH_PARTS and _in_part(name)]:
        _log.warning(
            "%s: the runs of %s are left out: files of this version kept nothing of an answer that is right "
            "in part. Publish them anew from the store",
            path,
            ", ".join(lost),
        )
    tasks = {name: of_task for name, of_task in header.tasks.items() if name not in lost}
    return PublishedRuns(
        header.model,
        tuple(run for run in runs if run.tags["task"] not in lost),
        frozenset(header.complete),
        {name: _task_runs(name, of_task, answers) for name, of_task in tasks.items()},
        curves,
        sections,
        header.granularity,
        {name: read_definition(values) for name, values in header.definitions.items()},
        language_curves,
    )


def _in_part(task: str) -> bool:
    """Whether an answer can be right in part, as the words of a span are."""
    return not TASKS[task].kind.labeled


def _cell_run(line: _Run, header: _Header, before: Sequence[CellRun]) -> CellRun:
    """The run; ValueError where it cannot be told from others, or is none that this file can hold."""
    missing = [name for name in ("task", "method", "model", GROUP_TAG) if name not in line.tags]
    missing += ["seed"] if "seed" not in line.params else []
    if missing:
        raise ValueError(f"a run without {missing[0]}")
    run = CellRun(line.run_id, "FINISHED", line.started, line.params, line.tags, line.metrics, step=None)
    for name, known in (("task", TASKS), ("method", METHODS), ("model", (header.model,))):
        if run.tags[name] not in known:
            raise ValueError(f"a run of {name} '{run.tags[name][:80]}', and there are {', '.join(known)}")
    language(run.params.get("data.train_language", "en"))
    for other in before:
        if other.run_id == run.run_id or (other.tags["task"], *_key(other)) == (run.tags["task"], *_key(run)):
            raise ValueError(
                f"the run {run.tags['task']}, {_key(run)[0]}, seed {_key(run)[1]} is there twice"
            )
    if odd := [name for name, value in run.metrics.items() if name.startswith(COST) and value < 0]:
        raise ValueError(f"{odd[0]} is below zero")
    return run


def _check_answers(
    answers: Mapping[str, _Answers],
    run: CellRun,
    header: _Header,
    before: Sequence[tuple[CellRun, Mapping[str, _Answers]]],
) -> None:
    """Raise a ValueError for answers that the task's examples cannot have been given."""
    task = run.tags["task"]
    of_task = header.tasks.get(task)
    if of_task is None or set(answers) != set(of_task.languages):
        raise ValueError("answers in other languages than the first line has for this task")
    same = next((others for other, others in before if other.tags["task"] == task), answers)
    for code, each in answers.items():
        expected = of_task.languages[code].examples
        if not len(each.numerators) == len(each.denominators) == expected:
            raise ValueError(f"answers in {code} that are not {expected}")
        if not _in_part(task) and not all(right.is_integer() for right in each.numerators):
            raise ValueError(f"answers in {code} that are right in part")
        if any(right > total for right, total in zip(each.numerators, each.denominators, strict=True)):
            raise ValueError(f"more right answers in {code} than there were questions")
        if of_task.metric == "accuracy" and each.denominators != same[code].denominators:
            raise ValueError(f"answers in {code} to other questions than those of the runs before")
        if not TASKS[task].kind.by_word and of_task.metric == "accuracy" and set(each.denominators) != {1}:
            raise ValueError(f"answers in {code} that are not one for each pair")


def _task_runs(
    name: str, of_task: _Task, answers: Sequence[tuple[CellRun, Mapping[str, _Answers]]]
) -> TaskRuns:
    own = [(run, each) for run, each in answers if run.tags["task"] == name]
    languages = {
        code: Counts(
            np.asarray([each[code].numerators for _, each in own], dtype=np.float64).reshape(len(own), -1),
            np.asarray([each[code].denominators for _, each in own], dtype=np.float64).reshape(len(own), -1),
            language.majority,
            tuple(each[code].collapsed for _, each in own),
            language.examples_digest,
        )
        for code, language in of_task.languages.items()
    }
    return TaskRuns(name, of_task.metric, of_task.split, tuple(_key(run) for run, _ in own), languages)

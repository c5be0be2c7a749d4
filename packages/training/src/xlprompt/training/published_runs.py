"""A study's runs as one file of a repository, from which its report can be made anew and added to.

The file holds no text, label or weight: of each run its counts, which test examples it got right, and the
figures that a report shows. Gzipped JSON Lines: the first line is about the study, each further line about a
run. A report that takes it in treats its runs like the store's own, so that runs of several machines join
where their recipe, data, backbone and code are the same.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xlprompt.data.errors import DataError
from xlprompt.evaluation.granularity import GranularityEffect
from xlprompt.evaluation.json_lines import write_json_lines
from xlprompt.evaluation.report_page import Section
from xlprompt.evaluation.runs import Counts, TaskRuns
from xlprompt.training.ledger import GROUP_TAG, CellRun

_FORMAT, _VERSION = "xlprompt runs", 1

# What reports read, and what a reader would ask for; nothing that names a machine's folders.
_TAGS = ("task", "method", "model", GROUP_TAG, "device", MLFLOW_GIT_COMMIT)
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
)
_METRICS = ("test/", "cost/", "language_model/", "tokenization/")

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
    """

    model: str
    runs: tuple[CellRun, ...]
    complete: frozenset[str]
    counts: Mapping[str, TaskRuns]
    curves: Mapping[str, Curve]
    sections: Mapping[str, Section]
    granularity: GranularityEffect | None = None

    def has_answers(self, run: CellRun) -> bool:
        """Whether `counts` has this run."""
        of_task = self.counts.get(run.tags["task"])
        return of_task is not None and _key(run) in of_task.runs


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Language(_Strict):
    majority: float
    examples: int = Field(ge=1)
    examples_digest: str


class _Task(_Strict):
    metric: str
    split: str
    languages: dict[str, _Language]


class _Header(_Strict):
    format: Literal["xlprompt runs"]
    version: Literal[1]
    model: str
    runs: int = Field(ge=1)
    complete: list[str]
    tasks: dict[str, _Task]
    sections: dict[str, dict[str, Any]]
    granularity: GranularityEffect | None


class _Answers(_Strict):
    numerators: list[int]
    denominators: list[int]
    collapsed: bool


class _Run(_Strict):
    run_id: str
    started: int
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    curve: list[tuple[int, float]]
    answers: dict[str, _Answers] | None


def write_published(path: Path, published: PublishedRuns) -> None:
    """Write the file, whole or not at all; the same runs give the same bytes."""
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "model": published.model,
        "runs": len(published.runs),
        "complete": sorted(published.complete),
        "tasks": {
            name: {
                "metric": of_task.metric,
                "split": of_task.split,
                "languages": {
                    code: {
                        "majority": counts.majority,
                        "examples": counts.examples,
                        "examples_digest": counts.examples_digest,
                    }
                    for code, counts in of_task.languages.items()
                },
            }
            for name, of_task in published.counts.items()
        },
        "sections": {name: json.loads(part.to_json()) for name, part in published.sections.items()},
        "granularity": None if published.granularity is None else asdict(published.granularity),
    }
    write_json_lines(path, (header, *_lines(published)))


def _lines(published: PublishedRuns) -> Iterator[dict[str, Any]]:
    for run in published.runs:
        yield {
            "run_id": run.run_id,
            "started": run.started,
            "params": {key: run.params[key] for key in _PARAMS if key in run.params},
            "tags": {key: run.tags[key] for key in _TAGS if key in run.tags},
            "metrics": {key: value for key, value in sorted(run.metrics.items()) if key.startswith(_METRICS)},
            "curve": [list(point) for point in published.curves.get(run.run_id, ())],
            "answers": _answers(run, published),
        }


def _answers(run: CellRun, published: PublishedRuns) -> dict[str, Any] | None:
    if not published.has_answers(run):
        return None
    own = published.counts[run.tags["task"]].pick([_key(run)])
    return {
        code: {
            "numerators": counts.numerators[0].astype(np.int64).tolist(),
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
            the first one; names the file and the line.
    """
    rows = _read_lines(path)
    try:
        header = _Header.model_validate_json(rows[0])
    except ValidationError as error:
        raise _wrong(path, 1, error) from error
    runs, answers, curves = [], [], {}
    for number, row in enumerate(rows[1:], start=2):
        try:
            line = _Run.model_validate_json(row)
            run = _cell_run(line)
        except ValueError as error:  # ValidationError is one
            raise _wrong(path, number, error) from error
        if line.answers is not None:
            _check_answers(line.answers, header.tasks.get(run.tags["task"]), path, number)
            answers.append((run, line.answers))
        runs.append(run)
        curves[run.run_id] = tuple(line.curve)
    if len(runs) != header.runs:
        raise _damaged(path, f"the first line announces {header.runs} runs, {len(runs)} are there")
    try:
        sections = {name: Section.from_json(json.dumps(section)) for name, section in header.sections.items()}
    except (TypeError, ValueError) as error:
        raise _wrong(path, 1, error) from error
    return PublishedRuns(
        header.model,
        tuple(runs),
        frozenset(header.complete),
        {name: _task_runs(name, of_task, answers) for name, of_task in header.tasks.items()},
        curves,
        sections,
        header.granularity,
    )


def _read_lines(path: Path) -> list[bytes]:
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
    except OSError as error:  # gzip.BadGzipFile is one, without a number
        reason = f"not a gzip file ({error})" if error.errno is None else f"cannot be read ({error.strerror})"
        raise _damaged(path, reason) from error
    except (EOFError, zlib.error) as error:
        raise _damaged(path, f"not a whole gzip file ({error})") from error
    if not lines:
        raise _damaged(path, "empty")
    return lines


def _damaged(path: Path, problem: str, line: int | None = None) -> DataError:
    fix = "Give a file that xlprompt report --publish wrote, or fetch it anew."
    return DataError(problem, file=path, line=line, fix=fix)


def _wrong(path: Path, line: int, error: Exception) -> DataError:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return _damaged(path, f"{place}: {first['msg']}" if place else str(first["msg"]), line)
    return _damaged(path, str(error), line)


def _cell_run(line: _Run) -> CellRun:
    """The run; ValueError where something lacks without which it cannot be told from others."""
    missing = [name for name in ("task", "method", "model", GROUP_TAG) if name not in line.tags]
    missing += ["seed"] if not line.params.get("seed", "").isdigit() else []
    if missing:
        raise ValueError(f"a run without {missing[0]}")
    return CellRun(line.run_id, "FINISHED", line.started, line.params, line.tags, line.metrics, step=None)


def _check_answers(answers: Mapping[str, _Answers], of_task: _Task | None, path: Path, line: int) -> None:
    if of_task is None or set(answers) != set(of_task.languages):
        raise _damaged(path, "answers in other languages than the first line has for this task", line)
    for code, each in answers.items():
        expected = of_task.languages[code].examples
        if not len(each.numerators) == len(each.denominators) == expected:
            raise _damaged(path, f"answers in {code} that are not {expected}", line)


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

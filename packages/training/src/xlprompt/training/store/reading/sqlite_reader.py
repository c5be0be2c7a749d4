"""Reads a folder's own MLflow store by sqlite itself: importing MLflow takes longer than all that is asked.

It answers what `Reader` asks, with MLflow's meaning, and for the one schema that it knows. A database of
another one, or one that cannot be read now, is left to MLflow, which upgrades it or says what is wrong.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

SCHEMA = "dc11669786a5"
"""MLflow's mark of the schema that is known here; with one that it does not know, MLflow itself reads."""

_WAIT = 20.0  # seconds for a commit of another process, as MLflow's own sessions
_WAIT_TO_OPEN = 1.0
_AT_ONCE = 500  # runs in one question; sqlite takes some thousand values in one
_CONDITION = re.compile(r"(attributes|tags)\.(\w+) (=|LIKE) '([^']*)'(?: and (?=.)|$)")
_ATTRIBUTES = {"status": "status", "run_id": "run_uuid", "run_name": "name"}
_READY = {1: "PENDING", 2: "READY", 3: "FAILED"}


@dataclass(frozen=True)
class Experiment:
    """As MLflow's."""

    experiment_id: str
    name: str
    lifecycle_stage: str


@dataclass(frozen=True)
class RunInfo:
    """As MLflow's."""

    run_id: str
    run_name: str
    experiment_id: str
    status: str
    start_time: int
    end_time: int | None
    lifecycle_stage: str
    artifact_uri: str


@dataclass(frozen=True)
class RunData:
    """As MLflow's."""

    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


@dataclass(frozen=True)
class ModelInput:
    """As MLflow's."""

    model_id: str


@dataclass(frozen=True)
class RunInputs:
    """As MLflow's, of which data sets are not read."""

    model_inputs: list[ModelInput]


@dataclass(frozen=True)
class ModelOutput:
    """As MLflow's."""

    model_id: str
    step: int


@dataclass(frozen=True)
class RunOutputs:
    """As MLflow's."""

    model_outputs: list[ModelOutput]


@dataclass(frozen=True)
class StoredRun:
    """As MLflow's `Run`."""

    info: RunInfo
    data: RunData
    inputs: RunInputs
    outputs: RunOutputs


@dataclass(frozen=True)
class Point:
    """As MLflow's `Metric`."""

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True)
class Model:
    """As MLflow's `LoggedModel`."""

    model_id: str
    experiment_id: str
    artifact_location: str
    source_run_id: str
    status: str


class Page(list[StoredRun]):
    """Runs, and what asks for those after them."""

    token: str | None = None


class NotInStore(LookupError):
    """The store has no run or model of this id."""


def open_sqlite(database: Path) -> SqliteReader | None:
    """A reader of a database; None where it is of another schema or cannot be read now."""
    reader = SqliteReader(database)
    try:
        return reader if reader.schema() == [SCHEMA] else None
    except sqlite3.Error:
        return None


class SqliteReader:
    """Satisfies `Reader`. Each question has a connection of its own, so any thread may ask."""

    def __init__(self, database: Path) -> None:
        """Name the database; nothing is opened yet."""
        self._address = f"{database.absolute().as_uri()}?mode=ro"

    def schema(self) -> list[str]:
        """MLflow's marks of the database's schema.

        Raises:
            sqlite3.Error: It cannot be read now, or is no MLflow store.
        """
        with self._connection(_WAIT_TO_OPEN) as ask:
            ask.execute("SELECT run_uuid FROM runs LIMIT 1").fetchone()
            return [version for (version,) in ask.execute("SELECT version_num FROM alembic_version")]

    def search_experiments(self, *, filter_string: str | None = None) -> list[Experiment]:
        """Experiments that are not deleted, the newest first."""
        assert filter_string is None  # a folder's own store holds nobody else's
        with self._connection() as ask:
            rows = ask.execute(
                f"{_EXPERIMENTS} WHERE lifecycle_stage = 'active' ORDER BY creation_time DESC, experiment_id"
            )
            return [Experiment(str(number), name, stage) for number, name, stage in rows]

    def get_experiment_by_name(self, name: str) -> Experiment | None:
        """An experiment, deleted or not; None where there is none."""
        with self._connection() as ask:
            row = ask.execute(f"{_EXPERIMENTS} WHERE name = ?", (name,)).fetchone()
            return None if row is None else Experiment(str(row[0]), row[1], row[2])

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str = "",
        *,
        max_results: int = 1000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> Page:
        """Runs that are not deleted and meet a condition of MLflow's, newest first.

        Args:
            experiment_ids: Of these experiments.
            filter_string: `=` and `LIKE` on tags and on a run's id, name and status, joined by `and`.
            max_results: At most so many.
            order_by: For the likeness to MLflow; the newest are always first.
            page_token: Of the page before.
        """
        places = ", ".join("?" * len(experiment_ids))
        where, values = _where(filter_string)
        first = int(page_token or 0)
        with self._connection() as ask:
            rows = ask.execute(
                f"{_RUNS} WHERE lifecycle_stage = 'active' AND experiment_id IN ({places}){where} "
                "ORDER BY start_time DESC, run_uuid LIMIT ? OFFSET ?",
                (*map(int, experiment_ids), *values, max_results, first),
            ).fetchall()
            page = Page(_runs(ask, rows))
        if len(page) == max_results:
            page.token = str(first + max_results)
        return page

    def get_run(self, run_id: str) -> StoredRun:
        """A run, deleted or not.

        Raises:
            NotInStore: There is none.
        """
        with self._connection() as ask:
            rows = ask.execute(f"{_RUNS} WHERE run_uuid = ?", (run_id,)).fetchall()
            if not rows:
                raise NotInStore(run_id)
            return next(_runs(ask, rows))

    def get_metric_history(self, run_id: str, key: str) -> list[Point]:
        """All points of a metric."""
        with self._connection() as ask:
            rows = ask.execute(
                "SELECT value, is_nan, timestamp, step FROM metrics WHERE run_uuid = ? AND key = ?",
                (run_id, key),
            )
            return [Point(key, nan if is_nan else value, time, step) for value, is_nan, time, step in rows]

    def get_logged_model(self, model_id: str) -> Model:
        """A model that is not deleted.

        Raises:
            NotInStore: There is none.
        """
        with self._connection() as ask:
            row = ask.execute(
                "SELECT experiment_id, artifact_location, source_run_id, status FROM logged_models "
                "WHERE model_id = ? AND lifecycle_stage = 'active'",
                (model_id,),
            ).fetchone()
        if row is None:
            raise NotInStore(model_id)
        experiment, place, run, status = row
        return Model(model_id, str(experiment), place, run, _READY.get(status, "UNSPECIFIED"))

    @contextmanager
    def _connection(self, wait: float = _WAIT) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._address, uri=True, timeout=wait)) as connection:
            yield connection


_EXPERIMENTS = "SELECT experiment_id, name, lifecycle_stage FROM experiments"
_RUNS = (
    "SELECT run_uuid, name, experiment_id, status, start_time, end_time, lifecycle_stage, artifact_uri "
    "FROM runs"
)


def _where(condition: str) -> tuple[str, list[str]]:
    """SQL for a condition, with the values of its places."""
    clauses, values = "", []
    read = 0
    while read < len(condition):
        found = _CONDITION.match(condition, read)
        if found is None:
            raise ValueError(f"no condition that is known here: {condition[read:]}")
        read = found.end()
        kind, name, sign, value = found.groups()
        if kind == "attributes":
            clauses += f" AND {_ATTRIBUTES[name]} {sign} ?"
            values.append(value)
        else:
            clauses += (
                f" AND EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = ? "
                f"AND value {sign} ?)"
            )
            values += [name, value]
    return clauses, values


def _runs(ask: sqlite3.Connection, rows: Sequence[Any]) -> Iterator[StoredRun]:
    """Runs with what they have logged, in the order of their rows."""
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        ids = [row[0] for row in some]
        params = _by_run(ask, "SELECT run_uuid, key, value FROM params", "run_uuid", ids)
        tags = _by_run(ask, "SELECT run_uuid, key, value FROM tags", "run_uuid", ids)
        metrics = _by_run(
            ask,
            "SELECT run_uuid, key, CASE WHEN is_nan THEN NULL ELSE value END FROM latest_metrics",
            "run_uuid",
            ids,
        )
        used, produced = (
            _by_run(
                ask,
                "SELECT source_id, destination_id, step FROM inputs",
                f"source_type = 'RUN_{way}' AND destination_type = 'MODEL_{way}' AND source_id",
                ids,
            )
            for way in ("INPUT", "OUTPUT")
        )
        for run, name, experiment, status, start, end, stage, place in some:
            info = RunInfo(run, name or "", str(experiment), status, start, end, stage, place)
            values = {key: nan if value is None else value for key, value in metrics[run]}
            data = RunData(dict(params[run]), values, dict(tags[run]))
            inputs = RunInputs([ModelInput(model) for model, _ in used[run]])
            outputs = RunOutputs([ModelOutput(model, step) for model, step in produced[run]])
            yield StoredRun(info, data, inputs, outputs)


def _by_run(
    ask: sqlite3.Connection, select: str, column: str, ids: Sequence[str]
) -> dict[str, list[tuple[Any, Any]]]:
    """Pairs of what belongs to runs, by run."""
    found: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for run, key, value in ask.execute(f"{select} WHERE {column} IN ({', '.join('?' * len(ids))})", ids):
        found[run].append((key, value))
    return found

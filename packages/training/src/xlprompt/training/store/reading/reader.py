"""What is asked of a store that is only read: `MlflowClient` answers it, and `SqliteReader` much sooner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Reader(Protocol):
    """The part of `MlflowClient` that reads; what it returns has the attributes of MLflow's entities."""

    def search_experiments(self, *, filter_string: str | None = None) -> Sequence[Any]:
        """Experiments that are not deleted."""
        ...

    def get_experiment_by_name(self, name: str) -> Any:
        """An experiment, deleted or not; None where there is none."""
        ...

    def search_runs(
        self,
        experiment_ids: list[str],
        filter_string: str = "",
        *,
        max_results: int = 1000,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        """A page of runs that are not deleted: a list whose `token` asks for the next one."""
        ...

    def get_run(self, run_id: str) -> Any:
        """A run; an error where there is none."""
        ...

    def get_metric_history(self, run_id: str, key: str) -> Sequence[Any]:
        """All points of a metric."""
        ...

    def get_logged_model(self, model_id: str) -> Any:
        """A model; an error where there is none."""
        ...

"""The list of runs in MLflow's UI with the columns that matter, by the way in which MLflow shares such views.

MLflow's button "Share" writes the state of its list into a tag of the experiment, and an address with the
tag's key shows the list in that state. Here the tag is written with the columns chosen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from xlprompt.training.store.metric_names import HEADLINE

if TYPE_CHECKING:
    import mlflow

_KEY = "xlprompt"
_TAG = f"mlflow.sharedViewState.{_KEY}"
_WIDTHS = {  # in pixels, by column as MLflow calls it, from left to right
    **dict(zip((f"metrics.`{name}`" for name in HEADLINE), (130, 130, 90), strict=True)),
    "params.`method`": 85,
    "params.`seed`": 55,
    "params.`trainable_percent`": 130,
}


def list_address(client: mlflow.MlflowClient, experiment_id: str, url: str) -> str:
    """The address of an experiment's list of runs with score, method, seed and trainable share as columns.

    Args:
        client: Of the store, in which the view is kept.
        experiment_id: The experiment.
        url: Where the UI is.
    """
    columns = list(_WIDTHS)
    state = {"selectedColumns": columns, "columnOrder": [*columns, "duration"], "columnWidths": _WIDTHS}
    client.set_experiment_tag(experiment_id, _TAG, json.dumps(state))
    return f"{url}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={_KEY}"

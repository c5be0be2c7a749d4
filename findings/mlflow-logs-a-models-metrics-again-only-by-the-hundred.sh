#!/usr/bin/env bash
# mlflow 3.17.2 (sqlite store): metrics of a logged model can be sent twice in one request up to a hundred, and not beyond.
#
# Expected: log_batch is safe to repeat. A run that was interrupted sends what it may have sent before, and MLflow
# leaves out what is stored already, as it does for metrics of runs; a request may have a thousand metrics.
# What happens: for metrics with a model_id it does so as long as a request has at most a hundred. With more it looks for
# duplicates in slices of a hundred, compares the whole request with each slice, and inserts the other slices' again.
# The request fails by "UNIQUE constraint failed: logged_model_metrics...", whatever else is in it.
# Whom it hurts: who scores a model in many languages: accuracy, F1 and entropy in 35 of them are over a hundred figures.
# A run that goes on after a kill fails each time, with an error that looks like a damaged database.
#
# Seen:
#   100 metrics of a model, twice: 100 stored
#   101 metrics of a model, twice: UNIQUE constraint failed
#   101 metrics of a run, twice: 101 stored
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mlflow==3.17.2
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging
import time

import mlflow
from mlflow.entities import Metric

logging.disable(logging.CRITICAL)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
client = mlflow.MlflowClient()
experiment = client.create_experiment("languages", artifact_location="artifacts")


def twice(number: int, of_model: bool) -> str:
    """What comes of so many metrics that are sent two times."""
    run = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, source_run_id=run).model_id
    now = int(time.time() * 1000)
    own = {"model_id": model} if of_model else {}
    metrics = [Metric(f"accuracy/{place}", float(place), now, 0, run_id=run, **own) for place in range(number)]
    try:
        for _ in range(2):
            client.log_batch(run, metrics=metrics)
    except Exception as error:
        return "UNIQUE constraint failed" if "UNIQUE constraint failed" in str(error) else repr(error)
    stored = client.get_logged_model(model).metrics if of_model else client.get_run(run).data.metrics
    return f"{len(stored)} stored"


found = [twice(100, True), twice(101, True), twice(101, False)]
print(f"100 metrics of a model, twice: {found[0]}")
print(f"101 metrics of a model, twice: {found[1]}")
print(f"101 metrics of a run, twice: {found[2]}")
assert found == ["100 stored", "UNIQUE constraint failed", "101 stored"], "no longer so"
PYTHON

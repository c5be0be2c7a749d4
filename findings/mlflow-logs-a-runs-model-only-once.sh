#!/usr/bin/env bash
# mlflow 3.17.2 (sqlite store): what a run has read may be logged twice, the model that it has made not.
#
# Expected: log_outputs is safe to repeat, as log_inputs, log_batch and set_tag are. MLflow's own HTTP client repeats any
# request whose answer was lost, so what a client may call ought to bear that.
# What happens: the second log_outputs of a model fails by "UNIQUE constraint failed: inputs...", although the link that is
# asked for is there. From a server this comes as BAD_REQUEST.
# Whom it hurts: who logs a checkpoint at the end of hours of training, when the answer is lost on the way or the process
# goes on after a kill: training is done, the checkpoint is in the store, and the run ends as failed.
#
# Seen:
#   a data set as input, twice: 1 kept
#   a model as input, twice: 1 kept
#   a model as output, twice: UNIQUE constraint failed
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mlflow==3.17.2
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging

import mlflow
from mlflow.entities import Dataset, DatasetInput, LoggedModelInput, LoggedModelOutput

logging.disable(logging.CRITICAL)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
client = mlflow.MlflowClient()
experiment = client.create_experiment("languages", artifact_location="artifacts")
run = client.create_run(experiment).info.run_id
model = client.create_logged_model(experiment, source_run_id=run).model_id
english = DatasetInput(Dataset("english", "0123", "local", "{}"))


def twice(log, kept) -> str:
    """What comes of a link that is asked for two times."""
    try:
        log()
        log()
    except mlflow.MlflowException as error:
        return "UNIQUE constraint failed" if "UNIQUE constraint failed" in str(error) else repr(error)
    return f"{len(kept(client.get_run(run)))} kept"


found = [
    twice(lambda: client.log_inputs(run, datasets=[english]), lambda run: run.inputs.dataset_inputs),
    twice(lambda: client.log_inputs(run, models=[LoggedModelInput(model)]), lambda run: run.inputs.model_inputs),
    twice(lambda: client.log_outputs(run, [LoggedModelOutput(model, 1)]), lambda run: run.outputs.model_outputs),
]
for what, came in zip(("a data set as input", "a model as input", "a model as output"), found, strict=True):
    print(f"{what}, twice: {came}")
assert found == ["1 kept", "1 kept", "UNIQUE constraint failed"], "no longer so"
PYTHON

"""A server whose answers break off in the middle, as they do when it is killed, costs a run nothing."""

import mlflow
import pytest
from cutting_proxy import cutting_proxy
from mlflow_server import mlflow_server

from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.shared import patience
from xlprompt.training.store.tracker import DatasetRecord, TrackingError

pytestmark = pytest.mark.integration

CREATES = {("POST", "runs/create"), ("POST", "logged-models"), ("POST", "experiments/create")}


class CutOnce:
    """Cuts the first answer of each kind of request, but of those that create something."""

    def __init__(self):
        self.cut = set()
        self.also = set()

    def __call__(self, method, path):
        kind = (method, path.partition("/mlflow/")[2] or path)
        if path == "/health" or kind in self.cut or (kind in CREATES and kind not in self.also):
            return False
        self.cut.add(kind)
        return True


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with mlflow_server(tmp_path_factory.mktemp("server")) as each:
        yield each.uri


@pytest.fixture
def cuts(server, monkeypatch):
    monkeypatch.setattr(patience, "_BETWEEN_TRIES", 0.0)
    cuts = CutOnce()
    with cutting_proxy(server, cuts) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        patience.begin_work()
        yield cuts


def test_each_call_of_a_run_is_made_again_and_writes_nothing_twice(cuts, server, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.txt").write_text("weights")
    tracker = MlflowTracker(tmp_path / "mlruns")
    run_id = tracker.start(experiment="pos", run_name="one", params={"seed": 1}, tags={"job": "train"})
    tracker.log_metrics({"train/loss": 2.0}, step=1)
    tracker.log_dataset(
        DatasetRecord("pos-en", "0123", "data/en", on_hub=False, examples=10, context="train")
    )
    tracker.log_artifact(tmp_path / "model" / "weights.txt", "texts")
    model = tracker.log_model(tmp_path / "model", name="prompt", params={}, step=1)
    tracker.use_model(model.model_id)
    cuts.cut.discard(("POST", "runs/log-inputs"))
    tracker.use_model(model.model_id)
    tracker.set_tag("kept", "yes")
    tracker.end("FINISHED")
    assert {("POST", "runs/log-batch"), ("GET", "runs/get"), ("POST", "runs/update")} <= cuts.cut
    assert any(method == "PUT" for method, _ in cuts.cut)  # a file's upload

    client = mlflow.MlflowClient(tracking_uri=server)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["kept"] == "yes"
    assert [each.value for each in client.get_metric_history(run_id, "train/loss")] == [2.0]
    assert [each.path for each in client.list_artifacts(run_id, "texts")] == ["texts/weights.txt"]
    assert [each.model_id for each in run.outputs.model_outputs] == [model.model_id]
    assert [each.model_id for each in run.inputs.model_inputs] == [model.model_id]
    assert len(client.search_runs([run.info.experiment_id])) == 1


def test_a_run_is_not_opened_twice(cuts, server, tmp_path):
    cuts.also = {("POST", "runs/create")}
    with pytest.raises(TrackingError, match=r"Connection broken.*Start its server again"):
        MlflowTracker(tmp_path).start(experiment="ner", run_name="one", params={}, tags={})
    client = mlflow.MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name("xlprompt/ner")
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_figures_do_not_hold_training_up(cuts, tmp_path, caplog):
    tracker = MlflowTracker(tmp_path)
    tracker.start(experiment="xnli", run_name="one", params={}, tags={})
    cuts.cut.discard(("POST", "runs/log-batch"))
    tracker.log_metrics({"train/loss": 2.0}, step=1)
    tracker.flush()
    assert "Training goes on, and its figures are kept until it can" in caplog.text
    tracker.end("FINISHED")
    assert "can be written again, nothing is lost" in caplog.text

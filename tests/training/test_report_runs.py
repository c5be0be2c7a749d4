"""From a real small store to a report: which runs count, and what the store keeps of it."""

import io

import mlflow
import pytest
from rich.console import Console
from small import write_data
from studies import write_study

from xlprompt.training.cells import StudyError
from xlprompt.training.ledger import Ledger
from xlprompt.training.report_runs import find_runs, report_study
from xlprompt.training.study import run_study
from xlprompt.training.tracker import store_uri

pytestmark = pytest.mark.integration


def test_a_finished_study_becomes_a_report_that_the_store_keeps(tmp_path, tiny_xglm):
    store, out = tmp_path / "mlruns", tmp_path / "out"
    with pytest.raises(StudyError, match="there is no MLflow store"):
        report_study(store, out)
    data = write_data(tmp_path / "data")
    here = {"executor.workers": 0}
    console = Console(file=io.StringIO())
    for methods in (("prompt",), ("prompt", "finetune")):
        if methods != ("prompt",):
            with pytest.raises(StudyError, match="no task has finished runs of a study with both"):
                report_study(store, out)
        grid = write_study(tmp_path / "study", tiny_xglm, data, methods=methods)
        assert run_study(grid, store=store, console=console, grid_overrides=here).finished

    study = find_runs(Ledger(store))
    assert sorted(study.runs) == [("xnli", m, seed) for m in ("finetune", "prompt") for seed in (0, 1)]
    with pytest.raises(StudyError, match="of other"):
        report_study(store, out, "other")
    page, text = report_study(store, out)
    assert "xnli: scores by language" in page.read_text(encoding="utf-8")
    client = mlflow.MlflowClient(tracking_uri=store_uri(store))
    experiment = client.get_experiment_by_name("report")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert {each.path for each in client.list_artifacts(run.info.run_id)} == {page.name, text.name}

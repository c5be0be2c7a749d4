"""What MLflow shows of a run besides its figures: user, command, the parameters that counted, its note."""

import io
import subprocess
import sys

import mlflow
import pytest
from rich.console import Console
from small import tiny_recipe, write_data

from xlprompt.training import evaluate, find_directory, train
from xlprompt.training.recipes.recipe import flatten
from xlprompt.training.store.database import store_uri
from xlprompt.training.store.labels import run_params
from xlprompt.training.store.shown.origin import origin_tags, without_passwords, working_for


def test_runs_name_the_command_that_they_are_of_and_outside_of_one_the_script():
    with working_for(["train", "my recipe.yaml", "--seed", "1"]):
        tags = origin_tags()
        code = "from xlprompt.training.store.shown.origin import origin_tags; print(origin_tags()['command'])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert tags["mlflow.source.name"] == "xlprompt train"
    assert tags["command"] == "xlprompt train 'my recipe.yaml' --seed 1" == done.stdout.strip()
    assert tags["mlflow.user"]
    outside = origin_tags()
    assert "command" not in outside
    assert outside["mlflow.source.name"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("xlprompt search s.yaml --database postgresql://me:secret@host/db", "postgresql://host/db"),
        ("xlprompt train r.yaml --data https://host/a@b", "https://host/a@b"),
    ],
)
def test_no_password_of_an_address_is_kept(text, kept):
    assert without_passwords(text).endswith(f" {kept}")
    assert "secret" not in without_passwords(text)


def test_parameters_are_those_of_the_method_that_ran(tmp_path):
    recipe = tiny_recipe("xnli", tmp_path, tmp_path, method="lora")
    params = run_params(recipe)
    sections = {key.partition(".")[0] for key in params if "." in key}
    assert "lora" in sections
    assert not {"prompt", "finetune", "adapter", "ia3", "bitfit", "zeroshot"} & sections
    assert {"head", "optimizer", "schedule", "data", "encoding", "evaluation"} <= sections
    assert params.items() <= flatten(recipe).items()
    assert {"head.kind"} <= params.keys()  # the head is of every method, and a method's name as well


@pytest.mark.integration
def test_a_run_and_its_evaluation_carry_headline_figures_and_a_note(tiny_xglm, tmp_path):
    store, data, quiet = tmp_path / "mlruns", write_data(tmp_path / "data"), Console(file=io.StringIO())
    recipe = tiny_recipe("xnli", tiny_xglm, data, schedule={"steps": 2, "evaluate_every": 2})
    result = train(recipe, store=store, console=quiet)
    evaluate(result.run_id, store=store, console=quiet, languages=["de"])
    client = mlflow.MlflowClient(store_uri(store))
    trained = client.get_run(result.run_id)
    metrics, note = trained.data.metrics, trained.data.tags["mlflow.note.content"]
    assert metrics["score/trained_on"] == pytest.approx(metrics["test/accuracy/en"], abs=0.005)
    assert metrics["score/zero_shot"] == pytest.approx(metrics["test/accuracy/mean_zero_shot"], abs=0.005)
    assert metrics["score/gap"] == pytest.approx(metrics["test/accuracy/transfer_gap"], abs=0.005)
    assert list(metrics)[:3] == ["score/trained_on", "score/zero_shot", "score/gap"]  # as MLflow lists them
    assert note.startswith(f"English **{metrics['test/accuracy/en']:.1f}** · zero-shot mean **")
    for part in ("| Swahili (sw) |", f"xlprompt export {result.run_id}", f"xlprompt inspect {result.run_id}"):
        assert part in note
    once = {key for key in metrics if len(client.get_metric_history(result.run_id, key)) == 1}
    curves = {key for key in once if key.startswith(("train/", "validation/"))}
    steps = {client.get_metric_history(result.run_id, key)[0].step for key in once - curves}
    assert steps == {0}
    (other,) = client.search_runs([trained.info.experiment_id], "tags.job = 'evaluate'")
    assert other.data.metrics["score/zero_shot"] == pytest.approx(
        other.data.metrics["test/accuracy/de"], abs=0.005
    )
    assert "score/trained_on" not in other.data.metrics
    note = other.data.tags["mlflow.note.content"]
    for part in ("| German (de) |", f"inspect {other.info.run_id}", f"xlprompt export {result.run_id}"):
        assert part in note
    assert f"xlprompt serve {result.run_id}\n```\n\nIn the folder that holds the store `mlruns`; " in note
    for which in (other.info.run_id[:8], other.info.run_name):  # an evaluation stands for what it scored
        assert find_directory(which, store) == find_directory(result.run_id, store)

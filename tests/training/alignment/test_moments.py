"""Alignment in runs and evaluations: which text it reads, what it keeps, and what it says."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from small import TAGS, WORDS, tiny_recipe, write_data, write_lines

from xlprompt.data import TASKS, DataError
from xlprompt.evaluation.answers.predictions import save_predictions
from xlprompt.evaluation.processes import Processes
from xlprompt.models import AlignmentSettings, load_tokenizer
from xlprompt.studies.analyses.alignment.aligned_runs import find_aligned, find_curves
from xlprompt.studies.analyses.alignment.measure import analyze_alignment
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import CellRun
from xlprompt.training import RunError, evaluate, train
from xlprompt.training.alignment.files import alignment_path, load_alignment, save_alignment
from xlprompt.training.alignment.measure import measure_alignments
from xlprompt.training.alignment.moments import measure
from xlprompt.training.errors import CheckpointError, RecipeError
from xlprompt.training.inputs.chosen_data import open_data
from xlprompt.training.inputs.preparation import Setup, build_model
from xlprompt.training.store.checkpoint import load_checkpoint, restore
from xlprompt.training.store.database import store_uri

pytestmark = pytest.mark.integration

KINDS = ("mean", "mean_scale", "principal", "subspace")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """POS: English whole, German with a development set, Swahili with a training set, Hindi with neither."""
    folder = write_data(tmp_path_factory.mktemp("data"))

    def sentences(language, count):
        words = WORDS.get(language, WORDS["en"])
        return [
            {
                "tokens": [words[(i * j) % 10] for j in range(4)],
                "tags": [TAGS[(i * j) % 10] for j in range(4)],
            }
            for i in range(count)
        ]

    for language, split in (("de", "validation"), ("sw", "train"), ("sw", "test"), ("hi", "test")):
        write_lines(folder / "pos" / f"{language}.{split}.jsonl", sentences(language, 12))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "mlruns"


@pytest.fixture(scope="module")
def console():
    return Console(file=io.StringIO(), width=100)


@pytest.fixture(scope="module")
def trained(tiny_gemma, data, store, console, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPROMPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        alignment = {"kinds": KINDS, "sentences": 10}
        recipe = tiny_recipe("pos", tiny_gemma, data, evaluation={"alignment": alignment})
        return recipe, train(recipe, store=store, console=console)


def text_of(console):
    return console.file.getvalue()


class Watched:
    """A source that notes what is loaded from it."""

    def __init__(self, source):
        self.source, self.name, self.loaded = source, source.name, []

    def load(self, task, language, split, limit=None, **options):
        self.loaded.append((language, split, limit))
        return self.source.load(task, language, split, limit=limit, **options)

    def __getattr__(self, name):
        return getattr(self.source, name)


def loaded_model(recipe, result):
    source = Watched(open_data(recipe))
    tokenizer = load_tokenizer(recipe.model)
    setup = Setup(recipe, TASKS[recipe.task], source, tokenizer, CPU, Processes())
    model = build_model(recipe, tokenizer, CPU)
    restore(load_checkpoint(result.checkpoint), model, backbone_fingerprint=model.backbone.fingerprint)
    return setup, model, source


def test_no_row_of_a_test_set_is_read_for_moments(trained):
    recipe, result = trained
    setup, model, source = loaded_model(recipe, result)
    measure(setup, model, ["en", "de", "sw", "hi"], recipe.evaluation.alignment)
    assert source.loaded == [("en", "validation", 1000), ("de", "validation", 10), ("sw", "train", 10)]


def test_a_languages_distance_is_in_deviations_of_the_language_trained_on(trained):
    _, result = trained
    stored = load_alignment(result.checkpoint, 10, None)
    own, english = stored.moments["de"], stored.target.moments
    expected = ((own.mean - english.mean) / english.deviation).norm() / len(own.mean) ** 0.5
    assert stored.distance("de") == pytest.approx(float(expected), rel=1e-5)
    assert stored.distance("en") is None
    moved = {"de": replace(own, mean=english.mean + 2 * english.deviation)}
    assert replace(stored, moments=moved).distance("de") == pytest.approx(2.0, rel=1e-5)


def test_a_run_reports_every_kind_beside_the_scores_without(trained, store):
    _, result = trained
    metrics = mlflow.MlflowClient(store_uri(store)).get_run(result.run_id).data.metrics
    for kind in KINDS:
        assert metrics[f"test-{kind}/accuracy/en"] == metrics["test/accuracy/en"]
        assert f"test-{kind}/accuracy/mean_zero_shot" in metrics
        assert metrics[f"answers/entropy-{kind}/en"] == metrics["answers/entropy/en"]
        assert metrics[f"answers/entropy-{kind}/de"] != metrics["answers/entropy/de"]
    distances = {name for name in metrics if name.startswith("alignment/distance/")}
    assert distances == {"alignment/distance/de", "alignment/distance/sw"}  # that have text and are moved
    assert result.report.split == "test"
    assert list(result.scores.aligned) == list(KINDS)


def test_a_language_without_text_stays_as_it_is_but_for_the_subspace(trained, console):
    _, result = trained
    plain = result.report.results["hi"].scores
    for kind in ("mean", "mean_scale", "principal"):
        assert result.scores.aligned[kind].results["hi"].scores["accuracy"].value == plain["accuracy"].value
    assert "Hindi (hi) -" in text_of(console)
    assert "no text to be aligned by" in text_of(console)


def test_the_subspace_is_of_the_languages_that_are_scored_and_not_of_all_that_were_measured(trained):
    _, result = trained
    stored = load_alignment(result.checkpoint, 10, None)
    alone = replace(stored, moments={"de": stored.moments["de"]})
    (found,) = stored.maps("de", ["subspace"], ["en", "de", "hi"]).values()
    (expected,) = alone.maps("de", ["subspace"], ["en", "de"]).values()
    assert torch.equal(found.weight, expected.weight)
    (wider,) = stored.maps("de", ["subspace"], ["de", "sw"]).values()
    assert not torch.allclose(wider.weight, expected.weight)


def single_sentence(language, data, folder):
    """The data with one word, which is read at one place, as a language's development set."""
    rows = [{"tokens": ["Zug"], "tags": ["NOUN"]}]
    shutil.copytree(data, folder)
    write_lines(folder / "pos" / f"{language}.validation.jsonl", rows)
    return str(folder)


def test_a_language_with_too_little_text_is_named_and_stays_as_it_is(trained, data, console, tmp_path):
    recipe, result = trained
    source = single_sentence("de", data, tmp_path / "data")
    changed = recipe.data.model_copy(update={"source": source})
    setup, model, _ = loaded_model(recipe.model_copy(update={"data": changed}), result)
    settings = recipe.evaluation.alignment
    (found,) = measure_alignments(setup, model, ["en", "de", "sw", "hi"], console, [settings], None)
    assert found.moments.keys() == {"sw"}
    assert found.without_text(["de", "sw"]) == ("de",)
    assert "read at one place besides the test set: de\n" in text_of(console)
    stored = load_alignment(result.checkpoint, 10, None)  # of the text before, which it no longer has
    assert measure(setup, model, ["de", "sw"], settings, stored=stored).moments.keys() == {"sw"}


def test_too_little_text_to_align_to_ends_a_run_before_it_begins(trained, data, store, console, tmp_path):
    recipe, _ = trained
    source = single_sentence("en", data, tmp_path / "data")
    changed = recipe.data.model_copy(update={"source": source})
    with pytest.raises(RunError, match="data: the validation set of pos in 'en'.* is read at 1 place"):
        train(recipe.model_copy(update={"data": changed}), store=store, console=console)


def test_predictions_of_every_kind_are_kept(trained, store):
    _, result = trained
    client = mlflow.MlflowClient(store_uri(store))
    for kind in KINDS:
        files = client.list_artifacts(result.run_id, f"predictions-{kind}")
        assert [file.path.split("/")[1].split(".")[0] for file in files] == ["de", "en", "hi", "sw"]


def test_an_evaluation_uses_the_moments_beside_the_checkpoint(trained, store, console, monkeypatch):
    recipe, result = trained
    stored = load_alignment(result.checkpoint, 10, None)
    setup, model, source = loaded_model(recipe, result)
    again = measure(setup, model, ["de", "sw"], recipe.evaluation.alignment, stored=stored)
    assert source.loaded == []
    assert torch.equal(again.moments["de"].mean, stored.moments["de"].mean)
    scores = evaluate(result.run_id, store=store, console=console)
    assert scores.aligned["principal"].metrics() == result.scores.aligned["principal"].metrics()


def test_moments_serve_where_the_data_have_no_text(trained, store, console, tmp_path):
    """As for predictions on someone else's test set."""
    recipe, result = trained
    write_lines(
        tmp_path / "pos" / "de.test.jsonl", [{"tokens": ["Frau", "liest"], "tags": ["NOUN", "VERB"]}] * 3
    )
    scores = evaluate(result.run_id, store=store, console=console, source=str(tmp_path))
    assert list(scores.aligned["mean"].results) == ["de"]
    fresh = evaluate(
        result.run_id, store=store, console=console, source=str(tmp_path), align_sentences=[7]
    )  # nothing is kept for seven sentences
    assert fresh.aligned == {}
    assert "No alignment" in text_of(console)


def test_other_text_is_read_anew(trained, data, tmp_path):
    recipe, result = trained
    shutil.copytree(data, tmp_path / "data")
    sentence = {"tokens": ["Zug", "geht"], "tags": ["NOUN", "VERB"]}
    write_lines(tmp_path / "data" / "pos" / "de.validation.jsonl", [sentence] * 5)
    changed = recipe.data.model_copy(update={"source": str(tmp_path / "data")})
    setup, model, source = loaded_model(recipe.model_copy(update={"data": changed}), result)
    stored = load_alignment(result.checkpoint, 10, None)
    measure(setup, model, ["de", "sw"], recipe.evaluation.alignment, stored=stored)
    assert source.loaded == [("de", "validation", 10)]


def test_moments_of_other_text_replace_those_beside_the_checkpoint(
    trained, new_store, console, data, tmp_path
):
    """So that what is predicted from then on is aligned as the scores were."""
    _, result = trained
    checkpoint = shutil.copytree(result.checkpoint, tmp_path / "checkpoint")
    before = load_alignment(checkpoint, 10, None)
    shutil.copytree(data, tmp_path / "data")
    sentence = {"tokens": ["Zug", "geht"], "tags": ["NOUN", "VERB"]}
    write_lines(tmp_path / "data" / "pos" / "de.validation.jsonl", [sentence] * 5)
    evaluate(checkpoint, store=new_store, console=console, source=str(tmp_path / "data"), align=KINDS)
    after = load_alignment(checkpoint, 10, None)
    changed = {code for code in after.texts if after.texts[code] != before.texts[code]}
    assert changed == {"de"}
    assert not torch.equal(after.moments["de"].mean, before.moments["de"].mean)


def without_tags(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_lines(path, [{"tokens": row["tokens"]} for row in rows])


def test_text_without_labels_aligns_as_the_same_text_with_labels_does(
    trained, new_store, console, data, tmp_path
):
    _, result = trained
    shutil.copytree(data, tmp_path / "bare")
    for name in ("en.validation", "de.validation", "sw.train"):
        without_tags(tmp_path / "bare" / "pos" / f"{name}.jsonl")
    found = []
    for source in (data, tmp_path / "bare"):
        checkpoint = shutil.copytree(result.checkpoint, tmp_path / f"checkpoint-{source.name}")
        alignment_path(checkpoint, 10, None).unlink()
        scores = evaluate(checkpoint, store=new_store, console=console, source=str(source), align=KINDS)
        found.append({kind: each.metrics() for kind, each in scores.aligned.items()})
        assert load_alignment(checkpoint, 10, None).texts.keys() == {"en", "de", "sw"}
    assert found[0] == found[1]
    assert found[0].keys() == {*KINDS}


@pytest.mark.parametrize("name", ["en.train", "en.validation", "de.test"])
def test_what_is_trained_on_chosen_by_or_scored_needs_labels(
    trained, new_store, console, data, tmp_path, name
):
    recipe, _ = trained
    shutil.copytree(data, tmp_path / "data")
    without_tags(tmp_path / "data" / "pos" / f"{name}.jsonl")
    changed = recipe.data.model_copy(update={"source": str(tmp_path / "data")})
    with pytest.raises(DataError, match=rf"{name}\.jsonl:1: missing column 'tags'"):
        train(recipe.model_copy(update={"data": changed}), store=new_store, console=console)


def test_moments_are_refused_beside_another_checkpoint(trained, tmp_path):
    _, result = trained
    shutil.copytree(result.checkpoint, tmp_path / "other")
    document = json.loads((tmp_path / "other" / "checkpoint.json").read_text())
    (tmp_path / "other" / "checkpoint.json").write_text(json.dumps({**document, "step": 99}))
    with pytest.raises(CheckpointError, match=r"belongs to the checkpoint .* Delete it"):
        load_alignment(tmp_path / "other", 10, None)


@pytest.mark.parametrize("damage", ["cut", "stripped", "newer"])
def test_damaged_moments_are_refused(trained, tmp_path, damage):
    _, result = trained
    shutil.copytree(result.checkpoint, tmp_path / "copy")
    path = alignment_path(tmp_path / "copy", 10, None)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif damage == "stripped":
        save_file(load_file(path), path)
    else:
        save_file(load_file(path), path, {"xlprompt": json.dumps({"format_version": 99})})
    with pytest.raises(CheckpointError, match="Delete it"):
        load_alignment(tmp_path / "copy", 10, None)


def test_kept_moments_come_back_as_they_were(trained, tmp_path):
    _, result = trained
    stored = load_alignment(result.checkpoint, 10, None)
    assert load_alignment(result.checkpoint, 11, None) is None
    assert load_alignment(result.checkpoint, 10, 2) is None
    shutil.copytree(result.checkpoint, tmp_path / "copy")
    save_alignment(tmp_path / "copy", replace(stored, layer=2))
    again = load_alignment(tmp_path / "copy", 10, 2)
    assert (again.texts, again.layer) == (stored.texts, 2)
    assert torch.equal(again.target.directions, stored.target.directions)


def test_sentences_and_layers_can_be_swept(trained, store, console):
    _, result = trained
    options = {"store": store, "console": console, "languages": ["en", "de"]}
    curve = evaluate(result.run_id, align=["mean"], align_sentences=[10, 3], **options)
    assert list(curve.sweep["mean"]) == [3, 10]
    assert curve.sweep["mean"][10] == pytest.approx(curve.aligned["mean"].mean_zero_shot().value)
    layers = evaluate(result.run_id, align=["mean_scale"], align_layers=[1, 3, None], **options)
    assert list(layers.sweep["mean_scale"]) == [1, 3, None]
    client = mlflow.MlflowClient(store_uri(store))
    (newest,) = client.search_runs(
        [client.get_run(result.run_id).info.experiment_id], "tags.job = 'evaluate'", max_results=1
    )
    history = client.get_metric_history(
        newest.info.run_id, "test-mean_scale/accuracy/mean_zero_shot_by_layer"
    )
    assert sorted(point.step for point in history) == [0, 1, 3]
    artifacts = {file.path for file in client.list_artifacts(newest.info.run_id)}
    assert {"alignment.txt", "alignment.json", "alignment-layer.txt", "alignment-layer.png"} <= artifacts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"align": ["mena"]}, "mean_scale"),
        ({"align": ["none"], "align_layers": [2]}, "add --align"),
        ({"align": ["mean"], "align_layers": [1, 2], "align_sentences": [3, 4]}, "not over both"),
    ],
)
def test_what_cannot_be_aligned_is_said(trained, store, console, options, message):
    _, result = trained
    with pytest.raises(RecipeError, match=message):
        evaluate(result.run_id, store=store, console=console, **options)


def test_a_layer_that_is_not_there_ends_a_run_before_it_begins(trained, store, console):
    recipe, _ = trained
    settings = recipe.evaluation.alignment.model_copy(update={"layer": 4})
    evaluation = recipe.evaluation.model_copy(update={"alignment": settings})
    with pytest.raises(RunError, match="has 3 layers"):
        train(recipe.model_copy(update={"evaluation": evaluation}), store=store, console=console)


def test_every_layer_of_a_sweep_is_asked_for_before_it_begins(trained, store, console):
    _, result = trained
    client = mlflow.MlflowClient(store_uri(store))
    everywhere = [each.experiment_id for each in client.search_experiments()]
    before = len(client.search_runs(everywhere))
    with pytest.raises(RunError, match="has 3 layers, and evaluation.alignment.layer is 4"):
        evaluate(result.run_id, store=store, console=console, align=["mean"], align_layers=[4, 2])
    assert len(client.search_runs(everywhere)) == before


def test_runs_that_were_aligned_in_english_alone_stop_no_analysis(trained, data, new_store, console):
    recipe, _ = trained
    data_settings = recipe.data.model_copy(update={"languages": ("en",)})
    train(recipe.model_copy(update={"data": data_settings}), store=new_store, console=console)
    findings = analyze_alignment(new_store)
    assert [each.advice for each in findings.recommended.values()] == [None]


def test_gains_come_from_stored_predictions(trained, store):
    _, result = trained
    findings = analyze_alignment(store, tasks=["pos"])
    gain = next(gain for gain in findings.gains if gain.kind == "mean")
    differences = {row.language: row.estimate.value for row in gain.comparison.differences}
    aligned, plain = result.scores.aligned["mean"].results, result.report.results
    for code, value in differences.items():
        scores = [each[code].scores["accuracy"].value for each in (aligned, plain)]
        assert value == pytest.approx(scores[0] - scores[1])
    assert gain.comparison.method == "prompt+mean"


def test_the_claims_are_judged_with_each_kind_where_both_methods_have_run(trained, store, console):
    recipe, _ = trained
    train(recipe.model_copy(update={"method": "finetune"}), store=store, console=console, engine="torch")
    findings = analyze_alignment(store, tasks=["pos"])
    assert [kind for _, kind in findings.verdicts] == ["none", *KINDS]
    assert {len(verdicts) for verdicts in findings.verdicts.values()} == {4}
    assert {gain.method for gain in findings.gains} == {"prompt", "finetune"}
    json.dumps(findings.to_dict())


def sweep_run(seed, model, metric, points):
    """A run whose metric has the points of a sweep over sentences as its history."""
    name = f"test-mean/{metric}/mean_zero_shot_by_sentences"
    metrics = {f"test/{metric}/mean_zero_shot": 50.0 + seed, name: max(points.values())}
    params = {"seed": str(seed), "evaluation.alignment.sentences": str(max(points)), "prompt.length": "4"}
    tags = {"task": "pos", "model": model, "method": "prompt"}
    return CellRun(f"{model}-{seed}-{max(points)}", "FINISHED", 0, params, tags, metrics, None), points


def test_sweeps_of_several_runs_and_calls_become_one_curve():
    runs = [
        sweep_run(0, "m", "accuracy", {50: 63.0, 100: 65.0}),  # the newest
        sweep_run(0, "m", "accuracy", {5: 55.0, 50: 1.0}),
        sweep_run(1, "m", "accuracy", {5: 57.0, 50: 61.0, 100: 67.0}),
        sweep_run(0, "other", "accuracy", {5: 20.0, 50: 30.0}),
    ]
    histories = {run.run_id: points for run, points in runs}

    class Store:
        def history(self, run_id, metric):
            return tuple(histories[run_id].items())

    mine, other = find_curves(Store(), [run for run, _ in runs])
    assert (mine.model, mine.task, mine.method, mine.seeds) == ("m", "pos", "prompt", (0, 1))
    assert {value: found.mean for value, found in mine.points["mean"].items()} == {
        5: 56.0,
        50: 62.0,
        100: 66.0,
    }
    assert (mine.none.mean, other.seeds) == (50.5, (0,))


def test_an_analysis_without_aligned_runs_says_what_to_do(tmp_path):
    with pytest.raises(StudyError, match="no MLflow store"):
        analyze_alignment(tmp_path)


def test_settings_name_their_default():
    assert AlignmentSettings().kinds == ("none",)


def find_lora_runs(key, *values):
    """Aligned runs of as many seeds that differ in one parameter, and what is said of those left out."""

    def run(seed, value):
        tags = {"task": "pos", "model": "m", "method": "lora"}
        params = {"seed": str(seed), "evaluation.token_budget": str(seed)}
        params |= {} if value is None else {key: value}
        return CellRun(f"{seed}-{value}", "FINISHED", 0, params, tags, {}, None)

    class Store:
        def predictions(self, run_id, kind="none"):
            return {"de": Path(run_id)} if kind == "mean" else {}

    found, notes = find_aligned(Store(), [run(seed, value) for seed, value in enumerate(values)])
    return [each.run_id for each in found.values()], notes


def test_where_the_data_lay_tells_no_runs_apart_but_which_examples_were_scored(tmp_path):
    gold = {"a": [[0]], "moved": [[0]], "other": [[1]]}
    for name, answers in gold.items():
        save_predictions(
            tmp_path / f"{name}.jsonl.gz",
            task=TASKS["xnli"],
            language="de",
            split="test",
            ids=["1"],
            gold=answers,
            predicted=[[0]],
        )

    def run(seed, name):
        tags = {"task": "xnli", "model": "m", "method": "prompt"}
        return CellRun(name, "FINISHED", 0, {"seed": str(seed), "data.source": f"/{name}"}, tags, {}, None)

    class Store:
        def predictions(self, run_id, kind="none"):
            return {"de": tmp_path / f"{run_id}.jsonl.gz"} if kind in ("none", "mean") else {}

    found, notes = find_aligned(Store(), [run(seed, name) for seed, name in enumerate(gold)])
    assert [each.run_id for each in found.values()] == ["a", "moved"]
    assert "1 other setting has" in notes[0]


def test_another_methods_parameters_which_earlier_versions_logged_as_well_tell_no_runs_apart():
    found, notes = find_lora_runs("prompt.length", "8", "16", None)
    assert found == ["0-8", "1-16", "2-None"]
    assert not notes


@pytest.mark.parametrize("key", ["lora.rank", "optimizer.learning_rate", "gradient_checkpointing"])
def test_runs_that_differ_in_any_value_of_the_recipe_are_not_mixed(key):
    found, notes = find_lora_runs(key, "8", "8", "16")
    assert found == ["0-8", "1-8"]
    assert "1 other setting has" in notes[0]

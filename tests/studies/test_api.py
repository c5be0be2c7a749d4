"""The ways in from Python: from a run to labels and data frames, and the same in its page's words."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from peft import LoraConfig
from peft_models import trained_by_peft
from small import MINI_TASKS, tiny_recipe, write_data
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import xlprompt
from xlprompt.data import DataError
from xlprompt.studies import StudyError, api
from xlprompt.studies.grid.ledger import CellRun
from xlprompt.training import Predictor, TrackingError
from xlprompt.training.errors import CheckpointError, RecipeError
from xlprompt.training.recipes.recipe import recipe_to_dict

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("api") / "mlruns"


@pytest.fixture(scope="module")
def scores(tiny_xglm, store, tmp_path_factory):
    """Two seeds of a prompt and of a head, one file of settings for all."""
    folder = tmp_path_factory.mktemp("recipes")
    recipe = tiny_recipe(
        "xnli", tiny_xglm, write_data(folder / "data"), evaluation={"language_model_rows": 0}
    )
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe_to_dict(recipe)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPROMPT_CACHE", str(folder / "cache"))
        frames = [
            xlprompt.train(
                folder / "tiny.yaml", seed=seed, set={"method": method, "schedule.steps": 4}, store=store
            )
            for method in ("prompt", "head")
            for seed in (0, 1)
        ]
    return pd.concat(frames, ignore_index=True)


def test_training_gives_a_row_a_run_and_language(scores):
    assert list(scores.language) == ["en", "de", "sw"] * 4
    assert set(zip(scores.method, scores.seed, strict=True)) == {
        (m, s) for m in ("prompt", "head") for s in (0, 1)
    }
    assert scores.run.nunique() == 4
    assert list(scores.zero_shot[:3]) == [False, True, True]
    assert scores.score.between(0, 100).all()


def test_what_is_loaded_labels_text(scores, store, capfd):
    by_prefix = xlprompt.load(scores.run.iloc[-1][:12], store=store)
    latest = xlprompt.load(store=store)
    assert isinstance(latest, Predictor)
    pairs = [("the man reads", "man")]
    assert latest.predict(pairs) == by_prefix.predict(pairs)
    assert capfd.readouterr().out == ""
    with pytest.raises(TrackingError, match="no run 'nonsense'"):
        xlprompt.load("nonsense", store=store)


def test_an_evaluation_gives_the_scores_of_training_again(scores, store):
    trained = scores[scores.run == scores.run[0]]
    again = xlprompt.evaluate(scores.run[0], store=store, align=["mean"])
    plain = again[again.alignment == "none"].reset_index(drop=True)
    pd.testing.assert_frame_equal(plain, trained)
    assert set(again.alignment) == {"none", "mean"}
    assert set(again.split) == {"test"}


def test_runs_that_are_named_are_compared_by_language(scores, store):
    found = xlprompt.compare(*dict.fromkeys(scores.run), store=store)
    assert list(found.language) == ["en", "de", "sw", "mean_zero_shot"]
    means = scores.groupby(["method", "language"]).score.mean()
    for row in found.head(3).itertuples():
        assert row.prompt == pytest.approx(means["prompt", row.language])
        assert row.difference == pytest.approx(means["prompt", row.language] - means["head", row.language])
    assert (found.low <= found.difference).all()
    assert (found.difference <= found.high).all()
    other = xlprompt.compare(*dict.fromkeys(scores.run), baseline="prompt", store=store)
    pd.testing.assert_series_equal(other.difference, -found.difference)


def test_what_cannot_be_compared_is_said(scores, store):
    with pytest.raises(StudyError, match=r"both prompt and finetune, only xnli prompt"):
        xlprompt.compare(scores.run[0], store=store)
    with pytest.raises(StudyError, match="make all-tasks"):
        xlprompt.compare(store=store)
    with pytest.raises(StudyError, match=r"both lora and finetune, only none"):
        xlprompt.compare(method="lora", store=store)
    with pytest.raises(DataError, match=r"none\.jsonl\.gz"):  # a lone file, as a list of one
        xlprompt.compare(published="none.jsonl.gz", store=store)
    both = list(dict.fromkeys(scores.run))
    for given in ({"backbone": "xglm-nano"}, {"train_language": "sw"}, {"published": ["runs.jsonl.gz"]}):
        with pytest.raises(StudyError, match=f"{next(iter(given))} chooses among the store's study"):
            xlprompt.compare(*both, store=store, **given)


def test_runs_of_several_models_or_of_three_methods_are_not_compared():
    def run(model, method):
        return CellRun("a", "FINISHED", 0, {}, {"model": model, "method": method}, {}, None)

    several = [run("a", "prompt"), run("b", "finetune")]
    with pytest.raises(StudyError, match="of several models: a, b"):
        api._require_comparable(several, None, None, None, ())
    three = [run("a", method) for method in ("prompt", "finetune", "lora")]
    with pytest.raises(StudyError, match="of 3 methods: prompt, finetune, lora"):
        api._require_comparable(three, None, None, None, ())
    api._require_comparable(three, "finetune", None, None, ())
    api._require_comparable(three[:2], None, None, None, ())


def test_runs_are_a_frame_in_the_order_of_their_training(scores, store):
    found = xlprompt.runs(store=store, task="xnli")
    assert list(found.run) == list(dict.fromkeys(scores.run))[::-1]
    assert found.name[0] == f"xnli-head-{scores.model[0]}-seed1"
    score = scores[(scores.run == found.run[0]) & (scores.language == "en")].score.item()
    assert found.score[0] == pytest.approx(score)
    assert list(xlprompt.runs(store=store, task="pos").columns) == list(found.columns)


def test_a_task_and_a_method_name_the_recipe_of_a_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(RecipeError, match="no task 'xnle'|there is no such recipe"):
        xlprompt.train(task="xnle", store=tmp_path)
    with pytest.raises(RecipeError, match="schedule.stepps"):
        xlprompt.train(task="xnli", set={"schedule.stepps": 3}, store=tmp_path)
    with pytest.raises(RecipeError, match="lora"):
        xlprompt.train(task="xnli", set={"lora.rank": 3}, store=tmp_path)
    with pytest.raises(RecipeError, match="method: names a recipe where no file is given, and a.yaml is"):
        xlprompt.train("a.yaml", method="lora")
    with pytest.raises(RecipeError, match="nothing says what to train"):
        xlprompt.train(store=tmp_path)
    assert "xnli" in MINI_TASKS
    with pytest.raises(RecipeError, match="lora.rank"):  # which LoRA's recipe has, and takes no other name of
        xlprompt.train(task="xnli", method="lora", set={"lora.rank": 0}, store=tmp_path)
    with pytest.raises(RecipeError, match="xnli-lora.yaml"):
        xlprompt.train(task="xnli", method="lora", scale="nowhere", store=tmp_path)


def test_the_pages_ten_lines_lead_from_training_to_labels(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "howto" / "python.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    steps, fewer = (
        '"schedule.steps": 600',
        '"schedule.steps": 2, "data.limit": 16, "data.languages": ["en", "de"]',
    )
    assert steps in code
    monkeypatch.chdir(tmp_path)
    Path("experiments").symlink_to(ROOT / "experiments")
    exec(compile(code.replace(steps, fewer), "python.md", "exec"), {})
    shown = capsys.readouterr().out
    assert re.search("True +[0-9.]+", shown)
    assert re.search(r"(entailment|neutral|contradiction) 0\.\d+ {'entailment'", shown)


def test_the_pages_ten_lines_lead_from_an_adapter_of_peft_to_labels(
    tiny_llama, new_store, tmp_path, monkeypatch, capsys
):
    page = (ROOT / "docs" / "howto" / "export.md").read_text()
    (code,) = re.findall(r"```python\n(import xlprompt\n.*?)```", page, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    monkeypatch.chdir(tmp_path)
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS")
    kind = AutoModelForSequenceClassification
    model, folder = trained_by_peft(kind, tiny_llama, config, Path("my-lora"), num_labels=3)
    with pytest.raises(CheckpointError, match="xlprompt import my-lora"):
        xlprompt.load(folder)
    data = write_data(tmp_path / "data")
    known: dict[str, Any] = {}
    exec(compile(code.replace('"mini"', repr(str(data))), "export.md", "exec"), known)
    pair = AutoTokenizer.from_pretrained(tiny_llama)(
        "Ein Mann schläft.", "Niemand schläft.", return_tensors="pt"
    )
    with torch.no_grad():
        expected = known["labels"][int(model(**pair).logits.argmax())]
    shown = capsys.readouterr().out
    assert re.search(r"'test/accuracy/mean_zero_shot': \d", shown)
    assert re.search(rf"^{expected} \{{'entailment'", shown, re.MULTILINE)

"""Pretraining at a toy size: what is stored, and that an interrupted build ends the same."""

import json
from itertools import islice
from pathlib import Path

import mlflow
import pytest
import torch
from safetensors.torch import load_file

from xlprompt.data import STUDY_LANGUAGES
from xlprompt.data.mini.corpus import passages
from xlprompt.models import load_backbone, load_tokenizer
from xlprompt.models.pretrained.known import BUILT_HERE
from xlprompt.training import RecipeError, store_uri
from xlprompt.training.fitting.listeners import Listener, Step
from xlprompt.training.pretraining import loss, text
from xlprompt.training.pretraining import pretrain as pretraining
from xlprompt.training.pretraining.loss import next_token_loss
from xlprompt.training.pretraining.pretrain import (
    PretrainingError,
    pretrain,
)
from xlprompt.training.pretraining.recipe import PretrainingRecipe
from xlprompt.training.pretraining.text import Row, token_rows
from xlprompt.training.recipes.settings import load_settings

EXPERIMENTS = Path(__file__).parents[3] / "experiments" / "nano"
TOY = PretrainingRecipe(
    name="toy",
    exponent=0.3,
    vocabulary=1500,
    tokenizer_passages=1500,
    width=32,
    layers=2,
    heads=2,
    feed_forward=64,
    steps=8,
    token_budget=512,
    learning_rate=3e-3,
    verdict_weight=5,
    checkpoint_every=3,
)


class Interrupting(Listener):
    """Tries to build the same beside it, and presses Ctrl-C at a step."""

    def __init__(self, at: int, other: Path) -> None:
        self.at, self.other = at, other

    def stepped(self, step: Step) -> None:
        if step.number == self.at:
            with pytest.raises(PretrainingError, match="another process is building this very recipe"):
                build(self.other)
            raise KeyboardInterrupt


class Hearing(Listener):
    """Keeps what is announced of each step."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


def build(folder: Path, progress: Listener | None = None):
    return pretrain(
        TOY,
        folder=folder / "model",
        store=folder / "mlruns",
        progress=progress or Listener(),
        recipe_path=None,
    )


@pytest.fixture(scope="module", autouse=True)
def little_text():
    """Eight steps read some fifty passages, and the thousands that a real build sorts would be wasted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_PASSAGES_AT_ONCE", 100)
        patch.setattr(loss, "_HELD_OUT_PASSAGES", 4)
        yield


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPROMPT_CACHE", str(folder / "cache"))
        patch.setattr(pretraining, "_MEANS_EVERY", 4)
        heard = Hearing()
        return folder, build(folder, heard), heard.steps


@pytest.mark.integration
def test_a_build_is_a_model_that_loads_by_its_folder(uninterrupted, own_cache):
    folder, result, _ = uninterrupted
    backbone = load_backbone(str(folder / "model"))
    assert (backbone.num_layers, backbone.hidden_size) == (2, 32)
    tokenizer = load_tokenizer(str(folder / "model"))
    assert len(tokenizer) == backbone.vocab_size
    assert tokenizer("A", "B").input_ids.count(tokenizer.eos_token_id) == 3
    assert (
        load_file(folder / "model" / "model.safetensors")["model.embed_tokens.weight"].dtype == torch.bfloat16
    )
    assert set(result.loss) == set(result.fertility) == set(STUDY_LANGUAGES)
    record = json.loads((folder / "model" / "pretraining.json").read_text())
    assert record["parameters"] == result.parameters
    full = TOY.model_copy(update={"vocabulary": backbone.vocab_size})  # the little text does not fill it
    assert result.parameters == full.parameters
    assert record["recipe"]["vocabulary"] == 1500


@pytest.mark.integration
def test_the_run_is_in_mlflow_with_recipe_shares_and_held_out_losses(uninterrupted):
    folder, result, _ = uninterrupted
    run = mlflow.MlflowClient(tracking_uri=store_uri(folder / "mlruns")).get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["vocabulary"] == "1500"
    assert float(run.data.params["share_en"]) > float(run.data.params["share_eu"])
    assert run.data.metrics["held_out/loss/sw"] == pytest.approx(result.loss["sw"])
    assert run.data.metrics["fertility/te"] > 1


@pytest.mark.integration
def test_means_are_over_all_steps_since_the_last(uninterrupted):
    *_, steps = uninterrupted
    assert [step.number for step in steps if step.means] == [4, 8]
    for window, last in ((steps[:4], steps[3]), (steps[4:], steps[7])):
        speeds = [step.tokens_per_second for step in window]
        assert min(speeds) < last.means.tokens_per_second < max(speeds)
        assert last.means.tokens_per_second != last.tokens_per_second
        assert last.means.loss == pytest.approx(sum(step.loss for step in window) / 4)


@pytest.mark.integration
def test_an_interrupted_build_alone_goes_on_in_its_run_and_ends_with_the_same_weights(
    uninterrupted, tmp_path, monkeypatch
):
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, Interrupting(at=5, other=tmp_path / "second"))  # two steps after a checkpoint
    assert not (tmp_path / "second").exists()
    assert not (tmp_path / "model").exists()
    result = build(tmp_path)
    client = mlflow.MlflowClient(tracking_uri=store_uri(tmp_path / "mlruns"))
    (experiment,) = [one for one in client.search_experiments() if one.name == "pretraining"]
    runs = client.search_runs([experiment.experiment_id])
    assert [(run.info.run_id, run.info.status) for run in runs] == [(result.run_id, "FINISHED")]
    expected = load_file(uninterrupted[0] / "model" / "model.safetensors")
    actual = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(tensor, actual[name]) for name, tensor in expected.items())
    assert list((tmp_path / "cache" / "pretraining").iterdir()) == []


def test_rows_begin_each_line_with_the_end_token_and_mark_verdicts(tiny_xglm):
    tokenizer = load_tokenizer(str(tiny_xglm))
    text = [one for one in islice(passages({"en": 1.0}, seed=0), 40) if any(line.is_verdict for line in one)][
        :1
    ]
    (row,) = token_rows(text, tokenizer, 10_000)
    (lines,) = text
    assert row.ids.count(tokenizer.eos_token_id) == len(lines) + 1
    assert len(row.ids) == len(row.verdicts)
    marked = [id_ for id_, is_verdict in zip(row.ids, row.verdicts, strict=True) if is_verdict]
    verdicts = [line.text for line in lines if line.is_verdict]
    assert marked == [id_ for ids in tokenizer(verdicts, add_special_tokens=False).input_ids for id_ in ids]


def test_a_verdicts_weight_counts_its_tokens_more_than_once(tiny_xglm):
    from transformers import XGLMForCausalLM

    model = XGLMForCausalLM.from_pretrained(tiny_xglm).eval()
    row = Row([2, 9, 11, 2, 30], [False, False, False, False, True])
    with torch.no_grad():
        plain, tokens = next_token_loss(model, [row])
        weighted, _ = next_token_loss(model, [row], verdict_weight=3.0)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(torch.tensor([row.ids])).logits[0, :-1].float()
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(row.ids[1:]), reduction="none")
    assert tokens == 4
    assert plain == pytest.approx(losses.mean().item(), abs=0.02)  # the order of sums in bfloat16 differs
    expected = (losses[:3].sum() + 3 * losses[3]) / 6
    assert weighted == pytest.approx(expected.item(), abs=0.02)


def test_the_two_recipes_differ_in_name_and_language_shares_alone():
    nano, balanced = (
        load_settings(EXPERIMENTS / f"{name}.yaml", PretrainingRecipe)
        for name in ("xglm-nano", "xglm-nano-balanced")
    )
    assert nano.exponent > 0 == balanced.exponent
    assert balanced.model_copy(update={"name": nano.name, "exponent": nano.exponent}) == nano


def test_the_sizes_differ_in_width_and_what_goes_with_it():
    family = {
        size: load_settings(EXPERIMENTS / f"xglm-nano{size}.yaml", PretrainingRecipe)
        for size in ("-0.5m", "-1m", "-2m", "", "-8m")
    }
    assert [name.name for name in family.values()] == [f"xglm-nano{size}" for size in family]
    assert {name for name in BUILT_HERE if name.endswith("m")} >= {
        f"xglm-nano{size}" for size in family if size
    }
    middle = family[""]
    for wanted, recipe in zip((0.5, 1, 2, 4, 8), family.values(), strict=True):
        assert recipe.parameters / 1e6 == pytest.approx(wanted, rel=0.1)
        scale = middle.width / recipe.width
        assert recipe.feed_forward == 2.5 * recipe.width
        assert recipe.learning_rate == pytest.approx(middle.learning_rate * scale, rel=0.03)
        assert recipe.init_std == pytest.approx(middle.init_std * scale**0.5, rel=0.03)
        of_size = ("name", "width", "feed_forward", "learning_rate", "init_std")
        assert recipe.model_copy(update={key: getattr(middle, key) for key in of_size}) == middle


def test_a_wrong_key_of_a_pretraining_recipe_is_named_with_the_nearest_valid_one(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: base.yaml\nwidht: 3\n")
    (tmp_path / "base.yaml").write_text((EXPERIMENTS / "xglm-nano.yaml").read_text())
    with pytest.raises(RecipeError, match=r"mine\.yaml: widht: .*nearest valid key is width"):
        load_settings(file, PretrainingRecipe)

"""States of unlabelled text, and predictions with maps, against a model that reads one row at a time."""

import pytest
import torch
from architectures import make_architecture
from small import small_model, write_data

from xlprompt.data import TASKS
from xlprompt.data.encoding.encode import encode
from xlprompt.data.sources import open_source
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation.answers.aligned import collect_states, predict_with_maps
from xlprompt.evaluation.answers.inference import predict, predict_aligned
from xlprompt.models import (
    AffineMap,
    HeadSettings,
    PromptSettings,
    build_task_model,
    load_backbone,
    load_tokenizer,
)

BATCHING = {"token_budget": 96, "pad_id": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def encoded(tiny_gemma, data):
    rows = open_source(str(data)).load(TASKS["pos"], "en", "validation")
    return encode(
        rows, TASKS["pos"], load_tokenizer(str(tiny_gemma)), EncodingSettings(max_length=16), language="en"
    )


@pytest.fixture
def model(tiny_gemma):
    return build_task_model(
        load_backbone(str(tiny_gemma), dtype="float32"),
        load_tokenizer(str(tiny_gemma)),
        num_labels=17,
        method=PromptSettings(length=4, scheme="hidden", std=0.5),
        head=HeadSettings(),
        seed=0,
    )


def a_map(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return AffineMap(torch.rand(32, generator=generator) + 0.5, torch.randn(32, generator=generator))


@torch.no_grad()
def test_states_are_those_of_rows_read_one_by_one(model, encoded):
    model.eval()
    expected = []
    for row in encoded.dataset:
        columns = torch.tensor(row["readouts"])
        expected.append(
            model.readout_states(torch.tensor([row["input_ids"]]), torch.zeros_like(columns), columns)
        )
    found = collect_states(model, encoded, layer=None, **BATCHING)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_states_out_of_a_layer_are_those_of_every_token_but_the_first(model, encoded):
    model.eval()
    expected = []
    keep = model.backbone.decoder_layers[1].register_forward_hook(
        lambda _, __, output: expected.append(output[0] if isinstance(output, tuple) else output)
    )
    for row in encoded.dataset:
        model.backbone(torch.tensor([row["input_ids"]]), model.prompts(torch.float32))
        expected[-1] = expected[-1][0, 4 + 1 : 4 + row["readouts"][-1] + 1]  # 4 slots of the prompt
    keep.remove()
    found = collect_states(model, encoded, layer=2, **BATCHING)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_without_a_map_predictions_are_those_of_predict(model, encoded):
    plain = predict(model, encoded, **BATCHING)
    both = predict_aligned(model, encoded, {"none": None, "map": a_map()}, **BATCHING)
    assert both["none"].labels == plain.labels
    assert both["none"].loss == pytest.approx(plain.loss)
    assert both["map"].labels != plain.labels


@torch.no_grad()
def test_a_map_acts_on_what_the_head_reads(model, encoded):
    states = collect_states(model, encoded, layer=None, **BATCHING)
    answers = model.head(a_map()(states)).argmax(dim=1).tolist()
    found = predict_aligned(model, encoded, {0: a_map()}, **BATCHING)[0].labels
    assert [label for labels in found for label in labels] == answers


def test_one_pass_of_the_backbone_serves_all_maps(model, encoded):
    passes = []
    handle = model.backbone.register_forward_hook(lambda *_: passes.append(1))
    predict(model, encoded, **BATCHING)
    alone = len(passes)
    maps = {seed: a_map(seed) for seed in range(5)}
    predict_with_maps(model, encoded, {"none": None, **maps}, layer=None, **BATCHING)
    handle.remove()
    assert len(passes) == 2 * alone


def test_a_map_in_a_layer_changes_the_text_but_not_its_first_token_or_the_prompt(model, encoded):
    seen = []
    handle = model.backbone.decoder_layers[2].register_forward_pre_hook(
        lambda _, arguments: seen.append(arguments[0])
    )
    identity = AffineMap(torch.ones(32), torch.zeros(32))
    shift = AffineMap(torch.ones(32), torch.full((32,), 2.0))
    maps = {"none": None, "identity": identity, "shift": shift}
    found = predict_with_maps(model, encoded, maps, layer=2, **BATCHING)
    handle.remove()
    third = len(seen) // 3
    for plain, shifted in zip(seen[:third], seen[2 * third :], strict=True):
        # The prompt's slots are put in anew in front of the third layer; then comes the first token.
        torch.testing.assert_close(shifted[:, :5], plain[:, :5])
        torch.testing.assert_close(shifted[:, 5:], plain[:, 5:] + 2, atol=1e-4, rtol=1e-4)
    assert found["identity"].labels == found["none"].labels


def test_labels_are_not_looked_at(tiny_xglm, data):
    task = TASKS["xnli"]
    rows = open_source(str(data)).load(task, "en", "validation")
    blind = rows.map(lambda row: {**row, "label": 0})
    settings, tokenizer = EncodingSettings(max_length=64), load_tokenizer(str(tiny_xglm))
    model = small_model(tiny_xglm, finetune=None, dtype="float32")
    states = [
        collect_states(model, encode(each, task, tokenizer, settings), layer=None, **BATCHING)
        for each in (rows, blind)
    ]
    assert torch.equal(*states)


@torch.no_grad()
def test_states_between_layers_may_be_wider_than_what_the_head_reads(data, tmp_path):
    folder = str(make_architecture("OPT, narrow embedding", tmp_path))
    wide = build_task_model(
        load_backbone(folder, dtype="float32"),
        load_tokenizer(folder),
        num_labels=17,
        method=PromptSettings(length=4),
        head=HeadSettings(),
        seed=0,
    )
    rows = open_source(str(data)).load(TASKS["pos"], "en", "validation")
    text = encode(rows, TASKS["pos"], load_tokenizer(folder), EncodingSettings(max_length=16), language="en")
    assert collect_states(wide, text, layer=None, **BATCHING).shape[1] == 16
    assert collect_states(wide, text, layer=1, **BATCHING).shape[1] == 32

"""The language-model loss is transformers' own, over all tokens, however they are batched."""

import pytest
import tiny
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

from xlprompt.data import task
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation.answers.language_model import language_model_loss
from xlprompt.models import (
    HeadOnly,
    HeadSettings,
    PromptSettings,
    TaskModel,
    build_task_model,
    load_backbone,
    load_tokenizer,
)

MAKERS = {"xglm": tiny.make_xglm, "gemma": tiny.make_gemma}


@pytest.fixture(scope="module", params=MAKERS)
def folder(request, tmp_path_factory):
    return MAKERS[request.param](tmp_path_factory.mktemp(request.param))


def model_with(prompt: PromptSettings | None, folder) -> TaskModel:
    return build_task_model(
        load_backbone(str(folder), dtype="float32"),
        load_tokenizer(str(folder)),
        num_labels=3,
        method=prompt or HeadOnly(),
        head=HeadSettings(),
        seed=0,
    )


def pairs(folder) -> Encoded:
    columns = {
        "id": [str(i) for i in range(8)],
        "first": tiny.CORPUS,
        "second": [text[: 4 + 5 * i] for i, text in enumerate(tiny.CORPUS)],
        "label": [0] * 8,
    }
    return encode(Dataset.from_dict(columns), task("xnli"), load_tokenizer(str(folder)), EncodingSettings())


@torch.no_grad()
def slow_loss(folder, rows: list[list[int]], lead: list[int] | None = None) -> float:
    """Row by row with transformers' own head; tokens of `lead` stand in front and are not counted."""
    model = AutoModelForCausalLM.from_pretrained(folder).float().eval()
    lead = lead or []
    total, count = 0.0, 0
    for row in rows:
        logits = model(torch.tensor([lead + row])).logits[0, len(lead) : -1]
        chosen = torch.log_softmax(logits, -1).gather(1, torch.tensor(row[1:])[:, None])
        total, count = total - chosen.sum().item(), count + len(row) - 1
    return total / count


@pytest.mark.parametrize("token_budget", [128, 10_000])
def test_it_is_the_loss_of_transformers_causal_model(folder, token_budget):
    encoded = pairs(folder)
    loss = language_model_loss(
        model_with(None, folder), encoded, rows=5, token_budget=token_budget, device="cpu"
    )
    assert loss == pytest.approx(slow_loss(folder, encoded.dataset["input_ids"][:5]), rel=1e-5)


def test_a_prompt_stands_in_front_only_where_it_is_asked_for(tiny_xglm):
    folder = tiny_xglm  # without a sliding window, which a text in front would fall out of
    encoded = pairs(folder)
    text = PromptSettings(length=6, init="text", text=tiny.CORPUS[0], shift_positions=True)
    model = model_with(text, folder)
    rows = encoded.dataset["input_ids"][:]
    tokenizer = load_tokenizer(str(folder))
    lead = [*tokenizer("").input_ids, *tokenizer(tiny.CORPUS[0], add_special_tokens=False).input_ids][:6]

    def loss(prompted: bool) -> float:
        return language_model_loss(model, encoded, rows=8, token_budget=512, device="cpu", prompted=prompted)

    assert loss(prompted=False) == pytest.approx(slow_loss(folder, rows), rel=1e-5)
    # Keys and values of a real text, at its positions: as if the text itself stood there.
    assert loss(prompted=True) == pytest.approx(slow_loss(folder, rows, lead), rel=1e-4)


def test_the_model_is_left_in_the_mode_it_was_in(folder):
    model = model_with(None, folder)
    model.train()
    language_model_loss(model, pairs(folder), rows=2, token_budget=512, device="cpu")
    assert model.training


def test_rows_without_a_second_token_are_refused(folder):
    encoded = pairs(folder)
    with pytest.raises(ValueError, match="no row has a token to predict"):
        language_model_loss(model_with(None, folder), encoded, rows=0, token_budget=512, device="cpu")

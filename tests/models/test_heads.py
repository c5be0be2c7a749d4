"""Heads at read-out positions."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from xlprompt.models import (
    HeadOnly,
    HeadSettings,
    ModelError,
    build_task_model,
    load_backbone,
    load_tokenizer,
    parameter_budget,
)
from xlprompt.models.heads import label_word_ids


def test_read_outs_pick_their_own_positions(tiny_llama: Path) -> None:
    backbone = load_backbone(str(tiny_llama), dtype="float32")
    tokenizer = load_tokenizer(str(tiny_llama))
    model = build_task_model(
        backbone, tokenizer, num_labels=5, method=HeadOnly(), head=HeadSettings(), seed=0
    )
    ids = torch.randint(4, 100, (3, 7))
    rows, columns = torch.tensor([2, 0, 0]), torch.tensor([6, 1, 3])
    with torch.no_grad():
        hidden = backbone(ids)[rows, columns]
        torch.testing.assert_close(model(ids, rows, columns), model.head(hidden))


def test_the_verbalizer_trains_nothing_and_equals_rows_of_the_language_model_head(tiny_gemma: Path) -> None:
    from transformers import AutoModelForCausalLM

    backbone = load_backbone(str(tiny_gemma), dtype="float32")
    tokenizer = load_tokenizer(str(tiny_gemma))
    words = ("woman", "book")
    model = build_task_model(
        backbone,
        tokenizer,
        num_labels=2,
        label_words=words,
        method=HeadOnly(),
        head=HeadSettings(kind="verbalizer"),
        seed=0,
    )
    assert model.budget().trainable_params == 0
    ids = torch.randint(4, 100, (1, 6))
    with torch.no_grad():
        ours = model(ids, torch.tensor([0]), torch.tensor([5]))[0]
        theirs = AutoModelForCausalLM.from_pretrained(tiny_gemma, dtype=torch.float32)(ids).logits[0, 5]
    torch.testing.assert_close(ours, theirs[label_word_ids(tokenizer, words)], atol=1e-5, rtol=0)


def test_the_verbalizer_needs_a_language_model_head_that_is_the_embedding(
    tiny_llama: Path, tmp_path: Path
) -> None:
    untied = tmp_path / "untied"
    shutil.copytree(tiny_llama, untied)
    config = json.loads((untied / "config.json").read_text()) | {"tie_word_embeddings": False}
    (untied / "config.json").write_text(json.dumps(config))
    head = HeadSettings(kind="verbalizer")
    with pytest.raises(
        ModelError, match=r"is not its input embedding.*a classifier \(head.kind=linear"
    ) as no:
        build_task_model(
            load_backbone(str(untied)),
            load_tokenizer(str(untied)),
            num_labels=2,
            label_words=("woman", "book"),
            method=HeadOnly(),
            head=head,
            seed=0,
        )
    with pytest.raises(ModelError) as planned:  # before weights are read
        parameter_budget(str(untied), num_labels=2, method=HeadOnly(), head=head)
    assert str(planned.value) == str(no.value)


def test_label_words_that_start_alike_are_refused(tiny_llama: Path) -> None:
    with pytest.raises(ModelError, match="'book' and 'book' start with the same subtoken"):
        label_word_ids(load_tokenizer(str(tiny_llama)), ["woman", "book", "book"])


def test_a_verbalizer_without_words_is_refused(tiny_llama: Path) -> None:
    backbone, tokenizer = load_backbone(str(tiny_llama)), load_tokenizer(str(tiny_llama))
    with pytest.raises(ModelError, match="one label word for each of the 3 labels"):
        build_task_model(
            backbone, tokenizer, num_labels=3, method=HeadOnly(), head=HeadSettings(kind="verbalizer"), seed=0
        )

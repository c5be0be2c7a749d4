"""The parameter budget against published counts and loaded models."""

import time
from pathlib import Path

import pytest

from xlprompt.models import (
    AdapterSettings,
    BitfitSettings,
    FinetuneSettings,
    HeadOnly,
    LoraSettings,
    Method,
    PromptSettings,
    build_task_model,
    load_backbone,
    load_tokenizer,
    parameter_budget,
)
from xlprompt.models.accounting.trained_share import share_of_run
from xlprompt.models.settings import HeadSettings

# Parameter counts of the XGLM release (fairseq examples/xglm) and, for 564M, the count without embedding.
PUBLISHED = {
    "facebook/xglm-564M": 564_463_616,
    "facebook/xglm-1.7B": 1_732_907_008,
    "facebook/xglm-2.9B": 2_941_505_536,
    "facebook/xglm-7.5B": 7_492_771_840,
}


@pytest.mark.parametrize(
    ("params", "share"),
    [
        ({"total_params": "564463616", "trainable_params": "737280"}, 0.1306),
        # Of before: of backbone and additions, and rounded to nothing where a head alone trains.
        ({"total_params": "3907584", "trainable_params": "33539", "trainable_percent": "0.851"}, 0.8583),
        ({"total_params": "268098176", "trainable_params": "1282", "trainable_percent": "0.0"}, 0.000478),
        ({"total_params": "3907584", "trainable_params": "3908355"}, 100),
        ({"total_params": "3907584", "trainable_params": "0"}, 0),
        ({"trainable_percent": "0.13"}, 0.13),
        ({"total_params": "0", "trainable_params": "0", "trainable_percent": "0.13"}, 0.13),
        ({"seed": "0"}, None),
    ],
)
def test_a_stored_runs_share_is_of_the_backbone_whatever_it_logged(params, share) -> None:
    found = share_of_run(params)
    assert found is share is None or found == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize("model", PUBLISHED)
def test_known_sizes_count_as_published(model: str) -> None:
    assert parameter_budget(model, num_labels=3, method=HeadOnly()).total_params == PUBLISHED[model]


def test_length_15_on_the_smallest_xglm_is_the_papers_share() -> None:
    budget = parameter_budget("xglm-564M", num_labels=3, method=PromptSettings(length=15)).to_dict()
    assert budget["prompt_params"] == 737_280
    assert budget["head_params"] == 3_075
    assert budget["trainable_percent"] == 0.131
    assert budget["total_params_no_embeddings"] == 302_311_424


@pytest.mark.parametrize("scheme", ["layers", "input", "both", "hidden"])
def test_the_budget_from_a_configuration_is_that_of_the_loaded_model(
    scheme: str, request: pytest.FixtureRequest
) -> None:
    for fixture in ("tiny_xglm", "tiny_gemma", "tiny_llama"):
        folder = str(request.getfixturevalue(fixture))
        prompt = PromptSettings(scheme=scheme, length=7)
        model = build_task_model(
            load_backbone(folder),
            load_tokenizer(folder),
            num_labels=4,
            method=prompt,
            head=HeadSettings(),
            seed=0,
        )
        assert parameter_budget(folder, num_labels=4, method=prompt) == model.budget()


def test_parts_add_up(tiny_gemma: Path) -> None:
    budget = parameter_budget(str(tiny_gemma), num_labels=2, method=HeadOnly())
    parts = (budget.embedding_params, budget.attention_params, budget.feed_forward_params, budget.norm_params)
    assert sum(parts) == budget.total_params
    assert budget.embedding_params == load_backbone(str(tiny_gemma)).embedding.weight.numel()


@pytest.mark.parametrize(
    "given",
    [
        FinetuneSettings(),
        FinetuneSettings(train_embeddings=False),
        LoraSettings(rank=1024, targets="all"),  # larger than the tiny model itself
        AdapterSettings(width=8192),
        BitfitSettings(add=True),
        PromptSettings(length=1024),
        HeadOnly(),
    ],
)
def test_no_share_is_more_than_all_that_there_is(given: Method, tiny_xglm: Path) -> None:
    budget = parameter_budget(str(tiny_xglm), num_labels=17, method=given)
    for share in (budget.trainable_percent, budget.trainable_percent_no_embeddings):
        assert 0 < share <= 100
    if given == FinetuneSettings():
        assert budget.trainable_percent == budget.trainable_percent_no_embeddings == 100


def test_the_largest_size_is_counted_without_its_memory() -> None:
    started = time.perf_counter()
    parameter_budget("xglm-7.5B", num_labels=3, method=PromptSettings())
    assert time.perf_counter() - started < 60  # allocating 30 GB would not end here at all

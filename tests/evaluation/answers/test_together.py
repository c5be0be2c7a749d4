"""Rows of several models in one pass of their backbone are answered as each model answers alone."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from xlprompt.data import TASKS
from xlprompt.data.encoding.encode import encode
from xlprompt.data.sources.unlabeled import given_rows, unlabeled_dataset
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation.answers.probabilities import answer_probabilities
from xlprompt.evaluation.answers.together import (
    TOKENS_OF_A_PASS,
    Part,
    answer_together,
    cuts,
    passes,
    rounded_up,
)
from xlprompt.models import (
    HeadOnly,
    HeadSettings,
    PromptSettings,
    build_task_model,
    load_backbone,
    load_tokenizer,
)

TEXTS = {
    "xnli": [("the man reads", "man"), ("the red book outside the station", "train")],
    "pos": [["the", "man", "reads"], ["red", "book"]],
    "xcopa": [("the man walks", "cause", "the train", "the red book")],
    "xquad": [("the woman reads a red book outside", "who reads")],
}
BUDGET = 4096


@pytest.fixture(scope="module", params=["tiny_xglm", "tiny_gemma"])
def standing(request):
    """A backbone, its tokenizer, and how a part for a task is made on it."""
    folder = str(request.getfixturevalue(request.param))
    backbone, tokenizer = load_backbone(folder, dtype="float32"), load_tokenizer(folder)

    def part(task, method, seed, texts=None, budget=BUDGET):
        known = TASKS[task]
        model = build_task_model(
            backbone,
            tokenizer,
            num_labels=known.kind.head_width(known),
            method=method,
            head=HeadSettings(),
            seed=seed,
        )
        rows = unlabeled_dataset(known, given_rows(known, texts or TEXTS[task]))
        encoded = encode(rows, known, tokenizer, EncodingSettings(max_length=64), language="en")
        return Part(model.eval().requires_grad_(False), encoded, budget, 0)

    return part


def alone(part):
    return answer_probabilities(
        part.model, part.encoded, token_budget=part.token_budget, pad_id=0, device="cpu"
    )


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        for answer, wanted in zip(one, other, strict=True):
            assert answer == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("scheme", ["layers", "input", "both", "hidden"])
def test_models_with_prompts_of_a_shape_share_a_pass_and_answer_as_alone(standing, scheme):
    method = PromptSettings(length=3, scheme=scheme, std=1.0)
    parts = [standing(task, method, seed) for seed, task in enumerate([*TEXTS, "xnli"])]
    shared = passes(parts)
    assert len(shared) < len(parts)
    assert max(len({piece.part for piece in members}) for members in shared) >= 3
    for part, found in zip(parts, answer_together(parts, "cpu"), strict=True):
        same(found, alone(part))


def test_models_that_differ_in_prompt_are_answered_side_by_side(standing):
    methods = [
        PromptSettings(length=3, std=1.0),
        PromptSettings(length=4, std=1.0),
        PromptSettings(length=3, std=1.0, shift_positions=False),
        PromptSettings(length=3, std=1.0, layers=1),
        HeadOnly(),
        HeadOnly(),
    ]
    parts = [standing("xnli", method, seed) for seed, method in enumerate(methods)]
    assert len(passes(parts)) == 5  # the two heads share one
    for part, found in zip(parts, answer_together(parts, "cpu"), strict=True):
        same(found, alone(part))


def test_rows_that_would_be_filled_up_a_lot_get_a_pass_of_their_own(standing):
    long = [(" ".join(["the man reads"] * 10), "man")]
    parts = [standing("xnli", HeadOnly(), 0, long), standing("pos", HeadOnly(), 1, TEXTS["pos"] * 24)]
    assert [{piece.part for piece in members} for members in passes(parts)] == [{0}, {1}]


@pytest.mark.parametrize("lengths", [[95, 89, 47, 42, 40, 38, 12, 10, 10], [7], [300, 30, 30, 30, 29, 2]])
def test_rows_are_divided_so_that_passes_and_padding_cost_least(lengths):
    def cost(places):
        passes_of = pairwise([0, *places, len(lengths)])
        sizes = [(rounded_up(lengths[begin]) * (end - begin), end - begin) for begin, end in passes_of]
        if any((tokens > 256 and rows > 1) or rows in (5, 7, 9) for tokens, rows in sizes):
            return float("inf")
        return sum(tokens + TOKENS_OF_A_PASS for tokens, _ in sizes)

    between = range(1, len(lengths))
    every_way = [places for number in range(len(lengths)) for places in combinations(between, number)]
    assert cost(cuts(np.array(lengths), 256)) == min(map(cost, every_way))


def test_no_pass_is_over_the_budget(standing):
    parts = [standing(task, HeadOnly(), 0, budget=64) for task in ("xnli", "pos", "xcopa")]
    for members in passes(parts):
        width = members[0].batch.input_ids.shape[1]
        assert width * sum(len(piece.batch.input_ids) for piece in members) <= 64
    for part, found in zip(parts, answer_together(parts, "cpu"), strict=True):
        same(found, alone(part))


def test_a_model_whose_logits_are_not_finite_takes_no_other_with_it(standing):
    method = PromptSettings(length=3)
    sound, broken = standing("xnli", method, 0), standing("pos", method, 1)
    with torch.no_grad():
        broken.model.head.bias.fill_(float("nan"))
    found, error = answer_together([sound, broken], "cpu")
    same(found, alone(sound))
    assert isinstance(error, FloatingPointError)

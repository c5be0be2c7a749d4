"""Sums of log-probabilities are transformers' own, whatever the batch, and equal lm-evaluation-harness's."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from xlprompt.data.tasks import TASKS
from xlprompt.evaluation.zeroshot.likelihood import Request, answer, encode, log_likelihoods
from xlprompt.evaluation.zeroshot.templates import Question, questions
from xlprompt.models import load_backbone, load_tokenizer
from xlprompt.models.pretrained.nano import nano_folder

PAIRS = {
    "first": ["Der Mann liest ein Buch.", "Die Frau geht zum Bahnhof in Delhi."],
    "second": ["Ein Mann liest.", "Niemand geht."],
}
CHOICES = {
    "premise": ["The man was tired.", "It rained."],
    "question": ["cause", "effect"],
    "choice1": ["He worked all day.", "The street got wet."],
    "choice2": ["He slept long.", "The sun came out."],
}
# lm_eval 0.4.13 (`HFLM(pretrained=<folder of xglm-nano>, dtype="float32").loglikelihood`) on these texts.
HARNESS = {
    "xnli": [-286.0578, -299.0914, -282.8486, -283.5423, -300.4269, -280.153],
    "xcopa": [-103.8254, -86.6085, -122.5832, -106.3551],
}


@pytest.fixture(scope="module")
def nano():
    return load_backbone("xglm-nano", dtype="float32", device="cpu"), load_tokenizer("xglm-nano")


def asked(task: str) -> list[Question]:
    rows, language = (PAIRS, "de") if task == "xnli" else (CHOICES, "en")
    return questions(TASKS[task], language, rows)


def requests_of(task: str, tokenizer) -> list[Request]:
    return [encode(tokenizer, each.context, text) for each in asked(task) for text in each.continuations]


@pytest.mark.parametrize("task", HARNESS)
def test_sums_are_those_of_lm_evaluation_harness(nano, task: str):
    backbone, tokenizer = nano
    requests = requests_of(task, tokenizer)
    sums = log_likelihoods(backbone, requests, token_budget=200, device="cpu")
    torch.testing.assert_close(sums, torch.tensor(HARNESS[task]).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("token_budget", [1, 10_000])
def test_sums_do_not_depend_on_the_batch_and_are_transformers_own(nano, token_budget: int):
    backbone, tokenizer = nano
    requests = requests_of("xcopa", tokenizer)
    sums = log_likelihoods(backbone, requests, token_budget=token_budget, device="cpu")
    theirs = AutoModelForCausalLM.from_pretrained(str(nano_folder("xglm-nano")), dtype="float32").eval()
    for (ids, start), found in zip(requests, sums.tolist(), strict=True):
        with torch.no_grad():
            logits = theirs(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        expected = sum(logits[place - 1, ids[place]].item() for place in range(start, len(ids)))
        assert found == pytest.approx(expected, abs=1e-4)


def test_the_likeliest_text_is_the_answer_and_the_loss_compares_all(nano):
    backbone, tokenizer = nano
    gold = [0, 1]
    found = answer(backbone, tokenizer, asked("xcopa"), gold, token_budget=100, device="cpu")
    sums = torch.tensor(HARNESS["xcopa"]).view(2, 2).double()
    assert found.labels == [[place] for place in sums.argmax(1).tolist()]
    expected = torch.nn.functional.cross_entropy(sums, torch.tensor(gold))
    assert found.loss == pytest.approx(expected.item(), abs=1e-4)


def test_of_a_text_longer_than_the_positions_the_end_is_read(tiny_xglm: Path):
    backbone = load_backbone(str(tiny_xglm), dtype="float32", device="cpu")
    tokenizer = load_tokenizer(str(tiny_xglm))
    positions = backbone.config.max_position_embeddings
    ids = tokenizer("book " * (positions + 9), add_special_tokens=False).input_ids
    requests = [Request(ids, len(ids) - 3), Request(ids[-positions - 1 :], positions - 2)]
    long, end = log_likelihoods(backbone, requests, token_budget=9, device="cpu")
    assert long == end

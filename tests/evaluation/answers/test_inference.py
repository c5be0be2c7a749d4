"""Predictions come back in their order, once each, in whatever batches; the model is left as it was."""

import math
from pathlib import Path

import pytest
import tiny
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.nn import functional

from xlprompt.data import Task, task
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation import predict
from xlprompt.models.objective import summed_entropy

XNLI, POS = task("xnli"), task("pos")
TOKENIZER = tiny.xglm_tokenizer()
PAD = TOKENIZER.pad_token_id


class ByToken(nn.Module):
    """Labels a read-out by the id of its token, so that the right answer can be told without a model."""

    reads_trees = True

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout()
        self.num_labels = num_labels
        self.shapes: list[tuple[int, ...]] = []

    def forward(
        self, input_ids: Tensor, rows: Tensor, columns: Tensor, *, tree: Tensor | None = None
    ) -> Tensor:
        self.shapes.append(tuple(input_ids.shape))
        assert not self.training
        assert not torch.is_grad_enabled()
        return functional.one_hot(input_ids[rows, columns] % self.num_labels, self.num_labels).float()


def sentences(count: int = 24, max_length: int = 16) -> Encoded:
    """Sentences of 1 to 40 words; those over `max_length` tokens become several windows."""
    words = " ".join(tiny.CORPUS).split()
    tokens = [(words[i:] + words[:i])[: 1 + (i * 7) % 40] for i in range(count)]
    tags = [[(i + j) % 17 for j in range(len(sentence))] for i, sentence in enumerate(tokens)]
    dataset = Dataset.from_dict({"id": [str(i) for i in range(count)], "tokens": tokens, "tags": tags})
    return encode(dataset, POS, TOKENIZER, EncodingSettings(max_length=max_length))


def some_pairs(count: int = 20) -> Encoded:
    columns = {
        "id": [str(i) for i in range(count)],
        "first": [tiny.CORPUS[i % 8][: 5 + i] for i in range(count)],
        "second": [tiny.CORPUS[(i + 3) % 8] for i in range(count)],
        "label": [i % 3 for i in range(count)],
    }
    return encode(Dataset.from_dict(columns), XNLI, TOKENIZER, EncodingSettings())


def expected_answers(encoded: Encoded, of: Task) -> list[list[int]]:
    answers: list[dict[int, int]] = [{} for _ in range(encoded.num_examples)]
    for row in encoded.dataset:
        for column, word in zip(row["readouts"], row["words"], strict=True):
            answers[row["example"]][word] = row["input_ids"][column] % len(of.labels)
    return [[by_word[word] for word in sorted(by_word)] for by_word in answers]


@pytest.mark.parametrize("token_budget", [100, 300, 100_000])
@pytest.mark.parametrize("of", [XNLI, POS])
def test_every_answer_is_back_in_its_place(of: Task, token_budget: int):
    encoded = some_pairs() if of is XNLI else sentences()
    predictions = predict(
        ByToken(len(of.labels)), encoded, token_budget=token_budget, pad_id=PAD, device="cpu"
    )
    assert predictions.labels == expected_answers(encoded, of)
    assert [len(labels) for labels in predictions.labels] == [len(labels) for labels in encoded.gold()]


def test_some_of_the_sentences_span_several_windows():
    encoded = sentences()
    assert len(encoded.dataset) > encoded.num_examples


def test_the_longest_batch_comes_first():
    model = ByToken(17)
    predict(model, sentences(), token_budget=40, pad_id=PAD, device="cpu")
    widths = [width for _, width in model.shapes]
    assert len(widths) > 3
    assert widths == sorted(widths, reverse=True)


def test_tokens_are_counted_without_padding():
    encoded = sentences()
    predictions = predict(ByToken(17), encoded, token_budget=300, pad_id=PAD, device="cpu")
    assert predictions.tokens == encoded.lengths.sum()
    assert predictions.tokens_per_second == pytest.approx(predictions.tokens / predictions.seconds)


def test_entropy_is_that_of_what_the_softmax_compares_and_needs_no_label():
    logits = torch.tensor([[0.0, 0.0], [9.0, 9.0], [0.0, 90.0], [-5.0, -5.0]])
    assert float(summed_entropy(logits)) == pytest.approx(3 * math.log(2), abs=1e-6)
    # Options of two examples: one of two, and one of two that is certain.
    options = torch.tensor([[1.0], [1.0], [90.0], [0.0]])
    groups = torch.tensor([0, 0, 1, 1])
    assert float(summed_entropy(options, groups)) == pytest.approx(math.log(2), abs=1e-6)
    # Begins and ends of answers in the same texts: the mean over both columns.
    both = torch.cat([options, torch.tensor([[90.0], [0.0], [90.0], [0.0]])], dim=1)
    assert float(summed_entropy(both, groups)) == pytest.approx(math.log(2) / 2, abs=1e-6)


def test_the_loss_is_the_mean_cross_entropy_of_a_readout():
    encoded = some_pairs()
    answers = torch.tensor(expected_answers(encoded, XNLI)).flatten()
    gold = torch.tensor(encoded.gold()).flatten()
    expected = functional.cross_entropy(functional.one_hot(answers, 3).float(), gold).item()
    loss = predict(ByToken(3), encoded, token_budget=100, pad_id=PAD, device="cpu").loss
    assert loss == pytest.approx(expected, rel=1e-6)


def test_each_module_gets_its_own_mode_back():
    model = nn.Module()
    model.frozen, model.head = nn.Dropout().eval(), nn.Dropout()
    by_token = ByToken(3)
    model.forward = lambda *batch, tree: by_token.eval()(*batch, tree=tree)
    model.reads_trees = True
    predict(model, some_pairs(), token_budget=300, pad_id=PAD, device="cpu")
    assert (model.training, model.frozen.training, model.head.training) == (True, False, True)


class Failing(ByToken):
    def forward(
        self, input_ids: Tensor, rows: Tensor, columns: Tensor, *, tree: Tensor | None = None
    ) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")


def test_the_modes_come_back_after_an_error_too():
    model = Failing(3)
    with pytest.raises(torch.OutOfMemoryError):
        predict(model, some_pairs(), token_budget=300, pad_id=PAD, device="cpu")
    assert model.training


class NotANumber(ByToken):
    def forward(
        self, input_ids: Tensor, rows: Tensor, columns: Tensor, *, tree: Tensor | None = None
    ) -> Tensor:
        return super().forward(input_ids, rows, columns) * float("nan")


def test_logits_that_are_not_finite_are_an_error():
    with pytest.raises(FloatingPointError, match="not finite"):
        predict(NotANumber(3), some_pairs(), token_budget=300, pad_id=PAD, device="cpu")


def changed_words(encoded: Encoded, row: int, words: list[int]) -> Encoded:
    rows = encoded.dataset.to_dict()
    rows["words"][row] = words
    return Encoded(
        task=encoded.task,
        settings=encoded.settings,
        dataset=Dataset.from_dict(rows, features=encoded.dataset.features),
        table=encoded.table,
        truncated=0,
        fingerprint="made up",
    )


def test_a_word_that_is_read_twice_and_one_that_is_not_are_errors():
    encoded = sentences(3)  # of 1, 8 and 15 words
    words = encoded.dataset[1]["words"]
    doubled = changed_words(encoded, 1, [words[0], *words[:-1]])
    with pytest.raises(RuntimeError, match=r"Word 0 of example 1 was read out 2 times"):
        predict(ByToken(17), doubled, token_budget=300, pad_id=PAD, device="cpu")


def test_a_readout_for_a_word_that_does_not_exist_is_an_error():
    with pytest.raises(RuntimeError, match=r"example 0, word 5, which does not exist"):
        predict(ByToken(17), changed_words(sentences(3), 0, [5]), token_budget=300, pad_id=PAD, device="cpu")


def test_no_examples_are_an_error():
    empty = Dataset.from_dict({"id": [], "first": [], "second": [], "label": []})
    encoded = encode(empty, XNLI, TOKENIZER, EncodingSettings())
    with pytest.raises(ValueError, match="nothing to predict"):
        predict(ByToken(3), encoded, token_budget=300, pad_id=PAD, device="cpu")


@pytest.mark.integration
def test_a_prompted_model_answers_alike_in_any_batches_and_can_be_trained_on(tiny_xglm: Path):
    from xlprompt.models import HeadSettings, PromptSettings, build_task_model, load_backbone, load_tokenizer

    backbone = load_backbone(str(tiny_xglm), dtype="float32")
    tokenizer = load_tokenizer(str(tiny_xglm))
    model = build_task_model(
        backbone, tokenizer, num_labels=17, method=PromptSettings(length=4), head=HeadSettings(), seed=0
    )
    encoded = sentences()
    small = predict(model, encoded, token_budget=40, pad_id=PAD, device="cpu")
    large = predict(model, encoded, token_budget=10_000, pad_id=PAD, device="cpu")
    assert small.labels == large.labels
    assert small.loss == pytest.approx(large.loss, rel=1e-5)
    # Tensors that a model keeps from an evaluation must not spoil the next training step.
    model(torch.randint(10, 100, (2, 16)), torch.tensor([0, 1]), torch.tensor([5, 5])).sum().backward()
    assert all(parameter.grad is not None for parameter in model.prompt_parameters())

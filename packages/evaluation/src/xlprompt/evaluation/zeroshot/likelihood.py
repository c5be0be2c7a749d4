"""How likely a language model holds texts to be, and which answer of an example it holds to be likeliest.

The score of an answer is the sum of the log-probabilities of its tokens, given what stands before them, as in
lm-evaluation-harness: nothing is divided by length. Where nothing is given, the tokenizer's first special
token stands in front.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from xlprompt.data.encoding.batches import Batch, Texts
from xlprompt.data.encoding.encode import Ragged
from xlprompt.data.errors import DataError
from xlprompt.evaluation.answers.inference import Predictions
from xlprompt.evaluation.evaluation_mode import evaluation_mode
from xlprompt.evaluation.processes import Processes
from xlprompt.evaluation.zeroshot.templates import Question
from xlprompt.models.backbone.text_tree import TextTree

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from xlprompt.models import Backbone

_POSITIONS_AT_ONCE = 256  # whose logits are held at a time, as in answers.language_model


class Request(NamedTuple):
    """Token ids of a text, and from which on they are scored."""

    ids: list[int]
    start: int


def answer(
    backbone: Backbone,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Question],
    gold: Sequence[int],
    *,
    token_budget: int,
    device: torch.device | str,
    processes: Processes | None = None,
) -> Predictions:
    """Choose the likeliest answer of each question, the first of equals.

    Args:
        backbone: The decoder on `device`; it must have `has_token_logits`.
        tokenizer: Its tokenizer.
        questions: All with as many continuations.
        gold: The place of each question's right answer, for the loss.
        token_budget: Padded tokens per batch at most.
        device: Where the batches go.
        processes: Those that share the work; each calls this function and gets the result.

    Returns:
        Places of answers, and as the loss the mean of the right answer's negative log-share, in nats.

    Raises:
        DataError: There is nothing to ask, or the tokenizer has no token to begin with.
        FloatingPointError: A likelihood is not finite.
    """
    if not questions:
        raise DataError("there is nothing to answer", fix="Give at least one example.")
    start = time.perf_counter()
    requests = [
        encode(tokenizer, question.context, each) for question in questions for each in question.continuations
    ]
    sums = log_likelihoods(
        backbone, requests, token_budget=token_budget, device=device, processes=processes
    ).view(len(questions), -1)
    if not sums.isfinite().all():
        raise FloatingPointError(
            "The model's likelihoods are not finite: load it in bfloat16 or float32, never float16."
        )
    right = torch.tensor(gold)
    losses = -sums.log_softmax(dim=1).gather(1, right[:, None])
    return Predictions(
        labels=[[place] for place in sums.argmax(dim=1).tolist()],
        loss=float(losses.mean()),
        entropy=float(torch.special.entr(sums.softmax(dim=1)).sum(dim=1).mean()),
        tokens=sum(len(each.ids) for each in requests),
        seconds=time.perf_counter() - start,
    )


def encode(tokenizer: PreTrainedTokenizerFast, context: str, continuation: str) -> Request:
    """Token ids of both texts, cut apart where the context alone ends.

    Raises:
        DataError: There is no context, and the tokenizer has no token to begin with.
    """
    if context:
        given = len(tokenizer(context).input_ids)
        return Request(list(tokenizer(context + continuation).input_ids), given)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if first is None:
        raise DataError(
            "the tokenizer has neither a first nor a last token, and a text is scored after one of them",
            fix="Take a model whose tokenizer has one.",
        )
    ids = list(tokenizer(continuation, add_special_tokens=False).input_ids)
    return Request(ids if ids[:1] == [first] else [first, *ids], 1)


@torch.no_grad()
def log_likelihoods(
    backbone: Backbone,
    requests: Sequence[Request],
    *,
    token_budget: int,
    device: torch.device | str,
    processes: Processes | None = None,
) -> Tensor:
    """Sums of the log-probabilities of the tokens that are scored, in nats.

    Of a text that is longer than the backbone's positions, the last tokens are read.

    Args:
        backbone: As in `answer`.
        requests: Texts.
        token_budget: As in `answer`.
        device: As in `answer`.
        processes: As in `answer`.

    Returns:
        `[requests]`, float64, on the CPU.
    """
    processes = processes or Processes()
    sums = torch.zeros(len(requests), dtype=torch.float64, device=device)
    texts = _texts(requests, getattr(backbone.config, "max_position_embeddings", None))
    longest = int(np.diff(texts.input_ids.offsets).max(initial=0))
    batches = texts.batches(max(token_budget, longest), pad_id=0, share=backbone.reads_trees)
    with evaluation_mode(backbone):
        for batch, is_own in processes.share(batches):
            found = _log_probabilities(backbone, moved := batch.to(device))
            if is_own:
                sums.index_add_(0, moved.examples, found)
    processes.add_up([sums])
    return sums.cpu()


def _texts(requests: Sequence[Request], most: int | None) -> Texts:
    """What is read: all tokens but the last, at those before a token that is scored, which is the label."""
    texts, places, targets = [], [], []
    for ids, start in requests:
        over = max(0, len(ids) - 1 - most) if most else 0
        kept, begin = ids[over:], max(1, start - over)
        texts.append(kept[: max(1, len(kept) - 1)])
        places.append(range(begin - 1, len(kept) - 1))
        targets.append(kept[begin:])
    return Texts(
        input_ids=_ragged(texts),
        readouts=_ragged(places),
        labels=_ragged(targets),
        words=_ragged(places),
        examples=np.arange(len(requests)),
        compared=False,
    )


def _ragged(lists: Sequence[Sequence[int]]) -> Ragged:
    values = np.fromiter(chain.from_iterable(lists), np.int64)
    return Ragged(values, np.cumsum([0, *map(len, lists)]))


def _log_probabilities(backbone: Backbone, batch: Batch) -> Tensor:
    """Of each read-out, that of its label as the next token: float64 `[readouts]`."""
    tree = None if batch.tree is None else TextTree(*batch.tree)
    states = backbone(batch.input_ids, tree=tree)[batch.rows, batch.columns]
    parts = [
        backbone.token_logits(chunk).log_softmax(dim=-1).gather(1, wanted[:, None])[:, 0].double()
        for chunk, wanted in zip(
            states.split(_POSITIONS_AT_ONCE), batch.labels.split(_POSITIONS_AT_ONCE), strict=True
        )
    ]
    return torch.cat(parts)

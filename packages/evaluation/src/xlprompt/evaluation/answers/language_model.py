"""How well a model still predicts text: the language-model loss that shows what training has made it forget.

The loss is that of next tokens in rows as the task encodes them, without their labels. The backbone's own
head is used, and where a model has a prompt, the prompt stands in front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.evaluation_mode import evaluation_mode
from xlprompt.evaluation.processes import Processes
from xlprompt.models.objective import summed_loss

if TYPE_CHECKING:
    from xlprompt.models import TaskModel

# Positions whose logits are held at a time: with 262,144 tokens in the vocabulary, 256 take 0.25 GiB.
_POSITIONS_AT_ONCE = 256


def language_model_loss(
    model: TaskModel,
    encoded: Encoded,
    *,
    rows: int,
    token_budget: int,
    device: torch.device | str,
    prompted: bool = True,
    processes: Processes | None = None,
    whole: Callable[[Tensor], AbstractContextManager[None]] | None = None,
) -> float:
    """Mean negative log-likelihood of a token given those before it in its row, in nats.

    Args:
        model: On `device`; its backbone must have `has_token_logits`.
        encoded: Of which the first rows are read; a row's first token is only given.
        rows: How many rows.
        token_budget: Padded tokens per batch at most.
        device: Where the batches go.
        prompted: With the model's prompt in front, where it has one; without, as the backbone alone.
        processes: Those that share the work; each of them calls this function and gets the result.
        whole: Within what it gives, a weight that is sharded over processes is whole; None for others.

    Raises:
        ValueError: No row has two tokens.
    """
    processes = processes or Processes()
    whole = whole or _as_it_is
    backbone = model.backbone
    total = torch.zeros(2, dtype=torch.float64, device=device)  # loss, predicted tokens
    with evaluation_mode(model), torch.no_grad():
        prompt = model.prompts(backbone.dtype) if prompted and model.prompts is not None else None
        for texts, is_own in processes.share(_batches(encoded, rows, token_budget)):
            lengths = torch.tensor([len(text) for text in texts])
            input_ids = pad_sequence(texts, batch_first=True)  # a causal model does not see what comes after
            hidden = backbone(input_ids.to(device), prompt)
            given = (torch.arange(input_ids.shape[1] - 1) < lengths[:, None] - 1).to(device)
            states = hidden[:, :-1][given]  # [predicted, hidden]
            targets = input_ids[:, 1:].to(device)[given]
            with whole(backbone.embedding.weight):
                loss = _summed_loss(backbone.token_logits, states, targets)
            if is_own:
                total += torch.stack((loss, torch.tensor(float(len(targets)), device=device)))
    processes.add_up([total])
    loss_sum, tokens = total.tolist()
    if not tokens:
        raise ValueError("no row has a token to predict")
    return float(loss_sum / tokens)


def _summed_loss(logits_of: Callable[[Tensor], Tensor], states: Tensor, targets: Tensor) -> Tensor:
    loss = torch.zeros((), dtype=torch.float64, device=states.device)
    for chunk, wanted in zip(
        states.split(_POSITIONS_AT_ONCE), targets.split(_POSITIONS_AT_ONCE), strict=True
    ):
        loss += summed_loss(logits_of(chunk), wanted)
    return loss


def _batches(encoded: Encoded, rows: int, token_budget: int) -> Iterator[list[Tensor]]:
    """The first rows, longest first, in batches within the budget."""
    ragged = encoded.ragged("input_ids")
    chosen = np.arange(min(rows, len(encoded.lengths)))
    chosen = chosen[np.argsort(-encoded.lengths[chosen], kind="stable")]
    start = 0
    while start < len(chosen):
        size = max(1, token_budget // int(encoded.lengths[chosen[start]]))
        yield [
            torch.from_numpy(ragged.take(chosen[at : at + 1]).astype(np.int64))
            for at in range(start, min(start + size, len(chosen)))
        ]
        start += size


def _as_it_is(_: Tensor) -> AbstractContextManager[None]:
    return nullcontext()

"""What a frozen backbone gives at every read-out of a split, computed once for a head that is trained on it.

States are in the backbone's precision, on its device: two bytes a hidden unit and read-out in bfloat16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xlprompt.data.encoding.batches import Batch, evaluation_batches
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.answers.collected import in_order
from xlprompt.evaluation.evaluation_mode import evaluation_mode
from xlprompt.evaluation.processes import Processes

if TYPE_CHECKING:
    from xlprompt.models import TaskModel


class KnownStates:
    """States `[read-outs, hidden]`, in the order of examples and words."""

    def __init__(self, states: Tensor, starts: Tensor) -> None:
        """Take states, and where those of each example begin, `[examples]`."""
        self._states, self._starts = states, starts

    @classmethod
    def read(
        cls,
        model: TaskModel,
        encoded: Encoded,
        *,
        token_budget: int,
        pad_id: int,
        device: torch.device | str,
        processes: Processes,
    ) -> KnownStates:
        """Read a split, in the batches that `predict` reads, so that its answers stay the same bit for bit.

        Args:
            model: A task model on `device` of which nothing below the head trains.
            encoded: The examples.
            token_budget: Padded tokens per batch at most.
            pad_id: The token id that fills up shorter rows.
            device: Where the batches go.
            processes: Those that share the work; all of them get all states.

        Raises:
            RuntimeError: A read-out is missing, doubled, or belongs to nothing of its example.
        """
        nothing = torch.empty(0, model.backbone.hidden_size, dtype=model.backbone.dtype, device=device)
        parts, places = [nothing], [torch.empty(0, 2, dtype=torch.int64, device=device)]
        with evaluation_mode(model), torch.no_grad():
            batches = evaluation_batches(encoded, token_budget=token_budget, pad_id=pad_id)
            for batch, is_own in processes.share(batches):
                moved = batch.to(device)
                states = model.readout_states(moved.input_ids, moved.rows, moved.columns)
                if is_own:
                    parts.append(states)
                    places.append(torch.stack((moved.examples, moved.words), dim=1))
        gathered = processes.gather(torch.cat(parts))
        examples, words = processes.gather(torch.cat(places)).T.cpu().numpy()
        counts = encoded.readouts_of_examples
        order = np.concatenate(in_order(np.arange(len(words)), examples, words, counts)).astype(np.int64)
        starts = torch.from_numpy(np.cumsum(counts) - counts).to(device)
        return cls(gathered[torch.from_numpy(order).to(device)], starts)

    def of(self, batch: Batch) -> Tensor:
        """Those of a batch on the same device, `[read-outs of the batch, hidden]`."""
        return self._states.index_select(0, self._starts[batch.examples] + batch.words)


def states_bytes(model: TaskModel, encoded: Encoded) -> int:
    """Memory that a split's states take."""
    return encoded.num_readouts * model.backbone.hidden_size * model.backbone.dtype.itemsize

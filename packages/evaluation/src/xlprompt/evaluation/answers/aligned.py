"""Hidden states of unlabelled text, and predictions with a language's states moved: for alignment.

The moments and maps themselves are xlprompt.models.alignment's. Where a head reads, one pass of the backbone
serves any number of maps; in the middle of the backbone each map needs a pass of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from xlprompt.data.encoding.batches import Batch, evaluation_batches
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.answers.inference import Predictions, predict, predict_aligned
from xlprompt.evaluation.evaluation_mode import evaluation_mode
from xlprompt.evaluation.processes import Processes
from xlprompt.models.backbone.layer_states import changed_layer

if TYPE_CHECKING:
    from xlprompt.models import AffineMap, TaskModel

Variant = TypeVar("Variant")

_MORE_THAN_A_ROW = 1 << 20  # tokens


def collect_states(
    model: TaskModel,
    encoded: Encoded,
    *,
    layer: int | None,
    token_budget: int,
    pad_id: int,
    device: torch.device | str,
    processes: Processes | None = None,
) -> Tensor:
    """The states that an alignment acts on, of every row; labels are not looked at.

    Args:
        model: A task model on `device`.
        encoded: The text.
        layer: None for what the head reads at its read-outs; a number for what comes out of that decoder
            layer at every token from a row's second to its last read-out. The first token, which is the same
            in every row, has a state of another size in many decoders.
        token_budget: Padded tokens per batch at most.
        pad_id: The token id that fills up shorter rows.
        device: Where the batches go.
        processes: Those that share the work; each of them gets all states.

    Returns:
        `[positions, hidden]`, float32, in the order of the rows however many processes share them.

    Raises:
        ModelError: The backbone has no such layer.
    """
    processes = processes or Processes()
    width = model.backbone.hidden_size if layer is None else model.backbone.layer_width
    collected = [torch.empty(0, width, device=device)]
    places = [torch.empty(0, 2, dtype=torch.int64, device=device)]
    with evaluation_mode(model), torch.no_grad():
        batches = evaluation_batches(
            encoded,
            token_budget=token_budget,
            pad_id=pad_id,
            share=layer is None and model.reads_trees,  # else each text's own tokens are collected
        )
        for batch, is_own in processes.share(batches):
            moved = batch.to(device)
            states, place = (
                _read_by_head(model, moved) if layer is None else _out_of_layer(model, moved, layer)
            )
            if is_own:
                collected.append(states.float())
                places.append(place)
        # Sorted by example and place in it: sums do not depend on who has read what.
        order = processes.gather(torch.cat(places)).cpu().numpy()
        states = processes.gather(torch.cat(collected))
    return states[torch.from_numpy(np.lexsort((order[:, 1], order[:, 0]))).to(states.device)]


def predict_with_maps(
    model: TaskModel,
    encoded: Encoded,
    maps: Mapping[Variant, AffineMap | None],
    *,
    layer: int | None,
    token_budget: int,
    pad_id: int,
    device: torch.device | str,
    processes: Processes | None = None,
) -> dict[Variant, Predictions]:
    """Predictions by the keys of `maps`, each with its map, or None, at what `layer` says.

    Arguments and errors are those of `collect_states` and `predict`.
    """
    batching = {"token_budget": token_budget, "pad_id": pad_id, "device": device, "processes": processes}
    if layer is None:
        return predict_aligned(model, encoded, maps, **batching)  # type: ignore[arg-type]
    results = {}
    for key, each in maps.items():
        if each is None:
            results[key] = predict(model, encoded, **batching)  # type: ignore[arg-type]
            continue
        with moved_layer(model, layer, each.to(device)):
            results[key] = predict(model, encoded, **batching)  # type: ignore[arg-type]
    return results


def moved_layer(model: TaskModel, layer: int, align: AffineMap) -> AbstractContextManager[None]:
    """While it is entered, what comes out of a decoder layer is moved, but for each row's first token."""
    return changed_layer(model.backbone, layer, partial(_but_first, align, _slots(model)))


def _read_by_head(model: TaskModel, batch: Batch) -> tuple[Tensor, Tensor]:
    states = model.readout_states(batch.input_ids, batch.rows, batch.columns, batch.tree)
    return states, torch.stack((batch.examples, batch.words), dim=1)


def _out_of_layer(model: TaskModel, batch: Batch, layer: int) -> tuple[Tensor, Tensor]:
    noted: list[Tensor] = []

    def note(states: Tensor) -> Tensor:
        noted.append(states)
        return states

    with changed_layer(model.backbone, layer, note):
        model.readout_states(batch.input_ids, batch.rows, batch.columns)
    rows, time = batch.input_ids.shape
    states = noted[0][:, -time:]  # without a prompt's slots
    last = torch.full((rows,), -1, device=states.device).scatter_reduce(
        0, batch.rows, batch.columns, reduce="amax"
    )
    first_word = torch.full((rows,), torch.iinfo(torch.int64).max, device=states.device).scatter_reduce(
        0, batch.rows, batch.words, reduce="amin"
    )
    example = torch.zeros(rows, dtype=torch.int64, device=states.device)
    example[batch.rows] = batch.examples
    columns = torch.arange(time, device=states.device).expand(rows, time)
    text = (columns > 0) & (columns <= last[:, None])
    # A long example has several rows; the first word that is read in one tells them apart.
    place = first_word[:, None] * _MORE_THAN_A_ROW + columns
    return states[text], torch.stack((example[:, None].expand(rows, time)[text], place[text]), dim=1)


def _but_first(align: AffineMap, slots: int, states: Tensor) -> Tensor:
    """`[batch, slots + time, hidden]` with the text aligned, but for each row's first token."""
    return torch.cat((states[:, : slots + 1], align(states[:, slots + 1 :])), dim=1)


def _slots(model: TaskModel) -> int:
    return 0 if model.prompts is None else model.prompts(model.backbone.dtype).input_slots

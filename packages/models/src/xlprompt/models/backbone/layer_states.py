"""The states between two decoder layers: read or replaced while a backbone runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.errors import ModelError


@contextmanager
def changed_layer(backbone: Backbone, layer: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within it, what comes out of a decoder layer goes through `change` before the next one sees it.

    Args:
        backbone: The decoder.
        layer: Which layer, from 1.
        change: Gets `[batch, slots + time, hidden]` and gives as much back; the slots are those of a prompt
            that runs as tokens, in front of the text.

    Raises:
        ModelError: The backbone has no such layer.
    """
    if not 1 <= layer <= backbone.num_layers:
        raise ModelError(f"{backbone.name} has layers 1 to {backbone.num_layers}, and no layer {layer}")

    def hook(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    handle = backbone.decoder_layers[layer - 1].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()

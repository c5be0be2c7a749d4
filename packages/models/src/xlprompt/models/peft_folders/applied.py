"""PEFT's own model around transformers' own, from a folder, and the hidden states that it computes.

What is written for PEFT and what is read from it are held against this model, so that a setting of PEFT or an
architecture that means something else there is found by its effect, whatever it is called.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerFast

from xlprompt.models.backbone.attention import KeyValueRecorder
from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.errors import ModelError, ran_out_of_memory
from xlprompt.models.methods.prompt_module import Prompts
from xlprompt.models.pretrained.files import first_line
from xlprompt.models.pretrained.location import locate
from xlprompt.models.pretrained.probe_text import PROBE_TEXTS
from xlprompt.models.pretrained.quiet import quietly
from xlprompt.models.pretrained.reading import from_transformers, is_about_the_model

if TYPE_CHECKING:
    from peft import PeftModel

_PROBES = 6
_MOST = 48  # tokens of a probe
_TOLERANCE = 1e-3  # of the states' size: float32 in another order differs by about 1e-6


def plain_base(name: str) -> PreTrainedModel:
    """Transformers' model without a head, in float32, as PEFT's users load it.

    Raises:
        ModelError: It can't be loaded.
    """
    model: PreTrainedModel = from_transformers(
        name, AutoModel.from_pretrained, locate(name), dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def load_by_peft(base: PreTrainedModel, folder: Path) -> "PeftModel":
    """PEFT's model, which changes `base`.

    Raises:
        ModelError: PEFT refuses the folder.
    """
    from peft import PeftModel

    try:
        with quietly(), warnings.catch_warnings():
            # What PEFT asks of transformers by names that have become others.
            warnings.simplefilter("ignore", FutureWarning)
            model: Any = PeftModel.from_pretrained(base, str(folder))
    except Exception as error:
        if not is_about_the_model(error):
            raise
        raise ModelError(f"{folder}: PEFT can't load it on this base ({first_line(error)})") from error
    return model.eval()


def probe_rows(tokenizer: PreTrainedTokenizerFast, *, vocabulary: int, longest: int | None) -> list[Tensor]:
    """Rows of ids `[1, time]` of texts in several languages, as long as they may be."""
    most = min(_MOST, longest) if longest is not None else _MOST
    rows = [tokenizer(text).input_ids[:most] for text in PROBE_TEXTS[:_PROBES]]
    return [torch.tensor([row]) for row in rows if row and max(row) < vocabulary]


@torch.no_grad()
def states_of_peft(model: "PeftModel | PreTrainedModel", rows: Sequence[Tensor]) -> list[Tensor]:
    """The text's hidden states after the last norm, `[1, time, hidden]` of each row.

    Raises:
        ModelError: PEFT's model cannot run, as with a prefix on Falcon's newer architecture.
    """
    found = []
    for ids in rows:
        try:
            output = model(input_ids=ids, attention_mask=torch.ones_like(ids))
        except RuntimeError as error:
            if ran_out_of_memory(error):
                raise
            raise ModelError(f"PEFT's own model of this adapter cannot run ({first_line(error)})") from error
        found.append(output.last_hidden_state[:, -ids.shape[1] :])
    return found


@torch.no_grad()
def states_here(backbone: Backbone, prompts: Prompts | None, rows: Sequence[Tensor]) -> list[Tensor]:
    """The same by a backbone of ours, which a method has changed, with what stands in front of the text."""
    was_training = backbone.training
    backbone.eval()
    prompt = None if prompts is None else prompts(backbone.dtype)
    found = [backbone(ids.to(backbone.device), prompt).cpu() for ids in rows]
    backbone.train(was_training)
    return found


def require_equal(ours: Sequence[Tensor], theirs: Sequence[Tensor], what: str) -> float:
    """The largest difference between hidden states.

    Raises:
        ModelError: It is more than other orders of sums explain.
    """
    differences = [float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)]
    size = max(float(states.abs().max()) for states in theirs)
    largest = max(differences, default=0.0)
    if not largest <= _TOLERANCE * max(1.0, size):
        raise ModelError(
            f"{what}: PEFT's model and xlprompt's compute other hidden states (they differ by {largest:.2g}, "
            f"and are up to {size:.2g}), so a setting or this architecture means something else to PEFT. "
            "Nothing was written"
        )
    return largest


@torch.no_grad()
def text_in_sight(backbone: Backbone, slots: int) -> int | None:
    """Most tokens of a text for which PEFT's prefix of so many slots is all in sight; None for any number.

    In a sliding layer PEFT's prefix leaves the window as text does. Here every token sees the whole prompt.
    """
    recorder = KeyValueRecorder()
    backbone(torch.zeros(1, 2, dtype=torch.long, device=backbone.device), recorder=recorder)
    return max(min(recorder.windows.values()) - slots, 0) if recorder.windows else None

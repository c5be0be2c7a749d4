"""What to do where memory runs out, a GPU's or the machine's, instead of a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from xlprompt.models.errors import ran_out_of_memory
from xlprompt.models.pretrained.files import first_line
from xlprompt.training.errors import RunError

FEWER_AT_A_TIME = "Where runs share it, let fewer do so at a time (--workers)"
COMPUTING = (
    "Lower schedule.token_budget (if that was in training) or evaluation.token_budget: the result stays the "
    "same. Or set gradient_checkpointing. Prompts and LoRA take less than full fine-tuning, whose optimizer "
    "several GPUs can share (ZERO=2)"
)
LOADING = (
    "The model does not fit as a whole, which it must also where DeepSpeed divides it afterwards. Take a "
    "smaller one, half precision (precision=bfloat16), or in place of a GPU the CPU (--device cpu)"
)


@contextlib.contextmanager
def out_of_memory_explained(advice: str = COMPUTING) -> Iterator[None]:
    """Turn lack of memory into advice.

    Args:
        advice: `COMPUTING`, or `LOADING` where no batch is there that could be smaller.

    Raises:
        RunError: Memory ran out.
    """
    try:
        yield
    except RunError:  # it may have been explained further inside
        raise
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        on_gpu = isinstance(error, torch.OutOfMemoryError) or "CUDA" in str(error)
        whose = "the GPU's" if on_gpu else "this machine's"
        raise RunError(
            f"{whose} memory ran out ({first_line(error)}). {advice}. {FEWER_AT_A_TIME}"
        ) from error

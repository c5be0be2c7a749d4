"""One forward pass of a backbone for several task models that stand on it, each row with its own prompt.

What a model says of a row is what it says alone: rows do not see each other. Which models can share a pass is
told by `pass_key`; their heads read afterwards, each its own rows.
"""

from collections.abc import Hashable, Sequence

from torch import Tensor

from xlprompt.models.backbone.prompt_tensors import of_rows
from xlprompt.models.backbone.readouts import Readouts
from xlprompt.models.task_model import TaskModel

_MULTIPLE = 8  # of read-outs, so that passes have few shapes: see `xlprompt.evaluation.answers.together`


def pass_key(model: TaskModel) -> Hashable:
    """Equal for models whose rows can go through one pass: same backbone, prompts of the same shape."""
    if model.prompts is None:
        return id(model.backbone), None
    shapes = tuple((name, tuple(each.shape)) for name, each in model.prompts.named_parameters())
    return id(model.backbone), (shapes, model.prompts.prompted, model.prompts.settings.shift)


def states_together(
    models: Sequence[TaskModel], which: Tensor, input_ids: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    """What heads read of rows of several models.

    Args:
        models: Of one `pass_key`.
        which: `[batch]`, the place among them of the model that each row is for.
        input_ids: `[batch, time]`, padded on the right.
        rows: `[read-outs]`, the row of each.
        columns: `[read-outs]`, its place in the row.

    Returns:
        `[read-outs, hidden]`.
    """
    backbone = models[0].backbone
    prompts = [each.prompts(backbone.dtype) for each in models if each.prompts is not None]
    readouts = Readouts.of(rows, columns, len(input_ids), multiple=_MULTIPLE)
    states = backbone(input_ids, of_rows(prompts, which) if prompts else None, readouts=readouts)
    return states.flatten(0, 1).index_select(0, readouts.places)

"""The README beside an exported adapter: what it is, how it is used, and where PEFT's model differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from xlprompt.data.tasks.kinds.layout import joints, leading_ids
from xlprompt.training.recipes.recipe import Recipe, task_of

_TEXT = """# {task} by {method}, for PEFT

Trained by xlprompt on {base}. `ids` and `mask` are `[batch, time]`, padded on the right:

```python
import torch.nn.functional as F
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel

folder = "."
model = PeftModel.from_pretrained(AutoModel.from_pretrained("{base}"), folder).eval()
head = load_file(f"{{folder}}/head.safetensors")
states = model(input_ids=ids, attention_mask=mask).last_hidden_state[:, -ids.shape[1] :]
logits = {logits}
```

- Logits are read at {read_at}. {labels}
- {rows}
{notes}"""
_STANDARDIZED = (
    'F.linear(F.layer_norm(states.float(), states.shape[-1:]), head["weight"], head["bias"])  '
    "# [batch, time, labels]"
)
_PLAIN = 'F.linear(states.float(), head["weight"], head.get("bias"))  # [batch, time, labels]'


def peft_readme(
    folder: Path, recipe: Recipe, tokenizer: PreTrainedTokenizerFast, base: str, notes: Sequence[str]
) -> None:
    """Write `README.md`.

    Args:
        folder: Where to.
        recipe: What was trained.
        tokenizer: The backbone's.
        base: What its users load the backbone by.
        notes: What else they have to know, in sentences.
    """
    task = task_of(recipe)
    labels = (
        f"In this order: {', '.join(task.labels)}." if task.kind.labeled else "They are two: start and end."
    )
    if task.kind.compares_readouts:
        labels = f"A softmax compares the read-outs of an example. {labels}"
    text = _TEXT.format(
        task=task.name,
        method=recipe.method,
        base=base,
        logits=_STANDARDIZED if recipe.head.kind == "linear" else _PLAIN,
        read_at=task.kind.read_at,
        labels=labels,
        rows=_rows(recipe, tokenizer),
        notes="".join(f"- {note}\n" for note in notes),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _rows(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> str:
    """How texts become a row, by the ids that stand around them."""
    separator, end = joints(tokenizer, recipe.encoding)
    lead, task = leading_ids(tokenizer), task_of(recipe)
    if task.kind.by_word:
        return f"A row is the ids {lead} and the words' tokens without special ones."
    ends = [str(end)] if task.kind.ends_rows else []
    rows = [" ".join([str(lead), f" {separator} ".join(names), *ends]) for names in task.kind.rows_of(task)]
    what = "A row is" if len(rows) == 1 else f"An example is {len(rows)} rows:"
    return (
        f"{what} {'; '.join(rows)}: ids around the tokens of each text, without special tokens of their "
        f"own. At most {recipe.encoding.max_length} in all."
    )

"""The files of an adapter that PEFT has saved: its configuration, its tensors, and a head if one is there.

Only safetensors are read, never pickle. What is none of an adapter's own tensors and no classifier's is
refused: passed over, it would make another model.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from xlprompt.models.errors import ModelError
from xlprompt.models.peft_folders.place import CONFIG_FILE, require_adapter
from xlprompt.models.peft_folders.written import PROMPT_TENSOR, WEIGHTS_FILE
from xlprompt.models.pretrained.files import first_line, opened_weights, read_json
from xlprompt.models.pretrained.quiet import quietly
from xlprompt.models.pretrained.reading import is_about_the_model

MERGE = "Merge it (merge_and_unload), save the model, and give that folder as the model"
_TYPES = ("LORA", "IA3", "PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING")
_TASKS = (None, "FEATURE_EXTRACTION", "CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS")
_OF_ADAPTER = re.compile(r"(.+)\.(lora_A\.weight|lora_B\.weight|ia3_l)")
_OF_HEAD = re.compile(r"(?:.+\.)?(?:score|classifier)\.(weight|bias)")
# What changes the base's own weights before training; after a conversion PEFT says True.
_HARMLESS_STARTS = (True, False, "gaussian", "eva", "orthogonal")


@dataclass(frozen=True)
class PeftFolder:
    """What an adapter's folder holds.

    Attributes:
        folder: The folder.
        config: PEFT's configuration, a `PeftConfig`.
        tensors: `prompt_embeddings`, or the adapter's tensors by the module's path (as the file has it) and
            their own name.
        head: `weight` and `bias` of a classifier that was trained along; empty where there is none.
    """

    folder: Path
    config: Any
    tensors: dict[tuple[str, str], Tensor]
    head: dict[str, Tensor] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """PEFT's name of what it is, such as `LORA`."""
        return str(getattr(self.config.peft_type, "value", self.config.peft_type))

    @property
    def base(self) -> str | None:
        """What the configuration calls the backbone."""
        name = self.config.base_model_name_or_path
        return str(name) if name else None


def read_peft_folder(folder: Path) -> PeftFolder:
    """Read the files of an adapter.

    Raises:
        ModelError: There is none, it is damaged, of a kind that has no counterpart here, or holds weights of
            the base model.
    """
    require_adapter(folder)
    config = _config(folder)
    if not (folder / WEIGHTS_FILE).exists() and (folder / "adapter_model.bin").exists():
        raise ModelError(
            f"{folder}: its weights are pickled (adapter_model.bin), which could run code. Save the adapter "
            "with a newer PEFT, whose save_pretrained writes safetensors"
        )
    tensors: dict[tuple[str, str], Tensor] = {}
    head: dict[str, Tensor] = {}
    strange: list[str] = []
    with opened_weights(folder / WEIGHTS_FILE) as weights:
        for name in weights.names:
            value = weights.read(name).float()
            if not value.isfinite().all():
                raise ModelError(f"{folder / WEIGHTS_FILE}: {name} holds values that are no finite numbers")
            if own := _OF_ADAPTER.fullmatch(name):
                tensors[own[1], own[2]] = value
            elif of_head := _OF_HEAD.fullmatch(name):
                head[of_head[1]] = value
            elif name == PROMPT_TENSOR:
                tensors["", name] = value
            else:
                strange.append(name)
    if strange:
        raise ModelError(
            f"{folder / WEIGHTS_FILE}: holds {strange[0]}{' and others' if strange[1:] else ''}, which is "
            f"neither an adapter's nor a classifier's (score, classifier). {MERGE}"
        )
    if not tensors or (head and "weight" not in head):
        raise ModelError(f"{folder / WEIGHTS_FILE}: holds no whole adapter or classifier; save it again")
    return PeftFolder(folder, config, tensors, head)


def _config(folder: Path) -> Any:
    from peft import PeftConfig

    path = folder / CONFIG_FILE
    values = read_json(path)
    kind = values.get("peft_type")
    if kind not in _TYPES:
        raise ModelError(f"{path}: peft_type {kind!r}; imported are {', '.join(_TYPES)}. {MERGE}")
    if values.get("task_type") not in _TASKS:
        raise ModelError(f"{path}: task_type {values.get('task_type')!r} is no decoder's")
    if values.get("init_lora_weights", True) not in _HARMLESS_STARTS:
        raise ModelError(
            f"{path}: init_lora_weights {values['init_lora_weights']!r} begins from changed weights of the "
            "base. Save it with path_initial_model_for_weight_conversion, which makes a plain LoRA of it"
        )
    if values.get("alora_invocation_tokens"):
        raise ModelError(f"{path}: alora_invocation_tokens switch it on within a text. {MERGE}")
    try:
        with quietly():
            return PeftConfig.from_pretrained(str(folder))
    except Exception as error:
        if not is_about_the_model(error):
            raise
        raise ModelError(f"{path}: PEFT can't read it ({first_line(error)})") from error

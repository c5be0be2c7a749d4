"""The methods by name: what trains beside the head.

| method | trains | settings |
|---|---|---|
| `prompt` | keys and values, or embeddings, in front of the text's | `PromptSettings` |
| `finetune` | all weights | `FinetuneSettings` |
| `head` | nothing else | none |
| `lora` | a product of two thin matrices beside chosen projections | `LoraSettings` |
| `ia3` | a scale of each key, value and inner feed-forward state | `Ia3Settings` |
| `adapter` | a small two-layer network behind each feed-forward | `AdapterSettings` |
| `bitfit` | the bias terms | `BitfitSettings` |
"""

from typing import Literal, get_args

Method = Literal["prompt", "finetune", "head", "lora", "ia3", "adapter", "bitfit"]

METHODS: tuple[Method, ...] = get_args(Method)

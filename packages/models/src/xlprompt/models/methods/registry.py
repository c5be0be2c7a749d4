"""The methods, in the order of tables and reports. Another one is a file beside these and an entry here."""

from xlprompt.models.methods.adapter import AdapterSettings
from xlprompt.models.methods.bitfit import BitfitSettings
from xlprompt.models.methods.finetune import FinetuneSettings
from xlprompt.models.methods.head import HeadOnly
from xlprompt.models.methods.ia3 import Ia3Settings
from xlprompt.models.methods.lora import LoraSettings
from xlprompt.models.methods.method import Method
from xlprompt.models.methods.prompt import PromptSettings
from xlprompt.models.methods.zeroshot import ZeroShotSettings

REGISTRY: tuple[type[Method], ...] = (
    PromptSettings,
    FinetuneSettings,
    HeadOnly,
    LoraSettings,
    Ia3Settings,
    AdapterSettings,
    BitfitSettings,
    ZeroShotSettings,
)

METHODS = tuple(method.name for method in REGISTRY)
TRAINED_METHODS = tuple(method.name for method in REGISTRY if method.is_trained)
"""Those of a training run; the others are scored as they are."""


def method_of(name: str) -> type[Method]:
    """The method of a name out of `METHODS`."""
    return next(method for method in REGISTRY if method.name == name)

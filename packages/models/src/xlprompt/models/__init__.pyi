from .accounting.budget import ParameterBudget as ParameterBudget
from .accounting.memory import StateMemory as StateMemory
from .accounting.memory import state_memory as state_memory
from .alignment import (
    FEWEST_STATES as FEWEST_STATES,
)
from .alignment import (
    FEWEST_TARGET_STATES as FEWEST_TARGET_STATES,
)
from .alignment import (
    AffineMap as AffineMap,
)
from .alignment import (
    Moments as Moments,
)
from .alignment import (
    Target as Target,
)
from .alignment import (
    alignment_map as alignment_map,
)
from .alignment import (
    moment_distance as moment_distance,
)
from .alignment import (
    moments_of as moments_of,
)
from .alignment import (
    target_of as target_of,
)
from .backbone.attention import prompted_attention as prompted_attention
from .backbone.backbone import Backbone as Backbone
from .backbone.layer_states import changed_layer as changed_layer
from .errors import ModelError as ModelError
from .methods.adapter import AdapterSettings as AdapterSettings
from .methods.bitfit import BitfitSettings as BitfitSettings
from .methods.finetune import FinetuneSettings as FinetuneSettings
from .methods.head import HeadOnly as HeadOnly
from .methods.ia3 import Ia3Settings as Ia3Settings
from .methods.lora import LoraSettings as LoraSettings
from .methods.method import Method as Method
from .methods.prompt import PromptSettings as PromptSettings
from .methods.prompt_module import text_initialisation as text_initialisation
from .methods.registry import METHODS as METHODS
from .methods.registry import REGISTRY as REGISTRY
from .methods.registry import TRAINED_METHODS as TRAINED_METHODS
from .methods.registry import method_of as method_of
from .methods.zeroshot import ZeroShotSettings as ZeroShotSettings
from .peft_folders.place import require_adapter as require_adapter
from .pretrained.cache import cache_dir as cache_dir
from .pretrained.cache import writable_cache_dir as writable_cache_dir
from .pretrained.examination import examine as examine
from .pretrained.fingerprint import backbone_fingerprint as backbone_fingerprint
from .pretrained.known import (
    GEMMA as GEMMA,
)
from .pretrained.known import (
    KNOWN_MODELS as KNOWN_MODELS,
)
from .pretrained.known import (
    canonical_name as canonical_name,
)
from .pretrained.known import (
    short_name as short_name,
)
from .pretrained.loading import load_backbone as load_backbone
from .pretrained.location import absolute_name as absolute_name
from .pretrained.location import require_model as require_model
from .pretrained.reading import load_config as load_config
from .pretrained.reading import load_tokenizer as load_tokenizer
from .settings import (
    ALIGNMENT_KINDS as ALIGNMENT_KINDS,
)
from .settings import (
    AlignmentKind as AlignmentKind,
)
from .settings import (
    AlignmentLossSettings as AlignmentLossSettings,
)
from .settings import (
    AlignmentSettings as AlignmentSettings,
)
from .settings import HeadSettings as HeadSettings
from .task_model import (
    TaskModel as TaskModel,
)
from .task_model import (
    build_task_model as build_task_model,
)
from .task_model import (
    parameter_budget as parameter_budget,
)
from .task_model import (
    weightless_task_model as weightless_task_model,
)

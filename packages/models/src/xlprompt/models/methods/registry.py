"""What LoRA, (IA)3, adapters and BitFit do to a frozen backbone, and what that adds to the counts.

Whatever is new is held in float32 and starts without effect. Biases that the backbone has already stay in its
own precision.
"""

import functools

import torch
from torch import Tensor, nn

from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.backbone.prompt_tensors import PromptShape
from xlprompt.models.errors import ModelError
from xlprompt.models.methods.adapter import (
    AdapterSettings,
    BottleneckAdapter,
    adapter_matrix_params,
    adapter_params,
)
from xlprompt.models.methods.bitfit import BitfitSettings, layers_without_bias, own_biases, require_biases
from xlprompt.models.methods.lora import (
    Ia3Settings,
    LoraSettings,
    ia3_params,
    insert_peft_layers,
    lora_params,
)
from xlprompt.models.methods.projections import leads_back, named

Adaptation = LoraSettings | Ia3Settings | AdapterSettings | BitfitSettings


class Adapters(nn.Module):
    """A frozen backbone's adaptation; it holds what does not lie in the backbone's own modules.

    LoRA's and (IA)3's parameters lie in the layers that PEFT puts into the backbone. Adapters and added
    biases lie here and act by hooks, so that the backbone's own names stay as they are. A backbone can be
    adapted once.
    """

    def __init__(self, backbone: Backbone, settings: Adaptation, generator: torch.Generator) -> None:
        """Freeze the backbone and adapt it.

        Raises:
            ModelError: It has no place for this method.
        """
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList()
        self.biases = nn.ParameterDict()
        # Fused projections are one product of frozen weights: nothing can be put into them.
        backbone.freeze(fuse=isinstance(settings, AdapterSettings))
        if isinstance(settings, AdapterSettings):
            for place in feed_forwards(backbone.model, backbone.num_layers):
                adapter = BottleneckAdapter(backbone.hidden_size, settings, generator)
                self.layers.append(adapter)
                place.register_forward_hook(functools.partial(_adapted, adapter))
        elif isinstance(settings, BitfitSettings):
            require_biases(backbone.model, settings)
            for bias in own_biases(backbone.model).values():
                bias.requires_grad_(True)
            for path, layer in layers_without_bias(backbone.model).items() if settings.add else ():
                name = path.replace(".", "/")  # torch allows no points in it
                self.biases[name] = nn.Parameter(torch.zeros(layer.out_features))
                layer.register_forward_hook(functools.partial(_biased, self.biases, name))
        else:
            insert_peft_layers(backbone.model, settings, generator)


def require_place(backbone: Backbone, settings: Adaptation | None) -> None:
    """Refuse a backbone, with weights or without, that has no place for a method.

    Raises:
        ModelError: It has none.
    """
    if settings is not None:
        added_params(backbone.model, backbone.shape, settings)


def added_params(model: nn.Module, shape: PromptShape, settings: Adaptation) -> int:
    """Parameters that the method adds to a transformers base model, with weights or on the meta device.

    Raises:
        ModelError: The model has no place for this method.
    """
    match settings:
        case LoraSettings():
            return lora_params(model, settings)
        case Ia3Settings():
            return ia3_params(model, settings)
        case AdapterSettings():
            feed_forwards(model, shape.num_layers)
            return adapter_params(shape.num_layers, shape.hidden_size, settings)
        case BitfitSettings():
            require_biases(model, settings)
            without = layers_without_bias(model) if settings.add else {}
            return sum(layer.out_features for layer in without.values())


def trained_own_params(model: nn.Module, settings: Adaptation) -> int:
    """Parameters of the model itself that the method trains."""
    if not isinstance(settings, BitfitSettings):
        return 0
    return sum(bias.numel() for bias in own_biases(model).values())


def added_matrix_params(model: nn.Module, shape: PromptShape, settings: Adaptation) -> int:
    """Parameters of the added matrices, with which every token is multiplied."""
    match settings:
        case LoraSettings():
            return lora_params(model, settings)
        case AdapterSettings():
            return adapter_matrix_params(shape.num_layers, shape.hidden_size, settings)
        case _:
            return 0


def feed_forwards(model: nn.Module, num_layers: int) -> list[nn.Module]:
    """Of each layer the module whose output is the feed-forward's: `fc2` in XGLM, `mlp` elsewhere.

    Raises:
        ModelError: There is none of these names, or not one in each layer (a mixture of experts has several).
    """
    back = leads_back(model)
    paths = [path if back == "fc2" else path.rpartition(".")[0] for path in named(model, (back,))]
    layers = {path.split(".")[1] for path in paths}
    whole = all(path.count(".") == 2 or back == "fc2" for path in paths)  # layers.3.mlp
    if not whole or not len(paths) == len(layers) == num_layers:
        raise ModelError(
            f"{type(model).__name__} has no single feed-forward in each of its {num_layers} layers for an "
            "adapter to go behind; take another backbone or another method"
        )
    return [model.get_submodule(path) for path in paths]


def _adapted(adapter: BottleneckAdapter, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
    adapted: Tensor = adapter(output)
    return adapted


def _biased(
    biases: nn.ParameterDict, name: str, _: nn.Module, __: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    # Looked up by name: moving a module to another device may put new parameters into it.
    return output + biases[name].to(output.dtype)

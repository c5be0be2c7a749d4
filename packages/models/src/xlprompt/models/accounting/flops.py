"""Model FLOPs: the arithmetic that a forward pass or a training step needs, whatever the hardware does.

Counted are the matrix products of the decoder's layers and of attention, a multiplication and an addition as
two. Left out is what is small or never computed: the language-model head (classification has none), the
input embedding (a lookup), norms, activations, softmax and the task's head.
"""

from collections.abc import Collection
from dataclasses import dataclass

from transformers import PreTrainedModel

from xlprompt.models.backbone.backbone import shape_by_config
from xlprompt.models.methods.bitfit import own_biases
from xlprompt.models.methods.lora import LoraSettings
from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import is_inserted
from xlprompt.models.methods.prompt import PromptSettings
from xlprompt.models.methods.registry import Adaptation, added_matrix_params


@dataclass(frozen=True)
class ComputeShape:
    """The sizes of a decoder that its arithmetic follows from.

    Attributes:
        matmul_params: Parameters of all matrices that every token is multiplied with; no embedding.
        num_layers: Decoder layers.
        num_heads: Query heads of a layer.
        num_kv_heads: Key-value heads of a layer.
        head_dim: Size of a head.
        hidden_size: Width of the hidden states.
        added_params: Parameters of the matrices that LoRA or adapters add.
        biased_norms: Whether norms have bias terms.
    """

    matmul_params: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    added_params: int = 0
    biased_norms: bool = False


def compute_shape(model: PreTrainedModel, adaptation: Adaptation | None = None) -> ComputeShape:
    """Read the sizes off a transformers base model, with weights or on the meta device, adapted or not.

    Mixtures of experts are counted as if each token went through none of the experts (their weights have
    three axes).
    """
    embeddings = {id(model.get_input_embeddings().weight)}
    matrices = (
        parameter
        for path, parameter in model.named_parameters()
        if parameter.ndim == 2 and id(parameter) not in embeddings and not is_inserted(path)
    )
    shape = shape_by_config(model.config)
    return ComputeShape(
        sum(matrix.numel() for matrix in matrices),
        shape.num_layers,
        model.config.num_attention_heads,
        shape.num_kv_heads,
        shape.head_dim,
        shape.hidden_size,
        added_params=0 if adaptation is None else added_matrix_params(model, shape, adaptation),
        biased_norms=any("norm" in path for path in own_biases(model)),
    )


def forward_flops(shape: ComputeShape, lengths: Collection[int], prompt: PromptSettings | None = None) -> int:
    """FLOPs of one forward pass over rows of text.

    2 for each matrix parameter and token, those of added matrices included, and 4 x T x (T + P) x heads x
    head dim a layer for the two products of attention, with P prompt slots in front of T tokens, none in a
    layer without a prompt (Kaplan et al. 2020, arXiv 2001.08361, table 1; Chowdhery et al. 2022, PaLM, arXiv
    2204.02311, appendix B). As in PaLM, that half of attention which the causal mask (or a sliding window)
    throws away is not taken off.
    Slots of the schemes `input`, `both` and `hidden` run through the layers as tokens do and count as such.

    Args:
        shape: The decoder.
        lengths: `[rows]`, tokens of each row without padding, so that padding counts as no useful work.
        prompt: The prompt, or None without one.
    """
    matrices, attention = _forward(shape, lengths, prompt)
    return matrices + sum(attention)


def step_flops(
    shape: ComputeShape,
    lengths: Collection[int],
    *,
    method: Method,
    prompt: PromptSettings | None = None,
    adaptation: Adaptation | None = None,
) -> int:
    """FLOPs of a training step over rows of text, forward and backward.

    Going backward, a matrix product costs its forward FLOPs once for the gradient of its input and once for
    that of its weights. Fine-tuning needs both (PaLM, appendix B: three times the forward pass), and so do
    matrices that LoRA and adapters add. Frozen matrices have no gradient, so all other methods need the first
    alone. Attention multiplies two activations: two products forward, four backward. A head alone needs the
    forward pass and nothing more.

    What lies below the lowest weight that trains needs no gradient (see `_needless`).

    Gradient checkpointing computes more, but needs no more: it adds nothing here, as in PaLM's model FLOPs
    utilization. Nor does the update of the weights, which is no matrix product. A frozen embedding changes
    nothing: the norms above it train.

    Args:
        shape: The decoder, with what is added to it.
        lengths: `[rows]`, tokens of each row without padding.
        method: What trains.
        prompt: The prompt; None for another method.
        adaptation: LoRA's or another adaptation's settings; None for another method.
    """
    matrices, by_layer = _forward(shape, lengths, prompt)
    attention = sum(by_layer)
    if method == "head":
        return matrices + attention
    if method == "finetune":
        return 3 * (matrices + attention)
    tokens = sum(map(int, lengths))
    added = 2 * shape.added_params * tokens
    needless_params, needless_products = _needless(shape, method, prompt, adaptation)
    lowest = 0
    if prompt is not None and prompt.scheme == "layers":
        lowest = prompt.prompted_layers(shape.num_layers)[0]
        needless_params += lowest * shape.matmul_params // shape.num_layers
    # Layers below the lowest prompt go without the whole backward pass, which takes twice the forward's.
    needless = (
        2 * needless_params * tokens + needless_products * by_layer[lowest] // 2 + 2 * sum(by_layer[:lowest])
    )
    return 2 * matrices + added + 3 * attention - needless


def _needless(
    shape: ComputeShape, method: Method, prompt: PromptSettings | None, adaptation: Adaptation | None
) -> tuple[int, int]:
    """What the lowest layer that trains needs no gradient of: inputs of matrices, products of attention.

    Nothing in front of that layer's projections trains, but for a prompt that runs as tokens and a norm
    that has a bias: their inputs need no gradient. Where queries or keys do not depend on anything that
    trains, one of attention's four products backward falls away; in front of the first adapter all four do,
    and the inputs of all the layer's matrices.
    """
    projections = shape.hidden_size * (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim
    if isinstance(adaptation, LoraSettings):
        updated = 2 if adaptation.targets == "query_value" else 3
        return projections + updated * adaptation.rank * shape.hidden_size, 3 - updated
    match method:
        case "ia3":
            return projections, 1
        case "adapter":
            return shape.matmul_params // shape.num_layers + shape.added_params // shape.num_layers // 2, 4
        case "bitfit":
            return (0 if shape.biased_norms else projections), 0
        case _:
            only_layers = prompt is not None and prompt.scheme == "layers"
            return (projections, 1) if only_layers else (0, 0)


def _forward(
    shape: ComputeShape, lengths: Collection[int], prompt: PromptSettings | None
) -> tuple[int, list[int]]:
    """FLOPs of matrices, and of attention by layer."""
    prompted: tuple[int, ...] = ()
    as_tokens = 0
    if prompt is not None:
        prompted = prompt.prompted_layers(shape.num_layers)
        if prompt.trains_input or prompt.scheme == "hidden":
            as_tokens = prompt.length
    tokens = [int(length) + as_tokens for length in lengths]  # of an array too, without its overflow
    width = shape.num_heads * shape.head_dim
    plain = 4 * width * sum(row * row for row in tokens)
    slots = 0 if prompt is None else prompt.length
    with_slots = plain + 4 * width * slots * sum(tokens)
    attention = [with_slots if layer in prompted else plain for layer in range(shape.num_layers)]
    return 2 * (shape.matmul_params + shape.added_params) * sum(tokens), attention

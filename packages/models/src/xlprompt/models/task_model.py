"""A backbone, a prompt and a head, put together for one task by one of the methods.

Unless it is fine-tuned the backbone is frozen. Prompt, adapters and head are held in float32; the backbone's
weights in the precision they were loaded in, whether they train or not (the engine keeps float32 masters of
those that do). What a batch is, and where it comes from, is not known here: tensors of ids and read-out
positions come in, logits come out.
"""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from xlprompt.models.accounting.budget import ParameterBudget, count_parameters
from xlprompt.models.backbone.attention import KeyValueRecorder
from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.errors import ModelError
from xlprompt.models.heads import HeadSettings, LinearHead, VerbalizerHead, label_word_ids
from xlprompt.models.methods.finetune import FinetuneSettings
from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import is_inserted
from xlprompt.models.methods.prompt import Prompts, PromptSettings
from xlprompt.models.methods.registry import Adaptation, Adapters
from xlprompt.models.pretrained.probe_text import PROBE_TEXTS


class TaskModel(nn.Module):
    """Logits at chosen positions of right-padded text."""

    def __init__(
        self,
        backbone: Backbone,
        prompts: Prompts | None,
        head: LinearHead | VerbalizerHead,
        finetune: FinetuneSettings | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        """Put the parts together; the backbone is frozen unless it is fine-tuned.

        Args:
            backbone: The decoder.
            prompts: What stands in front of the text, or None.
            head: What reads the hidden states.
            finetune: Which of the backbone's weights train, or None.
            adapters: What has been put into this backbone, or None.
        """
        super().__init__()
        if finetune is not None:
            backbone.unfreeze(embeddings=finetune.train_embeddings)
        elif adapters is None:
            backbone.freeze()
        self.backbone, self.prompts, self.head, self.adapters = backbone, prompts, head, adapters
        self.method: Method = "head"
        if finetune is not None:
            self.method = "finetune"
        elif prompts is not None:
            self.method = "prompt"
        elif adapters is not None:
            self.method = adapters.settings.method

    def forward(
        self, input_ids: Tensor, rows: Tensor, columns: Tensor, *, only_states: bool = False
    ) -> Tensor:
        """Classify read-out positions.

        Args:
            input_ids: `[batch, time]`, padded on the right.
            rows: `[read-outs]`, the batch row of each read-out.
            columns: `[read-outs]`, its position in the row.
            only_states: Give what the head reads, as `readout_states` does, where only `forward` can be
                called: on a model that DeepSpeed has divided.

        Returns:
            `[read-outs, labels]`, float32.
        """
        states = self.readout_states(input_ids, rows, columns)
        return states if only_states else self.head(states)

    def readout_states(self, input_ids: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """What the head reads: hidden states `[read-outs, hidden]` at the places that `forward` names."""
        prompt = None if self.prompts is None else self.prompts(self.backbone.dtype)
        # With nothing to train below the head, no activation is kept and nothing goes backward.
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.method != "head"):
            hidden = self.backbone(input_ids, prompt)
        # One index_select: on a CPU its backward is many times faster than that of hidden[rows, columns].
        return hidden.flatten(0, 1).index_select(0, rows * input_ids.shape[1] + columns)

    def prompt_parameters(self) -> list[nn.Parameter]:
        """The prompt's trainable parameters."""
        return [] if self.prompts is None else list(self.prompts.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """The head's trainable parameters."""
        return list(self.head.parameters())

    def adapter_parameters(self) -> list[nn.Parameter]:
        """What LoRA, (IA)3, adapters or BitFit have added to the backbone; all of it trains."""
        inserted = [one for path, one in self.backbone.named_parameters() if is_inserted(path)]
        return inserted + ([] if self.adapters is None else list(self.adapters.parameters()))

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Those of the backbone's own parameters that train: by fine-tuning and BitFit."""
        return [
            parameter
            for path, parameter in self.backbone.named_parameters()
            if parameter.requires_grad and not is_inserted(path)
        ]

    def undecayed_parameters(self) -> list[nn.Parameter]:
        """Tensors of several axes that weight decay would not bring to a neutral value.

        A prompt's keys and values take part in a softmax, so shrinking them to zero would not switch them off
        but dilute the attention to the text. The neutral value of (IA)3's scales is one.
        """
        scales = [one for path, one in self.backbone.named_parameters() if ".ia3_" in path]
        return self.prompt_parameters() + scales

    def trainable_state(self) -> dict[str, Tensor]:
        """Copies of what a checkpoint holds: all that trains, and the whole of a fine-tuned backbone."""
        return {
            name: parameter.detach().to("cpu", copy=True)
            for name, parameter in self.kept_parameters().items()
        }

    @torch.no_grad()
    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `trainable_state` gave.

        Raises:
            ModelError: Names or shapes are not this model's.
        """
        own = self.kept_parameters()
        theirs = {name: tuple(tensor.shape) for name, tensor in state.items()}
        ours = {name: tuple(parameter.shape) for name, parameter in own.items()}
        if theirs != ours:
            raise ModelError(f"this state does not fit the model: it holds {theirs}, the model trains {ours}")
        for name, parameter in own.items():
            parameter.copy_(state[name])

    def kept_parameters(self) -> dict[str, nn.Parameter]:
        """What a checkpoint holds, by name: all that trains, and the whole of a fine-tuned backbone."""
        whole_backbone = self.method == "finetune"  # embeddings that were left frozen, too
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if parameter.requires_grad or (whole_backbone and name.startswith("backbone."))
        }

    def budget(self) -> ParameterBudget:
        """Parameters by part."""
        settings = None if self.prompts is None else self.prompts.settings
        return count_parameters(
            self.backbone.model,
            name=self.backbone.name,
            prompt=settings,
            prompt_params=sum(parameter.numel() for parameter in self.prompt_parameters()),
            head_params=sum(parameter.numel() for parameter in self.head_parameters()),
            adapter_params=sum(parameter.numel() for parameter in self.adapter_parameters()),
            finetuned_params=sum(parameter.numel() for parameter in self.backbone_parameters()),
        )


def build_task_model(
    backbone: Backbone,
    tokenizer: PreTrainedTokenizerFast,
    *,
    num_labels: int,
    label_words: Sequence[str] | None = None,
    prompt: PromptSettings | None,
    head: HeadSettings,
    seed: int,
    finetune: FinetuneSettings | None = None,
    adaptation: Adaptation | None = None,
) -> TaskModel:
    """Make a task model whose prompt, adapters and head start the same for the same seed, on any device.

    At most one of `prompt`, `finetune` and `adaptation` is given; with none the head alone trains. Without a
    prompt, the head starts the same whatever else trains.

    Args:
        backbone: The decoder; it is frozen unless `finetune` is given, and changed by `adaptation`.
        tokenizer: Its tokenizer, for the text initialisation and the verbalizer.
        num_labels: Number of labels.
        label_words: One word per label, for the verbalizer.
        prompt: The prompt, or None to train without one.
        head: Which head.
        seed: Seed of the random initialisation.
        finetune: Which of the backbone's weights train, or None for none.
        adaptation: LoRA, (IA)3, adapters or BitFit, or None for none of them.

    Raises:
        ModelError: The verbalizer's words are missing or clash, the backbone has no place for the adaptation,
            or it has fewer layers than the prompt asks for; or the tokenizer is another model's.
    """
    if sum(given is not None for given in (prompt, finetune, adaptation)) > 1:
        raise ModelError("a prompt, fine-tuning and an adaptation exclude each other; give one of them")
    _require_known_ids(backbone, tokenizer, prompt, label_words or ())
    generator = torch.Generator().manual_seed(seed)
    prompts = None
    if prompt is not None:
        start = text_initialisation(backbone, tokenizer, prompt) if prompt.init == "text" else {}
        prompts = Prompts(prompt, backbone.shape, start, generator)
    head_module: LinearHead | VerbalizerHead
    if head.kind == "linear":
        head_module = LinearHead(backbone.hidden_size, num_labels, generator)
    else:
        if label_words is None or len(label_words) != num_labels:
            raise ModelError(f"the verbalizer needs one label word for each of the {num_labels} labels")
        ids = torch.tensor(label_word_ids(tokenizer, label_words), device=backbone.device)
        head_module = VerbalizerHead(backbone.embedding.weight[ids])
    adapters = None if adaptation is None else Adapters(backbone, adaptation, generator)
    return TaskModel(backbone, prompts, head_module, finetune, adapters).to(backbone.device)


def _require_known_ids(
    backbone: Backbone,
    tokenizer: PreTrainedTokenizerFast,
    prompt: PromptSettings | None,
    label_words: Sequence[str],
) -> None:
    """Refuse a tokenizer that makes ids for which the embedding has no row, out of any text."""
    texts = [*PROBE_TEXTS, *label_words, *([] if prompt is None else [prompt.text])]
    largest = max(max(ids, default=0) for ids in tokenizer(texts).input_ids)
    if largest >= backbone.vocab_size:
        raise ModelError(
            f"{backbone.name}: its tokenizer makes ids up to {largest}, and its embedding has "
            f"{backbone.vocab_size} rows. Get the tokenizer and the weights that belong together"
        )


@torch.no_grad()
def text_initialisation(
    backbone: Backbone, tokenizer: PreTrainedTokenizerFast, settings: PromptSettings
) -> dict[str, Tensor]:
    """What the backbone itself computes for `settings.text`, as the start of each prompt parameter.

    The text is cut, or repeated, to the prompt's length. Keys and values are those of the text's own tokens,
    positions and all, so that with shifted positions an untrained `layers` prompt acts exactly as if the text
    stood in front.

    Returns:
        Tensors by parameter name, in the backbone's dtype.
    """
    lead = tokenizer("").input_ids
    words = tokenizer(settings.text, add_special_tokens=False).input_ids
    if not words:
        raise ModelError("prompt.text has no tokens in this tokenizer; write a sentence")
    ids = [*lead, *itertools.islice(itertools.cycle(words), settings.length)][: settings.length]
    input_ids = torch.tensor([ids], device=backbone.device)
    was_training = backbone.training
    backbone.eval()
    try:
        return _computed_for(backbone, input_ids, settings)
    finally:
        backbone.train(was_training)


def _computed_for(backbone: Backbone, input_ids: Tensor, settings: PromptSettings) -> dict[str, Tensor]:
    start: dict[str, Tensor] = {}
    if settings.trains_layers:
        recorder = KeyValueRecorder()
        backbone(input_ids, recorder=recorder)
        start["layers"] = torch.stack(
            [
                torch.stack([states[0] for states in recorder.states[layer]])
                for layer in settings.prompted_layers(backbone.num_layers)
            ]
        )
    if settings.trains_input:
        start["input"] = backbone.embedding(input_ids)[0]
    if settings.scheme == "hidden":
        entries: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, arguments: entries.append(arguments[0][0]))
            for layer in backbone.decoder_layers
        ]
        try:
            backbone(input_ids)
        finally:
            for hook in hooks:
                hook.remove()
        # The first entry is embedding plus position in XGLM; positions are added again, so start from the
        # embedding.
        start["hidden"] = torch.stack((backbone.embedding(input_ids)[0], *entries[1:]))
    return start

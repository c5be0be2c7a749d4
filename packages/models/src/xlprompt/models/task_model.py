"""A backbone, a prompt and a head, put together for one task by one of the methods.

Unless it is fine-tuned the backbone is frozen. Prompt, adapters and head are held in float32; the backbone's
weights in the precision they were loaded in, whether they train or not (the engine keeps float32 masters of
those that do). What a batch is, and where it comes from, is not known here: tensors of ids and read-out
positions come in, logits come out.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from xlprompt.models.accounting.budget import ParameterBudget, count_parameters
from xlprompt.models.accounting.flops import Flops, count_flops
from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.backbone.readouts import Readouts
from xlprompt.models.backbone.text_tree import TextTree
from xlprompt.models.errors import ModelError
from xlprompt.models.heads import LinearHead, NoHead, VerbalizerHead, label_word_ids
from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import is_inserted
from xlprompt.models.methods.prompt_module import Prompts
from xlprompt.models.pretrained.examination import examine
from xlprompt.models.pretrained.known import canonical_name
from xlprompt.models.pretrained.probe_text import PROBE_TEXTS
from xlprompt.models.settings import HeadSettings


class TaskModel(nn.Module):
    """Logits at chosen positions of right-padded text."""

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        prompts: Prompts | None,
        head: LinearHead | VerbalizerHead | NoHead,
        generator: torch.Generator,
    ) -> None:
        """Put the parts together, and apply the method to the backbone.

        Args:
            backbone: The decoder.
            method: What trains.
            prompts: What it puts in front of the text, or None.
            head: What reads the hidden states.
            generator: Where the method's random numbers come from.

        Raises:
            ModelError: The backbone has no place for the method.
        """
        super().__init__()
        self.method = method
        # Of four parts in this order: so are parameters ordered, and a norm over all of them added up.
        self.backbone, self.prompts, self.head = backbone, prompts, head
        self.adapters = method.apply(backbone, generator)

    def forward(
        self,
        input_ids: Tensor,
        rows: Tensor,
        columns: Tensor,
        *,
        tree: Tensor | None = None,
        only_states: bool = False,
    ) -> Tensor:
        """Classify read-out positions.

        Args:
            input_ids: `[batch, time]`, padded on the right.
            rows: `[read-outs]`, the batch row of each read-out.
            columns: `[read-outs]`, its place in the row.
            tree: `[2, batch, time]`, positions and branches as `TextTree` has them, where a row holds several
                texts; None where each is one.
            only_states: Give what the head reads, as `readout_states` does, where only `forward` can be
                called: on a model that DeepSpeed has divided.

        Returns:
            `[read-outs, labels]`, float32.
        """
        states = self.readout_states(input_ids, rows, columns, tree)
        return states if only_states else self.head(states)

    @property
    def reads_trees(self) -> bool:
        """Whether a row may hold several texts that begin alike."""
        return self.backbone.reads_trees

    @property
    def trains_on_trees(self) -> bool:
        """Whether it may while training: without dropout, which each text gets its own of."""
        return self.reads_trees and not drops_out(self)

    def readout_states(
        self, input_ids: Tensor, rows: Tensor, columns: Tensor, tree: Tensor | None = None
    ) -> Tensor:
        """What the head reads: hidden states `[read-outs, hidden]` at the places that `forward` names."""
        prompt = None if self.prompts is None else self.prompts(self.backbone.dtype)
        # With nothing to train below the head, no activation is kept and nothing goes backward.
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.method.needs_backward):
            readouts = Readouts.of(rows, columns, len(input_ids))
            texts = None if tree is None else TextTree(*tree)
            hidden = self.backbone(input_ids, prompt, tree=texts, readouts=readouts)
        # One index_select: on a CPU its backward is many times faster than that of hidden[rows, columns].
        return hidden.flatten(0, 1).index_select(0, readouts.places)

    def prompt_parameters(self) -> list[nn.Parameter]:
        """The prompt's trainable parameters."""
        return [] if self.prompts is None else list(self.prompts.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """The head's trainable parameters."""
        return list(self.head.parameters())

    def adapter_parameters(self) -> list[nn.Parameter]:
        """What the method has added to the backbone; all of it trains."""
        inserted = [one for path, one in self.backbone.named_parameters() if is_inserted(path)]
        return inserted + ([] if self.adapters is None else list(self.adapters.parameters()))

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Those of the backbone's own parameters that train."""
        return [
            parameter
            for path, parameter in self.backbone.named_parameters()
            if parameter.requires_grad and not is_inserted(path)
        ]

    def undecayed_parameters(self) -> list[nn.Parameter]:
        """Tensors of several axes that weight decay would not bring to a neutral value."""
        return [one for path, one in self.named_parameters() if not self.method.decays(path)]

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
        whole_backbone = self.method.trains_backbone  # embeddings that were left frozen, too
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if parameter.requires_grad or (whole_backbone and name.startswith("backbone."))
        }

    def budget(self) -> ParameterBudget:
        """Parameters by part."""
        settings = None if self.prompts is None else self.prompts.settings
        numbers = {
            "prompt_params": self.prompt_parameters(),
            "head_params": self.head_parameters(),
            "adapter_params": self.adapter_parameters(),
            "finetuned_params": self.backbone_parameters(),
        }
        return count_parameters(
            self.backbone.model,
            name=self.backbone.name,
            scheme=None if settings is None else settings.scheme,
            prompt_length=0 if settings is None else settings.length,
            **{part: sum(one.numel() for one in parameters) for part, parameters in numbers.items()},
        )

    @functools.cached_property
    def flops(self) -> Flops:
        """FLOPs by length of a row that is read once, counted when they are first asked for."""
        return count_flops(self, self.backbone.device)

    @functools.cached_property
    def dense_flops(self) -> Flops:
        """The same of a row that is read at every token."""
        return count_flops(self, self.backbone.device, dense=True)


def drops_out(model: nn.Module) -> bool:
    """Whether something in it drops out while it trains, by a module of torch's or a share of its own."""
    return any(
        isinstance(value, float) and value > 0
        for module in model.modules()
        for name, value in vars(module).items()
        if "drop" in name or (name == "p" and "Dropout" in type(module).__name__)
    )


def build_task_model(
    backbone: Backbone,
    tokenizer: PreTrainedTokenizerFast,
    *,
    num_labels: int,
    label_words: Sequence[str] | None = None,
    method: Method,
    head: HeadSettings,
    seed: int,
) -> TaskModel:
    """Make a task model whose prompt, adapters and head start the same for the same seed, on any device.

    Without a prompt, the head starts the same whatever else trains.

    Args:
        backbone: The decoder, which the method changes.
        tokenizer: Its tokenizer, for the text initialisation and the verbalizer.
        num_labels: Number of labels.
        label_words: One word per label, for the verbalizer.
        method: What trains beside the head.
        head: Which head.
        seed: Seed of the random initialisation.

    Raises:
        ModelError: The verbalizer's words are missing or clash, or the backbone has no place for the method;
            or the tokenizer is another model's.
    """
    _require_known_ids(backbone, tokenizer, [*method.texts, *(label_words or ())])
    generator = torch.Generator().manual_seed(seed)
    prompts = method.prompts(backbone, generator, tokenizer)
    head_module: LinearHead | VerbalizerHead | NoHead
    if not method.is_trained:
        head_module = NoHead()
    elif head.kind != "verbalizer":
        head_module = LinearHead(
            backbone.hidden_size, num_labels, generator, standardize=head.kind == "linear"
        )
    else:
        if label_words is None or len(label_words) != num_labels:
            raise ModelError(f"the verbalizer needs one label word for each of the {num_labels} labels")
        _require_tied(backbone)
        ids = torch.tensor(label_word_ids(tokenizer, label_words), device=backbone.device)
        head_module = VerbalizerHead(backbone.embedding.weight[ids])
    return TaskModel(backbone, method, prompts, head_module, generator).to(backbone.device)


def _require_tied(backbone: Backbone) -> None:
    """Refuse the verbalizer where a word's embedding is not what predicts the word."""
    if not backbone.has_token_logits:
        raise ModelError(
            f"{backbone.name}: its language-model head is not its input embedding, so the verbalizer's words "
            "cannot be predicted by it. Train a classifier (head.kind=linear; with PEFT, task_type SEQ_CLS)"
        )


def weightless_task_model(
    model: str, *, num_labels: int, method: Method, head: HeadSettings | None = None
) -> TaskModel:
    """A task model on torch's meta device: all shapes, told in seconds and offline, and no memory.

    Args:
        model: A known name (needs no network), a folder, or a hub id (reads its `config.json`).
        num_labels: Labels of the task.
        method: What trains beside the head.
        head: The head; linear when None.

    Raises:
        ModelError: Training would refuse the model too, in the same words: the configuration can't be read,
            prompts can't be put into this decoder, or it has no place for the method or the head.
    """
    backbone, generator = examine(model), torch.Generator()
    prompts = method.prompts(backbone, generator)
    head_module: LinearHead | VerbalizerHead | NoHead
    if not method.is_trained:
        head_module = NoHead()
    elif head is None or head.kind != "verbalizer":
        head_module = LinearHead(backbone.hidden_size, num_labels, generator)
    else:
        _require_tied(backbone)
        head_module = VerbalizerHead(torch.empty(num_labels, backbone.hidden_size))
    return TaskModel(backbone, method, prompts, head_module, generator).to(backbone.device)


def parameter_budget(
    model: str, *, num_labels: int, method: Method, head: HeadSettings | None = None
) -> ParameterBudget:
    """The budget of a method on a model, without its weights; see `weightless_task_model`."""
    budget = weightless_task_model(model, num_labels=num_labels, method=method, head=head).budget()
    return replace(budget, model=canonical_name(model))


def _require_known_ids(backbone: Backbone, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> None:
    """Refuse a tokenizer that makes ids for which the embedding has no row, out of any text."""
    largest = max(max(ids, default=0) for ids in tokenizer([*PROBE_TEXTS, *texts]).input_ids)
    if largest >= backbone.vocab_size:
        raise ModelError(
            f"{backbone.name}: its tokenizer makes ids up to {largest}, and its embedding has "
            f"{backbone.vocab_size} rows. Get the tokenizer and the weights that belong together"
        )

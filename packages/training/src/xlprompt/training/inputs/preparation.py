"""What a run works with: device, source, tokenizer, encoded examples and the task model of a recipe."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import torch
from transformers import PreTrainedTokenizerFast

from xlprompt.data import Task
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.encoding.mixture import draw_examples, examples_by_language, language_shares, mix
from xlprompt.data.fingerprints import fingerprint_of
from xlprompt.data.how_many import how_many
from xlprompt.data.sources import Source
from xlprompt.data.sources.kept import load_rows
from xlprompt.data.tasks.absent_labels import absent_labels, has_one_label
from xlprompt.data.tasks.kinds.span_answers import LONGEST_ANSWER
from xlprompt.evaluation.processes import Processes
from xlprompt.models import (
    Backbone,
    TaskModel,
    build_task_model,
    load_backbone,
    load_config,
    writable_cache_dir,
)
from xlprompt.models.errors import ran_out_of_memory
from xlprompt.training.errors import RunError
from xlprompt.training.inputs.checks import no_device
from xlprompt.training.machine.out_of_memory import FEWER_AT_A_TIME, LOADING, out_of_memory_explained
from xlprompt.training.machine.phases import Phase, Phases
from xlprompt.training.recipes.recipe import Recipe, task_of
from xlprompt.training.store.tracker import DatasetRecord

_log = logging.getLogger(__name__)
_MANY_UNKNOWN = 0.05  # of a text's tokens; rare signs come to less


def pad_id_of(tokenizer: PreTrainedTokenizerFast, embedding_rows: int) -> int:
    """Any id that the embedding has does: with a causal model and right padding no real token sees a pad.

    A pad token is often added to a tokenizer alone, with an id behind the last row.
    """
    known = tokenizer.pad_token_id is not None and 0 <= tokenizer.pad_token_id < embedding_rows
    return tokenizer.pad_token_id if known else 0


@dataclass(frozen=True)
class Split:
    """One language and split: its rows, their encoding, and what the tracker is told about them."""

    dataset: datasets.Dataset
    encoded: Encoded
    record: DatasetRecord
    fingerprint: str


@dataclass(frozen=True)
class Setup:
    """What every part of a run works with; `splits` are those that have been read and encoded.

    Its stopwatch, `phases`, is the run's.
    """

    recipe: Recipe
    task: Task
    source: Source
    tokenizer: PreTrainedTokenizerFast
    device: torch.device
    processes: Processes
    phases: Phases = field(default_factory=Phases, repr=False, compare=False)
    splits: dict[tuple[str, str, int | None, bool], Split] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def pad_id(self) -> int:
        """The id that fills up shorter rows."""
        return pad_id_of(self.tokenizer, self.embedding_rows)

    @functools.cached_property
    def embedding_rows(self) -> int:
        """How many ids the backbone knows."""
        return int(load_config(self.recipe.model).vocab_size)


def load_training_set(setup: Setup) -> Split:
    """Read and encode what a recipe trains on: one language's examples, or as many of several.

    Raises:
        DataError: They are not there or not as they should be, or cannot be shared out as the recipe says.
    """
    recipe, languages = setup.recipe, setup.recipe.data.train_languages
    parts = {language: load_split(setup, language, "train") for language in languages}
    if len(parts) == 1:
        return parts[languages[0]]
    total = parts[languages[0]].encoded.num_examples
    counts = examples_by_language(language_shares(languages, recipe.data.language_exponent), total)
    sizes = {language: part.encoded.num_examples for language, part in parts.items()}
    chosen = draw_examples(sizes, counts, recipe.seed)
    content = fingerprint_of([recipe.seed, counts, {code: part.fingerprint for code, part in parts.items()}])
    return Split(
        datasets.concatenate_datasets([part.dataset.select(chosen[code]) for code, part in parts.items()]),
        mix({code: part.encoded for code, part in parts.items()}, chosen),
        dataset_record(
            setup.source,
            str(recipe.data.source),
            setup.task,
            "+".join(languages),
            "train",
            content=content,
            examples=total,
        ),
        content,
    )


def warn_of_absent_labels(setup: Setup, train: Split, development: Split) -> None:
    """Say which labels of an own task are not learned, or do not count where the best state is chosen."""
    task = setup.task
    if setup.recipe.task_definition is None or not has_one_label(task):
        return
    for name, split in (("training", train), ("development", development)):
        if absent := absent_labels(task, split.dataset.unique(task.columns[-1])):
            _log.warning("%s, %s set: %s", task.name, name, absent)


def load_split(
    setup: Setup, language: str, split: str, *, limit: int | None = None, labeled: bool = True
) -> Split:
    """Read and encode a language's examples, once a run; as many as `limit` or the recipe's limits allow.

    Where not `labeled`, rows without a label count too, with one that means nothing.

    Raises:
        DataError: They are not there or not as they should be.
        RunError: A text has a token that the backbone does not know.
    """
    if limit is None:
        limit = setup.recipe.data.limit_of(split)
    key = (language, split, limit, labeled)
    if key not in setup.splits:
        setup.splits[key] = _read_split(setup, language, split, limit, labeled)
    return setup.splits[key]


def _read_split(setup: Setup, language: str, split: str, limit: int | None, labeled: bool) -> Split:
    recipe, task, source = setup.recipe, setup.task, setup.source
    cache = writable_cache_dir()
    kept = cache / "rows" if cache else None
    with setup.phases.of(Phase.DATA):
        dataset = load_rows(source, task, language, split, limit=limit, cache_dir=kept, labeled=labeled)
        content = data_fingerprint(source, task, language, split, limit)
    with setup.phases.of(Phase.ENCODING):
        encoded = encode(
            dataset,
            task,
            setup.tokenizer,
            recipe.encoding,
            language=language,
            split=split,
            cache_dir=cache / "encoded" if cache else None,
        )
    require_known_ids(encoded, setup.tokenizer, setup.embedding_rows, f"{task.name} {language} {split}")
    if recipe.task_definition is not None:  # what the bundled tasks hold is known
        _warn_of_unknown_tokens(encoded, setup.tokenizer, f"{task.name} {language} {split}", recipe.model)
    if encoded.truncated:
        _log.warning(
            "%s %s %s: %d of %d examples are over encoding.max_length %d, and cut",
            task.name,
            language,
            split,
            encoded.truncated,
            encoded.num_examples,
            recipe.encoding.max_length,
        )
    if unreachable := task.kind.out_of_reach(encoded):
        _log.warning(
            "%s %s %s: the right answers of %d of %d examples have over %d tokens, and are never given whole",
            task.name,
            language,
            split,
            unreachable,
            encoded.num_examples,
            LONGEST_ANSWER,
        )
    record = dataset_record(
        source, str(recipe.data.source), task, language, split, content=content, examples=len(dataset)
    )
    return Split(dataset, encoded, record, content)


def _warn_of_unknown_tokens(
    encoded: Encoded, tokenizer: PreTrainedTokenizerFast, what: str, model: str
) -> None:
    """Say that a model cannot read a text: xglm-nano has the letters of its own small world alone."""
    ids = encoded.ragged("input_ids").values
    share = float((ids == tokenizer.unk_token_id).mean()) if len(ids) else 0.0
    if share >= _MANY_UNKNOWN:
        _log.warning(
            "%s: %.0f %% of the tokens are unknown to %s, which reads little of this text. Take a model that "
            "knows its letters, such as gemma-3-270m (SCALE=gemma)",
            what,
            100 * share,
            model,
        )


def require_known_ids(
    encoded: Encoded, tokenizer: PreTrainedTokenizerFast, embedding_rows: int, what: str
) -> None:
    """Refuse text with tokens that were added to the tokenizer alone: the embedding has no row for them.

    Raises:
        RunError: There are such tokens.
    """
    ids = encoded.ragged("input_ids").values
    largest = int(ids.max()) if len(ids) else 0
    if largest >= embedding_rows:
        raise RunError(
            f"{what}: a text holds the token {tokenizer.convert_ids_to_tokens(largest)!r} with id {largest}, "
            f"and the model's embedding has {embedding_rows} rows. Take it out of the text, or give the "
            "model that belongs to this tokenizer"
        )


def data_fingerprint(source: Source, task: Task, language: str, split: str, limit: int | None) -> str:
    """Fingerprint of a language's rows; a subset is other data."""
    content = source.fingerprint(task, language, split)
    return content if limit is None else hashlib.sha256(f"{content} limit {limit}".encode()).hexdigest()


def dataset_record(
    source: Source, spec: str, task: Task, language: str, split: str, *, content: str, examples: int
) -> DatasetRecord:
    """What the tracker is told about a language's rows.

    Args:
        source: The opened source.
        spec: What names it: "mini", "hub" or a folder.
        task: The task.
        language: The rows' language.
        split: The rows' split.
        content: From `data_fingerprint`.
        examples: Number of rows.
    """
    on_hub = spec == "hub"
    return DatasetRecord(
        name=f"{task.name}-{language}-{split}",
        digest=content[:12],
        location=source.name if on_hub else str(Path(spec).absolute()),
        on_hub=on_hub,
        examples=examples,
        context=f"{split}-{language}" if split == "test" else split,
    )


@out_of_memory_explained(LOADING)
def build_model(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    device: torch.device,
    backbone: Backbone | None = None,
) -> TaskModel:
    """The recipe's task model, untrained, on the device.

    Args:
        recipe: What it is.
        tokenizer: Its backbone's.
        device: Where the backbone is loaded.
        backbone: One that is loaded already, by the recipe's settings; None loads it.

    Raises:
        RunError: The longest text and the prompt together have more positions than the backbone, states are
            to be aligned in a layer that it does not have, or its weights do not fit into memory.
        ModelError: The backbone cannot be loaded or is not made for the recipe's settings.
    """
    task = task_of(recipe)
    if backbone is None:
        backbone = load_backbone(
            recipe.model,
            dtype=recipe.precision,
            dropout=recipe.backbone_dropout,
            device=device,
            gradient_checkpointing=recipe.gradient_checkpointing,
        )
    require_layer(recipe.model, backbone, recipe.evaluation.alignment.layer)
    _require_positions(recipe, getattr(backbone.config, "max_position_embeddings", None))
    return build_task_model(
        backbone,
        tokenizer,
        num_labels=task.kind.head_width(task),
        label_words=task.label_words,
        method=recipe.method_settings,
        head=recipe.head,
        seed=recipe.seed,
    )


def _require_positions(recipe: Recipe, positions: int | None) -> None:
    """Refuse texts that, with the prompt where it takes positions, are longer than the backbone."""
    shift = recipe.method_settings.shift
    taken = recipe.encoding.max_length + shift
    if positions is not None and taken > positions:
        with_prompt = f" with the prompt's {shift}" if shift else ""
        raise RunError(
            f"{recipe.model} has {positions} positions, and encoding.max_length{with_prompt} takes {taken}. "
            f"Lower encoding.max_length by {taken - positions}" + (", or prompt.length" if shift else "")
        )


def require_layer(model: str, backbone: Backbone, layer: int | None) -> None:
    """Refuse a layer to be aligned that a backbone does not have.

    Args:
        model: What the backbone is called in the message.
        backbone: The backbone.
        layer: `evaluation.alignment.layer`; None for what the head reads.

    Raises:
        RunError: It has fewer layers.
    """
    if layer is not None and layer > backbone.num_layers:
        raise RunError(
            f"{model} has {backbone.num_layers} layers, and evaluation.alignment.layer is {layer}. "
            "Lower it, or set it to null for what the head reads"
        )


def choose_device(name: str | None) -> torch.device:
    """The named device, or a GPU where there is one, else the CPU.

    Of the processes that a launcher has started on a machine, each takes the GPU of its own number.

    Raises:
        RunError: There is no such device here.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise no_device(name, str(error).splitlines()[0]) from error
    if device.type == "cpu":
        device = torch.device("cpu")  # there is one of it, whatever number it is given
    elif device.type != "cuda":
        raise no_device(name, "xlprompt computes on cpu and cuda")
    else:
        number = torch.cuda.device_count()
        if (device.index or 0) >= number:  # asked before torch is: without CUDA it has no way to say it
            raise no_device(name, f"torch sees {how_many(number, 'GPU')} here" + _built_for())
    try:
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)
        torch.empty(0, device=device)
    except RuntimeError as error:
        if ran_out_of_memory(error):
            raise RunError(
                f"device '{name}' has no memory left for this process. {FEWER_AT_A_TIME}"
            ) from error
        raise no_device(name, str(error).splitlines()[0]) from error
    return device


def _built_for() -> str:
    return "" if torch.version.cuda else ", and is built for the CPU alone"

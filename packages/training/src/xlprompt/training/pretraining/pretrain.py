"""Pretraining xglm-nano: from the text of the mini world to a small XGLM, resumably and tracked.

Tokenizer and weights are made from one recipe (`experiments/nano/`), whose one interesting knob is how the
text is shared out between the languages. An interrupted build goes on where its last checkpoint stood, in the
same MLflow run.
"""

from __future__ import annotations

import json
import logging
import math
import random
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset
from transformers import PreTrainedTokenizerFast, XGLMConfig, XGLMForCausalLM, XGLMTokenizer

from xlprompt.data import STUDY_LANGUAGES
from xlprompt.data.mini.corpus import Passage, language_shares, passages
from xlprompt.data.mini.items import sentence_items
from xlprompt.data.mini.realize import sentence
from xlprompt.data.whole_files import previous_folder, replace_folder
from xlprompt.evaluation.scores.fertility import fertility
from xlprompt.models import cache_dir
from xlprompt.models.pretrained.nano import train_tokenizer
from xlprompt.training.fitting.progress import TrainingProgress
from xlprompt.training.machine.allocator import GIVE_BACK_EVERY, give_back_freed_memory, keep_freed_memory
from xlprompt.training.machine.environment import Environment, read_environment
from xlprompt.training.recipes.recipe import fingerprint, flatten
from xlprompt.training.recipes.settings import Settings
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.stored_files import read_tensors, write_tensors
from xlprompt.training.store.tracker import true_end_state

_log = logging.getLogger(__name__)

_PASSAGES_AT_ONCE = 4_000  # read together, so that rows of like length can share a batch
_HELD_OUT_PASSAGES = 64  # of each language
_LOG_EVERY = 20


class PretrainingError(RuntimeError):
    """A build that cannot be made now; the message says what to do."""


class PretrainingRecipe(Settings):
    """Everything that decides what comes out of pretraining."""

    name: str = Field(description="Name of the model.")
    seed: int = Field(default=0, description="Of the text, the weights and the order.")
    exponent: float = Field(
        ge=0,
        le=1,
        description="A language's share is proportional to XGLM's tokens to this power; 0: balanced.",
    )
    vocabulary: int = Field(gt=300, description="Number of token ids.")
    tokenizer_passages: int = Field(
        default=60_000, gt=0, description="Passages that the tokenizer is trained on; half a minute."
    )
    width: int = Field(gt=0, description="Size of the hidden states.")
    layers: int = Field(gt=0, description="Number of decoder layers.")
    heads: int = Field(gt=0, description="Attention heads of a layer.")
    feed_forward: int = Field(gt=0, description="Inner size of the feed-forward blocks.")
    init_std: float = Field(
        default=0.02, gt=0, description="Standard deviation of the initial weights; XGLM's is 0.02."
    )
    steps: int = Field(
        ge=0,
        description="Optimizer steps; time grows in proportion. 0 gives an untrained model, for comparison.",
    )
    token_budget: int = Field(gt=0, description="Tokens of a step, padding included.")
    learning_rate: float = Field(gt=0, description="Peak rate of AdamW.")
    weight_decay: float = Field(default=0.1, ge=0, description="Of the layers' matrices.")
    warmup_share: float = Field(
        default=0.03, ge=0, lt=1, description="Share of the steps with a rising rate."
    )
    decay_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of the steps, the last ones, with a falling rate."
    )
    max_offset: int = Field(
        default=48,
        ge=0,
        description="Positions begin at a random number up to this one, so that a prompt in front is nothing "
        "new.",
    )
    max_length: int = Field(default=256, gt=8, description="Longer passages are cut here, in tokens.")
    verdict_weight: float = Field(
        default=1.0,
        gt=0,
        description="Weight in the loss of the words that say whether a statement is right: one word in "
        "twenty, and the slowest to learn.",
    )
    checkpoint_every: int = Field(default=500, gt=0, description="Steps between two checkpoints.")


@dataclass(frozen=True)
class PretrainingResult:
    """What pretraining leaves behind.

    Attributes:
        folder: The model in transformers' format, weights in bfloat16.
        run_id: The MLflow run.
        parameters: Number of parameters.
        seconds: Training time, of interrupted attempts too.
        loss: Held-out loss by language, in nats a token.
        bits_per_character: The same on a scale that does not depend on the tokenizer.
        fertility: Subtokens a word by language, on the development sentences of POS.
    """

    folder: Path
    run_id: str
    parameters: int
    seconds: float
    loss: dict[str, float]
    bits_per_character: dict[str, float]
    fertility: dict[str, float]


def pretrain(
    recipe: PretrainingRecipe,
    *,
    folder: Path,
    store: Path,
    progress: TrainingProgress,
    recipe_path: Path | None,
) -> PretrainingResult:
    """Build a nano model, going on where an interrupted build of the same recipe stopped.

    Args:
        recipe: What to build.
        folder: Where the finished model goes; an older one there is replaced when the new one is whole.
        store: Folder of the MLflow store.
        progress: Receives step, loss and speed.
        recipe_path: The recipe's file; the git revision of its repository is recorded.

    Raises:
        PretrainingError: Another process is building the same recipe, or the cache cannot be written.
    """
    work = cache_dir() / "pretraining" / f"{recipe.name}-{fingerprint(recipe)}"
    with _alone(work):
        result = _pretrain(recipe, folder, work, store, progress, recipe_path)
        shutil.rmtree(work)
    return result


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Hold the lock of a build's folder; PretrainingError where another process does, or it can't be made."""
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PretrainingError(
            f"{work}: a build keeps its checkpoints here, and this cannot be written "
            f"({error.strerror or error}). Name another cache folder with XLPROMPT_CACHE"
        ) from error
    lock = FileLock(work / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PretrainingError(
            f"{work}: another process is building this very recipe. Wait for it to end, or stop it (the next "
            "build goes on from its last checkpoint), and call again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _pretrain(
    recipe: PretrainingRecipe,
    folder: Path,
    work: Path,
    store: Path,
    progress: TrainingProgress,
    recipe_path: Path | None,
) -> PretrainingResult:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    keep_freed_memory()
    shares = language_shares(recipe.exponent)
    tokenizer = _tokenizer(recipe, shares, work / "tokenizer")
    model = _new_model(recipe, tokenizer).to(device)
    training = _Training(recipe, model)
    state = training.load(work)

    tracker = MlflowTracker(store)
    with true_end_state(tracker):
        if not (state.run_id and tracker.resume(state.run_id)):
            environment = read_environment(repository_of=recipe_path, device=device)
            state.run_id = tracker.start(
                experiment="pretraining",
                run_name=recipe.name,
                params={
                    **flatten(recipe),
                    "parameters": sum(parameter.numel() for parameter in model.parameters()),
                    **{f"share_{code}": round(share, 5) for code, share in shares.items()},
                },
                tags={"job": "pretrain", "device": environment.device, **_revision(environment)},
            )
        training.run(state, tokenizer, shares, work, tracker, progress)
        return _finish(recipe, training, state, tokenizer, folder, tracker)


def _revision(environment: Environment) -> dict[str, str]:
    return {"mlflow.source.git.commit": environment.git.commit} if environment.git else {}


@dataclass(frozen=True)
class Row:
    """Token ids of a passage, and which of them are a verdict's."""

    ids: list[int]
    verdicts: list[bool]


@dataclass
class _State:
    """Where training stands; what of it is not in the weights and the optimizer."""

    step: int = 0
    chunk: int = 0  # of passages
    batch: int = 0  # of that chunk
    seconds: float = 0.0
    run_id: str = ""


class _Training:
    """Model, optimizer and its schedule."""

    def __init__(self, recipe: PretrainingRecipe, model: XGLMForCausalLM) -> None:
        self.recipe = recipe
        self.model = model
        matrices = [
            parameter
            for name, parameter in model.named_parameters()
            if parameter.ndim == 2 and "embed" not in name
        ]
        chosen = {id(parameter) for parameter in matrices}
        others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),  # a second moment of 50 steps: the text's mixture changes with every batch
            fused=True,
        )

    def run(
        self,
        state: _State,
        tokenizer: PreTrainedTokenizerFast,
        shares: Mapping[str, float],
        work: Path,
        tracker: MlflowTracker,
        progress: TrainingProgress,
    ) -> None:
        """Train from where the state stands to the last step."""
        recipe = self.recipe
        window: list[float] = []
        # Writing and tokenizing text takes a core a fifth of the time: a process of its own does it ahead.
        text = _Text(recipe, tokenizer, shares, state.chunk, state.batch)
        for chunk, number, batch in DataLoader(text, batch_size=None, num_workers=1, prefetch_factor=16):
            if state.step >= recipe.steps:
                break
            started = time.perf_counter()
            rate = self._set_rate(state.step)
            loss, tokens = self._step(batch, state.step)
            elapsed = time.perf_counter() - started
            state.step, state.chunk, state.batch = state.step + 1, chunk, number + 1
            state.seconds += elapsed
            window.append(loss)
            progress.stepped(state.step, loss=loss, learning_rate=rate, tokens_per_second=tokens / elapsed)
            if state.step % _LOG_EVERY == 0:
                figures = {"train/loss": sum(window) / len(window), "train/learning_rate": rate}
                tracker.log_metrics({**figures, "train/tokens_per_second": tokens / elapsed}, step=state.step)
                window.clear()
            if state.step % GIVE_BACK_EVERY == 0:
                give_back_freed_memory()
            if state.step % recipe.checkpoint_every == 0:
                self.save(work, state)

    def _step(self, batch: list[Row], step: int) -> tuple[float, int]:
        offset = random.Random(f"{self.recipe.seed} {step}").randint(0, self.recipe.max_offset)
        loss, tokens = next_token_loss(
            self.model, batch, offset=offset, verdict_weight=self.recipe.verdict_weight
        )
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.model.zero_grad(set_to_none=True)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {step + 1}; lower the learning rate")
        return value, tokens

    def _set_rate(self, step: int) -> float:
        """Warm-up, constant, then linear decay to zero."""
        done = (step + 1) / self.recipe.steps
        factor = min(1.0, (1 - done) / self.recipe.decay_share + 1e-3)
        if self.recipe.warmup_share:
            factor = min(factor, done / self.recipe.warmup_share)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * factor
        return self.recipe.learning_rate * factor

    def save(self, work: Path, state: _State) -> None:
        """Write everything that is needed to go on; a checkpoint's files are renamed into place together."""
        tensors: dict[str, Tensor] = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors.pop("model.lm_head.weight", None)  # tied to the embedding
        for index, values in self.optimizer.state_dict()["state"].items():
            for key, value in values.items():
                tensors[f"optimizer.{index}.{key}"] = value
        new = work / "checkpoint.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        write_tensors(new / "state.safetensors", tensors)
        (new / "state.json").write_text(json.dumps(asdict(state)), encoding="utf-8")
        replace_folder(new, work / "checkpoint")

    def load(self, work: Path) -> _State:
        """Take up the last whole checkpoint, or begin anew where there is none."""
        folder = work / "checkpoint"
        if not folder.is_dir():  # or one that an interrupted replacement has moved aside
            folder = previous_folder(folder)
        if not folder.is_dir():
            return _State()
        tensors = read_tensors(folder / "state.safetensors", f"Delete {folder} to begin anew")
        weights = {key[6:]: value for key, value in tensors.items() if key.startswith("model.")}
        self.model.load_state_dict(weights, strict=False)
        self.model.tie_weights()
        values: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, slot = name.split(".")
                values.setdefault(int(index), {})[slot] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": values, "param_groups": groups})
        state = _State(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
        _log.info("going on from step %d of an interrupted build", state.step)
        return state


def next_token_loss(
    model: XGLMForCausalLM, batch: list[Row], *, offset: int = 0, verdict_weight: float = 1.0
) -> tuple[Tensor, int]:
    """Mean cross-entropy of the next token, in nats.

    Args:
        model: With a language-model head.
        batch: Rows of any lengths.
        offset: Position of the first token.
        verdict_weight: Of a verdict's tokens in the mean.

    Returns:
        The loss and the number of tokens that it is the mean of.
    """
    device = model.device
    pad = model.config.pad_token_id
    width = max(len(row.ids) for row in batch)
    ids = torch.tensor([row.ids + [pad] * (width - len(row.ids)) for row in batch], device=device)
    verdicts = torch.tensor([row.verdicts + [False] * (width - len(row.ids)) for row in batch], device=device)
    targets = ids[:, 1:]
    real = targets != pad
    positions = torch.arange(offset, offset + width, device=device)[None]
    with torch.autocast(device.type, torch.bfloat16):
        hidden = model.model(ids, position_ids=positions, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[:, :-1][real])
    losses = functional.cross_entropy(logits.float(), targets[real], reduction="none")
    weights = torch.where(verdicts[:, 1:][real], verdict_weight, 1.0)
    return (losses * weights).sum() / weights.sum(), int(real.sum())


def _tokenizer(
    recipe: PretrainingRecipe, shares: Mapping[str, float], folder: Path
) -> PreTrainedTokenizerFast:
    if not (folder / "tokenizer.json").is_file():
        text = islice(passages(shares, seed=f"tokenizer {recipe.seed}"), recipe.tokenizer_passages)
        lines = (line.text for line in chain.from_iterable(text) if line.text)
        train_tokenizer(lines, vocabulary=recipe.vocabulary).save_pretrained(folder)
    return XGLMTokenizer.from_pretrained(folder)


def _new_model(recipe: PretrainingRecipe, tokenizer: PreTrainedTokenizerFast) -> XGLMForCausalLM:
    torch.manual_seed(recipe.seed)
    return XGLMForCausalLM(
        XGLMConfig(
            vocab_size=len(tokenizer),
            d_model=recipe.width,
            num_layers=recipe.layers,
            ffn_dim=recipe.feed_forward,
            attention_heads=recipe.heads,
            max_position_embeddings=512,
            init_std=recipe.init_std,
            # A few million parameters and text without end: nothing to regularize.
            dropout=0.0,
            attention_dropout=0.0,
        )
    )


class _Text(IterableDataset[tuple[int, int, "list[Row]"]]):
    """Endlessly, chunk number, number in the chunk, and rows; every chunk has a seed of its own."""

    def __init__(
        self,
        recipe: PretrainingRecipe,
        tokenizer: PreTrainedTokenizerFast,
        shares: Mapping[str, float],
        first_chunk: int,
        first_batch: int,
    ) -> None:
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.shares = dict(shares)
        self.first = (first_chunk, first_batch)

    def __iter__(self) -> Iterator[tuple[int, int, list[Row]]]:
        for chunk in count(self.first[0]):
            seed = f"train {self.recipe.seed} {chunk}"
            text = list(islice(passages(self.shares, seed=seed), _PASSAGES_AT_ONCE))
            rows = token_rows(text, self.tokenizer, self.recipe.max_length)
            batches = _by_length(rows, self.recipe.token_budget)
            random.Random(seed).shuffle(batches)
            for number, batch in enumerate(batches):
                if (chunk, number) >= self.first:
                    yield chunk, number, batch


def token_rows(text: list[Passage], tokenizer: PreTrainedTokenizerFast, max_length: int) -> list[Row]:
    """One row a passage: `</s>` in front of each line, as XGLM read its line breaks, and at the end."""
    lines = iter(
        tokenizer([line.text for line in chain.from_iterable(text)], add_special_tokens=False).input_ids
    )
    end = tokenizer.eos_token_id
    rows = []
    for passage in text:
        row = Row([], [])
        for line, ids in zip(passage, lines, strict=False):  # takes as many of `lines` as the passage has
            row.ids.extend((end, *ids))
            row.verdicts.extend((False, *([line.is_verdict] * len(ids))))
        rows.append(Row([*row.ids, end][:max_length], [*row.verdicts, False][:max_length]))
    return rows


def _by_length(rows: list[Row], token_budget: int) -> list[list[Row]]:
    batches: list[list[Row]] = [[]]
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if batches[-1] and len(row.ids) * (len(batches[-1]) + 1) > token_budget:
            batches.append([])
        batches[-1].append(row)
    return batches


def _finish(
    recipe: PretrainingRecipe,
    training: _Training,
    state: _State,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    tracker: MlflowTracker,
) -> PretrainingResult:
    model = training.model.cpu().to(torch.bfloat16).eval()
    loss, bits = held_out_loss(model, tokenizer, seed=recipe.seed)
    words = {code: _fertility(tokenizer, code) for code in STUDY_LANGUAGES}
    tracker.log_metrics(
        {
            **{f"held_out/loss/{code}": value for code, value in loss.items()},
            **{f"held_out/bits_per_character/{code}": value for code, value in bits.items()},
            **{f"fertility/{code}": value for code, value in words.items()},
        },
        step=state.step,
    )
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    _save_model(model, new)
    tokenizer.save_pretrained(new)
    result = PretrainingResult(
        folder,
        state.run_id,
        sum(parameter.numel() for parameter in model.parameters()),
        state.seconds,
        loss,
        bits,
        words,
    )
    (new / "pretraining.json").write_text(_record(recipe, result), encoding="utf-8")
    if (folder / "README.md").is_file():  # a model card is written by people
        shutil.copy2(folder / "README.md", new)
    replace_folder(new, folder)
    tracker.log_artifact(folder / "pretraining.json")
    return result


def _save_model(model: XGLMForCausalLM, folder: Path) -> None:
    """Write what `from_pretrained` reads; `save_pretrained` would import DeepSpeed, which prints."""
    folder.mkdir(parents=True)
    model.config.architectures = [type(model).__name__]
    model.config.dtype = torch.bfloat16
    model.config.save_pretrained(folder)
    tensors = dict(model.state_dict())
    tensors.pop("lm_head.weight")  # tied to the embedding
    write_tensors(folder / "model.safetensors", tensors)


def _record(recipe: PretrainingRecipe, result: PretrainingResult) -> str:
    document: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json"),
        "parameters": result.parameters,
        "minutes": round(result.seconds / 60, 1),
        "held_out_loss": {code: round(value, 4) for code, value in result.loss.items()},
        "bits_per_character": {code: round(value, 4) for code, value in result.bits_per_character.items()},
        "fertility": {code: round(value, 3) for code, value in result.fertility.items()},
    }
    return json.dumps(document, indent=2) + "\n"


@torch.no_grad()
def held_out_loss(
    model: XGLMForCausalLM, tokenizer: PreTrainedTokenizerFast, *, seed: int = 0
) -> tuple[dict[str, float], dict[str, float]]:
    """Loss on passages of each language that training never saw.

    Returns:
        By language: nats a token, and bits a character.
    """
    losses, bits = {}, {}
    for code in STUDY_LANGUAGES:
        text = list(islice(passages({code: 1.0}, seed=f"held out {seed}"), _HELD_OUT_PASSAGES))
        rows = token_rows(text, tokenizer, model.config.max_position_embeddings)
        total, tokens = 0.0, 0
        for batch in _by_length(rows, 4096):
            loss, number = next_token_loss(model, batch)
            total, tokens = total + loss.item() * number, tokens + number
        characters = sum(len(line.text) + 1 for passage in text for line in passage)
        losses[code] = total / tokens
        bits[code] = total / math.log(2) / characters
    return losses, bits


def _fertility(tokenizer: PreTrainedTokenizerFast, code: str) -> float:
    """On the development sentences of POS, which are parallel."""
    said = [sentence(code, *item.clauses) for item in sentence_items("pos", "validation")]
    return fertility(tokenizer, [one.text for one in said], sum(len(one.words) for one in said))

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, XGLMConfig, XGLMForCausalLM

from xlprompt.data import STUDY_LANGUAGES
from xlprompt.data.mini.corpus import language_shares
from xlprompt.data.whole_files import previous_folder, replace_folder
from xlprompt.models import cache_dir
from xlprompt.training.fitting.listeners import Curves, Listener, Step, Window
from xlprompt.training.machine.allocator import FreedMemory, keep_freed_memory
from xlprompt.training.machine.environment import Environment, read_environment
from xlprompt.training.pretraining.loss import held_out_fertility, held_out_loss, next_token_loss
from xlprompt.training.pretraining.recipe import PretrainingRecipe
from xlprompt.training.pretraining.text import Row, Text, build_tokenizer
from xlprompt.training.recipes.recipe import fingerprint, flatten
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.stored_files import read_tensors, write_tensors
from xlprompt.training.store.tracker import true_end_state

_log = logging.getLogger(__name__)

_MEANS_EVERY = 20


class PretrainingError(RuntimeError):
    """A build that cannot be made now; the message says what to do."""


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
    progress: Listener,
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
    progress: Listener,
    recipe_path: Path | None,
) -> PretrainingResult:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    keep_freed_memory()
    shares = language_shares(recipe.exponent)
    tokenizer = build_tokenizer(recipe, shares, work / "tokenizer")
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
        training.run(state, tokenizer, shares, work, (progress, Curves(tracker)))
        return _finish(recipe, training, state, tokenizer, folder, tracker)


def _revision(environment: Environment) -> dict[str, str]:
    return {"mlflow.source.git.commit": environment.git.commit} if environment.git else {}


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
        listeners: Sequence[Listener],
    ) -> None:
        """Train from where the state stands to the last step."""
        recipe = self.recipe
        window = Window()
        freed = FreedMemory()
        # Writing and tokenizing text takes a core a fifth of the time: a process of its own does it ahead.
        text = Text(recipe, tokenizer, shares, state.chunk, state.batch)
        for chunk, number, batch in DataLoader(text, batch_size=None, num_workers=1, prefetch_factor=16):
            if state.step >= recipe.steps:
                break
            started = time.perf_counter()
            rate = self._set_rate(state.step)
            loss, tokens = self._step(batch, state.step)
            elapsed = time.perf_counter() - started
            state.step, state.chunk, state.batch = state.step + 1, chunk, number + 1
            state.seconds += elapsed
            window.add(loss, tokens, elapsed)
            means = None
            if state.step % _MEANS_EVERY == 0:
                means, window = window.means(), Window()
            for each in listeners:
                each.stepped(Step(state.step, loss, rate, tokens / elapsed, means))
            freed.stepped()
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
    words = {code: held_out_fertility(tokenizer, code) for code in STUDY_LANGUAGES}
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

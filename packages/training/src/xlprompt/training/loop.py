"""The training loop: AdamW on the few trainable parameters, and the best state by the development score.

A step's loss is the mean over all its read-outs, however the step is split into micro-batches. The loop knows
no recipe files, data sources or MLflow; `xlprompt.training.run` puts those around it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from xlprompt.data.batches import Batch, training_steps
from xlprompt.data.encoding import Encoded
from xlprompt.evaluation import main_metric, predict, score
from xlprompt.models import TaskModel
from xlprompt.training.progress import TrainingProgress
from xlprompt.training.recipe import OptimizerSettings, Recipe
from xlprompt.training.tracker import Tracker

_LOG_EVERY = 10  # steps; figures in between are averaged, so curves are smooth and the store stays small

OnBest = Callable[[int, float, Mapping[str, torch.Tensor]], None]


class TrainingDiverged(RuntimeError):
    """The loss or its gradient is no longer a finite number; the message says where and what to try."""


@dataclass(frozen=True)
class FitResult:
    """How training went; the model holds the state of `best_step` afterwards.

    Attributes:
        best_step: Step whose state was kept, counted from 1.
        best_score: Its development score in percent.
        steps: Steps done, fewer than planned after early stopping.
        seconds: Training time without the evaluations.
        tokens_per_second: Real (not padding) tokens over that time.
        curve: Development score by step.
    """

    best_step: int
    best_score: float
    steps: int
    seconds: float
    tokens_per_second: float
    curve: tuple[tuple[int, float], ...]


def fit(
    model: TaskModel,
    train: Encoded,
    development: Encoded,
    recipe: Recipe,
    *,
    tracker: Tracker,
    progress: TrainingProgress,
    pad_id: int,
    device: torch.device,
    on_best: OnBest | None = None,
) -> FitResult:
    """Train a task model and leave it in its best state.

    On one kind of CPU the same seed gives the same numbers: data order, initialization and dropout all
    follow `recipe.seed`.

    Args:
        model: On `device`; its backbone is frozen.
        train: Encoded training examples.
        development: Encoded examples that choose the best state.
        recipe: Of which the optimizer, the schedule, the seed and the evaluation's token budget are used.
        tracker: Receives `train/*` and `validation/*` by step.
        progress: Receives the same for the user's eyes.
        pad_id: Fills the right of shorter rows; its value has no influence.
        device: Where the model is.
        on_best: Called with step, score and state whenever the development score improves.

    Raises:
        TrainingDiverged: The loss or the gradient's norm stopped being finite.
    """
    schedule = recipe.schedule
    torch.manual_seed(recipe.seed)
    optimizer = make_optimizer(model, recipe.optimizer)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: rate_factor(done, schedule.steps, recipe.optimizer.warmup_share)
    )
    trainables = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    data = training_steps(
        train,
        batch_size=schedule.batch_size,
        token_budget=schedule.token_budget,
        seed=recipe.seed,
        pad_id=pad_id,
        longest_first=True,  # so that memory runs out in the first minute or never
    )
    metric = main_metric(train.task)
    metric_name = f"validation/{metric}/{recipe.data.train_language}"
    gold = development.gold()

    best_step, best_score, best_state = 0, -math.inf, model.trainable_state()
    curve: list[tuple[int, float]] = []
    without_gain = step = tokens = 0
    seconds = 0.0
    window = _Window()
    model.train()
    for step in range(1, schedule.steps + 1):
        started = time.perf_counter()
        micro_batches = next(data)
        rate = float(rates.get_last_lr()[0])
        loss = accumulate_gradients(model, micro_batches, device)
        norm = torch.nn.utils.clip_grad_norm_(trainables, recipe.optimizer.clip_norm or math.inf)
        loss_value, norm_value = torch.stack([loss, norm]).tolist()  # the step's one wait for a GPU
        if not (math.isfinite(loss_value) and math.isfinite(norm_value)):
            raise TrainingDiverged(_what_to_try(step, loss_value, norm_value, rate, recipe))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rates.step()
        elapsed = time.perf_counter() - started
        step_tokens = sum(batch.num_tokens for batch in micro_batches)
        seconds, tokens = seconds + elapsed, tokens + step_tokens
        window.add(loss_value, step_tokens, elapsed)
        progress.stepped(step, loss=loss_value, learning_rate=rate, tokens_per_second=step_tokens / elapsed)
        if step % _LOG_EVERY == 0 or step in (1, schedule.steps):
            tracker.log_metrics({**window.means(), "train/learning_rate": rate}, step=step)
            window = _Window()
        if step % schedule.evaluate_every != 0 and step != schedule.steps:
            continue
        try:
            predictions = predict(
                model, development, token_budget=recipe.evaluation.token_budget, pad_id=pad_id, device=device
            )
        except FloatingPointError as error:  # this step's update itself overflowed
            raise TrainingDiverged(_what_to_try(step, loss_value, norm_value, rate, recipe)) from error
        value = score(development.task, gold, predictions.labels)[metric].value
        curve.append((step, value))
        without_gain += 1
        if value > best_score:
            best_step, best_score, best_state, without_gain = step, value, model.trainable_state(), 0
            if on_best:
                on_best(best_step, best_score, best_state)
        tracker.log_metrics({metric_name: value, "validation/loss": predictions.loss}, step=step)
        progress.evaluated(step, score=value, best_score=best_score, best_step=best_step)
        if schedule.patience is not None and without_gain >= schedule.patience:
            break
    model.load_trainable_state(best_state)
    model.eval()
    return FitResult(best_step, best_score, step, seconds, tokens / seconds, tuple(curve))


def accumulate_gradients(model: TaskModel, micro_batches: list[Batch], device: torch.device) -> torch.Tensor:
    """Add the gradients of one step's loss, the mean cross-entropy over all its read-outs.

    Each micro-batch contributes its summed cross-entropy over the whole step's read-outs, so the gradient is
    that of one big batch, whatever the split.

    Returns:
        The loss, a detached float32 scalar on `device`.
    """
    readouts = sum(len(batch.labels) for batch in micro_batches)
    total = torch.zeros((), device=device)
    for cpu_batch in micro_batches:
        batch = cpu_batch.to(device)
        logits = model(batch.input_ids, batch.rows, batch.columns)  # [readouts, labels]
        loss = functional.cross_entropy(logits, batch.labels, reduction="sum") / readouts
        loss.backward()
        total += loss.detach()
    return total


def make_optimizer(model: TaskModel, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW over prompt and head.

    Only the head's matrices are decayed. A prompt is not: its keys and values take part in a softmax, so
    shrinking them to zero would not switch them off but dilute the attention to the text.
    """
    head_rate = settings.head_learning_rate or settings.learning_rate
    matrices = [parameter for parameter in model.head_parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.head_parameters() if parameter.ndim <= 1]
    groups = [
        {"params": list(model.prompt_parameters()), "lr": settings.learning_rate, "weight_decay": 0.0},
        {"params": matrices, "lr": head_rate, "weight_decay": settings.weight_decay},
        {"params": vectors, "lr": head_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=settings.betas)


def rate_factor(done: int, steps: int, warmup_share: float) -> float:
    """Share of the peak rate for the step after `done` steps: a linear rise, then a linear fall to zero.

    The first step already moves (its share is 1/warm-up steps) and so does the last.
    """
    warmup = round(steps * warmup_share)
    if done < warmup:
        return (done + 1) / warmup
    return (steps - done) / max(1, steps - warmup)


@dataclass
class _Window:
    """Sums over the steps since the last log line."""

    steps: int = 0
    loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, loss: float, tokens: int, seconds: float) -> None:
        self.steps += 1
        self.loss += loss
        self.tokens += tokens
        self.seconds += seconds

    def means(self) -> dict[str, float]:
        return {
            "train/loss": self.loss / self.steps,
            "train/tokens_per_second": self.tokens / self.seconds,
        }


def _what_to_try(step: int, loss: float, norm: float, rate: float, recipe: Recipe) -> str:
    remedies = [f"lower optimizer.learning_rate (now {recipe.optimizer.learning_rate:g}, here {rate:.2g})"]
    remedies.append(f"warm up longer (optimizer.warmup_share, now {recipe.optimizer.warmup_share:g})")
    if recipe.optimizer.clip_norm is None:
        remedies.append("clip the gradient (optimizer.clip_norm: 1.0)")
    if recipe.precision != "float32":
        remedies.append(f"compute in float32 (precision, now {recipe.precision})")
    return (
        f"training diverged at step {step} of {recipe.schedule.steps}: loss {loss:g}, gradient norm "
        f"{norm:g}. Try, one at a time: {'; '.join(remedies)}"
    )

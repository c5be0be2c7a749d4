import io
import math
import re

import pytest
import torch
from rich.console import Console
from screens import COLUMNS, replay

from xlprompt.data import TASKS
from xlprompt.data.encoding.batches import training_steps
from xlprompt.evaluation import Score, main_metric, predict, score
from xlprompt.training.fitting.engine import Master, accumulate_gradients, make_optimizer
from xlprompt.training.fitting.listeners import Curves, Development, Step
from xlprompt.training.fitting.loop import Examples, TrainingDiverged, fit, rate_factor
from xlprompt.training.fitting.progress import training_progress
from xlprompt.training.store.tracker import NullTracker

CPU = torch.device("cpu")


class RecordingTracker(NullTracker):
    def __init__(self):
        self.metrics = []

    def log_metrics(self, metrics, *, step=0, dataset=None, model_id=None):
        self.metrics.append((step, dict(metrics)))

    def series(self, key):
        return [(step, metrics[key]) for step, metrics in self.metrics if key in metrics]


@pytest.fixture
def run(fake_model, encoded):
    def run_fit(recipe, *, model=None, tracker=None, development_seed=2):
        model = model or fake_model(len(TASKS[recipe.task].labels))
        result = fit(
            model,
            Examples(
                encoded(recipe.task, examples=90, seed=1),
                encoded(recipe.task, examples=60, seed=development_seed),
                pad_id=0,
            ),
            recipe,
            [Curves(tracker, f"validation/{main_metric(TASKS[recipe.task])}/en")] if tracker else [],
            device=CPU,
        )
        return model, result

    return run_fit


def test_training_learns_what_can_be_learned(run, recipe):
    _, result = run(recipe(schedule={"steps": 200}))
    assert result.curve[-1][1] > result.curve[0][1]
    assert result.best_score > 90


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(run, recipe):
    model_a, a = run(recipe(seed=3))
    model_b, b = run(recipe(seed=3))
    model_c, _ = run(recipe(seed=4))
    assert a.curve == b.curve
    for key, tensor in model_a.trainable_state().items():
        assert torch.equal(tensor, model_b.trainable_state()[key])
    assert not torch.equal(model_a.prompt, model_c.prompt)


@pytest.mark.parametrize("task", ["xnli", "pos"])
def test_micro_batches_give_the_gradient_of_one_big_batch(fake_model, encoded, task):
    # Tagged rows have unequal numbers of read-outs, so a mean of micro-batch means would differ.
    data = encoded(task, examples=40, seed=5)
    gradients, losses, pieces = [], [], []
    for budget in (10_000, 13):
        step = next(training_steps(data, batch_size=32, token_budget=budget, seed=0, pad_id=0))
        model = fake_model(len(data.task.labels))
        losses.append(accumulate_gradients(model, step, CPU))
        gradients.append([parameter.grad for parameter in model.parameters()])
        pieces.append(len(step.micro_batches))
    assert pieces[0] == 1
    assert pieces[1] > 10
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)
    for whole, split in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, split, rtol=1e-4, atol=1e-7)


def test_the_loss_is_the_mean_cross_entropy_over_all_read_outs(fake_model, encoded):
    step = next(
        training_steps(encoded("pos", examples=20, seed=0), batch_size=10, token_budget=40, seed=0, pad_id=0)
    )
    model = fake_model(17)
    loss = accumulate_gradients(model, step, CPU)
    batches = step.micro_batches
    logits = torch.cat([model(batch.input_ids, batch.rows, batch.columns) for batch in batches])
    expected = torch.nn.functional.cross_entropy(logits, torch.cat([batch.labels for batch in batches]))
    torch.testing.assert_close(loss, expected.detach())


def test_the_whole_training_does_not_depend_on_the_token_budget(run, recipe):
    one, _ = run(recipe("pos", schedule={"token_budget": 10_000, "steps": 20}))
    many, _ = run(recipe("pos", schedule={"token_budget": 16, "steps": 20}))
    torch.testing.assert_close(one.prompt, many.prompt, rtol=1e-3, atol=1e-5)


def test_the_best_state_is_restored_at_the_end(run, recipe, encoded):
    # At this rate the score goes up and down, so the best state is not the last.
    settings = recipe(optimizer={"learning_rate": 3.0}, schedule={"evaluate_every": 2})
    model, result = run(settings)
    assert result.best_score == max(value for _, value in result.curve)
    assert result.best_step < result.steps
    assert dict(result.curve)[result.best_step] == result.best_score
    development = encoded("xnli", examples=60, seed=2)
    answers = predict(model, development, token_budget=200, pad_id=0, device="cpu").labels
    assert score(development.task, development.gold(), answers)["accuracy"].value == result.best_score


def test_the_earliest_of_equally_good_states_is_kept(run, recipe):
    _, result = run(recipe(optimizer={"learning_rate": 1e-9}, schedule={"evaluate_every": 5}))
    assert result.best_step == 5


def test_training_stops_after_patience_evaluations_without_gain(run, recipe):
    _, result = run(recipe(optimizer={"learning_rate": 1e-9}, schedule={"evaluate_every": 5, "patience": 3}))
    assert result.steps == 20
    assert len(result.curve) == 4


def test_the_last_step_is_scored_even_off_the_beat(run, recipe):
    _, result = run(recipe(schedule={"steps": 7, "evaluate_every": 5}))
    assert [step for step, _ in result.curve] == [5, 7]


def test_a_loss_that_is_not_finite_says_where_and_what_to_try(run, recipe, fake_model):
    model = fake_model(3)
    model.embedding.fill_(math.nan)
    with pytest.raises(TrainingDiverged) as error:
        run(recipe(precision="bfloat16", optimizer={"clip_norm": None}), model=model)
    message = str(error.value)
    assert "at step 1 of 60: loss nan" in message
    for remedy in ("optimizer.learning_rate", "optimizer.warmup_share", "optimizer.clip_norm", "float32"):
        assert remedy in message


def test_an_overflow_that_only_the_evaluation_sees_is_a_divergence_too(run, recipe, fake_model):
    class Overflowing(fake_model):
        def forward(self, *inputs, tree):
            logits = super().forward(*inputs, tree=tree)
            return logits if self.training else logits * math.inf

    with pytest.raises(TrainingDiverged, match="at step 10 of 60"):
        run(recipe(), model=Overflowing(3))


def test_prompts_and_biases_are_not_decayed_and_the_head_may_have_its_own_rate(fake_model, recipe):
    settings = recipe(
        optimizer={"learning_rate": 0.1, "head_learning_rate": 0.01, "weight_decay": 0.3}
    ).optimizer
    model = fake_model(3)
    masters = {name: Master(parameter) for name, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, settings, masters)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    prompt, weight, bias = (groups[id(p)] for p in (model.prompt, model.head.weight, model.head.bias))
    assert (prompt["lr"], prompt["weight_decay"]) == (0.1, 0.0)
    assert (weight["lr"], weight["weight_decay"]) == (0.01, 0.3)
    assert (bias["lr"], bias["weight_decay"]) == (0.01, 0.0)


def test_the_rate_rises_to_its_peak_and_falls_to_zero():
    factors = [rate_factor(done, steps=100, warmup_share=0.1) for done in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors[99] > 0
    assert factors[100] == 0
    assert rate_factor(0, steps=10, warmup_share=0.0) == 1.0
    assert rate_factor(9, steps=10, warmup_share=1.0) == 1.0


def test_metrics_are_logged_by_step(run, recipe):
    tracker = RecordingTracker()
    run(recipe(schedule={"steps": 25}), tracker=tracker)
    assert [step for step, _ in tracker.series("train/loss")] == [1, 10, 20, 25]
    assert [step for step, _ in tracker.series("validation/accuracy/en")] == [10, 20, 25]
    assert all(value > 0 for _, value in tracker.series("train/tokens_per_second"))
    rates = [value for _, value in tracker.series("train/learning_rate")]
    assert rates[0] == pytest.approx(0.025)  # the second of two warm-up steps reaches the peak of 0.05
    assert rates[-1] < rates[1]


def test_entity_f1_chooses_the_checkpoint_for_named_entities(run, recipe):
    tracker = RecordingTracker()
    run(recipe("ner", schedule={"steps": 10}), tracker=tracker)
    assert tracker.series("validation/f1/en")


def steps_shown(console):
    with training_progress(console, steps=1200, metric="accuracy") as progress:
        progress.stepped(Step(1, loss=1.25, learning_rate=1e-3, tokens_per_second=123456.0))
        progress.scored(Development(1, Score(50.0), loss=1.0, best_score=51.5, best_step=1))
        progress.stepped(Step(1200, loss=1.125, learning_rate=1e-3, tokens_per_second=123456.0))
    return console.file.getvalue()


def test_in_a_log_progress_is_lines_with_loss_rate_speed_time_left_and_best_score():
    shown = steps_shown(Console(file=io.StringIO(), width=80))
    assert shown.splitlines() == [
        "step 1/1200  development accuracy 50.00  (best 51.50 at step 1)",
        "step 1200/1200  loss 1.1250  lr 1.00e-03  123,456 tokens/s  0:00 left",
    ]


def test_on_a_terminal_the_bar_has_count_and_time_and_the_figures_a_line_of_their_own():
    console = Console(file=io.StringIO(), force_terminal=True, width=COLUMNS, height=24)
    seen = replay(steps_shown(console))
    assert seen.widest <= COLUMNS
    bar, figures = [line for line in seen.screen if line.strip()]
    assert re.fullmatch(r"training +━+ 1200/1200 took 0:00", bar)
    assert figures == "  loss 1.125  lr 1.0e-03  123,456 tokens/s  accuracy 51.50 at 1"

"""Choices and spans through the whole of a run: every method, alignment, finer text, resumption, new text."""

import io
import random
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from small import WORDS, tiny_recipe, write_lines

from xlprompt.data import TASKS
from xlprompt.data.encoding.encode import encode
from xlprompt.data.sources import open_source
from xlprompt.data.sources.unlabeled import read_rows, typed_rows
from xlprompt.evaluation import load_predictions, main_metric
from xlprompt.models import TRAINED_METHODS, load_tokenizer
from xlprompt.studies.grid.ledger import Ledger
from xlprompt.training import RunResult, evaluate, find_checkpoint, predict, train
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.recipe import Recipe

pytestmark = pytest.mark.integration
KINDS = ("xcopa", "xquad")
SIZES = {"train": 24, "validation": 8, "test": 8}


def row(task: str, words: list[str], draw: random.Random) -> dict[str, object]:
    told = [draw.choice(words) for _ in range(draw.randint(4, 30))]
    place = draw.randrange(len(told))
    if task == "xcopa":
        one, two = draw.sample(words, 2)
        label = draw.randrange(2)
        return {
            "premise": " ".join([*told, (one, two)[label]]),
            "question": draw.choice(("cause", "effect")),
            "choice1": one,
            "choice2": two,
            "label": label,
        }
    context, start = " ".join(told), len(" ".join([*told[:place], ""]))
    return {"context": context, "question": "Where?", "answers": [{"text": told[place], "start": start}]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("data"), random.Random(0)
    for task in KINDS:
        for language in ("en", "de"):
            for split, count in SIZES.items():
                rows = [row(task, WORDS[language], draw) for _ in range(count)]
                write_lines(folder / task / f"{language}.{split}.jsonl", rows)
    return folder


def recipe(task: str, model: Path, data: Path, method: str = "prompt", **changes: object) -> Recipe:
    settings = {"method": method, "bitfit": {"add": True}, **changes}
    return tiny_recipe(task, model, data, **{"encoding": {"max_length": 48}, **settings})


def run(made: Recipe, store: Path, **options: object) -> RunResult:
    return train(made, store=store, console=Console(file=io.StringIO()), engine="torch", **options)


@pytest.mark.parametrize("method", TRAINED_METHODS)
@pytest.mark.parametrize("task", KINDS)
def test_every_method_trains_and_scores(task: str, method: str, tiny_xglm: Path, data: Path, new_store: Path):
    small = {
        "schedule": {"steps": 2, "evaluate_every": 2},
        "evaluation": {"language_model_rows": 0, "curve_every": 1},
    }
    run_id = run(recipe(task, tiny_xglm, data, method, **small), new_store).run_id
    predictions = load_predictions(Ledger(new_store).predictions(run_id)["de"])
    assert len(predictions.gold) == len(predictions.predicted) == SIZES["test"]
    assert all(len(answer) == 1 for answer in predictions.predicted)
    assert (predictions.trivial_baseline is not None) == (task == "xquad")
    # The sample is the whole test set here, and the last state is the one that was kept.
    ledger, metric = Ledger(new_store), main_metric(TASKS[task])
    curve = dict(ledger.history(run_id, f"curve/{metric}/de"))
    metrics = ledger.get(run_id).metrics
    assert curve.keys() == {1, 2}
    assert curve[2] == pytest.approx(metrics[f"test/{metric}/de"])
    assert metrics["curve_rows"] == SIZES["test"]  # where 100 were asked for
    assert metrics["curve/entropy/de"] == pytest.approx(metrics["answers/entropy/de"], rel=1e-5)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    return Path(shutil.copytree(empty_store, tmp_path_factory.mktemp("runs") / "mlruns"))


@pytest.fixture(scope="module")
def trained(tiny_xglm: Path, data: Path, store: Path) -> dict[str, RunResult]:
    """A run of each kind with moments beside it, on text that is cut more finely."""
    settings = {
        "evaluation": {"alignment": {"kinds": ["mean"], "sentences": 6}},
        "encoding": {"max_length": 48, "granularity": {"share": 0.3}},
    }
    return {task: run(recipe(task, tiny_xglm, data, **settings), store) for task in KINDS}


@pytest.mark.parametrize("task", KINDS)
def test_what_is_told_of_a_run_counts_examples_and_all_their_rows(
    task: str, tiny_xglm: Path, data: Path, new_store: Path
):
    told = io.StringIO()
    schedule = {"steps": 6, "evaluate_every": 6, "token_budget": 10_000}  # whole examples
    made = recipe(task, tiny_xglm, data, schedule=schedule, evaluation={"language_model_rows": 0})
    result = train(made, store=new_store, console=Console(file=told, width=100), engine="torch")
    assert "6 steps of 8 sequences (2 epochs)" in told.getvalue()  # 48 of 24 examples
    # An epoch reads every row once, and the plan is of rows of mean length: what is read is what was planned.
    read = result.fit.tokens_per_second * result.fit.seconds
    assert result.cost.flops == pytest.approx(result.estimate.flops, rel=0.02)  # whole rows a step there
    rows = encode(
        open_source(str(data)).load(TASKS[task], "en", "train"),
        TASKS[task],
        load_tokenizer(str(tiny_xglm)),
        made.encoding,
        language="en",
    )
    assert read == pytest.approx(2 * rows.lengths.sum())
    assert rows.sequences == SIZES["train"] < len(rows.dataset)


@pytest.mark.parametrize("align", ["none", "mean"])
@pytest.mark.parametrize("task", KINDS)
def test_new_text_gets_the_answers_that_were_scored(
    task: str, align: str, trained: dict[str, RunResult], store: Path, data: Path
):
    run_id = trained[task].run_id
    rows = read_rows(TASKS[task], data / task / "de.test.jsonl")
    predicted = predict(find_checkpoint(run_id, store)[0], rows, language="de", align=align)
    scored = load_predictions(Ledger(store).predictions(run_id, align)["de"])
    given = [[answer.label for answer in each.answers] for each in predicted.rows]
    names = TASKS[task].labels
    expected = [[names[one] if names else one for one in each] for each in scored.predicted]
    assert given == expected
    for each in predicted.rows:
        (answer,) = each.answers
        assert 0 < answer.probability <= 1


def test_a_question_that_was_cut_is_known_where_its_row_is_short(trained: dict[str, RunResult], store: Path):
    checkpoint, _ = find_checkpoint(trained["xquad"].run_id, store)
    texts = [("the man reads", "man " * 40), ("the man reads", "man"), ("man " * 90, "man")]
    rows = [row for each in texts for row in typed_rows(TASKS["xquad"], each)]
    assert [each.cut for each in predict(checkpoint, rows).rows] == [True, False, False]


@pytest.mark.parametrize("task", KINDS)
def test_an_evaluation_gives_what_training_gave(task: str, trained: dict[str, RunResult], store: Path):
    checkpoint, _ = find_checkpoint(trained[task].run_id, store)
    again = evaluate(trained[task].run_id, store=store, console=Console(file=io.StringIO()))
    assert again.report.to_dict() == trained[task].report.to_dict()


@pytest.mark.parametrize("task", KINDS)
def test_micro_batches_do_not_change_what_is_learned(task: str, tiny_xglm: Path, data: Path, new_store: Path):
    states = []
    for budget in (400, 10_000):
        changes = {"schedule": {"steps": 3, "evaluate_every": 3, "token_budget": budget}}
        made = recipe(task, tiny_xglm, data, **changes, evaluation={"language_model_rows": 0})
        result = run(made, new_store)
        states.append(find_checkpoint(result.run_id, new_store)[0].state)
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        if name != "head.bias":  # it moves all that is compared alike, so its gradient is but rounding
            assert torch.allclose(tensor, states[1][name], atol=1e-4), name


def test_a_verbalizer_has_no_words_for_parts_of_a_text(tiny_xglm: Path, data: Path):
    with pytest.raises(RecipeError, match="head.kind 'verbalizer' has no words for task 'xquad'"):
        recipe("xquad", tiny_xglm, data, head={"kind": "verbalizer"})


def test_a_verbalizer_reads_a_word_of_each_option(tiny_xglm: Path, data: Path, new_store: Path):
    small = {"schedule": {"steps": 2, "evaluate_every": 2}, "evaluation": {"language_model_rows": 0}}
    made = recipe("xcopa", tiny_xglm, data, head={"kind": "verbalizer"}, **small)
    assert "accuracy" in run(made, new_store).report.metric_names

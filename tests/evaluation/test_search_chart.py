"""Charts of searches, judged by what is on their axes."""

import pytest

from xlprompt.evaluation import search_chart
from xlprompt.evaluation.search_chart import TrialPoint, history_chart, importance_chart, slice_chart

POINTS = [
    TrialPoint(0, 80.0, 1.5, False, True, {"rate": 2e-2, "batch": 32, "init": "text"}),
    TrialPoint(1, 60.0, 1.9, True, False, {"rate": 5e-5, "batch": 64, "init": "normal"}),
    TrialPoint(3, 82.0, None, False, False, {"rate": 1e-2, "batch": 64, "init": None}),
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    figures = []
    save = search_chart._save
    monkeypatch.setattr(
        search_chart, "_save", lambda figure, path: figures.append(figure) or save(figure, path)
    )
    return figures


def test_the_history_shows_every_trial_and_the_best_so_far_of_those_that_were_not_cut_short(drawn, tmp_path):
    path = history_chart(POINTS, tmp_path / "new" / "history.png", title="pos · prompt", metric="accuracy")
    assert path.stat().st_size > 1000
    (axes,) = drawn[0].axes
    best = next(line for line in axes.lines if line.get_label() == "best so far")
    assert list(best.get_ydata()) == [80.0, 82.0, 82.0]
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert len(labels) == 4
    assert axes.get_ylabel() == "development accuracy, % ± standard error"


def test_each_value_has_a_panel_with_the_axis_that_fits_it(drawn, tmp_path):
    slice_chart(POINTS, tmp_path / "slices.svg", title="a search", metric="f1", log=["rate"])
    rate, batch, init = drawn[0].axes
    assert [axes.get_xlabel() for axes in (rate, batch, init)] == ["rate", "batch", "init"]
    assert (rate.get_xscale(), batch.get_xscale()) == ("log", "linear")
    assert list(batch.get_xticks()) == [32, 64]
    assert [label.get_text() for label in init.get_xticklabels()] == ["text", "normal", "None"]


def test_the_most_important_stands_on_top_with_its_share(drawn, tmp_path):
    importance_chart({"batch": 0.1, "rate": 0.9}, tmp_path / "importance.png", title="a search", trials=12)
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["batch", "rate"]
    assert [text.get_text() for text in axes.texts] == ["10 %", "90 %"]
    assert "12 trials" in axes.get_xlabel()

"""The report as people see it: a table within 80 columns, and a chart that leaves matplotlib alone."""

import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from rich.console import Console

from xlprompt.data import LANGUAGES, task
from xlprompt.data.tasks import register
from xlprompt.data.tasks.own import METRICS, TaskDefinition
from xlprompt.evaluation import LanguageResult, Score, TransferReport, bar_chart, score_table
from xlprompt.evaluation.scores.floors import TRIVIAL_ANSWER

PNG = b"\x89PNG"


def make_report(
    codes: list[str], *, name: str = "pos", train_language: str = "en", collapsed: tuple[str, ...] = ()
) -> TransferReport:
    metrics = {
        "xnli": ["accuracy"],
        "pos": ["accuracy", "f1"],
        "ner": ["accuracy", "f1", "precision", "recall"],
    }
    results = {
        code: LanguageResult(
            language=code,
            examples=1000,
            readouts=10_000,
            scores={metric: Score(90.0 - 2 * place, 0.42) for metric in metrics[name]},
            majority=33.3,
            top_predicted=max(task(name).labels, key=len),
            top_predicted_share=100.0 if code in collapsed else 40.0,
            collapsed=code in collapsed,
        )
        for place, code in enumerate(codes)
    }
    metric = "f1" if name == "ner" else "accuracy"
    return TransferReport(name, "validation", metric, train_language, results)


def printed(report: TransferReport, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(score_table(report))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def line_of(lines: list[str], start: str) -> str:
    (line,) = [line for line in lines if line.strip().startswith(start)]
    return line


@pytest.mark.parametrize(
    ("kind", "metric"), [(kind, metric) for kind, names in METRICS.items() for metric in names]
)
def test_whatever_may_judge_an_own_task_has_a_column(kind, metric):
    fields = ("context", "question", "answers") if kind == "span" else ("words", "tags")
    options = ("words", "tags") if kind == "choice" else ("O", "B-X")
    values = {
        "kind": kind,
        "fields": (*options, "label") if kind == "choice" else fields,
        "labels": () if kind == "span" else options,
        "metrics": (metric,),
    }
    own = register(TaskDefinition.model_validate(values).task(f"judged-{kind}-by-{metric}"))
    result = LanguageResult("en", 9, 9, {metric: Score(80.0, 1.0)}, 50.0, "", 0.0, collapsed=False)
    report = TransferReport(own.name, "test", metric, "en", {"en": result})
    assert " ".join(line_of(printed(report), "English").split()).startswith("English (en) * 80.0 ± 1.0")


def test_answers_that_are_texts_have_exact_match_beside_f1_and_no_labels():
    scores = {"f1": Score(80.0, 1.0), "exact_match": Score(70.0, 1.2), "squad_f1": Score(79.0, 1.0)}
    result = LanguageResult("en", 500, 500, scores, 0.0, "", 0.0, collapsed=False)
    lines = printed(TransferReport("xquad", "test", "f1", "en", {"en": result}))
    assert line_of(lines, "language").split() == ["language", "token", "F1", "exact", "match"]
    assert " ".join(line_of(lines, "English").split()) == "English (en) * 80.0 ± 1.0 70.0 ± 1.2"
    assert not any("majority" in line or "trivial" in line for line in lines)


def test_answers_that_are_texts_stand_beside_what_needs_no_model():
    codes, floors = ("en", "de", "th"), (15.25, 14.0, 25.0)
    results = {
        code: LanguageResult(
            code, 500, 500, {"f1": Score(80.0, 1.0)}, 0.0, "", 0.0, False, trivial_baseline=floor
        )
        for code, floor in zip(codes, floors, strict=True)
    }
    report = TransferReport("xquad", "test", "f1", "en", results)
    lines = printed(report)
    assert [line_of(lines, start).split()[-1] for start in ("language", "English", "Thai")] == [
        *("trivial", "15.2", "25.0")
    ]
    means = [line_of(lines, start).split()[-1] for start in ("zero-shot mean", "mean", "transfer gap")]
    assert means == ["19.5", "18.1", "–"]
    legend = " ".join(" ".join(lines).split())
    assert f"trivial: token F1 of answering with {TRIVIAL_ANSWER}." in legend
    assert report.to_dict()["results"]["th"]["trivial_baseline"] == 25.0
    assert "trivial_baseline" not in make_report(["en"]).to_dict()["results"]["en"]


@pytest.mark.parametrize("name", ["xnli", "pos", "ner"])
def test_nothing_is_cut_or_wrapped_at_80_columns(name: str):
    codes = list(LANGUAGES)
    report = make_report(codes, name=name, collapsed=tuple(codes))
    lines = printed(report)
    assert lines == printed(report, width=300)
    assert not any("…" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_languages_stand_under_their_resource_level_by_tokens():
    lines = printed(make_report(["yo", "eu", "sw", "hi", "th", "el", "de", "en"]))
    heads = [
        "high",
        "English",
        "German",
        "medium",
        "Greek",
        "Thai",
        "low",
        "Hindi",
        "Swahili",
        "extremely low",
    ]
    heads += ["Basque", "unseen", "Yoruba"]
    body = [line.strip() for line in lines if line.strip().startswith(tuple(heads))]
    assert len(body) == len(heads)
    assert all(line.startswith(head) for line, head in zip(body, heads, strict=True))


def test_a_row_tells_score_error_majority_and_the_commonest_answer():
    row = line_of(printed(make_report(["en", "de"])), "German")
    assert "German (de) " in row
    assert row.count("88.0 ± 0.4") == 2
    assert "33.3" in row
    assert row.endswith("CCONJ 40 %")


def test_the_training_language_and_a_collapse_are_marked_and_explained():
    lines = printed(make_report(["en", "hi"], collapsed=("hi",)))
    assert "English (en) *" in line_of(lines, "English")
    assert line_of(lines, "Hindi").endswith("100 % !")
    assert any(line.strip().startswith("* trained on") for line in lines)
    assert any(line.strip().startswith("! collapsed") for line in lines)


def test_marks_that_do_not_occur_are_not_explained():
    lines = printed(make_report(["de", "hi"]))
    assert not any(line.strip().startswith(("* ", "! ")) for line in lines)


def test_means_and_gap_stand_below():
    lines = printed(make_report(["en", "de", "hi"]))
    assert "87.0" in line_of(lines, "zero-shot mean (2)")
    assert "3.0" in line_of(lines, "transfer gap")
    assert "88.0" in line_of(lines, "mean (3)")


def test_what_does_not_exist_is_a_dash():
    lines = printed(make_report(["en"]))
    assert "–" in line_of(lines, "zero-shot mean (0)")
    assert "–" in line_of(lines, "transfer gap")


@pytest.mark.parametrize("name", ["xnli", "ner"])
def test_a_chart_is_written_as_png(tmp_path: Path, name: str):
    path = bar_chart(
        make_report(["en", "de", "hi"], name=name, collapsed=("hi",)), tmp_path / "new" / "scores.png"
    )
    assert path.read_bytes().startswith(PNG)


def test_a_chart_of_one_language_is_written(tmp_path: Path):
    assert bar_chart(make_report(["en"]), tmp_path / "scores.png").read_bytes().startswith(PNG)


def test_a_chart_is_written_as_svg_and_alike_each_time(tmp_path: Path):
    before = dict(matplotlib.rcParams)
    first, second = (bar_chart(make_report(["en", "sw"]), tmp_path / f"{name}.svg") for name in "ab")
    content = first.read_text()
    assert "<svg" in content
    assert "Swahili" in content
    assert content == second.read_text()
    assert dict(matplotlib.rcParams) == before


def test_a_score_without_standard_error_can_be_drawn(tmp_path: Path):
    result = LanguageResult("sw", 1, 1, {"accuracy": Score(100.0)}, 100.0, "neutral", 100.0, False)
    report = TransferReport("xnli", "test", "accuracy", "en", {"sw": result})
    assert "100.0 ± –" in line_of(printed(report), "Swahili")
    assert bar_chart(report, tmp_path / "scores.png").is_file()


@pytest.mark.integration
def test_drawing_needs_no_pyplot_and_no_display(tmp_path: Path):
    """In a process of its own, as another test may have imported pyplot."""
    code = (
        "import sys\n"
        "from xlprompt.evaluation import LanguageResult, Score, TransferReport, bar_chart\n"
        "result = LanguageResult('en', 9, 9, {'accuracy': Score(50.0, 1.0)}, 33.3, 'neutral', 40.0, False)\n"
        "bar_chart(TransferReport('xnli', 'test', 'accuracy', 'en', {'en': result}), sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    path = tmp_path / "scores.png"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert path.read_bytes().startswith(PNG)

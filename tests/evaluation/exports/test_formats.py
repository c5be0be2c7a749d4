"""Exported files keep the rules of their evaluators: rows, columns, order, empty answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from exported import XTREME, answered, labelled, of_task, tagged, words_of

from xlprompt.data import DataError
from xlprompt.data.tasks import TASKS
from xlprompt.data.tasks.own import TaskDefinition
from xlprompt.evaluation import SavedPredictions
from xlprompt.evaluation.exports import conll, ud, xtreme


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


def sentence(task: str, tags: list[str]) -> SavedPredictions:
    numbers = [[TASKS[task].labels.index(tag) for tag in tags]]
    header = (task, 1, "tagging", "en", "test", TASKS[task].labels)
    return SavedPredictions(*header, ["one"], numbers, numbers)


@pytest.mark.parametrize("task", ["xnli", "pawsx", "xcopa"])
def test_xtreme_has_a_row_for_each_example_in_its_order(task: str, tmp_path: Path):
    made = labelled(task, "de")
    prediction, gold = xtreme.export({"de": made}, tmp_path).files
    for path, answers in ((prediction, made.predicted), (gold, made.gold)):
        *rows, end = lines(path)
        assert end == ""
        if task == "xnli":
            assert rows == [TASKS[task].labels[index] for (index,) in answers]
        elif task == "pawsx":
            assert rows == [str(index) for (index,) in answers]
        else:
            assert [json.loads(row)["label"] for row in rows] == [index for (index,) in answers]


def test_files_lie_where_xtreme_looks_for_them(tmp_path: Path):
    places = {
        path.relative_to(tmp_path).as_posix()
        for task in XTREME
        for path in xtreme.export(of_task(task, ["zh"]), tmp_path).files
    }
    names = "panx/test-zh.tsv pawsx/test-zh.tsv udpos/test-zh.tsv xcopa/test-zh.jsonl xnli/test-zh.tsv"
    names += " xquad/test-zh.json"
    assert places == {f"{kind}/{name}" for kind in ("labels", "predictions") for name in names.split()}


@pytest.mark.parametrize("task", ["ner", "pos"])
def test_xtreme_has_a_tag_a_line_and_a_blank_line_after_each_sentence(task: str, tmp_path: Path):
    made = tagged(task, "de")
    prediction, _ = xtreme.export({"de": made}, tmp_path).files
    blocks = prediction.read_text().split("\n\n")
    assert blocks.pop() == ""
    assert [block.split("\n") for block in blocks] == [
        [TASKS[task].labels[tag] for tag in each] for each in made.predicted
    ]


def test_every_question_has_an_answer_by_its_id_and_an_empty_one_stays(tmp_path: Path):
    made = answered("es")
    assert [""] in made.predicted
    prediction, gold = xtreme.export({"es": made}, tmp_path).files
    assert json.loads(prediction.read_text()) == {
        one: text for one, (text,) in zip(made.ids, made.predicted, strict=True)
    }
    (article,) = json.loads(gold.read_text())["data"]
    questions = [question for paragraph in article["paragraphs"] for question in paragraph["qas"]]
    assert [question["id"] for question in questions] == made.ids
    assert [[right["text"] for right in question["answers"]] for question in questions] == made.gold


def test_a_folder_with_other_languages_of_an_earlier_export_is_refused(tmp_path: Path):
    xtreme.export(of_task("xnli", ["de", "zh"]), tmp_path)
    xtreme.export(of_task("xnli", ["de", "zh", "ru"]), tmp_path)  # with more of them it is renewed
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.tsv")}
    with pytest.raises(DataError, match="earlier export in other languages: test-ru.tsv, test-zh.tsv"):
        xtreme.export(of_task("xnli", ["de"]), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.tsv")} == before
    made = {code: tagged("pos", code) for code in ("de", "zh")}
    for module, folder in ((conll, tmp_path / "conll"), (ud, tmp_path / "ud")):
        words = {code: words_of(each) for code, each in made.items()}
        module.export(made, words, TASKS["pos"], folder)
        (folder / "notes.test.txt").write_text("mine")
        with pytest.raises(DataError, match="earlier export in other languages: zh.test"):
            module.export({"de": made["de"]}, words, TASKS["pos"], folder)


def test_a_question_id_that_stands_there_twice_is_refused(tmp_path: Path):
    made = answered("ru")
    made.ids[3] = made.ids[0]
    with pytest.raises(DataError, match="'ru-0' stands there twice"):
        xtreme.export({"ru": made}, tmp_path)


def test_a_task_that_xtreme_does_not_have_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="XTREME has no format for sib200"):
        xtreme.export({"en": labelled("sib200", "en")}, tmp_path)


def test_xtreme_has_no_format_for_a_task_of_a_users_own(tmp_path: Path):
    assert "drugs" not in TASKS
    made = SavedPredictions("drugs", 1, "tagging", "pl", "test", ("O", "B-DRUG"), ["one"], [[0, 1]], [[0, 1]])
    with pytest.raises(DataError, match=r"XTREME has no format for drugs\. It has one for ner, pawsx, pos"):
        xtreme.export({"pl": made}, tmp_path)


def test_predictions_with_other_labels_than_the_tasks_are_refused(tmp_path: Path):
    made = labelled("xnli", "de")
    with pytest.raises(DataError, match="'xnli' that this xlprompt does not know so"):
        xtreme.export({"de": replace(made, labels=made.labels[:2])}, tmp_path)


def test_xcopa_is_for_xtreme_r_alone(tmp_path: Path):
    assert xtreme.export({"et": labelled("xcopa", "et")}, tmp_path).command.endswith("xtreme-r")


def test_languages_that_xtreme_misses_or_passes_over_are_told(tmp_path: Path):
    missing, others = xtreme.export(of_task("pawsx", ["en", "fi"]), tmp_path).notes
    assert "6 of its 7 are not: de, es, fr, ja, ko, zh" in missing
    assert others == "evaluate.py passes over fi."


@pytest.mark.parametrize(
    ("word", "column"),
    [("Hà Nội", "Hà_Nội"), ("10\u00a0000", "10_000"), ("\u3000", "_"), ("-X-", "_X_"), ("#", "#")],
)
def test_a_word_is_one_column_of_conlleval_and_never_its_boundary(word: str, column: str, tmp_path: Path):
    (path,) = conll.export({"en": sentence("ner", ["B-LOC"])}, {"en": [[word]]}, TASKS["ner"], tmp_path).files
    assert path.read_text() == f"{column} B-LOC B-LOC\n\n"


def test_conlleval_takes_parts_of_speech_as_they_are(tmp_path: Path):
    made = tagged("pos", "vi")
    exported = conll.export({"vi": made}, {"vi": words_of(made)}, TASKS["pos"], tmp_path)
    assert exported.command.startswith("conlleval -r <")
    assert len(lines(exported.files[0])) == sum(map(len, made.gold)) + len(made.gold) + 1


def test_tags_of_a_users_own_are_exported_without_having_been_met(tmp_path: Path):
    labels = ("O", "B-DRUG", "I-DRUG")
    definition = TaskDefinition(kind="tagging", fields=("tokens", "tags"), labels=labels, metrics=("f1",))
    own = definition.task("drugs")
    assert own.name not in TASKS
    made = SavedPredictions("drugs", 1, "tagging", "pl", "test", labels, ["one"], [[0, 1]], [[0, 2]])
    exported = conll.export({"pl": made}, {"pl": [["bez", "aspiryny"]]}, own, tmp_path)
    assert exported.files[0].read_text() == "bez O O\naspiryny B-DRUG I-DRUG\n\n"
    assert exported.command.startswith("conlleval <")
    with pytest.raises(DataError, match="does not know so"):
        conll.export({"pl": replace(made, labels=("O", "B-DRUG", "I-DOSE"))}, {}, own, tmp_path)


def test_every_sentence_for_the_ud_evaluator_is_a_tree_with_one_root(tmp_path: Path):
    made = tagged("pos", "vi")
    gold, system = ud.export({"vi": made}, {"vi": words_of(made)}, TASKS["pos"], tmp_path).files
    for path, answers in ((gold, made.gold), (system, made.predicted)):
        blocks = path.read_text(encoding="utf-8").split("\n\n")
        assert blocks.pop() == ""
        for block, tags in zip(blocks, answers, strict=True):
            rows = [row.split("\t") for row in block.split("\n")[1:]]
            assert [row[3] for row in rows] == [TASKS["pos"].labels[tag] for tag in tags]
            assert [row[0] for row in rows] == [str(number) for number in range(1, len(tags) + 1)]
            assert [row[6] for row in rows] == ["0"] + ["1"] * (len(tags) - 1)
            assert all(len(row) == 10 and all(row) for row in rows)


def test_a_sentence_without_words_is_left_out_of_conllu(tmp_path: Path):
    _, system = ud.export({"en": sentence("pos", [])}, {"en": [[]]}, TASKS["pos"], tmp_path).files
    assert system.read_text() == ""


@pytest.mark.parametrize(("module", "task"), [(conll, "xnli"), (ud, "xquad"), (ud, "ner")])
def test_a_task_that_does_not_fit_the_format_is_refused(module, task: str, tmp_path: Path):
    with pytest.raises(DataError, match="has none|has other tags"):
        module.export(of_task(task, ["en"]), {}, TASKS[task], tmp_path)


def test_words_that_do_not_match_the_tags_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="zip"):
        conll.export({"en": sentence("ner", ["O", "O"])}, {"en": [["one"]]}, TASKS["ner"], tmp_path)

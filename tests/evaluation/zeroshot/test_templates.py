"""What a language model is asked: lm-evaluation-harness's words, without its faults."""

import pytest

from xlprompt.data import DataError
from xlprompt.data.tasks import TASKS
from xlprompt.evaluation.zeroshot.templates import (
    Question,
    questions,
    tasks_with_templates,
    template_language,
)

WORDS = ("mended", "harness")
PAIR = {"first": ["Er schläft."], "second": ["Er ist wach."]}


def asked(task: str, language: str, rows: dict, words: str = "mended") -> Question:
    (question,) = questions(TASKS[task], language, rows, words)
    return question


def choice(premise: str, question: str = "cause") -> dict:
    return {"premise": [premise], "question": [question], "choice1": ["One."], "choice2": ["Two."]}


@pytest.mark.parametrize("task", tasks_with_templates())
def test_words_are_there_for_every_answer_in_every_language_of_the_benchmark(task: str):
    of = TASKS[task]
    rows = choice("A.") if task == "xcopa" else PAIR
    for language in of.languages:
        assert template_language(of, language) == language
        question = asked(task, language, rows)
        assert len(set(question.continuations)) == len(of.labels)


def test_both_sentences_stand_around_question_and_label_word():
    assert asked("xnli", "de", PAIR) == Question(
        "",
        (
            " Er schläft., richtig? Ja, Er ist wach.",
            " Er schläft., richtig? Auch, Er ist wach.",
            " Er schläft., richtig? Nein, Er ist wach.",
        ),
    )


def test_pairs_of_pawsx_are_joined_into_one_sentence_and_tokenization_is_undone():
    rows = {"first": ['He said ( in " 1998 " ) , no .'], "second": ["No , he did n't ."]}
    assert asked("pawsx", "en", rows).continuations == (
        'He said (in"1998"), no, right? No, no, he didn\'t.',
        'He said (in"1998"), no, right? Yes, no, he didn\'t.',
    )
    assert (
        asked("pawsx", "ko", {"first": ["가 ."], "second": ["나 ."]}).continuations[1]
        == "가 ., 맞죠? 예, 나 ."
    )


@pytest.mark.parametrize(
    ("language", "premise", "context"),
    [
        ("en", "It rained.", "It rained because"),
        ("zh", "下雨了。", "下雨了 因为"),
        ("th", "ฝนตก", "ฝนตก เพราะ"),
        ("ta", "மழை பெய்தது", "மழை பெய்தது காரணமாக"),
    ],
)
def test_a_premise_loses_its_stop_and_never_a_letter(language: str, premise: str, context: str):
    assert asked("xcopa", language, choice(premise)) == Question(context, (" one.", " two."))


def test_an_effect_has_another_connector():
    assert asked("xcopa", "sw", choice("Mvua.", "effect")).context == "Mvua kwa hiyo"


def test_words_that_say_something_else_are_mended_unless_the_harness_own_are_wanted():
    assert " لا," in asked("xnli", "ar", PAIR).continuations[2]
    assert " رقم," in asked("xnli", "ar", PAIR, "harness").continuations[2]
    both = {code: [asked("xnli", code, PAIR, words) for words in WORDS] for code in TASKS["xnli"].languages}
    assert {code for code, (mended, harness) in both.items() if mended == harness} == {"de", "en", "fr"}


def test_a_language_without_words_is_asked_in_english():
    assert template_language(TASKS["xnli"], "fi") == "en"
    assert asked("xnli", "fi", PAIR) == asked("xnli", "en", PAIR)


def test_a_task_without_words_is_refused():
    with pytest.raises(DataError, match="no words to ask about sib200"):
        questions(TASKS["sib200"], "en", {})

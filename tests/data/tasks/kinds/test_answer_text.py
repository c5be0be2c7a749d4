"""Answers are compared as the published scripts compare them, to the last digit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlprompt.data.tasks.kinds.answer_text import Rules, exact_match, normalized, token_f1

# By language, predictions with their accepted answers. Each one is about a rule: articles, punctuation of
# the language or of ASCII, letters that look like an article, the order of the words, an answer that is
# nothing but an article.
CASES = {
    "en": [
        ("the Market in Rome", ["at the market in Rome."]),
        ("Anna Sato", ["Anna Sato", "Mrs. Sato"]),
        ("an apple, a pear", ["apple and a pear"]),
        ("U.S.", ["US"]),
        ("the", ["the"]),
        ("eight horses", ["more than eight horses", "eight", "horses"]),
        ("rain —", ["Rain"]),
        ("", ["in Lima"]),
        ("on on Monday", ["on Monday"]),
    ],
    "es": [
        ("las tres naranjas", ["tres naranjas"]),
        ("el jueves en Lima", ["en Lima el jueves por la tarde"]),
        ("¿Un barco?", ["un barco", "una barca"]),
        ("a los cinco", ["los cinco"]),
    ],
    "de": [
        ("dem alten Bahnhof", ["der alte Bahnhof", "den alten Bahnhof"]),
        ("„Eine Geige“", ["Geige"]),
        ("an einem Freitag", ["am Freitag"]),
        ("Straße", ["STRASSE"]),
    ],
    "vi": [
        ("những con ngựa của Lan", ["con ngựa Lan"]),
        ("chiếc thuyền", ["thuyền."]),
        ("ở chợ vào thứ hai", ["ở chợ"]),
        ("là", ["của"]),
    ],
    "hi": [
        ("रोम में।", ["रोम में"]),
        ("पाँच सेब", ["पाँच सेब और नाशपाती", "सेब पाँच"]),
        ("a market", ["market"]),
    ],
    "ar": [
        ("في السوق", ["سوق", "في سوق"]),
        ("السوق؟", ["سوق"]),
        ("مالك", ["م ك"]),
        ("خمسة جمال", ["جمال", "خمسة"]),
    ],
    "zh": [
        ("在罗马的市场", ["罗马的市场。"]),
        ("8 匹马", ["8匹马"]),
        ("《光》", ["光"]),
        ("Aurora 银行", ["Aurora银行", "银行"]),
        ("吃𠀀饭", ["𠀀"]),
    ],
}  # fmt: skip
UNCOVERED = {
    "ru": [("на рынке, в Риме", ["на рынке в Риме", "рынок"]), ("«Аврора»", ["Аврора"])],
    "el": [("στην αγορά", ["στην αγορά της Ρώμης"]), ("a σκύλος", ["σκύλος"])],
    "th": [("ที่ตลาด ในโรม", ["ที่ตลาด"]), ("ตลาด", ["ตลาดใหญ่"])],
    "tr": [("İzmir'de pazar", ["İzmirde"]), ("The Lale", ["Lale"])],
}
"""Languages that MLQA's script refuses."""

# What the scripts print of these predictions, exact match and F1 in percent, computed once by running
# them on Python 3.11: mlqa_evaluation_v1.py of facebookresearch/MLQA at commit
# 24bf470b2e68f2bfb93b2fd31c370bb8ee18d9ed, and evaluate_squad.py of google-research/xtreme at
# 838c13b69daafb9328785d16caae2711e4012123, which is SQuAD v1.1's script and knows no languages. XTREME's
# copy of MLQA's script is the same but for its first lines.
OFFICIAL: dict[Rules, dict[str, tuple[float, float]]] = {
    "mlqa": {
        "en": (44.44444444444444, 68.04232804232805),
        "es": (50.0, 85.41666666666666),
        "de": (50.0, 62.5),
        "vi": (75.0, 64.28571428571429),
        "hi": (33.333333333333336, 88.88888888888887),
        "ar": (75.0, 91.66666666666666),
        "zh": (60.0, 88.18181818181819),
    },
    "squad": {
        "en": (33.333333333333336, 64.33862433862436),
        "es": (25.0, 75.68181818181819),
        "de": (0.0, 29.166666666666664),
        "vi": (0.0, 49.702380952380956),
        "hi": (33.333333333333336, 83.33333333333333),
        "ar": (0.0, 29.166666666666664),
        "zh": (0.0, 13.333333333333332),
        "ru": (50.0, 50.0),
        "el": (50.0, 83.33333333333333),
        "th": (0.0, 33.33333333333333),
        "tr": (50.0, 83.33333333333333),
    },
}

LANGUAGES = st.sampled_from(["ar", "de", "en", "es", "fr", "hi", "ja", "th", "vi", "zh"])
RULES = st.sampled_from(["mlqa", "squad"])
TEXTS = st.lists(
    st.sampled_from(
        ["the", "un", "die", "là", "ال", "市", "場", "ตลาด", "Rome", "a.b", "。", "e\u0301", " "]
    ),
    max_size=6,
).map("".join)


@pytest.mark.parametrize(
    ("rules", "language"), [(rules, language) for rules, values in OFFICIAL.items() for language in values]
)
def test_the_values_are_those_of_the_official_scripts_as_they_print_them(rules, language):
    cases = (CASES | UNCOVERED)[language]
    exact, f1 = 0, 0.0
    for (
        predicted,
        gold,
    ) in cases:  # one after another as the scripts add: sum() rounds otherwise from Python 3.12 on
        exact += exact_match(predicted, gold, language, rules)
        f1 += token_f1(predicted, gold, language, rules)

    assert (100.0 * exact / len(cases), 100.0 * f1 / len(cases)) == OFFICIAL[rules][language]


def test_japanese_and_thai_are_compared_by_characters_as_chinese_is():
    assert normalized("東京タワー、8時。", "ja") == "東 京 タ ワ ー 8 時"
    assert normalized("佐々木", "ja") == "佐 々 木"
    assert normalized("ตลาด Rome", "th") == "ต ล า ด rome"
    assert token_f1("市場で", ["市場"], "ja") == pytest.approx(0.8)
    assert token_f1("市場で", ["市場"], "fr") == 0


def test_languages_that_no_script_covers_lose_punctuation_but_no_articles():
    assert normalized("«Le marché», à Rome !", "fr") == "le marché à rome"


def test_an_answer_of_articles_alone_matches_but_shares_no_token():
    assert exact_match("the", ["the"], "en") == 1
    assert token_f1("the", ["the"], "en") == 0


@given(TEXTS, TEXTS, LANGUAGES, RULES)
def test_f1_is_a_share_does_not_care_which_text_is_gold_and_is_one_for_equal_answers(
    one, other, language, rules
):
    f1 = token_f1(one, [other], language, rules)

    assert 0 <= f1 <= 1
    assert f1 == token_f1(other, [one], language, rules)
    if exact_match(one, [other], language, rules):
        assert f1 == (1 if normalized(one, language, rules) else 0)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), TEXTS, LANGUAGES, RULES)
def test_one_more_accepted_answer_never_costs_anything(predicted, gold, more, language, rules):
    for measure in (exact_match, token_f1):
        assert measure(predicted, [*gold, more], language, rules) == max(
            measure(predicted, gold, language, rules), measure(predicted, [more], language, rules)
        )


@given(TEXTS, LANGUAGES, RULES)
def test_what_is_normalized_stays_as_it_is(text, language, rules):
    once = normalized(text, language, rules)

    assert normalized(once, language, rules) == once

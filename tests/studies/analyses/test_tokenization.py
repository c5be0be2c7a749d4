"""Figures against a slow and obvious recount, their intervals against resampling in a loop, correlations
against scipy's and against regressions on ranks."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from simulated_studies import XNLI, make_runs

from xlprompt.data import TASKS, language
from xlprompt.data.sources import open_source
from xlprompt.evaluation import compare
from xlprompt.evaluation.comparison.correlation import rank_correlation
from xlprompt.evaluation.comparison.statistics import SAMPLES
from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED
from xlprompt.models import load_tokenizer
from xlprompt.studies.analyses.tokenization.counts import count_tokens
from xlprompt.studies.analyses.tokenization.findings import ALL_TASKS, analyze, correlate, language_effects
from xlprompt.studies.analyses.tokenization.section import tokenization_section
from xlprompt.studies.analyses.tokenization.settings import Settings
from xlprompt.studies.reports.page import Image, Table

LANGUAGES = ("en", "de", "ru", "hi", "ja", "sw")


@pytest.fixture(scope="module", params=["tiny_xglm", "tiny_llama"])
def tokenizer(request):
    return load_tokenizer(str(request.getfixturevalue(request.param)))


@cache  # saying them takes longer than what is tested
def rows_of(task, code, limit=40):
    return open_source("mini").load(TASKS[task], code, "test", limit=limit)[:]


def pieces_of_text(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])


def characters_of(piece):
    if piece.startswith("<0x"):
        return 0
    return len(piece.replace("▁", ""))


def obvious_figures(tokenizer, texts, *, word_by_word):
    """Figures of texts whose words stand between spaces, one token and word at a time."""
    words = [
        pieces_of_text(tokenizer, f" {word}" if place else word)  # with the space in front of it
        for text in texts
        for place, word in enumerate(text.split())
    ]
    tokens = [piece for text in texts for piece in pieces_of_text(tokenizer, text)]
    if word_by_word:
        tokens = [piece for word in words for piece in word]
    single = [piece for piece in tokens if piece != "<unk>" and characters_of(piece) <= 1]
    whole = [pieces for pieces in words if len(pieces) == 1 and pieces != ["<unk>"]]
    return {
        "tokens_per_word": len(tokens) / len(words),
        "characters_per_token": len("".join("".join(texts).split())) / len(tokens),
        "whole_words": 100 * len(whole) / len(words),
        "single_character_tokens": 100 * len(single) / len(tokens),
        "unknown_tokens": 100 * tokens.count("<unk>") / len(tokens),
    }


@pytest.mark.parametrize("code", ["en", "de", "ru", "hi", "sw"])
@pytest.mark.parametrize("task", ["xnli", "pos"])
def test_figures_equal_a_slow_and_obvious_recount(tokenizer, task, code):
    rows = rows_of(task, code)
    texts = (
        [" ".join(words) for words in rows["tokens"]]
        if task == "pos"
        else [text for pair in zip(rows["first"], rows["second"], strict=True) for text in pair]
    )
    (found,) = analyze({code: count_tokens(tokenizer, TASKS[task], code, rows)}).languages
    values = {name: figure.value for name, figure in found.figures.items() if name != "tokens_to_english"}
    assert values == pytest.approx(obvious_figures(tokenizer, texts, word_by_word=task == "pos"))


@pytest.mark.parametrize("task", TASKS)
def test_every_task_can_be_asked_about_and_counted(tokenizer, task):
    assert Settings(task=task).task == task
    assert task in Settings.model_fields["task"].json_schema_extra["choices"]
    counts = {
        code: count_tokens(tokenizer, TASKS[task], code, rows_of(task, code, 8)) for code in ("en", "de")
    }
    assert [each.examples for each in analyze(counts).languages] == [8, 8]


def test_tokens_are_set_in_relation_to_english_item_by_item(tokenizer):
    counts = {
        code: count_tokens(tokenizer, TASKS["xnli"], code, rows_of("xnli", code)) for code in ("en", "de")
    }
    english, german = (
        sum(
            len(pieces_of_text(tokenizer, text))
            for pair in zip(rows["first"], rows["second"], strict=True)
            for text in pair
        )
        for rows in (rows_of("xnli", "en"), rows_of("xnli", "de"))
    )
    found = analyze(counts).languages[1].figures["tokens_to_english"]
    assert found.value == pytest.approx(german / english)
    assert found.low < found.value < found.high


def test_intervals_are_percentiles_over_resampled_examples(tokenizer):
    rows = rows_of("pos", "de")
    (found,) = analyze({"de": count_tokens(tokenizer, TASKS["pos"], "de", rows)}).languages
    tokens = np.array(
        [
            sum(
                len(pieces_of_text(tokenizer, f" {word}" if place else word))
                for place, word in enumerate(each)
            )
            for each in rows["tokens"]
        ]
    )
    words = np.array([len(each) for each in rows["tokens"]])
    rng = np.random.default_rng([BOOTSTRAP_SEED, len(words)])
    drawn = rng.integers(len(words), size=(SAMPLES, len(words)))
    ratios = [tokens[sample].sum() / words[sample].sum() for sample in drawn]
    figure = found.figures["tokens_per_word"]
    assert (figure.low, figure.high) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])))


def test_pairs_with_the_same_premise_are_resampled_together(tokenizer):
    rows = {"id": range(6), "label": [0] * 6, "second": ["reads", "book", "man", "car", "red", "a"]}
    alone = analyze(
        {"en": count_tokens(tokenizer, TASKS["xnli"], "en", rows | {"first": ["A red coat"] * 6})}
    )
    figure = alone.languages[0].figures["tokens_per_word"]
    assert (figure.low, figure.high) == (None, None)


def test_words_of_text_without_spaces_are_the_annotated_ones_or_not_counted(tokenizer):
    (pairs,) = analyze({"ja": count_tokens(tokenizer, TASKS["xnli"], "ja", rows_of("xnli", "ja"))}).languages
    assert "tokens_per_word" not in pairs.figures
    assert "characters_per_token" in pairs.figures
    rows = rows_of("pos", "ja")
    (tagged,) = analyze({"ja": count_tokens(tokenizer, TASKS["pos"], "ja", rows)}).languages
    assert tagged.figures["tokens_per_word"].value >= 1
    cut = {"id": ["0"], "tokens": [list("女の人が本を読んでいます")], "tags": [[0] * 12]}
    (characters,) = analyze({"ja": count_tokens(tokenizer, TASKS["ner"], "ja", cut)}).languages
    assert "tokens_per_word" not in characters.figures


def test_text_is_parallel_only_where_lengths_and_labels_say_so(tokenizer):
    def relation(change):
        rows = {code: rows_of("xnli", code, limit=200) for code in ("en", "de")}
        rows["de"] = change(rows["de"])
        counts = {
            code: count_tokens(tokenizer, TASKS["xnli"], code, of_code) for code, of_code in rows.items()
        }
        return analyze(counts).languages[1]

    assert relation(lambda rows: rows).parallel.holds
    shifted = relation(lambda rows: rows | {"id": rows["id"][1:] + rows["id"][:1]})  # a row was lost in front
    assert not shifted.parallel.holds
    assert shifted.parallel.lengths < 0.5
    assert "tokens_to_english" not in shifted.figures
    assert not relation(lambda rows: rows | {"label": rows["label"][::-1]}).parallel.holds
    assert relation(lambda rows: rows | {"id": [f"other-{each}" for each in rows["id"]]}).parallel.shared == 0


def test_correlations_are_scipys():
    rng = np.random.default_rng(5)
    codes = XNLI[1:]
    values, effects = (dict(zip(codes, rng.normal(size=len(codes)), strict=True)) for _ in range(2))
    found = correlate("xnli", "tokens_per_word", values, effects)
    x, y = list(values.values()), list(effects.values())
    assert found.plain.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.plain.languages == len(codes)


def residuals(column, controls):
    """What a regression of a column's ranks on an intercept and controls leaves."""
    ranks = stats.rankdata(column)
    design = np.column_stack([np.ones(len(ranks)), *controls])
    return ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]


def test_partial_correlations_are_those_of_residuals_of_ranks():
    rng = np.random.default_rng(6)
    codes = (
        "ru",
        "de",
        "es",
        "fr",
        "el",
        "bg",
        "hi",
        "fi",
        "et",
        "hu",
        "ar",
        "he",
        "sw",
        "yo",
        "id",
        "ms",
        "eu",
    )
    seen = [code for code in codes if language(code).tokens]
    values, effects = (dict(zip(seen, rng.normal(size=len(seen)), strict=True)) for _ in range(2))
    found = correlate("pos", "whole_words", values, effects)

    def obvious(chosen, by_family):
        tokens = stats.rankdata([language(code).tokens for code in chosen])
        families = [language(code).family for code in chosen]
        dummies = (
            [[float(family == name) for family in families] for name in set(families)] if by_family else []
        )
        controls = [tokens, *map(np.array, dummies)]
        left, right = (residuals([source[code] for code in chosen], controls) for source in (values, effects))
        return np.corrcoef(left, right)[0, 1]

    assert found.given_tokens.rho == pytest.approx(obvious(seen, by_family=False))
    families = [language(code).family for code in seen]
    related = [code for code in seen if families.count(language(code).family) > 1]
    assert 3 < len(related) < len(seen)
    assert found.given_tokens_and_family.rho == pytest.approx(obvious(related, by_family=True))
    assert found.given_tokens_and_family.languages == len(related)


def test_a_control_that_others_explain_changes_nothing():
    rng = np.random.default_rng(7)
    x, y, z = rng.normal(size=(3, 15))
    once, twice = rank_correlation(x, y, given=z), rank_correlation(x, y, given=[z, 2 * z])
    assert once.rho == pytest.approx(twice.rho)


def test_effects_over_all_tasks_know_which_languages_a_task_lacks():
    rows = [
        SimpleNamespace(task=task, language=code, estimate=SimpleNamespace(value=value))
        for task, of_task in {"xnli": {"de": 1.0, "sw": 3.0}, "pos": {"de": -4.0, "hi": 0.0}}.items()
        for code, value in {**of_task, "en": 50.0, "af": 9.0}.items()
    ]
    effects = language_effects(SimpleNamespace(differences=rows, trained_languages=("en",)))
    assert effects["xnli"] == {"de": 1.0, "sw": 3.0}
    # German ties the tasks: Swahili is 2 above it, Hindi 4.
    assert effects[ALL_TASKS] == pytest.approx({"de": -2.0, "sw": 0.0, "hi": 2.0})


def test_the_section_has_every_language_and_a_figure_for_each_measure(tokenizer):
    counts = {code: count_tokens(tokenizer, TASKS["pos"], code, rows_of("pos", code)) for code in LANGUAGES}
    study = compare(make_runs(languages=LANGUAGES, examples=100, task="pos"))
    analysis = analyze(counts, study)
    section = tokenization_section(analysis, model="tiny", text="pos", notes=["A note."])
    tables = [part for part in section.content if isinstance(part, Table)]
    images = [part for part in section.content if isinstance(part, Image)]
    assert [len(table.rows) for table in tables[:2]] == [len(LANGUAGES)] * 2
    assert tables[2].title.endswith("pos")
    assert all(f">{code}<" in images[0].svg or f"<!-- {code} -->" in images[0].svg for code in LANGUAGES[1:])
    without = tokenization_section(analyze(counts), model="tiny", text="pos", notes=[])
    assert not [part for part in without.content if isinstance(part, Table) and "correlation" in part.title]

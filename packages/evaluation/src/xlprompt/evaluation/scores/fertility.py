"""How finely a tokenizer cuts the words of a language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xlprompt.data.languages import UNSPACED_LANGUAGES
from xlprompt.data.tasks.task_type import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TOKENS_PER_WORD = "tokenization/tokens_per_word/"
"""What a metric is called that says how finely a test set is cut; a language code follows."""


def fertility(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], words: int) -> float:
    """Mean number of subtokens a word (Rust et al. 2021), in text as it is written.

    Args:
        tokenizer: Any fast tokenizer; the tokens that it adds around a text are not counted.
        texts: Running text, with spaces only where the language writes them.
        words: Number of words in all of it, punctuation marks among them.

    Raises:
        ValueError: There is no word.
    """
    if words < 1:
        raise ValueError("no word to count the subtokens of")
    return sum(map(len, tokenizer(list(texts), add_special_tokens=False).input_ids)) / words


def tokens_per_word(
    tokenizer: PreTrainedTokenizerFast, task: Task, language: str, examples: Mapping[str, Sequence[Any]]
) -> float | None:
    """Fertility on examples of a task's language.

    Words are the annotated ones where there are such, punctuation marks among them, and else what stands
    between spaces; so figures of tagging and of other tasks are not comparable.

    Args:
        tokenizer: As of `fertility`.
        task: The task.
        language: Its language's code.
        examples: Columns of examples, named as for data.encoding.encode.

    Returns:
        Subtokens a word; None for texts of a language that writes no spaces, and where there is no word.
    """
    unspaced = language in UNSPACED_LANGUAGES
    *columns, _ = task.columns
    if task.kind.by_word:
        (sentences,) = (examples[column] for column in columns)
        texts = [("" if unspaced else " ").join(words) for words in sentences]
        words = sum(map(len, sentences))
    else:
        texts = [text for column in columns for text in examples[column]]
        words = 0 if unspaced else sum(len(text.split()) for text in texts)
    return fertility(tokenizer, texts, words) if words else None

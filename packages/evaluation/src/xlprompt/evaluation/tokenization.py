"""How finely a tokenizer cuts the words of a language."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerFast


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

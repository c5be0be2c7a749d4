"""From text to token ids: subtokens of words, and cuts that are finer than the tokenizer's."""

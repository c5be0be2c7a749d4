"""The scoring part of bench.py: labels of test sets by xlprompt and by PEFT's PrefixTuning.

Ours read a beginning once that several texts share, as XNLI's three hypotheses of a premise do. PEFT reads
batches in the order of the examples, padded to their longest. Batches are made within the measured time.
"""

import time

import numpy as np
import torch
from common import Measurement, Setting, our_model, synchronize
from rivals import Precision, Rival, answers
from training import encoded, examples

from xlprompt.data import TASKS
from xlprompt.data.encoding.batches import shared_rows
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.sources import open_source
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation import predict
from xlprompt.models import PromptSettings, load_tokenizer
from xlprompt.training.machine.allocator import keep_freed_memory
from xlprompt.training.machine.environment import peak_memory_bytes

TOKENS = 4096  # a batch of ours, as in the recipes
RANDOM = "random"
"""In place of a folder: random ids with the lengths of XNLI's test pairs, no two of which begin alike."""

OURS, ALONE = "ours", "ours, each text by itself"
VARIANTS: dict[str, Precision | None] = {
    OURS: None,
    ALONE: None,
    "PEFT, autocast": "autocast",
    "PEFT, bfloat16": "bfloat16",
}
REFERENCES = ("PEFT, autocast", "PEFT, bfloat16")


def test_set(data: str, language: str, limit: int, tokenizer: str, setting: Setting, round_: int) -> Encoded:
    """A test set of XNLI, or random rows.

    Args:
        data: `random`, `mini` or a folder.
        language: Its code; of no meaning for random rows.
        limit: At most so many pairs of a test set; the three of a premise stand together.
        tokenizer: Of which model.
        setting: What is measured.
        round_: Random rows are others in each.
    """
    if data == RANDOM:
        return encoded(examples(setting, round_, "test"))
    pairs = open_source(data).load(TASKS["xnli"], language, "test")
    pairs = pairs.select(range(min(limit, len(pairs))))
    return encode(
        pairs, TASKS["xnli"], load_tokenizer(tokenizer), EncodingSettings(max_length=128), language=language
    )


def languages_of(data: str) -> list[str]:
    """The languages that have a test set of XNLI."""
    return list(open_source(data).languages(TASKS["xnli"], "test"))


def measure(
    variant: str,
    round_: int,
    setting: Setting,
    data: str,
    languages: tuple[str, ...],
    limit: int,
    tokenizer: str,
) -> Measurement:
    """One variant in one round, over all languages; runs in a process of its own."""
    keep_freed_memory()
    sets = [test_set(data, language, limit, tokenizer, setting, round_) for language in languages]
    precision, found, flops = VARIANTS[variant], [], 0
    seconds, lengths = 0.0, [length for each in sets for length in each.lengths.tolist()]
    if precision is None:
        ours = our_model(PromptSettings(length=setting.prompt_length), setting).eval()
        ours.backbone.reads_trees = ours.backbone.reads_trees and variant == OURS
        read = (
            lengths if variant == ALONE else [n for each in sets for n in shared_rows(each, TOKENS).lengths]
        )
        flops = ours.flops.forward(read)
    else:
        theirs = Rival(setting, "prefix", precision).eval()
    for number, each in enumerate(sets):
        rows = np.split(each.ragged("input_ids").values, np.cumsum(each.lengths)[:-1])
        for timed in (False, True) if number == 0 else (True,):  # the first texts warm up
            some = each if timed else encoded(rows[: setting.batch_size])
            started = time.perf_counter()
            if precision is None:
                predicted = predict(ours, some, token_budget=TOKENS, pad_id=1, device=setting.device)
                labels = [label for labels in predicted.labels for label in labels]
            else:
                kept = rows if timed else rows[: setting.batch_size]
                labels = answers(theirs, kept, setting.batch_size, setting.device)
            synchronize(setting.device)
            if timed:
                seconds += time.perf_counter() - started
                found += labels
    peak = peak_memory_bytes(torch.device(setting.device))
    return Measurement(seconds, sum(lengths), peak, flops, answers=tuple(map(int, found)))

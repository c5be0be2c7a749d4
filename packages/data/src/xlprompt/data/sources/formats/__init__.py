"""The file formats that a data folder may hold, one module each.

Each module has ``recognize``, which says what a file is from its name and first lines, and one or more
readers. A new format is a module and its lines here. The files of users' own tasks are read by `sources.own`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from xlprompt.data.sources.formats import belebele, conllu, jsonl, panx, pawsx, sib200, squad, xcopa, xnli
from xlprompt.data.sources.own import rows as own
from xlprompt.data.sources.parts import Candidate, Part, Recognition
from xlprompt.data.sources.rows import Outcome

__all__ = ["READERS", "RECOGNIZERS"]

# In this order: xnli.test.jsonl would otherwise pass for JSON Lines of a language "xnli", and a file that is
# recognized by its name alone comes after those that are recognized by content.
RECOGNIZERS: tuple[Callable[[Candidate], Recognition], ...] = (
    xnli.recognize,
    belebele.recognize,
    xcopa.recognize,
    jsonl.recognize,
    squad.recognize,
    sib200.recognize,
    pawsx.recognize,
    panx.recognize,
    conllu.recognize,
)

READERS: Mapping[str, Callable[[Part], Iterator[Outcome]]] = MappingProxyType(
    {
        "xnli-tsv": xnli.read_tsv,
        "xnli-jsonl": xnli.read_jsonl,
        "multinli-jsonl": xnli.read_multinli,
        "xnli-mt": xnli.read_machine_translation,
        "jsonl": jsonl.read,
        "pawsx-tsv": pawsx.read,
        "panx": panx.read,
        "conllu": conllu.read,
        "sib200-tsv": sib200.read,
        "xcopa-jsonl": xcopa.read_jsonl,
        "copa-xml": xcopa.read_xml,
        "squad-json": squad.read,
        **dict.fromkeys(("own-csv", "own-tsv", "own-jsonl", "own-parquet", "own-columns"), own.read),
    }
)

"""NER: persons, organizations and places in PAN-X (WikiANN), in XTREME's 40 languages.

Pan et al. 2017, in the balanced splits of Rahimi et al. 2019 (arXiv 1902.00193), as XTREME (arXiv 2003.11080)
has them; its card on the hub names no licence. Entities come from links in Wikipedia, so that many a
"sentence" is a title. Chinese and Japanese have a character where others have a word.
"""

from xlprompt.data.tasks.kinds.tagging import TAGGING
from xlprompt.data.tasks.task_type import HubTable, Task, words

NER = Task(
    name="ner",
    kind=TAGGING,
    version=1,
    fields=("tokens", "tags"),
    # In the order of the hub's ClassLabel.
    labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"),
    label_words=("other", "person", "surname", "organization", "company", "place", "area"),
    metrics=("f1", "precision", "recall", "accuracy"),
    languages=words(
        "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta "
        "te th tl tr ur vi yo zh"
    ),
    hub=HubTable("unimelb-nlp/wikiann", columns=("tokens", "ner_tags"), more_languages=("ca", "qu")),
)

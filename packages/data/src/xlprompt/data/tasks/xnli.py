"""XNLI: does a premise entail, contradict or leave open a hypothesis? In 15 languages.

Conneau et al. 2018 (arXiv 1809.05053); CC BY-NC 4.0, its English training text, MultiNLI, under OANC's and
other licences. The development and test sets are translated by people, the training sets by a machine.
"""

from xlprompt.data.tasks.kinds.classification import CLASSIFICATION
from xlprompt.data.tasks.task_type import HubTable, Task, words

XNLI = Task(
    name="xnli",
    kind=CLASSIFICATION,
    version=1,
    fields=("premise", "hypothesis", "label"),
    labels=("entailment", "neutral", "contradiction"),  # in the order of the hub's ClassLabel
    label_words=("yes", "maybe", "no"),
    metrics=("accuracy",),
    languages=words("ar bg de el en es fr hi ru sw th tr ur vi zh"),
    hub=HubTable("facebook/xnli"),
    aliases=(("contradictory", "contradiction"),),  # XNLI-MT's training sets
    no_label="-",  # annotators did not agree
)

"""PAWS-X: do two sentences of the same words say the same? In 7 languages.

Yang et al. 2019 (arXiv 1908.11828), translated from PAWS (Zhang, Baldridge and He 2019); free for any
purpose. A text that was not translated is empty, or "NS".
"""

from xlprompt.data.tasks.kinds.classification import CLASSIFICATION
from xlprompt.data.tasks.task_type import HubTable, Task

PAWSX = Task(
    name="pawsx",
    kind=CLASSIFICATION,
    version=1,
    fields=("sentence1", "sentence2", "label"),
    labels=("different", "paraphrase"),
    label_words=("no", "yes"),
    metrics=("accuracy",),
    languages=("de", "en", "es", "fr", "ja", "ko", "zh"),
    hub=HubTable("google-research-datasets/paws-x", row_id="id"),
    aliases=(("0", "different"), ("1", "paraphrase")),  # its labels are the numbers
    untranslated=("", "NS"),  # google-research-datasets/paws, issues 4 and 15
)

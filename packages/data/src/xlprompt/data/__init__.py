"""Tasks, languages and where their data come from, in one schema.

The names below are enough to load a task's examples. Turning examples into token ids and batches is done by
the modules `xlprompt.data.encoding.encode` and `xlprompt.data.encoding.batches`, imported by name because
they need torch.
"""

from xlprompt.data.errors import DataError
from xlprompt.data.languages import LANGUAGES, STUDY_LANGUAGES, Language, language
from xlprompt.data.sources import Source, open_source
from xlprompt.data.sources.check import FolderReport, Found, Problem, check_folder
from xlprompt.data.tasks import TASKS, task
from xlprompt.data.tasks.task_type import Task

__all__ = [
    "LANGUAGES",
    "STUDY_LANGUAGES",
    "TASKS",
    "DataError",
    "FolderReport",
    "Found",
    "Language",
    "Problem",
    "Source",
    "Task",
    "check_folder",
    "language",
    "open_source",
    "task",
]

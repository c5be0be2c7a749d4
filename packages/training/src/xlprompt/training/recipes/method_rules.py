"""Which method, head and task go together in a recipe."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.data import Task
from xlprompt.evaluation.zeroshot.templates import has_templates, tasks_with_templates
from xlprompt.models import AlignmentKind, HeadSettings, Method


def why_not(
    method: type[Method], head: HeadSettings, task: Task, aligned: Sequence[AlignmentKind]
) -> str | None:
    """What keeps them from going together and what to do, or None.

    Args:
        method: What trains.
        head: What reads the states.
        task: The task.
        aligned: Kinds of alignment that scores are wanted with.
    """
    if not method.is_trained:
        return _why_not_untrained(method, head, task, aligned)
    if head.kind == "verbalizer" and not task.label_words:
        return (
            f"head.kind 'verbalizer' has no words for task '{task.name}', whose answers are parts of its "
            "texts. Set head.kind to linear"
        )
    if head.kind == "verbalizer" and not method.needs_backward:
        return (
            f"method '{method.name}' with head.kind 'verbalizer' trains nothing. Set "
            "head.kind to linear, or take another method"
        )
    return None


def _why_not_untrained(
    method: type[Method], head: HeadSettings, task: Task, aligned: Sequence[AlignmentKind]
) -> str | None:
    if not has_templates(task.name):
        return (
            f"method '{method.name}' asks in lm-evaluation-harness's words, which has none for task "
            f"'{task.name}', only for {', '.join(tasks_with_templates())}. Take another method"
        )
    if head.kind != "linear":
        return f"method '{method.name}' has no head. Leave head.kind out, or take another method"
    if any(kind != "none" for kind in aligned):
        return (
            f"method '{method.name}' has no head whose states could be aligned. Set "
            "evaluation.alignment.kinds to [none]"
        )
    return None

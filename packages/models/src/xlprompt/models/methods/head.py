"""The head alone: the backbone computes what it computes, and nothing goes backward through it."""

from typing import ClassVar

from xlprompt.models.methods.method import Method


class HeadOnly(Method):
    """No settings; those of the head are `HeadSettings`."""

    name: ClassVar[str] = "head"
    trains: ClassVar[str] = "nothing"
    changes_backbone: ClassVar[bool] = False
    needs_backward: ClassVar[bool] = False

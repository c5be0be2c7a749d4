"""The untouched backbone, asked in words: nothing trains, and no head reads its states.

How it is asked is `xlprompt.evaluation.zeroshot`'s business.
"""

from typing import ClassVar, Literal

from pydantic import Field

from xlprompt.models.methods.method import Method


class ZeroShotSettings(Method):
    """Whose words the backbone is asked in."""

    name: ClassVar[str] = "zeroshot"
    trains: ClassVar[str] = "nothing, and there is no head"
    needs_backward: ClassVar[bool] = False
    is_trained: ClassVar[bool] = False

    words: Literal["mended", "harness"] = Field(
        "mended",
        description="'harness': lm-evaluation-harness's own words, for its figures. 'mended': its words, but "
        "for those of XNLI that say something else than the label",
    )

"""What goes in and out of a server as JSON; the OpenAPI document is made of it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from xlprompt.data import language as language_row
from xlprompt.models import short_name
from xlprompt.training.runs.predictions import Prediction
from xlprompt.training.serving.shelf import Served

_DIGITS = 6  # as in the JSON Lines of `xlprompt predict`

Text = str | list[str] | dict[str, str | list[str] | None]


class PredictRequest(BaseModel):
    """Examples of one language for one model."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"task": "xnli", "texts": [["Ein Mann schläft.", "Niemand schläft."]], "language": "de"}
            ]
        },
    )

    task: str = Field(description="a task's name where one model is of it; else a run's name or id")
    texts: list[Text] = Field(
        min_length=1,
        description="examples: a text where the task takes one; the list of its texts in their order, or an "
        "object by the names of its fields; of a sentence to tag the list of its words, or a text with "
        "spaces between them. An object may tell its language, too",
    )
    language: str | None = Field(None, description="their language, such as de; default: the one trained on")


class Answer(BaseModel):
    """What a model says of an example; where words are tagged, lists of one entry a word."""

    label: str | list[str] = Field(description="the likeliest label, or the part of the text that answers")
    probability: float | list[float] = Field(description="the likeliest label's")
    probabilities: dict[str, float] | list[dict[str, float]] = Field(description="of every label by its name")
    cut: bool = Field(description="whether the example was longer than the model reads")

    @classmethod
    def of(cls, prediction: Prediction) -> Answer:
        """A prediction, with numbers rounded."""
        one = {name: _rounded(getattr(prediction, name)) for name in ("probability", "probabilities")}
        # What we made need not be checked, which would take longer than making it.
        return cls.model_construct(label=prediction.label, cut=prediction.cut, **one)


class PredictResponse(BaseModel):
    """The answers, in the order of the texts."""

    task: str
    model: str = Field(description="the run's name")
    language: str = Field(description="what the texts were taken for")
    predictions: list[Answer]


class LanguageEntry(BaseModel):
    """A language of a task."""

    code: str
    name: str


class TaskEntry(BaseModel):
    """A model that is served."""

    name: str = Field(description="the run's name")
    run: str = Field(description="the run's id, or the checkpoint's folder")
    task: str
    fields: list[str] = Field(description="the texts that an example consists of")
    takes: str = Field(description="what is to be given for an example, in words")
    by_word: bool = Field(description="whether an example is a sentence whose words are tagged")
    labels: list[str] = Field(description="none where answers are parts of a text")
    method: str
    backbone: str
    trained_on: str = Field(description="the language that counts where none is given")
    languages: list[LanguageEntry] = Field(
        description="trained on, of the task, and scored; others are taken as well"
    )

    @classmethod
    def of(cls, served: Served) -> TaskEntry:
        """What is told of a model."""
        predictor, task = served.predictor, served.predictor.task
        return cls(
            name=served.name,
            run=served.run,
            task=task.name,
            fields=list(task.text_fields),
            takes=task.kind.typed_as(task),
            by_word=task.kind.by_word,
            labels=list(task.labels) if task.kind.labeled else [],
            method=predictor.recipe.method,
            backbone=short_name(predictor.recipe.model),
            trained_on=predictor.recipe.data.train_language,
            languages=[LanguageEntry(code=code, name=language_row(code).name) for code in served.languages],
        )


class Health(BaseModel):
    """Whether the server takes requests."""

    status: str
    models: int
    waiting: int = Field(description="requests in the queue")


class Reason(BaseModel):
    """Why a request was refused."""

    reason: str
    field: str | None = Field(description="where in the request, such as texts.3")


class Refusal(BaseModel):
    """The body of every answer that is an error."""

    error: Reason


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, dict):
        return {name: round(each, _DIGITS) for name, each in value.items()}
    return round(value, _DIGITS)

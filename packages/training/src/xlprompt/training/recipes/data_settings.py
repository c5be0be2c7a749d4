"""The part of a recipe that says which examples are used: where from, which languages, how many."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from xlprompt.data.sources import NAMED
from xlprompt.training.recipes.settings import Settings, each_once


class DataSettings(Settings):
    """Where the examples come from and how many of them are used."""

    source: str | None = Field(
        default=None,
        description="'mini' (bundled), 'hub', or a folder of data files. Costs nothing itself; 'hub' "
        "downloads on first use.",
    )
    train_language: str = Field(
        default="en", description="The language that is trained on and that chooses the checkpoint."
    )
    also_train_on: tuple[str, ...] = Field(
        default=(),
        description="Further languages to train on, such as [de, sw]. The training set stays as large as "
        "train_language's and is dealt out to all of them by the run's seed, so steps and time stay. No "
        "zero-shot figure counts them.",
    )
    language_exponent: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="With also_train_on: shares of the languages are in proportion to their pre-training "
        "tokens to this power. 0: all the same; 1: as in pre-training, where English is more than half. "
        "Each has one example at least.",
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="At most this many examples of each split and language, a fixed random subset. Saves "
        "encoding and evaluation time; scores get wider error bars.",
    )
    development_limit: int | None = Field(
        default=None,
        ge=1,
        description="At most this many development examples. Evaluation during training costs this many "
        "forward passes every `schedule.evaluate_every` steps.",
    )
    test_limit: int | None = Field(
        default=None,
        ge=1,
        description="At most this many test examples of each language, a fixed random subset. Scoring takes "
        "this many forward passes for each language; scores get wider error bars.",
    )
    languages: Literal["study"] | tuple[str, ...] | None = Field(
        default=None,
        description="Test languages: null for all that the source has, 'study' for those of the study's 20 "
        "that it has, or a list (each must be there). Evaluation time grows with their number.",
    )

    @field_validator("languages")
    @classmethod
    def _each_is_scored_once(cls, value: Any) -> Any:
        if isinstance(value, tuple):
            if not value:
                raise ValueError("name one language at least; null takes all that the source has")
            each_once(value)
        return value

    @property
    def train_languages(self) -> tuple[str, ...]:
        """All languages trained on, the one that chooses the checkpoint first."""
        return (self.train_language, *self.also_train_on)

    def limit_of(self, split: str) -> int | None:
        """At most how many examples of a split are used, of each language; None for all."""
        own = {"validation": self.development_limit, "test": self.test_limit}.get(split)
        return min((limit for limit in (self.limit, own) if limit is not None), default=None)

    @field_validator("source")
    @classmethod
    def _folder_is_named_from_the_root(cls, value: str | None) -> str | None:
        """A run knows where its data are, from whatever folder it is scored or resumed."""
        folder = os.path.expanduser(value or "")
        return os.path.abspath(folder) if value not in NAMED and os.path.isdir(folder) else value

    @model_validator(mode="after")
    def _languages_are_named_once(self) -> DataSettings:
        if len(set(self.train_languages)) < len(self.train_languages):
            raise ValueError(
                f"also_train_on names a language twice, or train_language ({self.train_language}) again: "
                f"{', '.join(self.also_train_on)}. Remove it"
            )
        if self.language_exponent and not self.also_train_on:
            raise ValueError(
                "language_exponent has the shares of one language to set. Name others in also_train_on, or "
                "leave it out"
            )
        return self


LIMITS = ("limit", "development_limit", "test_limit")
"""Keys of DataSettings; a limit that is given for a scoring alone stands in the place of each."""

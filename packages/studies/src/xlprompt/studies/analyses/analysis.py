"""What an analysis is, and the one list of them.

An analysis is a folder of four modules. `settings` has the class `Settings`: what can be asked, which the
command's options are made of. `measure` has the function `measure`: it reads the store, scores what is
missing and keeps the section. `findings` are numbers without text; `section` makes tables and figures of
them, and the rows in brief. `xlprompt analyze`, the report's chapters and the documents' tables name none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

if TYPE_CHECKING:
    from xlprompt.studies.reports.page import Section, Table
    from xlprompt.training.recipes.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """What an analysis has come to.

    Attributes:
        findings: Its numbers.
        values: The same as JSON holds it.
        sections: The same as tables and figures, as the report shows them.
        run_id: The MLflow run that keeps them; empty where there is none, or one for each model.
        done: How many scorings were made for it; what the store had is not made again.
        tables: What is shown on a terminal before the sections.
        notes: Sentences for whoever has asked, such as what was left out.
        out: Where in the folder of pages its page goes.
        exit_code: Of the command; above zero where something failed.
        answers: What they say, in sentences that stand before the tables.
    """

    findings: Any
    values: Any
    sections: Sequence[Section]
    run_id: str = ""
    done: int = 0
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    out: str = ""
    exit_code: int = 0
    answers: Sequence[str] = ()


@dataclass(frozen=True)
class Analysis:
    """An entry of the list.

    Attributes:
        name: Of the command.
        summary: What it does, in a line.
        package: The folder, as Python imports it; by default the one of its name here.
        out: Folder of its page where none is named.
    """

    name: str
    summary: str
    package: str = field(default="", kw_only=True)
    out: Path = field(default=Path("build/analysis"), kw_only=True)

    @property
    def settings(self) -> type[Settings]:
        """What can be asked; its text is the command's help."""
        found: type[Settings] = self._import("settings").Settings
        return found

    @property
    def measure(self) -> Callable[..., Outcome]:
        """Takes settings, `store` (the MLflow store's folder) and `console` (where progress goes)."""
        found: Callable[..., Outcome] = self._import("measure").measure
        return found

    def _import(self, module: str) -> Any:
        return import_module(f"{self.package or f'{__package__}.{self.name}'}.{module}")


def option(default: Any, text: str, *, above: int | None = None, **how: Any) -> Any:
    """A field of settings that is an option of the command.

    Args:
        default: Its value where it is not given; `...` where it must be, as a path in front of all options.
        text: Its help.
        above: What a number must be at least.
        how: `names` of the option where they are others than the field's; `metavar`; `choices` of a text;
            `multiple` where it may be given several times.
    """
    return Field(default, description=text, ge=above, json_schema_extra=how)


def published_option() -> Any:
    """The field `runs` of an analysis that reads published runs, too."""
    return option(
        (),
        "Also take in the published runs of this file, as if they were the store's, which may be empty; "
        "several times for several.",
    )


def in_part(asked: Mapping[str, Any]) -> str:
    """Say what alone was asked for, which keeps an outcome out of a whole one's place in reports.

    Args:
        asked: By option the one value or the several that it was limited to; nothing where it was not.

    Returns:
        Such as "tasks xnli, pos; limit 9"; empty where nothing was limited.
    """
    limited = {key: each if isinstance(each, list | tuple) else [each] for key, each in asked.items() if each}
    return "; ".join(f"{key} {', '.join(map(str, values))}" for key, values in limited.items())


ANALYSES = (
    Analysis("ablation", "Scores of a grid's variants, and their differences.", out=Path("build/ablations")),
    Analysis("alignment", "Gains by aligning languages without labels."),
    Analysis("tokenization", "How finely a tokenizer cuts each language, and what goes with it."),
    Analysis("learning", "How fast and how steadily each language is learned, from curves."),
    Analysis("signs", "What picks a learning rate without labels of the target languages."),
    Analysis("size", "How prompts and fine-tuning compare as a model grows."),
    Analysis("granularity", "Score both methods on text that is cut ever more finely."),
)

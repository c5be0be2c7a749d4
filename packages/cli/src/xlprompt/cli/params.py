"""`xlprompt params`: how many parameters a prompt trains, before anything is downloaded or trained.

The counting is done by `xlprompt.models.parameter_budget`; this file only prints it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from xlprompt.cli.options import json_option

if TYPE_CHECKING:
    from xlprompt.models import ParameterBudget

SCHEMES = ("layers", "input", "both", "hidden")


@click.command("params", short_help="Count the trainable parameters of a prompt.")
@click.option(
    "--model", default="facebook/xglm-564M", show_default=True, help="Known name, hub id or folder."
)
@click.option(
    "--task",
    "task_name",
    default="xnli",
    show_default=True,
    help="xnli, pawsx, ner or pos; its number of labels sets the size of the head.",
)
@click.option(
    "--prompt-length",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    help="Positions of the prompt.",
)
@click.option(
    "--scheme",
    type=click.Choice([*SCHEMES, "all"]),
    default="layers",
    show_default=True,
    help="layers: keys and values in every layer; input: embeddings in front of the text; "
    "both: these two; hidden: one vector a layer; all: compare them.",
)
@click.option(
    "--head",
    type=click.Choice(["linear", "verbalizer"]),
    default="linear",
    show_default=True,
    help="linear: a new matrix; verbalizer: the embeddings of label words.",
)
@json_option
def command(model: str, task_name: str, prompt_length: int, scheme: str, head: str, as_json: bool) -> None:
    """Count what a prompt trains, by part and as a share of the model.

    Needs no weights: the sizes of known models are built in, other models are read from their config.json.

    \b
    Examples:
      xlprompt params
      xlprompt params --model facebook/xglm-564M --prompt-length 15 --task xnli --json
      xlprompt params --model gemma-3-270m --task pos --scheme all
    """
    from xlprompt.data import task
    from xlprompt.models import HeadSettings, PromptSettings, parameter_budget

    num_labels = len(task(task_name).labels)
    budgets = [
        parameter_budget(
            model,
            num_labels=num_labels,
            prompt=PromptSettings.model_validate({"scheme": name, "length": prompt_length}),
            head=HeadSettings.model_validate({"kind": head}),
        )
        for name in (SCHEMES if scheme == "all" else (scheme,))
    ]
    if as_json:
        found = [budget.to_dict() for budget in budgets]
        click.echo(json.dumps(found if scheme == "all" else found[0], indent=2))
    else:
        _print_table(budgets, task_name)


def _print_table(budgets: list[ParameterBudget], task_name: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    first = budgets[0]
    title = f"{first.model}, {task_name}, prompt length {first.prompt_length}"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("parameters", no_wrap=True)
    for budget in budgets:
        table.add_column(budget.scheme or "none", justify="right", no_wrap=True)
    rows = {
        "backbone (frozen)": [f"{b.total_params:,}" for b in budgets],
        "  of it embedding": [f"{b.embedding_params:,}" for b in budgets],
        "prompt": [f"{b.prompt_params:,}" for b in budgets],
        "head": [f"{b.head_params:,}" for b in budgets],
        "trainable": [f"{b.trainable_params:,}" for b in budgets],
        "% of backbone": [f"{b.trainable_percent:.3f}" for b in budgets],
        "% without embedding": [f"{b.trainable_percent_no_embeddings:.3f}" for b in budgets],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    Console().print(table)

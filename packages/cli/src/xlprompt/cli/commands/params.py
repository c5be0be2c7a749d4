"""`xlprompt params`: how many parameters each method trains and what fits into memory, without weights.

The counting is done by `xlprompt.models` (`parameter_budget` and `state_memory`); this file only prints it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from xlprompt.cli.options import json_option
from xlprompt.cli.said import wait

if TYPE_CHECKING:
    from xlprompt.data import Task
    from xlprompt.models import HeadSettings, Method, ParameterBudget, PromptSettings, StateMemory
    from xlprompt.models.accounting.memory import EngineName, Offload

SCHEMES = ("layers", "input", "both", "hidden")

# Ways to fine-tune all weights: engine, ZeRO stage and what is offloaded to main memory.
FINETUNING: tuple[tuple[EngineName, int, Offload], ...] = (
    ("torch", 0, "none"),
    ("deepspeed", 0, "none"),
    ("deepspeed", 1, "none"),
    ("deepspeed", 2, "none"),
    ("deepspeed", 3, "none"),
    ("deepspeed", 3, "optimizer"),
    ("deepspeed", 3, "optimizer and parameters"),
)


@dataclass(frozen=True)
class Counted:
    """The budgets of a model: of each scheme of a prompt, of every other method, and why one is missing."""

    prompts: list[ParameterBudget]
    others: dict[str, ParameterBudget]
    refused: dict[str, str]


@dataclass(frozen=True)
class Way:
    """One way to train, and its memory by number of processes."""

    method: str
    scheme: str | None
    engine: str
    stage: int
    offload: str
    memory: dict[int, StateMemory]

    @property
    def title(self) -> str:
        """Its line of the table."""
        if self.scheme:
            return f"{self.method}, {self.scheme}"
        if not _trains_backbone(self.method):
            return self.method
        if self.engine == "torch":
            return f"{self.method}, torch"
        moved = {
            "none": "",
            "optimizer": ", optimizer offloaded",
            "optimizer and parameters": ", all offloaded",
        }
        return f"{self.method}, ZeRO {self.stage}{moved[self.offload]}"

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat record for each number of processes, in bytes."""
        setting = {name: value for name, value in vars(self).items() if name != "memory"}
        return [
            {**setting, "processes": number, **memory.to_dict()} for number, memory in self.memory.items()
        ]


def _trains_backbone(method: str) -> bool:
    from xlprompt.models import method_of

    return method_of(method).trains_backbone


def _parse_processes(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"expected numbers from 1 on, such as 1,2,4,8, got '{value}'")
    return tuple(dict.fromkeys(int(part) for part in parts))


@click.command("params", short_help="Count what trains and the memory it takes.")
@click.option(
    "--model",
    "models",
    default=["facebook/xglm-564M"],
    show_default=True,
    multiple=True,
    help="Known name, hub id or folder. May be given more than once.",
)
@click.option(
    "--task",
    "task_name",
    default="xnli",
    show_default=True,
    help="A task, such as xnli; its number of labels sets the size of the head. 'own' is the task that the "
    "data folder is.",
)
@click.option("--data", metavar="FOLDER", help="Folder of a task of your own.")
@click.option(
    "--prompt-length",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    help="Positions of the prompt: 15 as in experiments/paper; those of mini and gemma have 16.",
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
    "--prompt-layers",
    default="all",
    show_default=True,
    metavar="all|N|LIST",
    help="Layers with keys and values: the N last, or a list from 1, such as [1,2]; schemes layers and both.",
)
@click.option(
    "--head",
    type=click.Choice(["linear", "verbalizer"]),
    default="linear",
    show_default=True,
    help="linear: a new matrix; verbalizer: the embeddings of label words.",
)
@click.option(
    "--lora-rank", type=click.IntRange(min=1), default=8, show_default=True, help="Rank of LoRA's matrices."
)
@click.option(
    "--adapter-width",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Inner states of each adapter.",
)
@click.option(
    "--processes",
    callback=_parse_processes,
    default="1,2,4,8",
    show_default=True,
    metavar="NUMBERS",
    help="Processes, one a device, to tell the memory for.",
)
@click.option(
    "--freeze-embeddings",
    is_flag=True,
    help="Memory of fine-tuning everything but the input embedding (finetune.train_embeddings: false).",
)
@json_option
def command(
    models: tuple[str, ...],
    task_name: str,
    data: str | None,
    prompt_length: int,
    scheme: str,
    prompt_layers: str,
    head: str,
    lora_rank: int,
    adapter_width: int,
    processes: tuple[int, ...],
    freeze_embeddings: bool,
    as_json: bool,
) -> None:
    """Count what each method trains, and the memory that it takes.

    The first table has the parameters that train and their share of the model. The second has the memory of
    weights, gradients and optimizer state that each process takes of its device, with the backbone in
    bfloat16. Activations, which schedule.token_budget bounds, and DeepSpeed's buffers come on top. What is
    offloaded lies in main memory instead.

    Needs no weights: the sizes of known models are built in, other models are read from their config.json.

    \b
    Examples:
      xlprompt params
      xlprompt params --model facebook/xglm-564M --prompt-length 15 --task xnli --json
      xlprompt params --model gemma-3-270m --task pos --scheme all
      xlprompt params --task own --data topics
      xlprompt params --model xglm-1.7B --model xglm-7.5B --processes 1,8,16
    """
    from xlprompt.models import (
        KNOWN_MODELS,
        METHODS,
        HeadSettings,
        PromptSettings,
        canonical_name,
        method_of,
        require_model,
    )
    from xlprompt.training.recipes.files import parse_value

    of_task = _task(task_name, data)
    num_labels = of_task.kind.head_width(of_task)
    prompts = []
    for name in SCHEMES if scheme == "all" else (scheme,):
        values = {"scheme": name, "length": prompt_length, "layers": parse_value(prompt_layers)}
        try:
            prompts.append(PromptSettings.model_validate(values))
        except ValueError as error:  # pydantic's, of which the last line but one says what is wrong
            reason = str(error).splitlines()[-2].split(" [type=")[0].strip().removeprefix("Value error, ")
            raise click.BadParameter(f"{prompt_layers}: {reason}", param_hint="--prompt-layers") from error
    given: dict[str, dict[str, Any]] = {
        "lora": {"rank": lora_rank},
        "adapter": {"width": adapter_width},
        "finetune": {"train_embeddings": not freeze_embeddings},
    }
    names = sorted((name for name in METHODS if name != PromptSettings.name), key=_trains_backbone)
    others = [method_of(name).model_validate(given.get(name, {})) for name in names]
    for model in models:
        if canonical_name(model) not in KNOWN_MODELS:
            require_model(model, weights=False)
    found: list[dict[str, Any]] = []
    for model in models:
        with wait(f"Counting the parameters of {model}"):
            counted = _count(model, num_labels, HeadSettings.model_validate({"kind": head}), prompts, others)
        ways = _ways(counted, processes)
        if as_json:
            shared = [record for way in ways[len(prompts) :] for record in way.to_dicts()]
            methods = {name: budget.to_dict() for name, budget in counted.others.items()}
            for budget, way in zip(counted.prompts, ways, strict=False):
                memory = [*way.to_dicts(), *shared]
                found.append(
                    {**budget.to_dict(), "methods": methods, "refused": counted.refused, "memory": memory}
                )
        else:
            _print_table(counted, of_task.name)
            _print_memory(ways, processes, freeze_embeddings)
    if as_json:
        click.echo(json.dumps(found if len(found) > 1 else found[0], indent=2))


def _task(name: str, folder: str | None) -> Task:
    """The task that is meant: a bundled one, or the one that the folder is."""
    from xlprompt.data import task
    from xlprompt.data.sources import FolderSource, open_source
    from xlprompt.data.tasks.own import OWN

    if folder is None:
        if name == OWN:
            raise click.UsageError(f"--task {OWN} is the task that a data folder is. Give one with --data")
        return task(name)
    source = open_source(folder)
    own = source.own if isinstance(source, FolderSource) else None
    if own is not None and name in (OWN, own.name):
        return own
    if own is None and name == OWN:
        raise click.UsageError(
            f"--task {OWN} is the task that a data folder is, and {source.name} is no folder of an own task. "
            "Give one with --data, or name the task"
        )
    raise click.UsageError(f"--data is the folder of a task of your own: leave it out, or add --task {OWN}")


def _count(
    model: str,
    num_labels: int,
    head: HeadSettings,
    prompts: list[PromptSettings],
    others: list[Method],
) -> Counted:
    """The budget of each prompt and of every other method."""
    from xlprompt.models import ModelError, parameter_budget

    prompted = [parameter_budget(model, num_labels=num_labels, method=one, head=head) for one in prompts]
    budgets, refused = {}, {}
    for method in others:
        try:
            budgets[method.name] = parameter_budget(model, num_labels=num_labels, method=method, head=head)
        except ModelError as error:
            refused[method.name] = str(error)
    return Counted(prompted, budgets, refused)


def _ways(counted: Counted, processes: tuple[int, ...]) -> list[Way]:
    """Each prompt, the other light methods, then the ways to fine-tune."""
    from xlprompt.models import state_memory

    ways = []
    for name, budget in [*(("prompt", one) for one in counted.prompts), *counted.others.items()]:
        for engine, stage, offload in FINETUNING if _trains_backbone(name) else FINETUNING[:1]:
            memory = {
                number: state_memory(budget, engine=engine, stage=stage, offload=offload, processes=number)
                for number in processes
            }
            ways.append(Way(name, budget.scheme, engine, stage, offload, memory))
    return ways


def _print_memory(ways: list[Way], processes: tuple[int, ...], freeze_embeddings: bool) -> None:
    from rich import box
    from rich.table import Table

    from xlprompt.evaluation.fitted_table import show_table
    from xlprompt.evaluation.terminal import open_console

    table = Table(
        title="Memory of weights, gradients and optimizer, GiB per process\n(activations not counted"
        + ("; the embedding is not fine-tuned)" if freeze_embeddings else ")"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("processes", no_wrap=True)
    for number in processes:
        table.add_column(str(number), justify="right", no_wrap=True)
    for way in ways:
        memory = [way.memory[number] for number in processes]
        table.add_row(way.title, *(f"{one.total / 2**30:.2f}" for one in memory))
        if way.offload != "none":
            table.add_row("  in main memory", *(f"{one.host / 2**30:.2f}" for one in memory), style="dim")
    show_table(open_console(), table)


def _print_table(counted: Counted, task_name: str) -> None:
    from rich import box
    from rich.table import Table

    from xlprompt.evaluation.fitted_table import show_table
    from xlprompt.evaluation.terminal import open_console

    first = counted.prompts[0]
    table = Table(
        title=f"{first.model}, {task_name}: what trains\n{first.total_params:,} parameters, "
        f"{first.embedding_params:,} of them in the embedding",
        caption=f"The head has {first.head_params:,} parameters, the prompt length {first.prompt_length}.",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("method", no_wrap=True)
    for header in ("beside\nthe head", "with it", "% of\nmodel", "% without\nembedding"):
        table.add_column(header, justify="right", no_wrap=True)
    rows = [(f"prompt, {budget.scheme}", budget) for budget in counted.prompts]
    for name, budget in [*rows, *counted.others.items()]:
        table.add_row(
            name,
            f"{budget.trainable_params - budget.head_params:,}",
            f"{budget.trainable_params:,}",
            f"{budget.trainable_percent:.3f}",
            f"{budget.trainable_percent_no_embeddings:.3f}",
        )
    console = open_console()
    show_table(console, table)
    for name, reason in counted.refused.items():
        console.print(f"{name}: {reason}", highlight=False)

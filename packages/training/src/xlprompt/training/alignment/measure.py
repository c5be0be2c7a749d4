"""The alignments that a run or an evaluation asks for: kept beside the checkpoint, or measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from xlprompt.evaluation.processes import Processes
from xlprompt.models import AlignmentSettings, TaskModel
from xlprompt.training.alignment.files import load_alignment, save_alignment
from xlprompt.training.alignment.moments import Alignment, find_text, measure
from xlprompt.training.inputs.preparation import Setup


def measure_alignments(
    setup: Setup,
    model: TaskModel,
    languages: Sequence[str],
    console: Console,
    wanted: Sequence[AlignmentSettings],
    checkpoint: Path | None,
) -> tuple[Alignment, ...]:
    """The moments that the wanted alignments need; those beside the checkpoint are used.

    Those of the last one wanted, which is what counts, are kept there.

    Args:
        setup: The run's.
        model: The trained model.
        languages: The languages that will be scored.
        console: Where it is said what cannot be aligned.
        wanted: Sentences and layers.
        checkpoint: The model's checkpoint folder; None in a process that does not write.

    Raises:
        CheckpointError: The moments beside the checkpoint are damaged or another's.
    """
    measured: list[Alignment] = []
    for settings in wanted:
        if set(settings.kinds) == {"none"}:
            continue
        console.print(
            f"Alignment: up to {settings.sentences} unlabelled sentences of a language, at "
            f"{'the head' if settings.layer is None else f'layer {settings.layer}'}",
            highlight=False,
        )
        stored = _known(checkpoint, settings, setup.processes)
        alignment = measure(setup, model, languages, settings, stored=stored, others=measured)
        if alignment is None:
            console.print(
                f"No alignment: {setup.source.name} has no {setup.task.name} text of "
                f"'{setup.recipe.data.train_language}' besides the test set, or too little",
                highlight=False,
                markup=False,
            )
            return ()
        measured.append(alignment)
    if short := _too_short(setup, measured, languages):
        console.print(
            f"Too little text to align by, read at one place besides the test set: {', '.join(short)}",
            highlight=False,
        )
    if checkpoint and measured and (stored is None or stored.texts != measured[-1].texts):
        _keep(checkpoint, measured[-1], console)
    return tuple(measured)


def _too_short(setup: Setup, measured: Sequence[Alignment], languages: Sequence[str]) -> list[str]:
    """The languages that have text, and too little of it for the last of the alignments."""
    return [
        code
        for each in measured[-1:]
        for code in each.without_text(languages)
        if find_text(setup, code, each.sentences) is not None
    ]


def _known(checkpoint: Path | None, settings: AlignmentSettings, processes: Processes) -> Alignment | None:
    """The moments beside the checkpoint, if each process sees them: all of them measure, or none does."""
    stored = load_alignment(checkpoint, settings.sentences, settings.layer) if checkpoint else None
    return None if processes.largest(float(stored is None)) else stored


def _keep(checkpoint: Path, alignment: Alignment, console: Console) -> None:
    try:
        path = save_alignment(checkpoint, alignment)
    except OSError as error:  # someone else's store: scores are what was asked for
        console.print(
            f"The moments are not kept beside the checkpoint ({error})", highlight=False, markup=False
        )
        return
    console.print(
        f"Kept beside the checkpoint: {path.name}, {path.stat().st_size / 2**20:.1f} MiB",
        highlight=False,
    )

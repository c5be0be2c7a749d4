"""Figures that a run could not send before it ended: a file beside the store, until the run is resumed."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mlflow.entities import Metric

from xlprompt.data.whole_files import write_whole

_log = logging.getLogger(__name__)


def leave_unsent(file: Path, metrics: Sequence[Metric]) -> None:
    """Write figures that could not be sent to a file, where there are any."""
    if not metrics:
        return
    text = json.dumps([metric.to_dictionary() for metric in metrics])
    try:
        write_whole(file, text)
    except OSError as error:
        _log.warning("The run's last %d figures are lost (%s)", len(metrics), error)
        return
    _log.warning(
        "The run's last %d figures are in %s; they are sent when the run is resumed", len(metrics), file
    )


def read_unsent(file: Path) -> list[Metric]:
    """What an earlier process could not send."""
    if not file.is_file():
        return []
    return [Metric.from_dictionary(entry) for entry in json.loads(file.read_text(encoding="utf-8"))]


def every_second_point(metrics: list[Metric]) -> list[Metric]:
    """Halve each curve, keeping its last point; a figure that was logged once is kept."""
    kept: list[Metric] = []
    seen: Counter[str] = Counter()
    for metric in reversed(metrics):
        if seen[metric.key] % 2 == 0:
            kept.append(metric)
        seen[metric.key] += 1
    return kept[::-1]

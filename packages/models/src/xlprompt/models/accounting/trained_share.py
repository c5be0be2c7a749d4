"""The trained share, wherever it is told: what trains in percent of the backbone's parameters.

This is how the paper's 0.13 % is counted: 737,280 numbers of a prompt beside XGLM-564M's 564,463,616. What is
added, head included, counts as trained and does not count as the backbone's.
"""

from collections.abc import Mapping


def trained_share(trainable_params: int, total_params: int) -> float:
    """What trains in percent of the backbone's parameters.

    Args:
        trainable_params: What trains, head included.
        total_params: The backbone's.

    Returns:
        At most 100: where the whole backbone trains, what is added to it makes no more than all.
    """
    return min(100 * trainable_params / total_params, 100.0)


def share_of_run(params: Mapping[str, str]) -> float | None:
    """The trained share of a stored run, by its parameters in MLflow; None where they do not say it.

    Counts go first. `trainable_percent` is rounded, and runs of earlier versions have it of backbone and
    additions together.
    """
    total, trains = params.get("total_params"), params.get("trainable_params")
    if trains is not None and total is not None and int(total):
        return trained_share(int(trains), int(total))
    return float(params["trainable_percent"]) if "trainable_percent" in params else None

"""Where a model lies: what a name stands for, and the fingerprint of the weights there.

Both are told without loading the model. One that is built on this machine is built at its first use.
"""

from __future__ import annotations

from pathlib import Path

from xlprompt.models.errors import ModelError
from xlprompt.models.fingerprint import weights_fingerprint
from xlprompt.models.known import GEMMA, NANO, NANO_BALANCED, canonical_name


def locate(name: str) -> str:
    """Turn a model name into what transformers loads: a folder or a hub id.

    Raises:
        ModelError: `name` looks like a path, but no folder with a `config.json` lies there.
    """
    if name == GEMMA:
        from xlprompt.models.gemma import ensure_gemma

        return str(ensure_gemma())
    if name in (NANO, NANO_BALANCED):
        from xlprompt.models.nano import nano_folder

        return str(nano_folder(name))
    name = canonical_name(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{folder}: no config.json; give a folder that save_pretrained wrote, or a hub id"
            )
        return str(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"{name}: no such model folder; give a folder that save_pretrained wrote, or a hub id"
        )
    return name


def backbone_fingerprint(name: str) -> str | None:
    """A backbone's fingerprint without loading it; None where its weights are not on this machine yet.

    Raises:
        ModelError: A folder is named, and no model lies there.
    """
    if name == GEMMA:
        from xlprompt.models.gemma import gemma_folder

        if not (gemma_folder() / "config.json").is_file():
            return None
    location = locate(name)
    try:
        return weights_fingerprint(location)
    except (ModelError, OSError):  # transformers' word for a hub model that was never downloaded
        if Path(location).is_dir():
            raise
        return None

"""Where an adapter of PEFT lies, told without torch."""

from __future__ import annotations

from pathlib import Path

from xlprompt.models.errors import ModelError

CONFIG_FILE = "adapter_config.json"


def is_peft_folder(folder: Path) -> bool:
    """Whether an adapter of PEFT lies in a folder."""
    return (folder / CONFIG_FILE).is_file()


def require_adapter(folder: Path) -> None:
    """Refuse a folder in which no adapter lies.

    Raises:
        ModelError: None does.
    """
    if not is_peft_folder(folder):
        raise ModelError(f"{folder}: no {CONFIG_FILE}; give the folder that PEFT's save_pretrained wrote")

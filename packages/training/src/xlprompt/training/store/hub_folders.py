"""A folder that people name: on this machine, or a repository of the Hugging Face hub and its snapshot."""

from __future__ import annotations

import os
from pathlib import Path

from xlprompt.training.errors import CheckpointError

_SECONDS = 5.0  # to wait for the hub's answer
_NOT_READ = ["*.bin", "*.pt", "*.pkl", "*.py"]


def is_hub_id(name: str) -> bool:
    """Whether a name can be that of a repository, `owner/name`, and is that of nothing on this machine."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if os.path.lexists(os.path.expanduser(name)) or name.startswith((".", "~", "/")) or name.count("/") != 1:
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def goes_to_hub(destination: str) -> bool:
    """Whether a destination is a repository: `owner/name`, where there is no folder `owner` here."""
    return is_hub_id(destination) and not os.path.isdir(destination.partition("/")[0])


def local_copy(name: str) -> Path:
    """The folder of this name, or the snapshot of the repository of this name, brought here where it is not.

    What is here already is used where the hub can't be reached.

    Raises:
        CheckpointError: There is no such repository, or it can't be reached and is not here.
    """
    if not is_hub_id(name):
        return Path(os.path.expanduser(name))
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    reachable, reason = False, "it is not on this machine"
    try:
        HfApi().repo_info(name, timeout=_SECONDS)  # asked once; the downloads ask again for a minute
        reachable = True
    except GatedRepoError:
        reason = "the hub gives it to those who have asked; ask on its page, then run: hf auth login"
    except RepositoryNotFoundError:
        reason = "there is no such repository on the hub (or it is private: hf auth login)"
    except Exception as error:  # the hub's client, its HTTP library and the resolver each raise their own
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        reason = f"it is not on this machine, and the hub can't be reached ({said})"
    try:
        return Path(snapshot_download(name, local_files_only=not reachable, ignore_patterns=_NOT_READ))
    except LocalEntryNotFoundError as error:
        raise CheckpointError(f"{name}: no such folder here, and as a hub id: {reason}") from error

"""Where a model lies: what a name stands for.

It is told without loading the model. One that is built on this machine is built at its first use.
"""

from __future__ import annotations

import difflib
import os
from functools import lru_cache
from pathlib import Path

from xlprompt.models.errors import ModelError
from xlprompt.models.pretrained.files import read_json, weight_files
from xlprompt.models.pretrained.known import (
    BUILT_HERE,
    KNOWN_MODELS,
    NANO,
    PACKAGED,
    canonical_name,
)

_HUB_SECONDS = 5.0  # for one question; the hub's client asks again for a minute


def locate(name: str) -> str:
    """Turn a model name into what transformers loads: a folder or a hub id.

    Raises:
        ModelError: `name` looks like a path, but no folder with a `config.json` lies there; or it is no name
            that a hub can have.
    """
    if name in PACKAGED:
        from xlprompt.models.pretrained.packaged import ensure_packaged

        return str(ensure_packaged(name))
    if name in BUILT_HERE:
        from xlprompt.models.pretrained.nano import nano_folder

        return str(nano_folder(name))
    name = canonical_name(name)
    folder = Path(os.path.expanduser(name))
    if os.path.isdir(folder):  # unlike pathlib's, it finds no folder under a name that none can have
        _require_model(folder)
        return str(folder)
    if os.path.exists(folder):
        raise ModelError(f"{folder}: a file; give the folder that it lies in")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"{name}: no such model folder{_near(name)}; give a folder that save_pretrained wrote, or a hub "
            "id"
        )
    return name


def absolute_name(name: str) -> str:
    """A model folder's name from the root on, which holds from any folder; other names stay as they are."""
    if canonical_name(name) in (*BUILT_HERE, *KNOWN_MODELS):
        return name
    folder = os.path.expanduser(name)
    return os.path.abspath(folder) if os.path.isdir(folder) else name


def require_model(name: str, *, weights: bool = True) -> None:
    """Refuse a name behind which no model lies, by the files that are there and without reading weights.

    A model that is made on this machine is taken to be there: it is made when it is needed.

    Args:
        name: As `locate` takes it.
        weights: False where the configuration is enough.

    Raises:
        ModelError: As `locate` and `local_only`; or the folder's configuration or weights are not whole.
    """
    if name in PACKAGED:
        return
    location = locate(name)
    if not local_only(location):
        return
    folder = Path(location)
    if os.path.isdir(location):
        read_json(folder / "config.json")
        if weights:
            weight_files(folder)


def local_folder(location: str, revision: str | None = None) -> Path:
    """The folder with a model's files: of a hub id the snapshot on this machine.

    Raises:
        ModelError: It has not been downloaded.
    """
    if os.path.isdir(location):
        return Path(location)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(location, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise ModelError(f"{location}: is not on this machine") from error


def local_only(location: str) -> bool:
    """Whether transformers must not ask the hub: for a folder, and for what is here while no hub answers.

    Raises:
        ModelError: It is neither here nor on the hub; or it is not here, and the hub can't be asked.
    """
    return os.path.isdir(location) or not _on_hub(location)


@lru_cache
def _on_hub(name: str) -> bool:
    """Ask the hub for a model once, in seconds; False where it does not answer and the model is here."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        here = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError as error:
        raise ModelError(
            f"{name}: can't be loaded: neither a folder nor a name that a hub model can have"
        ) from error
    try:
        HfApi().model_info(name, timeout=_HUB_SECONDS)
        return True
    except GatedRepoError:
        if here:
            return False
        raise ModelError(
            f"{name}: the hub gives it to those who have asked; ask on its page, then run: hf auth login"
        ) from None
    except RepositoryNotFoundError:
        reason = "there is no such model on the hub (or it is private), and no such folder here"
    except OfflineModeIsEnabled:
        reason = "not on this machine, and HF_HUB_OFFLINE forbids to ask the hub"
    except Exception as error:  # the hub's client, its HTTP library and the resolver each raise their own
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        reason = f"not on this machine, and the hub can't be reached ({said})"
    if here:
        return False
    raise ModelError(
        f"{name}: can't be loaded: {reason}{_near(name)}. Give a folder in transformers' format, a hub id, "
        f"{', '.join((NANO, *PACKAGED[:-1]))} or {PACKAGED[-1]}; a path is relative to the folder that the "
        "command runs in"
    )


def _require_model(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json; give a folder that save_pretrained wrote, or a hub id")
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder}: an adapter of PEFT around another model; merge it (merge_and_unload) and save that"
        )


def _near(name: str) -> str:
    """Advice: a known name, or a folder beside, that differs from this one by a slip of the hand."""
    short = {known.rpartition("/")[2].lower(): known for known in (*KNOWN_MODELS, *BUILT_HERE)}
    asked = Path(os.path.expanduser(name))
    near = [short[each] for each in difflib.get_close_matches(asked.name.lower(), short, n=1, cutoff=0.75)]
    near = [each for each in near if each != name]  # a known model that is not on this machine
    if os.path.isdir(asked.parent):
        beside = [path.name for path in asked.parent.iterdir() if (path / "config.json").is_file()]
        near += [str(asked.parent / each) for each in difflib.get_close_matches(asked.name, beside, n=1)]
    return f" (did you mean {' or '.join(near)}?)" if near else ""

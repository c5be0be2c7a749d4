"""A checkpoint with its recipe and card, in a folder or a repository of the Hugging Face hub.

The folder is a checkpoint's: `predict` and `evaluate` take it by its path, or by the repository's name. All
of it is made here, offline; the hub only gets what is ready.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from xlprompt.data.whole_files import write_through
from xlprompt.models.pretrained.files import tokenizer_files
from xlprompt.training.alignment.files import alignment_path, kept_alignments
from xlprompt.training.errors import RunError
from xlprompt.training.exchange.model_card import model_card
from xlprompt.training.exchange.new_folders import new_folder
from xlprompt.training.exchange.run_facts import StoredFacts, facts_of_model
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict
from xlprompt.training.store.checkpoint import HEAD_FILE, METADATA_FILE, WEIGHTS_FILE, Checkpoint
from xlprompt.training.store.find import find_checkpoint
from xlprompt.training.store.hub_folders import goes_to_hub
from xlprompt.training.store.recipe_file import RECIPE_FILE, as_yaml

_OF_OURS = (METADATA_FILE, RECIPE_FILE)  # what only a push of ours leaves
_OF_THE_HUB = frozenset({".gitattributes", "README.md"})  # what a repository is made with


@dataclass(frozen=True)
class Pushed:
    """Where a checkpoint went.

    Attributes:
        place: The folder, or the repository's address.
        notes: What has to be known of it, in sentences.
    """

    place: str
    notes: tuple[str, ...]


def push(checkpoint: str | Path, destination: str, *, store: Path, public: bool = False) -> Pushed:
    """Write a checkpoint with recipe and card to a folder, or to a repository of the hub.

    Args:
        checkpoint: As `find_checkpoint` takes it.
        destination: A folder, replaced if it was pushed to before; or a hub id, whose repository is made
            where there is none, and whose files are replaced where an earlier push left them.
        store: Folder of the MLflow store.
        public: Whether a repository that is made is for everyone.

    Raises:
        CheckpointError, TrackingError: The checkpoint cannot be found or used.
        RunError: Something else is in the folder's or repository's place, or the hub refuses.
    """
    found, model_id = find_checkpoint(checkpoint, store)
    recipe = recipe_from_dict(dict(found.metadata.recipe), origin=str(found.directory))
    facts = facts_of_model(store, model_id)
    notes = _notes(recipe, facts)
    if not goes_to_hub(destination):
        folder = Path(os.path.expanduser(destination)).absolute()
        if folder == found.directory.absolute():
            raise RunError(f"{folder}: is the checkpoint itself. Name another folder")
        with new_folder(folder, of_ours=_OF_OURS) as new:
            _write(new, found, recipe, facts, place=folder.name)
        return Pushed(str(folder), notes)
    with tempfile.TemporaryDirectory() as temporary:
        _write(Path(temporary), found, recipe, facts, place=destination)
        return Pushed(_uploaded(Path(temporary), destination, public=public), notes)


def _write(new: Path, checkpoint: Checkpoint, recipe: Recipe, facts: StoredFacts, *, place: str) -> None:
    for path in _files(checkpoint, recipe):
        shutil.copyfile(path, new / path.name)
    write_through(new / RECIPE_FILE, as_yaml(recipe).encode())
    card = model_card(checkpoint.metadata, recipe, facts, place=place)
    write_through(new / "README.md", card.encode())


def _files(checkpoint: Checkpoint, recipe: Recipe) -> list[Path]:
    """The checkpoint's own files, and the moments for alignment that lie beside them; no others."""
    folder = checkpoint.directory
    files = [folder / name for name in (METADATA_FILE, WEIGHTS_FILE, HEAD_FILE)]
    files += [alignment_path(folder, sentences, layer) for layer, sentences in kept_alignments(folder)]
    if recipe.method_settings.trains_backbone:
        files += [folder / "config.json", *tokenizer_files(folder)]
    return [path for path in files if path.is_file()]


def _notes(recipe: Recipe, facts: StoredFacts) -> tuple[str, ...]:
    notes = []
    if facts.report is None:
        notes.append("No test scores are in the card: the store has none of this checkpoint's run.")
    for key, value in (("model", recipe.model), ("data.source", recipe.data.source)):
        if value and os.path.isabs(value):
            notes.append(f"recipe.yaml and checkpoint.json name a folder of this machine ({key}: {value}).")
    return tuple(notes)


def _uploaded(folder: Path, repository: str, *, public: bool) -> str:
    from huggingface_hub import HfApi

    client = HfApi()
    try:
        address = client.create_repo(repository, private=not public, exist_ok=True)
        there = {path for path in client.list_repo_files(repository) if path not in _OF_THE_HUB}
        foreign = there if not there.issuperset(_OF_OURS) else {path for path in there if "/" in path}
        if not foreign:
            client.upload_folder(
                repo_id=repository,
                folder_path=folder,
                commit_message="Checkpoint, recipe and card by xlprompt",
                delete_patterns=sorted(there),  # of an earlier push, which this one may not have
            )
    except Exception as error:  # the hub's client, its HTTP library and the resolver each raise their own
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(
            f"{repository}: the hub did not take it ({said}). Log in with the right to write there (hf auth "
            "login), or push to a folder (./NAME) and bring that to the hub later (hf upload)"
        ) from error
    if foreign:
        raise RunError(
            f"{repository}: there is something else in it ({', '.join(sorted(foreign)[:3])}). Name another "
            "repository"
        )
    return str(address)

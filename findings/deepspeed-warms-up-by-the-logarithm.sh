#!/usr/bin/env bash
# deepspeed 0.19.8 with torch 2.13.0 on a CPU: WarmupLR, WarmupDecayLR and WarmupCosineLR rise by the logarithm, after two
# steps at zero.
#
# Expected: "warmup" as in transformers, PyTorch and the papers: the rate rises in a straight line and is at a tenth of it
# after a tenth of the warm-up.
# What happens: warmup_type is "log" unless one says "linear". After a tenth of the warm-up the rate is at half, after a
# quarter at 70 %. And the first two steps have the rate 0, by either type.
# Whom it hurts: who compares runs of a DeepSpeed configuration with runs of another trainer "at the same schedule". Full
# fine-tuning with the steep beginning can diverge where the straight line does not, and of a study with few steps two are
# none.
#
# Seen:
#   rate at steps 0, 1, 2, 10, 50, 100 of 100: 0.00, 0.00, 0.15, 0.50, 0.85, 1.00
#   the same with "linear": 0.00, 0.00, 0.01, 0.09, 0.49, 0.99
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 deepspeed==0.19.8
cd "$work"
DS_ACCELERATOR=cpu "$work/venv/bin/python" - <<'PYTHON' 2>&1 | grep -E '^rate|^the same|no longer so'
import torch
from deepspeed.runtime.lr_schedules import WarmupCosineLR, WarmupDecayLR, WarmupLR

AT = (0, 1, 2, 10, 50, 100)


def rates(schedule: type, **how: object) -> list[str]:
    """Rates that steps are made with, in parts of the highest."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=1e-3)
    scheduler = schedule(optimizer, warmup_num_steps=100, **how)
    seen = []
    for _ in range(101):
        seen.append(optimizer.param_groups[0]["lr"] / 1e-3)
        optimizer.step()
        scheduler.step()
    return [f"{seen[step]:.2f}" for step in AT]


steep = rates(WarmupLR, warmup_max_lr=1e-3)
straight = rates(WarmupLR, warmup_max_lr=1e-3, warmup_type="linear")
print(f"rate at steps {', '.join(map(str, AT))} of 100: {', '.join(steep)}")
print(f'the same with "linear": {", ".join(straight)}')
assert steep == ["0.00", "0.00", "0.15", "0.50", "0.85", "1.00"], "no longer so"
assert straight == ["0.00", "0.00", "0.01", "0.09", "0.49", "0.99"], "no longer so"
assert rates(WarmupDecayLR, warmup_max_lr=1e-3, total_num_steps=200) == steep, "no longer so"
assert rates(WarmupCosineLR, total_num_steps=200) == steep, "no longer so"
PYTHON

"""Gemma's norm in one GPU kernel instead of seven.

A small model's steps on a GPU last as long as it takes to launch their kernels, and two in five of Gemma 3's
belong to its norms. On a CPU nothing is gained, so transformers' own code runs there.
"""

from torch import Tensor, nn
from torch.nn import functional
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm


def rms_norm(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm as Gemma 3 has it: computed in float32, scaled by one plus the weight.

    Args:
        states: `[..., width]`.
        weight: `[width]`.
        eps: Added to the mean square.
    """
    scale = 1.0 + weight.float()
    return functional.rms_norm(states.float(), weight.shape, scale, eps).type_as(states)


class FusedGemmaNorm(Gemma3RMSNorm):
    """transformers' module, with the same weights and name, that takes the fused kernel on a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """See `rms_norm`."""
        if not x.is_cuda:
            plain: Tensor = super().forward(x)
            return plain
        return rms_norm(x, self.weight, self.eps)


def fuse_norms(model: nn.Module) -> None:
    """Let a model's Gemma norms take the fused kernel; a model without them stays as it is."""
    for module in model.modules():
        if type(module) is Gemma3RMSNorm:
            module.__class__ = FusedGemmaNorm

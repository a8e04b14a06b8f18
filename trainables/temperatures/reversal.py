"""Gradient reversal; the only place that applies the sign of λ.

The student minimises the distillation loss, the temperature maximises it (CTKD, section 3.2). One backward pass does
both: this layer returns its input unchanged and multiplies the gradient by -λ, λ ≥ 0.
"""

from typing import Any

import torch
from torch import Tensor


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        return grads[0] * -ctx.strength, None


def reverse_gradient(tensor: Tensor, strength: float) -> Tensor:
    """Return the tensor unchanged; its gradient is multiplied by ``-strength`` (λ ≥ 0)."""
    reversed_: Tensor = _Reverse.apply(tensor, strength)
    return reversed_

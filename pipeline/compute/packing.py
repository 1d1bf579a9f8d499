"""Convolutions whose weights lie as the CPU's kernels want them, for as long as an engine is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

_nn: Any = torch._C._nn
_onednn: Any = torch.backends.mkldnn


@contextmanager
def convolutions_packed(*roots: nn.Module) -> Iterator[None]:
    """While entered, every `Conv2d` below `roots` runs from weights that oneDNN has already put into its own order;
    after it, the modules are as they were.

    PyTorch keeps weights in its own order and has oneDNN reorder them at every call, which for one small picture costs
    as much as a tenth of a UNet. Nothing happens to modules that are not on a CPU, or whose dtype oneDNN lacks there.
    A weight that is changed in place is packed anew at the next call.
    """
    convolutions = [each for root in roots for each in root.modules() if is_packable(each)]
    try:
        for convolution in convolutions:
            vars(convolution)["forward"] = packed(convolution)
        yield
    finally:
        for convolution in convolutions:
            vars(convolution).pop("forward", None)


def is_packable(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether this is a plain convolution that oneDNN computes on this CPU."""
    if type(module) is not nn.Conv2d or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    # Changes of a tensor that was made in inference mode are not counted.
    if module.weight.is_inference():
        return False
    return module.weight.device.type == "cpu" and has_kernels(module.weight.dtype)


def has_kernels(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and computes this dtype on this CPU."""
    if not _onednn.is_available():
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packed(convolution: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    """A forward of the convolution, `[B, C, H, W]` to `[B, C', H', W']`.

    The weights are packed at the first call, when the size of its input is known, and after each change in place.
    """
    shape = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)
    weights: dict[int, Tensor] = {}

    def forward(pixels: Tensor) -> Tensor:
        # PyTorch counts the changes in place of a tensor, and says so under no public name.
        version = convolution.weight._version
        # The operators with which PyTorch's own compiler packs weights; they have no public name.
        if version not in weights:
            weights.clear()
            plain = convolution.weight.detach().contiguous().to_mkldnn()
            weights[version] = _nn.mkldnn_reorder_conv2d_weight(plain, *shape, pixels.shape)
        output: Tensor = torch.ops.mkldnn._convolution_pointwise(
            pixels, weights[version], convolution.bias, *shape, "none", [], ""
        )
        return output

    return forward

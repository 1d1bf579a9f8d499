"""What goes between the CPU and a device, without the CPU ever waiting for it, unless it says so."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on `device`, for what is launched from now on.

    From ordinary memory of the CPU, CUDA would have it wait until the copy is done, and with it all that was launched
    before.
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def leaving(tensor: Tensor) -> Tensor:
    """A copy on the CPU that is whole when what is launched after it has come to its end; only then may it be read."""
    if tensor.device.type != "cuda":
        return tensor
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def settle(device: torch.device) -> None:
    """Wait until a device has done what it was told: on another stream it may still read what is to be written."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def numbers_on(device: torch.device, values: Sequence[float] | Sequence[Sequence[float]], dtype: torch.dtype) -> Tensor:
    """`values` as a tensor on `device`."""
    return sent(torch.tensor(values, dtype=dtype), device)


def rows_at(batch: Tensor, indices: Sequence[int]) -> Tensor:
    """Some rows of a batch, without a copy where they are all of them in their order; an index tensor would have to be
    sent to the device first."""
    if list(indices) == list(range(len(batch))):
        return batch
    return torch.cat([batch[index : index + 1] for index in indices])


def in_batch_order(parts: Sequence[tuple[Sequence[int], Tensor]]) -> Tensor:
    """One batch from parts, each with the batch indices of its rows."""
    if len(parts) == 1:
        return parts[0][1]
    rows = {index: part[row : row + 1] for indices, part in parts for row, index in enumerate(indices)}
    return torch.cat([rows[index] for index in sorted(rows)])


def spread(rows: Tensor, indices: Sequence[int], count: int) -> Tensor:
    """`count` rows `[count, ...]`: those of `rows` at `indices`, in order, and zeros elsewhere."""
    if len(indices) == count:
        return rows
    others = [index for index in range(count) if index not in indices]
    return in_batch_order([(indices, rows), (others, rows.new_zeros(len(others), *rows.shape[1:]))])

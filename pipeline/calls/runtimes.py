"""What makes the calls of networks: PyTorch, or OpenVINO where it has compiled them; pictures say which."""

from __future__ import annotations

PYTORCH, OPENVINO, BOTH = "PyTorch", "OpenVINO", "PyTorch and OpenVINO"
"""The last is what pictures are painted by while some kinds of calls are compiled and others are not yet."""


class Used:
    """What has made calls lately."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        """A call was made by the runtime of this name."""
        self._names.add(name)

    def taken(self) -> str:
        """What has made calls since this was asked last."""
        names, self._names = self._names, set()
        return BOTH if len(names) > 1 else names.pop() if names else PYTORCH

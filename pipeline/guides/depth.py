"""The depth of frames, as a model that never saw this stream guesses it, and the picture of it that a UNet is shown.

Live2Diff (arXiv 2407.08701) scales the depth of its first eight frames together, and that of every later frame by
itself: one near thing that enters, and the depth of all that stays where it was jumps. Here a session has one range,
which follows its frames slowly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import DPTForDepthEstimation

from pipeline.compute.host import in_passing_thread
from pipeline.errors import ModelError
from pipeline.frames.codec import Autoencoder, encode
from pipeline.memory import Memory
from pipeline.memory.depth import DEPTH_MODEL, depth_model_of
from pipeline.models.hub import PICKLE_ENDINGS, Hub
from pipeline.settings import FrameSettings

PARTS = ("config.json", "preprocessor_config.json", "model.safetensors")
FOLLOWS = 1 / 8
"""How much of the way to a frame's own range a session's goes: the mean over about as many frames as Live2Diff scales
together at first."""
UNUSED = "neck.fusion_stage.layers.0.residual_layer1."
"""Weights that a DPT has in transformers and never reads; its published files lack them."""

_LOAD_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError)


@dataclass(frozen=True, eq=False)
class DepthModel:
    """A DPT (arXiv 2103.13413) that guesses inverse depth up to scale and shift; `mean` and `std`, `[3, 1, 1]` in
    0..1 on its device, are what it expects of red, green and blue."""

    network: Any
    mean: Tensor
    std: Tensor

    def inverse_depth(self, pixels: Tensor) -> Tensor:
        """How near everything is in frames `[B, 3, H, W]` in -1..1: float32 `[B, 1, H, W]`, larger is nearer, in a
        scale of each frame's own. Any shape of frame is seen as the square that the model was trained on."""
        side = int(self.network.config.image_size)
        # Downwards antialiased, as the library's own preparation is, whose rounding to bytes is left out.
        seen = interpolate(pixels.float(), (side, side), mode="bicubic", antialias=True).clamp(-1, 1)
        expected = ((seen + 1) / 2 - self.mean) / self.std
        with torch.inference_mode():
            near: Tensor = self.network(expected.to(self.network.dtype)).predicted_depth
        return interpolate(near[:, None].float(), pixels.shape[2:], mode="bilinear", antialias=True)


@dataclass(frozen=True, eq=False)
class DepthRange:
    """The inverse depth that is shown as -1, and that shown as 1, of one session: float32 `[]` each, on its device, for
    which nobody ever waits.

    It goes an eighth of the way to each frame's own range, both when that grows and when it shrinks. So the background
    hardly moves when something near comes or goes, which is then cut off at 1 for some frames; and after a camera has
    turned to a nearer or farther part of its scene, nine tenths of the way are done in 18 frames. A new scene begins
    with its own range.
    """

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, inverse_depth: Tensor) -> DepthRange:
        """That of one frame, `[1, 1, H, W]`."""
        return cls(*inverse_depth.aminmax())

    def after(self, inverse_depth: Tensor) -> DepthRange:
        """The same, one frame `[1, 1, H, W]` later."""
        own = DepthRange.of(inverse_depth)
        return DepthRange(self.low.lerp(own.low, FOLLOWS), self.high.lerp(own.high, FOLLOWS))

    def picture(self, inverse_depth: Tensor) -> Tensor:
        """Inverse depth `[1, 1, H, W]` as grey pixels `[1, 3, H, W]` in -1..1; what is beyond the range is cut off, and
        what has no depth at all is -1."""
        span = (self.high - self.low).clamp(min=torch.finfo(torch.float32).tiny)
        return (2 * (inverse_depth - self.low) / span - 1).clamp(-1, 1).expand(-1, 3, -1, -1)

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.low.nbytes + self.high.nbytes

    def moved(self, device: torch.device) -> DepthRange:
        """The same on another device."""
        return DepthRange(self.low.to(device), self.high.to(device))


@dataclass(frozen=True, eq=False)
class FrameDepth:
    """The latents `[1, C, h, w]` of a frame's depth picture, and the range under which it was drawn."""

    latents: Tensor
    range: DepthRange


def depths_of(
    model: DepthModel, vae: Autoencoder, pixels: Tensor, ranges: Sequence[DepthRange | None]
) -> list[FrameDepth]:
    """The depth of frames `[B, 3, H, W]` in -1..1, each of a session whose range so far is in `ranges`: `None` at the
    beginning of a scene. What becomes of one does not depend on the others."""
    near = torch.split(model.inverse_depth(pixels), 1)
    new = [
        DepthRange.of(own) if before is None else before.after(own) for own, before in zip(near, ranges, strict=True)
    ]
    pictures = torch.cat([each.picture(own) for each, own in zip(new, near, strict=True)])
    latents = encode(vae, pictures.to(memory_format=torch.channels_last)).to(pixels.dtype)
    return [FrameDepth(own, each) for own, each in zip(torch.split(latents, 1), new, strict=True)]


def depth_model_for(memories: Iterable[Memory], device: torch.device, hub: Hub | None = None) -> DepthModel | None:
    """The depth model that the weights of some memory ask for; `None` where none of them reads depth.

    Raises `ModelError`.
    """
    wanted = {name for memory in memories if (name := depth_model_of(memory, FrameSettings())) is not None}
    return load_depth_model(wanted.pop(), device, hub) if wanted else None


def load_depth_model(folder_or_id: str, device: torch.device, hub: Hub | None = None) -> DepthModel:
    """Load a depth model from a folder in the layout of `DEPTH_MODEL`, or from a repository of the hub, which is
    fetched once; float16 on CUDA, float32 elsewhere. Without `hub`, the Hugging Face hub.

    Raises `ModelError`.
    """
    folder = _folder_of(folder_or_id, hub or Hub())
    missing = [part for part in PARTS if not (folder / part).is_file()]
    if missing:
        pickles = sorted(each.name for each in folder.iterdir() if each.name.endswith(PICKLE_ENDINGS))
        only = f", and weights only as {pickles[0]}, a pickle, which could run any program" if pickles else ""
        raise ModelError(
            f"the depth model in {folder_or_id!r} came without {' and '.join(missing)}{only}; needed: "
            f"{', '.join(PARTS)}. Take the files of {DEPTH_MODEL}."
        )
    return in_passing_thread(_loaded, folder, device)


def _folder_of(folder_or_id: str, hub: Hub) -> Path:
    return hub.folder_of(
        folder_or_id,
        f"the depth model came as {folder_or_id!r}; needed: a folder with {', '.join(PARTS)}, or a repository such as "
        f"{DEPTH_MODEL}. Correct depth_model in the rearview.json of the memory's weights.",
    )


def _loaded(folder: Path, device: torch.device) -> DepthModel:
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    try:
        described = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        mean, std = (torch.tensor(described[name]).view(3, 1, 1) for name in ("image_mean", "image_std"))
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
        if kind != "dpt":
            raise ValueError(f"it is of the kind {kind!r}, not a DPT")
        network, report = DPTForDepthEstimation.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, local_files_only=True, use_safetensors=True
        )
        missing = sorted(key for key in report["missing_keys"] if not key.startswith(UNUSED))
        # What is missing would be made up, and depth at random.
        if missing:
            raise ValueError(f"its weights lack {missing[0]}")
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"the depth model in {folder} cannot be loaded ({error}); needed: the files of {DEPTH_MODEL}, or of "
            "another DPT. Fetch them again."
        ) from error
    return DepthModel(network.to(device).eval().requires_grad_(False), mean.to(device), std.to(device))

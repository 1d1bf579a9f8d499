"""CLIP scores of a stream, with weights that are on this machine already: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPModel, CLIPTokenizer

from pipeline.frames.codec import Frame

MODEL = "openai/clip-vit-base-patch32"
"""The size that StreamV2V and those it compares with are scored by."""
# The means and deviations of RGB that CLIP's pictures are brought to (Radford et al., arXiv 2103.00020, released code).
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BATCH = 16


@dataclass(frozen=True)
class ClipScores:
    """Cosines times 100. `consistency`: mean of consecutive frames; `alignment`: mean of each frame and the prompt."""

    consistency: float
    alignment: float


@dataclass(frozen=True)
class NotComputed:
    """What stands in the place of scores that could not be computed, and why."""

    reason: str

    def __str__(self) -> str:
        return "not computed"


def clip_scores(
    frames: Sequence[Frame] | Frame, prompt: str, folder: str | PathLike[str] = MODEL
) -> ClipScores | NotComputed:
    """Frame consistency (section 5 of arXiv 2405.15757) and text alignment (arXiv 2104.08718, without its factor 2.5).

    frames `[T, H, W, 3]` uint8, T >= 2. `folder` holds a `CLIPModel` and its tokenizer as the hub lays them out,
    weights as safetensors; a name of the hub is looked for in this machine's cache. Where they are not there,
    `NotComputed`. Raises `ValueError` for fewer than two frames.
    """
    if len(frames) < 2:
        raise ValueError(f"frames came as {len(frames)}; needed: at least 2, whose pictures are compared. Send more.")
    try:
        model = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except OSError as error:
        return NotComputed(f"no CLIP weights in {folder} on this machine: {str(error).splitlines()[0]}")
    with torch.inference_mode():
        pictures = _picture_directions(model.eval(), frames)
        text = _text_direction(model, tokenizer, prompt)
        consistency = (pictures[1:] * pictures[:-1]).sum(dim=1).mean()
        alignment = (pictures @ text).mean()
    return ClipScores(100 * float(consistency), 100 * float(alignment))


def _picture_directions(model: Any, frames: Sequence[Frame] | Frame) -> Tensor:
    """Unit vectors `[T, C]` of the frames."""
    side = int(model.config.vision_config.image_size)
    parts = []
    for start in range(0, len(frames), BATCH):
        pixels = np.stack([as_clip_sees(frame, side) for frame in frames[start : start + BATCH]])
        pooled = model.vision_model(pixel_values=torch.from_numpy(pixels)).pooler_output
        parts.append(normalize(model.visual_projection(pooled), dim=-1))
    return torch.cat(parts)


def _text_direction(model: Any, tokenizer: Any, prompt: str) -> Tensor:
    """The unit vector `[C]` of a prompt, which is cut where CLIP's text ends."""
    longest = int(model.config.text_config.max_position_embeddings)
    tokens = tokenizer(prompt, truncation=True, max_length=longest, return_tensors="pt")
    direction: Tensor = normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=-1)[0]
    return direction


def as_clip_sees(frame: Frame, side: int) -> NDArray[np.float32]:
    """A frame `[H, W, 3]` as CLIP takes it: shorter side to `side`, bicubic, the middle, normed: `[3, side, side]`."""
    image = Image.fromarray(frame)
    scale = side / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    values = np.asarray(image.crop((left, top, left + side, top + side)), np.float32) / 255
    normed = (values - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
    return np.ascontiguousarray(normed.transpose(2, 0, 1))

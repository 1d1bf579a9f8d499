"""Frame to tensor to latent and back: any picture in, `uint8 [H, W, 3]` out."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from pipeline.compute.devices import sent
from pipeline.errors import PictureError
from pipeline.frames.colour_profile import as_srgb
from pipeline.frames.picture_file import READ_ERRORS, LargePictureError, UnreadablePictureError, opened_picture
from pipeline.settings import Fit

Frame: TypeAlias = NDArray[np.uint8]
Picture: TypeAlias = Image.Image | NDArray[Any] | bytes | str | PathLike[str]
Autoencoder: TypeAlias = AutoencoderTiny | AutoencoderKL

MOST_PIXELS = 64_000_000
LONGEST_SIDE = 2048
MOST_FILE_BYTES = 256 * 2**20
"""Of a picture's file, which is read whole: those without compression take four bytes a pixel."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Others, such as PostScript, are refused: their readers start programs or are little tested."""

BACKGROUND = (255, 255, 255)


def as_frame(picture: Picture) -> Frame:
    """Any picture as `uint8 [H, W, 3]`, its longer side at most 2048 pixels; raises `PictureError`.

    Takes a PIL image, the bytes or the path of a file, or an array `[H, W]` or `[H, W, 1 to 4]` that is bool, uint8,
    uint16 or float in 0..1. Orientation tags and colour profiles are followed; what is transparent shows white.
    """
    if isinstance(picture, np.ndarray):
        return _shrunk_frame(_array_as_image(picture))
    if isinstance(picture, Image.Image):
        return _image_as_frame(picture)
    if isinstance(picture, bytes | str | PathLike):
        return _file_as_frame(picture)
    raise PictureError(
        f"picture came as {type(picture).__name__}; needed: a PIL image, an array, or a file's bytes or path. Send one."
    )


def _file_as_frame(file: bytes | str | PathLike[str]) -> Frame:
    try:
        with opened_picture(_content(file), FORMATS, MOST_PIXELS) as image:
            return _image_as_frame(image)
    except LargePictureError as error:
        raise _too_large(error) from error
    except PictureError:
        raise
    except (OSError, UnreadablePictureError) as error:
        raise _unreadable(error) from error


def _content(file: bytes | str | PathLike[str]) -> bytes:
    if isinstance(file, bytes):
        return file
    path = Path(file)
    length = path.stat().st_size
    if length > MOST_FILE_BYTES:
        raise PictureError(f"picture came with {length} bytes; needed: at most {MOST_FILE_BYTES}. Shrink it.")
    return path.read_bytes()


def _image_as_frame(image: Image.Image) -> Frame:
    _check_pixels(image.width, image.height)
    try:
        # A JPEG's reader can shrink while it reads; other formats ignore this.
        image.draft(None, (LONGEST_SIDE, LONGEST_SIDE))
        image.load()
        return _shrunk_frame(ImageOps.exif_transpose(image))
    except READ_ERRORS as error:
        raise _unreadable(error) from error


def _check_pixels(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise PictureError(f"picture came as {width}x{height}; needed: at least 1x1. Send one with pixels.")
    if width * height > MOST_PIXELS:
        raise _too_large(LargePictureError(width, height))


def _too_large(error: LargePictureError) -> PictureError:
    width, height = error.width, error.height
    came = f"{width}x{height}, {width * height} pixels" if width else str(error)
    return PictureError(f"picture came as {came}; needed: at most {MOST_PIXELS}. Shrink it.")


def _unreadable(error: Exception) -> PictureError:
    return PictureError(
        f"picture came in a form that cannot be read ({str(error)[:240]}); needed: a whole "
        f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]} file. Save it again."
    )


def _array_as_image(array: NDArray[Any]) -> Image.Image:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise PictureError(f"picture came as an array {array.shape}; needed: [H, W] or [H, W, 1 to 4]. Reshape it.")
    _check_pixels(array.shape[1], array.shape[0])
    values = _as_bytes(array)
    return Image.fromarray(np.ascontiguousarray(values[:, :, 0] if values.shape[2] == 1 else values))


def _as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """An array of any supported type, in its own range, as uint8."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise PictureError("picture came with NaN or infinity; needed: numbers in 0..1. Replace them.")
        return (array.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    raise PictureError(f"picture came as {array.dtype}; needed: bool, uint8, uint16 or float in 0..1. Convert it.")


def _shrunk_frame(image: Image.Image) -> Frame:
    """The image as RGB, shrunk before any work that would touch all of a large one."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_wide_as_bytes(np.asarray(image)))
    transparent = image.has_transparency_data
    if image.mode not in ("L", "RGB", "RGBA", "CMYK", "YCbCr"):
        image = image.convert("RGBA" if transparent else "RGB")
    if max(image.size) > LONGEST_SIDE:
        image = image.resize(_within(image.size, LONGEST_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    image = as_srgb(image)
    if transparent:
        # Some modes name one colour as transparent; the conversion makes it an alpha channel like any other.
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
    return np.asarray(image.convert("RGB"))


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """`size` (width, height), shrunk in its proportions until no side is longer than `longest` pixels."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _wide_as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey of a 16-bit, 32-bit or float image as uint8. Such files do not say their range: 1, 255 or 65535."""
    if not np.isfinite(values).all():
        raise PictureError("picture came with NaN or infinity; needed: finite numbers. Replace them.")
    if values.dtype.kind in "ui":
        return (values.clip(0, 65535) >> 8).astype(np.uint8)
    highest = next((each for each in (1.0, 255.0) if values.max() <= each), 65535.0)
    return (values.clip(0, highest) * (255 / highest) + 0.5).astype(np.uint8)


def fitted(frame: Frame, size: tuple[int, int], fit: Fit) -> Frame:
    """frame `[H, W, 3]` at the size `(width, height)`: `"crop"` fills it and cuts the overhang, `"pad"` shows the
    whole frame between white bars."""
    width, height = size
    if frame.shape[:2] == (height, width):
        return frame
    image = Image.fromarray(frame)
    if fit == "crop":
        return np.asarray(ImageOps.fit(image, size, Image.Resampling.BICUBIC))
    left, top, right, bottom = _inside_bars(image.size, size)
    padded = Image.new("RGB", size, BACKGROUND)
    padded.paste(image.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
    return np.asarray(padded)


def _inside_bars(frame_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where `"pad"` puts a frame (width, height) in a picture (width, height): left, top, right, bottom."""
    scale = min(size[0] / frame_size[0], size[1] / frame_size[1])
    width, height = max(1, round(frame_size[0] * scale)), max(1, round(frame_size[1] * scale))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def unfitted(picture: Frame, frame_size: tuple[int, int], fit: Fit) -> Frame:
    """Undo `as_frame` and `fitted` for the picture `[h, w, 3]` that was made of a frame of `frame_size` (width,
    height): of `"pad"` the bars go and the frame's size comes back; what `"crop"` cut is gone, so the rest comes back
    as large as it was in the frame."""
    size = (picture.shape[1], picture.shape[0])
    image = Image.fromarray(picture)
    if fit == "pad":
        image = image.crop(_inside_bars(_within(frame_size, LONGEST_SIDE), size))
    restored = restored_size(frame_size, size, fit)
    return picture if size == restored else np.asarray(image.resize(restored, Image.Resampling.BICUBIC))


def restored_size(frame_size: tuple[int, int], size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """The (width, height) that `unfitted` gives to a picture of `size` that was made of a frame of `frame_size`."""
    if fit == "pad":
        return frame_size
    left, top, right, bottom = _inside_bars(size, frame_size)
    return right - left, bottom - top


def as_pixels(frame: Frame, device: torch.device, dtype: torch.dtype) -> Tensor:
    """frame `[H, W, 3]` as pixels `[1, 3, H, W]` in -1..1, channels last in memory."""
    # A copy: frames that come from Pillow are read-only, which torch warns about.
    rgb = sent(torch.from_numpy(np.array(frame)), device).permute(2, 0, 1)[None]
    return (rgb.float() / 127.5 - 1).to(dtype, memory_format=torch.channels_last)


def as_rgb(pixels: Tensor) -> Tensor:
    """pixels `[1, 3, H, W]`, -1..1 and clamped to it, as uint8 `[H, W, 3]` where they are."""
    return _planes(pixels).permute(1, 2, 0).contiguous()


def as_picture(pixels: Tensor) -> Frame:
    """pixels `[1, 3, H, W]`, -1..1 and clamped to it, as a frame `[H, W, 3]`."""
    if pixels.device.type != "cpu":
        return as_rgb(pixels).cpu().numpy()
    return np.asarray(cv2.merge(list(_planes(pixels).numpy())), np.uint8)


def _planes(pixels: Tensor) -> Tensor:
    """pixels `[1, 3, H, W]`, -1..1 and clamped to it, as uint8 `[3, H, W]`."""
    return ((pixels[0].float() + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)


def encode(vae: Autoencoder, pixels: Tensor) -> Tensor:
    """Pixels `[B, 3, H, W]` in -1..1 to latents `[B, C, h, w]` in the UNet's scale; of a distribution, its mode."""
    encoded = vae.encode(pixels.to(vae.dtype))
    latents: Tensor = encoded.latents if isinstance(vae, AutoencoderTiny) else encoded.latent_dist.mode()
    return (latents - _shift(vae)) * float(vae.config.scaling_factor)


def decode(vae: Autoencoder, latents: Tensor) -> Tensor:
    """Latents `[B, C, h, w]` in the UNet's scale to pixels `[B, 3, H, W]` in about -1..1."""
    pixels: Tensor = vae.decode((latents / float(vae.config.scaling_factor) + _shift(vae)).to(vae.dtype)).sample
    return pixels


def _shift(vae: Autoencoder) -> float:
    """The mean that some autoencoders' latents have, in their own scale."""
    return 0.0 if isinstance(vae, AutoencoderTiny) else float(vae.config.shift_factor or 0.0)


def pixels_per_latent(vae: Autoencoder) -> int:
    """How many pixels one latent spans on a side."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))

"""Which videos are decoded: those that cameras, phones, browsers and editors write, and of pictures in a row only what
can be counted before."""

from __future__ import annotations

from typing import Any

from av.packet import Packet

from pipeline.errors import VideoError
from pipeline.frames.picture_parts import PartsError, check_apng_of_video, check_png_of_video, check_scans_of_video

READ = frozenset(
    "h264 hevc vvc vp3 theora vp5 vp6 vp6f vp7 vp8 libvpx vp9 libvpx-vp9 av1 libdav1d mpeg1video mpeg2video mpeg4 "
    "msmpeg4v1 msmpeg4v2 msmpeg4 wmv1 wmv2 wmv3 vc1 h261 h263 h263i h263p flv rv10 rv20 rv30 rv40 svq1 svq3 cinepak "
    "prores prores_raw dnxhd cfhd dvvideo qtrle ffv1 ffvhuff huffyuv utvideo magicyuv lagarith rawvideo v210 "
    "tscc2 camtasia zmbv msvideo1 msrle indeo2 indeo3 indeo4 indeo5 vp4 hap aic fraps mss1 mss2 "
    "gif mjpeg png apng".split()
)
"""Names of FFmpeg's decoders. Others are of picture files and of old games, which nobody sends who means well."""

_CHECKS = {"mjpeg": check_scans_of_video, "png": check_png_of_video, "apng": check_apng_of_video}


def check_codec(name: str, codec: str, begun_with: bytes | None) -> None:
    """Raise `VideoError` where the video of the file `name` is in no codec that is read, or where what its decoder
    begins with, before any packet, would unpack to any length."""
    if codec not in READ:
        raise VideoError(
            f"{name} came with its video in {codec}; needed: a codec of cameras, browsers or editors, such as H.264, "
            "HEVC, VP9, AV1 or ProRes. Convert it to MP4."
        )
    if codec == "apng" and begun_with and not _is_in_bounds(codec, begun_with):
        raise VideoError(
            f"{name} came with packed texts or a packed profile; needed: a moving picture without. Save it anew."
        )


def is_in_bounds(codec: str, packet: Packet[Any]) -> bool:
    """Whether decoding this packet does no more than its bytes and its pixels say."""
    return codec not in _CHECKS or _is_in_bounds(codec, bytes(packet))


def _is_in_bounds(codec: str, data: bytes) -> bool:
    try:
        _CHECKS[codec](data)
    except PartsError:
        return False
    return True

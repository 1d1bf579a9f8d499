"""Which videos are decoded: those that cameras, phones, browsers and editors write, and of pictures in a row only what
can be counted before."""

from __future__ import annotations

from typing import Any

from av.packet import Packet

from pipeline.errors import VideoError
from pipeline.frames.picture_parts import PartsError, check_png_of_video, check_scans_of_video

READ = frozenset(
    "h264 hevc vvc vp3 theora vp5 vp6 vp6f vp7 vp8 libvpx vp9 libvpx-vp9 av1 libdav1d mpeg1video mpeg2video mpeg4 "
    "msmpeg4v1 msmpeg4v2 msmpeg4 wmv1 wmv2 wmv3 vc1 h261 h263 h263i h263p flv rv10 rv20 rv30 rv40 svq1 svq3 cinepak "
    "prores prores_raw dnxhd cfhd dvvideo qtrle ffv1 ffvhuff huffyuv utvideo magicyuv lagarith rawvideo v210 "
    "tscc2 camtasia zmbv gif mjpeg png".split()
)
"""Names of FFmpeg's decoders. Others are of picture files and of old games, which nobody sends who means well."""

_CHECKS = {"mjpeg": check_scans_of_video, "png": check_png_of_video}


def check_codec(name: str, codec: str) -> None:
    """Raise `VideoError` where the video of the file `name` is in no codec that is read."""
    if codec not in READ:
        raise VideoError(
            f"{name} came with its video in {codec}; needed: a codec of cameras, browsers or editors, such as H.264, "
            "HEVC, VP9, AV1 or ProRes. Convert it to MP4."
        )


def is_in_bounds(codec: str, packet: Packet[Any]) -> bool:
    """Whether decoding this packet does no more than its bytes and its pixels say."""
    check = _CHECKS.get(codec)
    if check is not None:
        try:
            check(bytes(packet))
        except PartsError:
            return False
    return True

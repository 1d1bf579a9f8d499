"""Icons packed small, to be taken to a machine that can fetch nothing: `python -m training.things.carried WORK`."""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from training.things.icons import SIDE, load_icons

QUALITY = 80


def pack_icons(folder: Path, file: Path) -> None:
    """The icons of `folder` as WebP in a zip."""
    icons = load_icons(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("icons.json", json.dumps(icons.rows))
        for number, pair in enumerate(icons.pictures):
            packed = io.BytesIO()
            Image.fromarray(np.hstack(list(pair)), "RGBA").save(packed, "WEBP", quality=QUALITY, method=4)
            archive.writestr(f"{number:05d}.webp", packed.getvalue())


def unpack_icons(file: Path, folder: Path) -> None:
    """What `pack_icons` packed, as `load_icons` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file) as archive:
        rows = json.loads(archive.read("icons.json"))
        names = sorted(name for name in archive.namelist() if name.endswith(".webp"))
        pictures = [np.array(Image.open(io.BytesIO(archive.read(name))).convert("RGBA")) for name in names]
    np.save(folder / "icons.npy", np.stack([np.stack([each[:, :SIDE], each[:, SIDE:]]) for each in pictures]))
    (folder / "icons.json").write_text(json.dumps(rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Pack WORK/icons into WORK/carried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="the work folder of a training whose icons are drawn")
    work = parser.parse_args(arguments).work
    pack_icons(work / "icons", work / "carried" / "icons.zip")


if __name__ == "__main__":
    main()

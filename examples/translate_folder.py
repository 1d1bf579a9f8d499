"""Paint a folder of pictures with a running app, with one memory through them all.

python examples/translate_folder.py frames painted --set prompt="oil painting" --set steps=2
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
LOOK_EVERY_S = 0.2


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Paint a folder of pictures, in the order of their names.")
    parser.add_argument("source", type=Path, help="the folder of the pictures")
    parser.add_argument("out", type=Path, help="where the painted ones go")
    parser.add_argument("--url", default="http://127.0.0.1:7860", help="where the app runs (default: %(default)s)")
    parser.add_argument("--like", type=Path, help="a picture that the painted ones are to be like")
    parser.add_argument(
        "--set",
        dest="settings",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting other than its default; Client(url).view_api() lists them all",
    )
    return parser.parse_args(argv)


def setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE: a value that is a number is one, all others are text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"came as {text!r}; needed: NAME=VALUE, such as steps=2")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name."""
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES)


def painted(client: Client, pictures: Sequence[Path], settings: dict[str, Any], like: Path | None = None) -> list[Path]:
    """Painted pictures, in the order of `pictures`, like another one if there is one; says how far it is. Raises
    `AppError`."""
    frames = [handle_file(each) for each in pictures]
    other = None if like is None else handle_file(like)
    job = client.submit(frames=frames, like=other, **settings, api_name="/translate_frames")
    while not job.done():
        for unit in job.status().progress_data or ():
            print(f"{unit.index} of {unit.length}", end="\r", flush=True)
        time.sleep(LOOK_EVERY_S)
    return [Path(each) for each in job.result()]


def main(argv: Sequence[str] | None = None) -> int:
    """Paint the folder; the exit status."""
    arguments = parse(argv)
    pictures = pictures_in(arguments.source)
    client = Client(arguments.url, verbose=False, analytics_enabled=False)
    try:
        results = painted(client, pictures, dict(arguments.settings), arguments.like)
    except (AppError, ValueError, TypeError) as error:
        print(f"Nothing is painted: {error}", file=sys.stderr)
        return 1
    finally:
        client.close()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for picture, result in zip(pictures, results, strict=True):
        shutil.copyfile(result, arguments.out / f"{picture.stem}.png")
    print(f"{arguments.out} holds {len(results)} pictures.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

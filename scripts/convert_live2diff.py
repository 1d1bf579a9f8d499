"""Live2Diff's checkpoint, a pickle, as a folder of safetensors that `--memory causal` reads. To be run once.

python -m scripts.convert_live2diff live2diff.ckpt FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline.memory.depth import DEPTH_FILE
from pipeline.memory.live2diff import converted, state_of
from pipeline.memory.motion import save_motion


def main(argv: Sequence[str] | None = None) -> None:
    """Convert one file; what cannot be read ends the program with a sentence."""
    parser = argparse.ArgumentParser(description="Turn live2diff.ckpt into safetensors in diffusers' layout.")
    parser.add_argument("checkpoint", type=Path, help="the file live2diff.ckpt")
    parser.add_argument("folder", type=Path, help="where the motion modules go, such as MODEL/causal")
    options = parser.parse_args(argv)
    try:
        # `weights_only` reads tensors and numbers and runs nothing of whoever wrote the file.
        loaded = torch.load(options.checkpoint, map_location="cpu", weights_only=True)  # noqa: TID251
        motion = converted(state_of(loaded))
    except Exception as error:  # noqa: BLE001 - somebody else's file can be wrong in any way
        parser.exit(1, f"{options.checkpoint} cannot be converted ({error}). Give Live2Diff's checkpoint.\n")
    options.folder.mkdir(parents=True, exist_ok=True)
    save_motion(motion, options.folder)
    print(f"{options.folder}: motion modules, and in {DEPTH_FILE} the layers that read depth")


if __name__ == "__main__":
    main()

"""A mean of two models of one descent."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.model.mixed import SHARES, main, mixed


def saved(folder: Path, value: float, width: int = 3) -> Path:
    """A folder with two parts, and a file beside them."""
    for part in ("unet", "other"):
        (folder / part).mkdir(parents=True)
        save_file({"weight": torch.full((2, width), value, dtype=torch.float16)}, folder / part / "model.safetensors")
    (folder / "model_index.json").write_text(str(value))
    return folder


def test_each_part_is_the_later_models_by_its_share(tmp_path: Path) -> None:
    before, after = saved(tmp_path / "before", 0.0), saved(tmp_path / "after", 1.0)
    main([str(before), str(after), str(tmp_path / "out")])
    unet, other = (load_file(tmp_path / "out" / part / "model.safetensors")["weight"] for part in ("unet", "other"))
    assert torch.equal(unet, torch.full((2, 3), SHARES["unet"], dtype=torch.float16))
    assert torch.equal(other, torch.ones(2, 3, dtype=torch.float16))
    assert (tmp_path / "out" / "model_index.json").read_text() == "1.0"


def test_models_of_other_shapes_have_no_mean(tmp_path: Path) -> None:
    before, after = saved(tmp_path / "before", 0.0, width=4), saved(tmp_path / "after", 1.0)
    with pytest.raises(ValueError, match="needed: one model, trained further"):
        mixed(before, after, tmp_path / "out")

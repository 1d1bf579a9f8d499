"""What a Space preloads is what the app then fetches: asked of a hub on loopback, file for file."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.space.spacefile import read_spacefile
from pipeline.guides.safety import FOLDERS, HUB_CHECKER
from pipeline.models.catalogue import CATALOGUE
from pipeline.models.hub import Hub
from pipeline.models.parts import places
from tests.support.weights.hub_layout import FakeHub, save_lora, save_model, save_tiny_vae, serving, unet_of


@pytest.mark.parametrize("hardware", ["l4x1", "zero-a10g"])
def test_exactly_what_is_preloaded_is_fetched(hardware: str, tmp_path: Path) -> None:
    flavour = read_spacefile().flavour(hardware)
    entry = CATALOGUE[flavour.model]
    base = save_model(tmp_path / "base", variant="fp16")
    for folder, files in zip(
        FOLDERS, (["config.json", "model.fp16.safetensors"], ["preprocessor_config.json"]), strict=True
    ):
        (base / folder).mkdir()
        for file in files:
            (base / folder / file).write_text("{}")
    save_lora(tmp_path / "lora", unet_of("sd15"))
    folders = {entry.source: base, entry.lora: tmp_path / "lora", entry.tiny_vae: save_tiny_vae(tmp_path / "vae")}
    with serving(FakeHub({str(name): folder for name, folder in folders.items()})) as served:
        hub = Hub(endpoint=served.url, cache=tmp_path / "cache")
        places(entry, hub)
        hub.parts(HUB_CHECKER, FOLDERS)
        asked = [path.lstrip("/").partition("/resolve/") for path in served.asked if "/resolve/" in path]
    fetched = {(repository, rest.partition("/")[2]) for repository, _, rest in asked}
    preloaded = [each.partition(" ") for each in flavour.preload]
    assert fetched == {(name, file) for name, _, files in preloaded for file in files.split(",")}

"""The page's part for LoRA and learned words: what it shows, what it asks of the engine, and what it says."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demo.live.live import SOCKET_PATH, Live
from demo.page import page
from demo.page.lora import AGAIN, Loras, Styles, appended, shown
from pipeline import Engine, Model, read_loras
from pipeline.engine.sizes import Sizes
from pipeline.models.lora import SCALE
from pipeline.models.lora_files import LoraShelf
from pipeline.models.textual_inversion import Embedding, EmbeddingShelf
from pipeline.settings import FrameSettings
from tests.support.standin import StandInEngine, greet
from tests.support.weights.lora_files import ALL_LAYERS, changes_of, kohya, saved, weight_of

SENTENCE = "evil <b>.ckpt is a pickle; needed: another. Leave it out."


@pytest.fixture
def model(tiny_model: Model) -> Model:
    return replace(tiny_model, unet=copy.deepcopy(tiny_model.unet))


@pytest.fixture
def loras(model: Model, tmp_path: Path) -> Iterator[Loras]:
    layers = tuple(each for each in ALL_LAYERS if each[0] == "unet")
    for seed, name in enumerate(("Ink", "Lace")):
        notes = {"modelspec.trigger_phrase": f"{name.lower()} (style)"}
        saved(tmp_path / f"{name}.safetensors", kohya(changes_of(model, layers, seed)), notes)
    shelf = LoraShelf(read_loras(tmp_path, model).loras, (SENTENCE,))
    told: list[Any] = []
    with Engine(model) as engine:
        live: Any = SimpleNamespace(engine=engine, tell=told.append, told=told)
        yield Loras(live, shelf)


def page_of() -> Any:
    """What a page asks of the wire it belongs to."""
    model = SimpleNamespace(
        entry=SimpleNamespace(defaults=FrameSettings(), guides=True, distillation="lcm", subjects=()), title="A model"
    )
    engine = SimpleNamespace(
        model=model, control_name=None, adapter_name=None, memory_name="none", memory_names=("none",), sizes=Sizes(8)
    )
    return SimpleNamespace(mint=str, leave=str, address_of=str, engine=engine, sure_guess=None)


def config_of(styles: Styles | None) -> dict[str, dict[str, Any]]:
    live = page_of()

    async def built() -> dict[str, Any]:
        return page.build(live, styles).get_config_file()

    components = asyncio.run(built())["components"]
    return {each["props"]["elem_id"]: each["props"] for each in components if each["props"].get("elem_id")}


def test_without_folders_the_page_is_as_it_was() -> None:
    assert not {"lora_panel", "loras", "words_panel"} & set(config_of(None))
    assert config_of(None).keys() == config_of(Styles()).keys()


def test_the_panel_shows_styles_words_and_what_cannot_be_used(loras: Loras) -> None:
    words = EmbeddingShelf((Embedding("<cat>", (torch.zeros(1, 2),)),), ())
    config = config_of(Styles(loras, words))
    assert [each[0] for each in config["loras"]["choices"]] == ["Ink", "Lace"]
    assert config["loras"]["interactive"] is True
    slider = config["lora_scale_1"]
    assert (slider["minimum"], slider["maximum"], slider["label"]) == (SCALE.minimum, SCALE.maximum, "Lace")
    assert (SCALE.minimum, SCALE.maximum) == (0.0, 1.5)
    assert config["lora_1_trigger_0"]["value"] == "lace (style)"
    assert config["word_0"]["value"] == "<cat>"
    assert "evil &lt;b&gt;" in config["lora_refused"]["value"]


def test_an_empty_folder_says_so(loras: Loras) -> None:
    config = config_of(Styles(Loras(loras._live, LoraShelf()), EmbeddingShelf()))
    assert {"loras", "lora_panel", "words_panel"} <= set(config)


def test_a_slider_moves_the_weights_for_everybody(loras: Loras, model: Model) -> None:
    before = weight_of(model, ALL_LAYERS[0]).clone()
    assert loras.set("Lace", 0.5) == "In every picture now: Lace 0.5."
    half = weight_of(model, ALL_LAYERS[0]).clone()
    assert loras.set("Ink", 1.0) == "In every picture now: Ink 1, Lace 0.5."
    assert shown(loras, "x")[0] == ["Ink", "Lace"] and shown(loras, "x")[3:5] == [1.0, 0.5]
    loras.set("Ink", 0)
    assert torch.equal(weight_of(model, ALL_LAYERS[0]), half) and not torch.equal(half, before)
    loras.set("Ink", None)
    assert loras.set("Lace", None) == "None is picked."
    assert torch.equal(weight_of(model, ALL_LAYERS[0]), before)
    assert loras._live.told == [AGAIN] * 5


@pytest.mark.parametrize(
    ("name", "scale", "words"),
    [
        ("Ink", 1.6, "from 0 to 1.5"),
        ("Ink", float("nan"), "a number"),
        ("Ink", "1", "a number"),
        ("Oil", 1, "Ink, Lace"),
    ],
)
def test_what_makes_no_sense_gets_a_sentence(loras: Loras, name: str, scale: Any, words: str) -> None:
    assert words in loras.set(name, scale)
    assert loras.scales == {} and loras._live.told == []


def test_after_a_failure_the_page_shows_what_really_acts(loras: Loras) -> None:
    loras.set("Lace", 0.5)
    loras.shelf.loras[0].file.unlink()
    assert "Put it back" in loras.set("Ink", 1.0)
    assert loras.scales == {"Lace": 0.5}


@pytest.mark.parametrize(
    ("prompt", "phrase", "expected"),
    [
        ("", "ink", "ink"),
        ("a cat, ", "ink wash", "a cat, ink wash"),
        ("a cat, ink", "ink", "a cat, ink"),
        ("a cat", "ink (style)", "a cat, ink \\(style\\)"),
        ("a cat", "ink \\(style\\)", "a cat, ink \\(style\\)"),
    ],
)
def test_a_phrase_finds_its_place(prompt: str, phrase: str, expected: str) -> None:
    assert appended(prompt, phrase) == expected


def test_every_connected_page_is_told() -> None:
    live = Live(StandInEngine())  # type: ignore[arg-type]
    live.tell(AGAIN)
    app = Starlette(routes=live.routes())
    with TestClient(app) as client:
        with client.websocket_connect(SOCKET_PATH) as first, client.websocket_connect(SOCKET_PATH) as second:
            greet(first, live, "anna")
            greet(second, live, "bert")
            live.tell(AGAIN)
            assert first.receive_json() == second.receive_json() == AGAIN
        live.close()


def test_a_prompt_picks_a_style_and_takes_it_out_again(loras: Loras) -> None:
    wanted, sentence = loras.follow(["a cat <lora:ink:0.8>", "", "<lora:oil:1>"], {})
    assert wanted == {"Ink": 0.8} == loras.scales and sentence == "In every picture now: Ink 0.8."
    assert loras.follow(["a cat <lora:ink:0.8>"], wanted)[0] == wanted
    loras.set("Lace", 0.5)
    assert loras.follow(["a cat"], wanted)[0] == {} and loras.scales == {"Lace": 0.5}


def test_a_prompt_that_asks_for_too_much_of_a_style_is_answered(loras: Loras) -> None:
    assert "1.5" in loras.follow(["<lora:Ink:7>"], {})[1] and loras.scales == {}

"""The page as Gradio will serve it: ids, declarations, presets, and sketches that agree with their strokes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from gradio.state_holder import StateHolder

from demo import assets
from demo.page import page
from demo.page.presets import AS_DRAWN, EXAMPLES, STYLES, TIMES, chosen, compose
from pipeline.engine.sizes import Sizes
from pipeline.models.catalogue import Distillation
from pipeline.settings import CHOICES, DECLARATIONS, MEMORY_PRESETS, RANGES, FrameSettings

CANVAS_IDS = {"canvas", "picture", "status", "camera", "undo", "redo", "clear", "pause", "reset_memory", "save"}


def live_with(
    control: str | None,
    guides: bool = True,
    memories: Sequence[str] = ("none", "causal"),
    distillation: Distillation = "tcd",
) -> Any:
    """What a page asks of an engine with a control and an adapter, or without, whose model guidance helps, or not, and
    paints in few steps by this, and which has these memories."""
    entry = SimpleNamespace(defaults=FrameSettings(steps=3), guides=guides, distillation=distillation, subjects=())
    model = SimpleNamespace(entry=entry, title="A model")
    engine = SimpleNamespace(
        model=model,
        control_name=control,
        adapter_name=control and "like-sd15",
        memory_name=memories[0],
        memory_names=memories,
        sizes=Sizes(8),
    )
    return SimpleNamespace(mint=str, leave=str, address_of=str, engine=engine, sure_guess=None)


def built(control: str | None, guides: bool = True, **others: Any) -> dict[str, Any]:
    """The page of such an engine."""

    async def config() -> dict[str, Any]:
        return page.build(live_with(control, guides, **others)).get_config_file()

    # In a running loop, because Gradio makes one that it never closes where there is none.
    return asyncio.run(config())


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return built("sketch-sd15")


def component(config: dict[str, Any], elem_id: str) -> dict[str, Any]:
    return next(each["props"] for each in config["components"] if each["props"].get("elem_id") == elem_id)


def test_pages_that_were_closed_do_not_add_up() -> None:
    async def states_after(pages: int) -> int:
        holder = StateHolder()
        holder.set_blocks(page.build(live_with(None)))
        for number in range(pages):
            holder[f"page {number}"]
        return len(holder.session_data)

    assert asyncio.run(states_after(page.KEPT_PAGES + 20)) == page.KEPT_PAGES


@pytest.mark.parametrize("name", DECLARATIONS)
def test_every_setting_is_on_the_page_as_declared(config: dict[str, Any], name: str) -> None:
    shown = component(config, name)
    assert shown["label"] == DECLARATIONS[name].label
    assert DECLARATIONS[name].help in shown["info"]
    if name in CHOICES:
        choices = ["none", "causal"] if name == "memory" else list(CHOICES[name].choices)
        assert [each[0] for each in shown["choices"]] == choices
    if name in RANGES:
        each = RANGES[name]
        assert (shown["minimum"], shown["maximum"]) == (each.minimum, each.maximum)
        assert each.unit in shown["info"]


def test_a_fresh_page_begins_with_the_model_s_own_settings(config: dict[str, Any]) -> None:
    assert component(config, "steps")["value"] == 3


@pytest.mark.parametrize("name", DECLARATIONS)
def test_every_setting_goes_to_the_wire_when_it_changes(config: dict[str, Any], name: str) -> None:
    sent = [each for each in config["dependencies"] if f"rearview?.set({{ {name}: value }})" in (each["js"] or "")]
    events = {event for each in sent for _, event in each["targets"]}
    assert events == {"input", "change"}


def test_the_slider_between_two_prompts_says_when_it_does_nothing(config: dict[str, Any]) -> None:
    for name in ("second_prompt", "prompt_blend"):
        assert "nothing" in component(config, name)["info"]
    assert component(config, "second_prompt")["value"] == "" and component(config, "prompt_blend")["value"] == 0


def test_a_control_and_an_adapter_have_their_settings_where_they_are_loaded(config: dict[str, Any]) -> None:
    ids = [{each["props"].get("elem_id") for each in page["components"]} for page in (config, built(None))]
    assert ids[0] - ids[1] == {"control_strength", "like", "like_strength", "like_part"}
    assert ids[1] <= ids[0]


def test_gamma_has_a_slider_where_the_model_is_tcds(config: dict[str, Any]) -> None:
    other = {each["props"].get("elem_id") for each in built("sketch-sd15", distillation="euler")["components"]}
    assert {each["props"].get("elem_id") for each in config["components"]} - other == {"gamma"}


def test_a_memory_is_chosen_where_there_are_several(config: dict[str, Any]) -> None:
    """The first is that of the engine's start, and the page's."""
    assert component(config, "memory")["value"] == "none"
    alone = {each["props"].get("elem_id") for each in built("sketch-sd15", memories=("none",))["components"]}
    assert {each["props"].get("elem_id") for each in config["components"]} - alone == {"memory"}


def test_a_model_that_guidance_does_not_help_says_so() -> None:
    ids = [{each["props"].get("elem_id") for each in page["components"]} for page in (built(None, False), built(None))]
    assert ids[0] - ids[1] == {"unguided"}
    assert ids[1] <= ids[0]


def test_the_first_settings_are_in_order() -> None:
    assert FrameSettings(**page.first_settings()).seed is not None
    assert page.first_settings(FrameSettings(steps=4, strength=0.6)).items() >= {"steps": 4, "strength": 0.6}.items()


def test_the_canvas_carries_its_ids_once() -> None:
    markup = assets.markup()
    ids = re.findall(r'\bid="(\w+)"', markup)
    assert len(ids) == len(set(ids))
    assert set(ids) >= CANVAS_IDS
    assert all(f'data-{fact}="0"' in markup for fact in ("fps", "latency-ms", "frames", "bank-fill"))


def test_the_template_holds_nothing_that_gradio_would_evaluate() -> None:
    markup = assets.markup() + page._examples_html(EXAMPLES)
    assert not re.search(r"\$\{|\{\{|`|@children", markup)


def test_every_control_of_the_studio_has_a_name() -> None:
    markup = assets.markup()
    buttons = re.findall(r"<button\b([^>]*)>(.*?)</button>", markup, flags=re.DOTALL)
    others = re.findall(r"<(?:select|input|canvas|progress)\b[^>]*>", markup)
    assert buttons and others
    # What a script fills in stands in an element with data-fact.
    assert [
        each for each in buttons if "aria-label=" not in each[0] and not re.sub(r"<(?!b data-fact)[^>]*>", "", each[1])
    ] == []
    assert [each for each in others if "aria-label=" not in each and "hidden" not in each] == []


def test_the_page_asks_no_other_host_for_fonts() -> None:
    assert "http" not in page.launch_options()["theme"]._font_css.__str__()


def test_there_are_enough_styles_and_examples() -> None:
    assert len(STYLES) >= 12
    assert {"day", "sunset", "night", "winter"} <= set(TIMES)
    assert len(EXAMPLES) == 6
    assert all(chosen(each.prompt) == (each.style, each.time) for each in EXAMPLES)


def test_every_memory_preset_has_a_button_and_the_page_begins_with_the_steady_one() -> None:
    assert set(MEMORY_PRESETS) == {"steady", "paper", "released code"}
    assert MEMORY_PRESETS["steady"].items() <= page.first_settings().items()
    assert len({frozenset(each) for each in MEMORY_PRESETS.values()}) == 1


@pytest.mark.parametrize(
    ("prompt", "style", "time", "expected"),
    [
        ("", "oil", None, "oil painting"),
        ("a cat", "oil", "night", "oil painting, a cat, night"),
        ("Oil Painting, a cat,  on a mat, night", "ink", AS_DRAWN, "ink painting, a cat, on a mat"),
        ("(a cat)1.4", None, "winter", "(a cat)1.4, winter"),
    ],
)
def test_a_preset_finds_its_place(prompt: str, style: str | None, time: str | None, expected: str) -> None:
    assert compose(prompt, style, time) == expected


@pytest.mark.parametrize("style", STYLES)
def test_what_was_composed_is_recognised(style: str) -> None:
    for time in (AS_DRAWN, *TIMES):
        prompt = compose("a boat, at sea", style, time)
        assert chosen(prompt) == (style, time)
        assert compose(prompt, style, time) == prompt

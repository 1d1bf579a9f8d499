"""The Gradio page: where everything stands and how it is wired. What happens is decided elsewhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import gradio as gr

from demo import assets
from demo.live.live import Live
from demo.page.api import build_api
from demo.page.controls import help_of, label_of, quiet, radio, send_changes, slider
from demo.page.looks import SUBMITTED, build_looks, build_other_prompts, studio_facts, wire_applying, wire_looks
from demo.page.lora import Styles, build_styles
from demo.page.presets import EXAMPLES, Example
from demo.page.replay import build_replay_tab
from demo.page.uploaded_only import UploadedOnly
from demo.page.video import KEPT_FILES, MAXIMUM_UPLOAD, build_video_tab, wire_video_tab
from demo.page.video_jobs import VideoJobs
from demo.words import word, words
from pipeline.settings import DECLARATIONS, MEMORY_PRESETS, RANGES, FrameSettings

if TYPE_CHECKING:
    from pipeline import Session

FIRST_SLIDERS = ("fusion_strength", "bank_frames", "steps", "steadiness", "strength")
MORE_SLIDERS = ("guidance", "fusion_threshold", "bank_interval")
CONTROL_SLIDER = "control_strength"
GAMMA_SLIDER = "gamma"
LIKE_SLIDER, LIKE_CHOICE = "like_strength", "like_part"
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONOSPACE_FONTS = ("ui-monospace", "Menlo", "Consolas", "monospace")
FIRST_SEED = 7
KEPT_PAGES = 256
"""Gradio keeps about 0.1 MB for each page that was ever opened, up to a number: by default for 10,000 pages."""

CONNECT = "(token) => { window.rearviewToken = token; window.rearview?.connect(token); }"
SHOW_EXAMPLES = "() => { document.getElementById('examples').style.display = ''; }"
HIDE_EXAMPLES = "() => { document.getElementById('examples').style.display = 'none'; }"
STILL_OPEN = """
try {
  const open = JSON.parse(localStorage.getItem("rearview.open")) ?? [];
  const narrow = matchMedia("(max-width: 1119px)").matches;
  document.documentElement.dataset.open = open.filter((name) => !narrow || name !== "settings").join(" ");
} catch {
  // Nothing is kept here.
}
"""
"""Opens what was open, see `page/drawers.js`, before there is anything that would move."""

PICK_EXAMPLE = """
element.querySelectorAll("button").forEach((button) => {
  button.addEventListener("click", () => {
    window.rearview.replay(button.dataset.recording);
    trigger("pick", { name: button.dataset.name });
  });
});
"""


def first_settings(defaults: FrameSettings | None = None) -> dict[str, Any]:
    """The settings that a fresh page shows and sends: a model's defaults, with a seed."""
    settings = (defaults or FrameSettings()).changed(seed=FIRST_SEED)
    return {name: getattr(settings, name) for name in DECLARATIONS}


def launch_options() -> dict[str, Any]:
    """What `launch` needs for this page's look."""
    theme = gr.themes.Soft(
        primary_hue="red",
        neutral_hue="stone",
        font=list(FONTS),
        font_mono=list(MONOSPACE_FONTS),
        radius_size="lg",
    ).set(
        block_background_fill="var(--rv-card)",
        block_background_fill_dark="var(--rv-card)",
        block_border_width="1px",
        block_border_width_dark="1px",
        block_border_color="var(--rv-line)",
        block_border_color_dark="var(--rv-line)",
        block_shadow="none",
        block_shadow_dark="none",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_text_color="var(--rv-text)",
        block_title_text_color_dark="var(--rv-text)",
        block_title_padding="0",
        button_primary_background_fill="var(--rv-accent)",
        button_primary_background_fill_dark="var(--rv-accent)",
        button_primary_text_color="var(--rv-card)",
        button_primary_text_color_dark="var(--rv-card)",
        checkbox_label_background_fill_selected="var(--rv-accent)",
        checkbox_label_background_fill_selected_dark="var(--rv-accent)",
        checkbox_label_text_color_selected="var(--rv-card)",
        checkbox_label_text_color_selected_dark="var(--rv-card)",
        block_info_text_color="var(--rv-quiet)",
        block_info_text_color_dark="var(--rv-quiet)",
        body_background_fill="var(--rv-ground)",
        body_background_fill_dark="var(--rv-ground)",
        slider_color="var(--rv-accent)",
        slider_color_dark="var(--rv-accent)",
    )
    return {
        "theme": theme,
        "head": f"<style>{assets.style()}</style><script>{STILL_OPEN}</script>",
        "footer_links": ["gradio", "settings"],
        "max_file_size": MAXIMUM_UPLOAD,
    }


class Lending(Protocol):
    """What a page has where its GPU is lent for a call at a time: a row above the pictures, and tabs of its own in the
    place of those that ask an engine which is always there."""

    def build_row(self) -> None:
        """Called where the row goes."""

    def build_tabs(self) -> list[gr.Tab]:
        """Called beside the tab that is live."""

    def wire(self, page: gr.Blocks, live: Live, settings: Mapping[str, gr.components.Component]) -> None:
        """Called when all is there; `settings` are components by the names of settings."""


def build(live: Live, styles: Styles | None = None, lending: Lending | None = None) -> gr.Blocks:
    """The page whose canvas talks to `live`, and whose videos are translated by the same engine, unless there is a
    `lending`; `styles` are those that the host has beside the model."""

    def address_of(request: gr.Request) -> str:
        """The address that an event of the page counts for."""
        return live.address_of(request.request)

    def open_session(party: str) -> Session:
        """A session beside the live ones, in the same fair order."""
        return live.engine.open(party=party)

    with UploadedOnly(title=word("page.title"), analytics_enabled=False, delete_cache=KEPT_FILES) as page:
        settings = first_settings(live.engine.model.entry.defaults)
        gr.HTML(html_template=assets.markup("page/head.html"), apply_default_css=False, elem_id="head")
        if lending is not None:
            lending.build_row()
        with gr.Row(elem_id="studio"):
            with gr.Column(elem_id="column_stage"):
                with gr.Tabs(elem_id="tabs"):
                    with gr.Tab(word("page.live"), elem_id="live_tab") as live_tab:
                        canvas = gr.HTML(
                            html_template=assets.markup(),
                            js_on_load=assets.starter(),
                            apply_default_css=False,
                            elem_id="live",
                            settings=settings,
                            facts=studio_facts(live.engine.model.entry.subjects, live.sure_guess),
                            words=words(),
                        )
                    if lending is None:
                        with gr.Tab(word("page.video"), elem_id="video_tab") as video_tab:
                            video = build_video_tab()
                        with gr.Tab(word("page.render"), elem_id="render_tab") as render_tab:
                            build_replay_tab(live.engine, address_of)
                        tabs = [video_tab, render_tab]
                    else:
                        tabs = lending.build_tabs()
                examples = gr.HTML(
                    html_template=_examples_html(EXAMPLES),
                    js_on_load=PICK_EXAMPLE,
                    apply_default_css=False,
                    elem_id="examples",
                )
            with gr.Column(elem_id="column_side"):
                looks = build_looks(settings)
                _markup("settings/drawer.html")
                with gr.Column(elem_id="settings_drawer"):
                    _markup("settings/sheet.html", elem_id="sheet_head")
                    with gr.Group():
                        sliders: dict[str, gr.components.Component] = {
                            name: slider(name, settings) for name in FIRST_SLIDERS
                        }
                    presets = _memory_presets()
                    _markup("settings/rest.html")
                    with gr.Column(elem_id="rest_drawer"):
                        sliders |= _rest(page, live, settings, looks.prompt, styles or Styles())
        controls: dict[str, gr.components.Component] = {"prompt": looks.prompt, **sliders}
        wire_looks(looks)
        picked = examples.pick(_picked, None, [looks.prompt, looks.style, looks.time], **quiet)
        picked.success(fn=None, js=SUBMITTED, inputs=looks.prompt, **quiet)
        for name, component in sliders.items():
            send_changes(component, name)
        wire_applying(canvas, controls)
        _wire_presets(presets, controls)
        _wire_token(page, canvas, live)
        if lending is None:
            jobs = VideoJobs(open_session)
            wire_video_tab(page, video, jobs, controls, address_of)
            build_api(page, open_session, jobs, settings, address_of)
        else:
            lending.wire(page, live, controls)
        # Sketches are for the canvas alone.
        live_tab.select(fn=None, js=SHOW_EXAMPLES, **quiet)
        for tab in tabs:
            tab.select(fn=None, js=HIDE_EXAMPLES, **quiet)
    # For an app that mounts the page; `launch` wants it as an argument.
    page.state_session_capacity = KEPT_PAGES
    return page


def _markup(name: str, **place: Any) -> None:
    """A part of the studio's markup among Gradio's."""
    gr.HTML(html_template=assets.markup(name), apply_default_css=False, **place)


def _rest(
    page: gr.Blocks, live: Live, settings: dict[str, Any], prompt: gr.Textbox, styles: Styles
) -> dict[str, gr.components.Component]:
    """All settings that a first drawing can do without, and what the host has beside its model."""
    components: dict[str, gr.components.Component] = {}
    memories, entry = live.engine.memory_names, live.engine.model.entry
    if len(memories) > 1:
        components["memory"] = radio("memory", {"memory": memories[0]}, memories)
    components |= build_other_prompts(settings)
    prompts = (prompt, components["negative_prompt"], components["second_prompt"])
    build_styles(page, styles, prompts)  # type: ignore[arg-type]
    own = (*_offered(live.engine), *((GAMMA_SLIDER,) if entry.distillation == "tcd" else ()))
    return components | _more_settings(settings, own, guided=entry.guides)


def _memory_presets() -> dict[str, gr.Button]:
    """A button for each of the sets of settings that the papers and we suggest."""
    with gr.Row(elem_classes="rv-memory-presets"):
        ids = {name: f"memory_{name.replace(' ', '_')}" for name in MEMORY_PRESETS}
        return {
            name: gr.Button(word(f"page.{elem_id}"), elem_id=elem_id, min_width=90, size="sm")
            for name, elem_id in ids.items()
        }


def _wire_presets(presets: dict[str, gr.Button], controls: dict[str, gr.components.Component]) -> None:
    for name, button in presets.items():
        values = MEMORY_PRESETS[name]
        outputs = [controls[each] for each in values]
        button.click(fn=None, js=f"() => {list(values.values())}", outputs=outputs, **quiet)


def _offered(engine: Any) -> tuple[str, ...]:
    """The settings that act only with what an engine has beside its model."""
    control = (CONTROL_SLIDER,) if engine.control_name is not None else ()
    return (*control, *((LIKE_SLIDER, LIKE_CHOICE) if engine.adapter_name is not None else ()))


def _more_settings(settings: dict[str, Any], own: Sequence[str], guided: bool) -> dict[str, gr.components.Component]:
    """What says how each picture is painted; `own` are those that this server's model, control and adapter alone
    have."""
    components: dict[str, gr.components.Component] = {}
    with gr.Group(elem_id="more"):
        if LIKE_SLIDER in own:
            _markup("drawing/like.html", js_on_load=assets.well_starter(), elem_id="like")
        else:
            gr.HTML(f'<p class="rv-note">{word("page.like_embedded")}</p>', apply_default_css=False)
        for name in (*own, *MORE_SLIDERS):
            components[name] = slider(name, settings) if name in RANGES else radio(name, settings)
        components["seed"] = gr.Number(
            settings["seed"],
            label=label_of("seed"),
            info=help_of("seed"),
            precision=0,
            minimum=RANGES["seed"].minimum,
            maximum=RANGES["seed"].maximum,
            elem_id="seed",
            min_width=200,
        )
        components["guidance_kind"] = radio("guidance_kind", settings)
        components["residual_scale"] = slider("residual_scale", settings)
        if not guided:
            gr.HTML(f'<p class="rv-note">{word("page.unguided")}</p>', apply_default_css=False, elem_id="unguided")
        for name in ("pipelined", "finer", "bank_renewal"):
            components[name] = radio(name, settings)
    return components


def _picked(event: gr.EventData) -> tuple[str, str, str]:
    example = next(each for each in EXAMPLES if each.name == event.name)
    return example.prompt, example.style, example.time


def _wire_token(page: gr.Blocks, canvas: gr.HTML, live: Live) -> None:
    """Fetch a token when the page loads, and whenever the canvas asks for another. It holds for this Gradio session and
    for who is logged in on it."""
    token = gr.Textbox(visible="hidden", elem_id="token", container=False, show_label=False)

    def mint(request: gr.Request) -> str:
        return live.mint(str(request.session_hash), request.username)

    def leave(request: gr.Request) -> None:
        live.leave(str(request.session_hash))

    for event in (page.load, canvas.renew):
        event(mint, None, token, **quiet).success(fn=None, js=CONNECT, inputs=token, **quiet)
    page.unload(leave)


def _examples_html(examples: tuple[Example, ...]) -> str:
    cards = "".join(map(_card, examples))
    return f'<div class="rv-examples" role="group" aria-label="{word("page.examples")}">{cards}</div>'


def _card(example: Example) -> str:
    data, recording = (
        base64.b64encode(each.read_bytes()).decode("ascii") for each in (example.picture, example.recording)
    )
    return (
        f'<button type="button" class="rv-example" data-name="{example.name}" data-recording="{recording}">'
        f'<img src="data:image/png;base64,{data}" alt="">'
        f"<span>{html.escape(example.title)}<small>{html.escape(example.prompt)}</small></span></button>"
    )

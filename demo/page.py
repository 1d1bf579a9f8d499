"""The Gradio page: where everything stands and how it is wired. What happens is decided elsewhere."""

from __future__ import annotations

import base64
import html
from typing import Any

import gradio as gr

from demo import assets
from demo.live import Live
from demo.lora import Styles, build_styles
from demo.presets import AS_DRAWN, EXAMPLES, STYLES, TIMES, Example, chosen, compose
from demo.replay import build_replay_tab
from demo.video import KEPT_FILES, MAXIMUM_UPLOAD, VideoJobs, build_video_tab, wire_video_tab
from demo.words import WORDS, word
from pipeline.settings import CHOICES, DECLARATIONS, MAXIMUM_SEED, MEMORY_PRESETS, RANGES, FrameSettings

MAIN_SLIDERS = ("steps", "steadiness", "fusion_strength", "bank_frames")
MORE_SLIDERS = ("strength", "guidance", "fusion_threshold", "bank_interval")
CONTROL_SLIDER = "control_strength"
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONOSPACE_FONTS = ("ui-monospace", "Menlo", "Consolas", "monospace")
FIRST_SEED = 7
KEPT_PAGES = 256
"""Gradio keeps about 0.1 MB for each page that was ever opened, up to a number: by default for 10,000 pages."""

CONNECT = "(token) => { window.rearviewToken = token; window.rearview?.connect(token); }"
ROLL = f"() => Math.floor(Math.random() * {MAXIMUM_SEED})"
SHOW_EXAMPLES = "() => { document.getElementById('examples').style.display = ''; }"
HIDE_EXAMPLES = "() => { document.getElementById('examples').style.display = 'none'; }"
PICK_EXAMPLE = """
element.querySelectorAll("button").forEach((button) => {
  button.addEventListener("click", () => {
    window.rearview.replay(button.dataset.recording);
    trigger("pick", { name: button.dataset.name });
  });
});
"""

quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""How an event of this page runs: at once, and unseen."""


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
        body_background_fill="var(--rv-ground)",
        body_background_fill_dark="var(--rv-ground)",
        slider_color="var(--rv-accent)",
        slider_color_dark="var(--rv-accent)",
    )
    return {
        "theme": theme,
        "head": f"<style>{assets.style()}</style>",
        "footer_links": ["gradio", "settings"],
        "max_file_size": MAXIMUM_UPLOAD,
    }


def build(live: Live, styles: Styles | None = None) -> gr.Blocks:
    """The page whose canvas talks to `live`, and whose videos are translated by the same engine; `styles` are those
    that the host has beside the model."""
    with gr.Blocks(title=word("page.title"), analytics_enabled=False, delete_cache=KEPT_FILES) as page:
        settings = first_settings(live.engine.model.entry.defaults)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(word("page.live"), elem_id="live_tab") as live_tab:
                canvas = gr.HTML(
                    html_template=assets.markup(),
                    js_on_load=assets.starter(),
                    apply_default_css=False,
                    elem_id="live",
                    settings=settings,
                    words=WORDS,
                )
            with gr.Tab(word("page.video"), elem_id="video_tab") as video_tab:
                video = build_video_tab()
            with gr.Tab(word("page.render"), elem_id="render_tab") as render_tab:
                build_replay_tab(live.engine)
        prompt, negative_prompt, style, time = _words(settings)
        blend = _blend(settings)
        build_styles(page, styles or Styles(), prompt)
        examples = gr.HTML(
            html_template=_examples_html(EXAMPLES), js_on_load=PICK_EXAMPLE, apply_default_css=False, elem_id="examples"
        )
        sliders = _settings(
            settings, controlled=live.engine.control_name is not None, guided=live.engine.model.entry.guides
        )
        _wire_words(prompt, style, time, examples)
        _wire_settings(blend | sliders)
        _wire_token(page, canvas, live)
        words = {"prompt": prompt, "negative_prompt": negative_prompt}
        wire_video_tab(page, video, VideoJobs(lambda: live.engine.open()), words | blend | sliders)
        # Sketches are for the canvas alone.
        live_tab.select(fn=None, js=SHOW_EXAMPLES, **quiet)
        for tab in (video_tab, render_tab):
            tab.select(fn=None, js=HIDE_EXAMPLES, **quiet)
    # For an app that mounts the page; `launch` wants it as an argument.
    page.state_session_capacity = KEPT_PAGES
    return page


def _words(settings: dict[str, Any]) -> tuple[gr.Textbox, gr.Textbox, gr.Radio, gr.Radio]:
    first_style, first_time = chosen(settings["prompt"])
    with gr.Row():
        prompt = _textbox("prompt", settings, scale=3)
        negative_prompt = _textbox("negative_prompt", settings, scale=2)
    style = gr.Radio(
        list(STYLES), value=first_style, show_label=False, container=False, elem_id="styles", elem_classes="rv-pills"
    )
    time = gr.Radio(
        [AS_DRAWN, *TIMES],
        value=first_time,
        show_label=False,
        container=False,
        elem_id="times",
        elem_classes="rv-pills",
    )
    _send_changes(negative_prompt, "negative_prompt")
    return prompt, negative_prompt, style, time


def _blend(settings: dict[str, Any]) -> dict[str, gr.components.Component]:
    """The second prompt, and how far the picture goes towards it."""
    with gr.Row():
        return {
            "second_prompt": _textbox("second_prompt", settings, scale=2),
            "prompt_blend": _slider("prompt_blend", settings, scale=2),
            "prompt_curve": _radio("prompt_curve", settings),
        }


def _textbox(name: str, settings: dict[str, Any], scale: int) -> gr.Textbox:
    declaration = DECLARATIONS[name]
    return gr.Textbox(
        settings[name],
        label=declaration.label,
        info=declaration.help,
        lines=1,
        max_lines=3,
        elem_id=name,
        scale=scale,
        min_width=280,
    )


def _settings(settings: dict[str, Any], controlled: bool, guided: bool) -> dict[str, gr.components.Component]:
    components: dict[str, gr.components.Component] = {}
    with gr.Row():
        for name in MAIN_SLIDERS:
            components[name] = _slider(name, settings)
    # Open at first: what a closed accordion holds is not on the page at all, and scripts look for every setting.
    with gr.Accordion(word("page.more"), open=True, elem_id="more"):
        control = (CONTROL_SLIDER,) if controlled else ()
        for names in ((*control, *MORE_SLIDERS[:2]), MORE_SLIDERS[2:]):
            with gr.Row():
                for name in names:
                    components[name] = _slider(name, settings)
        with gr.Row(elem_classes="rv-seed"):
            components["seed"] = gr.Number(
                settings["seed"],
                label=RANGES["seed"].label,
                info=_help("seed"),
                precision=0,
                minimum=RANGES["seed"].minimum,
                maximum=RANGES["seed"].maximum,
                elem_id="seed",
                min_width=200,
            )
            dice = gr.Button(word("page.dice"), elem_id="dice", min_width=140)
            dice.click(fn=None, js=ROLL, outputs=components["seed"], **quiet)
        with gr.Row():
            components["guidance_kind"] = _radio("guidance_kind", settings)
            components["residual_scale"] = _slider("residual_scale", settings)
        if not guided:
            gr.HTML(f'<p class="rv-note">{word("page.unguided")}</p>', apply_default_css=False, elem_id="unguided")
        with gr.Row(elem_classes="rv-seed"):
            components["pipelined"] = _radio("pipelined", settings)
            components["bank_renewal"] = _radio("bank_renewal", settings)
            for name, values in MEMORY_PRESETS.items():
                elem_id = f"memory_{name.replace(' ', '_')}"
                button = gr.Button(word(f"page.{elem_id}"), elem_id=elem_id, min_width=180)
                button.click(
                    fn=None,
                    js=f"() => {list(values.values())}",
                    outputs=[components[each] for each in values],
                    **quiet,
                )
    return components


def _slider(name: str, settings: dict[str, Any], scale: int = 1) -> gr.Slider:
    each = RANGES[name]
    return gr.Slider(
        each.minimum,
        each.maximum,
        value=settings[name],
        step=each.step,
        label=each.label,
        info=_help(name),
        elem_id=name,
        scale=scale,
        min_width=220,
        buttons=["reset"],
    )


def _radio(name: str, settings: dict[str, Any]) -> gr.Radio:
    declaration = CHOICES[name]
    return gr.Radio(
        list(declaration.choices),
        value=settings[name],
        label=declaration.label,
        info=declaration.help,
        elem_id=name,
        min_width=220,
    )


def _help(name: str) -> str:
    return f"{RANGES[name].help} {word('page.unit', unit=RANGES[name].unit)}"


def _send_changes(component: Any, name: str) -> None:
    """Let every change of `component`, by hand or by the page, go straight to the live wire."""
    js = f"(value) => {{ window.rearview?.set({{ {name}: value }}); }}"
    for event in (component.input, component.change):
        event(fn=None, js=js, inputs=component, **quiet)


def _wire_settings(components: dict[str, gr.components.Component]) -> None:
    for name, component in components.items():
        _send_changes(component, name)


def _wire_words(prompt: gr.Textbox, style: gr.Radio, time: gr.Radio, examples: gr.HTML) -> None:
    _send_changes(prompt, "prompt")
    for radio in (style, time):
        radio.input(compose, [prompt, style, time], prompt, **quiet)
    prompt.change(chosen, prompt, [style, time], trigger_mode="always_last", **quiet)
    examples.pick(_picked, None, [prompt, style, time], **quiet)


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

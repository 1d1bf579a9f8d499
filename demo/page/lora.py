"""The page's part for LoRA and learned words: which are there, how much of each is in the pictures of this server."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo.words import word
from demo.words.engine import told
from pipeline.errors import LoraError, RearviewError
from pipeline.models.lora import SCALE, FusedLoras
from pipeline.models.lora_files import LoraShelf
from pipeline.models.textual_inversion import EmbeddingShelf
from pipeline.prompts.notations import named, without_tags
from pipeline.settings import SettingsError

if TYPE_CHECKING:
    from demo.live.live import Live
    from pipeline.models.lora import Lora

FIRST_SCALE = 1.0
AGAIN = {"type": "again"}
"""What the other pages are told when the model has changed: they send their canvas once more."""

PAINT_AGAIN = "() => { window.rearview?.again(); }"
"""The same for the page that asked, which may have no socket to be told by."""


quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""How an event of this panel runs: at once, and unseen."""


class Loras:
    """The styles of a server and how much of each is in its pictures. May be used from any thread."""

    def __init__(self, live: Live, shelf: LoraShelf) -> None:
        self.shelf = shelf
        self._live = live
        self._fused = FusedLoras(live.engine.model)
        self._by_name: Mapping[str, Lora] = {each.name: each for each in shelf.loras}
        self._asked: dict[str, float] = {}
        live.engine.offer_styles([each.name for each in shelf.loras])
        self._lock = Lock()

    @property
    def scales(self) -> Mapping[str, float]:
        """How much is asked for of each style that is picked."""
        return dict(self._asked)

    def set(self, name: str, scale: float | None) -> str:
        """Let a style be in all pictures at `scale`, or take it out with `None`; a sentence on what became of it.

        Waits until the model is changed. Of several calls that wait for the engine the newest is carried out, with what
        all of them asked for.
        """
        try:
            self._check(name, scale)
        except (LoraError, SettingsError) as error:
            return told(error)
        try:
            self._ask(name, scale).result()
        except CancelledError:
            return self.sentence()
        except RearviewError as error:
            self._ask_for_what_acts()
            return told(error)
        except BaseException:
            self._ask_for_what_acts()
            raise
        self._live.tell(AGAIN)
        return self.sentence()

    def follow(self, prompts: Sequence[str], before: Mapping[str, float]) -> tuple[dict[str, float], str]:
        """Pick the styles that prompts ask for by `<lora:name:0.8>`, and take out those that they asked for
        `before` and do no more; what they ask for now, and a sentence on what became of it."""
        tags = [tag for each in prompts for tag in without_tags(each)[1]]
        wanted = {name: tag.scale for tag in tags if (name := named(tag.name, self._by_name))}
        changes = {name: wanted.get(name) for name in {*before, *wanted} if before.get(name) != wanted.get(name)}
        said = [self.set(name, scale) for name, scale in sorted(changes.items())]
        return wanted, next((each for each in said if each != self.sentence()), self.sentence())

    def _ask(self, name: str, scale: float | None) -> Future[None]:
        with self._lock:
            kept = {each: value for each, value in self._asked.items() if each != name}
            self._asked = kept if scale is None else {**kept, name: scale}
            blend = {self._by_name[each]: value for each, value in self._asked.items()}
            return self._live.engine.change("loras", lambda model: self._fused.blend(blend))

    def _ask_for_what_acts(self) -> None:
        with self._lock:
            self._asked = {lora.name: value for lora, value in self._fused.scales.items()}

    def sentence(self) -> str:
        """What acts now."""
        acting = ", ".join(f"{name} {scale:g}" for name, scale in sorted(self._asked.items()))
        return word("lora.acting", styles=acting) if acting else word("lora.none")

    def _check(self, name: str, scale: float | None) -> None:
        if name not in self._by_name:
            raise LoraError(
                f"style came as {str(name)[:60]!r}; needed: one of {', '.join(self._by_name)}. Reload the page."
            )
        if scale is not None:
            SCALE.check("scale", scale)


@dataclass(frozen=True)
class Styles:
    """What a host has beside the model: a folder of styles, one of words, or neither."""

    loras: Loras | None = None
    words: EmbeddingShelf | None = None


def build_styles(page: gr.Blocks, styles: Styles, prompts: Sequence[gr.Textbox]) -> None:
    """The part of the page for what the host has; nothing where it has neither. Clicks add words to the first of
    `prompts`; each of them may ask for a style."""
    prompt = prompts[0]
    if styles.loras is not None:
        with gr.Accordion(word("lora.styles"), open=True, elem_id="lora_panel", elem_classes="rv-panel"):
            build_loras(page, styles.loras, prompts)
    if styles.words is not None:
        with gr.Accordion(word("lora.words"), open=True, elem_id="words_panel", elem_classes="rv-panel"):
            build_words(styles.words, prompt)


def build_loras(page: gr.Blocks, loras: Loras, prompts: Sequence[gr.Textbox]) -> None:
    """A choice of several styles, a slider and the calling words of each that is picked, and what acts now."""
    names = [each.name for each in loras.shelf.loras]
    gr.HTML(paragraph(word("lora.for_everybody") if names else word("lora.no_files")), apply_default_css=False)
    picks = gr.CheckboxGroup(
        names,
        value=[],
        show_label=False,
        container=False,
        # Gradio takes what is no event's input for a display.
        interactive=True,
        elem_id="loras",
        elem_classes="rv-pills",
    )
    rows, sliders = [], []
    for index, lora in enumerate(loras.shelf.loras):
        with gr.Row(visible=False, elem_id=f"lora_{index}", elem_classes="rv-lora") as row:
            slider = gr.Slider(
                SCALE.minimum,
                SCALE.maximum,
                value=FIRST_SCALE,
                step=SCALE.step,
                label=lora.name,
                elem_id=f"lora_scale_{index}",
                min_width=220,
                buttons=[],
            )
            _phrases(lora.triggers, prompts[0], f"lora_{index}_trigger")
        rows.append(row)
        sliders.append(slider)
    status = gr.HTML(status_html(word("lora.none")), apply_default_css=False, elem_id="lora_status")
    _refused(loras.shelf.refused, "lora_refused")

    def pick(event: gr.SelectData) -> list[Any]:
        return shown(loras, loras.set(event.value, FIRST_SCALE if event.selected else None))

    everything = [picks, *rows, *sliders, status]
    picks.select(pick, None, everything, **quiet).then(fn=None, js=PAINT_AGAIN, **quiet)
    for name, slider in zip(names, sliders, strict=True):

        def move(scale: float, name: str = name) -> str:
            return status_html(loras.set(name, scale))

        moved = slider.input(move, slider, status, trigger_mode="always_last", **quiet)
        moved.then(fn=None, js=PAINT_AGAIN, **quiet)
    by_prompts = gr.State({})

    def follow(before: dict[str, float], *texts: str) -> list[Any]:
        wanted, sentence = loras.follow(texts, before)
        return [wanted, *(shown(loras, sentence) if wanted != before else [gr.skip() for _ in everything])]

    for each in prompts if names else ():
        each.change(follow, [by_prompts, *prompts], [by_prompts, *everything], trigger_mode="always_last", **quiet)
    by_prompts.change(fn=None, js=PAINT_AGAIN, **quiet)
    page.load(lambda: shown(loras, loras.sentence()), None, everything, **quiet)


def shown(loras: Loras, sentence: str) -> list[Any]:
    """What the choice, the rows, the sliders and the status line of every page show."""
    scales, names = loras.scales, [each.name for each in loras.shelf.loras]
    return [
        [name for name in names if name in scales],
        *(gr.update(visible=name in scales) for name in names),
        *(scales.get(name, FIRST_SCALE) for name in names),
        status_html(sentence),
    ]


def build_words(words: EmbeddingShelf, prompt: gr.Textbox) -> None:
    """The words that prompts may hold beside those of the language."""
    said = word("lora.add_to_prompt") if words.embeddings else word("lora.no_files")
    gr.HTML(paragraph(said), apply_default_css=False)
    _phrases([each.word for each in words.embeddings], prompt, "word")
    _refused(words.refused, "words_refused")


def _refused(sentences: Sequence[str], elem_id: str) -> None:
    if sentences:
        gr.HTML(listing(sentences), apply_default_css=False, elem_id=elem_id)


def _phrases(phrases: Sequence[str], prompt: gr.Textbox, elem_id: str) -> None:
    """Small buttons, each of which adds its phrase to the prompt."""
    if not phrases:
        return
    with gr.Row(elem_classes="rv-phrases"):
        for index, phrase in enumerate(phrases):
            button = gr.Button(phrase, size="sm", elem_id=f"{elem_id}_{index}", elem_classes="rv-phrase", min_width=40)
            button.click(appended, [prompt, button], prompt, **quiet)


def appended(prompt: str, phrase: str) -> str:
    """`prompt` with a phrase at its end, unless it is there; brackets in the phrase are no weights."""
    plain = phrase.replace("\\(", "(").replace("\\)", ")").replace("(", "\\(").replace(")", "\\)")
    if plain in prompt:
        return prompt
    return f"{prompt.rstrip(' ,')}, {plain}" if prompt.strip(" ,") else plain


def paragraph(text: str) -> str:
    """A quiet line of text."""
    return f'<p class="rv-note">{html.escape(text)}</p>'


def status_html(sentence: str) -> str:
    """What acts now, for eyes and screen readers."""
    return f'<p class="rv-note" role="status">{html.escape(sentence)}</p>'


def listing(sentences: Sequence[str]) -> str:
    """A list of files that cannot be used, and why."""
    items = "".join(f"<li>{html.escape(each)}</li>" for each in sentences)
    count = word("lora.unusable", count=len(sentences))
    return f'<details class="rv-refused"><summary>{count}</summary><ul>{items}</ul></details>'

"""What a visitor can change, and the range of each: declared once, read by sliders, command line and checks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from pipeline.settings.declarations import Choice, Range, SettingsError, Text, choice_field, number_field, text_field

Fit = Literal["crop", "pad"]
FITS: tuple[Fit, ...] = ("crop", "pad")
FIT = Choice(FITS, "Fit", "pad: show all of a picture; crop: cut what overhangs.")
BankRenewal = Literal["together", "spread"]
BANK_RENEWALS: tuple[BankRenewal, ...] = ("together", "spread")
PromptCurve = Literal["linear", "spherical"]
PROMPT_CURVES: tuple[PromptCurve, ...] = ("linear", "spherical")
LikePart = Literal["all", "style"]
LIKE_PARTS: tuple[LikePart, ...] = ("all", "style")
Pipelined = Literal["off", "on"]
PIPELINED: tuple[Pipelined, ...] = ("off", "on")
Finer = Literal["on", "off"]
FINER: tuple[Finer, ...] = ("on", "off")
FINER_TIMES = 2
"""A finer picture is so many times as wide and as high as the one that it takes the place of."""
GuidanceKind = Literal["full", "onetime", "self", "none"]
GUIDANCE_KINDS: tuple[GuidanceKind, ...] = ("full", "onetime", "self", "none")
MemoryName = Literal["own", "feature-bank", "causal", "recurrent", "none"]
OWN_MEMORY: MemoryName = "own"
"""The one that the engine was started with."""
MEMORY_NAMES: tuple[MemoryName, ...] = (OWN_MEMORY, "feature-bank", "causal", "recurrent", "none")
MAXIMUM_SEED = 2**31 - 1
MOST_SHOWN_NAMES, MOST_SHOWN_NAME = 5, 40
"""How many names that are none of ours a sentence repeats, and how much of each."""
GRADUAL = 0.25
"""How much of what is asked for may change from one frame to the next and still count as the same, which moves: so a
blend slider does under a hand, while a click on its other end is a new prompt."""


@dataclass(frozen=True)
class PromptBlend:
    """Another prompt that a prompt is blended with: its share, above 0 and at most 1, and the way from one to the
    other."""

    prompt: str
    share: float
    curve: PromptCurve


@dataclass(frozen=True)
class FrameSettings:
    """Everything that one visitor can change. It takes effect on the next frame and rebuilds nothing.

    `seed=None` means the seed that the session was opened with.
    """

    prompt: str = text_field(
        "watercolor painting",
        1000,
        "Prompt",
        "What do you draw? Say it: a red house at night. More of a word: (neon)1.4.",
    )
    negative_prompt: str = text_field("", 1000, "Negative prompt", "What should not be in it.")
    second_prompt: str = text_field(
        "",
        1000,
        "Second prompt",
        "What the blend slider leads to. While this is empty, that slider does nothing.",
    )
    prompt_blend: float = number_field(
        0.0,
        0.0,
        1.0,
        0.01,
        "share of the second prompt",
        "Prompt blend",
        "0 paints the first prompt, 1 the second. Does nothing without a second prompt.",
    )
    prompt_curve: PromptCurve = choice_field(
        "linear",
        PROMPT_CURVES,
        "Blend curve",
        "The way between both. Linear: straight. Spherical: along an arc, as strong halfway as at its ends.",
    )
    strength: float = number_field(
        0.95,
        0.1,
        1.0,
        0.05,
        "share of the way",
        "Strength",
        "How far from your drawing to the style: low keeps it, high repaints it.",
    )
    steps: int = number_field(
        1,
        1,
        4,
        1,
        "UNet calls a frame",
        "Denoising steps",
        "More steps refine the picture and take longer.",
        integer=True,
    )
    guidance: float = number_field(
        1.0,
        1.0,
        4.0,
        0.1,
        "times",
        "Guidance",
        "1 takes your words as they are; more exaggerates them, and most kinds of it take time.",
    )
    guidance_kind: GuidanceKind = choice_field(
        "full",
        GUIDANCE_KINDS,
        "Guidance kind",
        "What guidance leads away from. Full: the negative prompt, at half the speed. Onetime: the same, for "
        "one more step. Self: your drawing, at full speed. None: guidance is off.",
    )
    residual_scale: float = number_field(
        1.0,
        0.0,
        2.0,
        0.05,
        "times the residual noise",
        "Residual scale",
        "How firmly onetime and self guidance lead away; other than 1 it looks best with a low strength.",
    )
    gamma: float = number_field(
        0.3,
        0.0,
        1.0,
        0.05,
        "share of the noise",
        "Gamma",
        "How much fresh noise comes between the steps of a TCD model: 0 none, 1 all anew.",
    )
    memory: MemoryName = choice_field(
        OWN_MEMORY,
        MEMORY_NAMES,
        "Memory",
        "What it remembers of the pictures before. Own: what this server was started with. Feature-bank: their "
        "features, as they were. Causal: the first and the newest of them. Recurrent: a short summary that is handed "
        "on. None: nothing.",
    )
    fusion_strength: float = number_field(
        0.75,
        0.0,
        1.0,
        0.05,
        "share of the past",
        "Fusion strength",
        "How much of the past is mixed in where it still fits: more is steadier, less is livelier.",
    )
    fusion_threshold: float = number_field(
        0.9,
        0.0,
        1.0,
        0.01,
        "cosine",
        "Fusion threshold",
        "How well the past must fit before it is mixed in.",
    )
    bank_frames: float = number_field(
        0.25,
        0.0,
        4.0,
        0.25,
        "frames of features",
        "Bank size",
        "How much of the past is remembered; 0 forgets at once.",
    )
    bank_interval: int = number_field(
        4,
        1,
        16,
        1,
        "frames",
        "Bank interval",
        "Every how many frames it takes in what is new.",
        integer=True,
    )
    bank_renewal: BankRenewal = choice_field(
        "spread",
        BANK_RENEWALS,
        "Bank renewal",
        "Together: all layers take in the same frame, as in the paper. Spread: each its own, so that no frame is slow.",
    )
    steadiness: float = number_field(
        0.8,
        0.0,
        0.95,
        0.05,
        "share of the last picture",
        "Steadiness",
        "How much of the last picture stays where you change nothing; 0 paints each anew.",
    )
    control_strength: float = number_field(
        1.0,
        0.0,
        2.0,
        0.05,
        "times",
        "Control strength",
        "How closely the picture keeps to your lines, where a control is loaded; 0 lets go.",
    )
    like_strength: float = number_field(
        0.6,
        0.0,
        1.5,
        0.05,
        "times",
        "Likeness",
        "How closely the picture follows the one that it is to be like, where an adapter is loaded; 0 lets go.",
    )
    like_part: LikePart = choice_field(
        "all",
        LIKE_PARTS,
        "Taken over",
        "All: what is in the other picture, and how it is painted. Style: only how, with Stable Diffusion XL.",
    )
    pipelined: Pipelined = choice_field(
        "off",
        PIPELINED,
        "Pipelined denoising",
        "On: as many frames at once as there are steps, for the highest rate. Off: one, for the shortest delay.",
    )
    finer: Finer = choice_field(
        "on",
        FINER,
        "Finer at rest",
        "On: when nothing moves, the picture comes once more, twice as large and finer, where that is quick "
        "enough. Off: it stays as it is.",
    )
    seed: int | None = number_field(
        None, 0, MAXIMUM_SEED, 1, "number", "Seed", "Another number, another picture from the same words.", integer=True
    )
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        for name, declaration in DECLARATIONS.items():
            value = getattr(self, name)
            if not (name == "seed" and value is None):
                declaration.check(name, value)
        FIT.check("fit", self.fit)

    @property
    def prompts(self) -> tuple[str, str]:
        """What is asked for, and what is steered away from."""
        return self.prompt, self.negative_prompt

    @property
    def blend(self) -> PromptBlend | None:
        """What the prompt is blended with; `None` where that would change nothing."""
        if self.prompt_blend == 0 or not self.second_prompt.strip() or self.second_prompt == self.prompt:
            return None
        return PromptBlend(self.second_prompt, self.prompt_blend, self.prompt_curve)

    @property
    def shares(self) -> dict[str, float]:
        """What is asked for: every prompt that acts, with its share above 0; together they are 1."""
        blend = self.blend
        if blend is None:
            return {self.prompt: 1.0}
        both = {self.prompt: 1 - blend.share, blend.prompt: blend.share}
        return {prompt: share for prompt, share in both.items() if share > 0}

    def paints_as(self, other: FrameSettings) -> bool:
        """Whether one frame by itself would be painted the same under both."""
        curves = {self.prompt_curve, other.prompt_curve} if len(self.shares) > 1 else ()
        beside = ("steadiness", "pipelined", "finer", "prompt", "second_prompt", "prompt_blend", "prompt_curve")
        same = self == replace(other, **{name: getattr(self, name) for name in beside})
        return same and self.shares == other.shares and len(curves) < 2

    def asks_as(self, other: FrameSettings) -> bool:
        """Whether what is asked for is the same, or has moved by no more than `GRADUAL`.

        Half the sum of how much each prompt's share has changed (their total variation distance): 1 for another prompt,
        what the slider has moved by for a blend, and 0 for words that do not act, such as a second prompt at 0.
        """
        ours, theirs = self.shares, other.shares
        moved = sum(abs(ours.get(prompt, 0) - theirs.get(prompt, 0)) for prompt in ours.keys() | theirs.keys()) / 2
        return self.negative_prompt == other.negative_prompt and moved <= GRADUAL

    @property
    def guides(self) -> bool:
        """Whether guidance changes the picture."""
        return self.guidance > 1 and self.guidance_kind != "none"

    @property
    def negative_acts(self) -> bool:
        """Whether the negative prompt changes the picture."""
        return self.guides and self.guidance_kind != "self"

    @property
    def frames_under_way(self) -> int:
        """How many frames of one session may be under way: pipelined, one at each step (StreamDiffusion's stream batch,
        arXiv 2312.12491, section 3.1)."""
        return self.steps if self.pipelined == "on" else 1

    def changed(self, **changes: Any) -> FrameSettings:
        """A copy with `changes`; raises `SettingsError` for a name that is no setting or a value out of range."""
        unknown = sorted(set(changes) - {each.name for each in fields(self)})
        if unknown:
            known = ", ".join(each.name for each in fields(self))
            came = ", ".join(each[:MOST_SHOWN_NAME] for each in unknown[:MOST_SHOWN_NAMES])
            raise SettingsError(f"settings came with {came}; needed: some of {known}. Check the names.")
        return replace(self, **changes)


DECLARATIONS: dict[str, Range | Text | Choice] = {
    each.name: each.metadata["declaration"] for each in fields(FrameSettings) if "declaration" in each.metadata
}
CHOICES: dict[str, Choice] = {name: each for name, each in DECLARATIONS.items() if isinstance(each, Choice)}
RANGES: dict[str, Range] = {name: each for name, each in DECLARATIONS.items() if isinstance(each, Range)}

"""The shipped weights: every slider is alive, sketches come out richer, styles are what they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, cycle, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from demo.page import presets
from pipeline import Engine, FrameSettings, load_model
from pipeline.engine.stream import noise_for
from pipeline.frames.quality import ghost, lag, warp_error
from pipeline.settings import PROMPT_CURVES, PromptCurve
from training.clips.clips import Clip, draw_clip
from training.looks.looks import GRADES, LOOKS, canonical_prompt, looked
from training.model.painter import self_attention_averaged
from training.things.photos import held_out_photos

SKETCHES = Path(__file__).parents[3] / "examples" / "sketches"
FULLY = FrameSettings(strength=1.0)
SEED = 7


def translated(engine: Engine, picture: np.ndarray, settings: FrameSettings) -> np.ndarray:
    """One picture without a past."""
    session = engine.open(seed=SEED)
    try:
        return np.array(session.translate(picture, settings))
    finally:
        session.close()


def mean_error(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in 0..255."""
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())


def sketch(name: str, side: int = 256) -> np.ndarray:
    image = Image.open(SKETCHES / f"{name}.png").convert("RGB")
    return np.array(image.resize((side, side), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(load_model("embedded")) as engine:
        yield engine


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [*(sketch(name) for name in ("house", "face", "sailboat", "cat")), *held_out_photos()]


def with_prompts(pictures: list[np.ndarray], *prompts: str) -> list[tuple[np.ndarray, str]]:
    """Each picture with one of the prompts, by turns."""
    return list(zip(pictures, cycle(prompts), strict=False))


def mean_change(engine: Engine, pictures: list[np.ndarray], one: FrameSettings, other: FrameSettings) -> float:
    """Mean absolute difference in 0..255 that the settings make, without a past."""
    return float(np.mean([mean_error(translated(engine, p, one), translated(engine, p, other)) for p in pictures]))


def painted_pan(engine: Engine, **changes: float) -> np.ndarray:
    """Ten frames of a drawing that slides by (3, 4) pixels a frame, painted; `[10, 256, 256, 3]`."""
    drawing = sketch("house", 320)
    session = engine.open(seed=7)
    settings = FrameSettings(strength=1.0, **{"bank_interval": 1, "steadiness": 0.0, **changes})
    frames = [drawing[4 * k : 4 * k + 256, 3 * k : 3 * k + 256] for k in range(10)]
    painted = np.stack([np.array(session.translate(frame, settings)) for frame in frames])
    session.close()
    return painted


def test_strength_goes_evenly_from_nearly_the_input_to_fully_the_style(
    engine: Engine, pictures: list[np.ndarray]
) -> None:
    prompted = with_prompts(pictures, "watercolor painting", "oil painting", "anime", "neon lights")
    changes = []
    for tenths in (1, 3, 5, 7, 9, 10):
        settings = FrameSettings(strength=tenths / 10)
        errors = [mean_error(translated(engine, p, settings.changed(prompt=prompt)), p) for p, prompt in prompted]
        changes.append(np.mean(errors))
    assert (np.diff(changes) > 0).all(), changes
    assert changes[-1] >= 3 * changes[0], changes


def sharpness(picture: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels, in 0..255."""
    values = picture.astype(np.float32)
    return float(np.mean([np.abs(np.diff(values, axis=axis)).mean() for axis in (0, 1)]))


def test_more_steps_repaint_the_picture_less_each_time_and_keep_it_as_sharp(
    engine: Engine, pictures: list[np.ndarray]
) -> None:
    """All steps begin with one noise, so that each goes on with the strokes that are there."""
    prompted = with_prompts(pictures, "storybook painting", "watercolor painting", "anime")
    one, two, four = (
        [translated(engine, p, FULLY.changed(steps=steps, prompt=prompt)) for p, prompt in prompted]
        for steps in (1, 2, 4)
    )

    def change(fewer: list[np.ndarray], more: list[np.ndarray]) -> float:
        return float(np.mean([mean_error(a, b) for a, b in zip(fewer, more, strict=True)]))

    assert change(one, four) > 5
    assert change(one, two) > change(two, four) > 1
    for fewer, more in ((one, two), (two, four)):
        assert np.mean([sharpness(each) for each in more]) > 0.9 * np.mean([sharpness(each) for each in fewer])


def test_guidance_acts(engine: Engine, pictures: list[np.ndarray]) -> None:
    assert mean_change(engine, pictures, FULLY, FULLY.changed(guidance=2.0)) > 3
    guided = FULLY.changed(guidance=2.0)
    assert mean_change(engine, pictures, guided, guided.changed(negative_prompt="neon lights")) > 3


def test_prompt_weights_act(engine: Engine, pictures: list[np.ndarray]) -> None:
    light, heavy = (FULLY.changed(prompt=f"(neon lights){weight}") for weight in (0.4, 1.3))
    assert mean_change(engine, pictures, light, heavy) > 3


def test_a_long_prompt_is_read_to_its_end_and_spoils_nothing(engine: Engine, pictures: list[np.ndarray]) -> None:
    """The weights were trained with 75 words at most."""
    short, long = FULLY.changed(prompt="oil painting"), FULLY.changed(prompt="oil painting, " + "a house, " * 60)
    ended = long.changed(prompt=f"{long.prompt} neon lights, night")
    (encoder,) = engine.model.text_encoders
    assert len(encoder.tokenizer(long.prompt).input_ids) > 2 * 77
    assert mean_change(engine, pictures[:2], short, long) < 10
    assert mean_change(engine, pictures[:2], long, ended) > 3


@pytest.mark.parametrize("curve", PROMPT_CURVES)
def test_the_blend_slider_goes_from_one_prompt_to_the_other(
    engine: Engine, pictures: list[np.ndarray], curve: PromptCurve
) -> None:
    blend = FULLY.changed(prompt="oil painting", second_prompt="neon lights", prompt_curve=curve)
    places = [blend.changed(prompt_blend=quarters / 4) for quarters in range(5)]
    painted = [np.stack([translated(engine, each, place) for each in pictures[:2]]) for place in places]
    assert min(mean_error(*pair) for pair in pairwise(painted)) > 1
    assert (np.diff([mean_error(painted[0], each) for each in painted]) > 0).all()


def test_the_seed_acts(engine: Engine, pictures: list[np.ndarray]) -> None:
    assert mean_change(engine, pictures, FULLY.changed(seed=1), FULLY.changed(seed=2)) > 0.5


def test_fusion_strength_and_bank_size_change_a_moving_picture(engine: Engine) -> None:
    forgetful, plain, fused, large = (
        painted_pan(engine, bank_frames=frames, fusion_strength=strength)
        for frames, strength in ((0.0, 0.75), (1.0, 0.0), (1.0, 0.75), (4.0, 0.75))
    )
    changes = [mean_error(a[3:], b[3:]) for a, b in ((plain, fused), (forgetful, fused), (fused, large))]
    assert changes[0] > 0.5 and changes[1] > 0.5 and changes[2] > 0.3, changes


def painted_clip(engine: Engine, clip: Clip, settings: FrameSettings) -> np.ndarray:
    session = engine.open(seed=7)
    painted = np.stack([np.array(session.translate(frame, settings)) for frame in clip.frames])
    session.close()
    return painted


MEMORY_OFF = FrameSettings(bank_frames=0.0, steadiness=0.0)


@pytest.mark.parametrize("name, most", [("handheld", 0.7), ("pan", 0.7), ("frozen", 0.5)])
def test_the_steady_preset_is_much_steadier_than_no_memory(engine: Engine, name: str, most: float) -> None:
    clip = draw_clip(name, seed=1, frames=10)
    steady, off = (painted_clip(engine, clip, settings) for settings in (FrameSettings(), MEMORY_OFF))
    errors = [warp_error(each[3:], clip.flow[3:], clip.visible[3:]) for each in (steady, off)]
    assert errors[0] <= most * errors[1], errors


@pytest.mark.parametrize("name", ["cut", "vanish"])
def test_the_steady_preset_is_neither_late_nor_haunted(engine: Engine, name: str) -> None:
    clip = draw_clip(name, seed=1, frames=10)
    steady, off = (painted_clip(engine, clip, settings) for settings in (FrameSettings(), MEMORY_OFF))
    (event,) = clip.events
    assert lag(steady, off, event.frame, event.region) <= 1
    assert ghost(steady, off, event.frame, event.region)[2] < 0.05


def test_a_still_canvas_gives_a_picture_that_does_not_move(engine: Engine) -> None:
    session = engine.open(seed=7)
    painted = [np.array(session.translate(sketch("house"), FrameSettings(steps=2))).astype(int) for _ in range(16)]
    session.close()
    assert max(np.abs(one - other).max() for one, other in pairwise(painted[12:])) <= 4


def test_self_attention_matters(engine: Engine, pictures: list[np.ndarray]) -> None:
    """Or a bank would have nothing to hold."""
    before = [translated(engine, p, FULLY) for p in pictures]
    with self_attention_averaged(engine.model.unet):
        after = [translated(engine, p, FULLY) for p in pictures]
    assert np.mean([mean_error(a, b) for a, b in zip(before, after, strict=True)]) >= 5


def test_no_two_styles_look_alike(engine: Engine, pictures: list[np.ndarray]) -> None:
    painted = {
        name: [translated(engine, p, FULLY.changed(prompt=phrase)) for p in pictures[1::2]]
        for name, phrase in presets.STYLES.items()
    }
    for one, other in combinations(painted, 2):
        difference = np.mean([mean_error(a, b) for a, b in zip(painted[one], painted[other], strict=True)])
        assert difference > 5, (one, other, difference)


def brightness(picture: np.ndarray) -> float:
    return float(picture.mean())


def warmth(picture: np.ndarray) -> float:
    return float(picture[..., 0].mean() - picture[..., 2].mean())


def greenness(picture: np.ndarray) -> float:
    return float(picture[..., 1].mean() - picture[..., [0, 2]].mean())


@pytest.mark.parametrize(
    "time, measure, sign",
    [("night", brightness, -1), ("sunset", warmth, 1), ("winter", brightness, 1), ("winter", greenness, -1)],
)
@pytest.mark.parametrize("style", ["storybook painting", "watercolor painting", "oil painting", "anime"])
def test_times_of_day_combine_with_styles(
    engine: Engine, time: str, measure: Callable[[np.ndarray], float], sign: int, style: str
) -> None:
    plain, timed = (translated(engine, sketch("house"), FULLY.changed(prompt=p)) for p in (style, f"{style}, {time}"))
    assert sign * (measure(timed) - measure(plain)) > 4


def test_a_flat_sky_and_a_flat_meadow_come_out_richer(engine: Engine) -> None:
    drawing = sketch("house")
    painted = translated(engine, drawing, FULLY.changed(prompt="storybook painting"))
    for rows, columns in ((slice(105, 165), slice(4, 60)), (slice(215, 250), slice(4, 80))):
        assert drawing[rows, columns].std(axis=(0, 1)).mean() < 1
        assert painted[rows, columns].std(axis=(0, 1)).mean() > 3


def ring() -> np.ndarray:
    """The outline of a circle on white paper."""
    return cv2.circle(np.full((256, 256, 3), 255, np.uint8), (128, 128), 69, (20, 20, 20), 6, cv2.LINE_AA)


def inside_of(picture: np.ndarray) -> np.ndarray:
    """The mean colour inside the ring, `[3]`."""
    mean: np.ndarray = picture[80:176, 80:176].mean(axis=(0, 1))
    return mean


def test_an_outline_becomes_what_the_words_say(engine: Engine) -> None:
    orange, apple = (
        inside_of(translated(engine, ring(), FULLY.changed(prompt=p))) for p in ("an orange", "a green apple")
    )
    assert np.abs(orange - apple).max() > 60
    assert orange[0] > orange[1] > orange[2] and apple[1] > apple[0] > apple[2]


@pytest.mark.parametrize(
    "colour, channels", [("red", (1, 0, 0)), ("green", (0, 1, 0)), ("blue", (0, 0, 1)), ("yellow", (1, 1, 0))]
)
@pytest.mark.parametrize("thing", ["balloon", "apple", "car"])
def test_an_outline_has_the_colour_that_is_said(
    engine: Engine, colour: str, channels: tuple[int, ...], thing: str
) -> None:
    painted = inside_of(translated(engine, ring(), FULLY.changed(prompt=f"toy of a {colour} {thing}")))
    named = np.array(channels, bool)
    assert painted[named].min() > painted[~named].max() + 5


@pytest.mark.parametrize("more", [" zuqvorpli", ", xantiquor", " (quenfild)1.4"])
def test_a_word_that_nobody_knows_changes_nothing(engine: Engine, more: str) -> None:
    known, unknown = (
        translated(engine, ring(), FULLY.changed(prompt=f"toy of an apple{words}")) for words in ("", more)
    )
    assert mean_error(known, unknown) < 1


def tones(picture: np.ndarray) -> np.ndarray:
    """Light and colour without strokes, which lie elsewhere in a painting by another hand."""
    return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 4)


@pytest.mark.parametrize("look", [name for name in LOOKS if name != "toy"])
def test_held_out_photos_come_nearer_to_the_tones_of_their_look_than_copies_do(engine: Engine, look: str) -> None:
    """A toy of a photograph is nearly the photograph."""
    noise = noise_for(SEED, 0, (1, 16, 32, 32))[0].numpy()
    errors, copies = [], []
    for photo in held_out_photos():
        target = looked(photo.astype(np.float32) / 255, noise, look) * 255
        painted = translated(engine, photo, FULLY.changed(prompt=canonical_prompt(look)))
        errors.append(mean_error(tones(painted), tones(target)))
        copies.append(mean_error(tones(photo), tones(target)))
    assert np.mean(errors) < 0.95 * np.mean(copies)


def test_an_empty_canvas_and_other_sizes_are_painted(engine: Engine) -> None:
    blank = translated(engine, np.full((256, 256, 3), 255, np.uint8), FULLY)
    assert blank.std(axis=(0, 1)).max() < 60
    for size in ((64, 64), (384, 256)):
        session = engine.open(size=size)
        assert session.translate(sketch("house"), FULLY).size == size
        session.close()


def test_every_preset_is_a_phrase_that_the_model_was_taught() -> None:
    taught = {word for look in LOOKS.values() for word in look.words}
    taught_times = {word for grade in GRADES.values() for word in grade.words}
    assert set(presets.STYLES.values()) <= taught
    assert set(presets.TIMES.values()) <= taught_times


def test_float32_paints_the_same_picture_to_within_rounding(engine: Engine) -> None:
    picture = sketch("house")
    with Engine(load_model("embedded", dtype=torch.float32)) as exact:
        assert mean_error(translated(engine, picture, FULLY), translated(exact, picture, FULLY)) < 3


def test_a_picture_of_any_aspect_fills_the_square(engine: Engine) -> None:
    wide = cv2.resize(sketch("house"), (400, 100))
    assert translated(engine, wide, FULLY).shape == (256, 256, 3)

"""The classifier of drawings learns the names of icons from their outlines, whatever hand draws them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.guides.sketches import INKED, SIDE, load_sketches
from tests.support.icons import simple_icons
from training.meaning.stage import Notes
from training.model.muon import Muon
from training.model.team import Team
from training.sketches.doodles import DOODLES
from training.sketches.drawn import Drawer, names_of
from training.sketches.pen import inked
from training.sketches.stage import Sketching
from training.things.icons import Icons


@pytest.fixture(scope="module")
def icons_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of the icons: triangles, pentagons, and discs."""
    icons, folder = simple_icons(), tmp_path_factory.mktemp("icons")
    few = ("house", "sailboat", "fish")
    np.save(
        folder / "icons.npy",
        np.stack([icons.pictures[icons.rows[name][number // 2]] for number, name in enumerate(few)]),
    )
    (folder / "icons.json").write_text(json.dumps({name: [number] for number, name in enumerate(few)}))
    return folder


def test_a_name_is_what_people_say_and_has_all_of_its_icons() -> None:
    icons = simple_icons()
    faces = Icons(icons.pictures, icons.rows | {"cat": icons.rows["cat-face"]})
    named = names_of(faces)
    assert (
        named["cat"] == ["cat-face", "cat"]
        and named["woman"] == ["woman-medium-light"]
        and list(named) == sorted(named)
    )


def test_every_doodle_is_ink_and_its_name_one_that_a_prompt_may_hold() -> None:
    rng = np.random.default_rng(0)
    for name, doodle in DOODLES.items():
        inks = [inked(rng, doodle(rng), 96) for _ in range(6)]
        assert all(0.01 < (each > INKED).mean() < 0.7 for each in inks), name
        assert not np.array_equal(inks[0], inks[1]) and name in Drawer(simple_icons()).names


def test_a_drawing_is_ink_in_the_middle_of_its_square_and_comes_again_with_its_seed() -> None:
    drawer = Drawer(simple_icons())
    for seed in range(40):
        ink, number = drawer.drawn(np.random.default_rng(seed))
        again, same = drawer.drawn(np.random.default_rng(seed))
        assert np.array_equal(ink, again) and number == same < len(drawer.names)
        assert ink.shape == (SIDE, SIDE) and 0 <= ink.min() and ink.max() <= 1.001
        rows, columns = np.nonzero(ink > 0.1)
        assert max(np.ptp(rows), np.ptp(columns)) > 0.7 * SIDE


def test_it_learns_to_tell_what_is_drawn_and_what_it_writes_is_what_the_app_reads(
    icons_folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    learner = Sketching(icons_folder, tmp_path / "sketches", 24, 8, torch.device("cpu"))
    optimizer, rng, notes = Muon(learner.groups, 5e-3, Team(0, 1)), np.random.default_rng(0), Notes()
    losses = []
    for _ in range(30):
        loss = learner.loss(rng, notes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.7 * losses[0]
    learner.export()
    read, drawn = load_sketches(tmp_path / "sketches"), learner.drawer.drawn(rng)[0]
    assert read.names == learner.classifier.names and "sailboat" in read.names
    picture = np.repeat((255 - 255 * drawn).astype(np.uint8)[..., None], 3, axis=2)
    ours, theirs = learner.classifier.guesses(picture), read.guesses(picture)
    assert [each.name for each in ours] == [each.name for each in theirs]
    assert [each.probability for each in ours] == pytest.approx([each.probability for each in theirs], abs=0.02)

"""Spacefile: its fields, its machines, what is said when they are wrong, and what a Space takes from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import app
from demo.space import spacefile
from demo.space.spacefile import (
    APP_VARIABLES,
    NEEDS,
    REQUIRED,
    SPACEFILE,
    Manifest,
    SpaceError,
    is_emoji,
    is_zero,
    kind_of,
    manifest_of,
    read_spacefile,
    space_environment,
)


@pytest.fixture
def read() -> dict[str, Any]:
    """The YAML of the real Spacefile."""
    return dict(yaml.safe_load(SPACEFILE.read_text(encoding="utf-8")))


@pytest.fixture
def manifest() -> Manifest:
    return read_spacefile()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", ""),
        ("emoji", "mirror"),
        ("colorFrom", "teal"),
        ("sdk", "docker"),
        ("sdk_version", 6.3),
        ("python_version", 3.12),
        ("python_version", "4"),
        ("app_file", "app.sh"),
        ("suggested_hardware", 4),
        ("short_description", "long " * 20),
        ("tags", "webcam"),
        ("models", [None]),
        ("license", "Apache 2"),
        ("pinned", "yes"),
        ("startup_duration_timeout", 30),
        ("files", []),
        ("hardware", {}),
    ],
)
def test_a_wrong_value_is_refused_by_name(read: dict[str, Any], name: str, value: object) -> None:
    with pytest.raises(SpaceError, match=rf"(?s){name} .*needed: .*Correct it"):
        manifest_of(read | {name: value})


@pytest.mark.parametrize(
    ("text", "holds"), [("🪞", True), ("✏️", True), ("👩🏽‍🎨", True), ("→", False), ("a", False), ("«", False)]
)
def test_an_emoji_is_told_from_other_signs(text: str, holds: bool) -> None:
    assert is_emoji(text) is holds


def test_unknown_and_missing_fields_are_refused(read: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match="colour"):
        manifest_of(read | {"colour": "red"})
    for name in REQUIRED:
        with pytest.raises(SpaceError, match=name):
            manifest_of({key: value for key, value in read.items() if key != name})
    assert set(REQUIRED) <= set(NEEDS)


@pytest.mark.parametrize("text", ["title: [", "- a\n- b\n", ""])
def test_a_manifest_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "Spacefile").write_text(text)
    with pytest.raises(SpaceError, match="Spacefile"):
        read_spacefile(tmp_path / "Spacefile")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "needed: model"),
        ({"model": "embedded", "colour": "red"}, "colour"),
        ({"model": "embedded", "limits": {"guests": 2}}, "guests"),
        ({"model": "embedded", "limits": {"visitors": 0}}, "visitors came as 0"),
        ({"model": "embedded", "variables": {"REARVIEW_SAFETY": True}}, "in quotes"),
        ({"model": "embedded", "variables": {"REARVIEW_COLOUR": "red"}}, "REARVIEW_COLOUR .* is not read"),
        ({"model": "embedded", "variables": {"rearview": "red"}}, "capitals"),
        ({"model": "embedded", "variables": {"REARVIEW_VISITORS": "many"}}, "'many'"),
        ({"model": "embedded", "suggests": "h900"}, "h900"),
    ],
)
def test_a_wrong_machine_is_refused(read: dict[str, Any], said: dict[str, Any], words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        manifest_of(read | {"hardware": {"cpu-basic": said}})


def test_there_is_a_space_of_each_kind(manifest: Manifest) -> None:
    assert {each.kind for each in manifest.flavours.values()} == {"cpu", "gpu", "zero"}
    assert manifest.flavour().model == "embedded"
    assert manifest.flavour("l4x1").environment["REARVIEW_MODEL"] == "sd15-lcm"
    assert manifest.flavour("l4x1").environment["REARVIEW_SAFETY"] == "on"
    assert [kind_of(each) for each in ("cpu-upgrade", "t4-small", "a100x4", "zero-a10g")] == [
        "cpu",
        "gpu",
        "gpu",
        "zero",
    ]


def test_a_variable_wins_over_spacefile_and_only_a_space_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spacefile, "GPU_DEVICE", Path("/no/such/device"))
    assert space_environment({}) == {}
    free = space_environment({"SPACE_ID": "anna/rearview", "REARVIEW_QUEUE_LENGTH": "3"})
    assert (free["REARVIEW_VISITORS"], free["REARVIEW_QUEUE_LENGTH"]) == ("2", "3")
    assert "REARVIEW_MODEL" not in free and "REARVIEW_SAFETY" not in free


def test_a_space_with_a_gpu_takes_the_limits_of_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spacefile, "GPU_DEVICE", tmp_path)
    gpu = space_environment({"SPACE_ID": "anna/rearview"})
    assert (gpu["REARVIEW_VISITORS"], gpu["REARVIEW_SAFETY"]) == ("4", "on")
    zero = space_environment({"SPACE_ID": "anna/rearview", "SPACES_ZERO_GPU": "true"})
    assert "REARVIEW_VISITORS" not in zero and zero["REARVIEW_SAFETY"] == "on"


@pytest.mark.parametrize(
    ("value", "holds"), [("true", True), ("1", True), ("True", True), ("false", False), ("", False)]
)
def test_zero_gpu_is_read_as_its_library_reads_it(value: str, holds: bool) -> None:
    assert is_zero({"SPACES_ZERO_GPU": value}) is holds


def test_the_app_reads_the_variables_that_a_space_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spacefile, "GPU_DEVICE", Path("/no/such/device"))
    given = {
        "SPACE_ID": "anna/rearview",
        "REARVIEW_MODEL": "sd-turbo",
        "REARVIEW_SAFETY": "on",
        "REARVIEW_VISITORS": "3",
    }
    assert set(given) - {"SPACE_ID"} <= set(APP_VARIABLES)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    arguments = app.parse([])
    assert (arguments.model, arguments.safety, arguments.visitors) == ("sd-turbo", "on", 3)
    assert (arguments.queue_length, arguments.behind_proxy) == (16, True)
    assert app.parse(["--model", "embedded"]).model == "embedded"

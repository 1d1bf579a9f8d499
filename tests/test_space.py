"""Spacefile: its fields, the header made from it, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.space import NEEDS, REQUIRED, ROOT, SpaceError, check_fields, header, main, read_spacefile, with_header


@pytest.fixture
def fields() -> dict[str, Any]:
    return read_spacefile(ROOT / "Spacefile")


@pytest.fixture
def repository(tmp_path: Path, fields: dict[str, Any]) -> Path:
    """A folder with all that a Space's header is checked against, and a README that has no header yet."""
    (tmp_path / "Spacefile").write_text(yaml.safe_dump(fields, allow_unicode=True), encoding="utf-8")
    (tmp_path / "requirements.txt").write_text(f"gradio=={fields['sdk_version']}\n")
    (tmp_path / "app.py").touch()
    (tmp_path / "README.md").write_text("# Rearview\n\n---\n\nA rule above.\n")
    return tmp_path


def test_header_reads_back_as_the_same_fields(fields: dict[str, Any]) -> None:
    opening, block, rest = header(fields).split("---\n")
    assert (opening, rest) == ("", "")
    assert yaml.safe_load(block) == fields
    assert list(yaml.safe_load(block)) == list(fields)


def test_header_replaces_only_the_header(fields: dict[str, Any]) -> None:
    once = with_header("# Rearview\n\n---\n\nA rule above.\n", header(fields))
    assert once.endswith("---\n\n# Rearview\n\n---\n\nA rule above.\n")
    assert with_header(once, header(fields)) == once
    renamed = with_header(once, header(fields | {"title": "Other"}))
    assert renamed == once.replace("title: Rearview", "title: Other")


def test_header_then_check(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"], root=repository) == 1
    assert "python -m demo.space header" in capsys.readouterr().err
    assert main(["header"], root=repository) == 0
    assert main(["check"], root=repository) == 0
    assert (repository / "README.md").read_text().endswith("# Rearview\n\n---\n\nA rule above.\n")


@pytest.mark.parametrize("missing", ["Spacefile", "README.md", "app.py"])
def test_a_missing_file_is_named(repository: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["header"], root=repository) == 0
    (repository / missing).unlink()
    assert main(["check"], root=repository) == 1
    assert missing in capsys.readouterr().err


def test_another_gradio_than_the_pinned_one_is_refused(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "requirements.txt").write_text("gradio==6.0.0\n")
    assert main(["check"], root=repository) == 1
    assert "6.0.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", ""),
        ("emoji", "mirror"),
        ("colorFrom", "teal"),
        ("sdk", "docker"),
        ("sdk_version", 6.3),
        ("python_version", 3.12),
        ("python_version", "3.9"),
        ("app_file", "app.sh"),
        ("suggested_hardware", "supercomputer"),
        ("short_description", "long " * 20),
        ("tags", "webcam"),
        ("models", [None]),
        ("license", "Apache 2"),
    ],
)
def test_a_wrong_value_is_refused_by_name(fields: dict[str, Any], name: str, value: object) -> None:
    with pytest.raises(SpaceError, match=rf"(?s){name} .*needed: .*Correct it"):
        check_fields(fields | {name: value})


def test_unknown_and_missing_fields_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match="colour"):
        check_fields(fields | {"colour": "red"})
    for name in REQUIRED:
        with pytest.raises(SpaceError, match=name):
            check_fields({key: value for key, value in fields.items() if key != name})


@pytest.mark.parametrize("text", ["title: [", "- a\n- b\n", ""])
def test_a_manifest_that_is_no_mapping_is_refused(repository: Path, text: str) -> None:
    (repository / "Spacefile").write_text(text)
    with pytest.raises(SpaceError, match="Spacefile"):
        read_spacefile(repository / "Spacefile")


def test_required_fields_have_needs() -> None:
    assert set(REQUIRED) <= set(NEEDS)

"""Icon packs: fetched once, only what is pinned, and a missing npm is said."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from training.things import packs
from training.things.packs import Pack, fetched


def archive(folder: Path, name: str) -> str:
    """Writes a package with one file; returns its integrity."""
    content = b"{}"
    with tarfile.open(folder / name, "w:gz") as packed:
        entry = tarfile.TarInfo("package/icons.json")
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))
    return base64.b64encode(hashlib.sha512((folder / name).read_bytes()).digest()).decode()


def test_a_pinned_archive_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    integrity = archive(tmp_path, "set-icons-1.0.0.tgz")
    monkeypatch.setattr(packs, "PACKS", {"flat": Pack("@set/icons", "1.0.0", integrity, "MIT")})
    place = fetched(tmp_path)["flat"]
    assert (place / "icons.json").read_text() == "{}"
    (tmp_path / "set-icons-1.0.0.tgz").unlink()
    assert fetched(tmp_path)["flat"] == place


def test_another_archive_is_refused_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path, "set-icons-1.0.0.tgz")
    monkeypatch.setattr(packs, "PACKS", {"flat": Pack("@set/icons", "1.0.0", "another", "MIT")})
    with pytest.raises(RuntimeError, match=r"set-icons-1\.0\.0\.tgz has SHA-512 .*; needed: another"):
        fetched(tmp_path)


def test_without_npm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"npm was not found; .*Node\.js"):
        fetched(tmp_path)


def test_the_pins_are_whole() -> None:
    for pack in packs.PACKS.values():
        assert len(base64.b64decode(pack.integrity)) == 64
        assert pack.licence in ("MIT", "Apache-2.0")

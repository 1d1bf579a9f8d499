"""The icon packs that things are drawn from: fetched with npm, pinned by version and hash, never committed.

Fluent Emoji is Microsoft's (MIT), its 3D renderings are packed by LobeHub (MIT), Noto Emoji is Google's (Apache-2.0).
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pack:
    """A package of the npm registry; `integrity` is the SHA-512 of its archive in base64, as in npm's lock files."""

    package: str
    version: str
    integrity: str
    licence: str

    @property
    def archive(self) -> str:
        """The file name that `npm pack` gives it."""
        return f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


PACKS = {
    "flat": Pack(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        "MIT",
    ),
    "shaded": Pack(
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA==",
        "MIT",
    ),
    "solid": Pack(
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
        "MIT",
    ),
    "noto": Pack(
        "@iconify-json/noto",
        "1.2.9",
        "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        "Apache-2.0",
    ),
}


def fetched(folder: Path) -> dict[str, Path]:
    """Where each pack lies unpacked, by its name in `PACKS`; fetches those that `folder` lacks.

    Raises `RuntimeError` where npm is not installed or cannot fetch, or where an archive is not the pinned one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {name: _unpacked(pack, folder) for name, pack in PACKS.items()}


def _unpacked(pack: Pack, folder: Path) -> Path:
    archive = folder / pack.archive
    target = folder / pack.archive.removesuffix(".tgz")
    if target.exists():
        return target
    if not archive.exists():
        _fetch(pack, folder)
    check(archive, pack.integrity)
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archive) as packed:
        packed.extractall(partial, filter="data")
    (partial / "package").rename(target)
    partial.rmdir()
    return target


def _fetch(pack: Pack, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm was not found; needed: npm, to fetch the icons that training draws. Install Node.js.")
    result = subprocess.run(
        [npm, "pack", "--silent", f"{pack.package}@{pack.version}"], cwd=folder, capture_output=True, text=True
    )
    if result.returncode:
        raise RuntimeError(f"npm could not fetch {pack.package}@{pack.version}: {result.stderr.strip()}")


def check(archive: Path, integrity: str) -> None:
    """Raises `RuntimeError` where the archive's SHA-512 is not `integrity` (base64)."""
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != integrity:
        raise RuntimeError(f"{archive.name} has SHA-512 {found}; needed: {integrity}. Delete the file and try again.")

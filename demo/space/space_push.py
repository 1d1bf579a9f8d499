"""What a Space is sent, and how: its files in one commit, its variables, its hardware."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.space.prices import SLEEP_MINUTES, WHO_MAY, is_paid, price_sentence
from demo.space.spacefile import Flavour, Manifest, SpaceError

TOKEN_VARIABLE = "HF_TOKEN"
KEPT = frozenset({".gitattributes"})
"""Files of a Space that the hub writes itself."""

README, REQUIREMENTS = "README.md", "requirements.txt"
CPU_WHEELS = "--extra-index-url https://download.pytorch.org/whl/cpu"
SENTENCES = {
    401: f"it does not know the token in {TOKEN_VARIABLE}. Make one that may write at its /settings/tokens.",
    402: f"this hardware needs a paid plan there. {WHO_MAY}.",
    403: f"the token in {TOKEN_VARIABLE} may not write there, or its account may not have this hardware. Check the "
    f"name, and that the token may write to it. {WHO_MAY}.",
    404: "it knows no such Space. Check the name, and HF_ENDPOINT where that is set.",
}
"""What an answer of the hub means, by its status."""


@dataclass(frozen=True)
class Parcel:
    """What a Space of `flavour` is sent: each file by its path there, as a path here or as its bytes. `commit` names
    the state of the repository that it was taken from."""

    flavour: Flavour
    files: Mapping[str, Path | bytes]
    commit: str


def parcel_of(root: Path, manifest: Manifest, flavour: Flavour, readme: str, *, dirty: bool = False) -> Parcel:
    """The files of the manifest as they are committed in the repository at `root`, with `readme` as its README.

    Raises `SpaceError` where some of them are not committed; with `dirty`, they are taken as they lie there.
    """
    changed = [line[3:] for line in _git(root, "status", "--porcelain", "--", *manifest.files).splitlines()]
    if changed and not dirty:
        raise SpaceError(
            f"{len(changed)} files differ from the last commit ({', '.join(changed[:5])}); needed: what a commit "
            "holds, so that the Space can be made again. Commit them, or say --dirty."
        )
    asked = ("--cached", "--others", "--exclude-standard") if dirty else ("--cached",)
    listed = _git(root, "ls-files", "-z", *asked, "--", *manifest.files).split("\0")
    files: dict[str, Path | bytes] = {name: root / name for name in sorted(listed) if (root / name).is_file()}
    if README in files:
        files[README] = readme.encode()
    if REQUIREMENTS in files and flavour.kind == "cpu":
        files[REQUIREMENTS] = cpu_requirements((root / REQUIREMENTS).read_text(encoding="utf-8")).encode()
    commit = _git(root, "rev-parse", "--short", "HEAD").strip()
    return Parcel(flavour, files, f"{commit}, changed" if changed else commit)


def cpu_requirements(requirements: str) -> str:
    """The same libraries for a machine without a GPU: PyTorch's build for CPUs, a tenth as large, and no xformers."""
    lines = [re.sub(r"^(torch==[\d.]+)", r"\1+cpu", line) for line in requirements.splitlines()]
    return "\n".join([CPU_WHEELS, *(line for line in lines if not line.startswith("xformers"))]) + "\n"


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SpaceError("git is not installed; needed: git, which knows the files. Install it.") from error
    if done.returncode:
        raise SpaceError(f"{root} is no git repository with a commit ({done.stderr.strip()}); needed: one. Clone it.")
    return done.stdout


def size_of(content: Path | bytes) -> int:
    """How many bytes a file has."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def listing(parcel: Parcel) -> str:
    """What a parcel holds, line by line: each file with its size, all of them, the hardware and the variables."""
    sizes = {name: size_of(content) for name, content in parcel.files.items()}
    lines = [f"{size:>12,}  {name}" for name, size in sizes.items()]
    lines.append(f"{sum(sizes.values()):>12,}  bytes in {len(sizes)} files, of commit {parcel.commit}")
    lines.append(f"hardware {parcel.flavour.hardware}")
    lines += [f"variable {name}={value}" for name, value in parcel.flavour.environment.items()]
    return "\n".join(lines)


def push(
    name: str,
    parcel: Parcel,
    *,
    known_variables: Set[str],
    endpoint: str | None = None,
    token: str | None = None,
    private: bool = False,
    may_change_hardware: bool = False,
    sleep_minutes: int = SLEEP_MINUTES,
) -> str:
    """Make the Space `name` what the parcel says, new or not; a sentence on what was done. Raises `SpaceError`.

    Of an existing Space's variables those are removed that are among `known_variables` and not in the parcel; others
    belong to its owner. Its files become those of the parcel, in one commit, because each commit builds the Space.
    Hardware costs money: that of an existing Space is changed only if it `may_change_hardware`, and what costs by the
    hour sleeps after `sleep_minutes` without a visitor, 0 for never.
    """
    if not token:
        raise SpaceError(
            f"{TOKEN_VARIABLE} is not set; needed: a token of the hub that may write. Make one at "
            f"https://huggingface.co/settings/tokens and run: {TOKEN_VARIABLE}=... python -m demo.space push {name}"
        )
    # Here, not above: a dry run needs no client of the hub.
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token)
    with _readable(name, api.endpoint):
        is_new = not api.repo_exists(name, repo_type="space")
        if is_new:
            _create(api, name, parcel.flavour, private, sleep_minutes)
        has = parcel.flavour.hardware if is_new else _hardware_of(api, name)
        if has != parcel.flavour.hardware and not may_change_hardware:
            raise SpaceError(
                f"Space {name} runs on {has}, and {parcel.flavour.hardware} was to be pushed. Say --hardware {has} to "
                f"keep it, or --hardware {parcel.flavour.hardware} to change it."
            )
        if not is_new:
            _set_variables(api, name, parcel.flavour.environment, known_variables)
        url = _commit(api, name, parcel)
        if has != parcel.flavour.hardware:
            api.request_space_hardware(name, parcel.flavour.hardware)
        if not is_new and is_paid(parcel.flavour.hardware):
            api.set_space_sleep_time(name, _seconds(sleep_minutes))
    done = "created" if is_new else "updated"
    said = f"Space {name} is {done} on {parcel.flavour.hardware} with {len(parcel.files)} files: {url}"
    return "\n".join(filter(None, [said, price_sentence(parcel.flavour.hardware, sleep_minutes)]))


def _seconds(sleep_minutes: int) -> int:
    """A sleep time as the hub takes it."""
    return 60 * sleep_minutes if sleep_minutes else -1


def _create(api: Any, name: str, flavour: Flavour, private: bool, sleep_minutes: int) -> None:
    api.create_repo(
        name,
        repo_type="space",
        private=private,
        space_sdk="gradio",
        space_hardware=flavour.hardware,
        space_sleep_time=_seconds(sleep_minutes) if is_paid(flavour.hardware) else None,
        space_variables=[{"key": key, "value": value} for key, value in flavour.environment.items()],
    )


def _set_variables(api: Any, name: str, wanted: Mapping[str, str], known: Set[str]) -> None:
    """Each change restarts the Space, so what is right already is left alone."""
    there = {key: variable.value for key, variable in api.get_space_variables(name).items()}
    for key, value in wanted.items():
        if there.get(key) != value:
            api.add_space_variable(name, key, value)
    for key in sorted((there.keys() & known) - wanted.keys()):
        api.delete_space_variable(name, key)


def _hardware_of(api: Any, name: str) -> str:
    runtime = api.get_space_runtime(name)
    return str(runtime.requested_hardware or runtime.hardware)


def _commit(api: Any, name: str, parcel: Parcel) -> str:
    """Replace the Space's files by those of the parcel; the address of what came of it."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    there = set(api.list_repo_files(name, repo_type="space"))
    gone = sorted(there - parcel.files.keys() - KEPT)
    operations = [CommitOperationDelete(each) for each in gone]
    operations += [CommitOperationAdd(each, content) for each, content in parcel.files.items()]
    message = f"Rearview at {parcel.commit}"
    return str(api.create_commit(name, operations, commit_message=message, repo_type="space").commit_url)


@contextmanager
def _readable(name: str, endpoint: str) -> Iterator[None]:
    """Say what the hub's errors mean for a person who pushes the Space `name`."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # The root of what the hub's client raises about the net: its own errors are made of it too.
    net_error = HfHubHTTPError.__bases__[0]
    try:
        yield
    except SpaceError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise SpaceError(f"{endpoint} refused {name}: {SENTENCES.get(status, str(error))}") from error
    except (net_error, OfflineModeIsEnabled) as error:
        raise SpaceError(
            f"{endpoint} cannot be reached ({error}); needed: the hub. Check the net, and HF_ENDPOINT where it is set."
        ) from error
    except (ValueError, RuntimeError) as error:
        # The one for a header that the hub does not take, the other for an upload that broke off.
        raise SpaceError(f"{endpoint} refused {name}: {error}") from error

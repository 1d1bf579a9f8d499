"""Spacefile, the manifest of the hosted app: its fields, the machines it knows, and what is wrong with them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from demo.live.limits import DECLARATIONS, ENVIRONMENT_PREFIX, HostLimits, limits_from, variable_of
from pipeline.settings import SettingsError

ROOT = Path(__file__).resolve().parents[2]
SPACEFILE = ROOT / "Spacefile"
COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
MAXIMUM_SHORT_DESCRIPTION = 60
MODEL_VARIABLE = f"{ENVIRONMENT_PREFIX}MODEL"
SAFETY_VARIABLE = f"{ENVIRONMENT_PREFIX}SAFETY"
APP_VARIABLES = (MODEL_VARIABLE, SAFETY_VARIABLE, *map(variable_of, DECLARATIONS))
"""What the app reads from its environment."""

ZERO_VARIABLE = "SPACES_ZERO_GPU"
"""What Hugging Face sets on a Space that gets a GPU for a call at a time."""

GPU_DEVICE = Path("/dev/nvidiactl")
REQUIRED = ("title", "emoji", "sdk", "sdk_version", "python_version", "app_file", "suggested_hardware", "license")
OURS = ("files", "hardware")
"""The fields that Hugging Face does not know: README's header has none of them."""

Kind = Literal["cpu", "gpu", "zero"]
Need = tuple[str, Callable[[Any], bool]]
"""What a value has to be, in words, and the test of it."""


class SpaceError(ValueError):
    """Spacefile, or what depends on it, is wrong; the message says what came, what is needed, what to do."""


@dataclass(frozen=True)
class Flavour:
    """A Space of one hardware: its model, its limits, and its other variables; `suggests` is the hardware that is
    offered to whoever duplicates it, and `preload` what is fetched when it is built, each `owner/name file,file`."""

    hardware: str
    model: str
    suggests: str
    limits: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    preload: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """What the hardware is: without a GPU, with one, or with one for a call at a time."""
        return kind_of(self.hardware)

    @property
    def grants(self) -> dict[str, str]:
        """The environment variables that say its limits and its other variables."""
        return {**{variable_of(name): str(value) for name, value in self.limits.items()}, **self.variables}

    @property
    def environment(self) -> dict[str, str]:
        """All environment variables that a Space of it has."""
        return {MODEL_VARIABLE: self.model, **self.grants}


@dataclass(frozen=True)
class Manifest:
    """What Spacefile says: the `fields` of README's header, the `files` and folders that a Space consists of, and its
    `flavours` by the name of their hardware."""

    fields: Mapping[str, Any]
    files: tuple[str, ...]
    flavours: Mapping[str, Flavour]

    def flavour(self, hardware: str | None = None) -> Flavour:
        """The flavour of a hardware, by default of the suggested one; raises `SpaceError` for one that it has not."""
        name = hardware or str(self.fields["suggested_hardware"])
        if name not in self.flavours:
            raise SpaceError(
                f"hardware came as {name!r}; needed: one of {', '.join(self.flavours)}. Name one of these, or describe "
                "it under `hardware` in Spacefile."
            )
        return self.flavours[name]


def _one_of(*values: str) -> Need:
    return "one of " + ", ".join(values), lambda value: value in values


def _text_like(pattern: str, words: str) -> Need:
    return words, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each for each in value)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def is_emoji(value: Any) -> bool:
    """Whether `value` is one emoji: a symbol of Unicode, perhaps with a variation, a skin tone or joined to others."""
    if not isinstance(value, str) or not 0 < len(value) <= 8:
        return False
    marks = {"\ufe0f", "\u200d"}
    kinds = [unicodedata.category(each) for each in value if each not in marks]
    return kinds[:1] == ["So"] and set(kinds) <= {"So", "Sk"}


NEEDS: dict[str, Need] = {
    "title": _text_like(r".+", "a text"),
    "emoji": ("one emoji", is_emoji),
    "colorFrom": _one_of(*COLORS),
    "colorTo": _one_of(*COLORS),
    "sdk": _one_of("gradio"),
    "sdk_version": _text_like(r"\d+\.\d+\.\d+", "a Gradio version as text, such as 6.31.0"),
    "python_version": _text_like(r"3\.\d+(\.\d+)?", 'a Python version as text, such as "3.12"'),
    "app_file": _text_like(r"[\w./-]+\.py", "the path of a Python file"),
    "suggested_hardware": ("one of those under `hardware`", lambda value: isinstance(value, str)),
    "header": _one_of("default", "mini"),
    "fullWidth": ("true or false", _is_truth),
    "pinned": ("true or false", _is_truth),
    "disable_embedding": ("true or false", _is_truth),
    "thumbnail": _text_like(r"https://\S+", "the https address of a picture"),
    "startup_duration_timeout": _text_like(r"\d+[mh]", "a time as text, such as 30m or 1h"),
    "preload_from_hub": ("a list of texts `owner/name file,file`", _is_list_of_texts),
    "short_description": (
        f"a text of at most {MAXIMUM_SHORT_DESCRIPTION} characters",
        lambda value: isinstance(value, str) and 0 < len(value) <= MAXIMUM_SHORT_DESCRIPTION,
    ),
    "tags": ("a list of texts", _is_list_of_texts),
    "datasets": ("a list of names of data sets", _is_list_of_texts),
    "models": ("a list of model names, empty where the weights live in the repository", _is_list_of_texts),
    "license": _text_like(r"[a-z0-9.-]+", "a licence identifier in small letters, such as apache-2.0"),
}
"""The fields of a Gradio Space's header (https://huggingface.co/docs/hub/spaces-config-reference) that may be used."""


def read_spacefile(path: Path = SPACEFILE) -> Manifest:
    """The manifest at `path`, whose every value was checked by itself; raises `SpaceError`."""
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpaceError(f"{path.name} is missing; needed: the manifest of the Space. Write {path}.") from error
    except yaml.YAMLError as error:
        raise SpaceError(f"{path.name} is no YAML ({error}); needed: lines `field: value`. Correct it.") from error
    if not isinstance(read, dict):
        raise SpaceError(f"{path.name} holds {type(read).__name__}; needed: lines `field: value`. Correct it.")
    return manifest_of(read)


def manifest_of(read: Mapping[str, Any]) -> Manifest:
    """What the YAML of a Spacefile says; raises `SpaceError`."""
    fields = {name: value for name, value in read.items() if name not in OURS}
    check_fields(fields)
    files, hardware = read.get("files"), read.get("hardware")
    if not _is_list_of_texts(files) or not files:
        raise SpaceError(f"files in Spacefile came as {files!r}; needed: a list of files and folders. Correct it.")
    if not isinstance(hardware, dict) or not hardware:
        raise SpaceError(f"hardware in Spacefile came as {hardware!r}; needed: names with what each has. Correct it.")
    manifest = Manifest(fields, tuple(files), {name: flavour_of(name, said) for name, said in hardware.items()})
    for each in (fields["suggested_hardware"], *(flavour.suggests for flavour in manifest.flavours.values())):
        manifest.flavour(each)
    return manifest


def check_fields(fields: Mapping[str, Any]) -> None:
    """Raise `SpaceError` for a field of the header that is unknown, missing or has a value that Spaces do not take."""
    unknown = [str(name) for name in fields if name not in NEEDS]
    if unknown:
        known = ", ".join((*NEEDS, *OURS))
        raise SpaceError(f"Spacefile has {', '.join(unknown)}; known: {known}. Remove or rename it.")
    missing = [name for name in REQUIRED if name not in fields]
    if missing:
        raise SpaceError(f"Spacefile has no {', '.join(missing)}; needed: {', '.join(REQUIRED)}. Add it.")
    for name, value in fields.items():
        words, holds = NEEDS[name]
        if not holds(value):
            raise SpaceError(f"{name} in Spacefile came as {value!r}; needed: {words}. Correct it.")


def flavour_of(hardware: str, said: Any) -> Flavour:
    """The flavour that Spacefile describes under the name `hardware`; raises `SpaceError`."""
    where = f"hardware {hardware} in Spacefile"
    known = {"model", "limits", "variables", "suggests", "preload"}
    if not isinstance(said, dict) or "model" not in said or set(said) - known:
        raise SpaceError(
            f"{where} came as {said!r}; needed: model and, where wanted, limits, variables, suggests and preload. "
            "Correct it."
        )
    preload = said.get("preload", [])
    if not _is_list_of_texts(preload) or not all(re.fullmatch(r"[^\s,]+ [^\s,]+(,[^\s,]+)*", each) for each in preload):
        raise SpaceError(f"preload of {where} came as {preload!r}; needed: lines `owner/name file,file`. Correct it.")
    flavour = Flavour(
        hardware,
        said["model"],
        said.get("suggests", hardware),
        _limits(where, said.get("limits", {})),
        _variables(where, said.get("variables", {})),
        tuple(preload),
    )
    try:
        limits_from(flavour.environment)
    except SettingsError as error:
        raise SpaceError(f"{where}: {error}") from error
    return flavour


def _limits(where: str, said: Any) -> dict[str, Any]:
    if not isinstance(said, dict) or set(said) - set(DECLARATIONS):
        raise SpaceError(f"limits of {where} came as {said!r}; known: {', '.join(DECLARATIONS)}. Correct them.")
    try:
        HostLimits(**said)
    except SettingsError as error:
        raise SpaceError(f"limits of {where}: {error}") from error
    return said


def _variables(where: str, said: Any) -> dict[str, str]:
    """Variables with their values, all of them texts: YAML reads a bare `on` as a truth."""
    if not isinstance(said, dict) or not all(isinstance(each, str) for pair in said.items() for each in pair):
        raise SpaceError(f'variables of {where} came as {said!r}; needed: lines NAME: "text". Write them in quotes.')
    for name in said:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise SpaceError(f"variable {name!r} of {where}: needed: capitals, digits and underscores. Rename it.")
        if name.startswith(ENVIRONMENT_PREFIX) and name not in APP_VARIABLES:
            raise SpaceError(f"variable {name} of {where} is not read by the app; it reads {', '.join(APP_VARIABLES)}.")
    return said


def kind_of(hardware: str) -> Kind:
    """What kind of machine one of Hugging Face's names stands for."""
    start = hardware.partition("-")[0]
    return "cpu" if start == "cpu" else "zero" if start == "zero" else "gpu"


def is_zero(environment: Mapping[str, str]) -> bool:
    """Whether this process runs on ZeroGPU, as the `spaces` library reads it."""
    return environment.get(ZERO_VARIABLE, "").lower() in ("1", "t", "true")


def kind_here(environment: Mapping[str, str]) -> Kind:
    """What kind of machine this process runs on. Not asked of CUDA, which ZeroGPU imitates."""
    if is_zero(environment):
        return "zero"
    return "gpu" if GPU_DEVICE.exists() else "cpu"


def space_environment(environment: Mapping[str, str], path: Path = SPACEFILE) -> dict[str, str]:
    """`environment`, completed on a Space by what Spacefile grants a machine of this kind; raises `SpaceError`.

    A Space that was copied by hand, or duplicated onto other hardware, so has limits that suit it. Which model a
    machine can run is left to the model "auto".
    """
    if "SPACE_ID" not in environment:
        return dict(environment)
    here = kind_here(environment)
    granted = next((each.grants for each in read_spacefile(path).flavours.values() if each.kind == here), {})
    return {**granted, **environment}

"""Spacefile, the manifest of a Hugging Face Space, and README's header that is made from it and checked against it.

`python -m demo.space check` says what is wrong; `python -m demo.space header` writes the header onto README.md.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
HARDWARE = (
    "cpu-basic",
    "cpu-upgrade",
    "zero-a10g",
    "t4-small",
    "t4-medium",
    "l4x1",
    "l4x4",
    "l40sx1",
    "l40sx4",
    "l40sx8",
) + ("a10g-small", "a10g-large", "a10g-largex2", "a10g-largex4", "a100-large")
MAXIMUM_SHORT_DESCRIPTION = 60
REQUIRED = ("title", "emoji", "sdk", "sdk_version", "python_version", "app_file", "license")

Need = tuple[str, Callable[[Any], bool]]
"""What a value has to be, in words, and the test of it."""


class SpaceError(ValueError):
    """Spacefile or README's header is wrong; the message says what came, what is needed, what to do."""


def _one_of(*values: str) -> Need:
    return "one of " + ", ".join(values), lambda value: value in values


def _text_like(pattern: str, words: str) -> Need:
    return words, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each for each in value)


NEEDS: dict[str, Need] = {
    "title": _text_like(r".+", "a text"),
    "emoji": _text_like(r"[^\w\s\x00-\x7f]{1,4}", "one emoji"),
    "colorFrom": _one_of(*COLORS),
    "colorTo": _one_of(*COLORS),
    "sdk": _one_of("gradio"),
    "sdk_version": _text_like(r"\d+\.\d+\.\d+", "a Gradio version as text, such as 6.31.0"),
    "python_version": _text_like(r"3\.1[0-2]", 'a Python version as text, one of "3.10", "3.11", "3.12"'),
    "app_file": _text_like(r"[\w./-]+\.py", "the path of a Python file"),
    "suggested_hardware": _one_of(*HARDWARE),
    "header": _one_of("default", "mini"),
    "short_description": (
        f"a text of at most {MAXIMUM_SHORT_DESCRIPTION} characters",
        lambda value: isinstance(value, str) and 0 < len(value) <= MAXIMUM_SHORT_DESCRIPTION,
    ),
    "tags": ("a list of texts", _is_list_of_texts),
    "models": ("a list of model names, empty where the weights live in the repository", _is_list_of_texts),
    "license": _text_like(r"[a-z0-9.-]+", "a licence identifier in small letters, such as apache-2.0"),
}


def read_spacefile(path: Path) -> dict[str, Any]:
    """The checked fields of the manifest at `path`, in its order; raises `SpaceError`."""
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpaceError(f"{path.name} is missing; needed: the manifest of the Space. Write {path}.") from error
    except yaml.YAMLError as error:
        raise SpaceError(f"{path.name} is no YAML ({error}); needed: lines `field: value`. Correct it.") from error
    if not isinstance(fields, dict):
        raise SpaceError(f"{path.name} holds {type(fields).__name__}; needed: lines `field: value`. Correct it.")
    check_fields(fields)
    return fields


def check_fields(fields: Mapping[str, Any]) -> None:
    """Raise `SpaceError` for a field that is unknown, missing or has a value that Spaces do not take."""
    unknown = [str(name) for name in fields if name not in NEEDS]
    if unknown:
        raise SpaceError(f"Spacefile has {', '.join(unknown)}; known: {', '.join(NEEDS)}. Remove or rename it.")
    missing = [name for name in REQUIRED if name not in fields]
    if missing:
        raise SpaceError(f"Spacefile has no {', '.join(missing)}; needed: {', '.join(REQUIRED)}. Add it.")
    for name, value in fields.items():
        words, holds = NEEDS[name]
        if not holds(value):
            raise SpaceError(f"{name} in Spacefile came as {value!r}; needed: {words}. Correct it.")


def pinned_version(requirements: str, library: str) -> str:
    """The version that the text of a requirements file pins `library` to; raises `SpaceError` if it pins none."""
    found = re.search(rf"^{re.escape(library)}==([\w.]+)", requirements, flags=re.MULTILINE)
    if found is None:
        raise SpaceError(f"requirements.txt does not pin {library}; needed: a line {library}==VERSION. Add it.")
    return found[1]


def header(fields: Mapping[str, Any]) -> str:
    """The YAML block that stands at the top of a Space's README, with its fences."""
    return "---\n" + yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=200) + "---\n"


def with_header(readme: str, block: str) -> str:
    """`readme` with `block` as its header, in place of the one it has."""
    body = re.sub(r"\A---\n.*?^---\n", "", readme, count=1, flags=re.DOTALL | re.MULTILINE)
    return block + "\n" + body.lstrip("\n")


def check_space(root: Path) -> None:
    """Raise `SpaceError` unless Spacefile, README's header, requirements and files under `root` agree."""
    fields = read_spacefile(root / "Spacefile")
    gradio = pinned_version((root / "requirements.txt").read_text(encoding="utf-8"), "gradio")
    if fields["sdk_version"] != gradio:
        raise SpaceError(
            f"sdk_version in Spacefile is {fields['sdk_version']}, requirements.txt pins gradio {gradio}; needed: "
            "the same. Change Spacefile, then run `python -m demo.space header`."
        )
    if not (root / fields["app_file"]).is_file():
        raise SpaceError(f"app_file in Spacefile is {fields['app_file']}; needed: a file that exists. Correct it.")
    readme = _read_readme(root)
    if readme != with_header(readme, header(fields)):
        raise SpaceError("README.md does not begin with Spacefile's header. Run `python -m demo.space header`.")


def write_header(root: Path) -> None:
    """Put Spacefile's header onto README.md under `root`; raises `SpaceError`."""
    block = header(read_spacefile(root / "Spacefile"))
    (root / "README.md").write_text(with_header(_read_readme(root), block), encoding="utf-8")


def _read_readme(root: Path) -> str:
    path = root / "README.md"
    if not path.is_file():
        raise SpaceError(f"README.md is missing; needed: the page that carries the header. Write {path}.")
    return path.read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run `check` or `header` on the repository at `root`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m demo.space", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="say what is wrong with Spacefile or README's header")
    commands.add_parser("header", help="write the header onto README.md")
    command = parser.parse_args(arguments).command
    try:
        (check_space if command == "check" else write_header)(root)
    except SpaceError as error:
        print(error, file=sys.stderr)
        return 1
    print("Spacefile and README.md agree." if command == "check" else "README.md carries Spacefile's header.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

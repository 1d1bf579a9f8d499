"""The hosted app: README's header made from Spacefile, what is wrong with either, and a Space that is pushed.

`python -m demo.space check` says what is wrong; `header` writes the header onto README.md; `push USER/NAME` creates or
updates a Space, and `push USER/NAME --dry-run` only lists what it would send.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

from demo.space.prices import DOLLARS_AN_HOUR, SLEEP_MINUTES, WHO_MAY, is_paid
from demo.space.space_push import TOKEN_VARIABLE, cpu_requirements, listing, parcel_of, push
from demo.space.spacefile import ROOT, SAFETY_VARIABLE, Flavour, Manifest, SpaceError, read_spacefile

ZERO_PYTHONS = ("3.10", "3.12")
"""What ZeroGPU runs (https://huggingface.co/docs/hub/spaces-zerogpu)."""


def header_fields(manifest: Manifest, flavour: Flavour) -> dict[str, Any]:
    """README's header for a Space of `flavour`: the fields of Spacefile, with the models and the hardware of that."""
    fields = {**manifest.fields, "suggested_hardware": flavour.suggests, "models": list(repositories_of(flavour))}
    return {**fields, "preload_from_hub": list(flavour.preload)} if flavour.preload else fields


def repositories_of(flavour: Flavour) -> tuple[str, ...]:
    """The repositories of the hub that the model of `flavour` comes from; raises `SpaceError` for an unknown model."""
    # Here, not above: the catalogue imports torch.
    from pipeline.models.catalogue import CATALOGUE

    if flavour.model in CATALOGUE:
        return CATALOGUE[flavour.model].repositories
    raise SpaceError(
        f"model of hardware {flavour.hardware} in Spacefile came as {flavour.model!r}; needed: one of "
        f"{', '.join(CATALOGUE)}. Correct it."
    )


def check_preload(flavour: Flavour) -> None:
    """Raise `SpaceError` unless what is preloaded is all that the app fetches for a flavour, and nothing else."""
    # Here, not above: they import torch.
    from pipeline.guides.safety import FOLDERS, HUB_CHECKER
    from pipeline.models.catalogue import CATALOGUE
    from pipeline.models.hub import MORE_PARTS, PARTS, missing_part, wanted_files

    repositories_of(flavour)
    entry = CATALOGUE[flavour.model]
    needed: dict[str, list[str]] = {each: [""] for each in (entry.lora, entry.tiny_vae) if each}
    if isinstance(entry.source, str):
        parts = (*PARTS, *(MORE_PARTS if entry.family == "sdxl" else ()))
        needed[entry.source] = [each for each in parts if each != "vae" or not entry.tiny_vae]
    if flavour.variables.get(SAFETY_VARIABLE) == "on":
        needed.setdefault(HUB_CHECKER, []).extend(FOLDERS)
    said = {name: files.split(",") for name, _, files in (each.partition(" ") for each in flavour.preload)}
    where = f"preload of hardware {flavour.hardware} in Spacefile"
    if set(said) != set(needed):
        raise SpaceError(f"{where} names {', '.join(said) or 'nothing'}; needed: {', '.join(needed)}. Correct it.")
    for name, parts_of_it in needed.items():
        missing = missing_part(said[name], parts_of_it)
        extra = set(said[name]) - set(wanted_files(said[name], parts_of_it))
        if missing is not None or extra:
            what = f"has {missing}" if missing is not None else f"has {', '.join(sorted(extra))}"
            raise SpaceError(
                f"{where}: {name} {what}; needed: the files of {', '.join(each or 'its root' for each in parts_of_it)} "
                "that the app fetches, and no other. Correct it."
            )


def check_price(flavour: Flavour) -> None:
    """Raise `SpaceError` for hardware that costs by the hour, of which the table has no price."""
    if is_paid(flavour.hardware) and flavour.hardware not in DOLLARS_AN_HOUR:
        raise SpaceError(
            f"hardware {flavour.hardware} in Spacefile has no price; needed: one in demo/space/prices.py, since `push` "
            "says what a Space costs. Add it."
        )


def check_cpu_requirements(requirements: str) -> None:
    """Raise `SpaceError` where what is sent to a Space without a GPU would bring CUDA along."""
    sent = cpu_requirements(requirements).splitlines()
    heavy = [line for line in sent if re.match(r"xformers|torch\b(?!==[\d.]+\+cpu$)", line)]
    if heavy:
        raise SpaceError(
            f"requirements.txt has `{heavy[0]}`, which brings CUDA to a Space without a GPU; needed: one line "
            "torch==VERSION, from which `push` writes PyTorch's build for CPUs. Correct it."
        )


def header(fields: Mapping[str, Any]) -> str:
    """The YAML block that stands at the top of a Space's README, with its fences."""
    return "---\n" + yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=200) + "---\n"


def with_header(readme: str, block: str) -> str:
    """`readme` with `block` as its header, in place of the one it has."""
    body = re.sub(r"\A---\n.*?^---\n", "", readme, count=1, flags=re.DOTALL | re.MULTILINE)
    return block + "\n" + body.lstrip("\n")


def pythons_of(requirements: str) -> tuple[str, ...]:
    """The versions of Python that a requirements file says it resolves on; raises `SpaceError` if it says none."""
    found = re.search(r"^#.*Python 3\.(\d+) to 3\.(\d+)", requirements, flags=re.MULTILINE)
    if found is None:
        raise SpaceError('requirements.txt names no Python; needed: a comment "Python 3.X to 3.Y". Add it.')
    return tuple(f"3.{minor}" for minor in range(int(found[1]), int(found[2]) + 1))


def pins_on(requirements: str, python: str) -> dict[str, str]:
    """The version of each library that is installed on a Python such as "3.12", on Linux; raises `SpaceError` where
    one is pinned twice, or not at all."""
    machine = {"python_version": python, "sys_platform": "linux", "platform_machine": "x86_64"}
    pins: dict[str, str] = {}
    for line in requirements.splitlines():
        if not line.strip() or line.startswith(("#", "-r")):
            continue
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate(machine):
            continue
        versions = re.findall(r"^==([\w.+]+)$", str(requirement.specifier))
        if not versions or requirement.name in pins:
            raise SpaceError(
                f"requirements.txt has `{line}`; needed: one line {requirement.name}==VERSION. Correct it."
            )
        pins[requirement.name] = versions[0]
    return pins


def check_versions(manifest: Manifest, requirements: str) -> None:
    """Raise `SpaceError` unless Spacefile's versions of Python and Gradio are those of the requirements."""
    fields = manifest.fields
    python = ".".join(str(fields["python_version"]).split(".")[:2])
    pythons = pythons_of(requirements)
    if any(each.kind == "zero" for each in manifest.flavours.values()):
        pythons = tuple(each for each in pythons if each in ZERO_PYTHONS)
    if python not in pythons:
        raise SpaceError(
            f"python_version in Spacefile came as {fields['python_version']!r}; needed: one of {', '.join(pythons)}, "
            "on which requirements.txt resolves and all of `hardware` runs. Correct it."
        )
    gradio = pins_on(requirements, python).get("gradio")
    if fields["sdk_version"] != gradio:
        raise SpaceError(
            f"sdk_version in Spacefile is {fields['sdk_version']}, requirements.txt pins gradio {gradio}; needed: "
            "the same. Change Spacefile, then run `python -m demo.space header`."
        )


def check_hardware(manifest: Manifest) -> None:
    """Raise `SpaceError` for hardware that Hugging Face does not have, or a model that the catalogue does not know."""
    # Here, not above: neither the app nor `--help` needs the hub's client.
    from huggingface_hub import SpaceHardware

    known = [each.value for each in SpaceHardware]
    for flavour in manifest.flavours.values():
        if flavour.hardware not in known:
            raise SpaceError(f"hardware came as {flavour.hardware!r}; needed: one of {', '.join(known)}. Correct it.")
        check_price(flavour)
        check_preload(flavour)


def check_space(root: Path) -> Manifest:
    """The manifest under `root`; raises `SpaceError` unless it, README's header, requirements and files agree."""
    manifest = read_spacefile(root / "Spacefile")
    for name in (*manifest.files, "requirements.txt"):
        if not (root / name).exists():
            raise SpaceError(f"Spacefile sends {name}; needed: a file or folder that exists. Correct `files`.")
    if not (root / manifest.fields["app_file"]).is_file():
        raise SpaceError(
            f"app_file in Spacefile is {manifest.fields['app_file']}; needed: a file that exists. Correct it."
        )
    requirements = (root / "requirements.txt").read_text(encoding="utf-8")
    check_versions(manifest, requirements)
    check_cpu_requirements(requirements)
    check_hardware(manifest)
    fields = header_fields(manifest, manifest.flavour())
    if fields != manifest.fields:
        raise SpaceError(
            f"models in Spacefile came as {manifest.fields.get('models')!r}; needed: {fields['models']}, of the model "
            f"of {manifest.flavour().hardware}. Correct it."
        )
    readme = _read_readme(root)
    if readme != with_header(readme, header(fields)):
        raise SpaceError("README.md does not begin with Spacefile's header. Run `python -m demo.space header`.")
    return manifest


def write_header(root: Path) -> None:
    """Put Spacefile's header onto README.md under `root`; raises `SpaceError`."""
    block = header(read_spacefile(root / "Spacefile").fields)
    (root / "README.md").write_text(with_header(_read_readme(root), block), encoding="utf-8")


def _read_readme(root: Path) -> str:
    path = root / "README.md"
    if not path.is_file():
        raise SpaceError(f"README.md is missing; needed: the page that carries the header. Write {path}.")
    return path.read_text(encoding="utf-8")


def push_space(root: Path, arguments: argparse.Namespace) -> str:
    """Send the app under `root` as the command line says; what is to be told of it. Raises `SpaceError`."""
    manifest = check_space(root)
    flavour = manifest.flavour(arguments.hardware)
    readme = with_header(_read_readme(root), header(header_fields(manifest, flavour)))
    parcel = parcel_of(root, manifest, flavour, readme, dirty=arguments.dirty)
    if arguments.dry_run:
        return f"{listing(parcel)}\nNothing was sent to {arguments.name}: this was a dry run."
    return push(
        arguments.name,
        parcel,
        known_variables={name for each in manifest.flavours.values() for name in each.environment},
        endpoint=os.environ.get("HF_ENDPOINT"),
        token=os.environ.get(TOKEN_VARIABLE),
        private=arguments.private,
        may_change_hardware=arguments.hardware is not None,
        sleep_minutes=arguments.sleep,
    )


def space_name(text: str) -> str:
    """USER/NAME of a Space; raises `ArgumentTypeError` for anything else."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        raise argparse.ArgumentTypeError(f"came as {text!r}; needed: USER/NAME, such as anna/rearview")
    return text


def sleep_minutes(text: str) -> int:
    """A whole number of minutes; raises `ArgumentTypeError` for anything else."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"came as {text!r}; needed: minutes, such as 30, or 0 for never")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; words that make no sense end the program with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m demo.space", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="say what is wrong with Spacefile or README's header")
    commands.add_parser("header", help="write the header onto README.md")
    pushing = commands.add_parser(
        "push",
        help="create or update a Space",
        description=f"The token comes from {TOKEN_VARIABLE}, and needs to write. {WHO_MAY}.",
    )
    pushing.add_argument("name", type=space_name, metavar="USER/NAME")
    pushing.add_argument("--hardware", help="one of those in Spacefile (default: its suggested_hardware)")
    pushing.add_argument(
        "--sleep",
        type=sleep_minutes,
        default=SLEEP_MINUTES,
        metavar="MINUTES",
        help="when hardware that costs by the hour sleeps, without a visitor for so long; 0 for never "
        f"(default {SLEEP_MINUTES})",
    )
    pushing.add_argument("--private", action="store_true", help="if the Space is new, show it to its owner alone")
    pushing.add_argument("--dirty", action="store_true", help="send files as they lie here, also those not committed")
    pushing.add_argument("--dry-run", action="store_true", help="list what would be sent, and ask nothing of the hub")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run `check`, `header` or `push` on the repository at `root`; returns the exit status."""
    parsed = parse(arguments)
    try:
        if parsed.command == "check":
            check_space(root)
            said = "Spacefile and README.md agree."
        elif parsed.command == "header":
            write_header(root)
            said = "README.md carries Spacefile's header."
        else:
            said = push_space(root, parsed)
    except SpaceError as error:
        print(error, file=sys.stderr)
        return 1
    print(said)
    return 0

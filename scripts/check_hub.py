"""What the hub says of every repository that the app names, beside what the app declares of it.

python -m scripts.check_hub
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from benchmarks.measuring.report import Row, table
from pipeline.guides.adapter_catalogue import ADAPTERS
from pipeline.guides.control_catalogue import CONTROLS
from pipeline.guides.safety import FOLDERS, HUB_CHECKER
from pipeline.memory.depth import DEPTH_MODEL
from pipeline.models.catalogue import CATALOGUE
from pipeline.models.hub import MORE_PARTS, PARTS, PICKLE_ALONE, missing_part, wanted_files
from pipeline.models.hub_names import HubName, read_name

LIVE2DIFF = "Leoxing/Live2Diff"
"""Holds the causal memory's checkpoint, which `scripts.convert_live2diff` reads; nothing is fetched of it."""

LICENCES: Mapping[str, str] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "creativeml-openrail-m",
    "latent-consistency/lcm-lora-sdv1-5": "openrail++",
    "latent-consistency/lcm-lora-sdxl": "openrail++",
    "ByteDance/Hyper-SD": "openrail++",
    "ByteDance/SDXL-Lightning": "openrail++",
    "h1t/TCD-SD15-LoRA": "mit",
    "SimianLuo/LCM_Dreamshaper_v7": "mit",
    "stabilityai/sdxl-turbo": "sai-nc-community",
    "stabilityai/stable-diffusion-xl-base-1.0": "openrail++",
    "madebyollin/taesd": "mit",
    "madebyollin/taesdxl": "mit",
    "Intel/dpt-hybrid-midas": "apache-2.0",
    **{each.repository: each.licence.lower() for each in ADAPTERS.values()},
    **{each.repository: "apache-2.0" for each in CONTROLS.values() if each.kind == "adapter"},
    **{each.repository: "openrail" for each in CONTROLS.values() if each.kind == "controlnet"},
}
"""The licence that each page names; of a repository that is not here, none is known to compare with."""

PICKLES = frozenset(CONTROLS[name].repository for name in ("sketch-sd15", "canny-sd15"))
"""Declared to hold a pickle alone: to be converted by hand."""

_NET_ERRORS = (HfHubHTTPError.__bases__[0], OfflineModeIsEnabled)


@dataclass(frozen=True)
class Named:
    """A name of the hub, what it is for, and the parts that are fetched of it: `("",)` for what lies in no folder,
    none where nothing is."""

    use: str
    name: HubName
    parts: tuple[str, ...] = ("",)


def named() -> Iterator[Named]:
    """Every name that the app knows."""
    for entry in CATALOGUE.values():
        if isinstance(entry.source, str):
            without = ("vae",) if entry.tiny_vae else ()
            more = MORE_PARTS if entry.family == "sdxl" else ()
            parts = tuple(each for each in (*PARTS, *more) if each not in without)
            yield Named(entry.name, _read(entry.source), parts)
            yield from (Named(entry.name, _read(each)) for each in (entry.lora, entry.tiny_vae) if each)
    yield from (Named(each.name, _read(each.repository)) for each in CONTROLS.values())
    yield from (Named(each.name, _read(each.source)) for each in ADAPTERS.values())
    encoders = {each.encoder_source: each.name for each in reversed(list(ADAPTERS.values()))}
    yield from (Named(f"{use}, its encoder", _read(source)) for source, use in encoders.items())
    yield Named("--safety on", _read(HUB_CHECKER), FOLDERS)
    yield Named("depth", _read(DEPTH_MODEL))
    yield Named("causal memory", HubName(LIVE2DIFF), ())


def _read(text: str) -> HubName:
    name = read_name(text)
    if name is None:
        raise ValueError(f"name came as {text!r}; needed: owner/name. Correct it.")
    return name


def row_of(each: Named, api: HfApi) -> Row:
    """What the hub says of a name: a row of the table, whose `differs` is empty where all is as declared."""
    try:
        info = api.model_info(each.name.repository, revision=each.name.revision, files_metadata=True)
    except _NET_ERRORS as error:
        said = (str(error) or type(error).__name__).splitlines()[0][:80]
        return _row(each, "?", "?", [], 0, [f"cannot be had: {said}"])
    sizes = {file.rfilename: int(file.size or 0) for file in info.siblings or ()}
    found = licences_of(info)
    fetched = [each.name.file] if each.name.file else wanted_files(sizes, each.parts) if each.parts else []
    weights = [file for file in fetched if file.endswith(".safetensors")]
    differs = list(differences(each, info, found, sizes))
    total = sum(sizes.get(file, 0) for file in fetched)
    return _row(each, ", ".join(sorted(found)) or "none", str(info.gated or "no"), weights, total, differs)


def _row(each: Named, licence: str, gated: str, weights: Sequence[str], fetched: int, differs: Sequence[str]) -> Row:
    return {
        "for": each.use,
        "name": str(each.name),
        "licence": licence,
        "gated": gated,
        "safetensors": ", ".join(weights) or "none",
        "fetched, MB": round(fetched / 1e6),
        "differs": "; ".join(differs),
    }


def licences_of(info: Any) -> set[str]:
    """What a repository's card calls its licence: the hub's tag, and the name of one that the hub does not know."""
    tagged = {tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")}
    own = (info.card_data or {}).get("license_name") if info.card_data else None
    return tagged | ({str(own)} if own else set())


def differences(each: Named, info: Any, licences: set[str], sizes: Mapping[str, int]) -> Iterator[str]:
    """In what a repository is not what we declare, as phrases."""
    repository = each.name.repository
    if info.id != repository:
        yield f"moved to {info.id}"
    if info.gated:
        yield "gated"
    declared = LICENCES.get(repository)
    if declared is not None and declared not in licences:
        yield f"declared as {declared}"
    missing = missing_part(sizes, each.parts) if not each.name.file else None
    if each.name.file and each.name.file not in sizes:
        yield f"no {each.name.file}"
    is_pickle = missing is not None and missing.endswith(PICKLE_ALONE)
    if is_pickle != (repository in PICKLES):
        yield missing or "safetensors now, declared as a pickle alone"
    elif missing is not None and not is_pickle:
        yield missing


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; the exit status is 1 where something differs."""
    parser = argparse.ArgumentParser(description="Ask the hub about every repository that the app names.")
    parser.add_argument("--endpoint", help="another hub than Hugging Face's, such as a mirror")
    api = HfApi(endpoint=parser.parse_args(argv).endpoint)
    rows = [row_of(each, api) for each in named()]
    print(table(rows))
    differing = [row for row in rows if row["differs"]]
    print(f"{len(rows)} names asked, {len(differing)} differ from what is declared.")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())

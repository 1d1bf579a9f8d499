"""The Hugging Face hub and its cache on this machine: where a repository's files lie, fetched if they do not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from pipeline.errors import ModelError
from pipeline.models.catalogue import ENTRY_FILE, ModelEntry
from pipeline.models.hub_names import HubName, is_file_name, is_repository, read_name

REACH_TIMEOUT_S = 5.0
VARIANT = "fp16"

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""Folders that every model in diffusers' layout has."""

MORE_PARTS = ("text_encoder_2", "tokenizer_2")
"""Folders that some have beside these."""

INDEX = "model_index.json"
_DESCRIBED_BY = {"scheduler": "scheduler_config.json", "feature_extractor": "preprocessor_config.json"}
"""The config of each part that has another than `config.json`."""
_WITHOUT_WEIGHTS = ("tokenizer", "tokenizer_2", *_DESCRIBED_BY)
_WEIGHTS = re.compile(
    r"(?P<stem>diffusion_pytorch_model|model|pytorch_lora_weights)(?P<variant>\.fp16)?"
    r"(?:-\d{5}-of-(?P<shards>\d{5}))?\.safetensors"
)
PICKLE_ENDINGS = (".bin", ".ckpt", ".pt", ".pth", ".msgpack")
"""How files are called that may run the code of whoever wrote them: none is read."""
PICKLE_ALONE = "as a pickle alone"
MOST_FILES = 12
"""How many files of a repository a sentence names."""
MOST_REFS = 30
"""How many refs of a repository are asked, the newest first, for safetensors that its main lacks."""

_A_PICKLE = "which runs the code of whoever wrote it; needed: safetensors."
_CONVERT = (
    "You may also fetch the pickle, run `python -m scripts.convert_weights IN.bin OUT.safetensors`, and name the "
    "folder in which its outcome and config.json lie."
)

# The root of what the hub's client raises about the net: its own errors are made of it too.
_NET_ERRORS: tuple[type[Exception], ...] = (
    HfHubHTTPError.__bases__[0],
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    XetDownloadError,
)
_PROXY_ERRORS: tuple[type[Exception], ...] = (
    ImportError,
    ValueError,
    import_module(_NET_ERRORS[0].__module__.partition(".")[0]).InvalidURL,
)
"""What the client raises before it asks anybody, where the environment names a proxy that it cannot use."""


def wanted_files(listing: Iterable[str], parts: Sequence[str], weights: bool = True) -> list[str]:
    """Of a repository's files, those of `parts` that are needed: configs, vocabularies, and, with `weights`, one set of
    safetensors each, the half-precision one where there is one. The part `""` is what lies in no folder."""
    files = sorted(listing)
    wanted = [file for file in files if file in (INDEX, ENTRY_FILE)]
    for part in parts:
        own = [file for file in files if _folder_of(file) == part]
        named = {file: match for file in own if (match := _WEIGHTS.fullmatch(_name_of(file)))}
        variant = any(match["variant"] for match in named.values())
        wanted += [file for file in own if file.endswith((".json", ".txt"))]
        wanted += [file for file, match in named.items() if weights and bool(match["variant"]) == variant]
    return sorted(set(wanted))


def missing_part(listing: Iterable[str], parts: Sequence[str], weights: bool = True) -> str | None:
    """What keeps these files from being `parts`, with `weights` or configs alone, as a phrase; `None` for nothing."""
    files = list(listing)
    for part in parts:
        own = [_name_of(file) for file in files if _folder_of(file) == part]
        named = [match for name in own if (match := _WEIGHTS.fullmatch(name))]
        if not _is_described(part, own) or (weights and part not in _WITHOUT_WEIGHTS and not named):
            pickled = any(name.endswith(PICKLE_ENDINGS) for name in own)
            return f"{part or 'weights'} {PICKLE_ALONE}" if pickled else f"no {part or 'weights'}"
        if weights and named and not any(_is_whole(named, match["variant"]) for match in named):
            return f"only some of the files of {part or 'its weights'}"
    return None


def _is_described(part: str, own: Collection[str]) -> bool:
    """Whether the small files of a part are there: its config, or a tokenizer's vocabulary, old form or new."""
    if part.startswith("tokenizer"):
        return "tokenizer.json" in own or {"vocab.json", "merges.txt"} <= set(own)
    # What lies in no folder is known by its config or, as a LoRA, has none.
    return not part or _DESCRIBED_BY.get(part, "config.json") in own


def _is_whole(named: Sequence[re.Match[str]], variant: str | None) -> bool:
    """Whether all the files that one set of weights is split into are there."""
    split = [match["shards"] for match in named if match["variant"] == variant]
    return len(split) == int(split[0] or 1)


def variant_of(folder: Path) -> str | None:
    """`"fp16"` for a part's folder that holds half-precision weights, else `None`: the plain ones."""
    named = (_WEIGHTS.fullmatch(file.name) for file in folder.iterdir())
    return VARIANT if any(match and match["variant"] for match in named) else None


@dataclass(frozen=True)
class _Wanted:
    """What is wanted of a repository: the parts of a model but for some, `only` these, or what lies in no folder
    (`is_network`)."""

    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    weights: bool = True
    is_network: bool = False

    @property
    def signs(self) -> tuple[str, ...]:
        """Files of which one is there if anything is."""
        return ("config.json", "pytorch_lora_weights.safetensors") if self.is_network else (INDEX,)

    def parts(self, known: Collection[str]) -> tuple[str, ...]:
        """The wanted parts of a repository that has the parts `known`."""
        if self.is_network:
            return ("",)
        if self.only:
            return self.only
        parts = (*PARTS, *(part for part in MORE_PARTS if part in known))
        return tuple(part for part in parts if part not in self.without)


_NETWORK = _Wanted(is_network=True)


@dataclass(frozen=True)
class Hub:
    """A way to the hub. Offline, nothing is asked of the net. `endpoint` and `cache`, by default the hub's own and the
    cache that all of its programs share, are those of a mirror."""

    offline: bool = False
    endpoint: str | None = None
    cache: Path | None = None

    def model(self, repository: str, without: Sequence[str] = ()) -> Path:
        """The folder of a model in diffusers' layout, but for the parts `without`; downloaded if it is not here.

        Raises `ModelError`.
        """
        return self._folder(repository, _Wanted(without=tuple(without)))

    def parts(self, repository: str, names: Sequence[str]) -> Path:
        """The same folder with the parts `names` alone; downloaded if it is not here. Raises `ModelError`."""
        return self._folder(repository, _Wanted(only=tuple(names)))

    def configs(self, repository: str) -> Path:
        """The same folder with configs and vocabularies alone; downloaded if it is not here. Raises `ModelError`."""
        return self._folder(repository, _Wanted(weights=False))

    def folder_of(self, folder_or_id: str, refusal: str) -> Path:
        """A network's folder on this machine, as it is, or that of a repository, fetched once; raises `ModelError`,
        with `refusal` for a name that is neither."""
        if Path(folder_or_id).is_dir():
            return Path(folder_or_id)
        if is_repository(folder_or_id):
            return self.network(folder_or_id)
        raise ModelError(refusal)

    def network(self, repository: str) -> Path:
        """The folder of a repository that holds one network, or a LoRA; downloaded if it is not here.

        Raises `ModelError`.
        """
        return self._folder(repository, _NETWORK)

    def file(self, text: str, beside: Sequence[str] = ()) -> Path:
        """One file of a repository, "owner/name/file.safetensors", once all that is called as those `beside` it lies in
        its folder; downloaded if it is not here. Raises `ModelError`."""
        name = read_name(text)
        if name is None or not name.file:
            raise ModelError(f"file came as {text!r}; needed: owner/name/file.safetensors. Correct it.")
        folder = _folder_of(name.file)
        files = [name.file, *(f"{folder}/{each}".lstrip("/") for each in beside)]
        cached = [self._cached_file(name, each) for each in files]
        if all(cached) and cached[0] is not None:
            return cached[0]
        if self.offline:
            raise ModelError(
                f"{text} is not on this machine, nor in its cache, and --offline forbids the net; needed: the file. "
                "Start once without --offline, or name a file that is here."
            )
        listing = self._listing(name)
        missing = [each for each in files if each not in listing]
        if missing:
            named = sorted(each for each in listing if each.endswith(".safetensors"))[:MOST_FILES]
            raise ModelError(
                f"{name.repository} came without {' and '.join(missing)}; needed: {' and '.join(files)}. Its "
                f"safetensors are {', '.join(named) or 'none'}. Check the name."
            )
        return self._downloaded(name, files) / name.file

    def weights(self, kind: str, name: str, needed: str, beside: Sequence[str] = ()) -> Path:
        """The file of weights that a `kind` of network is named by, of this machine or of a repository, there with
        those `beside` it. Raises `ModelError`, which says what is `needed`."""
        if name.endswith(PICKLE_ENDINGS):
            raise ModelError(
                f"{kind} {name!r} came as a pickle, which can run the code of whoever wrote it; needed: safetensors. "
                "Convert it with `python -m scripts.convert_weights`, or take another."
            )
        if Path(name).is_file():
            return Path(name)
        if is_file_name(name):
            return self.file(name, beside)
        raise ModelError(f"{kind} came as {name!r}; needed: {needed}. Check the name or the path.")

    def places(self, named: Iterable[str]) -> list[Path]:
        """Folders and files on this machine, as they are, and files of repositories, fetched once; raises
        `ModelError`."""
        return [self.file(each) if is_file_name(each) and not Path(each).exists() else Path(each) for each in named]

    def has(self, entry: ModelEntry) -> bool:
        """Whether all that an entry of the hub is made of lies in the cache."""
        without = ("vae",) if entry.tiny_vae else ()
        networks = [each for each in (entry.lora, entry.tiny_vae) if each]
        wanted = {str(entry.source): _Wanted(without=without), **dict.fromkeys(networks, _NETWORK)}
        return all(
            (name := read_name(each)) and (self._cached_file(name, name.file) or self._cached(name, whole))
            for each, whole in wanted.items()
        )

    def problem(self, repositories: Iterable[str]) -> str | None:
        """Why one of the repositories cannot be reached, as a sentence; `None` where all can."""
        try:
            for repository in repositories:
                self._listing(HubName(repository))
        except ModelError as error:
            return str(error)
        return None

    def _folder(self, repository: str, wanted: _Wanted) -> Path:
        name = read_name(repository)
        if name is None or name.file:
            raise ModelError(
                f"repository came as {repository!r}; needed: owner/name, or owner/name@revision. Correct it."
            )
        found = self._cached(name, wanted)
        if found is not None:
            return found
        if self.offline:
            raise ModelError(
                f"{repository} is not in the cache of this machine, or not whole, and --offline forbids the net; "
                "needed: its files. Start once without --offline, or name a folder."
            )
        listing = self._listing(name)
        parts = wanted.parts({_folder_of(file) for file in listing})
        missing = missing_part(listing, parts, wanted.weights)
        if missing is not None and missing.endswith(PICKLE_ALONE):
            raise ModelError(
                f"{name.repository} came with {missing} on {name.revision or 'main'}, {_A_PICKLE} "
                f"{self._where_else(name, wanted)}"
            )
        if missing is not None:
            raise ModelError(
                f"{repository} came with {missing}; needed: {', '.join(part or 'weights' for part in parts)} in "
                "diffusers' layout, weights as safetensors. Name another repository, or a single .safetensors file."
            )
        return self._downloaded(name, wanted_files(listing, parts, wanted.weights))

    def _where_else(self, name: HubName, wanted: _Wanted) -> str:
        """What to do about a repository of pickles: which of its refs hold what is wanted, as a sentence."""
        refs = self._refs_with(name, wanted)
        if not refs:
            return f"No other ref of it that the hub lists holds them. {_CONVERT}"
        named = ", ".join(refs)
        return (
            f"Its {named} {'holds' if len(refs) == 1 else 'hold'} them: look who proposed them, then say "
            f"{name.at(refs[0])}. {_CONVERT}"
        )

    def _refs_with(self, name: HubName, wanted: _Wanted) -> list[str]:
        """The refs of a repository that hold what is wanted, of the newest; none where the hub lists no refs."""
        try:
            found = HfApi(endpoint=self.endpoint).list_repo_refs(name.repository, include_pull_requests=True)
        except _NET_ERRORS:
            return []
        proposed = sorted((each.ref for each in found.pull_requests or ()), key=_number_of, reverse=True)
        others = [each.name for each in found.branches if each.name != "main"] + [each.ref for each in found.converts]
        return [ref for ref in [*proposed, *others][:MOST_REFS] if self._holds(name.at(ref), wanted)]

    def _holds(self, name: HubName, wanted: _Wanted) -> bool:
        """Whether a repository holds what is wanted at its revision."""
        try:
            listing = self._listing(name)
        except ModelError:
            return False
        return missing_part(listing, wanted.parts({_folder_of(file) for file in listing}), wanted.weights) is None

    def _cached(self, name: HubName, wanted: _Wanted) -> Path | None:
        """The folder in the cache that holds all that is wanted; `None` where something is missing."""
        for each in wanted.signs:
            sign = try_to_load_from_cache(name.repository, each, cache_dir=self.cache, revision=name.revision)
            if isinstance(sign, str):
                folder = Path(sign).parent
                files = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
                # What the index names, not what lies there: a download may have been broken off.
                parts = wanted.parts(_named_parts(folder / INDEX))
                return None if missing_part(files, parts, wanted.weights) else folder
        return None

    def _cached_file(self, name: HubName, file: str) -> Path | None:
        """A file of a repository in the cache; `None` where it is not there."""
        if not file:
            return None
        found = try_to_load_from_cache(name.repository, file, cache_dir=self.cache, revision=name.revision)
        return Path(found) if isinstance(found, str) else None

    def _listing(self, name: HubName) -> list[str]:
        """Names of all files of a repository; raises `ModelError`."""
        try:
            api = HfApi(endpoint=self.endpoint)
            info = api.model_info(name.repository, revision=name.revision, timeout=REACH_TIMEOUT_S)
        except _NET_ERRORS as error:
            raise _refused(name, error) from error
        except OSError as error:
            raise _refused(name, error) from error
        except _PROXY_ERRORS as error:
            if not (proxies := _proxies()):
                raise
            raise ModelError(
                f"the hub cannot be reached for {name.repository} through {proxies} ({_first_line(error)}); needed: a "
                "proxy such as http://127.0.0.1:8080. Correct the variable, or say --model embedded."
            ) from error
        return [file.rfilename for file in info.siblings or ()]

    def _downloaded(self, name: HubName, files: Sequence[str]) -> Path:
        try:
            return Path(
                snapshot_download(
                    name.repository,
                    revision=name.revision,
                    allow_patterns=list(files),
                    cache_dir=self.cache,
                    endpoint=self.endpoint,
                )
            )
        except _NET_ERRORS as error:
            raise _refused(name, error) from error
        except OSError as error:
            raise ModelError(
                f"{name} cannot be written to the hub's cache ({_first_line(error)}); needed: room, and the "
                "right to write there. Make room, or let the variable HF_HOME name another folder."
            ) from error


def _proxies() -> str:
    """The variables of the environment that name a proxy."""
    return ", ".join(sorted(name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy")))


def _refused(name: HubName, error: Exception) -> ModelError:
    """What an error of the hub's client means, as a sentence."""
    repository = name.repository
    if isinstance(error, RevisionNotFoundError):
        return ModelError(
            f"{repository} has no revision {name.revision}; needed: a branch, a tag, a commit or a ref of it. Look at "
            f"https://huggingface.co/{repository}, or leave @{name.revision} out."
        )
    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{repository} is gated: its owner lets only those in who agreed to its terms; needed: a token of such a "
            f"person. Agree at https://huggingface.co/{repository}, then run `hf auth login`."
        )
    if isinstance(error, RepositoryNotFoundError):
        no_file = f"{name} is no file on this machine, and " if name.file else ""
        return ModelError(
            f"{no_file}{repository} is no repository of the hub, or a private one; needed: one that you may read. "
            "Check the name, or run `hf auth login`."
        )
    return ModelError(
        f"the hub cannot be reached for {repository} ({_first_line(error)}); needed: a connection, or a model that is "
        "here. Check the net, or say --model embedded."
    )


def _number_of(ref: str) -> int:
    """The number of a pull request's ref, such as 5 of "refs/pr/5"."""
    number = ref.rpartition("/")[2]
    return int(number) if number.isdecimal() else 0


def _named_parts(index: Path) -> frozenset[str]:
    """The parts that a `model_index.json` names; none where there is no such file."""
    named = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}
    return frozenset(name for name, value in named.items() if isinstance(value, list) and value[0])


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _folder_of(file: str) -> str:
    return file.rpartition("/")[0]


def _name_of(file: str) -> str:
    return file.rpartition("/")[2]

"""Tiny models with random weights in the hub's own file layouts, and a hub on loopback that serves them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, PNDMScheduler, UNet2DConditionModel
from huggingface_hub import close_session
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.conftest import TEXT_WIDTH, TINY_SIZE, byte_vocabulary, tiny_vae

SECOND_WIDTH = 40
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def text_config(width: int, **changes: Any) -> CLIPTextConfig:
    words = len(byte_vocabulary())
    return CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=width,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
        initializer_factor=5.0,
        **changes,
    )


def unet_of(family: str, **changes: Any) -> UNet2DConditionModel:
    """A tiny UNet of a family's architecture: levels, projections and embeddings as its real one has them."""
    common: dict[str, Any] = {
        "sample_size": TINY_SIZE // 8,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
    }
    shapes: dict[str, dict[str, Any]] = {
        "sd15": {
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "block_out_channels": (16, 32),
            "cross_attention_dim": TEXT_WIDTH,
            "attention_head_dim": 8,
        },
        "sd21": {
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "block_out_channels": (16, 32),
            "cross_attention_dim": TEXT_WIDTH,
            "attention_head_dim": (2, 4),
            "use_linear_projection": True,
        },
        "sdxl": {
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "block_out_channels": (16, 32, 32),
            "transformer_layers_per_block": (1, 1, 2),
            "cross_attention_dim": TEXT_WIDTH + SECOND_WIDTH,
            "attention_head_dim": (2, 4, 4),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + SECOND_WIDTH,
        },
    }
    return UNet2DConditionModel(**(common | shapes[family] | changes))


def kl_autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        layers_per_block=1,
        scaling_factor=0.18215,
    )


def text_encoders_of(family: str) -> dict[str, Any]:
    first = CLIPTextModel(text_config(TEXT_WIDTH))
    if family != "sdxl":
        return {"text_encoder": first}
    return {"text_encoder": first, "text_encoder_2": CLIPTextModelWithProjection(text_config(SECOND_WIDTH))}


def text_key(name: str) -> str:
    """What a tensor of a text encoder is called in files of the hub, whatever the installed release calls it."""
    return name if name.startswith(("text_model.", "text_projection")) else f"text_model.{name}"


def save_tokenizer(folder: Path, pad: str) -> None:
    """The files that the hub has, which newer releases of transformers write otherwise."""
    folder.mkdir(parents=True)
    start, end = "<|startoftext|>", "<|endoftext|>"
    special = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": pad}
    (folder / "vocab.json").write_text(json.dumps(byte_vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def save_model(
    folder: Path,
    family: str = "sd15",
    *,
    prediction_type: str = "epsilon",
    trailing: bool = False,
    variant: str | None = None,
    weights: bool = True,
    **unet: Any,
) -> Path:
    """A base model of `family` as the hub has it: with its own scheduler, with an autoencoder of distributions, and in
    one `variant`; or, without `weights`, its configs and vocabularies alone."""
    torch.manual_seed(0)
    parts: dict[str, Any] = {"unet": unet_of(family, **unet), "vae": kl_autoencoder(), **text_encoders_of(family)}
    for name, part in parts.items():
        if not weights:
            part.config.save_pretrained(folder / name) if "text" in name else part.save_config(folder / name)
        elif "text" in name:
            part.config.save_pretrained(folder / name)
            tensors = {text_key(key): each for key, each in part.state_dict().items()}
            # Files of older releases of transformers hold this too.
            tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
            save_file(tensors, folder / name / f"model{f'.{variant}' if variant else ''}.safetensors", {"format": "pt"})
        else:
            part.save_pretrained(folder / name, variant=variant)
    save_tokenizer(folder / "tokenizer", "<|endoftext|>")
    if family == "sdxl":
        save_tokenizer(folder / "tokenizer_2", "!")
    # As the real ones are: PNDM for bases, Euler with trailing timesteps for the students of ADD.
    scheduler = (
        EulerDiscreteScheduler(timestep_spacing="trailing", prediction_type=prediction_type, **BETAS)
        if trailing
        else PNDMScheduler(skip_prk_steps=True, steps_offset=1, prediction_type=prediction_type, **BETAS)
    )
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        name: ["transformers" if "text" in name else "diffusers", type(part).__name__] for name, part in parts.items()
    }
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **index}))
    return folder


def save_tiny_vae(folder: Path) -> Path:
    """As madebyollin/taesd: one network in the root."""
    tiny_vae(4).save_pretrained(folder)
    return folder


LORA_ENDS = (
    ".to_q", ".to_k", ".to_v", ".to_out.0", ".proj_in", ".proj_out", ".ff.net.0.proj", ".ff.net.2",
    ".conv1", ".conv2", ".conv_shortcut", ".downsamplers.0.conv", ".upsamplers.0.conv", ".time_emb_proj",
)  # fmt: skip
"""The layers that the LCM-LoRAs change."""


def save_lora(
    folder: Path, unet: UNet2DConditionModel, ends: tuple[str, ...] = LORA_ENDS[:1]
) -> dict[str, torch.Tensor]:
    """As latent-consistency/lcm-lora-sdv1-5, in Kohya's names, for the layers with these `ends`; what it adds to the
    weight of each."""
    rank, alpha = 2, 1.0
    generator = torch.Generator().manual_seed(5)
    folder.mkdir(parents=True, exist_ok=True)
    tensors, added = {}, {}
    for layer in [name for name, _ in unet.named_modules() if name.endswith(ends)]:
        weight = unet.get_submodule(layer).weight
        down = torch.randn(rank, weight.shape[1], *weight.shape[2:], generator=generator)
        up = torch.randn(weight.shape[0], rank, *[1] * (weight.ndim - 2), generator=generator)
        name = f"lora_unet_{layer.replace('.', '_')}"
        tensors |= {
            f"{name}.lora_down.weight": down,
            f"{name}.lora_up.weight": up,
            f"{name}.alpha": torch.tensor(alpha),
        }
        added[layer] = (alpha / rank * up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    save_file(tensors, folder / "pytorch_lora_weights.safetensors")
    return added


@dataclass
class FakeHub:
    """Repositories by name, each a folder, such as "anna/fast" or, another of its revisions, "anna/fast@refs/pr/5";
    what is `gated`, what its API says of a repository beside its files, and every path that was asked for."""

    repositories: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a GET of `path`."""
        self.asked.append(path)
        words = urlsplit(path).path.strip("/").split("/")
        is_api = words[:2] == ["api", "models"]
        repository = "/".join(words[2:4] if is_api else words[:2])
        if repository not in self.repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        rest = words[4:] if is_api else words[2:]
        if is_api and rest == ["refs"]:
            return _json(self._refs(repository))
        revision = unquote(rest[1]) if len(rest) > 1 else "main"
        place, commit = self._at(repository, revision)
        if place not in self.repositories:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        folder = self.repositories[place]
        files = {each.relative_to(folder).as_posix(): each for each in folder.rglob("*") if each.is_file()}
        if is_api and rest[:1] == ["tree"]:
            return _json([_tree_entry(name, file) for name, file in files.items()])
        if is_api:
            siblings = [{"rfilename": name, "size": file.stat().st_size} for name, file in files.items()]
            known = {"id": repository, "modelId": repository, "sha": commit, "siblings": siblings, "tags": []}
            return _json({**known, **self.facts.get(repository, {})})
        if repository in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
        name = "/".join(rest[2:])
        if name not in files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b"{}"
        data = files[name].read_bytes()
        return 200, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit}, data

    def _at(self, repository: str, revision: str) -> tuple[str, str]:
        """The place of a repository at a revision or a commit, and its commit."""
        commits = {each: _commit_of(each) for each in self.repositories if each.partition("@")[0] == repository}
        named = repository if revision == "main" else f"{repository}@{revision}"
        place = next((each for each, commit in commits.items() if commit == revision), named)
        return place, _commit_of(place)

    def _refs(self, repository: str) -> dict[str, Any]:
        """What the hub lists of a repository's branches and pull requests."""
        revisions = [each.partition("@")[2] for each in self.repositories if each.startswith(f"{repository}@")]
        proposed = [each for each in revisions if each.startswith("refs/pr/")]
        branches = {each: f"refs/heads/{each}" for each in ["main", *revisions] if each not in proposed}
        return {
            "branches": [{"name": name, "ref": ref, "targetCommit": COMMIT} for name, ref in branches.items()],
            "pullRequests": [{"name": each, "ref": each, "targetCommit": COMMIT} for each in proposed],
            "converts": [],
            "tags": [],
        }


def _commit_of(place: str) -> str:
    return hashlib.sha1(place.encode()).hexdigest() if "@" in place else COMMIT


def _json(content: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _tree_entry(name: str, file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


@contextmanager
def on_loopback(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that answers as `handler` does, for a client that keeps connections of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        close_session()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The same hub at an address of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with on_loopback(Handler) as hub.url:
        yield hub

"""Depth for tests: a DPT of Intel/dpt-hybrid-midas's kind with some ten thousand weights, and what reads its depth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from transformers import DPTConfig, DPTForDepthEstimation

from pipeline.memory.depth import DepthConditioning, DepthWeights
from pipeline.memory.motion import Motion
from tests.conftest import TINY_SIZE
from tests.support.weights.motion import lively_motion

MEAN, STD = (0.5, 0.4, 0.5), (0.5, 0.25, 0.5)


def tiny_dpt() -> DPTForDepthEstimation:
    """A ResNet of three stages and four transformer blocks, as the real one is; its depth follows its input."""
    stages = ["stage1", "stage2", "stage3"]
    backbone = {"embedding_size": 8, "hidden_sizes": [16, 24, 32], "depths": [1, 1, 1], "num_groups": 4}
    backbone |= {"model_type": "bit", "layer_type": "bottleneck", "global_padding": "same", "out_features": stages}
    config = DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=TINY_SIZE,
        patch_size=16,
        neck_hidden_sizes=[16, 24, 8, 8],
        fusion_hidden_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        use_auxiliary_head=False,
        is_hybrid=True,
        backbone_featmap_shape=[1, 32, 2, 2],
        backbone_config=backbone,
    )
    network = DPTForDepthEstimation(config).eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        if parameter.ndim in (2, 4):
            nn.init.kaiming_normal_(parameter, generator=generator)
    # Else its last ReLU could show nothing at all, and numbers in the hundreds hide what 1e-5 is to show.
    network.head.head[4].weight.data.abs_().mul_(0.01)
    return network


def save_depth_model(folder: Path) -> Path:
    """As the hub has the real one, which lacks the weights that are never read."""
    network = tiny_dpt()
    state = {name: each for name, each in network.state_dict().items() if "layers.0.residual_layer1" not in name}
    network.save_pretrained(folder, state_dict=state)
    described = {"image_mean": MEAN, "image_std": STD, "size": {"height": TINY_SIZE, "width": TINY_SIZE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    return folder


def lively_conditioning(channels: int = 16) -> DepthConditioning:
    """One that changes the picture."""
    generator = torch.Generator().manual_seed(4)
    conditioning = DepthConditioning(channels).requires_grad_(False)
    for each in conditioning.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.kaiming_normal_(each.weight, generator=generator)
            nn.init.normal_(each.bias, std=0.1, generator=generator)
    return conditioning


def reading_motion(unet: UNet2DConditionModel, model: str | Path = "nowhere/nothing") -> Motion:
    """Lively motion modules that read the depth of a depth model."""
    return replace(lively_motion(unet), depth=DepthWeights(lively_conditioning(), str(model)))

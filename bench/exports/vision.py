"""Networks of timm and torchvision, in their smallest variants."""

from __future__ import annotations

from functools import partial
from typing import Any

import timm
import torch
import torchvision

from .entry import Export, image

SIZED = [
    "resnet10t",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_035",
    "tf_efficientnet_lite0",
    "ghostnet_050",
    "mixnet_s",
    "regnety_002",
    "convnext_atto",
    "convnextv2_atto",
    "repghostnet_050",
    "tinynet_e",
    "lcnet_035",
    "semnasnet_050",
    "hrnet_w18_small",
    "ese_vovnet19b_slim_dw",
    "poolformer_s12",
    "inception_next_atto",
    "starnet_s050",
    "mambaout_femto",
    "repvit_m0_9",
    "skresnet18",
    "nf_regnet_b0",
    "mobileone_s0",
    "resnest14d",
]
"""Of timm, of any size."""
SIZED_DYNAMO = [
    "efficientvit_b0",
    "mobilevitv2_050",
    "edgenext_xx_small",
    "fastvit_t8",
    "regnetx_002",
    "convnext_atto",
    "mobilenetv3_small_050",
]
FIXED: dict[str, dict[str, Any]] = {
    "deit_tiny_patch16_224": {"img_size": 64, "depth": 3},
    "beit_base_patch16_224": {"img_size": 64, "depth": 2, "embed_dim": 96, "num_heads": 3},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4),
                                     "window_size": 4},
    "swinv2_tiny_window8_256": {"img_size": 64, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4),
                                "window_size": 4},
    "mixer_s32_224": {"img_size": 64},
    "gmlp_s16_224": {"img_size": 64},
    "resmlp_12_224": {"img_size": 64},
    "cait_xxs24_224": {"img_size": 64, "depth": 3},
    "xcit_nano_12_p16_224": {"img_size": 64, "depth": 2},
    "levit_128s": {"img_size": 64},
    "visformer_tiny": {"img_size": 64},
    "twins_svt_small": {"img_size": 64, "depths": (1, 1, 1, 1)},
    "sequencer2d_s": {"img_size": 64, "layers": (1, 1, 1, 1)},
    "coatnet_pico_rw_224": {"img_size": 64},
    "efficientvit_m0": {"img_size": 64},
    "mobilevit_xxs": {},
    "eva02_tiny_patch14_224": {"img_size": 56, "depth": 2},
    "pvt_v2_b0": {},
    "gcvit_xxtiny": {"img_size": 64},
    "maxvit_rmlp_pico_rw_256": {"img_size": 64},
    "efficientformerv2_s0": {"img_size": 64},
    "davit_tiny": {"depths": (1, 1, 1, 1), "embed_dims": (24, 48, 96, 192), "num_heads": (1, 2, 4, 8)},
}  # fmt: skip
"""Of timm, built for one size of picture."""
FIXED_DYNAMO = (
    "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mixer_s32_224", "eva02_tiny_patch14_224",
    "mobilevit_xxs", "coatnet_pico_rw_224",
)  # fmt: skip


def of_timm(name: str, **settings: Any) -> torch.nn.Module:
    return timm.create_model(name, pretrained=False, num_classes=10, **settings)


class Segmented(torch.nn.Module):
    """torchvision's segmentation networks give a dictionary."""

    def __init__(self, body: torch.nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)["out"]


class Detected(torch.nn.Module):
    """torchvision's detectors take a list of pictures and give one dictionary a picture."""

    def __init__(self, body: torch.nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.body([x[0]])[0]
        return found["boxes"], found["labels"], found["scores"]


def ssdlite() -> torch.nn.Module:
    body = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4
    )
    return Detected(body)


def faster_rcnn() -> torch.nn.Module:
    body = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=4, min_size=96, max_size=128, rpn_pre_nms_top_n_test=50,
        rpn_post_nms_top_n_test=20,
    )  # fmt: skip
    return Detected(body)


def of_torchvision() -> list[Export]:
    models = torchvision.models
    plain: dict[str, Any] = {
        "squeezenet1_1": partial(models.squeezenet1_1, weights=None, num_classes=10),
        "shufflenet_v2_x0_5": partial(models.shufflenet_v2_x0_5, weights=None, num_classes=10),
        "mnasnet0_5": partial(models.mnasnet0_5, weights=None, num_classes=10),
        "resnet18": partial(models.resnet18, weights=None, num_classes=10),
        "mobilenet_v2": partial(models.mobilenet_v2, weights=None, num_classes=10),
        "densenet_small": partial(models.DenseNet, 16, (2, 2, 2, 2), 32, num_classes=10),
        "lraspp": lambda: Segmented(
            models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)
        ),
        "deeplabv3": lambda: Segmented(
            models.segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)
        ),
    }
    found = [image(f"tv_{name}", build) for name, build in plain.items()]
    found += [image(f"tv_{n}_dynamo", plain[n], dynamo=True) for n in ("shufflenet_v2_x0_5", "resnet18", "lraspp")]
    vit = partial(models.VisionTransformer, 64, 16, 2, 4, 64, 128, num_classes=10)
    swin = partial(models.SwinTransformer, [4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=10)
    for dynamo in (False, True):
        tail = "_dynamo" if dynamo else ""
        found += [image(f"tv_vit{tail}", vit, 64, None, dynamo=dynamo)]
        found += [image(f"tv_swin{tail}", swin, 64, None, dynamo=dynamo)]
    only = ((1, 128), (1, 128), (1, 160))
    axes = {"x": {2: "height", 3: "width"}}
    for name, build in (("tv_ssdlite", ssdlite), ("tv_faster_rcnn", faster_rcnn)):
        found.append(Export(name, build, image("", build).feeds, axes, only, settle=True))
    video = lambda: models.video.VideoResNet(  # noqa: E731
        models.video.resnet.BasicBlock, [models.video.resnet.Conv3DSimple] * 4, [1, 1, 1, 1],
        models.video.resnet.BasicStem, num_classes=5,
    )  # fmt: skip
    found.append(
        Export("tv_video_resnet", video, lambda b, s: {"x": torch.randn(b, 3, 4, s, s)},
               {"x": {0: "batch", 3: "height", 4: "width"}}, ((1, 32), (3, 32), (1, 48)), settle=True)
    )  # fmt: skip
    return found


def exports() -> list[Export]:
    found = [image(f"timm_{name}", partial(of_timm, name)) for name in SIZED]
    found += [image(f"timm_{name}_dynamo", partial(of_timm, name), dynamo=True) for name in SIZED_DYNAMO]
    for name, settings in FIXED.items():
        size = settings.get("img_size", 64)
        found.append(image(f"timm_{name}", partial(of_timm, name, **settings), size, None))
        if name in FIXED_DYNAMO:
            found.append(image(f"timm_{name}_dynamo", partial(of_timm, name, **settings), size, None, dynamo=True))
    return found + of_torchvision()

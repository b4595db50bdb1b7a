"""Modules of our own, each for one kind of operator: recurrent forms, attention, resampling, norms, heads, speech."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .entry import Export, image, sequence, smooth


class Fn(nn.Module):
    """Layers, and a function of them and the inputs."""

    def __init__(self, function: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self, *inputs)


def recurrent(dynamo: bool) -> list[Export]:
    tail = "_dynamo" if dynamo else ""
    kinds: dict[str, Callable[[], nn.Module]] = {
        "lstm": lambda: Fn(lambda m, x: m.head(m.body(x)[0]), body=nn.LSTM(24, 32, 2, batch_first=True),
                           head=nn.Linear(32, 8)),
        "bilstm": lambda: Fn(lambda m, x: m.body(x)[0], body=nn.LSTM(24, 32, 1, batch_first=True, bidirectional=True)),
        "gru": lambda: Fn(lambda m, x: m.head(m.body(x)[1][-1]), body=nn.GRU(24, 32, 2, batch_first=True),
                          head=nn.Linear(32, 8)),
        "bigru": lambda: Fn(lambda m, x: m.body(x)[0], body=nn.GRU(24, 16, 2, batch_first=True, bidirectional=True)),
        "rnn_tanh": lambda: Fn(lambda m, x: m.body(x), body=nn.RNN(24, 32, batch_first=True)),
        "rnn_relu": lambda: Fn(lambda m, x: m.body(x)[0], body=nn.RNN(24, 32, batch_first=True, nonlinearity="relu",
                                                                      bias=False)),
        "lstm_proj": lambda: Fn(lambda m, x: m.body(x), body=nn.LSTM(24, 32, batch_first=True, proj_size=0)),
        "tcn": lambda: Fn(lambda m, x: m.b(F.relu(m.a(F.pad(x.transpose(1, 2), (4, 0))))).transpose(1, 2),
                          a=nn.Conv1d(24, 32, 3, dilation=2), b=nn.Conv1d(32, 8, 1)),
    }  # fmt: skip
    found = [sequence(f"own_{name}{tail}", build, 24, dynamo=dynamo) for name, build in kinds.items()]

    def states(batch: int, length: int) -> dict[str, Tensor]:
        h = 2 * torch.rand(2, batch, 32) - 1  # NOTE: of sigmoids times tanhs
        return {"x": torch.randn(batch, length, 24), "h": h, "c": torch.randn(2, batch, 32)}

    axes = {"x": {0: "batch", 1: "length"}, "h": {1: "batch"}, "c": {1: "batch"}}
    stateful = lambda: Fn(lambda m, x, h, c: [*(r := m.body(x, (h, c)))[1], r[0]],  # noqa: E731
                          body=nn.LSTM(24, 32, 2, batch_first=True))  # fmt: skip
    found.append(Export(f"own_lstm_states{tail}", stateful, states, axes, ((1, 24), (3, 24), (1, 1)), dynamo))
    return found


class Attention(nn.Module):
    """Attention by hand, in the forms that are written: einsum, matmul, scaled_dot_product_attention."""

    def __init__(self, form: str, width: int = 48, heads: int = 4) -> None:
        super().__init__()
        self.form, self.heads = form, heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.randn(heads, 64, 64))

    def forward(self, x: Tensor) -> Tensor:
        b, n, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        scale = 1 / math.sqrt(w // self.heads)
        if self.form == "sdpa_causal":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.form == "einsum":
            s = torch.einsum("bhid,bhjd->bhij", q, k) * scale
            y = torch.einsum("bhij,bhjd->bhid", s.softmax(-1), v)
        elif self.form == "relative":
            s = q @ k.transpose(-2, -1) * scale + self.bias[:, :n, :n]
            y = s.softmax(-1) @ v
        elif self.form == "masked_fill":
            hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
            y = (q @ k.transpose(-2, -1) * scale).masked_fill(hidden, float("-inf")).softmax(-1) @ v
        elif self.form == "linear":
            q, k = F.elu(q) + 1, F.elu(k) + 1
            y = q @ (k.transpose(-2, -1) @ v) / ((q * k.sum(-2, keepdim=True)).sum(-1, keepdim=True) + 1e-6)
        else:
            s = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
            y = (s * 10).softmax(-1) @ v
        return x + self.out(y.transpose(1, 2).reshape(b, n, w))


class Rotary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(48, 48), nn.Linear(48, 16), nn.Linear(48, 16)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        at = torch.arange(n).float()[:, None] * (10000 ** (-torch.arange(0, 8).float() / 8))[None]
        cos, sin = at.cos(), at.sin()

        def turn(a: Tensor) -> Tensor:
            return torch.cat([a[..., :8] * cos - a[..., 8:] * sin, a[..., 8:] * cos + a[..., :8] * sin], -1)

        q = turn(self.q(x).view(b, n, 3, 16).transpose(1, 2))
        k = turn(self.k(x).view(b, n, 1, 16).transpose(1, 2)).expand(b, 3, n, 16)
        v = self.v(x).view(b, n, 1, 16).transpose(1, 2).expand(b, 3, n, 16)
        return ((q @ k.transpose(-2, -1) / 4).softmax(-1) @ v).transpose(1, 2).reshape(b, n, 48)


def sine(n: int) -> Tensor:
    at = torch.arange(n)[:, None] * torch.exp(torch.arange(0, 48, 2) * (-math.log(10000.0) / 48))
    return torch.stack([at.sin(), at.cos()], -1).flatten(1)


def attention(dynamo: bool) -> list[Export]:
    tail = "_dynamo" if dynamo else ""
    forms = ("sdpa_causal", "einsum", "relative", "masked_fill", "linear", "cosine")
    found = [sequence(f"own_attention_{f}{tail}", partial(Attention, f), 48, dynamo=dynamo) for f in forms]
    found.append(sequence(f"own_rotary{tail}", Rotary, 48, dynamo=dynamo))
    layer = lambda: nn.TransformerEncoderLayer(48, 4, 96, batch_first=True, activation="gelu")  # noqa: E731
    encoder = lambda: Fn(lambda m, x: m.body(x + sine(x.shape[1])), body=nn.TransformerEncoder(  # noqa: E731
        layer(), 2, enable_nested_tensor=False))  # fmt: skip
    found.append(sequence(f"own_torch_encoder{tail}", encoder, 48, dynamo=dynamo))
    both = lambda: Fn(lambda m, x: m.body(x, x[:, :10]), body=nn.Transformer(  # noqa: E731
        48, 4, 1, 1, 96, batch_first=True))  # fmt: skip
    found.append(sequence(f"own_torch_transformer{tail}", both, 48, dynamo=dynamo))

    def multihead():
        return Fn(lambda m, x: m.body(x, x, x), body=nn.MultiheadAttention(48, 4, batch_first=True))

    found.append(sequence(f"own_multihead{tail}", multihead, 48, dynamo=dynamo))
    return found


def resized(mode: str, corners: bool | None, scale: float) -> nn.Module:
    return Fn(lambda m, x: m.b(F.interpolate(m.a(x), scale_factor=scale, mode=mode, align_corners=corners)),
              a=nn.Conv2d(3, 12, 3, padding=1), b=nn.Conv2d(12, 6, 3, padding=1))  # fmt: skip


def block(norm: nn.Module, act: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), norm, act, nn.Conv2d(16, 16, 3, 1, 1), act, nn.Conv2d(16, 8, 1))


def sampled(m: Any, x: Tensor) -> Tensor:
    """A spatial transformer."""
    theta = m.t(F.interpolate(F.avg_pool2d(x, 4), (4, 4), mode="nearest").flatten(1)).view(-1, 2, 3)
    ys, xs = torch.meshgrid(torch.linspace(-1, 1, x.shape[2]), torch.linspace(-1, 1, x.shape[3]), indexing="ij")
    base = torch.stack([xs, ys, torch.ones_like(xs)], -1).view(1, -1, 3)
    grid = (base @ theta.transpose(1, 2)).view(-1, x.shape[2], x.shape[3], 2)
    return m.c(F.grid_sample(x, grid, align_corners=False))


class UNetBlock(nn.Module):
    """A block of a diffusion network: timestep embedding, group norms, attention over pixels, down and up."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64))
        self.first, self.n1, self.c1 = nn.Conv2d(4, 32, 3, padding=1), nn.GroupNorm(8, 32), nn.Conv2d(32, 64, 3, 1, 1)
        self.emb, self.n2, self.c2 = nn.Linear(64, 64), nn.GroupNorm(8, 64), nn.Conv2d(64, 64, 3, padding=1)
        self.skip, self.n3 = nn.Conv2d(32, 64, 1), nn.GroupNorm(8, 64)
        self.qkv, self.proj = nn.Conv2d(64, 192, 1), nn.Conv2d(64, 64, 1)
        self.down, self.up = nn.Conv2d(64, 64, 3, 2, 1), nn.ConvTranspose2d(64, 64, 4, 2, 1)
        self.last = nn.Conv2d(128, 4, 3, padding=1)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        at = step[:, None].float() * torch.exp(torch.arange(16).float() * (-math.log(10000.0) / 16))
        e = self.time(torch.cat([at.sin(), at.cos()], -1))
        x = self.first(x)
        h = self.c1(F.silu(self.n1(x))) + self.emb(F.silu(e))[:, :, None, None]
        h = self.c2(F.silu(self.n2(h))) + self.skip(x)
        d = self.down(h)
        b, c, y, z = d.shape
        q, k, v = self.qkv(self.n3(d)).reshape(b, 3, c, y * z).unbind(1)
        a = (q.transpose(1, 2) @ k * c**-0.5).softmax(-1)
        d = d + self.proj((v @ a.transpose(1, 2)).reshape(b, c, y, z))
        return self.last(torch.cat([self.up(d), h], 1))


class Boxes(nn.Module):
    """A detection head: anchors, decoded boxes, and the best of them with NMS or TopK."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU())
        self.box, self.cls = nn.Conv2d(32, 4, 1), nn.Conv2d(32, 3, 1)

    def forward(self, x: Tensor) -> Any:
        f = self.body(x)
        h, w = f.shape[-2:]
        ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        at = (torch.stack([xs, ys], -1).float() + 0.5).view(1, -1, 2) * 4
        d = self.box(f).flatten(2).transpose(1, 2)
        centre, size = at + d[..., :2] * 4, d[..., 2:].exp() * 8
        boxes = torch.cat([centre - size / 2, centre + size / 2], -1)
        scores = self.cls(f).flatten(2).transpose(1, 2).sigmoid()
        if self.form == "raw":
            return boxes, scores
        best, label = scores.max(-1)
        if self.form == "topk":
            best, index = best.topk(10, dim=1)
            return best, boxes.gather(1, index[..., None].expand(-1, -1, 4)), label.gather(1, index)
        import torchvision

        kept = torchvision.ops.nms(boxes[0], best[0], 0.5)[:10]
        if self.form == "roi":
            return torchvision.ops.roi_align(f[:1], [boxes[0][kept]], 5, 0.25, 2), best[0][kept]
        return boxes[0][kept], best[0][kept], label[0][kept]


class YoloHead(nn.Module):
    """Three scales, a feature pyramid, and distribution focal boxes."""

    def __init__(self) -> None:
        super().__init__()
        step = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.SiLU())  # noqa: E731
        self.a, self.b, self.c = nn.Sequential(step(3, 16), step(16, 24)), step(24, 32), step(32, 48)
        self.lat = nn.Conv2d(48, 32, 1)
        self.heads = nn.ModuleList(nn.Conv2d(n, 4 * 8 + 5, 1) for n in (24, 32, 48))
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.project = nn.Conv2d(8, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(a)
        c = self.c(b)
        c = c + self.pool(c) + self.pool(self.pool(c))
        b = b + F.interpolate(self.lat(c), scale_factor=2, mode="nearest")
        found = torch.cat([m(f).flatten(2) for m, f in zip(self.heads, (a, b, c), strict=True)], 2)
        box, cls = found.split((32, 5), 1)
        n, _, k = box.shape
        box = self.project(box.view(n, 4, 8, k).transpose(2, 1).softmax(1)).view(n, 4, k)
        lt, rb = box.chunk(2, 1)
        return torch.cat([(rb - lt) / 2, rb + lt, cls.sigmoid()], 1)


class UNet(nn.Module):
    """Segmentation with skips. up: how it grows again."""

    def __init__(self, up: str) -> None:
        super().__init__()
        conv = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())  # noqa: E731
        self.a, self.b, self.c, self.d, self.last = conv(3, 12), conv(12, 24), conv(24, 24), conv(36, 12), conv(12, 4)
        kinds = {
            "transpose": lambda: nn.ConvTranspose2d(24, 24, 2, 2),
            "shuffle": lambda: nn.Sequential(nn.Conv2d(24, 96, 1), nn.PixelShuffle(2)),
            "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        }
        self.up = kinds[up]()

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.c(self.b(F.max_pool2d(a, 2)))
        return self.last(self.d(torch.cat([a, self.up(b)], 1))).argmax(1).float() + self.last(self.d(
            torch.cat([a, self.up(b)], 1))).mean(1)  # fmt: skip


def pictures(dynamo: bool) -> list[Export]:
    tail = "_dynamo" if dynamo else ""
    kinds: dict[str, Callable[[], nn.Module]] = {
        "nearest": partial(resized, "nearest", None, 2.0),
        "bilinear": partial(resized, "bilinear", False, 1.7),
        "bilinear_corners": partial(resized, "bilinear", True, 2.0),
        "bicubic": partial(resized, "bicubic", False, 2.0),
        "resized_to": lambda: Fn(lambda m, x: m.a(F.interpolate(m.b(x), size=x.shape[2:], mode="bilinear")),
                                 a=nn.Conv2d(6, 8, 3), b=nn.Conv2d(3, 6, 3, 2)),
        "group_norm": lambda: block(nn.GroupNorm(4, 16), nn.SiLU()),
        "instance_norm": lambda: block(nn.InstanceNorm2d(16, affine=True), nn.LeakyReLU(0.1)),
        "layer_norm_2d": lambda: Fn(lambda m, x: m.n(m.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
                                    a=nn.Conv2d(3, 16, 3), n=nn.LayerNorm(16)),
        "mish": lambda: block(nn.BatchNorm2d(16), nn.Mish()),
        "prelu": lambda: block(nn.BatchNorm2d(16), nn.PReLU(16)),
        "hardswish": lambda: block(nn.BatchNorm2d(16), nn.Hardswish()),
        "softplus": lambda: block(nn.BatchNorm2d(16), nn.Softplus()),
        "selu": lambda: block(nn.Identity(), nn.SELU()),
        "gelu_tanh": lambda: block(nn.Identity(), nn.GELU(approximate="tanh")),
        "celu": lambda: block(nn.Identity(), nn.CELU(0.7)),
        "lrn": lambda: block(nn.LocalResponseNorm(5), nn.ReLU()),
        "reflect": lambda: nn.Sequential(nn.Conv2d(3, 12, 5, padding=2, padding_mode="reflect"), nn.ReLU(),
                                         nn.Conv2d(12, 8, 3, padding=1, padding_mode="replicate"), nn.ReLU(),
                                         nn.Conv2d(8, 4, 3, padding=1, padding_mode="circular")),
        "transposed": lambda: nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(),
                                            nn.ConvTranspose2d(16, 16, 3, 2, 1, 1, groups=2), nn.ReLU(),
                                            nn.ConvTranspose2d(16, 4, 3, dilation=2)),
        "pools": lambda: Fn(lambda m, x: m.a(torch.cat([F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1),
                            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), F.lp_pool2d(F.pad(x, (1, 0, 1, 0)),
                            2, 2)], 1)), a=nn.Conv2d(12, 8, 3)),
        "squeeze_excite": lambda: Fn(lambda m, x: (y := m.a(x)) * torch.sigmoid(m.c(F.relu(m.b(y.mean((2, 3),
                                     keepdim=True))))), a=nn.Conv2d(3, 16, 3), b=nn.Conv2d(16, 4, 1),
                                     c=nn.Conv2d(4, 16, 1)),
        "unet_transpose": partial(UNet, "transpose"),
        "unet_shuffle": partial(UNet, "shuffle"),
        "unet_bilinear": partial(UNet, "bilinear"),
        "yolo_head": YoloHead,
        "boxes_raw": partial(Boxes, "raw"),
        "boxes_topk": partial(Boxes, "topk"),
        "unfold": lambda: Fn(lambda m, x: F.fold(m.a(F.unfold(x, 2, stride=2).transpose(1, 2)).transpose(1, 2),
                             (x.shape[2], x.shape[3]), 2, stride=2), a=nn.Linear(12, 16)),
        "einsum_mix": lambda: Fn(lambda m, x: torch.einsum("bchw,cd->bdhw", x, m.w.weight), w=nn.Linear(8, 3)),
        "weight_std": lambda: Fn(lambda m, x: F.conv2d(x, (m.c.weight - m.c.weight.mean((1, 2, 3), keepdim=True))
                                 / m.c.weight.std((1, 2, 3), keepdim=True)), c=nn.Conv2d(3, 8, 3)),
        "dynamic_filter": lambda: Fn(lambda m, x: (y := m.a(x)) + (m.b(y.mean((2, 3))).softmax(-1)[:, :, None, None]
                                     * y), a=nn.Conv2d(3, 8, 3), b=nn.Linear(8, 8)),
    }  # fmt: skip
    some = ("nearest", "bicubic", "group_norm", "instance_norm", "layer_norm_2d", "mish", "gelu_tanh", "reflect",
            "transposed", "squeeze_excite", "unet_shuffle", "boxes_topk", "yolo_head", "einsum_mix")  # fmt: skip
    chosen = {n: b for n, b in kinds.items() if not dynamo or n in some}
    found = [image(f"own_{name}{tail}", build, 32, 48, dynamo=dynamo) for name, build in chosen.items()]
    affine = lambda: Fn(sampled, t=nn.Linear(48, 6), c=nn.Conv2d(3, 8, 3))  # noqa: E731
    found.append(image(f"own_grid_sample{tail}", affine, 32, 48, dynamo=dynamo))
    if not dynamo:
        found += [
            Export(f"own_boxes_{f}", partial(Boxes, f), lambda b, s: {"x": smooth(b, 3, s, s)},
                   {"x": {2: "height", 3: "width"}}, ((1, 64), (1, 96), (1, 48))) for f in ("nms", "roi")
        ]  # fmt: skip
    noisy = lambda b, s: {"x": torch.randn(b, 4, s, s), "step": torch.randint(0, 999, (b,))}  # noqa: E731
    axes = {"x": {0: "batch", 2: "height", 3: "width"}, "step": {0: "batch"}}
    found.append(Export(f"own_diffusion{tail}", UNetBlock, noisy, axes, ((1, 16), (3, 16), (1, 24)), dynamo))
    return found


class Conformer(nn.Module):
    """A speech encoder: strided convolutions over a spectrogram, then half-step layers, attention, depthwise GLU."""

    def __init__(self) -> None:
        super().__init__()
        self.sub = nn.Sequential(nn.Conv2d(1, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 16, 3, 2), nn.ReLU())
        self.inp = nn.Linear(16 * 9, 48)
        self.ff = nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 96), nn.SiLU(), nn.Linear(96, 48))
        self.att, self.n = nn.MultiheadAttention(48, 4, batch_first=True), nn.LayerNorm(48)
        self.p1, self.dw, self.bn = nn.Conv1d(48, 96, 1), nn.Conv1d(48, 48, 7, padding=3, groups=48), nn.BatchNorm1d(48)
        self.p2, self.out = nn.Conv1d(48, 48, 1), nn.Linear(48, 30)

    def forward(self, x: Tensor) -> Tensor:
        y = self.sub(x[:, None])
        b, c, n, f = y.shape
        y = self.inp(y.transpose(1, 2).reshape(b, n, c * f))
        y = y + 0.5 * self.ff(y)
        z = self.n(y)
        y = y + self.att(z, z, z, need_weights=False)[0]
        y = y + self.p2(F.silu(self.bn(self.dw(F.glu(self.p1(y.transpose(1, 2)), 1))))).transpose(1, 2)
        return self.out(y).log_softmax(-1)


class Vocoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pre, self.post = nn.Conv1d(20, 32, 7, padding=3), nn.Conv1d(8, 1, 7, padding=3)
        self.ups = nn.ModuleList([nn.ConvTranspose1d(32, 16, 8, 4, 2), nn.ConvTranspose1d(16, 8, 4, 2, 1)])
        self.res = nn.ModuleList(nn.Conv1d(n, n, 3, dilation=3, padding=3) for n in (16, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x.transpose(1, 2))
        for up, res in zip(self.ups, self.res, strict=True):
            x = up(F.leaky_relu(x, 0.1))
            x = x + res(F.leaky_relu(x, 0.1))
        return torch.tanh(self.post(F.leaky_relu(x)))


class Denoiser(nn.Module):
    """A mask over a spectrum from a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.gru, self.out = nn.Linear(40, 32), nn.GRU(32, 32, batch_first=True), nn.Linear(32, 40)

    def forward(self, x: Tensor) -> Tensor:
        energy = torch.log10(x.abs() ** 2 + 1e-6)
        return x * torch.sigmoid(self.out(self.gru(torch.relu(self.inp(energy)))[0]))


class Crnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                                  nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d((2, 1)))  # fmt: skip
        self.rnn, self.out = nn.LSTM(32 * 8, 32, bidirectional=True), nn.Linear(64, 20)

    def forward(self, x: Tensor) -> Tensor:
        f = self.body(x).flatten(1, 2).permute(2, 0, 1)
        return self.out(self.rnn(f)[0]).log_softmax(2)


class Bag(nn.Module):
    """Embeddings, numbers and a cross network, as in recommendation."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.low = nn.Embedding(100, 16), nn.Linear(8, 16)
        self.top = nn.Sequential(nn.Linear(16 + 10, 32), nn.ReLU(), nn.Linear(32, 1))
        self.register_buffer("i", torch.tril_indices(5, 5, -1))

    def forward(self, ids: Tensor, x: Tensor) -> Tensor:
        low = self.low(x).relu()
        rows = torch.cat([low[:, None], self.emb(ids)], 1)
        pairs = torch.bmm(rows, rows.transpose(1, 2))[:, self.i[0], self.i[1]]
        return torch.sigmoid(self.top(torch.cat([low, pairs], 1)))


class Cached(nn.Module):
    """One step of a decoder with its cache in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.q, self.k, self.v = nn.Embedding(50, 32), *(nn.Linear(32, 32) for _ in range(3))
        self.out = nn.Linear(32, 50)

    def forward(self, ids: Tensor, past_k: Tensor, past_v: Tensor) -> tuple[Tensor, ...]:
        x = self.emb(ids)
        b, n, _ = x.shape
        split = lambda a: a.view(b, n, 4, 8).transpose(1, 2)  # noqa: E731
        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        k, v = torch.cat([past_k, k], 2), torch.cat([past_v, v], 2)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(b, n, 32)), k, v


class Graphs(nn.Module):
    """Two layers of a graph network: messages gathered, summed by scatter."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 24), nn.Linear(24, 8)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        for layer in (self.a, self.b):
            y = layer(x)
            to = edges[1][:, None].expand(-1, y.shape[1])
            x = torch.zeros_like(y).scatter_add(0, to, y[edges[0]]).relu()
        return x


def mixed(dynamo: bool) -> list[Export]:
    tail = "_dynamo" if dynamo else ""
    lengths, batch = ((1, 60), (3, 60), (1, 84)), {0: "batch", 1: "length"}
    found = [
        Export(f"own_conformer{tail}", Conformer, lambda b, n: {"x": torch.randn(b, n, 40)}, {"x": batch}, lengths,
               dynamo),
        Export(f"own_vocoder{tail}", Vocoder, lambda b, n: {"x": torch.randn(b, n, 20)}, {"x": batch}, lengths, dynamo),
        Export(f"own_denoiser{tail}", Denoiser, lambda b, n: {"x": torch.randn(b, n, 40)}, {"x": batch}, lengths,
               dynamo),
        Export(f"own_crnn{tail}", Crnn, lambda b, n: {"x": torch.randn(b, 1, 32, n)}, {"x": {0: "batch", 3: "width"}},
               ((1, 64), (3, 64), (1, 96)), dynamo),
        Export(f"own_recommend{tail}", Bag,
               lambda b, n: {"ids": torch.randint(0, 100, (b, 4)), "x": torch.randn(b, 8)},
               {"ids": {0: "batch"}, "x": {0: "batch"}}, ((1, 0), (3, 0), (17, 0)), dynamo),
        Export(f"own_cached{tail}", Cached,
               lambda b, n: {"ids": torch.randint(0, 50, (b, 1)), "past_k": torch.randn(b, 4, n, 8),
                             "past_v": torch.randn(b, 4, n, 8)},
               {"ids": {0: "batch"}, "past_k": {0: "batch", 2: "past"}, "past_v": {0: "batch", 2: "past"}},
               ((1, 12), (3, 12), (1, 29)), dynamo),
        Export(f"own_graph{tail}", Graphs,
               lambda b, n: {"x": torch.randn(n, 16), "edges": torch.randint(0, n, (2, 3 * n))},
               {"x": {0: "nodes"}, "edges": {1: "edges"}}, ((1, 20), (1, 33), (1, 50)), dynamo),
        Export(f"own_volume{tail}", lambda: nn.Sequential(
                   nn.Conv3d(2, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2),
                   nn.Conv3d(8, 16, 3, padding=1), nn.ReLU(), nn.ConvTranspose3d(16, 8, 2, 2), nn.Conv3d(8, 2, 1)),
               lambda b, n: {"x": torch.randn(b, 2, n, n, n)}, {"x": {0: "batch", 2: "d", 3: "h", 4: "w"}},
               ((1, 8), (3, 8), (1, 12)), dynamo, settle=True),
        Export(f"own_mlp{tail}", lambda: nn.Sequential(nn.Linear(30, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(),
               nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 5), nn.Softmax(-1)),
               lambda b, n: {"x": torch.randn(b, 30)}, {"x": {0: "batch"}}, ((1, 0), (3, 0), (16, 0)), dynamo,
               settle=True),
    ]  # fmt: skip
    return found


def exports() -> list[Export]:
    return [e for dynamo in (False, True) for make in (recurrent, attention, pictures, mixed) for e in make(dynamo)]

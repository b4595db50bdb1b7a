"""Train the demo model: a small residual network on scikit-learn's digits, in numpy, exported to ONNX with its
calibration data.

python tools/train_demo.py          writes calibration_data/digits/ (the same bytes each time on one machine)
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent.parent / "calibration_data" / "digits"
CHANNELS, WIDE, EPOCHS, BATCH = 16, 32, 25, 32


def columns(x: np.ndarray) -> np.ndarray:
    """3x3 neighbourhoods of x [N, C, H, W], zero padded: [N, H, W, C * 9]."""
    p = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    view = np.lib.stride_tricks.sliding_window_view(p, (3, 3), (2, 3))
    return view.transpose(0, 2, 3, 1, 4, 5).reshape(*x.shape[:1], *x.shape[2:], -1)


def scatter(g: np.ndarray, channels: int) -> np.ndarray:
    """The transpose of `columns`."""
    n, h, w, _ = g.shape
    g = g.reshape(n, h, w, channels, 3, 3)
    out = np.zeros((n, channels, h + 2, w + 2), g.dtype)
    for i in range(3):
        for j in range(3):
            out[:, :, i : i + h, j : j + w] += g[..., i, j].transpose(0, 3, 1, 2)
    return out[:, :, 1:-1, 1:-1]


class Network:
    """conv, relu, conv, relu, conv, add, relu, max pool, conv, relu, global average, linear; forward and backward by
    hand."""

    def __init__(self, rng: np.random.Generator) -> None:
        sizes = {"a": (CHANNELS, 1), "b": (CHANNELS, CHANNELS), "c": (CHANNELS, CHANNELS), "d": (WIDE, CHANNELS)}
        self.p = {
            f"{k}.w": rng.normal(0, np.sqrt(2 / (i * 9)), (o, i * 9)).astype(np.float32) for k, (o, i) in sizes.items()
        }
        self.p |= {f"{k}.b": np.zeros(o, np.float32) for k, (o, _) in sizes.items()}
        self.p["e.w"] = rng.normal(0, np.sqrt(1 / WIDE), (10, WIDE)).astype(np.float32)
        self.p["e.b"] = np.zeros(10, np.float32)

    def conv(self, name: str, x: np.ndarray) -> np.ndarray:
        self.saved[name] = columns(x)
        return (self.saved[name] @ self.p[f"{name}.w"].T + self.p[f"{name}.b"]).transpose(0, 3, 1, 2)

    def conv_back(self, name: str, g: np.ndarray, channels: int) -> np.ndarray:
        flat = g.transpose(0, 2, 3, 1)
        self.g[f"{name}.w"] = np.einsum("nhwo,nhwk->ok", flat, self.saved[name])
        self.g[f"{name}.b"] = flat.sum((0, 1, 2))
        return scatter(flat @ self.p[f"{name}.w"], channels)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.saved: dict[str, np.ndarray] = {}
        a = self.a = np.maximum(self.conv("a", x), 0)
        b = self.b = np.maximum(self.conv("b", a), 0)
        s = self.s = np.maximum(self.conv("c", b) + a, 0)
        n, c, h, w = s.shape
        blocks = s.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
        self.pick = blocks.argmax(-1)
        d = self.d = np.maximum(self.conv("d", blocks.max(-1)), 0)
        self.pooled = d.mean((2, 3))
        return self.pooled @ self.p["e.w"].T + self.p["e.b"]

    def backward(self, g: np.ndarray) -> None:
        self.g: dict[str, np.ndarray] = {"e.w": g.T @ self.pooled, "e.b": g.sum(0)}
        area = self.d.shape[2] * self.d.shape[3]
        gd = np.broadcast_to((g @ self.p["e.w"])[:, :, None, None] / area, self.d.shape) * (self.d > 0)
        gp = self.conv_back("d", gd, CHANNELS)
        spread = gp[..., None] * (np.arange(4) == self.pick[..., None])
        n, c, h, w, _ = spread.shape
        gs = spread.reshape(n, c, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h * 2, w * 2) * (self.s > 0)
        gb = self.conv_back("c", gs, CHANNELS) * (self.b > 0)
        self.conv_back("a", (self.conv_back("b", gb, CHANNELS) + gs) * (self.a > 0), 1)


def train(x: np.ndarray, y: np.ndarray) -> Network:
    rng = np.random.default_rng(0)
    net = Network(rng)
    m = {k: np.zeros_like(v) for k, v in net.p.items()}
    v = {k: np.zeros_like(v) for k, v in net.p.items()}
    step = 0
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x))
        for at in range(0, len(x), BATCH):
            picks = order[at : at + BATCH]
            logits = net.forward(x[picks])
            e = np.exp(logits - logits.max(1, keepdims=True))
            g = e / e.sum(1, keepdims=True)
            g[np.arange(len(picks)), y[picks]] -= 1
            net.backward((g / len(picks)).astype(np.float32))
            step += 1
            rate = 3e-3 * (1 - epoch / EPOCHS)
            for k in net.p:  # Adam (Kingma and Ba, 2014)
                m[k] = 0.9 * m[k] + 0.1 * net.g[k]
                v[k] = 0.999 * v[k] + 0.001 * net.g[k] ** 2
                net.p[k] -= (rate * (m[k] / (1 - 0.9**step)) / (np.sqrt(v[k] / (1 - 0.999**step)) + 1e-8)).astype(
                    np.float32
                )
    return net


def to_onnx(net: Network) -> onnx.ModelProto:
    def conv(name: str, x: str) -> onnx.NodeProto:
        return helper.make_node(
            "Conv", [x, f"{name}.w", f"{name}.b"], [f"conv_{name}"], f"conv_{name}", kernel_shape=[3, 3], pads=[1] * 4
        )

    nodes = [
        conv("a", "image"), helper.make_node("Relu", ["conv_a"], ["relu_a"], "relu_a"),
        conv("b", "relu_a"), helper.make_node("Relu", ["conv_b"], ["relu_b"], "relu_b"),
        conv("c", "relu_b"), helper.make_node("Add", ["conv_c", "relu_a"], ["sum"], "add"),
        helper.make_node("Relu", ["sum"], ["relu_c"], "relu_c"),
        helper.make_node("MaxPool", ["relu_c"], ["pool"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        conv("d", "pool"), helper.make_node("Relu", ["conv_d"], ["relu_d"], "relu_d"),
        helper.make_node("GlobalAveragePool", ["relu_d"], ["mean"], "mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "e.w", "e.b"], ["scores"], "classifier", transB=1),
    ]  # fmt: skip
    arrays = {k: a.reshape(a.shape[0], -1, 3, 3) if k.endswith(".w") and k != "e.w" else a for k, a in net.p.items()}
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(a, k) for k, a in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def main() -> None:
    digits = load_digits()
    x, y = (digits.images[:, None] / 16).astype(np.float32), digits.target
    order = np.random.default_rng(1).permutation(len(x))
    held, used = order[:200], order[200:]
    net = train(x[used], y[used])
    print(f"accuracy on 200 held-out digits: {(net.forward(x[held]).argmax(1) == y[held]).mean():.3f}")
    HERE.mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(net), str(HERE / "model.onnx"))
    rows = ["file,label"]
    for k, i in enumerate(held):
        buffer = io.BytesIO()
        np.save(buffer, x[i : i + 1])
        (HERE / f"{k:03d}.npy").write_bytes(buffer.getvalue())
        rows.append(f"{k:03d}.npy,{y[i]}")
    (HERE / "labels.csv").write_text("\n".join(rows) + "\n")
    (HERE / "dataset.toml").write_text('[input.image]\nsource = "npy"\n')


if __name__ == "__main__":
    main()

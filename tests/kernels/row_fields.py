"""Fields and operands of single instructions, drawn with sizes at the edges of a kernel's tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from qglow.graph import Array
from qglow.instructions.packed import PackedPairs
from qglow.instructions.packing import pack, pack_floats, round_up, unpack
from qglow.instructions.pairings import step_order, steps_of
from qglow.instructions.table import FLOAT_BINARY, FLOAT_UNARY, INSTRUCTIONS, SCATTER
from qglow.reference.integer_mean import exponent_table
from qglow.targets import target

Fields = dict[str, Any]
SIZES = {
    "N": (1, 2), "H": (1, 2, 3), "W": (1, 2, 5, 9), "C": (1, 3, 16, 17, 40), "K": (1, 5, 33), "G": (1, 1, 2),
    "KH": (1, 2, 3, 5),
    "KW": (1, 2, 3, 5), "SH": (1, 2), "SW": (1, 2), "DH": (1, 1, 2), "DW": (1, 1, 2), "size": (16, 32), "bits": (4, 8),
    "scale_item": (2, 4),
    "item": (1, 2, 4, 8), "run": (1, 4, 7), "t_c": (0, 256), "post": (0, 0, 1, 2), "act": (0, 1, 2), "one_h": (8,),
    "one_w": (16,),
    "taps": (1, 2, 4), **{f"D{k}": (1, 2, 3) for k in range(6)},
}  # fmt: skip
BYTES = ("zero", "a_zero", "b_zero", "r_zero", "x_zero", "p_zero", "value", "factor")
BITS = ("y_f32", "include", "points", "zero_nan", "largest", "pairs", "signed")
INT16_FLOATS = {"int16_quantize": "x", "int16_dequantize": "y"}
FLOAT_ITEMS = {"quantize": "x", "dequantize": "y"}  # the operand that is float


class Draw:
    """Random numbers of one instruction. edges: sizes of tiles, by field."""

    def __init__(self, rng: np.random.Generator, kind: str, edges: dict[str, int], isa: str) -> None:
        self.rng, self.kind, self.edges, self.isa = rng, kind, edges, isa
        self.names = INSTRUCTIONS[kind].fields

    def pick(self, *values: int) -> int:
        return int(self.rng.choice(values))

    def size(self, name: str) -> int:
        """At an edge of the tiles along a field, or a usual size of it."""
        edge = self.edges.get(name)
        if edge is None or self.pick(0, 1, 2) == 0:
            return self.pick(*SIZES[name])
        return max(1, self.pick(1, 1, 2) * edge + self.pick(-1, 0, 1))

    def fields(self) -> Fields:
        """All fields, within their ranges, of an instruction that its meaning and every accepting kernel compute."""
        f: Fields = {n: self.size(n) for n in self.names if n in SIZES}
        f |= {n: self.pick(*range(256)) for n in BYTES if n in self.names} | {
            n: self.pick(0, 0, 1) for n in BITS if n in self.names
        }
        f |= {n: self.pick(0, 40) for n in ("low", "p_low") if n in self.names}
        f |= {n: self.pick(200, 255) for n in ("high", "p_high") if n in self.names}
        f |= {n: float(np.float32(self.rng.uniform(0.005, 0.05))) for n in self.names if n.startswith("f_")}
        if self.kind.startswith("int16"):
            self._stored(f)
        shape = self._pair if {"a_n", "b_n"} <= {*self.names} else self._image if "x_n" in self.names else self._rows
        special = getattr(self, f"_{self.kind}", shape)
        special(f)
        return {n: f[n] for n in self.names}

    def _stored(self, f: Fields) -> None:
        """What an int16 instruction makes: bytes of an element, zero point and limits."""
        bytes_only = "b_n" in self.names or self.kind == "int16_lookup"
        item = self.pick(1, 2) if bytes_only else self.pick(1, 2, 4)
        f["y_item"], f["x_item"], f["span"] = item, 2 if item == 1 else self.pick(1, 2), self.pick(0, 1, 3)
        low, high = (0, 255) if item == 1 and self.kind != "int16_quantize" else (-32768, 32767)
        f |= {f"q_{name}zero": self.pick(-32768, -300, 0, 7, 32767) for name in ("x_", "a_", "b_")}
        f["q_zero"] = self.pick(low, 0, 77, high)
        f["q_low"], f["q_high"] = self.pick(low, low + 40), self.pick(high, high - 55)

    def strides(self, f: Fields, name: str, h: int, w: int, pixel: int) -> None:
        """Of images of h x w pixels of so many bytes, with gaps here and there."""
        f[f"{name}_w"] = pixel + self.pick(0, 0, 8)
        f[f"{name}_h"] = f[f"{name}_w"] * max(1, w) + self.pick(0, 16)
        f[f"{name}_n"] = f[f"{name}_h"] * max(1, h) + self.pick(0, 32)

    def item(self, name: str) -> int:
        if self.kind.startswith("int16"):
            return 4 if name == INT16_FLOATS.get(self.kind) else 2
        return 4 if self.kind.startswith("float") or FLOAT_ITEMS.get(self.kind) == name else 1

    def _image(self, f: Fields) -> None:
        for name in ("x", "y"):
            self.strides(f, name, f["H"], f["W"], f["C"] * self.item(name))
        if "op" in self.names:
            f["op"] = self.pick(*range(len(FLOAT_UNARY)))
            f["f_a"], f["f_b"] = (3.0, 1.0) if FLOAT_UNARY[f["op"]] == "Power" else (-0.5, 2.0)

    def _quantize(self, f: Fields) -> None:
        f["P"] = f["C"] + self.pick(0, 3)
        self.strides(f, "y", f["H"], f["W"], f["P"])
        self._planes(f, "x")

    def _dequantize(self, f: Fields) -> None:
        self.strides(f, "x", f["H"], f["W"], f["C"])
        self._planes(f, "y")

    def _int16_quantize(self, f: Fields) -> None:
        self.strides(f, "y", f["H"], f["W"], 2 * f["C"])
        self._planes(f, "x")

    def _int16_dequantize(self, f: Fields) -> None:
        self.strides(f, "x", f["H"], f["W"], 2 * f["C"])
        self._planes(f, "y")

    def _int16_lookup(self, f: Fields) -> None:
        for name in ("x", "y"):
            self.strides(f, name, f["H"], f["W"], f["C"] * f[f"{name}_item"])

    def _planes(self, f: Fields, name: str) -> None:
        """Channels side by side, or one plane after the other."""
        if self.pick(0, 1):
            self.strides(f, name, f["H"], f["W"], 4 * f["C"])
            f[f"{name}_c"] = 4
        else:
            self.strides(f, name, f["H"], f["W"], 4)
            f[f"{name}_c"], f[f"{name}_n"] = f[f"{name}_n"], f[f"{name}_n"] * f["C"]

    def _two(self, f: Fields, one: str) -> None:
        """one: the operand that is a single element along the run, if any."""
        for name in ("a", "b", "y"):
            self.strides(
                f,
                name,
                f["H"],
                f["W"],
                f["C"] * (f.get("y_item") if name == "y" and "y_item" in f else self.item(name)),
            )
        f["b_c"] = int(one != "b")
        if "a_c" in self.names:
            f["a_c"] = int(one != "a")

    def _pair(self, f: Fields) -> None:
        self._two(f, "b" if self.pick(0, 1) else "")

    def _float_binary(self, f: Fields) -> None:
        self._two(f, ("", "a", "b")[self.pick(0, 1, 2)])
        f["op"] = self.pick(*range(len(FLOAT_BINARY)))

    def _window(self, f: Fields) -> None:
        if self.kind == "float_pool2d":
            f["op"] = self.pick(0, 1, 2)
            if self.pick(0, 1):
                f["KH"], f["KW"], f["C"] = 24, 23, min(f["C"], 70)
        f["top"], f["left"] = self.pick(0, f["KH"] - 1), self.pick(0, f["KW"] - 1)
        reach = {n: (f[n] - 1) * f[f"S{n}"] + (f[f"K{n}"] - 1) * f[f"D{n}"] + 1 for n in "HW"}
        f["IH"] = max(1, reach["H"] - f["top"] - self.pick(0, 1))
        f["IW"] = max(1, reach["W"] - f["left"] - self.pick(0, 1))
        self.strides(f, "x", f["IH"], f["IW"], f["C"] * self.item("x"))
        item = f["y_item"] if self.kind == "int16_avg_pool2d" else 4 if f.get("y_f32") else self.item("y")
        self.strides(f, "y", f["H"], f["W"], f["C"] * item)

    _max_pool2d = _avg_pool2d = _float_pool2d = _int16_max_pool2d = _int16_avg_pool2d = _window

    def _product(self, f: Fields, groups: int, channels: int) -> None:
        """channels: of one pixel of x, all groups'."""
        item = self.item("x")
        rows, columns = ((f[n] - 1) * f[f"S{n}"] + (f[f"K{n}"] - 1) * f[f"D{n}"] + 1 for n in "HW")
        self.strides(f, "x", rows, columns, channels * item)
        if f.get("post", 0) == 2 and item == 4:
            f["post"] = 0
        f["y_f32"] = 0 if f.get("post", 0) else f.get("y_f32", 0)
        if f.get("post", 0) == 1 and "a_zero" in f:
            f["a_zero"] = f["zero"]
        size = f.get("y_item") or (4 if item == 4 or f["y_f32"] else 1)
        self.strides(f, "y", f["H"], f["W"], groups * f["C"] * size)
        self.strides(f, "r", f["H"], f["W"], groups * f["C"] * item)
        f["G"], f["y_g"], f["r_g"] = groups, f["C"] * size, f["C"] * item

    def _conv2d(self, f: Fields) -> None:
        f["runs"] = f["KW"]
        self._product(f, f["G"], f["G"] * f["run"])
        f["x_c"] = f["run"] * self.item("x")
        if self.pick(0, 1) and f["G"] == 1:  # the taps of a kernel row lie side by side
            f["DW"], f["runs"], f["x_w"] = 1, 1, f["x_c"]
            f["run"] *= f["KW"]

    _float_conv2d = _int16_conv2d = _conv2d

    def _depthwise2d(self, f: Fields) -> None:
        lanes = target(self.isa).lanes
        f["G"], f["runs"], f["run"], f["x_c"], f["flat"] = 1, f["KW"], 1, 0, 0
        f["KH"] = f["KW"] if self.pick(0, 1) else f["KH"]
        f["parts"] = self.pick(1, 1, 2, 3)
        self._product(f, 1, f["C"])
        f["blocks"] = round_up(f["C"], lanes) // lanes
        if f["C"] < lanes and self.pick(0, 1):
            f["flat"], f["SW"], f["post"], f["x_w"], f["blocks"] = 1, 1, 0, f["C"], f["C"]
            f["y_w"] = f["C"] * (4 if f["y_f32"] else 1)

    def _float_depthwise2d(self, f: Fields) -> None:
        self._product(f, 1, f["C"])

    _int16_depthwise2d = _float_depthwise2d

    def _pack(self, f: Fields) -> None:
        self._matrices(f, 1)
        t = target(self.isa)
        f["taps"], f["rest"] = ((1, 0), (2, -127), (2, 90), (3, 64))[self.pick(0, 1, 2, 3)]
        f["y_g"] = round_up(f["C"], t.multiple) * round_up(f["K"], t.step) * f["taps"]

    def _float_pack(self, f: Fields) -> None:
        self._matrices(f, 4)

    def _matrices(self, f: Fields, item: int) -> None:
        f["x_g"] = f["K"] * f["C"] * item
        f["x_k"], f["x_c"] = (item, f["K"] * item) if self.pick(0, 1) else (f["C"] * item, item)

    def _transpose(self, f: Fields) -> None:
        shape = [f[f"D{k}"] for k in range(6)]
        for name in ("x", "y"):
            step = f["item"]
            for k in (
                self.rng.permutation(6)
                if self.pick(0, 1)
                else (4, 5, 3, 2, 1, 0)
                if name == "x"
                else (5, 4, 3, 2, 1, 0)
            ):
                f[f"{name}{k}"] = step
                step *= shape[k]

    def _halo(self, f: Fields) -> None:
        f |= {n: self.pick(0, 1, 3) for n in ("top", "left", "bottom", "right")}
        f["y_w"] = self.pick(1, 3, 32)
        f["y_h"] = (f["left"] + f["W"] + f["right"]) * f["y_w"]
        f["y_n"] = (f["top"] + f["H"] + f["bottom"]) * f["y_h"]

    def _fill(self, f: Fields) -> None:
        pass

    def _rows(self, f: Fields) -> None:
        items = {"x": 4 if self.kind.startswith(("float", "quantize")) else 1, "y": 1}
        items["y"] = 4 if self.kind.startswith(("float", "blockwise")) else 1
        for name, item in items.items():
            f[f"{name}_h"] = f["C"] * item + self.pick(0, 8)
        if "op" in self.names:
            f["op"], f["y_h"] = self.pick(0, 1, 2), 4

    def _float_taps(self, f: Fields) -> None:
        for name, count in (("x", 3), ("y", f["H"])):
            f[f"{name}_h"] = 4 * f["C"] + self.pick(0, 8)
            f[f"{name}_n"] = f[f"{name}_h"] * count + self.pick(0, 16)

    def _float_top_k(self, f: Fields) -> None:
        f["K"] = min(f["C"], f["K"])
        sizes = {"x": 4 * f["C"], "y": 4 * f["K"], "place": 8 * f["K"]}
        f |= {f"{name}_h": size + self.pick(0, 8) for name, size in sizes.items()}

    def _arg_extreme(self, f: Fields) -> None:
        item = self.item("x")
        f["C"], f["last"] = max(1, f["C"]), self.pick(0, 1)
        f["x_c"] = self.pick(item, item * max(1, f["W"]))
        self.strides(f, "x", f["H"], f["W"], item * (f["C"] if f["x_c"] == item else 1))
        if f["x_c"] != item:
            f["x_h"] = item * f["W"] * f["C"]
            f["x_n"] = f["x_h"] * f["H"]
        self.strides(f, "y", f["H"], f["W"], 8)

    _float_arg_extreme = _arg_extreme

    def _places(self, f: Fields, row: int, y: str) -> None:
        """Indices of rows of `row` bytes in 1 to 4 axes, outermost first, and loops over them. y: whose rows they
        are."""
        f["index_item"], f["K"], step = self.pick(4, 8), self.pick(1, 1, 2, 3, 4), row
        for k in reversed(range(4)):
            f[f"S{k}"], f[f"t{k}"] = (self.pick(1, 2, 3, 5), step) if k < f["K"] else (1, 0)
            step *= f[f"S{k}"]
        f |= {f"{y}_n": self.pick(0, step), f"{y}_h": self.pick(0, row), f"{y}_w": self.pick(0, 0, row)}
        self.strides(f, "i", f["H"], f["W"], f["K"] * f["index_item"])

    def _gather(self, f: Fields) -> None:
        self._places(f, f["C"], "x")
        self.strides(f, "y", f["H"], f["W"], f["C"])

    def _scatter(self, f: Fields) -> None:
        f["op"] = self.pick(*range(len(SCATTER)))
        f["C"] *= 4 if f["op"] else 1
        self._places(f, f["C"], "y")
        self.strides(f, "u", f["H"], f["W"], f["C"])
        ends = [(f[n] - 1) * f[f"y_{n.lower()}"] for n in "NHW"] + [(f[f"S{k}"] - 1) * f[f"t{k}"] for k in range(4)]
        f["T"] = sum(ends) + f["C"] + self.pick(0, 4)

    def _float_grid_sample(self, f: Fields) -> None:
        f["IH"], f["IW"] = self.pick(1, 2, 5), self.pick(1, 3, 7)
        f |= {"mode": self.pick(0, 1, 2), "padding": self.pick(0, 1, 2), "corners": self.pick(0, 1)}
        self.strides(f, "x", f["IH"], f["IW"], 4 * f["C"])
        self.strides(f, "y", f["H"], f["W"], 4 * f["C"])
        self.strides(f, "g", f["H"], f["W"], 8)

    def _float_roi_align(self, f: Fields) -> None:
        f["S0"], f["IH"], f["IW"] = self.pick(1, 2), self.pick(1, 6), self.pick(1, 7)
        f |= {"ratio": self.pick(0, 1, 3), "half": self.pick(0, 1), "f_ratio": self.pick(1, 2, 25) / 2}
        if f["ratio"] == 3 and self.pick(0, 1):
            f["ratio"], f["H"], f["W"], f["C"] = 29, 1, 2, min(f["C"], 20)  # more samples than a block has
        self.strides(f, "x", f["IH"], f["IW"], 4 * f["C"])
        self.strides(f, "y", f["H"], f["W"], 4 * f["C"])

    def _float_nms(self, f: Fields) -> None:
        f["K"] = min(f["H"], f["K"])
        f["C"] = min(f["C"], 3)
        f |= {"centers": self.pick(0, 1), "every": self.pick(0, 1), "f_overlap": 0.5, "f_least": -0.25}

    def _float_where(self, f: Fields) -> None:
        for name in ("condition", "a", "b", "y"):
            self.strides(f, name, f["H"], f["W"], f["C"] * (1 if name == "condition" else 4))
        f |= {f"{name}_c": self.pick(0, 1) for name in ("condition", "a", "b")}

    def _float_lstm_cell(self, f: Fields) -> None:
        f |= {"gates_b": 16 * f["C"]} | {f"{n}_b": 4 * f["C"] + self.pick(0, 8) for n in ("c_in", "c", "h", "y")}

    def _float_gru_cell(self, f: Fields) -> None:
        f |= {f"{n}_b": 12 * f["C"] for n in ("gx", "gh")} | {f"{n}_b": 4 * f["C"] for n in ("h_in", "h", "y")}

    def _lstm_cell(self, f: Fields) -> None:
        f |= (
            {f"{n}_b": 16 * f["C"] for n in ("gx", "gh")}
            | {f"{n}_b": 4 * f["C"] for n in ("c_in", "c", "y")}
            | {"q_b": f["C"]}
        )


def order(f: Fields, isa: str, packed: Array) -> Array:
    """The operand `order` of a conv2d, by its packed weights, as bytes."""
    shape = f["G"], f["C"], f["KH"], f["runs"], f["run"]
    found = step_order(steps_of(isa, f), unpack(isa, packed.view(np.int8), shape), False)
    return found.reshape(-1).view(np.uint8)


def constant(name: str, kind: str, f: Fields, isa: str, rng: np.random.Generator) -> Array | None:
    """A constant operand that has a form, as bytes; None of one that may hold anything."""
    t = target(isa)
    if kind == "conv2d" and name == "w":
        w = rng.integers(-128, 128, (f["G"], f["C"], f["KH"], f["runs"], f["run"])).astype(np.int8)
        if f["pairs"]:  # no pair of some steps can saturate, and of some in one way only
            steps = rng.integers(1, 3, (*w.shape[2:4], round_up(f["run"], 4) // 4))
            w //= np.repeat(steps, 4, 2)[..., : f["run"]].astype(np.int8)
        return pack(isa, w, False).reshape(-1).view(np.uint8)
    if kind == "float_conv2d" and name == "w":
        w = rng.normal(0, 1, (f["G"], f["C"], f["KH"] * f["runs"] * f["run"])).astype(np.float32)
        return pack_floats(isa, w).reshape(-1).view(np.uint8)
    if kind.startswith("int16") and name == "w":
        sizes = (
            (f["G"], f["C"], f["KH"], f["runs"], f["run"])
            if kind == "int16_conv2d"
            else (round_up(f["C"], t.lanes), f["KH"], f["KW"])
        )
        w = rng.integers(-127, 128, sizes).astype(np.int16)
        if kind == "int16_depthwise2d":
            return w.reshape(-1).view(np.uint8)
        packed = PackedPairs(isa, w)
        out = np.zeros(len(packed), np.uint8)
        packed.write(out)
        return out
    if kind.startswith("int16") and name == "bias":  # sums of as many terms as are drawn stay within int32 with it
        count = f.get("G", 1) * round_up(f["C"], t.lanes)
        return rng.integers(-(2**28), 2**28, count).astype(np.int32).view(np.uint8)
    if kind == "depthwise2d" and name == "w":
        count = f["parts"] * f["KH"]
        w = rng.integers(-127, 128, (f["blocks"], -(-count // 4), f["KW"], t.lanes, 4)).astype(np.int8)
        rows = np.arange(w.shape[1])[:, None] * 4 + np.arange(4)
        return (w * (rows < count)[None, :, None, None, :]).astype(np.int8).reshape(-1).view(np.uint8)
    if kind == "float_taps":
        table = rng.integers(0, 3, (f["taps"], f["H"])).astype(np.int32)
        made = table if name == "rows" else rng.normal(0, 1, table.shape).astype(np.float32)
        return made.reshape(-1).view(np.uint8)
    if name in ("rows", "columns"):
        count, one = (f["H"], f.get("one_h")) if name == "rows" else (f["W"], f.get("one_w"))
        low = rng.integers(0, 3, count)
        high = np.minimum(low + 1, 2)
        weight = rng.random(count).astype(np.float32).view(np.int32) if one is None else rng.integers(0, one, count)
        table = np.stack((low, high, weight)).astype(np.int32)
        if kind == "resize_truncated":
            far = rng.random(count).astype(np.float32)
            table = np.concatenate((table[:2], np.stack((1 - far, far)).view(np.int32)))
        return (table[0] if kind == "resize_nearest" else table).reshape(-1).view(np.uint8)
    if kind == "softmax" and name == "table":
        entries = exponent_table(0.05).astype(np.int32)
        planes = [(entries >> 8 * p & 255).astype(np.uint8) for p in range(3)]
        return np.concatenate((entries.view(np.uint8), *planes))
    return None

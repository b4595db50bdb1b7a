"""Models with branches, as ONNX text: what decides them, and inputs that take each side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Feeds = dict[str, np.ndarray]
RNG = np.random.default_rng(7)


def noise(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


@dataclass(frozen=True)
class Model:
    """text: without its header. seen: inputs for calibration. other: inputs that go another way."""

    text: str
    seen: list[Feeds]
    other: list[Feeds]

    @property
    def onnx(self) -> str:
        return '<ir_version: 8, opset_import: ["": 15]>\n' + self.text


W3 = "w = Constant <value = float[4, 3] {0.5, -0.25, 1.0, 0.75, -0.5, 0.25, 0.125, 0.3, -0.7, 0.9, -0.4, 0.2}> ()"

SQUEEZED = Model(  # torch's squeeze(1): the rank depends on a dimension, and what follows on the rank
    f"""g (float[N, M, 3] x) => (float[A, B] y, float[C] s) {{
      {W3}
      one = Constant <value = int64[1] {{1}}> ()
      shape = Shape (x)
      size = Gather <axis = 0> (shape, one)
      is_one = Equal (size, one)
      v = If (is_one) <then_branch = t () => (float[N, 3] a) {{ a = Squeeze (x, one) }},
                       else_branch = e () => (float[N, M, 3] b) {{ b = Identity (x) }}>
      wt = Transpose <perm = [1, 0]> (w)
      h = MatMul (v, wt)
      y = Relu (h)
      rank_of = Shape (y)
      s1 = Cast <to = 1> (rank_of)
      s = Mul (s1, s1)
    }}""",
    [{"x": noise(n, 1, 3)} for n in (2, 5)],
    [{"x": noise(2, 4, 3)}, {"x": noise(1, 2, 3)}],
)
# conditions within branches, two outputs, values from outside, constants of a branch, names that both branches use
NESTED = Model(
    f"""g (float[N, 3] x, int64 k) => (float[P, Q] y, float[R, S] z) {{
      {W3}
      wt = Transpose <perm = [1, 0]> (w)
      h = MatMul (x, wt)
      zero = Constant <value = int64 {{0}}> ()
      big = Greater (k, zero)
      a, b = If (big) <
        then_branch = t () => (float[N, 4] p, float[N, 4] q) {{
          c = Constant <value = float[4] {{1.0, 2.0, 3.0, 4.0}}> ()
          seven = Constant <value = int64 {{7}}> ()
          exact = Equal (k, seven)
          p = If (exact) <then_branch = tt () => (float[N, 4] pp) {{ m = Add (h, c) pp = Relu (m) }},
                          else_branch = te () => (float[N, 4] pp) {{ m = Sub (h, c) pp = Neg (m) }}>
          m = Mul (p, c)
          q = Add (m, h)
        }},
        else_branch = e () => (float[N, 4] p2, float[N, 4] q2) {{
          c = Constant <value = float[1] {{0.5}}> ()
          m = Mul (h, c)
          p2 = Tanh (m)
          q2 = Identity (h)
        }}>
      w2 = Constant <value = float[4, 2] {{0.5, -0.5, 0.25, 0.125, 1.0, -1.0, 0.75, -0.3}}> ()
      y = MatMul (a, w2)
      z = MatMul (b, w2)
    }}""",
    [{"x": noise(4, 3), "k": np.array(k)} for k in (7, 3, 7, 3)],
    [{"x": noise(2, 3), "k": np.array(k)} for k in (-1, 0, 7, 1)],
)
DATA = Model(  # the condition is computed from the data, by a product
    f"""g (float[N, 3] x) => (float[N, 2] y) {{
      {W3}
      wt = Transpose <perm = [1, 0]> (w)
      h = MatMul (x, wt)
      m = ReduceMax <keepdims = 0> (h)
      limit = Constant <value = float {{1.5}}> ()
      loud = Greater (m, limit)
      v = If (loud) <then_branch = t () => (float[N, 4] a) {{ a = Relu (h) }},
                     else_branch = e () => (float[N, 4] b) {{ b = Mul (h, h) }}>
      w2 = Constant <value = float[4, 2] {{0.5, -0.5, 0.25, 0.125, 1.0, -1.0, 0.75, -0.3}}> ()
      y = MatMul (v, w2)
    }}""",
    [{"x": s * noise(4, 3)} for s in (0.1, 4, 0.2, 5)],
    [{"x": np.full((2, 3), v, np.float32)} for v in (-3, 0.01, 8)],
)
RANKS = Model(  # the rank of one branch decides another, as in recurrent layers that take one sequence or many
    f"""g (float[N, M, 3] x) => (float[A, B, C] y) {{
      {W3}
      one = Constant <value = int64[1] {{1}}> ()
      two = Constant <value = int64 {{2}}> ()
      first = Constant <value = int64[1] {{0}}> ()
      shape = Shape (x)
      size = Gather <axis = 0> (shape, one)
      is_one = Equal (size, one)
      v = If (is_one) <then_branch = t () => (float[N, 3] a) {{ a = Squeeze (x, one) }},
                       else_branch = e () => (float[N, M, 3] b) {{ b = Identity (x) }}>
      vs = Shape (v)
      rank = Size (vs)
      flat = Equal (rank, two)
      u = If (flat) <then_branch = t2 () => (float[1, N, 3] a2) {{ a2 = Unsqueeze (v, first) }},
                     else_branch = e2 () => (float[N, M, 3] b2) {{ b2 = Neg (v) }}>
      wt = Transpose <perm = [1, 0]> (w)
      h = MatMul (u, wt)
      y = Relu (h)
    }}""",
    [{"x": noise(n, 1, 3)} for n in (2, 5)],
    [{"x": noise(2, 4, 3)}, {"x": noise(3, 1, 3)}],
)
CONSTANT = Model(  # the condition is a constant, a branch gives an initializer of its own, another holds a loop
    f"""g (float[N, 3] x) => (float[N, 4] y, float[A] z) {{
      {W3}
      wt = Transpose <perm = [1, 0]> (w)
      yes = Constant <value = bool {{1}}> ()
      h = MatMul (x, wt)
      y = If (yes) <then_branch = t () => (float[N, 4] a) {{ a = Identity (h) }},
                    else_branch = e () => (float[N, 4] b) {{ b = Neg (h) }}>
      three = Constant <value = int64 {{3}}> ()
      shape = Shape (x)
      zero = Constant <value = int64 {{0}}> ()
      n = Gather <axis = 0> (shape, zero)
      few = Less (n, three)
      z = If (few) <then_branch = t2 () => (float[2] c) <float[2] c = {{1.0, 2.0}}> {{ }},
                    else_branch = e2 () => (float[A] total) {{
                      start = ReduceMax <keepdims = 0> (x)
                      axes = Constant <value = int64[1] {{0}}> ()
                      start1 = Unsqueeze (start, axes)
                      total = Loop (three, yes, start1) <
                         body = l (int64 i, bool go, float[1] t_in) => (bool on, float[1] t_out) {{
                        on = Identity (go)
                        t_out = Add (t_in, start1)
                      }}>
                    }}>
    }}""",
    [{"x": noise(4, 3)}, {"x": noise(5, 3)}],
    [{"x": noise(2, 3)}, {"x": noise(1, 3)}, {"x": noise(3, 3)}],
)
MODELS = {"squeezed": SQUEEZED, "nested": NESTED, "data": DATA, "ranks": RANKS, "constant": CONSTANT}

"""llama.cpp on a network of the same size, in a process of its own: a GGUF file of random weights is made, and a prompt
and single tokens are timed.

    python bench/gguf_peer.py 12,768,2048,12,4,32000 4 1 128 64 0

The numbers: layers, width, and so on (`Size`); bits, threads, tokens of the prompt, tokens; 1 for processor time.

Needs the packages llama_cpp and gguf. Weights are Q4_0 or Q8_0: blocks of 32 with a float16 scale. Prints JSON: seconds
of the prompt, and of each token.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def write(path: Path, size: list[int], bits: int) -> None:
    """A model of the architecture `llama` without a vocabulary."""
    import gguf

    layers, width, inner, heads, keys, words = size
    head, rng = width // heads, np.random.default_rng(0)
    kind = gguf.GGMLQuantizationType.Q4_0 if bits == 4 else gguf.GGMLQuantizationType.Q8_0
    out = gguf.GGUFWriter(str(path), "llama")
    out.add_context_length(4096)
    out.add_embedding_length(width)
    out.add_block_count(layers)
    out.add_feed_forward_length(inner)
    out.add_head_count(heads)
    out.add_head_count_kv(keys)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(head)
    out.add_vocab_size(words)
    out.add_tokenizer_model("no_vocab")

    def product(name: str, rows: int, columns: int) -> None:
        blocks = rng.integers(0, 256, (rows, columns // 32, 2 + 32 * bits // 8), np.uint8)
        scale = np.full((rows, columns // 32, 1), 0.1 / columns**0.5, np.float16)
        blocks[..., :2] = scale.view(np.uint8)
        out.add_tensor(f"{name}.weight", blocks.reshape(rows, -1), raw_dtype=kind)

    def norm(name: str) -> None:
        out.add_tensor(f"{name}.weight", np.ones(width, np.float32))

    product("token_embd", words, width)
    for k in range(layers):
        product(f"blk.{k}.attn_q", width, width)
        product(f"blk.{k}.attn_k", keys * head, width)
        product(f"blk.{k}.attn_v", keys * head, width)
        product(f"blk.{k}.attn_output", width, width)
        product(f"blk.{k}.ffn_gate", inner, width)
        product(f"blk.{k}.ffn_up", inner, width)
        product(f"blk.{k}.ffn_down", width, inner)
        norm(f"blk.{k}.attn_norm")
        norm(f"blk.{k}.ffn_norm")
    norm("output_norm")
    product("output", words, width)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def measured(path: Path, threads: int, prompt: int, tokens: int, cpu: int) -> dict[str, Any]:
    from llama_cpp import Llama

    clock = time.process_time if cpu else time.perf_counter
    model = Llama(str(path), n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False)
    found: dict[str, Any] = {"prompt": [], "token": []}
    for _ in range(3):
        model.reset()
        start = clock()
        model.eval([5 + k % 100 for k in range(prompt)])
        found["prompt"].append(clock() - start)
    for k in range(tokens):
        start = clock()
        model.eval([5 + k % 100])
        found["token"].append(clock() - start)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", help="sizes of the network, with commas between")
    for name in ("bits", "threads", "prompt", "tokens", "cpu"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    size, bits, threads = [int(v) for v in given.size.split(",")], given.bits, given.threads
    prompt, tokens, cpu = given.prompt, given.tokens, given.cpu
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write(path, size, bits)
        print(json.dumps(measured(path, threads, prompt, tokens, cpu)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

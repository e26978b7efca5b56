#!/usr/bin/env python3
"""Fill the graph beside this file with random weights: a model of the shape and speed of Gemma-3-1b that says nothing.

model.onnx is what the onnxruntime-genai model builder exports for Gemma-3-1b's configuration (26 layers, hidden size
1152, vocabulary 262144, 4 query heads, 1 KV head of 256, window 512, int4 weights in blocks of 32, tied embedding).
Codes are pseudo-random, scales such that activations stay finite, the RoPE tables are the true ones.

Usage: fill_weights.py OUT_DIR      (needs numpy and onnx; writes 692 MB, the same bytes every time)"""
import os
import shutil
import sys

import numpy as np
import onnx

HERE = os.path.dirname(os.path.abspath(__file__))
CODE_SPREAD = 4.6  # standard deviation of a uniform code in 0..15


def values(tensor, random):
    count = int(np.prod(tensor.dims))
    if tensor.data_type == onnx.TensorProto.UINT8:
        return random.integers(0, 256, count, dtype=np.uint8)
    if "cos_cache" in tensor.name or "sin_cache" in tensor.name:
        positions, half = tensor.dims
        theta = 10000.0 if "local" in tensor.name else 1000000.0
        angles = np.arange(positions)[:, None] * theta ** (-np.arange(half) / half)
        return (np.cos(angles) if "cos" in tensor.name else np.sin(angles)).astype("<f4")
    if "scale" in tensor.name:
        return (0.02 / CODE_SPREAD * (0.5 + random.random(count, dtype=np.float32))).astype("<f4")
    return (1 + 0.1 * random.standard_normal(count)).astype("<f4")  # norms


def main(out):
    os.makedirs(out, exist_ok=True)
    for name in ("model.onnx", "genai_config.json"):
        shutil.copy(os.path.join(HERE, name), out)
    model = onnx.load(os.path.join(HERE, "model.onnx"), load_external_data=False)
    random = np.random.default_rng(1)
    with open(os.path.join(out, "model.onnx.data"), "wb") as data:
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                place = {entry.key: entry.value for entry in tensor.external_data}
                data.seek(int(place.get("offset", 0)))
                data.write(values(tensor, random).tobytes())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

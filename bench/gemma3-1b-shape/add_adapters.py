#!/usr/bin/env python3
"""Make of the filled model one that takes adapters (LoRA) at all its projections, and adapters of random numbers.

The graph's layers get A and B as inputs, f32 as the graph is, which may be left out: their defaults have rank 0. The
weights are the filled model's, by a hard link.

Usage: add_adapters.py FILLED_DIR OUT_DIR RANK...      (needs numpy, onnx and onnxruntime; writes
OUT_DIR/model.onnx and OUT_DIR/rank-RANK.onnx_adapter)"""
import os
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def add_inputs(graph):
    """Adds an adapter's inputs to each projection of the layers; returns {name of A: inputs, name of B: outputs}."""
    sizes, nodes = {}, []
    for node in graph.node:
        nodes.append(node)
        if node.op_type != "MatMulNBits" or "_proj" not in node.name:
            continue
        shape = {attribute.name: attribute.i for attribute in node.attribute}
        name = node.name.strip("/").rsplit("/", 1)[0].replace("/", ".")
        down, up, output = name + ".lora_A.weight", name + ".lora_B.weight", node.output[0]
        for matrix, dims, default in ((down, [shape["K"], "rank"], [shape["K"], 0]),
                                      (up, ["rank", shape["N"]], [0, shape["N"]])):
            graph.input.append(helper.make_tensor_value_info(matrix, TensorProto.FLOAT, dims))
            graph.initializer.append(numpy_helper.from_array(np.zeros(default, np.float32), matrix))
        node.output[0] = output + "/base"
        nodes += [helper.make_node("MatMul", [node.input[0], down], [name + "/down"], name + "/lora_A/MatMul"),
                  helper.make_node("MatMul", [name + "/down", up], [name + "/up"], name + "/lora_B/MatMul"),
                  helper.make_node("Add", [node.output[0], name + "/up"], [output], name + "/lora/Add")]
        sizes[down], sizes[up] = shape["K"], shape["N"]
    del graph.node[:]
    graph.node.extend(nodes)
    return sizes


def write_adapter(path, sizes, rank):
    random = np.random.default_rng(rank)
    matrices = {}
    for name, size in sizes.items():
        shape = (size, rank) if "lora_A" in name else (rank, size)
        matrix = 0.01 * random.standard_normal(shape, dtype=np.float32)
        matrices[name] = onnxruntime.OrtValue.ortvalue_from_numpy(matrix)
    adapter = onnxruntime.AdapterFormat()
    adapter.set_adapter_version(1)
    adapter.set_model_version(1)
    adapter.set_parameters(matrices)
    adapter.export_adapter(path)


def main(filled, out, ranks):
    os.makedirs(out, exist_ok=True)
    for name in ("genai_config.json", "tokenizer.json"):
        if os.path.exists(os.path.join(filled, name)):
            shutil.copy(os.path.join(filled, name), out)
    data = os.path.join(out, "model.onnx.data")
    if not os.path.exists(data):
        os.link(os.path.join(filled, "model.onnx.data"), data)
    model = onnx.load(os.path.join(filled, "model.onnx"), load_external_data=False)
    sizes = add_inputs(model.graph)
    onnx.save(model, os.path.join(out, "model.onnx"))
    for rank in ranks:
        write_adapter(os.path.join(out, f"rank-{rank}.onnx_adapter"), sizes, int(rank))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

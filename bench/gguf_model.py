#!/usr/bin/env python3
"""Writes a GGUF file with the weights of an int4 ONNX model of Gemma 3's kind, so that llama.cpp computes the same model.

MatMulNBits with blocks of 32 and no zero points is Q4_0 in another order: the same codes (8 means zero), the scale
rounded to f16, the 32 codes of a block as 16 bytes. In ONNX byte i holds the codes 2i and 2i + 1; in Q4_0 the codes i
and i + 16. The embedding stays tied to the output. Tokens come from tokenizer.json; scores only have to rank them, as
the prompts of the comparison are token ids.

Usage: gguf_model.py MODEL_DIR OUT.gguf      (needs gguf, numpy and onnx)"""
import json
import os
import re
import sys

import gguf
import numpy as np
import onnx

BLOCK = 32
SLIDING_WINDOW_PATTERN = 6  # llama.cpp's for this architecture: every sixth layer sees everything
ROPE_BASE = 1e6
ROPE_BASE_WINDOWED = 1e4

# Names of a layer's tensors: in the ONNX graph, behind "model.layers.N.", and in GGUF, behind "blk.N.".
NORMS = {
    "input_layernorm": "attn_norm",
    "attn.q_norm.layernorm": "attn_q_norm",
    "attn.k_norm.layernorm": "attn_k_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
PROJECTIONS = {
    "attn.q_proj": "attn_q",
    "attn.k_proj": "attn_k",
    "attn.v_proj": "attn_v",
    "attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
HEAD = "lm_head"


class Source:
    """The initializers of an ONNX file with external data, mapped."""

    def __init__(self, folder: str) -> None:
        graph = onnx.load(os.path.join(folder, "model.onnx"), load_external_data=False).graph
        self.nodes = list(graph.node)
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.data = np.memmap(os.path.join(folder, "model.onnx.data"), dtype=np.uint8, mode="r")

    def array(self, name: str) -> np.ndarray:
        tensor = self.tensors[name]
        place = {entry.key: int(entry.value) for entry in tensor.external_data if entry.key in ("offset", "length")}
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        size = int(np.prod(tensor.dims)) * kind.itemsize
        start = place.get("offset", 0)
        return self.data[start:start + size].view(kind).reshape(tensor.dims)

    def q4_0(self, projection: str) -> np.ndarray:
        """(rows, bytes of a row), as GGUF stores Q4_0."""
        prefix = f"{projection}.MatMul.weight"
        if f"{prefix}_Q4G{BLOCK}" not in self.tensors:
            sys.exit(f"gguf_model: {prefix} is not int4 in blocks of {BLOCK}")
        codes = self.array(f"{prefix}_Q4G{BLOCK}")  # (rows, blocks, 16)
        scales = self.array(f"{prefix}_scale")  # (rows, blocks)
        unpacked = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*codes.shape[:2], BLOCK)
        packed = unpacked[..., :BLOCK // 2] | unpacked[..., BLOCK // 2:] << 4
        halves = scales.astype("<f2")[..., None].view(np.uint8)
        return np.concatenate([halves, packed], axis=-1).reshape(codes.shape[0], -1)

    def attribute(self, operator: str, name: str) -> list:
        """The attribute's value at each node of that operator, in order."""
        found = []
        for node in self.nodes:
            if node.op_type == operator:
                found += [onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name]
        return found


def add_shape(writer: gguf.GGUFWriter, source: Source, config: dict) -> None:
    decoder = config["model"]["decoder"]
    windows = source.attribute("GroupQueryAttention", "local_window_size")
    expected = [(i + 1) % SLIDING_WINDOW_PATTERN == 0 for i in range(len(windows))]
    if [window < 0 for window in windows] != expected:
        sys.exit(f"gguf_model: windows of the layers are not in llama.cpp's pattern: {windows}")
    writer.add_context_length(config["model"]["context_length"])
    writer.add_embedding_length(decoder["hidden_size"])
    writer.add_block_count(decoder["num_hidden_layers"])
    writer.add_feed_forward_length(source.tensors["model.layers.0.mlp.gate_proj.MatMul.weight_scale"].dims[0])
    writer.add_head_count(decoder["num_attention_heads"])
    writer.add_head_count_kv(decoder["num_key_value_heads"])
    writer.add_key_length(decoder["head_size"])
    writer.add_value_length(decoder["head_size"])
    writer.add_layer_norm_rms_eps(source.attribute("SimplifiedLayerNormalization", "epsilon")[0])
    writer.add_sliding_window(max(windows))
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_rope_freq_base_swa(ROPE_BASE_WINDOWED)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)


def token_type(text: str, special: bool) -> gguf.TokenType:
    if special:
        return gguf.TokenType.CONTROL
    if re.fullmatch(r"<0x[0-9A-F]{2}>", text):
        return gguf.TokenType.BYTE
    return gguf.TokenType.NORMAL


def add_tokens(writer: gguf.GGUFWriter, folder: str, config: dict) -> None:
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as file:
        tokenizer = json.load(file)
    special = {token["content"] for token in tokenizer["added_tokens"] if token["special"]}
    size = config["model"]["vocab_size"]
    texts = [f"<unused-{i}>" for i in range(size)]
    for text, number in tokenizer["model"]["vocab"].items():
        texts[number] = text
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(texts)
    writer.add_token_scores([-float(i) for i in range(size)])
    writer.add_token_types([token_type(text, text in special) for text in texts])
    writer.add_bos_token_id(config["model"]["bos_token_id"])
    writer.add_eos_token_id(config["model"]["eos_token_id"])
    writer.add_unk_token_id(texts.index("<unk>"))
    writer.add_pad_token_id(config["model"]["pad_token_id"])
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)


def add_tensors(writer: gguf.GGUFWriter, source: Source, layers: int) -> None:
    def add_norm(name: str, onnx_name: str) -> None:
        writer.add_tensor(name, np.ascontiguousarray(source.array(onnx_name)))

    def add_projection(name: str, projection: str) -> None:
        writer.add_tensor(name, source.q4_0(projection), raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    add_projection("token_embd.weight", HEAD)
    add_norm("output_norm.weight", f"model.layers.{layers}.final_norm_layernorm.weight")
    for layer in range(layers):
        for theirs, ours in NORMS.items():
            add_norm(f"blk.{layer}.{ours}.weight", f"model.layers.{layer}.{theirs}.weight")
        for theirs, ours in PROJECTIONS.items():
            add_projection(f"blk.{layer}.{ours}.weight", f"model.layers.{layer}.{theirs}")


def main(folder: str, out: str) -> None:
    with open(os.path.join(folder, "genai_config.json"), encoding="utf-8") as file:
        config = json.load(file)
    source = Source(folder)
    writer = gguf.GGUFWriter(out + ".part", "gemma3")
    writer.add_name(os.path.basename(os.path.abspath(folder)))
    add_shape(writer, source, config)
    add_tokens(writer, folder, config)
    add_tensors(writer, source, config["model"]["decoder"]["num_hidden_layers"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(out + ".part", out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])

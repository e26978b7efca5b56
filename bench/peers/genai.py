#!/usr/bin/env python3
"""onnxruntime-genai, measured by the procedure beside this file. Its sampler insists on choosing the tokens: the most
likely one, never the end of the text."""
import argparse
import json
import os
from collections.abc import Sequence

import numpy
import onnxruntime_genai

import procedure


class Genai:
    def __init__(self, options: argparse.Namespace) -> None:
        onnxruntime_genai.disable_telemetry_events()
        config = onnxruntime_genai.Config(options.model)
        session = {"intra_op_num_threads": options.threads}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
        self.model = onnxruntime_genai.Model(config)
        with open(os.path.join(options.model, "genai_config.json"), encoding="utf-8") as file:
            self.vocabulary: int = json.load(file)["model"]["vocab_size"]
        self.generator: onnxruntime_genai.Generator | None = None
        self.sequences = 1

    def rewind(self, sequences: int, positions: int) -> None:
        self.generator = None  # frees its memory before the next one takes its own
        parameters = onnxruntime_genai.GeneratorParams(self.model)
        length = positions + 2  # the first token sampled costs no computation, and the last one is not run
        parameters.set_search_options(do_sample=False, max_length=length, min_length=length, batch_size=sequences)
        self.generator = onnxruntime_genai.Generator(self.model, parameters)
        self.sequences = sequences

    def append(self, tokens: Sequence[int]) -> None:
        self.generator.append_tokens(numpy.tile(numpy.array(tokens, dtype=numpy.int32), (self.sequences, 1)))

    def step(self, tokens: Sequence[int]) -> None:
        self.generator.generate_next_token()


if __name__ == "__main__":
    procedure.main(Genai)

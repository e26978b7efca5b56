#!/usr/bin/env python3
"""llama.cpp through its C interface, measured by the procedure beside this file. LLAMA_CPP_LIB_PATH is the folder of
libllama.so, and PYTHONPATH has the bindings of llama-cpp-python from the same source."""
import argparse
import ctypes
import sys
from collections.abc import Sequence

import llama_cpp

import procedure


@llama_cpp.llama_log_callback
def keep_quiet(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    pass


class Llama:
    def __init__(self, options: argparse.Namespace) -> None:
        llama_cpp.llama_log_set(keep_quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(options.model.encode(),
                                                          llama_cpp.llama_model_default_params())
        if self.model is None:
            sys.exit(f"llama.cpp cannot open {options.model}")
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.threads = options.threads
        self.shape = (0, 0)
        self.context = None
        self.position = 0
        self.batch = llama_cpp.llama_batch_init(procedure.PROMPT_CHUNK, 0, 1)
        self.rewind(max(options.batch), max(options.depth) + options.generate + procedure.WARMUP_STEPS)

    def rewind(self, sequences: int, positions: int) -> None:
        self.position = 0
        if self.context is not None and sequences <= self.shape[0] and positions <= self.shape[1]:
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)
            self.sequences = sequences
            return
        if self.context is not None:
            llama_cpp.llama_free(self.context)
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = sequences * positions
        parameters.n_seq_max = sequences
        parameters.n_batch = parameters.n_ubatch = procedure.PROMPT_CHUNK
        parameters.n_threads = parameters.n_threads_batch = self.threads
        parameters.swa_full = False  # as llama-server has it: windowed layers keep their window
        parameters.no_perf = True
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        if self.context is None:
            sys.exit(f"llama.cpp has no room for {sequences} sequences of {positions} tokens")
        self.shape = (sequences, positions)
        self.sequences = sequences

    def decode(self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[int], wanted: int) -> None:
        """Runs token i at positions[i] of sequences[i] in one step; logits of the last `wanted` tokens."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = positions[i]
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequences[i]
            batch.logits[i] = i >= len(tokens) - wanted
        status = llama_cpp.llama_decode(self.context, batch)
        llama_cpp.llama_synchronize(self.context)
        if status != 0:
            sys.exit(f"llama_decode: status {status} for {len(tokens)} tokens at {positions[0]}")

    def append(self, tokens: Sequence[int]) -> None:
        for sequence in range(self.sequences):
            for at in range(0, len(tokens), procedure.PROMPT_CHUNK):
                chunk = tokens[at:at + procedure.PROMPT_CHUNK]
                positions = range(self.position + at, self.position + at + len(chunk))
                self.decode(chunk, positions, [sequence] * len(chunk), at + len(chunk) == len(tokens))
        self.position += len(tokens)

    def step(self, tokens: Sequence[int]) -> None:
        self.decode(tokens, [self.position] * self.sequences, range(self.sequences), self.sequences)
        self.position += 1


if __name__ == "__main__":
    procedure.main(Llama)

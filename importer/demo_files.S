/* The demo model, embedded in the program: name_begin and name_end around the bytes of each file. */

    .section .rodata

    .macro embed name, file
    .balign 64
    .globl \name\()_begin
    .hidden \name\()_begin
\name\()_begin:
    .incbin "\file"
    .globl \name\()_end
    .hidden \name\()_end
\name\()_end:
    .byte 0
    .endm

    embed demo_genai_config, "genai_config.json"
    embed demo_model, "model.onnx"
    embed demo_model_data, "model.onnx.data"
    embed demo_tokenizer, "tokenizer.json"
    embed demo_tokenizer_config, "tokenizer_config.json"
    embed demo_special_tokens_map, "special_tokens_map.json"
    embed demo_chat_template, "chat_template.jinja"

    .section .note.GNU-stack, "", %progbits

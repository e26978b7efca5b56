/* What openapi.c says of answers: the bytes of openapi_answers.json, zero-terminated. */

    .section .rodata
    .globl openapi_answers
    .hidden openapi_answers
openapi_answers:
    .incbin "openapi_answers.json"
    .byte 0

    .section .note.GNU-stack, "", %progbits

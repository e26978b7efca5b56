/* The page, embedded in the program: page_begin and page_end around its bytes. */

    .section .rodata
    .globl page_begin
    .hidden page_begin
page_begin:
    .incbin "index.html"
    .globl page_end
    .hidden page_end
page_end:
    .byte 0

    .section .note.GNU-stack, "", %progbits

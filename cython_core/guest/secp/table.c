/* The table of multiples of G, as tables.py writes it: constants, in a segment of data. */
#include "secp/secp_lines.h"

__asm__(".section .rodata\n"
        ".globl SECP_TABLE\n"
        ".balign 64\n"
        "SECP_TABLE:\n"
        ".incbin \"secp/table.bin\"\n"
        ".text\n");

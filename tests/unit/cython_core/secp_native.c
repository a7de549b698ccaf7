/* The guest's verification outside of the machine: reads what guest.c reads, prints each answer. */
#include <stdio.h>

#include "secp/secp.h"
#include "secp/secp_lines.h"

int main(void)
{
    uint32_t words[32], count = secp_input();

    for (uint32_t number = 0; number < count; number++) {
        for (int place = 0; place < 32; place++) {
            words[place] = secp_input();
        }
        printf("%d\n", secp_verify(words, words + 8, words + 16));
        fflush(stdout);
    }
    return 0;
}

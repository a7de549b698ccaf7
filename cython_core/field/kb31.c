#include "field/kb31.h"

/* X^(i p) for i = 1 to 4, in Montgomery form: the p-th power is the linear map they span. */
static const uint32_t FROBENIUS[KB31_EXTENSION - 1][KB31_EXTENSION] = {
    {0x2d993495u, 0x0e0c91e5u, 0x21a60922u, 0x4bff57a3u, 0x41b550beu},
    {0x0a1c252cu, 0x46d57e39u, 0x30149a86u, 0x3b2ee89fu, 0x3181252bu},
    {0x35fcae15u, 0x182d4e41u, 0x4c4c1cdfu, 0x074fcccbu, 0x4a813ff9u},
    {0x291099b3u, 0x3a76433cu, 0x21b1646du, 0x6ec65580u, 0x378f06cdu},
};

static kb31x frobenius(kb31x a)
{
    kb31x power = kb31x_from_base(a.c[0]);
    for (int i = 1; i < KB31_EXTENSION; i++) {
        for (int j = 0; j < KB31_EXTENSION; j++) {
            power.c[j] = kb31_add(power.c[j], kb31_mul(a.c[i], FROBENIUS[i - 1][j]));
        }
    }
    return power;
}

/*
 * a^(p + p^2 + p^3 + p^4) times a is the norm, which lies in the base field (Itoh, Tsujii 1988):
 * one inversion of a base element, three products and four p-th powers.
 */
kb31x kb31x_inverse(kb31x a)
{
    kb31x first = frobenius(a);
    kb31x pair = kb31x_mul(first, frobenius(first));
    kb31x conjugates = kb31x_mul(pair, frobenius(frobenius(pair)));
    return kb31x_scale(conjugates, kb31_inverse(kb31x_mul(a, conjugates).c[0]));
}

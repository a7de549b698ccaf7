/* How often each fact about 16 bits is asked for (zkvm/buses.py): what the filling of the other
 * tables counts, and the column that the table of facts is filled with. */
#ifndef ZKVM_TALLY_H
#define ZKVM_TALLY_H

#include <stdint.h>

enum { ZK_FACTS = 1 << 16 };

/* Place x of `range` and `aligned`, x + 256 y of `pair` and `conjunction`. */
typedef struct {
    uint32_t range[ZK_FACTS], pair[ZK_FACTS], conjunction[ZK_FACTS], aligned[ZK_FACTS];
} zk_tally;

#endif

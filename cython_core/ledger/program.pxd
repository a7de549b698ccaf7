"""The transition program's C interface, as far as the binding uses it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "guest/transition.h" nogil:
    ctypedef uint32_t blake3_word

    enum:
        CONSTANTS_LENGTH
        CONTEXT_LENGTH
        RECEIPT_LENGTH
        FRAME_LENGTH
        LEAF_VALUE
        SIGNATURE_LENGTH
        TRANSACTION_MINIMUM
        CONSTANTS_WORDS
        FRAME_WORDS
        LEDGER_OK

    struct tree_slot:
        uint8_t *new_value
        uint8_t *old_value
        uint8_t *path
        uint8_t old_present
        uint8_t new_present

    struct ledger_access:
        tree_slot *(*find)(void *owner, uint8_t kind, const uint8_t *key) noexcept nogil
        tree_slot *(*find_party)(void *owner, uint8_t kind, const uint8_t *key) noexcept nogil
        void *owner

    struct ledger_constants:
        uint64_t account_min

    struct ledger_context:
        uint64_t epoch

    struct ledger_input:
        ledger_context context
        const uint8_t *records
        size_t records_length
        const uint8_t *transactions
        size_t transactions_length
        uint32_t transaction_count
        const uint8_t *pre_root

    struct ledger_block:
        blake3_word *orders
        int opened_batch

    struct ledger_frame:
        const uint8_t *program
        const uint8_t *signing_set
        const uint8_t *next_set
        uint64_t origin_height
        uint64_t origin_time

    struct transaction:
        const uint8_t *sender
        const uint8_t *signature
        uint64_t nonce
        uint64_t fee
        uint64_t amount
        uint32_t length
        uint8_t kind

    struct host:
        const uint8_t *words
        size_t count
        size_t used
        const uint8_t *answers
        size_t answer_count
        size_t answers_used
        int is_exhausted

    struct leaf_room:
        uint8_t kind

    struct transition_room:
        leaf_room *leaves
        blake3_word *words
        uint32_t capacity
        uint32_t word_capacity

    struct transition_result:
        uint8_t *statement
        uint8_t *pre_root
        uint8_t *post_root
        uint8_t *inputs_digest
        uint8_t *outputs_digest

    int ledger_constants_read(ledger_constants *constants, const uint8_t *bytes)
    void ledger_constants_prepare(ledger_constants *constants)
    void ledger_context_read(ledger_context *context, const uint8_t *bytes)
    int ledger_execute(ledger_block *block, const ledger_constants *constants,
                       const ledger_access *access, ledger_input *input, uint8_t *receipts)
    int ledger_static_cycles(const ledger_constants *constants, ledger_input *input,
                             uint64_t *cycles)
    void ledger_transaction_id(const ledger_constants *constants, const transaction *parsed,
                               uint8_t *digest)
    int ledger_outputs_digest(const ledger_constants *constants, const ledger_access *access,
                              const ledger_frame *frame, const uint8_t *state_after,
                              uint8_t *words, uint8_t *digest)
    uint32_t transaction_parse(const uint8_t *bytes, size_t available, transaction *parsed)
    int script_is_payable(const uint8_t *script, uint8_t length)
    void leaf_path(uint8_t kind, const uint8_t *key, uint8_t *path)
    int transition(host *host, transition_room *room, transition_result *result)


cdef extern from "ledger/overlay.h" nogil:
    enum:
        LEAF_NAME

    ctypedef int (*overlay_read)(void *tree, const uint8_t *path, uint8_t *value) noexcept nogil

    struct overlay:
        tree_slot *slots
        uint8_t *names
        uint32_t *hints
        size_t count
        size_t hint_count
        int is_recording

    void overlay_init(overlay *overlay, overlay_read read, void *tree, const uint64_t *seed)
    void overlay_free(overlay *overlay)
    void overlay_clear(overlay *overlay)
    int overlay_reserve(overlay *overlay, size_t leaves, size_t accesses)
    tree_slot *overlay_find(void *owner, uint8_t kind, const uint8_t *key) noexcept
    tree_slot *overlay_find_party(void *owner, uint8_t kind, const uint8_t *key) noexcept
    int overlay_is_changed(const tree_slot *slot)
    size_t overlay_leaves_of(size_t records_length, uint32_t transactions)
    size_t overlay_accesses_of(size_t records_length, uint32_t transactions)

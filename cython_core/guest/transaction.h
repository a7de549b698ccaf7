/* User transactions as bytes (fixed layout, big-endian; docs/ledger.md has the table).
 *
 *   version u8 = 1 | kind u8 | sender 32 | nonce u64 | fee u64 | body | signature 64
 *   TRANSFER body: recipient 32, amount u64                   154 bytes in all
 *   WITHDRAW body: amount u64, script length u8, script 34    157 bytes in all, script zero padded
 */
#ifndef GUEST_TRANSACTION_H
#define GUEST_TRANSACTION_H

#include <stddef.h>
#include <stdint.h>

enum transaction_kind { TRANSACTION_TRANSFER = 1, TRANSACTION_WITHDRAW = 2 };

enum {
    TRANSACTION_VERSION = 1,
    TRANSACTION_HEAD = 50, /* version, kind, sender, nonce, fee */
    SIGNATURE_LENGTH = 64,
    TRANSFER_LENGTH = TRANSACTION_HEAD + 40 + SIGNATURE_LENGTH,
    SCRIPT_ROOM = 34,
    WITHDRAW_LENGTH = TRANSACTION_HEAD + 9 + SCRIPT_ROOM + SIGNATURE_LENGTH,
    TRANSACTION_MINIMUM = TRANSFER_LENGTH
};

/* One parsed transaction; the pointers point into the bytes it was parsed from. */
struct transaction {
    const uint8_t *bytes;
    const uint8_t *sender;
    const uint8_t *recipient; /* TRANSFER only */
    const uint8_t *script;    /* WITHDRAW only, SCRIPT_ROOM bytes */
    const uint8_t *signature;
    uint64_t nonce;
    uint64_t fee;
    uint64_t amount;
    uint32_t length;
    uint8_t kind;
    uint8_t script_length;
};

/* Parses the transaction at the start of `bytes`. Returns its length, or 0 when the first
 * `available` bytes do not start with the one spelling of a transaction. */
uint32_t transaction_parse(const uint8_t *bytes, size_t available, struct transaction *parsed);

/* Whether the script is exactly P2PKH, P2SH, P2WPKH, P2WSH or P2TR: what a settlement may pay
 * to. */
int script_is_payable(const uint8_t *script, uint8_t length);

#endif

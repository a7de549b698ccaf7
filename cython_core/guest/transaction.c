/* Strict parsing of user transactions and of the scripts that a payout may have. */
#include "transaction.h"

#include "bytes.h"

static uint32_t length_of_kind(uint8_t kind)
{
    if (kind == TRANSACTION_TRANSFER) {
        return TRANSFER_LENGTH;
    }
    return kind == TRANSACTION_WITHDRAW ? WITHDRAW_LENGTH : 0;
}

static int parse_withdraw(const uint8_t *body, struct transaction *parsed)
{
    parsed->recipient = NULL;
    parsed->amount = load_u64(body);
    parsed->script_length = body[8];
    parsed->script = body + 9;
    if (parsed->script_length > SCRIPT_ROOM) {
        return 0;
    }
    /* Padding that is not zero would be a second spelling of the same order. */
    return bytes_are_zero(parsed->script + parsed->script_length,
                          (size_t)(SCRIPT_ROOM - parsed->script_length));
}

uint32_t transaction_parse(const uint8_t *bytes, size_t available, struct transaction *parsed)
{
    if (available < TRANSACTION_MINIMUM || bytes[0] != TRANSACTION_VERSION) {
        return 0;
    }
    uint32_t length = length_of_kind(bytes[1]);
    if (length == 0 || available < length) {
        return 0;
    }
    const uint8_t *body = bytes + TRANSACTION_HEAD;
    parsed->bytes = bytes;
    parsed->kind = bytes[1];
    parsed->sender = bytes + 2;
    parsed->nonce = load_u64(bytes + 34);
    parsed->fee = load_u64(bytes + 42);
    parsed->length = length;
    parsed->signature = bytes + length - SIGNATURE_LENGTH;
    if (parsed->kind == TRANSACTION_WITHDRAW) {
        return parse_withdraw(body, parsed) ? length : 0;
    }
    parsed->recipient = body;
    parsed->amount = load_u64(body + 32);
    parsed->script = NULL;
    parsed->script_length = 0;
    return length;
}

enum { OP_0 = 0x00, OP_1 = 0x51, OP_DUP = 0x76, OP_EQUAL = 0x87, OP_EQUALVERIFY = 0x88 };
enum { OP_HASH160 = 0xa9, OP_CHECKSIG = 0xac };

int script_is_payable(const uint8_t *script, uint8_t length)
{
    switch (length) {
    case 25: /* P2PKH */
        return script[0] == OP_DUP && script[1] == OP_HASH160 && script[2] == 20
            && script[23] == OP_EQUALVERIFY && script[24] == OP_CHECKSIG;
    case 23: /* P2SH */
        return script[0] == OP_HASH160 && script[1] == 20 && script[22] == OP_EQUAL;
    case 22: /* P2WPKH */
        return script[0] == OP_0 && script[1] == 20;
    case 34: /* P2WSH, P2TR */
        return (script[0] == OP_0 || script[0] == OP_1) && script[1] == 32;
    default:
        return 0;
    }
}

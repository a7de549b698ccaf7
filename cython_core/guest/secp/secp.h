/* BIP340 signatures over secp256k1, for guests of the machine.
 *
 * secp_verify answers as BIP340 says, 0 or 1, for every key, message and signature. It reads hints
 * from the input (hints.py makes them); none is trusted. With false hints the run stops, so there
 * is no proof of it: whoever proves cannot turn the answer, neither way.
 */
#ifndef GUEST_SECP_H
#define GUEST_SECP_H

#include "secp/secp_lines.h"

/* Words of the byte strings of BIP340, big endian: the first word is bytes 0 to 3. */
int secp_verify(const uint32_t key[8], const uint32_t message[8], const uint32_t signature[16]);

/* The challenge SHA256(tag | tag | r | key | message) as a number. */
void secp_challenge(secp_line *challenge, const uint32_t r[8], const uint32_t key[8],
                    const uint32_t message[8]);

/* The same verification of a challenge that was computed otherwise: any number of 256 bits. */
int secp_verify_challenge(const uint32_t key[8], const secp_line *challenge,
                          const uint32_t signature[16]);

#endif

#include "transcript/proof_keys.h"

const uint32_t PROOF_KEY_ROW[8] = {0x1831ad6au, 0xe3249167u, 0xc39779f2u, 0xf5ae527cu,
                                    0x615a3f2eu, 0x3e3c93d4u, 0x0d528529u, 0x913bb62bu};

const uint32_t PROOF_KEY_NODE[8] = {0x8c07928du, 0x268150d2u, 0xb122cb5fu, 0xd7af2191u,
                                     0x49b42741u, 0xbcc0cb0eu, 0xe92d8f8bu, 0xc551ca1fu};

const uint32_t PROOF_KEY_INJECT[8] = {0x6b21c45du, 0x9a12df37u, 0x83bf50d1u, 0xad8924ccu,
                                       0xc7fb7b61u, 0xc155d6d1u, 0x45eef2c4u, 0x8901fe3du};

const uint32_t PROOF_KEY_TRANSCRIPT[8] = {0x29abddabu, 0xac021110u, 0x6f6619a4u, 0x3400c58fu,
                                           0x3e82d553u, 0x1fcc4f40u, 0x672df59cu, 0x36e8453cu};

const uint32_t PROOF_KEY_SQUEEZE[8] = {0xfa4fd917u, 0xc98eb6cfu, 0xba246646u, 0xc45ae597u,
                                        0x24e9f1e2u, 0xf4f8c3b9u, 0x8b6bdb14u, 0x5ee2aa46u};

const uint32_t PROOF_KEY_GRIND[8] = {0x0b06284eu, 0x0cbc51b1u, 0x5789e0e5u, 0xc357f308u,
                                      0x3dda9f7cu, 0xfc0d5c4du, 0x1e0cfec3u, 0x8ed426e4u};

const uint32_t PROOF_KEY_KEY[8] = {0xd8c77e5eu, 0x91564b16u, 0x30a9ee2du, 0xe9c557dfu,
                                    0x61eb21b3u, 0x2c256c28u, 0x4c8b04a6u, 0xe444c0c2u};

"""Pushes, numbers, output kinds, dust, OP_RETURN and addresses."""

import pytest
from btclib import b32, b58
from btclib.script import taproot
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.bitcoin.address import CHAINS, decode_address, encode_address
from p2p_seq.bitcoin.script import (
    OutputKind,
    classify,
    dust_limit,
    encode_number,
    op_return,
    op_return_payload,
    push,
    push_number,
)
from p2p_seq.bitcoin.wire import BitcoinReason
from p2p_seq.protocol.errors import CodecError

STANDARD = {
    OutputKind.P2PKH: b"\x76\xa9\x14" + b"\x01" * 20 + b"\x88\xac",
    OutputKind.P2SH: b"\xa9\x14" + b"\x02" * 20 + b"\x87",
    OutputKind.P2WPKH: b"\x00\x14" + b"\x03" * 20,
    OutputKind.P2WSH: b"\x00\x20" + b"\x04" * 32,
    OutputKind.P2TR: b"\x51\x20" + b"\x05" * 32,
}
DUST = {"p2pkh": 546, "p2sh": 540, "p2wpkh": 294, "p2wsh": 330, "p2tr": 330}
ORACLE_NETWORK = {"main": "mainnet", "signet": "signet", "regtest": "regtest"}


@given(st.integers(-(2**31) + 1, -2) | st.integers(17, 2**31 - 1))
def test_number_pushes_agree_with_an_independent_library(value: int) -> None:
    assert push_number(value) == taproot.serialize([value])


def test_small_numbers_are_opcodes() -> None:
    encoded = [push_number(value)[0] for value in range(-1, 17)]
    assert encoded == [0x4F, 0x00, *range(0x51, 0x61)]


@given(st.integers(-(2**31) + 1, 2**31 - 1))
def test_numbers_are_sign_and_magnitude(value: int) -> None:
    decoded = encode_number(value)
    magnitude = bytearray(decoded)
    sign = 1
    if magnitude and magnitude[-1] & 0x80:
        magnitude[-1] &= 0x7F
        sign = -1
    assert sign * int.from_bytes(magnitude, "little") == value


@pytest.mark.parametrize(
    ("length", "header"), [(0, "00"), (75, "4b"), (76, "4c4c"), (256, "4d0001"), (520, "4d0802")]
)
def test_push_headers(length: int, header: str) -> None:
    element = b"\x99" * length
    assert push(element) == bytes.fromhex(header) + element


@pytest.mark.parametrize(
    ("element", "encoded"),
    [("01", "51"), ("10", "60"), ("11", "0111"), ("81", "4f"), ("00", "0100")],
)
def test_single_bytes_have_their_own_opcodes(element: str, encoded: str) -> None:
    assert push(bytes.fromhex(element)).hex() == encoded


def test_a_push_above_520_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^push of 521 bytes$"):
        push(bytes(521))


@pytest.mark.parametrize("kind", OutputKind)
def test_standard_scripts_are_recognised_and_their_neighbours_are_not(kind: OutputKind) -> None:
    script = STANDARD[kind]
    assert classify(script) is kind
    assert dust_limit(script) == DUST[kind]
    assert classify(script[:-1]) is None
    assert classify(script + b"\x00") is None
    assert classify(b"\x52" + script[1:]) is None


def test_op_return_costs_no_dust() -> None:
    assert dust_limit(op_return(b"xy")) == 0


@given(st.binary(min_size=2, max_size=80))
def test_op_return_payloads_round_trip(payload: bytes) -> None:
    assert op_return_payload(op_return(payload)) == payload


@given(st.binary(max_size=90))
def test_only_one_spelling_of_an_op_return_is_read(tail: bytes) -> None:
    script = b"\x6a" + tail
    payload = op_return_payload(script)
    assert payload is None or op_return(payload) == script


def test_a_padded_op_return_is_not_read() -> None:
    assert op_return_payload(b"\x6a\x4c\x02ab") is None
    assert op_return_payload(b"\x6a\x02ab\x00") is None
    for length in (0, 1, 81):
        with pytest.raises(ValueError, match=rf"^OP_RETURN of {length} bytes$"):
            op_return(bytes(length))


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("kind", OutputKind)
def test_addresses_agree_with_an_independent_library(kind: OutputKind, chain: str) -> None:
    script = STANDARD[kind]
    address = encode_address(script, chain)
    network = ORACLE_NETWORK[chain]
    if kind in (OutputKind.P2PKH, OutputKind.P2SH):
        payload = script[3:23] if kind is OutputKind.P2PKH else script[2:22]
        assert address == b58.address_from_h160(kind.value, payload, network)
    else:
        version = int(kind is OutputKind.P2TR)
        assert address == b32.address_from_witness(version, script[2:], network)
    assert decode_address(address, chain) == script
    if kind in (OutputKind.P2WPKH, OutputKind.P2WSH, OutputKind.P2TR):
        assert decode_address(address.upper(), chain) == script


@given(st.sampled_from(OutputKind), st.data())
def test_a_mistyped_character_is_refused(kind: OutputKind, data: st.DataObject) -> None:
    address = encode_address(STANDARD[kind], "regtest")
    position = data.draw(st.integers(0, len(address) - 1))
    letter = data.draw(st.sampled_from("023456789acdefghjklmnpqrstuvwxyzABCXYZ!"))
    mistyped = address[:position] + letter + address[position + 1 :]
    if mistyped == address:
        return
    with pytest.raises(CodecError) as caught:
        decode_address(mistyped, "regtest")
    assert caught.value.reason is BitcoinReason.ADDRESS


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("", "it is neither a witness nor a base58 address"),
        ("bcrt1", "it is too short or has a character that no such address has"),
        (
            "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
            "it belongs to another Bitcoin network than regtest",
        ),
        (
            "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
            "it belongs to another Bitcoin network than regtest",
        ),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "its checksum is wrong: a character was mistyped"),
        ("x" * 91, "it is too long or not ASCII"),
        ("bcrt1é", "it is too long or not ASCII"),
    ],
)
def test_refused_addresses_say_why(address: str, why: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode_address(address, "regtest")
    assert str(caught.value) == f"address: {why}"


@pytest.mark.parametrize(
    ("version", "program", "why"),
    [
        (1, b"\x01" * 20, "witness version 1 with 20 bytes is not in use"),
        (2, b"\x01" * 32, "witness version 2 with 32 bytes is not in use"),
    ],
)
def test_witness_versions_without_a_meaning_are_refused(
    version: int, program: bytes, why: str
) -> None:
    address = b32.address_from_witness(version, program, "regtest")
    with pytest.raises(CodecError) as caught:
        decode_address(address, "regtest")
    assert str(caught.value) == f"address: {why}"


@pytest.mark.parametrize(
    "address",
    [
        "bcrt1qqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszps2p4g0",
        "bcrt1qqszqgpqyqszqgpqyqszqgpqyqszqgpqyqxzy394",
    ],
)
def test_second_spellings_with_a_good_checksum_are_refused(address: str) -> None:
    """The padding bit is set, or a whole group of padding is added."""
    with pytest.raises(CodecError) as caught:
        decode_address(address, "regtest")
    assert str(caught.value) == "address: its padding is not canonical"


def test_the_checksum_of_the_other_witness_version_is_refused() -> None:
    """BIP350: a version 1 program under bech32, as wallets before 2021 wrote it."""
    with pytest.raises(CodecError) as caught:
        decode_address("bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "main")
    assert caught.value.reason is BitcoinReason.ADDRESS


def test_mixed_case_is_refused() -> None:
    address = encode_address(STANDARD[OutputKind.P2TR], "regtest")
    with pytest.raises(CodecError) as caught:
        decode_address("BCRT" + address[4:], "regtest")
    assert str(caught.value) == "address: it mixes upper and lower case"


def test_a_script_without_an_address_is_refused() -> None:
    with pytest.raises(CodecError) as caught:
        encode_address(b"\x6a", "main")
    assert str(caught.value) == "script: this output script has no address"

"""Signatures for the tests of the guest's verification, and who runs it."""

import hashlib
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import coincurve
import pytest

from cython_core.guest.secp.curve import G, N, P, Point, lifted, times
from cython_core.guest.secp.hints import challenge, message_words, verify_input
from cython_core.hash._reference import INITIAL_VECTOR
from cython_core.vm.wide import compress

GUEST = Path(__file__).parents[3] / "cython_core/guest"
PARTS = ("verify", "challenge", "constants", "table")
SOURCES = tuple(GUEST / f"secp/{name}.c" for name in PARTS)
STOPPED = 3
"""Exit code of the native build when hints are false."""


class Case(NamedTuple):
    key: bytes
    message: bytes
    signature: bytes


def bytes_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def x_of(point: Point) -> bytes:
    assert point is not None
    return bytes_of(point[0])


def signed(secret: int, nonce: int, message: bytes, *, odd: bool = False) -> Case:
    """By the formula, with any nonce; `odd` leaves the nonce point as it is when its y is odd."""
    key, point = times(secret, G), times(nonce, G)
    assert key is not None
    assert point is not None
    secret = secret if key[1] % 2 == 0 else N - secret
    nonce = nonce if odd == bool(point[1] % 2) else N - nonce
    e = challenge(x_of(point), x_of(key), message) % N
    s = (nonce + e * secret) % N
    return Case(x_of(key), message, x_of(point) + bytes_of(s))


def of_official_secret(secret: str, aux: str, message: str) -> Case:
    private = coincurve.PrivateKey(bytes.fromhex(secret))
    content = bytes.fromhex(message)
    signature = private.sign_schnorr(content, bytes.fromhex(aux))
    return Case(private.public_key.format()[1:], content, signature)


def without_nonce(secret: int, r: int, message: bytes) -> Case:
    """s G - e P is infinite."""
    key = times(secret, G)
    assert key is not None
    secret = secret if key[1] % 2 == 0 else N - secret
    s = challenge(bytes_of(r), x_of(key), message) * secret % N
    return Case(x_of(key), message, bytes_of(r) + bytes_of(s))


def is_valid(case: Case) -> bool:
    """The outside judge."""
    try:
        key = coincurve.PublicKeyXOnly(case.key)
    except ValueError:
        return False
    return bool(key.verify(case.signature, case.message))


def official_valid() -> dict[str, Case]:
    """Keys, messages and randomness of vectors 0 to 3 of BIP340; vector 4 with its signature."""
    zero, ones = "00" * 32, "FF" * 32
    pi = "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89"
    return {
        "0": of_official_secret(zero[:-1] + "3", zero, zero),
        "1": of_official_secret(
            "B7E151628AED2A6ABF7158809CF4F3C762E7160F38B4DA56A784D9045190CFEF",
            zero[:-1] + "1", pi,
        ),
        "2": of_official_secret(
            "C90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B14E5C9",
            "C87AA53824B4D7AE2EB035A2B5BBBCCC080E76CDC6D1692C4B0B62D798E6D906",
            "7E2D58D8B3BCDF1ABADEC7829054F90DDA9805AAB56C77333024B9D0A508B75C",
        ),
        "3": of_official_secret(
            "0B432B2677937381AEF05BB02A66ECD012773062CF3FA2549E44F58ED2401710", ones, ones
        ),
        "4": Case(
            bytes.fromhex("D69C3509BB99E412E68B0FE8544E72837DFA30746D8BE2AA65975F29D22DC7B9"),
            bytes.fromhex("4DF3C3F68FCC83B27E9D42C90431A72499F17875C81A599B566C9889B9696703"),
            bytes.fromhex(
                "00000000000000000000003B78CE563F89A0ED9414F5AA28AD0D96D6795F9C63"
                "76AFB1548AF603B3EB45C9F8207DEE1060CB71C04E80F593060B07D28308D7F4"
            ),
        ),
    }  # fmt: skip


def off_curve(seed: int) -> bytes:
    number = seed
    while lifted(number) is not None:
        number += 1
    return bytes_of(number)


def invalid() -> dict[str, Case]:
    """The cases of vectors 5 to 14, and more."""
    message = hashlib.sha256(b"message").digest()
    secret, nonce = 0xB7E151628AED2A6A, 0x243F6A8885A308D3
    good = signed(secret, nonce, message)
    r, s = good.signature[:32], good.signature[32:]
    number = int.from_bytes(s, "big")

    def with_signature(first: bytes, second: bytes) -> Case:
        return good._replace(signature=first + second)

    return {
        "key not on the curve": good._replace(key=off_curve(int.from_bytes(good.key, "big"))),
        "nonce with an odd y": signed(secret, nonce, message, odd=True),
        "other message": good._replace(message=hashlib.sha256(message).digest()),
        "negated s": with_signature(r, bytes_of(N - number)),
        "infinite, r = 0": without_nonce(secret, 0, message),
        "infinite, r = 1": without_nonce(secret, 1, message),
        "infinite, r of G": without_nonce(secret, G[0], message),
        "infinite, r of the key": without_nonce(secret, int.from_bytes(good.key, "big"), message),
        "r not on the curve": with_signature(off_curve(int.from_bytes(r, "big")), s),
        "r is p": with_signature(bytes_of(P), s),
        "r is all ones": with_signature(b"\xff" * 32, s),
        "s is n": with_signature(r, bytes_of(N)),
        "s is n more": with_signature(r, bytes_of((number + N) % 2**256)),
        "s is all ones": with_signature(r, b"\xff" * 32),
        "key is p + 1": good._replace(key=bytes_of(P + 1)),
        "key is p": good._replace(key=bytes_of(P)),
        "s is 0": with_signature(r, bytes(32)),
        "s is n - 1": with_signature(r, bytes_of(N - 1)),
        "s is off by 1": with_signature(r, bytes_of(number + 1)),
        "r is another point's": with_signature(x_of(times(7, G)), s),
        "key is another": good._replace(key=x_of(times(7, G))),
    }


def small() -> list[Case]:
    """Keys and nonces that are small multiples of G, and equal ones: the formulas' exceptions."""
    message = hashlib.sha256(b"small").digest()
    pairs = [(1, 1), (1, 2), (2, 1), (3, 3), (1, N - 1), (5, 1 << 64), (1 << 64, 1), (4, 1 << 128)]
    return [signed(secret, nonce, message) for secret, nonce in pairs]


def random_case(rng: random.Random) -> Case:
    """Mostly valid."""
    message = rng.randbytes(32)
    case = signed(rng.randrange(1, N), rng.randrange(1, N), message, odd=rng.random() < 0.2)
    if rng.random() < 0.2:
        at = rng.randrange(64)
        changed = bytearray(case.signature)
        changed[at] ^= 1 << rng.randrange(8)
        return case._replace(signature=bytes(changed))
    return case


def input_of(cases: list[Case]) -> bytes:
    return struct.pack("<I", len(cases)) + b"".join(verify_input(*case) for case in cases)


def build_native(folder: Path, *flags: str, guest: Path = GUEST) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    built = folder / "verify"
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", *flags]
    command += [f"-I{guest}", f"-Wa,-I{guest}", str(Path(__file__).with_name("secp_native.c"))]
    command += [str(guest / f"secp/{name}.c") for name in (*PARTS, "portable")]
    command += ["-o", str(built)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return built


def native(program: Path, content: bytes) -> list[bool] | None:
    """The answers, or None when the program stopped for false hints."""
    outcome = subprocess.run([str(program)], input=content, capture_output=True, check=False)
    if outcome.returncode == STOPPED:
        return None
    assert outcome.returncode == 0, outcome.stderr
    return [line == b"1" for line in outcome.stdout.split()]


def statement_of(cases: list[Case], valid: int) -> bytes:
    """What guest.c shows."""
    chaining: tuple[int, ...] = tuple(INITIAL_VECTOR)
    for case in cases:
        block = struct.unpack("<16I", message_words(case.key + case.message))
        chaining = compress(chaining, block, 0)
    return struct.pack("<8I", *chaining[:7], valid)

"""BLAKE3 kernels and their twin against the public implementation."""

import random
from collections.abc import Callable

import blake3
import pytest

from cython_core import hash as compiled
from cython_core.hash import _reference as reference

ALL_KERNELS = ("scalar", "avx2", "avx512")
HashMany = Callable[[bytes, bytes], bytes]


@pytest.fixture(params=("reference", *compiled.available_kernels()))
def hash_many(request: pytest.FixtureRequest) -> HashMany:
    kernel: str = request.param
    if kernel == "reference":
        return reference.b3_many
    return lambda key, messages: compiled.b3_many(key, messages, kernel)


@pytest.mark.parametrize("kernel", ALL_KERNELS)
def test_this_machine_runs_the_kernel(kernel: str) -> None:
    # The other tests run over what the CPU has; this one says in the summary what they left out.
    if kernel not in compiled.available_kernels():
        pytest.skip(f"this CPU does not run {kernel}: no test of it ran")
    message = bytes(range(64))
    expected = blake3.blake3(message, key=bytes(32)).digest()
    assert compiled.b3_many(bytes(32), message, kernel) == expected


@pytest.fixture(params=(reference.b3, compiled.b3), ids=("reference", "compiled"))
def hash_one(request: pytest.FixtureRequest) -> HashMany:
    function: HashMany = request.param
    return function


def test_every_count_of_lanes(hash_many: HashMany) -> None:
    # 35 passes one and two full vectors of both widths, with every size of rest.
    source = random.Random(1)
    for count in range(36):
        key = source.randbytes(32)
        messages = source.randbytes(64 * count)
        expected = b"".join(
            blake3.blake3(messages[64 * index : 64 * index + 64], key=key).digest()
            for index in range(count)
        )
        assert hash_many(key, messages) == expected


def test_words_that_carry(hash_many: HashMany) -> None:
    for key, message in ((b"\xff" * 32, b"\xff" * 64), (bytes(32), bytes(64))):
        assert hash_many(key, message * 17) == 17 * blake3.blake3(message, key=key).digest()


def test_long_input_crosses_the_chunks_of_the_dispatcher() -> None:
    source = random.Random(2)
    key, messages = source.randbytes(32), source.randbytes(64 * 321)
    expected = compiled.b3_many(key, messages, "scalar")
    assert expected[32 * 320 :] == blake3.blake3(messages[64 * 320 :], key=key).digest()
    for name in compiled.available_kernels():
        assert compiled.b3_many(key, messages, name) == expected


def test_every_length_up_to_a_block(hash_one: Callable[[bytes, bytes], bytes]) -> None:
    source = random.Random(3)
    for length in range(65):
        key, message = source.randbytes(32), source.randbytes(length)
        assert hash_one(key, message) == blake3.blake3(message, key=key).digest()


def test_refuses_more_than_a_block_and_bad_keys(hash_one: Callable[[bytes, bytes], bytes]) -> None:
    with pytest.raises(ValueError) as longer:
        hash_one(bytes(32), bytes(65))
    assert str(longer.value) == "a single-block message has at most 64 bytes"
    with pytest.raises(ValueError) as short_key:
        hash_one(bytes(31), bytes(64))
    assert str(short_key.value) == "a domain key has 32 bytes"


def test_refuses_messages_that_are_not_whole(hash_many: HashMany) -> None:
    for length in (1, 63, 65):
        with pytest.raises(ValueError) as refused:
            hash_many(bytes(32), bytes(length))
        assert str(refused.value) == "messages have 64 bytes each"


def test_refuses_unknown_kernels() -> None:
    with pytest.raises(ValueError) as refused:
        compiled.b3_many(bytes(32), b"", "sse9")
    assert str(refused.value) == "there is no kernel 'sse9'"


def test_domain_keys() -> None:
    for domain in ("value", "leaf", "node", "path"):
        expected = blake3.blake3(f"p2pseq/state/{domain}/v1".encode()).digest()
        assert getattr(compiled, f"KEY_{domain.upper()}") == expected
        assert getattr(reference, f"KEY_{domain.upper()}") == expected

"""The transcript's kernels and its twin: the same states, challenges and nonces."""

import random
from typing import Protocol

import blake3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cython_core import transcript as compiled
from cython_core.transcript import _reference as reference
from cython_core.transcript import keys
from cython_core.transcript._transcript import hash_stream

P = 2**31 - 2**24 + 1
ALL_KERNELS = ("scalar", "avx2", "avx512")
Transcript = compiled.Transcript | reference.Transcript


class MakeTranscript(Protocol):
    def __call__(self, recorder: list[tuple[str, bytes]] | None = None) -> Transcript: ...


@pytest.fixture(params=(reference.Transcript, compiled.Transcript), ids=("reference", "compiled"))
def make(request: pytest.FixtureRequest) -> MakeTranscript:
    made: MakeTranscript = request.param
    return made


def expected_absorb(state: bytes, label: bytes, message: bytes) -> bytes:
    """The definition, in one line."""
    text = state + len(label).to_bytes(4, "little") + label
    text += len(message).to_bytes(8, "little") + message
    return blake3.blake3(text, key=keys.KEY_TRANSCRIPT).digest()


@pytest.mark.parametrize("kernel", ALL_KERNELS)
def test_this_machine_runs_the_kernel(kernel: str) -> None:
    # The other tests run over what the CPU has; this one says in the summary what they left out.
    if kernel not in compiled.available_kernels():
        pytest.skip(f"this CPU does not run {kernel}: no test of it ran")
    assert compiled.Transcript().grind(1, "x", kernel) >= 0


def test_hash_of_every_length_around_blocks_and_chunks() -> None:
    source = random.Random(1)
    key = source.randbytes(32)
    lengths = [*range(130), *(1024 * n + d for n in range(1, 10) for d in (-1, 0, 1, 64)), 70_001]
    for length in lengths:
        message = source.randbytes(length)
        assert hash_stream(message) == blake3.blake3(message).digest()
        assert hash_stream(message, key) == blake3.blake3(message, key=key).digest()


def test_a_new_transcript_is_zero(make: MakeTranscript) -> None:
    assert make().state == bytes(32)


def test_absorb_is_as_defined(make: MakeTranscript) -> None:
    transcript, state = make(), bytes(32)
    source = random.Random(2)
    for label in ("a", "main", "x" * 24):
        for length in (0, 1, 31, 64, 1024, 5000):
            message = source.randbytes(length)
            transcript.absorb(label, message)
            state = expected_absorb(state, label.encode(), message)
            assert transcript.state == state


def test_squeeze_is_as_defined(make: MakeTranscript) -> None:
    transcript = make()
    transcript.absorb("main", b"root")
    message = transcript.state + b"logup".ljust(24, b"\0")
    stream = transcript.squeeze("logup")
    assert transcript.state == blake3.blake3(message, key=keys.KEY_TRANSCRIPT).digest()
    output = blake3.blake3(message, key=keys.KEY_SQUEEZE).digest(4 * 3000)
    words = [int.from_bytes(output[i : i + 4], "little") for i in range(0, len(output), 4)]
    assert stream.indices(100, 7) == [word & 127 for word in words[:100]]
    assert stream.indices(100, 32) == words[100:200]
    low = [word & 0x7FFFFFFF for word in words[200:]]
    accepted = [value for value in low if value < P]
    assert len(accepted) < len(low), "the case of a rejected word was not met"
    assert stream.elements(1000) == accepted[:1000]
    extensions = stream.extensions(200)
    assert [value for extension in extensions for value in extension] == accepted[1000:2000]
    assert stream.indices(2, 0) == [0, 0]


@given(
    steps=st.lists(
        st.tuples(st.text("abc x", min_size=1, max_size=24), st.binary(max_size=200)), max_size=8
    )
)
@settings(max_examples=50, deadline=None)
def test_twins_agree_on_any_conversation(steps: list[tuple[str, bytes]]) -> None:
    left, right = compiled.Transcript(), reference.Transcript()
    for label, message in steps:
        left.absorb(label, message)
        right.absorb(label, message)
        assert left.squeeze(label).extensions(3) == right.squeeze(label).extensions(3)
        assert left.state == right.state


def test_streams_of_one_transcript_are_independent(make: MakeTranscript) -> None:
    transcript = make()
    first, second = transcript.squeeze("one"), transcript.squeeze("one")
    values = first.elements(20), second.elements(20), first.elements(20)
    again = make().squeeze("one").elements(40)
    assert values[0] + values[2] == again
    assert values[1] != values[0]


def test_labels_and_lengths_separate(make: MakeTranscript) -> None:
    states = set()
    for label, message in (("a", b"bc"), ("ab", b"c"), ("abc", b""), ("a", b"bc\0"), ("a", b"b")):
        transcript = make()
        transcript.absorb(label, message)
        states.add(transcript.state)
    assert len(states) == 5


@pytest.mark.parametrize("label", ["", "x" * 25, "ä", "a\0"])
def test_bad_labels_are_refused(make: MakeTranscript, label: str) -> None:
    transcript = make()
    for act in (
        lambda: transcript.absorb(label, b""),
        lambda: transcript.squeeze(label),
        lambda: transcript.check_grind(0, label, 0),
    ):
        with pytest.raises(ValueError):
            act()
    assert transcript.state == bytes(32)


@pytest.mark.parametrize("log", [-1, 33])
def test_bad_index_size_is_refused(make: MakeTranscript, log: int) -> None:
    with pytest.raises(ValueError, match=f"an index has 0 to 32 bits, not {log}"):
        make().squeeze("q").indices(1, log)


@pytest.mark.parametrize("kernel", compiled.available_kernels())
def test_every_kernel_finds_the_smallest_nonce(kernel: str) -> None:
    for seed in range(12):
        left, right = compiled.Transcript(), reference.Transcript()
        for transcript in (left, right):
            transcript.absorb("seed", bytes([seed]))
        bits = seed % 10
        assert left.grind(bits, "grind", kernel) == right.grind(bits, "grind")
        assert left.state == right.state


def test_grinding_is_checked(make: MakeTranscript) -> None:
    prover = make()
    prover.absorb("main", b"x")
    before = prover.state
    nonce = prover.grind(8, "work")
    digest = blake3.blake3(before + nonce.to_bytes(8, "little"), key=keys.KEY_GRIND).digest()
    assert digest[0] == 0
    assert prover.state == expected_absorb(before, b"work", nonce.to_bytes(8, "little"))
    verifier = make()
    verifier.absorb("main", b"x")
    for wrong in range(nonce):
        assert not verifier.check_grind(8, "work", wrong)
    assert not verifier.check_grind(30, "work", nonce), "20 bits more than were searched for"
    assert verifier.state == before, "a refused nonce is not absorbed"
    assert verifier.check_grind(8, "work", nonce)
    assert verifier.state == prover.state


def test_any_nonce_with_the_work_is_accepted(make: MakeTranscript) -> None:
    accepted = [nonce for nonce in range(200) if make().check_grind(3, "w", nonce)]
    assert len(accepted) > 1
    assert accepted[0] == make().grind(3, "w")


def test_without_bits_only_zero_is_a_nonce(make: MakeTranscript) -> None:
    transcript = make()
    assert not transcript.check_grind(0, "w", 1)
    assert transcript.check_grind(0, "w", 0)
    assert transcript.state == expected_absorb(bytes(32), b"w", bytes(8))
    assert make().grind(0, "w") == 0


def test_bits_and_nonces_out_of_range_are_refused(make: MakeTranscript) -> None:
    for bits in (-1, 49):
        with pytest.raises(ValueError, match=f"grinding takes 0 to 48 bits, not {bits}"):
            make().check_grind(bits, "w", 0)
    for nonce in (-1, 1 << 64):
        with pytest.raises(ValueError, match="a nonce has 8 bytes"):
            make().check_grind(1, "w", nonce)


def test_unknown_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no kernel 'neon'"):
        compiled.Transcript().grind(1, "w", "neon")


def test_recorder_hears_everything_absorbed(make: MakeTranscript) -> None:
    heard: list[tuple[str, bytes]] = []
    transcript = make(heard)
    transcript.absorb("a", b"1")
    transcript.squeeze("b")
    nonce = transcript.grind(4, "c").to_bytes(8, "little")
    again: list[tuple[str, bytes]] = []
    checked = make(again)
    checked.absorb("a", b"1")
    checked.squeeze("b")
    assert checked.check_grind(4, "c", int.from_bytes(nonce, "little"))
    assert heard == again == [("a", b"1"), ("c", nonce)]


def test_keys_are_the_hashes_of_their_names() -> None:
    for name in ("row", "node", "inject", "transcript", "squeeze", "grind", "key"):
        expected = blake3.blake3(f"p2pseq/proof/{name}/v1".encode()).digest()
        assert getattr(keys, f"KEY_{name.upper()}") == expected

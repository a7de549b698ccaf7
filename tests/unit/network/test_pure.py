"""The parts that know no socket: identity, framing, queues, rates, scores."""

import coincurve
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.network.framing import CHANNEL_CODES, FrameDecoder, frame_header
from p2p_seq.network.identity import (
    base58_decode,
    base58_encode,
    even_secret,
    peer_id_of,
    peer_id_of_xonly,
    xonly_of,
)
from p2p_seq.network.limits import NetworkLimits, Rate, TokenBucket
from p2p_seq.network.mailbox import Mailbox, WhenFull
from p2p_seq.network.outbox import Outbox
from p2p_seq.network.reputation import (
    BAN_SCORE,
    FIRST_BAN_S,
    HALF_LIFE_S,
    LAST_BAN_S,
    REMEMBERED_PEERS,
    WEIGHTS,
    Reputation,
)
from p2p_seq.network.types import Channel, NetworkReason, PeerId, PenaltyReason, Received
from p2p_seq.protocol.errors import RemoteError

ALICE, BOB, CAROL = PeerId("alice"), PeerId("bob"), PeerId("carol")
ALL_CHANNELS = frozenset(Channel)


class TestIdentity:
    def test_golden_id_of_the_generator_point(self) -> None:
        key = coincurve.PrivateKey(bytes(31) + b"\1").public_key.format()
        assert peer_id_of(key) == "16Uiu2HAm3cuhhRL2msUuLF62KRSfneFDx94RsuouyW25Ho42cFMq"
        assert xonly_of(peer_id_of(key)) == key[1:]

    @pytest.mark.parametrize("secret", [bytes([n]) * 32 for n in range(1, 9)])
    def test_agrees_with_libp2p(self, secret: bytes) -> None:
        from libp2p.crypto.secp256k1 import create_new_key_pair
        from libp2p.peer.id import ID

        public_key = coincurve.PublicKey.from_secret(secret).format()
        even = even_secret(secret, public_key)
        even_key = coincurve.PublicKey.from_secret(even).format()
        assert even_key == b"\2" + public_key[1:]
        assert str(ID.from_pubkey(create_new_key_pair(even).public_key)) == peer_id_of(public_key)
        assert peer_id_of_xonly(public_key[1:]) == peer_id_of(public_key)

    @given(st.binary(max_size=50))
    def test_base58_returns(self, raw: bytes) -> None:
        assert base58_decode(base58_encode(raw)) == raw

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "1",
            "0OIl",
            "a" * 100,
            "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
            "16Uiu2",
        ],
    )
    def test_refuses_what_is_no_canonical_id(self, text: str) -> None:
        with pytest.raises(ValueError):
            xonly_of(PeerId(text))

    def test_refuses_an_odd_key_and_a_second_spelling(self) -> None:
        good = peer_id_of_xonly(bytes(range(32)))
        raw = base58_decode(good)
        with pytest.raises(ValueError, match="not the peer id of an even"):
            xonly_of(PeerId(base58_encode(raw.replace(b"\x21\x02", b"\x21\x03", 1))))
        with pytest.raises(ValueError, match="not the peer id of an even"):
            xonly_of(PeerId("1" + good))

    @pytest.mark.parametrize("key", [b"", bytes(33), b"\2" + bytes(31), b"\4" + bytes(32)])
    def test_refuses_what_is_no_compressed_key(self, key: bytes) -> None:
        with pytest.raises(ValueError, match="33 bytes"):
            peer_id_of(key)


messages = st.lists(st.tuples(st.sampled_from(list(Channel)), st.binary(max_size=300)), max_size=20)


class TestFraming:
    @given(messages, st.integers(1, 50))
    def test_any_cut_gives_the_same_frames(
        self, sent: list[tuple[Channel, bytes]], step: int
    ) -> None:
        wire = b"".join(frame_header(channel, len(data)) + data for channel, data in sent)
        decoder = FrameDecoder(300, ALL_CHANNELS)
        got = []
        for start in range(0, len(wire), step):
            got += decoder.feed(wire[start : start + step])
        assert got == sent
        assert decoder.is_between_frames

    @given(st.binary(max_size=2_000), st.integers(1, 100))
    def test_garbage_never_raises_anything_else_and_is_bounded(self, raw: bytes, step: int) -> None:
        decoder = FrameDecoder(100, ALL_CHANNELS)
        try:
            for start in range(0, len(raw), step):
                decoder.feed(raw[start : start + step])
                assert len(decoder._buffer) <= 105 + step
        except RemoteError as error:
            assert error.reason in (NetworkReason.MALFORMED, NetworkReason.TOO_LARGE)

    def test_the_limit_itself_passes_and_one_more_does_not(self) -> None:
        decoder = FrameDecoder(10, ALL_CHANNELS)
        assert decoder.feed(frame_header(Channel.BLOCKS, 10) + bytes(10)) == [
            (Channel.BLOCKS, bytes(10))
        ]
        with pytest.raises(RemoteError, match=r"^too-large: a payload of 11 bytes, limit 10$"):
            decoder.feed(frame_header(Channel.BLOCKS, 11))

    def test_an_oversized_length_is_refused_from_four_bytes(self) -> None:
        with pytest.raises(RemoteError, match=r"^too-large: "):
            FrameDecoder(10, ALL_CHANNELS).feed(b"\xff\xff\xff\xff")

    def test_a_zero_length_is_refused_from_four_bytes(self) -> None:
        with pytest.raises(RemoteError, match=r"^malformed: a frame without a channel$"):
            FrameDecoder(10, ALL_CHANNELS).feed(bytes(4))

    @pytest.mark.parametrize("code", [0, 6, 255, CHANNEL_CODES[Channel.BLOCKS]])
    def test_unknown_and_foreign_channels_are_refused(self, code: int) -> None:
        decoder = FrameDecoder(10, frozenset({Channel.CONSENSUS}))
        with pytest.raises(RemoteError, match=rf"^malformed: channel {code} does not belong here$"):
            decoder.feed(b"\0\0\0\2" + bytes([code]))


class TestOutbox:
    def outbox(self, messages_max: int = 4, bytes_max: int = 1_000, batch: int = 100) -> Outbox:
        return Outbox([Channel.BLOCKS, Channel.TRANSACTIONS], messages_max, bytes_max, batch)

    def decode(self, wire: bytes) -> list[tuple[Channel, bytes]]:
        return FrameDecoder(10_000, ALL_CHANNELS).feed(wire)

    def test_small_payloads_share_a_write_and_keep_their_order(self) -> None:
        outbox = self.outbox()
        for number in range(4):
            assert outbox.put(Channel.BLOCKS, bytes([number]))
        wire, count = outbox.take_batch()
        assert count == 4
        assert [data for _, data in self.decode(wire)] == [bytes([n]) for n in range(4)]
        assert outbox.take_batch() == (b"", 0)

    def test_a_full_queue_refuses_and_displaces_nothing(self) -> None:
        outbox = self.outbox(messages_max=2)
        assert outbox.put(Channel.BLOCKS, b"1")
        assert outbox.put(Channel.BLOCKS, b"2")
        assert not outbox.put(Channel.BLOCKS, b"3")
        assert outbox.put(Channel.TRANSACTIONS, b"other channels have their own room")
        assert outbox.messages == 3

    def test_bytes_are_bounded_and_given_back(self) -> None:
        outbox = self.outbox(bytes_max=105)
        assert outbox.put(Channel.BLOCKS, bytes(100))
        assert not outbox.put(Channel.BLOCKS, b"")
        outbox.take_batch()
        assert outbox.bytes == 0
        assert outbox.put(Channel.BLOCKS, bytes(100))

    def test_channels_take_turns(self) -> None:
        outbox = self.outbox(batch=1)
        for _ in range(2):
            outbox.put(Channel.BLOCKS, b"b")
            outbox.put(Channel.TRANSACTIONS, b"t")
        order = [self.decode(outbox.take_batch()[0])[0][1] for _ in range(4)]
        assert order in ([b"b", b"t", b"b", b"t"], [b"t", b"b", b"t", b"b"])

    def test_a_batch_ends_at_its_size(self) -> None:
        outbox = self.outbox(messages_max=100, batch=50)
        for _ in range(10):
            outbox.put(Channel.BLOCKS, bytes(20))
        assert outbox.take_batch()[1] == 2
        assert outbox.clear() == 8
        assert (outbox.messages, outbox.bytes) == (0, 0)


def received(peer: PeerId, payload: bytes = b"x") -> Received:
    return Received(peer, payload, peer)


class TestMailbox:
    async def test_one_peer_gets_half(self) -> None:
        mailbox = Mailbox(10, 1_000, WhenFull.KEEP_OLDEST)
        assert [mailbox.put(received(ALICE)) for _ in range(7)] == [True] * 5 + [False] * 2
        assert [mailbox.put(received(BOB)) for _ in range(6)] == [True] * 5 + [False]
        assert not mailbox.put(received(CAROL))
        assert (len(mailbox), mailbox.dropped) == (10, 4)
        await mailbox.receive()
        assert mailbox.put(received(CAROL))

    async def test_bytes_are_bounded(self) -> None:
        mailbox = Mailbox(100, 100, WhenFull.KEEP_OLDEST)
        assert mailbox.put(received(ALICE, bytes(50)))
        assert not mailbox.put(received(ALICE, b"1"))
        assert mailbox.put(received(BOB, bytes(50)))
        assert not mailbox.put(received(CAROL, b"1"))

    async def test_keep_newest_displaces_the_heaviest_peer(self) -> None:
        mailbox = Mailbox(4, 1_000, WhenFull.KEEP_NEWEST)
        for payload in (b"a1", b"a2"):
            assert mailbox.put(received(ALICE, payload))
        assert not mailbox.put(received(ALICE, b"a3"))
        for payload in (b"b1", b"b2"):
            mailbox.put(received(BOB, payload))
        mailbox.put(received(CAROL, b"c1"))
        left = [mailbox.receive_nowait() for _ in range(len(mailbox))]
        assert [item.payload for item in left] == [b"a3", b"b1", b"b2", b"c1"]
        assert mailbox.dropped == 2

    async def test_keep_newest_by_bytes_takes_the_newcomers_own(self) -> None:
        mailbox = Mailbox(100, 100, WhenFull.KEEP_NEWEST)
        mailbox.put(received(BOB, bytes(45)))
        mailbox.put(received(ALICE, bytes(40)))
        assert not mailbox.put(received(ALICE, bytes(20)))
        assert [len(mailbox.receive_nowait().payload) for _ in range(2)] == [45, 20]

    async def test_a_waiting_receiver_wakes(self) -> None:
        mailbox = Mailbox(4, 100, WhenFull.KEEP_OLDEST)
        got = []

        async def take() -> None:
            got.append(await mailbox.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            nursery.start_soon(take)
            await trio.testing.wait_all_tasks_blocked()
            mailbox.put(received(ALICE, b"1"))
            mailbox.put(received(ALICE, b"2"))
        assert sorted(item.payload for item in got) == [b"1", b"2"]
        with pytest.raises(trio.WouldBlock):
            mailbox.receive_nowait()


class TestTokenBucket:
    def test_burst_then_rate(self) -> None:
        bucket = TokenBucket(Rate(10, 5), now=0)
        assert [bucket.try_take(1, 0) for _ in range(6)] == [True] * 5 + [False]
        assert bucket.try_take(1, 0.1)
        assert not bucket.try_take(1, 0.1)

    def test_debt_is_time(self) -> None:
        bucket = TokenBucket(Rate(10, 5), now=0)
        assert bucket.take_later(5, 0) == 0
        assert bucket.take_later(10, 0) == pytest.approx(1.0)
        assert bucket.take_later(0, 0.5) == pytest.approx(0.5)

    def test_a_clock_that_steps_back_mints_nothing(self) -> None:
        bucket = TokenBucket(Rate(10, 5), now=100)
        assert bucket.try_take(5, 100)
        assert not bucket.try_take(1, 50)
        assert not bucket.try_take(1, 100)


class TestReputation:
    def test_each_weight_is_added_and_halves(self) -> None:
        reputation = Reputation()
        reputation.penalize(ALICE, PenaltyReason.INVALID_MESSAGE, 0)
        weight = WEIGHTS[PenaltyReason.INVALID_MESSAGE]
        assert reputation.score(ALICE, 0) == weight
        assert reputation.score(ALICE, HALF_LIFE_S) == pytest.approx(weight / 2)
        assert reputation.score(BOB, 0) == 0

    def test_the_third_broken_frame_bans_and_the_ban_ends(self) -> None:
        reputation = Reputation()
        broken = PenaltyReason.MALFORMED_FRAME
        assert [reputation.penalize(ALICE, broken, 0) for _ in range(3)] == [False, False, True]
        assert reputation.banned_for(ALICE, 0) == FIRST_BAN_S
        assert reputation.is_banned(ALICE, FIRST_BAN_S - 0.1)
        assert not reputation.is_banned(ALICE, FIRST_BAN_S)
        assert reputation.score(ALICE, FIRST_BAN_S) == 0

    def test_bans_double_up_to_an_hour(self) -> None:
        reputation = Reputation()
        now, terms = 0.0, []
        for _ in range(9):
            assert reputation.penalize(ALICE, PenaltyReason.EQUIVOCATION, now)
            terms.append(reputation.banned_for(ALICE, now))
            now += terms[-1] + 1
        assert terms[:3] == [60, 120, 240]
        assert terms[-1] == LAST_BAN_S

    def test_congestion_alone_does_not_ban(self) -> None:
        reputation = Reputation()
        for second in range(600):
            assert not reputation.penalize(ALICE, PenaltyReason.STALLED, second * 5.0)
        assert reputation.score(ALICE, 3_000) < BAN_SCORE

    def test_the_table_is_bounded_and_keeps_the_banned(self) -> None:
        reputation = Reputation()
        reputation.ban(ALICE, 1_000, 0)
        for number in range(REMEMBERED_PEERS + 100):
            reputation.penalize(PeerId(str(number)), PenaltyReason.FLOOD, 1)
        assert reputation.is_banned(ALICE, 2)
        assert len(reputation._records) <= REMEMBERED_PEERS


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 4, "connections_reserved": 4},
        {"gossip_payload_max": 1 << 20},
        {"peer_queue_bytes": 1 << 20},
        {"inbox_bytes": 1 << 20},
    ],
)
def test_limits_that_contradict_each_other_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        NetworkLimits(**wrong)  # type: ignore[arg-type]

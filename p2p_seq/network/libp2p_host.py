"""Builds the host: one transport, one security protocol, one muxer, our limits."""

import coincurve
import trio
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.transport.tcp.tcp import TCP
from libp2p.transport.upgrader import TransportUpgrader

from p2p_seq.network.counters import Counters
from p2p_seq.network.hardening import (
    YAMUX,
    AddressGate,
    SafeHost,
    SafeMuxerNegotiation,
    SafeSwarm,
    SafeYamux,
)
from p2p_seq.network.identity import even_secret
from p2p_seq.network.limits import NetworkLimits


def make_host(
    limits: NetworkLimits, counters: Counters, secret: bytes
) -> tuple[SafeSwarm, SafeHost]:
    """Not yet listening. Raises ValueError on a secret that is none."""
    if len(secret) != 32:
        raise ValueError(f"an identity secret has 32 bytes, not {len(secret)}")
    public_key = coincurve.PublicKey.from_secret(secret).format()
    key_pair = create_new_key_pair(even_secret(secret, public_key))
    noise = NoiseTransport(key_pair, noise_privkey=create_noise_key_pair().private_key)
    upgrader = TransportUpgrader(
        secure_transports_by_protocol={NOISE: noise},
        muxer_transports_by_protocol={YAMUX: SafeYamux},
    )
    upgrader.muxer_multistream = SafeMuxerNegotiation(limits, counters)
    peer_store = PeerStore()
    local_id = ID.from_pubkey(key_pair.public_key)
    peer_store.add_key_pair(local_id, key_pair)
    swarm = SafeSwarm(
        local_id,
        peer_store,
        upgrader,
        [TCP()],
        retry_config=RetryConfig(max_retries=0),
        connection_config=ConnectionConfig(
            max_connections=limits.connections,
            min_connections=0,
            low_watermark=0,
            high_watermark=limits.connections,
            # Our own count comes first: the stock trim never touches young connections.
            max_connections_per_peer=limits.connections_per_peer + 1,
            inbound_upgrade_timeout=limits.handshake_s,
            outbound_upgrade_timeout=limits.handshake_s,
            inbound_stream_protocol_negotiation_timeout=limits.handshake_s,
            outbound_stream_protocol_negotiation_timeout=limits.handshake_s,
        ),
    )
    swarm.gate = AddressGate(limits)
    swarm.counters = counters
    swarm.handshakes = trio.CapacityLimiter(limits.connections_reserved)
    return swarm, SafeHost(swarm, counters, int(limits.handshake_s))

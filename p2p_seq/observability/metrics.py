"""The figures of a node, declared once, in a registry of their own.

A registry per node and not the library's global one: tests and the simulator run many nodes in one
process. Names follow Prometheus' conventions: base units, `_total` for what only grows.
"""

from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

FINALITY_BUCKETS_SECONDS: Final = (
    0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Around the goal of 0.1 s, and up to the cap of the consensus timers."""


def _registry() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)


@dataclass(slots=True)
class Metrics:
    """All figures of one node."""

    registry: CollectorRegistry = field(default_factory=_registry)
    build: Gauge = field(init=False)
    height: Gauge = field(init=False)
    epoch: Gauge = field(init=False)
    view: Gauge = field(init=False)
    finality_seconds: Histogram = field(init=False)
    blocks: Counter = field(init=False)
    transactions: Counter = field(init=False)
    votes: Counter = field(init=False)
    nullified_views: Counter = field(init=False)
    guard_refusals: Counter = field(init=False)
    mempool_transactions: Gauge = field(init=False)
    mempool_bytes: Gauge = field(init=False)
    peers: Gauge = field(init=False)
    remote_errors: Counter = field(init=False)
    dropped_messages: Counter = field(init=False)
    bitcoin_height: Gauge = field(init=False)
    origin_height: Gauge = field(init=False)
    bitcoin_errors: Counter = field(init=False)
    settlements: Counter = field(init=False)
    vault_sats: Gauge = field(init=False)
    fee_pool_sats: Gauge = field(init=False)
    pending_payouts_sats: Gauge = field(init=False)
    disk_free_bytes: Gauge = field(init=False)

    def __post_init__(self) -> None:
        self._declare_chain()
        self._declare_edges()

    def _gauge(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, meaning, labels, namespace="p2pseq", registry=self.registry)

    def _counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, meaning, labels, namespace="p2pseq", registry=self.registry)

    def _declare_chain(self) -> None:
        self.build = self._gauge(
            "build_info", "1; the version and role are labels.", ("version", "role")
        )
        self.height = self._gauge("finalised_height", "Height of the last finalised block.")
        self.epoch = self._gauge("epoch", "Epoch of the last finalised block.")
        self.view = self._gauge("view", "Current view of the epoch's consensus instance.")
        self.finality_seconds = Histogram(
            "finality_seconds",
            "From a block's proposal as this node first saw it to its finality here.",
            namespace="p2pseq",
            registry=self.registry,
            buckets=FINALITY_BUCKETS_SECONDS,
        )
        self.blocks = self._counter("blocks_finalised", "Blocks that became final here.")
        self.transactions = self._counter(
            "transactions_finalised", "Transactions in them, by outcome.", ("outcome",)
        )
        self.votes = self._counter("votes_sent", "Own votes, by kind.", ("kind",))
        self.nullified_views = self._counter("views_nullified", "Views that ended without a block.")
        self.guard_refusals = self._counter(
            "guard_refusals", "Signatures that the guard refused. Never normal."
        )
        self.vault_sats = self._gauge("vault_sats", "Value of the last committed vault coin.")
        self.fee_pool_sats = self._gauge("fee_pool_sats", "Fee pool in the finalised state.")
        self.pending_payouts_sats = self._gauge(
            "pending_payouts_sats", "Burnt and not yet paid out."
        )

    def _declare_edges(self) -> None:
        self.mempool_transactions = self._gauge("mempool_transactions", "Waiting transactions.")
        self.mempool_bytes = self._gauge("mempool_bytes", "Their bytes.")
        self.peers = self._gauge("peers", "Connected peers, by kind.", ("kind",))
        self.remote_errors = self._counter(
            "remote_errors", "Wrong bytes from outside, by room and reason.", ("room", "reason")
        )
        self.dropped_messages = self._counter(
            "messages_dropped", "Messages that a full queue refused, by queue.", ("queue",)
        )
        self.bitcoin_height = self._gauge("bitcoin_height", "Bitcoin's best block, as asked.")
        self.origin_height = self._gauge("origin_height", "Origin of the last finalised block.")
        self.bitcoin_errors = self._counter("bitcoin_errors", "Failed questions to Bitcoin.")
        self.settlements = self._counter("settlements_buried", "Settlements buried on Bitcoin.")
        self.disk_free_bytes = self._gauge("disk_free_bytes", "Free bytes where the home is.")

    def render(self) -> bytes:
        """All figures in Prometheus' text format; its media type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)

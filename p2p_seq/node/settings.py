"""Every setting of a node, declared once: name, type, bounds, default and what it is for.

`configs/default.toml`, `p2pseq config show`, the environment variables and the flags all come from
these declarations; `p2p_seq.node.config` reads and layers them. Addresses are `host:port`; an empty
text means "not set".
"""

from typing import Annotated, Final

from msgspec import Meta, Struct, field

ADDRESS_PATTERN: Final = r"^([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$"
"""`host:port`; the port's range is checked when it is parsed."""

MULTIADDRESS_PATTERN: Final = r"^(/[a-z0-9]+/[A-Za-z0-9.:-]+)+$"

Role = Annotated[
    str,
    Meta(
        pattern="^(sequencer|full)$",
        description="sequencer: votes and signs with a stake. full: follows, verifies, serves.",
    ),
]
OptionalText = Annotated[str, Meta(max_length=4096)]
Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Addresses = Annotated[
    list[Annotated[str, Meta(pattern=MULTIADDRESS_PATTERN, max_length=256)]], Meta(max_length=64)
]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections."""


class NodeSection(Section, frozen=True, kw_only=True):
    """Who this node is and where it keeps its files."""

    home: Annotated[
        OptionalText, Meta(description="Folder of everything; empty: ~/.p2pseq/<network>.")
    ] = ""
    network: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            description="A preset of configs/networks, or the path of a network file.",
        ),
    ] = "regtest"
    role: Role = "full"
    genesis_file: Annotated[
        str, Meta(min_length=1, max_length=4096, description="Relative to home unless absolute.")
    ] = "genesis.json"
    keystore_file: Annotated[
        str, Meta(min_length=1, max_length=4096, description="Relative to home unless absolute.")
    ] = "keystore.json"
    password_file: Annotated[
        OptionalText,
        Meta(description="Holds the keystore's password; empty: systemd credential, or asked."),
    ] = ""
    signature_workers: Annotated[
        int, Meta(ge=0, le=64, description="Processes that check signatures; 0: none, slower.")
    ] = 1


class BitcoinSection(Section, frozen=True, kw_only=True):
    """The bitcoind (or embedded node) that this node asks. A cookie file, or user and password."""

    rpc_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^/@\s]+(/\S*)?$",
            max_length=512,
            description="Without user and password: a URL ends up in logs.",
        ),
    ] = "http://127.0.0.1:18443"
    cookie_file: Annotated[
        OptionalText, Meta(description="bitcoind's .cookie; relative to home unless absolute.")
    ] = ""
    user: Annotated[OptionalText, Meta(description="Only without a cookie file.")] = ""
    password: Annotated[OptionalText, Meta(description="Never shown.")] = ""
    poll_ms: Annotated[Milliseconds, Meta(description="How often the tip is asked for.")] = 500


class NetworkSection(Section, frozen=True, kw_only=True):
    """Peers."""

    listen: Annotated[
        str,
        Meta(
            pattern=MULTIADDRESS_PATTERN,
            max_length=256,
            description="Multiaddress to accept peers on; TCP only.",
        ),
    ] = "/ip4/0.0.0.0/tcp/9500"
    bootstrap: Annotated[
        Addresses, Meta(description="Multiaddresses (with /p2p/<id>) to join the network by.")
    ] = field(default_factory=list)
    connections: Annotated[
        int, Meta(ge=1, le=4_096, description="Open connections at most; 32 are kept for members.")
    ] = 128
    connections_per_address: Annotated[
        int,
        Meta(ge=1, le=4_096, description="Inbound ones per remote address; loopback is exempt."),
    ] = 16


class ApiSection(Section, frozen=True, kw_only=True):
    """The read and submit API."""

    listen: Annotated[
        str,
        Meta(
            pattern=f"^$|{ADDRESS_PATTERN}",
            description="host:port; empty: no API. It has no login: keep it on loopback.",
        ),
    ] = "127.0.0.1:9545"
    requests_max: Annotated[int, Meta(ge=1, le=65_536, description="Answered at one time.")] = 64
    body_bytes_max: Annotated[Count, Meta(description="Largest request body.")] = 4_194_304


class ConsensusSection(Section, frozen=True, kw_only=True):
    """Timers of the consensus. Only liveness depends on them; they need not agree between nodes."""

    leader_ms: Annotated[
        Milliseconds, Meta(description="Wait for a proposal. On one machine at least 1000.")
    ] = 1_000
    advance_ms: Annotated[
        Milliseconds, Meta(description="Wait for a view's certificate, from the same moment.")
    ] = 1_500
    require_ms: Annotated[
        Milliseconds,
        Meta(description="After it the leader of an unfinalised block adds an empty one."),
    ] = 400
    growth_percent: Annotated[
        int, Meta(ge=101, le=1_000, description="Growth of the delays per view without finality.")
    ] = 150
    patience_views: Annotated[
        int, Meta(ge=0, le=1_000, description="Views without finality before delays grow.")
    ] = 2
    cap_ms: Annotated[Milliseconds, Meta(description="No delay grows beyond this.")] = 60_000
    standstill_ms: Annotated[
        Milliseconds,
        Meta(description="Without finality for so long, everything unfinalised is said again."),
    ] = 3_000
    standstill_cap_ms: Annotated[
        Milliseconds, Meta(description="The period of saying it again doubles up to this.")
    ] = 15_000


class MempoolSection(Section, frozen=True, kw_only=True):
    """Limits of the waiting room."""

    transactions_max: Annotated[Count, Meta(description="Waiting transactions.")] = 50_000
    bytes_max: Annotated[Count, Meta(description="Their bytes together.")] = 33_554_432
    account_max: Annotated[Count, Meta(description="Waiting transactions of one account.")] = 1_024


class StakingSection(Section, frozen=True, kw_only=True):
    """The operator's own stake. Renewal spends the wallet: it is off where coins have a price."""

    auto_renew: Annotated[
        str,
        Meta(
            pattern="^(auto|on|off)$",
            description="Make the next stake by itself. auto: only over Bitcoin regtest.",
        ),
    ] = "auto"
    renew_epochs: Annotated[
        int,
        Meta(
            ge=3,
            le=1_000_000,
            description="A renewal begins when the stake ends within so many epochs.",
        ),
    ] = 24
    bond_sats: Annotated[
        int,
        Meta(
            ge=0,
            le=2_100_000_000_000_000,
            description="Value of the next bond; 0: the same as now. A newcomer joins with it.",
        ),
    ] = 0


class LogSection(Section, frozen=True, kw_only=True):
    """What the node says on stderr."""

    level: Annotated[
        str,
        Meta(
            pattern=r"^[a-z_*.]+(=[a-z]+)?(,[a-z_*.]+=[a-z]+)*$",
            max_length=512,
            description="debug, info, warning or error; per room: consensus=debug,*=info.",
        ),
    ] = "info"
    format: Annotated[
        str,
        Meta(
            pattern="^(auto|human|json)$",
            description="auto: human on a terminal, one JSON object per line when piped.",
        ),
    ] = "auto"


class MetricsSection(Section, frozen=True, kw_only=True):
    """Figures for Prometheus."""

    listen: Annotated[
        str,
        Meta(
            pattern=f"^$|{ADDRESS_PATTERN}",
            description="host:port of /metrics, /livez and /readyz; empty: off.",
        ),
    ] = ""


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of a node."""

    node: NodeSection = field(default_factory=NodeSection)
    bitcoin: BitcoinSection = field(default_factory=BitcoinSection)
    network: NetworkSection = field(default_factory=NetworkSection)
    api: ApiSection = field(default_factory=ApiSection)
    consensus: ConsensusSection = field(default_factory=ConsensusSection)
    mempool: MempoolSection = field(default_factory=MempoolSection)
    staking: StakingSection = field(default_factory=StakingSection)
    log: LogSection = field(default_factory=LogSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)


SECRET_KEYS: Final = frozenset({"bitcoin.password"})
"""Keys whose value is never shown."""

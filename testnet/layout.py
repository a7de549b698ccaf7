"""Where a testnet keeps its files and which ports it uses. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_FOLDER: Final = Path("testnet-data")
DEFAULT_PORT_BASE: Final = 9_500

BITCOIN_PORT_OFFSET: Final = 43
API_PORT_OFFSET: Final = 45
"""The first node of the default testnet has the ports that a node has by default."""

NODES_MAX: Final = 32
"""N_MAX of the presets; also what fits between the offsets."""

PORTS_USED: Final = API_PORT_OFFSET + NODES_MAX

BITCOIN: Final = "bitcoin"
"""Name of the Bitcoin process, beside seq0, seq1, ..."""

DEV_WALLETS: Final = ("alice", "bob")

if max(BITCOIN_PORT_OFFSET, NODES_MAX) >= API_PORT_OFFSET or NODES_MAX > BITCOIN_PORT_OFFSET:
    raise AssertionError("the port ranges of a testnet overlap")


@dataclass(frozen=True, slots=True)
class Layout:
    """Files and ports of one testnet."""

    folder: Path
    port_base: int

    @property
    def bitcoin_folder(self) -> Path:
        return self.folder / BITCOIN

    @property
    def cookie(self) -> Path:
        return self.bitcoin_folder / ".cookie"

    @property
    def bitcoin_port(self) -> int:
        return self.port_base + BITCOIN_PORT_OFFSET

    @property
    def bitcoin_url(self) -> str:
        return f"http://127.0.0.1:{self.bitcoin_port}"

    @property
    def faucet_file(self) -> Path:
        return self.folder / "faucet.json"

    def home(self, index: int) -> Path:
        return self.folder / node_name(index)

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def wallet(self, name: str) -> Path:
        return self.folder / "wallets" / f"{name}.json"

    def peer_port(self, index: int) -> int:
        return self.port_base + index

    def api_port(self, index: int) -> int:
        return self.port_base + API_PORT_OFFSET + index

    def api_url(self, index: int) -> str:
        return f"http://127.0.0.1:{self.api_port(index)}"

    def ports(self, nodes: int, with_bitcoin: bool) -> list[int]:
        """Every port that `nodes` nodes and their Bitcoin listen on."""
        used = [self.peer_port(index) for index in range(nodes)]
        used += [self.api_port(index) for index in range(nodes)]
        return [*used, self.bitcoin_port] if with_bitcoin else used


def node_name(index: int) -> str:
    return f"seq{index}"

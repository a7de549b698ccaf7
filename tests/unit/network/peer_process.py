"""A node in its own process: prints its address, counts and echoes what it is sent.

python -m tests.unit.network.peer_process NUMBER LISTEN [MEMBER_ADDRESS ...]
"""

import sys

import trio

from p2p_seq.network.addresses import split_address
from p2p_seq.network.libp2p_network import NetworkConfig, open_libp2p_network
from p2p_seq.network.types import Channel
from tests.unit.network.worlds import secret_of


async def main(number: int, listen: str, members: list[str]) -> None:
    config = NetworkConfig("test", listen=(listen,))
    async with open_libp2p_network(config, secret_of(number)) as node:
        await node.set_members(
            {peer: (address,) for address, peer in (split_address(text) for text in members)}
        )
        print(node.listen_addresses()[0], flush=True)
        async for received in node.inbox(Channel.CONSENSUS):
            node.send(received.peer, Channel.CONSENSUS, received.payload)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), sys.argv[2], sys.argv[3:])

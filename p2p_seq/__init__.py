"""p2p-seq: a peer-to-peer, decentralized sequencer network for Bitcoin rollups."""

__version__ = "0.1.0"

"""The node: one process that wires all rooms together, its configuration and its workers."""

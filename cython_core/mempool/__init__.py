"""The mempool's rules, compiled."""

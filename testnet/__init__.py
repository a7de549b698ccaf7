"""Local testnets: one embedded Bitcoin node and N sequencers, each its own process."""

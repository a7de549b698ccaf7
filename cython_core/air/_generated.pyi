def generated_digests() -> tuple[bytes, ...]:
    """`program_digest` of each table that this build has code for."""

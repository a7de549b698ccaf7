"""The proof system: prover, two independent verifiers, parameters and their security.

docs/proofs.md is the protocol. `verifier` is written from that page alone and in plain Python; the
compiled verifier is a second implementation of it. The prover and the verifiers never import each
other; what they share is the language of AIRs and its key (`cython_core/air`).
"""

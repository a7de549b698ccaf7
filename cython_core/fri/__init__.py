"""FRI: shows that values on a domain are near those of a polynomial of low degree.

`prover.prove_fri` commits, grinds and folds, on the kernels of `_fold`; `_reference` is its twin in
plain Python. The verifiers have their own half of it in `cython_core/stark` and share nothing with
the prover but the transcript and the check of commitments.
"""

"""Proofs of runs: from a program and a witness to a file, and back to what it shows."""

from collections.abc import Callable
from dataclasses import replace

from cython_core.stark.checking import Verify, check_proof, default_verifier, find_verifier
from cython_core.stark.codewords import Options
from cython_core.stark.proof import Proof
from cython_core.stark.prover import prove
from cython_core.vm.machine import DEFAULT_LIMITS, Limits
from cython_core.vm.program import Program
from cython_core.vm.run import Outcome
from cython_core.zkvm.run_trace import run_tables
from cython_core.zkvm.statement import NAME, RunStatement, run_proving_key, run_publics


def prove_run(
    program: Program,
    inputs: bytes = b"",
    signatures: bytes = b"",
    limits: Limits = DEFAULT_LIMITS,
    *,
    context: bytes = b"",
    options: Options | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[Proof, Outcome]:
    """Run the program and prove the run; the proof is bound to `context`, such as a payee.

    `progress` hears the cycles of the run, that of `options` what the prover does. Raises GuestTrap
    and UnprovableRun, ValueError for what cannot be set up, Cancelled when the options say so.
    """
    # Before the run, which may be long: not every program has a key.
    key = run_proving_key(program)
    tables = run_tables(program, inputs, signatures, limits, progress)
    matrices, outcome = tables.matrices, tables.outcome
    publics = run_publics(program, tables.statement)
    interactions = RunStatement(program).interactions(publics)
    del tables
    chosen = replace(options or Options(), consumes_tables=True)
    body = prove(key, matrices, publics, interactions, context, chosen)
    return Proof(NAME, context, tuple(publics), body), outcome


def verify_run(program: Program, proof: Proof, verify: Verify | None = None) -> bytes:
    """S, if the proof shows that the program runs to its end with it.

    `verify`: which verifier, by default the compiled one where it is built. Raises InvalidProof;
    ValueError for a program of which no run can be proven.
    """
    chosen = verify or find_verifier(default_verifier())
    assert chosen is not None
    statement = RunStatement(program)
    check_proof(proof, statement, chosen)
    return statement.statement_of(proof.publics)

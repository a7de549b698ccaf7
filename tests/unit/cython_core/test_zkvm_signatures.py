"""Signatures of BIP340 that are verified inside of a proof, by the guest `secp/verify.elf`."""

from dataclasses import replace

import pytest

from cython_core.air.check import check
from cython_core.stark.checking import VerifierName, find_verifier
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.vm.operations import Op
from cython_core.vm.program import load_elf
from cython_core.zkvm.proof import prove_run, verify_run
from cython_core.zkvm.run_trace import run_tables
from cython_core.zkvm.statement import RunStatement, run_publics
from cython_core.zkvm.system import run_system
from tests.unit.cython_core.secp_cases import (
    GUEST,
    Case,
    input_of,
    invalid,
    is_valid,
    official_valid,
    statement_of,
)
from tests.unit.cython_core.zkvm_cases import steps

PROGRAM = load_elf((GUEST / "secp/verify.elf").read_bytes())
CASES = {
    "valid": official_valid()["1"],
    "valid, all ones": official_valid()["3"],
    "s is off by 1": invalid()["s is off by 1"],
    "nonce with an odd y": invalid()["nonce with an odd y"],
    "infinite": invalid()["infinite, r of G"],
    "r not on the curve": invalid()["r not on the curve"],
    "key is p": invalid()["key is p"],
}
VERIFIERS = [name for name in VerifierName if find_verifier(name) is not None]
PRODUCTS, SUMS = (Op.MULP, Op.SQRP), (Op.ADDP, Op.SUBP, Op.COPY)
PRODUCTS_MAX, SUMS_MAX = 1700, 1250
"""Rows of one valid signature, on which the cost of its proof depends."""


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_proof_says_whether_a_signature_is_valid(case: Case) -> None:
    valid = is_valid(case)
    proof, outcome = prove_run(PROGRAM, input_of([case]))
    print(f"{outcome.cycles} rows, {len(proof.encode())} bytes")
    for name in VERIFIERS:
        assert verify_run(PROGRAM, proof, find_verifier(name)) == statement_of([case], valid)
    other = tuple(run_publics(PROGRAM, statement_of([case], not valid)))
    for name in VERIFIERS:
        with pytest.raises(InvalidProof) as caught:
            verify_run(PROGRAM, replace(proof, publics=other), find_verifier(name))
        assert caught.value.reason is not Reason.WRONG_KEY


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_tables_of_a_verification_satisfy_the_system(case: Case) -> None:
    tables = run_tables(PROGRAM, input_of([case]))
    publics = run_publics(PROGRAM, tables.statement)
    interactions = RunStatement(PROGRAM).interactions(publics)
    check(run_system(PROGRAM), tables.matrices, publics, interactions)


def test_rows_of_a_signature() -> None:
    ops = [Op(row[0] & 0x7F) for row in steps(PROGRAM, input_of([CASES["valid"]]))]
    assert sum(op in PRODUCTS for op in ops) < PRODUCTS_MAX
    assert sum(op in SUMS for op in ops) < SUMS_MAX

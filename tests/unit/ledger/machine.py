"""The same witness for the native program and for the ELF on the machine: they must agree."""

from cython_core.guest.program import ledger_program
from cython_core.ledger._ledger import LedgerFault, TransitionResult, run_transition
from cython_core.vm.errors import GuestTrap
from cython_core.vm.run import execute


def run_both(witness: bytes, answers: bytes) -> TransitionResult:
    """What both say. Raises LedgerFault when both refuse; never do they differ."""
    statement = machine_statement(witness, answers)
    try:
        result = run_transition(witness, answers)
    except LedgerFault as fault:
        assert statement is None, f"the machine takes what the program refuses ({fault})"
        raise
    assert statement == result.statement
    return result


def machine_statement(witness: bytes, answers: bytes) -> bytes | None:
    """S, or None when the run traps or leaves some of its witness, as nothing is proven then."""
    if len(witness) % 4:
        return None
    try:
        outcome = execute(ledger_program(), witness, answers)
    except GuestTrap:
        return None
    if 4 * outcome.inputs_read != len(witness):
        return None
    assert outcome.statement is not None
    return outcome.statement

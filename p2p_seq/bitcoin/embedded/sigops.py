"""Signature operations of a transaction, as consensus counts them against a block's budget.

Source: Bitcoin Core `GetTransactionSigOpCost`, `CScript::GetSigOpCount`, BIP16 and BIP141. The
engine enforces the budget of a block; a miner has to know the count to stay below it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from p2p_seq.bitcoin.script import Op, OutputKind, classify
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.bitcoin.wire import WITNESS_SCALE

MAX_BLOCK_SIGOPS_COST: Final = 80_000
"""Consensus budget of one block (BIP141)."""

_CHECK_MULTISIG: Final = (0xAE, 0xAF)
_CHECK_SIG: Final = (Op.CHECKSIG, Op.CHECKSIGVERIFY)
_MAX_MULTISIG_KEYS: Final = 20
_NUMBER_16: Final = 0x60


def operations(script: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Opcodes of a script with what they push; ends with (-1, None) where a push is cut short."""
    position = 0
    while position < len(script):
        opcode = script[position]
        position += 1
        length = 0
        if opcode < Op.PUSHDATA1:
            length = opcode
        elif opcode <= Op.PUSHDATA4:
            width = 1 << (opcode - Op.PUSHDATA1)
            length = int.from_bytes(script[position : position + width], "little")
            position += width
        if position + length > len(script):
            yield -1, None
            return
        yield opcode, script[position : position + length] if opcode <= Op.PUSHDATA4 else None
        position += length


def is_push_only(script: bytes) -> bool:
    """True when a script does nothing but push (every opcode up to OP_16 counts as a push)."""
    return all(0 <= opcode <= _NUMBER_16 for opcode, _ in operations(script))


def last_push(script: bytes) -> bytes:
    """What a push-only script leaves on top of the stack, as BIP16 reads it."""
    pushes = [element for _, element in operations(script)]
    return (pushes[-1] if pushes else None) or b""


def script_sigops(script: bytes, is_accurate: bool) -> int:
    """Signature operations of one script; multisig counts its keys only when `is_accurate`."""
    count = 0
    previous = -1
    for opcode, _ in operations(script):
        if opcode in _CHECK_SIG:
            count += 1
        elif opcode in _CHECK_MULTISIG:
            is_counted = is_accurate and Op.NUMBER_1 <= previous <= _NUMBER_16
            count += previous - Op.NUMBER_1 + 1 if is_counted else _MAX_MULTISIG_KEYS
        previous = opcode
    return count


def transaction_sigops_cost(transaction: Transaction, spent: Sequence[TxOut]) -> int:
    """The cost that a transaction takes from its block's budget; `spent` in order of the inputs."""
    legacy = sum(script_sigops(output.script, is_accurate=False) for output in transaction.outputs)
    legacy += sum(script_sigops(item.script_sig, is_accurate=False) for item in transaction.inputs)
    cost = legacy * WITNESS_SCALE
    for item, output in zip(transaction.inputs, spent, strict=True):
        cost += _input_cost(item, output.script)
    return cost


def _input_cost(item: TxIn, script: bytes) -> int:
    kind = classify(script)
    cost = 0
    if kind is OutputKind.P2SH and is_push_only(item.script_sig):
        script = last_push(item.script_sig)
        cost = WITNESS_SCALE * script_sigops(script, is_accurate=True)
        kind = classify(script)
    if kind is OutputKind.P2WPKH:
        return cost + 1
    if kind is OutputKind.P2WSH and item.witness:
        return cost + script_sigops(item.witness[-1], is_accurate=True)
    return cost

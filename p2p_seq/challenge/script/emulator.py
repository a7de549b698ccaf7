"""A plain interpreter of the opcodes of `opcodes.py`, for debugging and for measuring.

The judge is Bitcoin Core's engine (`p2p_seq.bitcoin.engine`); tests compare the two. What the
engine cannot tell is told here: where a script fails, what is on the stack, how many items it held
at most. Rules are those of consensus in tapscript: numbers of at most 4 bytes, minimal or not; IF
takes empty or the byte 1; at most 1,000 items; elements of at most 520 bytes; one true item at the
end."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from p2p_seq.bitcoin.script import encode_number
from p2p_seq.challenge.script.assembler import MAX_STACK_ITEMS
from p2p_seq.challenge.script.opcodes import MOVES, Opcode

MAX_ELEMENT_BYTES: Final = 520
MAX_NUMBER_BYTES: Final = 4


class ScriptFailure(Exception):
    """The script is false for this witness: where, and why."""


def decode_number(element: bytes) -> int:
    """What an opcode reads. Raises ScriptFailure for more than 4 bytes."""
    if len(element) > MAX_NUMBER_BYTES:
        raise ScriptFailure(f"number of {len(element)} bytes")
    if not element:
        return 0
    magnitude = int.from_bytes(element, "little")
    sign = 0x80 << (8 * (len(element) - 1))
    return -(magnitude ^ sign) if magnitude & sign else magnitude


def is_true(element: bytes) -> bool:
    """Zero and negative zero of any length are false."""
    return any(element[:-1]) or (bool(element) and element[-1] not in (0, 0x80))


def parse(script: bytes) -> list[tuple[int, bytes | None]]:
    """Instructions: an opcode, or an opcode and what it pushes."""
    instructions: list[tuple[int, bytes | None]] = []
    position = 0
    while position < len(script):
        code = script[position]
        position += 1
        if code > 0x4E:
            instructions.append((code, None))
            continue
        length = code
        if code > 0x4B:
            width = 1 << (code - 0x4C)
            length = int.from_bytes(script[position : position + width], "little")
            position += width
        element = script[position : position + length]
        if len(element) != length:
            raise ScriptFailure("push past the end")
        instructions.append((code, element))
        position += length
    return instructions


_NUMERIC: Final[dict[int, tuple[int, Callable[..., int]]]] = {
    Opcode.INCREMENT: (1, lambda a: a + 1),
    Opcode.DECREMENT: (1, lambda a: a - 1),
    Opcode.NEGATE: (1, lambda a: -a),
    Opcode.ABS: (1, abs),
    Opcode.NOT: (1, lambda a: a == 0),
    Opcode.NOTEQUAL0: (1, lambda a: a != 0),
    Opcode.ADD: (2, lambda a, b: a + b),
    Opcode.SUB: (2, lambda a, b: a - b),
    Opcode.BOOLAND: (2, lambda a, b: a != 0 and b != 0),
    Opcode.BOOLOR: (2, lambda a, b: a != 0 or b != 0),
    Opcode.NUMEQUAL: (2, lambda a, b: a == b),
    Opcode.NUMEQUALVERIFY: (2, lambda a, b: a == b),
    Opcode.NUMNOTEQUAL: (2, lambda a, b: a != b),
    Opcode.LESSTHAN: (2, lambda a, b: a < b),
    Opcode.GREATERTHAN: (2, lambda a, b: a > b),
    Opcode.LESSTHANOREQUAL: (2, lambda a, b: a <= b),
    Opcode.GREATERTHANOREQUAL: (2, lambda a, b: a >= b),
    Opcode.MIN: (2, min),
    Opcode.MAX: (2, max),
    Opcode.WITHIN: (3, lambda x, low, high: low <= x < high),
}


class Emulator:
    """One run of a script; `stack`, `alt` and `peak` can be looked at when it has ended or
    failed."""

    def __init__(self, script: bytes, witness: Sequence[bytes]) -> None:
        self._instructions = parse(script)
        self.stack = list(witness)
        self.alt: list[bytes] = []
        self.peak = len(self.stack)
        self._executing: list[bool] = []

    def run(self, steps: int | None = None) -> None:
        """Execute the first `steps` instructions, or all. Raises ScriptFailure."""
        for index, (code, element) in enumerate(self._instructions[:steps]):
            try:
                self._step(code, element)
            except (ScriptFailure, IndexError) as failure:
                what = str(failure) if isinstance(failure, ScriptFailure) else "too few items"
                raise ScriptFailure(f"instruction {index} ({code:#04x}): {what}") from failure
            total = len(self.stack) + len(self.alt)
            self.peak = max(self.peak, total)
            if total > MAX_STACK_ITEMS:
                raise ScriptFailure(f"instruction {index} ({code:#04x}): {total} items")

    def accepts(self) -> bool:
        """Whether the whole script leaves exactly one true item."""
        if self.peak > MAX_STACK_ITEMS or any(len(e) > MAX_ELEMENT_BYTES for e in self.stack):
            return False
        try:
            self.run()
        except ScriptFailure:
            return False
        return not self._executing and len(self.stack) == 1 and is_true(self.stack[0])

    def numbers(self) -> list[int]:
        """The stack as numbers, the deepest first."""
        return [decode_number(element) for element in self.stack]

    def _step(self, code: int, element: bytes | None) -> None:
        if code in (Opcode.IF, Opcode.NOTIF, Opcode.ELSE, Opcode.ENDIF):
            self._flow(code)
        elif not all(self._executing):
            return
        elif element is not None:
            if len(element) > MAX_ELEMENT_BYTES:
                raise ScriptFailure(f"element of {len(element)} bytes")
            self.stack.append(element)
        elif code == Opcode.NEGATIVE_1 or Opcode.NUMBER_1 <= code <= Opcode.NUMBER_16:
            self.stack.append(encode_number(code - Opcode.NUMBER_1 + 1))
        elif code in _NUMERIC:
            self._numeric(Opcode(code))
        elif code in MOVES:
            takes, leaves = MOVES[Opcode(code)]
            taken = [self.stack.pop() for _ in range(takes)][::-1]
            self.stack += [taken[index] for index in leaves]
        else:
            self._other(code)

    def _flow(self, code: int) -> None:
        if code in (Opcode.IF, Opcode.NOTIF):
            condition = False
            if all(self._executing):
                top = self.stack.pop()
                if top not in (b"", b"\x01"):
                    raise ScriptFailure(f"condition {top.hex()} is not minimal")
                condition = (top == b"\x01") is (code == Opcode.IF)
            self._executing.append(condition)
        elif not self._executing:
            raise ScriptFailure("no IF is open")
        elif code == Opcode.ELSE:
            self._executing[-1] = not self._executing[-1]
        else:
            self._executing.pop()

    def _numeric(self, code: Opcode) -> None:
        count, function = _NUMERIC[code]
        arguments = [decode_number(self.stack.pop()) for _ in range(count)][::-1]
        value = int(function(*arguments))
        if code != Opcode.NUMEQUALVERIFY:
            self.stack.append(encode_number(value))
        elif not value:
            raise ScriptFailure(f"{arguments[0]} is not {arguments[1]}")

    def _other(self, code: int) -> None:
        stack = self.stack
        if code in (Opcode.PICK, Opcode.ROLL):
            depth = decode_number(stack.pop())
            if not 0 <= depth < len(stack):
                raise ScriptFailure(f"item at depth {depth} of {len(stack)}")
            stack.append(stack.pop(-1 - depth) if code == Opcode.ROLL else stack[-1 - depth])
        elif code == Opcode.TOALTSTACK:
            self.alt.append(stack.pop())
        elif code == Opcode.FROMALTSTACK:
            stack.append(self.alt.pop())
        elif code == Opcode.DEPTH:
            stack.append(encode_number(len(stack)))
        elif code == Opcode.SIZE:
            stack.append(encode_number(len(stack[-1])))
        elif code == Opcode.VERIFY:
            _require(is_true(stack.pop()))
        elif code == Opcode.EQUAL:
            stack.append(b"\x01" if stack.pop() == stack.pop() else b"")
        elif code == Opcode.EQUALVERIFY:
            _require(stack.pop() == stack.pop())
        elif code in (Opcode.SHA256, Opcode.HASH160):
            digest = hashlib.sha256(stack.pop()).digest()
            is_short = code == Opcode.HASH160
            stack.append(hashlib.new("ripemd160", digest).digest() if is_short else digest)
        elif code != Opcode.NOP:
            raise ScriptFailure("opcode that no fraud leaf uses")


def _require(condition: bool) -> None:
    if not condition:
        raise ScriptFailure("false")

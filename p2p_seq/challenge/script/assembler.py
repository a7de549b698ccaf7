"""An assembler that knows what is on the stack.

A gadget is a function that writes into an `Assembler`. It fetches operands by name; the assembler
finds their depth and writes the shortest bytes. Names belong to items of the main stack; at most
one item has a given name, copies and computed items have none until `name` gives them one. Both
stacks are followed exactly through IF and ELSE, whose branches must leave the same heights: so the
peak is exact, and a gadget's docstring can say "stack in -> stack out" with the top on the right.

Consensus limits that matter here: stack and altstack together hold at most 1,000 items at any time,
the witness items from the start; numbers are at most 4 bytes when an opcode reads them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from p2p_seq.bitcoin.script import push, push_number
from p2p_seq.challenge.script.opcodes import COMPUTES, MOVES, Opcode, opcode

MAX_STACK_ITEMS: Final = 1000
"""Stack and altstack together, `MAX_STACK_SIZE` of Bitcoin Core's script.h."""

PEAK_GOAL: Final = 990
"""What every fraud leaf stays within (PROTOCOL.md section 3)."""

UNNAMED: Final = ""


@dataclass
class _Branch:
    """What is needed to follow one IF."""

    entry: tuple[list[str], list[str]]
    first: tuple[list[str], list[str]] | None = None


class Assembler:
    """A script in the making and the two stacks after it, for a witness of known items."""

    def __init__(self, witness: Iterable[str] = ()) -> None:
        """`witness`: names of the initial items, the deepest first."""
        self.stack: list[str] = list(witness)
        self.alt: list[str] = []
        self.peak = len(self.stack)
        self._script = bytearray()
        self._branches: list[_Branch] = []
        self._check_names()

    @property
    def script(self) -> bytes:
        if self._branches:
            raise ValueError("an IF is open")
        return bytes(self._script)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self._script)

    @property
    def height(self) -> int:
        """Items on the main stack."""
        return len(self.stack)

    def depth(self, name: str) -> int:
        """How many items lie above the item of this name."""
        stack = self.stack
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] == name != UNNAMED:
                return len(stack) - 1 - index
        raise ValueError(f"no item {name!r} on the stack")

    def number(self, value: int, name: str = UNNAMED) -> None:
        """... -> ... value"""
        self._script += push_number(value)
        self._push(name)

    def element(self, value: bytes, name: str = UNNAMED) -> None:
        """... -> ... value, for bytes that are no number"""
        self._script += push(value)
        self._push(name)

    def ops(self, words: str) -> None:
        """Opcodes by their words, in order. IF, ROLL and the altstack have methods of their own."""
        for word in words.split():
            self._op(opcode(word))

    def _op(self, code: Opcode) -> None:
        self._script.append(code)
        stack = self.stack
        if code in MOVES:
            takes, leaves = MOVES[code]
            self._require(takes)
            taken = stack[len(stack) - takes :]
            del stack[len(stack) - takes :]
            seen: set[int] = set()
            for index in leaves:
                stack.append(UNNAMED if index in seen else taken[index])
                seen.add(index)
        else:
            takes, count = COMPUTES[code]
            self._require(takes)
            del stack[len(stack) - takes :]
            stack += [UNNAMED] * count
        self._note_peak()

    def name(self, name: str, depth: int = 0) -> None:
        """Give the item at `depth` a name; writes nothing."""
        if name != UNNAMED and name in self.stack:
            raise ValueError(f"two items {name!r}")
        self.stack[-1 - depth] = name

    def rename_top(self, names: Sequence[str]) -> None:
        """Name the top items, the deepest first, whatever their names were; writes nothing."""
        self.stack[len(self.stack) - len(names) :] = [UNNAMED] * len(names)
        for depth, name in enumerate(reversed(names)):
            self.name(name, depth)

    def pick(self, name: str) -> None:
        """... name ... -> ... name ... copy"""
        depth = self.depth(name)
        if depth == 0:
            self._script.append(Opcode.DUP)
        elif depth == 1:
            self._script.append(Opcode.OVER)
        else:
            self._script += push_number(depth)
            self._script.append(Opcode.PICK)
        self._push(UNNAMED)

    def roll(self, name: str) -> None:
        """... name ... -> ... ... name"""
        depth = self.depth(name)
        if depth == 1:
            self._script.append(Opcode.SWAP)
        elif depth == 2:
            self._script.append(Opcode.ROT)
        elif depth:
            self._script += push_number(depth)
            self._script.append(Opcode.ROLL)
            self._note_peak(spare=1)
        self.stack.append(self.stack.pop(-1 - depth))

    def roll_all(self, names: Iterable[str]) -> None:
        """Bring items to the top, the first one deepest."""
        for name in names:
            self.roll(name)

    def drop(self, count: int = 1) -> None:
        """Drop the top items."""
        self.ops(" ".join(["2DROP"] * (count // 2) + ["DROP"] * (count % 2)))

    def to_alt(self) -> None:
        """... x -> ...; altstack ... -> ... x"""
        self._require(1)
        self._script.append(Opcode.TOALTSTACK)
        self.alt.append(self.stack.pop())

    def from_alt(self, name: str | None = None) -> str:
        """altstack ... x -> ...; ... -> ... x, with its old name unless a new one is given; its
        name"""
        if not self.alt:
            raise ValueError("nothing on the altstack")
        self._script.append(Opcode.FROMALTSTACK)
        old = self.alt.pop()
        self.stack.append(UNNAMED)
        self.name(old if name is None else name)
        self._note_peak()
        return self.stack[-1]

    def begin_if(self, negated: bool = False) -> None:
        """... condition -> ...; the condition must be empty or the byte 1 (MINIMALIF)"""
        self._require(1)
        self._script.append(Opcode.NOTIF if negated else Opcode.IF)
        self.stack.pop()
        self._branches.append(_Branch((self.stack.copy(), self.alt.copy())))

    def otherwise(self) -> None:
        """ELSE: the stacks are those at the IF again."""
        branch = self._branches[-1]
        if branch.first is not None:
            raise ValueError("a second ELSE")
        self._script.append(Opcode.ELSE)
        branch.first = (self.stack, self.alt)
        self.stack, self.alt = branch.entry[0].copy(), branch.entry[1].copy()

    def end_if(self) -> None:
        """ENDIF: both ways must leave the same heights. A name survives if both ways agree."""
        branch = self._branches.pop()
        self._script.append(Opcode.ENDIF)
        first = branch.entry if branch.first is None else branch.first
        self.stack = _joined(first[0], self.stack)
        self.alt = _joined(first[1], self.alt)

    def _push(self, name: str) -> None:
        self.stack.append(UNNAMED)
        if name != UNNAMED:
            self.name(name)
        self._note_peak()

    def _require(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError(f"{len(self.stack)} items on the stack, {count} are needed")

    def _note_peak(self, spare: int = 0) -> None:
        self.peak = max(self.peak, len(self.stack) + len(self.alt) + spare)

    def _check_names(self) -> None:
        named = [name for name in self.stack if name != UNNAMED]
        if len(named) != len(set(named)):
            raise ValueError("two witness items have one name")


def _joined(first: list[str], second: list[str]) -> list[str]:
    if len(first) != len(second):
        raise ValueError(f"one branch leaves {len(first)} items, the other {len(second)}")
    return [a if a == b else UNNAMED for a, b in zip(first, second, strict=True)]

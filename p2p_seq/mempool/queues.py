"""A waiting transaction, and the waiting transactions of one sender in nonce order."""


class Entry:
    """A waiting transaction. Mutable bookkeeping; the transaction itself never changes."""

    __slots__ = (
        "born",
        "cost",
        "cycles",
        "encoded",
        "fee",
        "is_alive",
        "is_local",
        "kind",
        "nonce",
        "rate",
        "sender",
        "sequence",
        "txid",
    )

    def __init__(
        self, txid: bytes, sender: bytes, kind: int, nonce: int, fee: int, amount: int
    ) -> None:
        self.txid = txid
        self.sender = sender
        self.kind = kind
        self.nonce = nonce
        self.fee = fee
        self.cost = fee + amount
        """Satoshi that the sender's balance must cover."""
        self.rate = 0
        """Tip per cycle in millionths of a satoshi: the order of selection."""
        self.cycles = 0
        self.encoded = b""
        self.sequence = 0
        """Order of arrival; earlier first among equal rates."""
        self.born = 0
        """Finalised height at admission."""
        self.is_local = False
        """Submitted here, so that this node answers for its spread."""
        self.is_alive = True


class SenderQueue:
    """Waiting transactions of one sender. Holes in the nonces are allowed; the gapless part
    counts.
    """

    __slots__ = ("account_nonce", "balance", "by_nonce", "cost", "end", "generation", "top")

    def __init__(self, balance: int, account_nonce: int, generation: int) -> None:
        self.balance = balance
        self.account_nonce = account_nonce
        """Nonce of the next transaction to execute, in the finalised state."""
        self.generation = generation
        """State generation at which balance and nonce were read."""
        self.by_nonce: dict[int, Entry] = {}
        self.cost = 0
        """Sum of the entries' costs."""
        self.end = account_nonce
        """First nonce from `account_nonce` on that nobody here has: the end of the gapless part."""
        self.top = account_nonce - 1
        """Highest nonce of an entry."""

    def add(self, entry: Entry) -> None:
        """Insert; the nonce must be free and not executed."""
        nonce = entry.nonce
        self.by_nonce[nonce] = entry
        self.cost += entry.cost
        self.top = max(self.top, nonce)
        if nonce == self.end:
            self._extend_end()

    def remove(self, entry: Entry) -> None:
        nonce = entry.nonce
        del self.by_nonce[nonce]
        self.cost -= entry.cost
        if self.account_nonce <= nonce < self.end:
            self.end = nonce
        if nonce == self.top:
            top = nonce - 1
            while self.by_nonce and top not in self.by_nonce:
                top -= 1
            self.top = top

    def advance(self, balance: int, account_nonce: int, generation: int) -> None:
        """Take over the account of a newer state. Entries below the nonce must be removed first."""
        self.balance = balance
        self.account_nonce = account_nonce
        self.generation = generation
        self.end = account_nonce
        self._extend_end()

    def _extend_end(self) -> None:
        end = self.end
        by_nonce = self.by_nonce
        while end in by_nonce:
            end += 1
        self.end = end

    def stale(self, account_nonce: int) -> list[Entry]:
        """Entries whose nonce is executed in a state where the account's is `account_nonce`."""
        by_nonce = self.by_nonce
        executed = account_nonce - self.account_nonce
        if executed < len(by_nonce):
            passed = (by_nonce.get(nonce) for nonce in range(self.account_nonce, account_nonce))
            return [entry for entry in passed if entry is not None]
        # A re-created account's nonces start far above the old ones.
        return [entry for nonce, entry in by_nonce.items() if nonce < account_nonce]

    @property
    def last(self) -> Entry:
        """The entry with the highest nonce."""
        return self.by_nonce[self.top]

    @property
    def head(self) -> Entry | None:
        """The entry that can be executed next in the finalised state."""
        return self.by_nonce.get(self.account_nonce)

"""What verifiers are asked in tests, and the answer on which they must agree."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from cython_core.air.table import PublicInteraction
from cython_core.stark import verifier
from cython_core.stark.checking import VerifierName, find_verifier
from cython_core.stark.errors import InvalidProof, Reason
from tests.support.cheating_provers import forgetful_verifier
from tests.support.reference_prover import Prover
from tests.support.reference_systems import Case

VERIFIERS: Final = [found for name in VerifierName if (found := find_verifier(name))]


@dataclass(frozen=True)
class Claim:
    """All arguments of a verifier."""

    key: bytes
    publics: tuple[int, ...]
    interactions: tuple[PublicInteraction, ...]
    context: bytes
    proof: bytes

    def reason(self) -> Reason | None:
        """What all verifiers say, with one voice. None if they accept."""
        (reason,) = {self.asked_of(verify) for verify in VERIFIERS}
        return reason

    def asked_of(self, verify: Callable[..., None]) -> Reason | None:
        try:
            verify(self.key, self.publics, self.interactions, self.context, self.proof)
        except InvalidProof as error:
            return error.reason
        return None

    def asked_of_forgetful(self, forgotten: str, monkeypatch: pytest.MonkeyPatch) -> Reason | None:
        """What the Python verifier would say if it forgot the messages of a label."""
        with monkeypatch.context() as patch:
            patch.setattr(verifier, "Transcript", forgetful_verifier(forgotten))
            return self.asked_of(verifier.verify)


def claim_of(case: Case, prover: Prover | None = None) -> Claim:
    """The case proven, by the honest reference prover or by another."""
    interactions = tuple(
        PublicInteraction(i.bus, i.multiplicity, i.elements) for i in case.interactions
    )
    prover = prover or Prover(case.key, case.publics)
    proof = prover.prove(case.mains, case.preprocessed, case.interactions, case.context)
    return Claim(case.key, case.publics, interactions, case.context, proof)

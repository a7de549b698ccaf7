"""Submitted bytes: two spellings in, one outcome for each transaction out."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from p2p_seq.api.problems import ApiProblem
from p2p_seq.api.types import NodeView, Submission, SubmissionReport
from p2p_seq.mempool.types import REJECTION_HELP, Outcome, Rejection
from p2p_seq.protocol.errors import CodecError, RemoteError
from p2p_seq.protocol.transactions import TRANSACTION_BYTES_MAX, SignedTransaction

JSON_COUNT_MAX: Final = 1_000
"""Transactions of one JSON submission; larger ones are sent as bytes."""


class JsonSubmission(msgspec.Struct, forbid_unknown_fields=True):
    """`{"transactions": [hex, ...]}`."""

    transactions: list[str]


_DECODER: Final = msgspec.json.Decoder(JsonSubmission)


def submissions_of(outcomes: Iterable[Outcome]) -> list[Submission]:
    """The API's words for the mempool's outcomes."""
    return [_submission(outcome.txid.hex(), outcome.rejection) for outcome in outcomes]


def _submission(txid: str | None, rejection: Rejection | None) -> Submission:
    if rejection is None:
        return Submission(txid=txid, accepted=True, reason=None, why=None, do=None)
    why, do = REJECTION_HELP[rejection]
    return Submission(txid=txid, accepted=False, reason=rejection.value, why=why, do=do)


def report_of(items: Sequence[Submission]) -> SubmissionReport:
    accepted = sum(item.accepted for item in items)
    return SubmissionReport(accepted=accepted, rejected=len(items) - accepted, items=list(items))


async def submit_binary(view: NodeView, body: bytes) -> SubmissionReport:
    """Concatenated canonical transactions. Raises ApiProblem when they are refused as a whole."""
    if not body:
        raise ApiProblem(400, "nothing was submitted", "the body is empty", "send transactions")
    try:
        return report_of(await view.submit(body))
    except RemoteError as error:
        raise ApiProblem(
            400,
            "the submission is refused as a whole",
            str(error),
            "send concatenated canonical transactions, as many as one submission may hold",
        ) from error


async def submit_json(view: NodeView, body: bytes) -> SubmissionReport:
    """Hexadecimal transactions; one that is malformed does not spoil the others."""
    try:
        texts = _DECODER.decode(body).transactions
    except msgspec.MsgspecError as error:
        raise ApiProblem(
            400,
            "the body is not a submission",
            str(error),
            'send {"transactions": ["<hex>", ...]}',
        ) from error
    if not 1 <= len(texts) <= JSON_COUNT_MAX:
        raise ApiProblem(
            400,
            "the submission has a wrong number of transactions",
            f"{len(texts)} is not in [1, {JSON_COUNT_MAX}]",
            "send larger batches as application/octet-stream",
        )
    encoded = [_decoded(text) for text in texts]
    payload = b"".join(one for one in encoded if one is not None)
    answers = iter((await submit_binary(view, payload)).items if payload else [])
    malformed = _submission(None, Rejection.MALFORMED)
    return report_of([malformed if one is None else next(answers) for one in encoded])


def _decoded(text: str) -> bytes | None:
    """The bytes of one transaction, or None when it is none."""
    if len(text) > 2 * TRANSACTION_BYTES_MAX:
        return None
    try:
        encoded = bytes.fromhex(text)
        SignedTransaction.decode(encoded)
    except (ValueError, CodecError):
        return None
    return encoded

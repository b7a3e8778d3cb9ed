"""The envelopes that AWS puts around an event on its way into a queue, told apart by their fields.

SNS: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html; EventBridge:
https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html; S3:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html; Lambda destinations:
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

_SHOWN = 3
_S3_POINTERS = (
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    "com.amazon.sqs.javamessaging.MessageS3Pointer",
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope: its name, what it says in one line, what is inside (None: nothing further), and a failure it names.

    `inner` is text that was carried as a string, or a JSON value.
    """

    name: str
    note: str = ""
    inner: Any = None
    error: str | None = None


def open_envelope(found: Any) -> Envelope | None:
    """The envelope that a parsed JSON value is, None when it is none that is known. Never raises."""
    for known in _KNOWN:
        try:
            envelope = known(found)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError):
            continue  # nearly one: a field is missing or of another type
        if envelope is not None:
            return envelope
    return None


def _sns(found: Any) -> Envelope | None:
    if found["Type"] not in ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"):
        return None
    topic, message = str(found["TopicArn"]), found["Message"]
    subject = found.get("Subject")
    note = f"topic {topic.rsplit(':', 1)[-1]}" + (f", subject {subject}" if subject else "")
    kind = "SNS notification" if found["Type"] == "Notification" else f"SNS {found['Type']}"
    return Envelope(kind, note, message if isinstance(message, str) else None)


def _event_bridge(found: Any) -> Envelope | None:
    kind, source, detail = found["detail-type"], found["source"], found["detail"]
    if not isinstance(kind, str) or not isinstance(source, str):
        return None
    return Envelope("EventBridge event", f"{kind} from {source}", detail)


def _lambda_destination(found: Any) -> Envelope | None:
    context, payload = found["requestContext"], found["requestPayload"]
    function = str(context["functionArn"]).split(":function:")[-1]
    condition = str(context.get("condition", ""))
    answer = found.get("responsePayload")
    error = None
    if isinstance(answer, dict) and (answer.get("errorMessage") or answer.get("errorType")):
        error = ": ".join(str(answer[key]) for key in ("errorType", "errorMessage") if answer.get(key))
    times = context.get("approximateInvokeCount")
    note = f"function {function}" + (f", {condition}" if condition else "")
    note += f" after {times} invocations" if isinstance(times, int) and times > 1 else ""
    failed = condition not in ("", "Success")
    return Envelope("Lambda failure" if failed else "Lambda result", note, payload, error if failed else None)


def _lambda_stream(found: Any) -> Envelope | None:
    """A stream batch that Lambda gave up on: only where it lies is told, not what it held."""
    info = found["KinesisBatchInfo"] if "KinesisBatchInfo" in found else found["DDBStreamBatchInfo"]
    context = found["requestContext"]
    function = str(context["functionArn"]).split(":function:")[-1]
    note = (
        f"function {function}, {context.get('condition', 'failed')}: {info.get('batchSize', 'some')} records of "
        f"shard {info.get('shardId')}, sequence {info.get('startSequenceNumber')} to {info.get('endSequenceNumber')}; "
        "the records themselves stay in the stream"
    )
    return Envelope("Lambda stream failure", note, error=str(context.get("condition") or "") or None)


def _records(found: Any) -> Envelope | None:
    records = found["Records"]
    first = records[0]
    source = first.get("eventSource") or first.get("EventSource")
    if source == "aws:s3":
        said = []
        for record in records[:_SHOWN]:
            at, s3 = record["eventName"], record["s3"]
            # Keys are form-encoded in notifications: a blank is a plus sign.
            said.append(f"{at} {s3['bucket']['name']}/{unquote_plus(str(s3['object']['key']))}")
        more = f" and {len(records) - _SHOWN:,} more" if len(records) > _SHOWN else ""
        return Envelope("S3 event", "; ".join(said) + more)
    if source == "aws:sqs" and len(records) == 1:
        return Envelope("SQS event", f"from {str(first.get('eventSourceARN', '')).rsplit(':', 1)[-1]}", first["body"])
    if source == "aws:sns" and len(records) == 1:
        return Envelope(
            "SNS event", f"topic {str(first['Sns']['TopicArn']).rsplit(':', 1)[-1]}", first["Sns"]["Message"]
        )
    return None


def _s3_test(found: Any) -> Envelope | None:
    if found["Service"] == "Amazon S3" and found["Event"] == "s3:TestEvent":
        return Envelope("S3 test event", f"bucket {found.get('Bucket')}")
    return None


def _cloud_event(found: Any) -> Envelope | None:
    if not isinstance(found["specversion"], str):
        return None
    inner = found["data"] if "data" in found else found["data_base64"]
    return Envelope("CloudEvent", f"{found['type']} from {found['source']}", inner)


def _s3_pointer(found: Any) -> Envelope | None:
    """What the SQS extended client library leaves of a body that it put into S3."""
    if isinstance(found, list) and len(found) == 2 and found[0] in _S3_POINTERS:
        where = f"{found[1]['s3BucketName']}/{found[1]['s3Key']}"
        return Envelope("S3 pointer", f"the body lies in S3: {where}")
    return None


_KNOWN: Final[tuple[Callable[[Any], Envelope | None], ...]] = (
    _sns, _event_bridge, _lambda_destination, _lambda_stream, _records, _s3_test, _cloud_event, _s3_pointer,
)  # fmt: skip

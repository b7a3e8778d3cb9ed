"""A shorter way through botocore for the four calls that a redrive makes by the thousand.

Such a call is built, signed and sent by botocore as ever, its hooks included. Its parameters are written here, for they
are JSON as they are, where botocore walks its model of the call. What comes back is read here when it is a plain
success, which it nearly always is: JSON straight to a dict, where botocore walks its model of the answer and weighs a
retry. Everything else is left to botocore: its parser reads every other answer, and a read that failed is asked again
the whole way, with botocore's retries. A send is never made twice.

Measured, for the three calls of a batch of ten in loops of 4 to 24 threads: 4.6 to 5.4 ms of CPU time instead of 7.0 to
8.7; what is left is mostly signing and HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

CALLS = ("ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")

_NEEDS_THE_MODEL = (b"BinaryValue", b"null")
"""In an answer that holds one of these botocore has something to change: base64 to bytes, or a null to leave out."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def shorten(client: Any, *, sends: bool) -> None:
    """Let a boto3 SQS client take the shorter way for `CALLS`; one that `sends` never asks a second time.

    A client that does not speak SQS's JSON protocol (a model older than 2023) stays as it is.
    """
    if client.meta.service_model.metadata.get("protocol") != "json":
        return
    client._serializer = _Serializer(client._serializer)
    endpoint = client._endpoint
    call: Callable[..., Any] = _send if sends else _read

    def before_call(model: Any, params: dict[str, Any], **_: Any) -> Any:
        return call(endpoint, client.meta.events, model, params)

    for name in CALLS:
        client.meta.events.register(f"before-call.sqs.{name}", before_call)


class _Serializer:
    """botocore's serializer of a client, but for the body of `CALLS`."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole
        self._bare: dict[str, dict[str, Any]] = {}

    def serialize_to_request(self, parameters: dict[str, Any], operation_model: Any) -> dict[str, Any]:
        """Path, method, headers and body of a request, as botocore's."""
        name = operation_model.name
        if name not in CALLS:
            return self._all(parameters, operation_model)
        try:
            body = _encode(parameters)  # bytes become base64, as SQS's model says
        except UnicodeEncodeError:  # half a surrogate pair, which is JSON to Python alone
            return self._all(parameters, operation_model)
        bare = self._bare.get(name)
        if bare is None:
            bare = self._bare[name] = self._all({}, operation_model)
        return {**bare, "headers": dict(bare["headers"]), "body": body}

    def _all(self, parameters: dict[str, Any], operation_model: Any) -> dict[str, Any]:
        serialized: dict[str, Any] = self._whole.serialize_to_request(parameters, operation_model)
        return serialized


def _send(endpoint: Any, events: Any, model: Any, params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """One call, made once: the HTTP response and what it says. Raises botocore's exceptions."""
    http = _roundtrip(endpoint, events, model, params)
    return http, _parsed(http) or _by_the_model(http, events, model)


def _read(endpoint: Any, events: Any, model: Any, params: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """As `_send`; None where botocore is to ask again the whole way. Who has waited in vain once does not do so again.

    Raises botocore's exceptions for timeouts.
    """
    from botocore.exceptions import ConnectionError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError

    try:
        http = _roundtrip(endpoint, events, model, params)
    except (ConnectTimeoutError, ReadTimeoutError):
        raise
    except (ConnectionError, HTTPClientError):
        return None
    if http.status_code != 200:
        return None
    return http, _parsed(http) or _by_the_model(http, events, model)


def _roundtrip(endpoint: Any, events: Any, model: Any, params: dict[str, Any]) -> Any:
    from botocore.hooks import first_non_none_response

    request = endpoint.create_request(params, model)
    answered = first_non_none_response(events.emit(f"before-send.sqs.{model.name}", request=request))
    return endpoint.http_session.send(request) if answered is None else answered


def _parsed(http: Any) -> dict[str, Any] | None:
    """A plain success as botocore's parser would give it; None for everything else."""
    content: bytes = http.content
    if http.status_code != 200 or any(word in content for word in _NEEDS_THE_MODEL):
        return None
    try:
        parsed = _decode(content)
    except msgspec.DecodeError:
        return None
    parsed["ResponseMetadata"] = {"HTTPStatusCode": 200, "RetryAttempts": 0}
    return parsed


def _by_the_model(http: Any, events: Any, model: Any) -> dict[str, Any]:
    from botocore.endpoint import convert_to_response_dict
    from botocore.parsers import create_parser

    told = convert_to_response_dict(http, model)
    events.emit(
        f"before-parse.sqs.{model.name}", operation_model=model, response_dict=told, customized_response_dict={}
    )
    parser = create_parser(model.service_model.metadata["protocol"])
    parsed: dict[str, Any] = parser.parse(told, model.output_shape)
    return parsed

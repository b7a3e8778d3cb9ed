"""boto3 clients for SQS and CloudWatch, and what their errors mean in one line.

Reads retry (few times, bounded); sends never do: an answer that was lost must reach the journal, not be hidden by a
second send. On a loopback endpoint (an emulator, the demo) nothing needs to be configured: credentials and region get
stand-ins when there are none, and neither a proxy nor the instance metadata service is asked.
"""

from __future__ import annotations

import ipaddress
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from console.config import SqsSettings
from console.errors import Denied, Failed, LogqError, NotFound, Unreachable, UsageError
from console.sqs.price import Meter
from console.sqs.shortcut import shorten

if TYPE_CHECKING:
    from botocore.loaders import Loader
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_sqs import SQSClient

READ_ATTEMPTS = 2
POOL_CONNECTIONS = 32
_STAND_IN = "logq"
_STAND_IN_REGION = "us-east-1"
_REGION_REMEDY = "add --region NAME, set AWS_REGION, or put region into the profile"

_DENIED = {
    "AccessDenied", "AccessDeniedException", "AuthFailure", "KmsAccessDenied", "KMS.AccessDeniedException",
    "UnauthorizedOperation", "OptInRequired", "AWS.SimpleQueueService.AccessDenied",
}  # fmt: skip
_BAD_CREDENTIALS = {
    "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId",
    "MissingAuthenticationToken", "IncompleteSignature", "InvalidSecurity",
}  # fmt: skip
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_NO_QUEUE = {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue"}
_CLOCK = {"RequestTimeTooSkewed", "RequestInTheFuture"}
THROTTLES = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
    "TooManyRequestsException", "RequestLimitExceeded", "SlowDown", "KmsThrottled", "KMS.ThrottlingException",
}  # fmt: skip


def is_loopback(endpoint_url: str | None) -> bool:
    """Whether an endpoint is on this machine (localhost, 127.0.0.0/8, ::1)."""
    host = urlsplit(endpoint_url).hostname if endpoint_url else None
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_settings(settings: SqsSettings) -> None:
    """Raise `UsageError` for an endpoint URL that is none; imports and connects nothing."""
    if settings.endpoint_url is None:
        return
    try:
        parts = urlsplit(settings.endpoint_url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"the endpoint URL {settings.endpoint_url!r} is wrong; it looks like http://127.0.0.1:9324")


def sqs_client(settings: SqsSettings, timeout: float, *, sends: bool = False, meter: Meter | None = None) -> SQSClient:
    """A boto3 SQS client; `sends` gives one whose retries are off. `timeout` (seconds) bounds each wait for an answer.

    `meter` counts every HTTP request, retries included. Raises `UsageError` (no region, unknown profile, bad endpoint
    URL).
    """
    client = _client("sqs", settings, timeout, 1 if sends else READ_ATTEMPTS, settings.endpoint_url)
    shorten(client, sends=sends)
    client.meta.events.register("before-parse.sqs", _require_sqs_answer)
    if meter is not None:
        counting = meter

        def answered(http_response: Any, **_: Any) -> None:
            body = http_response.content
            counting.received(len(body), fifo=b'"SequenceNumber"' in body)

        client.meta.events.register("before-send.sqs", lambda request, **_: counting.sent(request.body or b""))
        client.meta.events.register("after-call.sqs.ReceiveMessage", answered)
    sqs: SQSClient = client
    return sqs


def _require_sqs_answer(response_dict: Any, **_: Any) -> None:
    """Raise `ValueError` for a success that SQS never gives, naming what it is; `words` says what to do about it.

    botocore reads any page with status 200 as an empty answer ("no queues" would be a lie), and fails in the middle of
    its parser where JSON is no object.
    """
    if response_dict["status_code"] >= 300:
        return
    body = response_dict["body"].lstrip()[:1]
    if "html" in str(response_dict["headers"].get("content-type", "")) or body == b"<":
        raise ValueError("a web page")
    if body not in (b"", b"{"):
        raise ValueError("no JSON object")


def cloudwatch_client(settings: SqsSettings, timeout: float) -> CloudWatchClient:
    """A boto3 CloudWatch client of the same account and region. Raises as `sqs_client`."""
    client: CloudWatchClient = _client("cloudwatch", settings, timeout, 1, settings.cloudwatch_endpoint_url)
    return client


@cache
def _loader(data_path: str | None) -> Loader:
    """What reads the models of AWS's services. One for all clients: each would parse them anew, for 50 ms and more."""
    from botocore.loaders import create_loader

    return create_loader(data_path)


def _client(service: str, settings: SqsSettings, timeout: float, attempts: int, endpoint_url: str | None) -> Any:
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    local = is_loopback(endpoint_url)
    try:
        core = botocore.session.Session(profile=settings.aws_profile)
        config = Config(
            connect_timeout=min(3.0, timeout),
            read_timeout=timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=POOL_CONNECTIONS,
            # A fifth of a call's CPU time. What is sent here is made by this program, not by its user.
            parameter_validation=False,
            tcp_keepalive=True,
            # Else botocore puts a longer one together, twice a call.
            user_agent=f"Boto3/{boto3.__version__}",
            user_agent_extra="logq",
            proxies={} if local else None,
        )
        core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
        keys: dict[str, str] = {}
        region = settings.region
        if local:
            # The metadata service of a cloud machine is no part of talking to a server on this machine.
            core.get_component("credential_provider").remove("iam-role")
            if core.get_credentials() is None:
                keys = {"aws_access_key_id": _STAND_IN, "aws_secret_access_key": _STAND_IN}
            region = region or core.get_config_variable("region") or _STAND_IN_REGION
        session = boto3.Session(botocore_session=core, region_name=region)
        options: dict[str, Any] = {"config": config, **keys}
        if endpoint_url is not None:
            options["endpoint_url"] = endpoint_url
        return session.client(service, **options)  # type: ignore[call-overload]
    except (BotoCoreError, ValueError) as error:
        raise words(error, "set up the SQS client", settings) from None


def code(error: BaseException) -> str:
    """The other side's own short name for an error ("AccessDenied"), or the exception's class name."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        name = str(response.get("Error", {}).get("Code", ""))
        return name.rsplit("#", 1)[-1] or f"HTTP {status(error)}"
    return type(error).__name__


def status(error: BaseException) -> int | None:
    """The HTTP status of a service's error answer, None for every other error."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return None
    found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return int(found) if found is not None else None


def is_call_level(error: BaseException) -> bool:
    """Whether a service's error is about the caller or the queue (permission, credentials, no queue), not a message."""
    name = code(error)
    known = _DENIED | _BAD_CREDENTIALS | _EXPIRED | _NO_QUEUE
    return name in known or name.startswith(("KMS.", "Kms")) or status(error) == 403


def passing(error: BaseException) -> bool:
    """Whether what stands in the way may pass by itself or by somebody's help: worth waiting for and asking again.

    A server that is away, slow, failing or asks to slow down; credentials that have expired; a clock that is wrong.
    """
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        name = code(error)
        return name in THROTTLES | _EXPIRED | _CLOCK or (status(error) or 0) >= 500 or _skewed(error)
    away = (
        boto.ConnectionError,
        boto.HTTPClientError,
        boto.CredentialRetrievalError,
        boto.SSOError,
        boto.TokenRetrievalError,
    )
    return isinstance(error, (*away, Unreachable))


def _skewed(error: Any) -> bool:
    """Whether a signature was refused for its time: SQS then says "Signature expired" or "not yet current"."""
    said = str(error.response.get("Error", {}).get("Message") or "").lower()
    return code(error) in _CLOCK or "signature expired" in said or "signature not yet current" in said


def words(error: BaseException, doing: str, settings: SqsSettings) -> LogqError:
    """An error of boto3 as one of ours: one line that says what was tried (`doing`), why it failed, and what to do."""
    from botocore import exceptions as boto

    if isinstance(error, LogqError):
        return error
    where = settings.endpoint_url or f"SQS in {settings.region or 'the configured region'}"
    detail = " ".join(str(error).split())
    if isinstance(error, boto.ClientError):
        return _service_words(error, doing, where, settings)
    if isinstance(error, boto.NoRegionError):
        return UsageError(f"cannot {doing}: no AWS region is known; {_REGION_REMEDY}")
    if isinstance(error, boto.ProfileNotFound):
        return NotFound(f"cannot {doing}: {detail}; aws configure list-profiles shows what there is")
    if isinstance(error, boto.ConfigParseError | boto.ConfigNotFound):
        return UsageError(f"cannot {doing}: {detail}; correct the AWS config file")
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return Denied(
            f"cannot {doing}: no usable AWS credentials ({detail}); set AWS_PROFILE or --aws-profile, or sign in first"
        )
    if isinstance(error, boto.SSOError | boto.TokenRetrievalError):
        name = f" --profile {settings.aws_profile}" if settings.aws_profile else ""
        return Denied(f"cannot {doing}: the AWS sign-in has run out ({detail}); aws sso login{name}")
    if isinstance(error, boto.ReadTimeoutError | boto.ConnectTimeoutError):
        return Unreachable(f"cannot {doing}: {where} did not answer in time; check the network, VPN and endpoint")
    if isinstance(error, boto.SSLError):
        return Unreachable(f"cannot {doing}: no trusted TLS connection to {where}: {detail}; check AWS_CA_BUNDLE")
    if isinstance(error, boto.EndpointConnectionError | boto.ProxyConnectionError | boto.HTTPClientError):
        cause = f"{detail} {getattr(error, 'kwargs', {}).get('error', '')}".lower()
        why = "the connection was refused" if "refused" in cause else "no connection could be made"
        return Unreachable(f"cannot {doing}: {why} at {where}; check that it runs there, the endpoint and the network")
    if isinstance(error, boto.InvalidRegionError):
        return UsageError(f"cannot {doing}: {detail}; {_REGION_REMEDY}")
    if isinstance(error, ValueError) and "endpoint" in detail.lower():
        return UsageError(f"cannot {doing}: {detail}; an endpoint URL looks like http://127.0.0.1:9324")
    if isinstance(error, boto.BotoCoreError | ValueError):
        return Failed(f"cannot {doing}: {where} gave an answer that is not SQS's ({detail}); check the endpoint URL")
    return Failed(f"cannot {doing}: {type(error).__name__}: {detail}")


def _service_words(error: Any, doing: str, where: str, settings: SqsSettings) -> LogqError:
    name = code(error)
    said = " ".join(str(error.response.get("Error", {}).get("Message") or "").split()) or name
    page = said.lower().startswith(("<!doctype", "<html"))
    if page:  # as markup it is of no use to anybody
        said = "a web page"
    if _skewed(error):
        return Denied(f"cannot {doing}: the clock of this machine is wrong, says {where} ({said}); set it right")
    if name in _DENIED or (status(error) == 403 and name not in _BAD_CREDENTIALS | _EXPIRED):
        return Denied(f"cannot {doing}: {said} ({name}); ask for the permission or use another --aws-profile")
    if name in _EXPIRED:
        login = f" --profile {settings.aws_profile}" if settings.aws_profile else ""
        return Denied(
            f"cannot {doing}: the AWS credentials have expired ({name}); sign in again (aws sso login{login})"
        )
    if name in _BAD_CREDENTIALS:
        return Denied(f"cannot {doing}: the AWS credentials were not accepted ({name}: {said}); check which are in use")
    if name in _NO_QUEUE:
        return NotFound(f"cannot {doing}: the queue does not exist; logq queue list shows what there is")
    if name in THROTTLES:
        return Failed(f"cannot {doing}: {where} asks to slow down ({name}); try again in a moment")
    if 300 <= (status(error) or 0) < 400:
        return Failed(
            f"cannot {doing}: {where} sends elsewhere (HTTP {status(error)}), not as SQS; check the endpoint URL"
        )
    if (status(error) or 0) in (404, 405) or name in ("404", "405", "UnknownOperationException"):
        return Failed(f"cannot {doing}: {where} does not answer as SQS ({name}); check the endpoint URL")
    if (status(error) or 0) >= 500 and page:
        why = f"{where} answered with a web page ({name}), not as SQS"
        return Unreachable(f"cannot {doing}: {why}; check the endpoint URL and any proxy on the way")
    if (status(error) or 0) >= 500:
        return Unreachable(f"cannot {doing}: {where} failed ({name}: {said}); try again in a moment")
    return Failed(f"cannot {doing}: {said} ({name})")

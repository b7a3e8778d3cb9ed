"""Calls of a transactional client: which error is asked again, aborted, left to another process, or the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from console.errors import Denied, Failed, LogqError, Refused, Unreachable
from console.kafka.write import reason

CALL_S = 30.0
"""How long one call may take before it is made again."""

STUCK_S = 45.0
"""After so long without movement new clients are made: a client may wait for ever for a coordinator that is back."""

_LATE_S = 5.0
"""How much longer than its own timeout a call may take before its clients are given up."""

_LEAVE_S = 5.0
_PAUSE_S = 0.1
_QUIET_S = 3.0


class Fenced(Refused):
    """Another process has taken this one's place in the job."""


class Broken(LogqError):
    """A fatal error of a client: nothing but new clients helps. Never leaves this package."""


class Lost(Broken):
    """The consumer's membership is gone for good: taken by another process, or by its own request that it gave up.

    A static member that asks to join once more while a broker hangs can be fenced by its first request (KIP-345).
    """


class Calls:
    """The patience of one copy: calls are made again while that helps and something has moved lately.

    `stop` tells that somebody wants to end; `patience` is how many seconds nothing may move. `on_wait` gets, once a
    second while nothing moves, for how many seconds and why. `errors` holds what the clients complained about since
    something moved, the newest last.
    """

    def __init__(
        self,
        job: str,
        patience: float,
        stop: Callable[[], bool],
        on_wait: Callable[[float, str], None] = lambda seconds, why: None,
    ) -> None:
        self.job = job
        self.stop = stop
        self.errors: list[str] = []
        self._patience = patience
        self._on_wait = on_wait
        self._moved = self._fresh = self._told = time.monotonic()
        self._leave: float | None = None

    def complain(self, error: Any) -> None:
        """Keep what a client said: a `KafkaError`, or any exception."""
        self.errors.append(" ".join(error.str().split()) if hasattr(error, "str") else reason(error))
        del self.errors[:-20]

    def moved(self) -> None:
        """Something went on: patience begins anew."""
        self._moved = time.monotonic()
        self.errors.clear()

    def check(self) -> None:
        """Raise `Unreachable` when nothing has moved for too long."""
        if time.monotonic() - self._moved > self._patience:
            last = self.errors[-1] if self.errors else "the brokers do not answer"
            raise Unreachable(f"nothing moved for {self._patience:g} s: {last}")

    def renewed(self) -> None:
        """The clients are new: they get their time before `stuck` says so again."""
        self._fresh = time.monotonic()

    def stuck(self) -> None:
        """Raise `Broken` when neither something moved nor the clients were made lately, `Unreachable` as `check`."""
        self.check()
        self._tell()
        if time.monotonic() - max(self._moved, self._fresh) > STUCK_S:
            raise Broken(f"nothing moved for {STUCK_S:g} s")

    def again(self, call: Callable[[], object], what: str, *, here: bool = False, most: float | None = None) -> bool:
        """Make a call, the same again while the error is retriable; False when stopped meanwhile.

        Who wants to stop is given some seconds more: most answers come, and then the end is known. A call that has not
        returned by then is left to itself: what it settles is read, or fenced, by whoever goes on. So is one that takes
        longer than `most` seconds (else a little longer than `CALL_S`): that is `Broken`. `here` is for short calls of
        a consumer: while it runs a callback it lets no other thread in. Raises `KafkaException` for a transaction that
        must be aborted, as `stuck` when that does not help, `verdict` for the rest.
        """
        from confluent_kafka import KafkaException

        while True:
            try:
                if not here:
                    return self._made(call, CALL_S + _LATE_S if most is None else most)
                call()
                return True
            except KafkaException as error:
                said = error.args[0]
                self.complain(error)
                if said.txn_requires_abort():
                    raise
                if not said.retriable():
                    raise self.verdict(said, what) from None
                self.stuck()  # the same call again may fail for ever where new clients do not
                if self._leaving():
                    return False
                time.sleep(_PAUSE_S)

    def _made(self, call: Callable[[], object], most: float) -> bool:
        """Make a call on a thread of its own, which a broker that hangs keeps for as long as the call may take.

        Or longer: librdkafka's `send_offsets_to_transaction` does not keep to its timeout while the group's coordinator
        is away, and may then wait for ever (its issues 5456 and 5511).
        """
        raised: list[BaseException] = []

        def make() -> None:
            try:
                call()
            except BaseException as error:  # handed to the caller's thread
                raised.append(error)

        made = threading.Thread(target=make, name="logq-copy-call", daemon=True)
        made.start()
        ends = time.monotonic() + most
        while made.is_alive():
            made.join(_PAUSE_S)
            self._tell()
            if made.is_alive() and self._leaving():
                return False
            if made.is_alive() and time.monotonic() > ends:
                self.check()
                raise Broken(f"a call gave no answer in {most:g} s")
        if raised:
            raise raised[0]
        return True

    def _leaving(self) -> bool:
        """Whether somebody wants to stop and has waited long enough for an answer."""
        if not self.stop():
            return False
        self._leave = self._leave or time.monotonic() + _LEAVE_S
        return time.monotonic() >= self._leave

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._moved >= _QUIET_S and now - self._told >= 1.0:
            self._told = now
            self._on_wait(now - self._moved, self.errors[-1] if self.errors else "")

    def pause(self, seconds: float) -> None:
        """Wait, but not when somebody wants to end."""
        ends = time.monotonic() + seconds
        while not self.stop() and (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, _PAUSE_S))

    def verdict(self, error: Any, what: str) -> LogqError:
        """What an error that is neither retriable nor abortable means."""
        from confluent_kafka import KafkaError

        told = " ".join(error.str().split())
        code = error.code()
        if code == KafkaError._FATAL:
            return Lost(told)
        if code in (
            KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.FENCED_INSTANCE_ID,
            KafkaError.INVALID_PRODUCER_EPOCH,
        ):  # fmt: skip
            return Fenced(f"another process has taken over {self.job}: this one leaves it ({told})")
        if code in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        ):  # fmt: skip
            return Denied(f"not allowed to {what}: {told}")
        if error.fatal():
            return Broken(told)
        return Failed(f"cannot {what}: {told}")

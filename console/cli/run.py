"""One call of the command line: what its options say, the settings they make, and the session they open."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from console.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from console.config import Settings
    from console.ops.session import Session

_NO = frozenset({"", "0", "false", "no", "off"})


class Run:
    """Gathers the options of one call and opens what they name, once, when first asked.

    Where an address comes from, strongest first: the command line; a profile that was named (`-p`, `LOGQ_PROFILE`);
    `LOGQ_BOOTSTRAP`; the file's default profile; the AWS variables. An address in the environment never bends a
    profile that was asked for by name.
    """

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}
        self._settings: Settings | None = None
        self._session: Session | None = None

    def gather(self, name: str, value: Any) -> None:
        """Note one option; later ones (nearer to the verb) win, `-X` adds up."""
        if name in ("properties", "queue_tags"):
            value = {**self._given.get(name, {}), **value}
        self._given[name] = value

    @property
    def output(self) -> str:
        """`table`, `json`, `jsonl` or `csv`."""
        return str(self._given.get("output") or "table")

    @property
    def color(self) -> bool:
        """Whether stdout may carry colour: a terminal, and neither --no-color nor NO_COLOR nor TERM=dumb."""
        if self._given.get("no_color") or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            return False
        return sys.stdout.isatty()

    @property
    def config_path(self) -> Path:
        """The config file this call reads."""
        from pathlib import Path

        from console.config import default_config_path

        given = self._given.get("config_file")
        return Path(given).expanduser() if given else default_config_path()

    def _config_named(self) -> Path | None:
        """The config file as a line in another shell has to name it; None for the platform's default."""
        named = self._given.get("config_file") or os.environ.get("LOGQ_CONFIG")
        return self.config_path.absolute() if named else None

    @property
    def settings(self) -> Settings:
        """The settings, whether or not they name a side. Raises `UsageError` (`NotFound`) for what makes no sense."""
        if self._settings is None:
            self._settings = self._resolve()
        return self._settings

    def connected_settings(self) -> Settings:
        """The settings; `UsageError` with how to connect when they name neither Kafka nor SQS."""
        settings = self.settings
        if settings.kafka is None and settings.sqs is None:
            raise UsageError(
                "nothing to connect to: name Kafka with -b HOST:PORT, SQS with --region NAME, both with a profile "
                "(logq config init), or try logq demo"
            )
        return settings

    @property
    def session(self) -> Session:
        """The session of this call, built (not connected) at first use. Raises as `connected_settings`."""
        return self.session_for(self.connected_settings())

    def session_for(self, settings: Settings) -> Session:
        """The session of this call on these settings."""
        if self._session is None:
            from console.ops.session import Session

            self._session = Session(settings)
        return self._session

    def close(self) -> None:
        """Let go of what was opened."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _resolve(self) -> Settings:
        from console.config import Settings, with_overrides

        environ = os.environ
        given = self._given
        profile = given.get("profile") or environ.get("LOGQ_PROFILE") or None
        must_exist = bool(given.get("config_file") or profile)
        if must_exist or _is_there(self.config_path):
            from console.config_file import resolve

            settings = resolve(self.config_path, profile, required=must_exist)
        else:
            settings = Settings()
        bootstrap = given.get("bootstrap") or (None if profile else environ.get("LOGQ_BOOTSTRAP"))
        aws: dict[str, str | None] = {name: given.get(name) for name in ("region", "aws_profile", "endpoint_url")}
        if profile is None and settings.sqs is None:
            aws["region"] = aws["region"] or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
            aws["aws_profile"] = aws["aws_profile"] or environ.get("AWS_PROFILE")
            aws["endpoint_url"] = (
                aws["endpoint_url"] or environ.get("AWS_ENDPOINT_URL_SQS") or environ.get("AWS_ENDPOINT_URL")
            )
        # Anything but a clear no counts as yes: a misspelt guard must not open the door.
        asked = ["--read-only"] if given.get("read_only") else []
        asked += ["LOGQ_READ_ONLY"] if environ.get("LOGQ_READ_ONLY", "").strip().lower() not in _NO else []
        return with_overrides(
            settings,
            config_file=self._config_named(),
            bootstrap=bootstrap,
            properties=given.get("properties"),
            region=aws["region"],
            aws_profile=aws["aws_profile"],
            endpoint_url=aws["endpoint_url"],
            queues=given.get("queues", ()),
            queue_tags=given.get("queue_tags"),
            read_only=bool(asked),
            read_only_by=" and ".join(asked),
            timeout=given.get("timeout"),
        )


def _is_there(path: Path) -> bool:
    """Whether there is a file to read; one that cannot be told is for the reader to complain about."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True

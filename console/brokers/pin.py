"""Makes the pinned list of jars: `python -m console.brokers.pin`.

For maintainers, when a server's version changes: edit `CLOSURES`, run it on a machine with Maven (`mvn`), commit the
new `jars.toml` beside this file. Maven resolves each server's dependencies; what is written is every jar's path in a
Maven repository, its SHA-256 and its size in bytes. Same closures, same file, on any machine and any day. Nobody else
needs Maven: `console.brokers.jars` fetches what the list names.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from console.brokers.jars import PIN_FILE
from console.errors import Failed, LogqError


@dataclass(frozen=True, slots=True)
class Closure:
    """One class path: `group:artifact:version` roots with all they need, less the excluded `group:artifact`s."""

    version: str
    roots: tuple[str, ...]
    excluded: tuple[str, ...] = ()


CLOSURES: dict[str, Closure] = {
    "kafka": Closure(
        version="4.3.1",
        roots=(
            "org.apache.kafka:kafka_2.13:4.3.1",
            "org.apache.kafka:kafka-tools:4.3.1",
            # Without an SLF4J binding Kafka logs nowhere.
            "org.apache.logging.log4j:log4j-core:2.24.3",
            "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
        ),
        # Connect's runtime brings jetty and jersey: 39 jars neither the broker nor the topic and group tools load.
        excluded=("org.apache.kafka:connect-runtime",),
    ),
    "elasticmq": Closure(version="1.7.1", roots=("org.elasticmq:elasticmq-server_3:1.7.1",)),
}


def pom(closure: Closure) -> str:
    """The Maven project that depends on the closure's roots and nothing else."""
    exclusions = "".join(
        "<exclusion><groupId>{}</groupId><artifactId>{}</artifactId></exclusion>".format(*name.split(":"))
        for name in closure.excluded
    )
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
        "<exclusions>{}</exclusions></dependency>".format(*root.split(":"), exclusions)
        for root in closure.roots
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>logq</groupId><artifactId>pin</artifactId>"
        f"<version>1</version><dependencies>{dependencies}</dependencies></project>"
    )


def resolve(closure: Closure) -> dict[str, tuple[str, int]]:
    """Every jar: path in a Maven repository -> (SHA-256 in hex, size in bytes); `Failed` without Maven."""
    with tempfile.TemporaryDirectory(prefix="logq-pin-") as name:
        folder = Path(name)
        (folder / "pom.xml").write_text(pom(closure), encoding="utf-8")
        command = [
            "mvn",
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-Dmdep.useRepositoryLayout=true",
            "-DoutputDirectory=jars",
        ]
        try:
            done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        except FileNotFoundError:
            raise Failed("mvn is not installed: pinning is done on a machine with Maven") from None
        if done.returncode != 0:
            raise Failed(f"mvn ended with {done.returncode}: {done.stdout.strip()[-400:]}")
        top = folder / "jars"
        return {
            jar.relative_to(top).as_posix(): (hashlib.sha256(jar.read_bytes()).hexdigest(), jar.stat().st_size)
            for jar in sorted(top.rglob("*.jar"))
        }


def render(resolved: dict[str, dict[str, tuple[str, int]]]) -> str:
    """The text of `jars.toml` for each closure's jars, sorted by path."""
    lines = [
        "# Made by `python -m console.brokers.pin`: not edited by hand.",
        "# Path in a Maven repository, SHA-256, size in bytes.",
    ]
    for name, jars in resolved.items():
        lines += ["", f"[{name}]", f'version = "{CLOSURES[name].version}"', "", f"[{name}.jars]"]
        lines += [f'"{path}" = {{ sha256 = "{sha}", size = {size} }}' for path, (sha, size) in sorted(jars.items())]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Resolve all closures and write the list; 0, or the error's exit code with one line on stderr."""
    try:
        text = render({name: resolve(closure) for name, closure in CLOSURES.items()})
    except LogqError as error:
        sys.stderr.write(f"pin: {error}\n")
        return error.exit_code
    PIN_FILE.write_text(text, encoding="utf-8")
    sys.stderr.write(f"pin: {PIN_FILE} written, {text.count('sha256')} entries\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

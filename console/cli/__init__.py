"""The command line: `logq NOUN VERB`, a face of the same plans, words and numbers as the screens.

Importing this package loads click and light standard modules only; every command loads what it needs when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command (the process's arguments when `argv` is None) and return its exit code; never raises."""
    import atexit
    import gc

    # Modules, and then thousands of plain values, are no cycles: at Python's 700 they are walked over and over.
    gc.set_threshold(200_000)
    atexit.register(gc.freeze)  # nor need they be walked over once more when the interpreter ends
    from console.cli.errors import guarded

    return guarded(argv)

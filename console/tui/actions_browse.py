"""What can be done while browsing a topic."""

from __future__ import annotations

from typing import Final

from console.tui.action import Action, on

BROWSE: Final[tuple[Action, ...]] = (
    Action(
        "where",
        ("e",),
        "where",
        "only records for which a CEL expression holds: value.total > 100; of letters in a queue: body.n > 1",
        "Look",
        on("browse", "dlq"),
        importance=84,
        commands=("where",),
    ),
    Action(
        "begin",
        ("o",),
        "from",
        "browse: begin elsewhere (earliest, an offset, a time, the last N), in some partitions",
        "Look",
        on("browse"),
        importance=83,
        commands=("from",),
    ),
    Action(
        "older",
        ("left_square_bracket",),
        "older",
        "browse: the page of older records",
        "Look",
        on("browse"),
        importance=82,
    ),
    Action(
        "newer",
        ("right_square_bracket",),
        "newer",
        "browse: the page of newer records",
        "Look",
        on("browse"),
        importance=81,
    ),
    Action(
        "follow",
        ("f",),
        "follow",
        "browse: show what is written as it comes; the same key ends it",
        "Look",
        on("browse"),
        importance=80,
        commands=("follow", "tail"),
    ),
    Action(
        "stop",
        ("x",),
        "stop",
        "browse: stop reading; what was found stays",
        "Look",
        on("browse"),
        importance=91,
    ),
    Action(
        "export",
        ("E",),
        "export",
        "browse: write records to a file that replay reads again",
        "Look",
        on("browse"),
        importance=66,
        commands=("export",),
    ),
)
"""In the order help lists them."""

"""How a change goes from a key to a running job: questions, plan, the person's yes, run.

The target is resolved when the key is pressed and handed on as a value: whatever the cursor does meanwhile, the plan
and the dialog speak of what it stood on then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.errors import UsageError
from console.model import Queue
from console.ops.command import command_line
from console.ops.plan import PlanView
from console.text import count, safe
from console.tui import feed
from console.tui.asking import Asking
from console.tui.backend import Change, PeekCost
from console.tui.form import Field, Form, Values
from console.tui.subject import Subject
from console.tui.wishes import RedriveWish
from widgets.confirm import PlanDialog

if TYPE_CHECKING:
    from console.tui.screens.base import ConsoleScreen

PEEK = 100
"""How many messages one look into a queue reads at most."""


def confirm(screen: ConsoleScreen, plan: Callable[[], Change]) -> None:
    """Make a plan off the event loop, show it when nobody types, and run it when the answer is yes."""
    console, asking = screen.console, Asking(screen)
    # Most plans are there at once; only one that takes its time is announced.
    waiting = console.set_timer(0.4, lambda: console.say("planning …"))

    def show(change: Change) -> None:
        waiting.stop()
        if change.idle:
            console.say(f"nothing to do: {change.idle}")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                screen.changing()
                console.begin(change)

        def ask() -> None:
            console.clear_notifications()
            console.push_screen(dialog(change.view, console.settings.production), answered)

        asking.when_free(f"the plan to {change.view.title}", ask)

    def failed(error: str) -> None:
        waiting.stop()
        console.complain(error)

    # The app hears the answer: when the screen has gone by then, that is said.
    feed.ask(console, plan, show, failed, name=screen.scope)


def dialog(view: PlanView, production: bool) -> PlanDialog:
    """The question for a plan; a production profile and a purge want the target's name typed out."""
    facts = view.facts + ((("undo", view.undo),) if view.undo else ())
    return PlanDialog(
        view.title,
        facts=facts,
        warnings=view.warnings,
        columns=view.columns,
        rows=view.rows,
        command=view.command,
        typed=view.target if view.typed(production) else None,
        danger=view.typed(production),
    )


# ---------------------------------------------------------------- redrive


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a dead-letter place that can be redriven: in words, and by the ids of its messages.

    `cluster` takes a topic's by a way of failing instead: all that failed so, not only those that were read.
    """

    words: str
    ids: tuple[str, ...] = ()
    cluster: str = ""


def redrive(screen: ConsoleScreen, subject: Subject, parts: Sequence[Part] = ()) -> None:
    """Ask how dead letters should be moved back, then plan it: one of the `parts`, the first before all, or all."""
    target = subject.target
    topic = target.startswith("kafka:")
    chosen: dict[str, Part | None] = {**{f"part{index}": part for index, part in enumerate(parts)}, "all": None}
    which = [(key, part.words if part is not None else "all of it") for key, part in chosen.items()]
    fields = (
        Field("which", "which", tuple(which), wanted=lambda values: len(which) > 1),
        Field(
            "canary",
            "canary",
            placeholder="none; 5 sends five and pauses, resume sends the rest",
            wanted=lambda values: topic,
        ),
        Field("limit", "at most", placeholder="all" if topic else "all; 5 is a good canary"),
        Field("rate", "rate", placeholder="messages a second; as fast as it goes"),
        Field(
            "engine",
            "engine",
            (("auto", "auto"), ("native", "native move task"), ("client", "client, journaled")),
            wanted=lambda values: not topic,
        ),
        Field(
            "steps",
            "steps",
            (("once", "all at once"), ("ramp", "5, look back, double"), ("canary", "5, look back, pause")),
            wanted=lambda values: not topic,
        ),
        Field(
            "edit",
            "edit",
            placeholder="body.tries=0, or as it is",
            wanted=lambda values: not topic,
        ),
        Field(
            "unset",
            "leave out",
            placeholder="body.error or attributes.tries, or nothing",
            wanted=lambda values: not topic,
        ),
    )

    def check(values: Values) -> str:
        for field, name, least in (("canary", "canary", 1.0), ("limit", "at most", 1.0), ("rate", "rate", 0.001)):
            if values[field] and (number(values[field]) or 0.0) < least:
                return f"{name} is a number above 0, not {values[field]!r}"
            if values[field] and least == 1.0 and not (number(values[field]) or 0.5).is_integer():
                return f"{name} is a whole number of messages"
        if values["edit"] or values["unset"]:
            from console.ops.redrive_edit import Edit

            try:
                Edit(*(((values[name],) if values[name] else ()) for name in ("edit", "unset")))
            except UsageError as error:
                return str(error)
        return ""

    def explain(values: Values) -> str:
        engine = {
            "auto": "the server's own move task when all of it goes back, else the journaled client",
            "native": "the server's own move task: fast, all of it, no receipt for each message",
            "client": "message by message with a journal: resumable, a receipt for each",
        }[values["engine"]]
        if topic:
            engine = "each record goes back to the topic it came from, once: the journal knows what was redriven"
            if values["canary"]:
                engine = f"{values['canary']} at first, then it pauses: r on the job sends the rest"
        elif values["steps"] != "once":
            engine = "5 first, then a look at what came back to the dead-letter queue"
        return f"{_goes(chosen[values['which']]) if parts else ''}{engine}. enter shows the plan"

    def answered(values: dict[str, str] | None) -> None:
        if values is None:
            return
        part = chosen[values["which"]]
        wish = RedriveWish(
            ids=part.ids if part is not None else (),
            clusters=(part.cluster,) if part is not None and part.cluster else (),
            limit=_whole(values["limit"]),
            canary=_whole(values["canary"]) if topic else FIRST_STEP if values["steps"] == "canary" else None,
            rate=number(values["rate"]) if values["rate"] else None,
            engine=values["engine"],  # type: ignore[arg-type]
            ramp=values["steps"] == "ramp" and not topic,
            sets=(values["edit"],) if values["edit"] and not topic else (),
            unsets=(values["unset"],) if values["unset"] and not topic else (),
        )
        confirm(screen, lambda: screen.console.backend.plan_redrive(target, wish))

    screen.app.push_screen(Form(f"redrive {safe(target, 100)}", fields, check, explain), answered)


def _goes(part: Part | None) -> str:
    """What goes along, in words: what is not to be seen must not go along unsaid."""
    if part is None:
        return "all of it goes, also what is neither marked nor shown: "
    if part.cluster:
        return "all that failed so goes, also what was not read: "
    return f"exactly {'this one goes' if len(part.ids) == 1 else f'these {len(part.ids):,} go'}, {part.words}: "


FIRST_STEP = 5
"""How many a canary sends."""


def _whole(text: str) -> int | None:
    found = number(text) if text else None
    return None if found is None else int(found)


def number(text: str) -> float | None:
    """A number above 0 as typed, None for anything else."""
    try:
        found = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        return None
    return found if 0 < found < 1e12 else None


# ---------------------------------------------------------------- purge


def purge(screen: ConsoleScreen, subject: Subject) -> None:
    """Ask how a queue should be emptied, then plan it; a topic has no such thing."""
    target = subject.target
    if not target.startswith("sqs:"):
        screen.console.say(f"{safe(subject.name, 80)} is a topic: its records go by retention")
        return
    fields = (Field("how", "how", (("save", "saved first"), ("native", "PurgeQueue, nothing saved"))),)
    words = {
        "save": "each message is saved in the journal, then deleted: job undo sends it again. enter shows the plan",
        "native": "SQS deletes all at once, in flight and delayed too; nothing brings it back. enter shows the plan",
    }

    def answered(values: dict[str, str] | None) -> None:
        if values is not None:
            save = values["how"] == "save"
            confirm(screen, lambda: screen.console.backend.plan_purge(target, save))

    form = Form(f"purge {safe(target, 100)}", fields, lambda values: "", lambda values: words[values["how"]])
    screen.app.push_screen(form, answered)


# ---------------------------------------------------------------- browse


def browse(screen: ConsoleScreen, subject: Subject) -> None:
    """Open a thing's messages. A queue is received from, which costs: that is said and asked first."""
    from console.tui.screens.browse import BrowseScreen
    from console.tui.screens.messages import MessagesScreen

    if subject.target.startswith("kafka:"):
        screen.app.push_screen(BrowseScreen(subject.target.removeprefix("kafka:")))
        return
    name = subject.target.removeprefix("sqs:")
    asking, what = Asking(screen), f"the look into {safe(name, 80)}"

    def show(force: bool = False) -> None:
        screen.app.push_screen(MessagesScreen(subject.target, force=force))

    def looked(kept: bool) -> None:
        if kept:
            # What was read before is shown again: nothing is received, so nothing needs to be asked.
            asking.when_free(what, show)
        else:
            screen.ask(lambda: screen.console.backend.peek_cost(name), priced)

    def priced(cost: PeekCost) -> None:
        queue = cost.queue
        if queue.max_receive is None and not cost.refuse:
            # Without a redrive policy a look moves nothing: nothing needs to be asked.
            asking.when_free(what, show)
            return
        if cost.refuse and screen.console.settings.read_only:
            screen.complain(f"refused: {cost.note} (read-only: it cannot be forced)")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                show(cost.refuse)

        words = ["queue", "peek", name] + (["--force"] if cost.refuse else [])
        question = PlanDialog(
            f"peek into {safe(name, 80)}",
            facts=(
                ("cost", cost.note),
                ("reads", f"up to {PEEK:,} messages, leased while they are read, then released"),
                ("holds", f"{count(queue.visible)} visible, {count(queue.in_flight)} in flight"),
            ),
            warnings=("looking would use up a message's last attempt",) if cost.refuse else (),
            command=command_line(screen.console.settings, *words),
            apply="Peek anyway" if cost.refuse else "Peek",
            danger=cost.refuse,
        )
        asking.when_free(what, lambda: screen.console.push_screen(question, answered))

    screen.ask(lambda: screen.console.backend.kept(name, PEEK), looked)


def redrive_of(screen: ConsoleScreen, subject: Subject) -> None:
    """Redrive what a subject is: dead letters themselves, or the dead-letter queue of a queue."""
    item = subject.item
    if subject.kind in ("dlq", "dlt"):
        redrive(screen, subject)
    elif isinstance(item, Queue) and item.dlq is not None:
        redrive(screen, Subject("dlq", item.dlq, target=f"sqs:{item.dlq}"))
    else:
        screen.console.say(f"{safe(subject.name, 80)} has no dead-letter queue")

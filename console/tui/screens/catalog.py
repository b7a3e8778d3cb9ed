"""Which screen shows what: a thing under the cursor, or the name typed after `:`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from console.text import safe
from console.tui import flows, replay_form, reset_form
from console.tui.screens.base import ConsoleScreen
from console.tui.screens.home import HomeScreen
from console.tui.subject import Subject, of_dead_letters, of_queue
from console.tui.theme import PALETTES

if TYPE_CHECKING:
    from console.tui.app import LogqApp


def screen_for(subject: Subject) -> ConsoleScreen | None:
    """A new screen for a thing; None for what has none of its own."""
    from console.model import Job
    from console.tui.screens.dlq import DlqScreen
    from console.tui.screens.doctor import DoctorScreen
    from console.tui.screens.group import GroupScreen
    from console.tui.screens.job import JobScreen
    from console.tui.screens.queue import QueueScreen
    from console.tui.screens.topic import TopicScreen

    match subject.kind:
        case "group":
            return GroupScreen(subject.name)
        case "topic":
            return TopicScreen(subject.name)
        case "queue":
            return QueueScreen(subject.name)
        case "dlq" | "dlt":
            return DlqScreen(subject.target)
        case "job" if isinstance(subject.item, Job):
            return JobScreen(job=subject.item)
        case "broker" | "connection":
            return DoctorScreen()  # why it does not answer; what it carries is `:brokers`
    return None


def suggest(app: LogqApp, typed: str) -> tuple[str, ...]:
    """Completions of a command: the commands themselves, then the names that fit the one typed."""
    word, space, rest = typed.partition(" ")
    if not space:
        return tuple(name for name in app.registry.command_names() if name.startswith(word) and len(name) > 1)
    action = app.registry.command(word)
    names = _names(app, action.id) if action is not None else ()
    return tuple(f"{word} {name}" for name in names if rest.casefold() in name.casefold())[:50]


def _names(app: LogqApp, action: str) -> tuple[str, ...]:
    """The names a command can be followed by, from the pictures at hand."""
    kafka, sqs = app.store.kafka, app.store.sqs
    match action:
        case "groups" | "reset":
            return tuple(row.name for row in kafka.rows) if kafka else ()
        case "topics" | "browse" | "replay":
            return tuple(topic.name for topic in kafka.snapshot.topics) if kafka else ()
        case "queues":
            return tuple(row.name for row in sqs.rows) if sqs else ()
        case "dlqs" | "redrive":
            return tuple(item.target for item in app.dead_letters())
        case "theme":
            return tuple(PALETTES)
    return ()


def run_command(app: LogqApp, typed: str) -> None:
    """Do what was typed after `:`. What is not understood is said, nothing is guessed."""
    word, _, rest = typed.strip().partition(" ")
    rest = rest.strip()
    if not word:
        return
    action = app.registry.command(word)
    if action is None:
        app.complain(f"no command :{safe(word, 40)}; there are " + " ".join(f":{n}" for n in _main_names(app)))
        return
    screen = app.screen
    go = _GO.get(action.id)
    if go is not None:
        go(app, rest)
    elif action.id in _NAMED and rest and isinstance(screen, ConsoleScreen):
        _NAMED[action.id](app, screen, rest)
    elif rest:
        # A name that is not looked at would let the action fall on what the cursor happens to stand on.
        app.complain(f":{safe(word, 40)} takes no name: it acts on what the cursor is on")
    elif isinstance(screen, ConsoleScreen) and screen.scope in action.scope:
        screen.action_press(action.id)
    else:
        app.complain(f":{safe(word, 40)} means nothing on this screen")


def go(app: LogqApp, action: str, rest: str = "") -> None:
    """Do an action that goes somewhere, by its id."""
    found = _GO.get(action)
    if found is not None:
        found(app, rest)


def _main_names(app: LogqApp) -> tuple[str, ...]:
    return tuple(action.commands[0] for action in app.registry.actions if action.commands)


def _side(side: str) -> Callable[[LogqApp, str], None]:
    def go(app: LogqApp, name: str) -> None:
        if name:
            _open_named(app, "group" if side == "kafka" else "queue", name)
            return
        app.back_to(0)
        if isinstance(app.screen, HomeScreen):
            app.screen.go_to(side)

    return go


def _open_named(app: LogqApp, kind: str, name: str) -> None:
    """A screen for a thing by name; a name that is not in the picture is said at once."""
    kafka, sqs = app.store.kafka, app.store.sqs
    if kind == "group":
        if kafka is not None and all(row.name != name for row in kafka.rows):
            app.complain(f"no group {safe(name, 80)}")
            return
        app.open(Subject("group", name))
    elif kind == "topic":
        if kafka is not None and all(topic.name != name for topic in kafka.snapshot.topics):
            app.complain(f"no topic {safe(name, 80)}")
            return
        app.open(Subject("topic", name, target=f"kafka:{name}"))
    else:
        found = next((row.queue for row in sqs.rows if row.name == name), None) if sqs is not None else None
        if found is None:
            app.complain(f"no queue {safe(name, 80)}")
            return
        app.open(of_queue(found))


def _go_home(app: LogqApp, rest: str) -> None:
    app.back_to(0)


def _go_topics(app: LogqApp, name: str) -> None:
    from console.tui.screens.topic import TopicsScreen

    if name:
        _open_named(app, "topic", name)
    else:
        app.push_screen(TopicsScreen())


def _go_brokers(app: LogqApp, rest: str) -> None:
    from console.tui.screens.brokers import BrokersScreen

    app.push_screen(BrokersScreen())


def _go_dlqs(app: LogqApp, name: str) -> None:
    from console.tui.screens.dlq import DlqScreen
    from console.tui.screens.dlqs import DlqsScreen

    if not name:
        app.push_screen(DlqsScreen())
        return
    fitting = [item.target for item in app.dead_letters() if name in (item.target, item.target.partition(":")[2])]
    if len(fitting) == 1:
        app.push_screen(DlqScreen(fitting[0]))
    elif fitting:
        app.complain(f"{safe(name, 80)} is on both sides: say {' or '.join(safe(t, 80) for t in fitting)}")
    else:
        app.complain(f"no dead-letter queue or topic {safe(name, 80)}; :dlq lists them")


def _go_jobs(app: LogqApp, name: str) -> None:
    from console.tui.screens.jobs import JobsScreen

    app.push_screen(JobsScreen(name))


def _go_doctor(app: LogqApp, rest: str) -> None:
    from console.tui.screens.doctor import DoctorScreen

    app.push_screen(DoctorScreen())


def _theme(app: LogqApp, name: str) -> None:
    if not name and isinstance(app.screen, ConsoleScreen):
        app.screen.do_theme()
        return
    found = [theme for theme in PALETTES if theme in (name, f"logq-{name}")]
    if found:
        app.theme = found[0]
    else:
        app.complain(f"no theme {safe(name, 40)}; there are {', '.join(PALETTES)}")


def _reset(app: LogqApp, screen: ConsoleScreen, name: str) -> None:
    kafka = app.store.kafka
    if kafka is not None and all(row.name != name for row in kafka.rows):
        app.complain(f"no group {safe(name, 80)}")
    else:
        reset_form.reset(screen, name)


def _redrive(app: LogqApp, screen: ConsoleScreen, name: str) -> None:
    fitting = [item for item in app.dead_letters() if name in (item.target, item.target.partition(":")[2])]
    if len(fitting) == 1:
        flows.redrive(screen, of_dead_letters(fitting[0]))
    else:
        app.complain(f"{'no' if not fitting else 'more than one'} dead-letter queue or topic {safe(name, 80)}")


def _browse(app: LogqApp, screen: ConsoleScreen, name: str) -> None:
    kafka, sqs = app.store.kafka, app.store.sqs
    side, colon, plain = name.partition(":")
    topic = plain if colon and side == "kafka" else name
    queue = plain if colon and side == "sqs" else name
    topics = {t.name for t in kafka.snapshot.topics} if kafka is not None else set()
    queues = {row.name for row in sqs.rows} if sqs is not None else set()
    if topic in topics and queue in queues:
        app.complain(f"{safe(name, 80)} is on both sides: say kafka:{safe(name, 80)} or sqs:{safe(name, 80)}")
    elif topic in topics:
        flows.browse(screen, Subject("topic", topic, target=f"kafka:{topic}"))
    elif queue in queues:
        flows.browse(screen, Subject("queue", queue, target=f"sqs:{queue}"))
    else:
        app.complain(f"no topic and no queue {safe(name, 80)}")


def _replay(app: LogqApp, screen: ConsoleScreen, name: str) -> None:
    kafka, topic = app.store.kafka, name.removeprefix("kafka:")
    if kafka is not None and all(found.name != topic for found in kafka.snapshot.topics):
        app.complain(f"no topic {safe(topic, 80)}")
    else:
        replay_form.replay(screen, topic)


_NAMED: dict[str, Callable[[LogqApp, ConsoleScreen, str], None]] = {
    "reset": _reset,
    "redrive": _redrive,
    "browse": _browse,
    "replay": _replay,
}
"""Actions that also take the name of what they act on."""

_GO: dict[str, Callable[[LogqApp, str], None]] = {
    "home": _go_home,
    "groups": _side("kafka"),
    "queues": _side("sqs"),
    "topics": _go_topics,
    "brokers": _go_brokers,
    "dlqs": _go_dlqs,
    "jobs": _go_jobs,
    "doctor": _go_doctor,
    "theme": _theme,
}

"""Colours and what they mean: one palette a theme, and the styles that cells, headings and signs are drawn in.

A hue for each side (violet Kafka, orange SQS) and only in headings and names; red, amber and green for severity alone,
always with a sign as well; what is at rest is muted, so that what matters is the brightest thing on the screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from textual.theme import Theme

from console.model import Severity

Meaning = Literal["$foreground", "$muted", "$faint", "$rule", "$key", "$kafka", "$sqs", "$bad", "$warn", "$good"]
"""What a piece of text says by its colour: importance, severity or side. A theme variable, looked up when drawn."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one theme, as #rrggbb: `text` on `background` is the body, `bar` the top line and the footer."""

    name: str
    dark: bool
    background: str
    bar: str
    cursor: str
    text: str
    muted: str
    faint: str
    rule: str
    key: str
    kafka: str
    sqs: str
    bad: str
    warn: str
    good: str

    def theme(self) -> Theme:
        """The palette as a Textual theme; every meaning is also a variable (`$kafka`, `$sqs`, `$muted`, …)."""
        return Theme(
            name=self.name,
            dark=self.dark,
            primary=self.key,
            secondary=self.kafka,
            accent=self.key,
            warning=self.warn,
            error=self.bad,
            success=self.good,
            foreground=self.text,
            background=self.background,
            surface=self.background,
            panel=self.bar,
            boost=self.bar,
            variables={
                "bar": self.bar,
                "cursor": self.cursor,
                "muted": self.muted,
                "faint": self.faint,
                "rule": self.rule,
                "key": self.key,
                "kafka": self.kafka,
                "sqs": self.sqs,
                "bad": self.bad,
                "warn": self.warn,
                "good": self.good,
                "text-muted": self.muted,
                "text-disabled": self.faint,
                "border": self.rule,
                "border-blurred": self.rule,
                "block-cursor-background": self.cursor,
                "block-cursor-foreground": self.text,
                "block-cursor-text-style": "none",
                "input-cursor-background": self.key,
                "input-selection-background": f"{self.key} 35%",
                "scrollbar": self.rule,
                "scrollbar-hover": self.faint,
                "scrollbar-active": self.muted,
                "scrollbar-background": self.background,
                "scrollbar-background-hover": self.background,
                "scrollbar-background-active": self.background,
                "scrollbar-corner-color": self.background,
            },
        )


DARK: Final = Palette(
    name="logq-dark",
    dark=True,
    background="#11151c",
    bar="#171c26",
    cursor="#222b3a",
    text="#d6dbe4",
    muted="#8590a6",
    faint="#5d6980",
    rule="#283241",
    key="#6fb8d6",
    kafka="#a5a0f0",
    sqs="#f0a868",
    bad="#ef727a",
    warn="#e6c15f",
    good="#7cc492",
)

LIGHT: Final = Palette(
    name="logq-light",
    dark=False,
    background="#fbfaf7",
    bar="#efede7",
    cursor="#dde6ee",
    text="#1d232c",
    muted="#5c6675",
    faint="#7d8694",
    rule="#d3d0c8",
    key="#0b6a8f",
    kafka="#5746c4",
    sqs="#a95408",
    bad="#c02434",
    warn="#8f6400",
    good="#2b7a45",
)

# Okabe and Ito's colours: told apart with red-green and blue-yellow blindness alike; severity still has its sign.
CLEAR: Final = Palette(
    name="logq-clear",
    dark=True,
    background="#000000",
    bar="#15181d",
    cursor="#26303d",
    text="#f2f2f2",
    muted="#a7adb8",
    faint="#7b828f",
    rule="#3a4250",
    key="#56b4e9",
    kafka="#cc9fe0",
    sqs="#e8b07a",
    bad="#ff7f3f",
    warn="#f0e442",
    good="#58d0ae",
)

PALETTES: Final = {palette.name: palette for palette in (DARK, LIGHT, CLEAR)}
"""Every theme by its name, in the order `t` goes through them."""

SIGNS: Final = {Severity.BAD: "✖", Severity.WARN: "▲", Severity.UNKNOWN: " ", Severity.OK: " "}
"""The sign beside every severity, so that no meaning hangs on a colour."""


def next_theme(name: str) -> str:
    """The theme that follows in the round."""
    names = list(PALETTES)
    return names[(names.index(name) + 1) % len(names)] if name in PALETTES else names[0]


def loudness(severity: Severity, rest: Meaning = "$foreground") -> Meaning:
    """The meaning in which something of that severity is drawn; `rest` for what is fine or unknown."""
    if severity is Severity.BAD:
        return "$bad"
    return "$warn" if severity is Severity.WARN else rest

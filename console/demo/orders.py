"""The orders of a shop that prints photos, made up: the same seed gives the same orders."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

CUSTOMERS = 480
PHOTO_SHARE = 0.03
"""How many orders come with a picture to be resized: some 12 a second."""
PANORAMA = "panorama"
_PANORAMA_MARK = b'"format":"panorama"'

_PEOPLE = (
    ("Ada Lindqvist", "Storgatan 12", "111 51", "Stockholm", "SE"),
    ("Marek Nowak", "ul. Długa 44/3", "31-147", "Kraków", "PL"),
    ("Chiara Rossi", "Via Garibaldi 7", "40124", "Bologna", "IT"),
    ("Jonas Weber", "Lindenallee 3", "50968", "Köln", "DE"),
    ("Sofía Álvarez", "Calle Mayor 81", "28013", "Madrid", "ES"),
    ("Niamh Byrne", "14 Harbour Rd", "A96 D7W0", "Dún Laoghaire", "IE"),
    ("Élodie Martin", "9 rue des Tanneurs", "69005", "Lyon", "FR"),
    ("Pieter de Vries", "Prinsengracht 221", "1015 DT", "Amsterdam", "NL"),
)
_ITEMS = (
    ("PRINT-10X15", "Photo print 10×15 cm", 29),
    ("PRINT-20X30", "Photo print 20×30 cm", 490),
    ("CANVAS-40X60", "Canvas 40×60 cm", 5490),
    ("MUG-330", "Photo mug 330 ml", 1290),
    ("BOOK-A4-24", "Photo book A4, 24 pages", 2990),
    ("CAL-A3", "Wall calendar A3", 2490),
    ("PUZZLE-500", "Photo puzzle, 500 pieces", 2190),
)
_PANORAMA_ITEM = ("PANO-120X40", "Panorama print 120×40 cm", 6990)
_SIZES = {
    "landscape": (6000, 4000),
    "portrait": (4000, 6000),
    "square": (3024, 3024),
    PANORAMA: (12600, 2800),
}
_CHANNELS = ("web", "web", "web", "app", "app", "pos")
_PAYMENTS = ("card", "card", "paypal", "klarna", "invoice")


@dataclass(frozen=True, slots=True)
class Order:
    """One order as it goes onto the topic: key, JSON body and headers."""

    key: bytes
    body: bytes
    headers: tuple[tuple[str, bytes], ...]


class OrderBook:
    """An endless series of orders; the n-th is the same for the same seed and times."""

    def __init__(self, seed: int = 47) -> None:
        self._random = random.Random(seed)
        self._number = 1_000_000

    def next(self, now: float, panorama_share: float) -> Order:
        """The next order, placed at `now` (seconds since the epoch).

        `panorama_share` is how many of the orders with a picture are panoramas.
        """
        choose = self._random
        self._number += 1
        customer = int(CUSTOMERS * choose.random() ** 1.3)
        name, street, postcode, city, country = _PEOPLE[customer % len(_PEOPLE)]
        photo = self._photo(now, panorama_share) if choose.random() < PHOTO_SHARE else None
        items = [self._item(_PANORAMA_ITEM)] if photo and photo["format"] == PANORAMA else []
        items += [self._item(choose.choice(_ITEMS)) for _ in range(1 if choose.random() < 0.7 else 2)]
        channel = choose.choice(_CHANNELS)
        body: dict[str, Any] = {
            "order_id": f"ord-{self._number}",
            "customer_id": f"c-{customer:04d}",
            "placed_at": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "channel": channel,
            "currency": "EUR",
            "amount": round(sum(item["quantity"] * item["price"] for item in items), 2),
            "payment": choose.choice(_PAYMENTS),
            "items": items,
            "ship_to": {"name": name, "street": street, "postcode": postcode, "city": city, "country": country},
        }
        if photo:
            body["image"] = photo
        trace = f"00-{choose.getrandbits(128):032x}-{choose.getrandbits(64):016x}-01"
        headers = (
            ("traceparent", trace.encode()),
            ("content-type", b"application/json"),
            ("schema", b"shop.order/8"),
            ("source", channel.encode()),
        )
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return Order(str(body["customer_id"]).encode(), text.encode(), headers)

    def _item(self, article: tuple[str, str, int]) -> dict[str, Any]:
        sku, title, cents = article
        quantity = self._random.choice((1, 1, 1, 2, 3)) if cents > 1000 else self._random.randint(5, 60)
        return {"sku": sku, "title": title, "quantity": quantity, "price": cents / 100}

    def _photo(self, now: float, panorama_share: float) -> dict[str, Any]:
        choose = self._random
        kind = PANORAMA if choose.random() < panorama_share else choose.choice(("landscape", "portrait", "square"))
        width, height = _SIZES[kind]
        day = datetime.fromtimestamp(now, UTC)
        return {
            "upload": f"s3://shop-uploads/{day:%Y/%m/%d}/{choose.getrandbits(48):012x}.jpg",
            "format": kind,
            "width": width,
            "height": height,
            "bytes": choose.randint(1_800_000, 9_600_000),
        }


def has_photo(body: bytes | None) -> bool:
    """Whether an order comes with a picture, told without parsing it: most do not."""
    return body is not None and b'"image":{' in body


def is_panorama(body: bytes | None) -> bool:
    """Whether an order or an image job is about a panorama."""
    return body is not None and _PANORAMA_MARK in body


def parse(body: bytes | str | None) -> dict[str, Any] | None:
    """A body's JSON object, None when it is not one (people put their own messages on the demo's topics and queues)."""
    try:
        found = json.loads(body or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def image_job(order: dict[str, Any]) -> dict[str, Any]:
    """The image workers' job for an order with a picture."""
    image = order.get("image")
    image = image if isinstance(image, dict) else {}
    return {
        "job_id": f"img-{str(order.get('order_id', ''))[4:]}",
        "order_id": order.get("order_id"),
        "customer_id": order.get("customer_id"),
        "source": image.get("upload"),
        "format": image.get("format"),
        "width": image.get("width"),
        "height": image.get("height"),
        "targets": ["print-300dpi", "preview-1200", "thumb-200"],
    }


def email(order: dict[str, Any]) -> dict[str, Any]:
    """The confirmation that the mailer sends for an order."""
    image = order.get("image")
    ship_to = order.get("ship_to")
    name = str(ship_to.get("name", "")) if isinstance(ship_to, dict) else ""
    panorama = isinstance(image, dict) and image.get("format") == PANORAMA
    customer = str(order.get("customer_id", "c-0000"))
    return {
        "email_id": f"mail-{str(order.get('order_id', ''))[4:]}",
        "order_id": order.get("order_id"),
        "customer_id": customer,
        "to": f"{name.split(' ')[0].lower() or 'customer'}.{customer[2:]}@example.com",
        "template": "panorama-proof" if panorama else "order-confirmation",
        "language": str(ship_to.get("country", "")).lower() if isinstance(ship_to, dict) else "",
        "amount": order.get("amount"),
    }

"""What is sold, and what a cart of it costs. Amounts are whole cents, prices are text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

CATALOGUE = json.loads(Path(__file__).with_name("catalogue.json").read_text())


def cents(price: str) -> int:
    """`12.00` as 1200."""
    return int(float(price) * 100)


def shown(amount: int) -> str:
    """1200 as `12.00`."""
    return f"{amount // 100}.{amount % 100:02}"


def total(cart: Mapping[str, int]) -> int:
    """What so many of each item cost together."""
    return sum(cents(CATALOGUE[item]["price"]) * quantity for item, quantity in cart.items())

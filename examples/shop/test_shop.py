"""Run by `python -m unittest`."""

import unittest

from shop import cents, shown, total


class ShopTest(unittest.TestCase):
    def test_cents(self) -> None:
        self.assertEqual(cents("12.00"), 1200)
        self.assertEqual(cents("2.50"), 250)

    def test_shown(self) -> None:
        self.assertEqual(shown(1205), "12.05")

    def test_total(self) -> None:
        self.assertEqual(total({"towel": 3, "tray": 1}), 1950)

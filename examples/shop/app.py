"""A shop's cart, with nothing but Python: `python app.py [PORT]` prints its address and serves."""

from __future__ import annotations

import sys
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from shop import CATALOGUE, shown, total

PAGE = """<!doctype html>
<html lang=en>
<title>Tea shop</title>
<style>
  body {{ font: 16px/1.5 sans-serif; margin: 24px; color: #222 }}
  select, input, button {{ font: inherit; padding: 3px 8px; margin-right: 10px }}
  input {{ width: 3em }}
  table {{ border-collapse: collapse; margin: 20px 0 12px; width: 100% }}
  th, td {{ text-align: right; padding: 4px 10px; border-bottom: 1px solid #ccc }}
  th:first-child, td:first-child {{ text-align: left }}
  output {{ font-weight: bold; font-size: 22px }}
</style>
<h1>Tea shop</h1>
<form method=post action=/add>
  <label>Item <select name=item>{options}</select></label>
  <label>Quantity <input name=quantity type=number min=1 max=99 value=1></label>
  <button>Add</button>
</form>
<table>
  <tr><th>Item<th>Price<th>Quantity</tr>
  {rows}
</table>
<p>Total <output aria-label=Total>{total}</output></p>
"""
ROW = "<tr><td>{name}<td>{price}<td>{quantity}</tr>"


class Handler(BaseHTTPRequestHandler):
    """The cart is in a cookie: `teapot:2|cup:1`."""

    def do_GET(self) -> None:
        if self.path != "/":
            return self.send_error(404)
        page = render(self._cart()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        return None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        item, quantity = form.get("item"), form.get("quantity", "")
        if self.path != "/add" or item not in CATALOGUE or not quantity.isdecimal():
            return self.send_error(400)
        cart = self._cart()
        cart[item] = cart.get(item, 0) + int(quantity)
        self.send_response(303)
        self.send_header("Set-Cookie", "cart=" + "|".join(f"{k}:{v}" for k, v in cart.items()))
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def _cart(self) -> dict[str, int]:
        kept = SimpleCookie(self.headers.get("Cookie", "")).get("cart")
        pairs = (pair.partition(":") for pair in kept.value.split("|")) if kept else ()
        return {item: int(count) for item, _, count in pairs if item in CATALOGUE}


def render(cart: dict[str, int]) -> str:
    """The page of a cart."""
    options = (f"<option value={key}>{entry['name']}" for key, entry in CATALOGUE.items())
    rows = (ROW.format(**CATALOGUE[item], quantity=count) for item, count in cart.items())
    return PAGE.format(options="".join(options), rows="\n  ".join(rows), total=shown(total(cart)))


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0), Handler)
    print(f"serving on http://127.0.0.1:{server.server_address[1]}/", flush=True)
    server.serve_forever()

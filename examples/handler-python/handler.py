"""A handler with nothing but the standard library: a counter for each key.

The sidecar calls it for the records of a topic, and everybody else calls it by HTTP, on the same paths.
"""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Counter:
    """The state of one key.

    In production it is a row, and the identities it has seen are written in the same transaction as the total.
    """

    def __init__(self):
        self.total = 0
        self.amounts = []
        self.seen = set()


counters = {}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open between records
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        match self.path.split("/"):
            case ["", "Counter", key, "add"]:
                self.add(unquote(key), body)
            case ["", "Counter", key, "get"]:
                with lock:
                    counter = counters.setdefault(unquote(key), Counter())
                    self.reply(200, {"total": counter.total, "amounts": counter.amounts})
            case _:
                self.reply(404, {"message": "no such handler"})

    def add(self, key, body):
        """Count each record once: a record may be delivered again, then with the same idempotency key."""
        try:
            amount = json.loads(body)
        except ValueError:
            amount = None
        if not isinstance(amount, int):
            # 400 says that trying again will not help: the record fails, and ON_FAILURE says what becomes of it.
            return self.reply(400, {"message": "the body is no whole number"})
        identity = self.headers.get("idempotency-key")
        with lock:
            counter = counters.setdefault(key, Counter())
            if identity is None or identity not in counter.seen:
                counter.seen.add(identity)
                counter.total += amount
                counter.amounts.append(amount)
            total = counter.total
        self.reply(200, total)

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass  # one line for each record would be too many


if __name__ == "__main__":
    address = os.environ.get("HOST", "localhost"), int(os.environ.get("PORT", 8080))
    ThreadingHTTPServer(address, Handler).serve_forever()

"""Orders through a workflow: checks side by side, a race of warehouses, a shipment.

    python examples/order_workflow.py                # 5 orders
    python examples/order_workflow.py --orders 200

The program starts a small HTTP server on this machine, which plays customers, stock,
credit and two warehouses, and asks it over asyncio streams. Each order is one run of
the workflow:

* load the order, again if the server is busy;
* look up customer, stock and credit side by side;
* large orders wait until a person approves them (here, a policy does it);
* ask two warehouses at once, and take the first offer;
* pack each item in a sub-flow of its own, three at a time;
* if anything fails, cancel the order instead, and say why.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fastflow

APPROVAL_FROM = 1_000  # cents


class Shop(BaseHTTPRequestHandler):
    """Answers GET requests as JSON; some are slow, some fail."""

    tries: dict[str, int] = {}  # noqa: RUF012  (shared by all requests on purpose)

    def do_GET(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        status, body = self.answer(url.path, query)
        content = json.dumps(body).encode()
        # Who has lost the race hangs up.
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Make up status and content."""
        number = int(query.get("order", 0))
        match path:
            case "/order" if number % 3 == 0 and self.first(f"order {number}"):
                return 503, "busy"
            case "/order":
                items = [f"item {number}-{i}" for i in range(1 + number % 4)]
                return 200, {"id": number, "items": items, "total": 350 * len(items)}
            case "/customer":
                return 200, {"name": f"customer {number % 7}"}
            case "/stock":
                return 200, number % 5 != 4
            case "/credit":
                return 200, 100 * number
            case "/east" if number % 2:
                return 500, "closed"
            case "/east" | "/west":
                return 200, path[1:]
            case "/pack":
                return 200, f"packed {query['item']}"
        return 404, "no such thing"

    def first(self, what: str) -> bool:
        """Whether this is asked for the first time."""
        self.tries[what] = self.tries.get(what, 0) + 1
        return self.tries[what] == 1

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


class Server(ThreadingHTTPServer):
    """A server that lets many customers queue."""

    request_queue_size = 128


@contextmanager
def shop() -> Iterator[int]:
    """Run the server while the block runs; its port."""
    server = Server(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def get(ctx: Any, path: str, **query: object) -> Any:
    """Ask the server of this run; raises ConnectionError unless it says 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ctx.payload["port"])
    try:
        text = "&".join(f"{k}={v}".replace(" ", "+") for k, v in query.items())
        request = f"GET /{path}?{text} HTTP/1.0\r\nHost: localhost\r\n\r\n"
        writer.write(request.encode())
        await writer.drain()
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status != 200:
            raise ConnectionError(f"{path}: {status} {json.loads(content)}")
        return json.loads(content)
    finally:
        writer.close()
        await writer.wait_closed()


def ask(path: str) -> Any:
    """Make a step that asks for something about the order."""

    async def fetch(ctx: Any) -> Any:
        return await get(ctx, path, order=ctx.payload["order"])

    fetch.__name__ = path
    return fetch


def check(ctx: Any) -> dict[str, Any]:
    """Bring together what the three look-ups say."""
    customer, in_stock, credit = ctx.last
    if not in_stock:
        raise LookupError("out of stock")
    return {"customer": customer["name"], "credit": credit}


def is_large(ctx: Any) -> bool:
    """Whether somebody has to approve it."""
    return ctx.steps["load"].output["total"] >= APPROVAL_FROM


def approve(ctx: Any, token: str) -> None:
    """Decide in place of a person: by the credit of the customer."""
    enough = ctx.steps["check"].output["credit"] >= 500
    ctx.run.resume(token, "approved" if enough else "declined")


def require_approval(ctx: Any) -> None:
    """Stop an order that was declined."""
    if ctx.last != "approved":
        raise PermissionError("declined")


async def pack(ctx: Any) -> Any:
    """Pack one item."""
    return await get(ctx, "pack", item=ctx.item)


def ship(ctx: Any) -> str:
    """Say what leaves from where."""
    ctx.state.incr("items", len(ctx.last))
    return f"{len(ctx.last)} items from {ctx.steps['warehouse'].output}"


def build() -> fastflow.Workflow:
    """Write the workflow down."""
    return (
        fastflow.workflow("order", timeout="1m", concurrency=20)
        .step("load", ask("order"), retries=3, retry_delay="5ms", timeout="10s")
        .parallel(
            [ask("customer"), ask("stock"), ask("credit")], "look-ups", timeout="10s"
        )
        .step("check", check)
        .if_("large?", is_large)
        .human_in_the_loop("approval", approve, timeout="1d")
        .step("require approval", require_approval)
        .end_if()
        .race([ask("east"), ask("west")], "warehouse", timeout="10s")
        .for_each(
            "packing",
            lambda ctx: ctx.steps["load"].output["items"],
            build=lambda flow: flow.step("pack", pack, retries=2),
            max_concurrency=3,
        )
        .step("ship", ship)
        .on_error(lambda ctx: f"cancelled in {ctx.failed_step!r}: {ctx.error}")
    )


def serve(count: int) -> None:
    """Run some orders, several at a time, and print what became of them."""
    with shop() as port, build() as orders:
        runs = [
            orders.start({"order": number, "port": port})
            for number in range(1, count + 1)
        ]
        for number, run in enumerate(runs, 1):
            result = run.result()
            again = result.steps["load"].attempts - 1
            note = f" (loaded again {again} ×)" if again else ""
            print(f"order {number}: {result.last}{note}")
        print(f"{orders.state.get('items', 0)} items shipped")


def main() -> None:
    """Run some orders, several at a time, and print what became of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=5)
    parser.add_argument("--report", metavar="FILE", help="write what was seen of it")
    options = parser.parse_args()
    if options.orders < 1:
        parser.error("--orders must be at least 1")
    recording = fastflow.record() if options.report else None
    with recording or contextlib.nullcontext():
        serve(options.orders)
    if recording:
        recording.report(options.report)


if __name__ == "__main__":
    main()

"""`lab watch`: a page of a grid as it trains, for a browser on this machine.

It listens on the loopback alone, under an address that holds a token, and answers GET: nothing can be
commanded through it, and nothing of the store is written.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import secrets
import tempfile
import threading
import time
from contextlib import redirect_stderr, suppress
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.commands import shared
from lab.commands.analysis import Refused, ask
from lab.commands.experiment import CommandError
from lab.commands.view import View, duration, facts, progress
from lab.config import RunConfig
from lab.launch.processes import at_once
from lab.models import counts
from lab.store import export, lineage
from lab.store.files import StoreError

HOST = "127.0.0.1"
PAUSE = 30.0  # seconds between pages, and at least ten times what the last one took
HEADS = ("run", "layers x width", "N", "tokens", "progress", "train loss", "held-out", "tokens/s", "by")
WAITING = "<!doctype html><title>-</title><p>No run has a loss yet."


def add(commands) -> None:
    parser = shared.command(commands, "watch", watch)
    shared.add_grid(parser)
    parser.add_argument("--port", **shared.COUNT, default=0, help="of this machine; 0 means any free one")
    help = "money for an hour of one run's devices, for the cost so far"
    parser.add_argument("--price", type=float, metavar="PRICE", help=help)


def watch(options: argparse.Namespace) -> int:
    """Serve a page of a grid as it trains: curves, answer, who trains what, cost so far. On this machine
    alone and to be read only; Ctrl-C ends it and no run."""
    experiment, store = shared.open_grid(options)
    if options.port < 0 or (options.price is not None and not options.price > 0):
        raise CommandError("--port is 0 or more, --price is above 0")
    view = View(store, lineage.resolve_trunks(store, experiment.configs()), at_once())
    with tempfile.TemporaryDirectory() as folder:
        board = Board(view, experiment.name, Path(folder), options.price)
        server = serve(board, options.port)
        print(f"{server.address}\nCtrl-C ends the page; the runs go on", flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            while True:
                board.look()
                time.sleep(2)
        except KeyboardInterrupt:
            return 0
        finally:
            server.shutdown()
            server.server_close()


class Board:
    """What is shown of a grid: `state` for the head, `page` below it. `look` reads the store again."""

    def __init__(self, view: View, name: str, folder: Path, price: float | None = None):
        self.view, self.name, self.folder, self.price = view, name, folder, price
        self.page, self.version = WAITING, 1
        self.state: dict[str, Any] = {}
        self.drawn: Any = None  # what the page was drawn of
        self.draw_at = 0.0
        self.update_state()

    def look(self) -> None:
        self.update_state()
        if time.monotonic() >= self.draw_at:
            self.draw()

    def update_state(self) -> None:
        """What the head of the page says now."""
        view = self.view
        view.read(quiet=True)
        view.find_silent()
        view.workers = max(1, view.running)
        self.state = {
            "summary": f"{view.summary()}{view.silence() if view.silent else ''}",
            "cost": self.cost(),
            "heads": HEADS,
            "running": [self.line(c) for c in view.configs if view.status[c.run_id] in ("running", "silent")],
            "version": self.version,
        }

    def line(self, config: RunConfig) -> list[str | float]:
        """A run that is trained now, and by whom."""
        now = self.view.store.holder(config.run_id) or {}
        host = str(now.get("host", "?")).partition("/")[0]
        return [
            *facts(config),
            self.view.fraction(config),
            *progress(now),
            f"{host}, process {now.get('pid', '?')}" + ", silent" * (config.run_id in self.view.silent),
        ]

    def cost(self) -> str:
        """FLOPs and hours spent on this grid so far, unfinished runs by how far they are."""
        view, spent, seconds = self.view, 0.0, 0.0
        whole = sum(counts.spent_flops(config) for config in view.configs)
        for config in view.configs:
            if record := view.records.get(config.run_id):
                made = max(0, record["steps"] - config.branch_step)  # none where its trunk diverged
                part = made / max(1, config.steps - config.branch_step)
                seconds += record.get("seconds") or 0.0
            else:
                part, now = view.fraction(config), view.store.holder(config.run_id) or {}
                if speed := now.get("tokens_per_second"):
                    seconds += part * (config.steps - config.branch_step) * config.batch_tokens / speed
            spent += part * counts.spent_flops(config)
        money = f", {seconds / 3600 * self.price:.2f} in money" if self.price else ""
        return f"so far {spent:.3g} of {whole:.3g} FLOPs, {duration(seconds)} of training{money}"

    def draw(self) -> None:
        """The page again, where a run has ended or a curve has grown since."""
        store, over = self.view.store, self.view.records
        curves = {c.run_id: len(store.curve(c.run_id)) for c in self.view.configs if c.run_id not in over}
        now = (len(over), {run_id: points for run_id, points in curves.items() if points})
        if now == self.drawn or now == (0, {}):
            return
        begun, self.drawn = time.monotonic(), now
        table, curves, page = (self.folder / name for name in ("runs.csv", "curves.csv", "report.html"))
        try:
            with redirect_stderr(io.StringIO()):  # what is wrong in a store, `lab run` says once
                export.write(export.rows_so_far(store, self.view.configs, self.name), table)
                export.write_curves(store, self.view.configs, curves, so_far=True)
        except (StoreError, OSError):  # a record that is being written; the next look finds it whole
            return
        page.unlink(missing_ok=True)
        words = ["report", table, "-o", page, "--curves", curves, "--title", self.name, "--bootstrap", "100"]
        with suppress(Refused):  # a table that gives no law has a page too
            ask(*words)
        if page.exists():
            self.page, self.version = page.read_text(encoding="utf-8"), self.version + 1
        self.draw_at = time.monotonic() + max(PAUSE, 10 * (time.monotonic() - begun))


class Server(ThreadingHTTPServer):
    """Answers with a board's head and page to who knows its token."""

    daemon_threads = True

    def __init__(self, board: Board, port: int):
        super().__init__((HOST, port), Handler)
        self.board, self.token = board, secrets.token_urlsafe(24)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/{self.token}/"


def serve(board: Board, port: int = 0) -> Server:
    """A server that is yet to be started; port 0 is any free one."""
    try:
        return Server(board, port)
    except (OSError, OverflowError) as error:
        raise CommandError(f"--port {port}: {error}") from error


class Handler(BaseHTTPRequestHandler):
    """GET of the three addresses, to this machine's own name and with the token; all else is refused."""

    server: Server

    def do_GET(self) -> None:
        _, token, *rest = [*self.path.split("?")[0].split("/"), ""]
        hosts = (f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}")
        if self.headers.get("Host") not in hosts:  # a page of elsewhere, under a name that leads here
            return self.send_error(403)
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return self.send_error(404)
        board = self.server.board
        if rest[0] == "state.json":
            return self.answer(json.dumps(board.state | {"version": board.version}), "application/json", "")
        if rest[0] == "page.html":
            return self.answer(board.page, "text/html", "frame-ancestors 'self'")
        if rest[0] == "":
            return self.answer(*shell(board.name))
        self.send_error(404)

    def answer(self, content: str, kind: str = "text/html", policy: str = "") -> None:
        body = content.encode("utf-8", "backslashreplace")
        self.send_response(200)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy or "default-src 'none'",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words) -> None:
        """The address holds the token: it is not printed again and again."""


def shell(name: str) -> tuple[str, str, str]:
    """The head's page, its kind, and the policy under which its own script and style alone act."""
    html = (Path(__file__).parent / "watch.html").read_text(encoding="utf-8")
    hashes = []
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes.append(f"{tag}-src 'sha256-{digest}'")
    policy = f"default-src 'none'; {'; '.join(hashes)}; connect-src 'self'; frame-src 'self'; base-uri 'none'"
    return html.replace("TITLE", escape(name)), "text/html", f"{policy}; form-action 'none'"

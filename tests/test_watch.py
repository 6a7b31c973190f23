"""What is seen of a grid as it trains: the table a terminal keeps, and the page of `lab watch`."""

import io
import json
import sys
import urllib.error
import urllib.request

import pytest

from lab.commands import watch
from lab.commands.view import View
from lab.plan import trunk
from lab.store.records import CURVE
from lab.store.store import Store
from tests import tiny
from tests.conftest import change
from tests.test_standard import finish


class Terminal(io.StringIO):
    def isatty(self):
        return True


def point(step: int, loss: float) -> dict[str, float]:
    row = {"step": step, "tokens": 64 * step, "flops": 1e6 * step, "loss": loss}
    return dict.fromkeys(CURVE, 0.0) | row


@pytest.fixture
def view(tmp_path):
    """A grid whose first run is done, and whose second is half way."""
    store, configs = Store(tmp_path / "runs"), tiny.runs()
    store.prepare()
    finish(store, configs[0], 2.5)
    claim = store.claim(configs[1])
    claim.beat(step=configs[1].steps // 2, steps=configs[1].steps, tokens_per_second=1000.0, train_loss=3.25)
    store.start_curve(configs[1].run_id, 0)
    store.add_to_curve(configs[1].run_id, point(1, 3.5))
    return View(store, configs, 1)


def test_a_terminal_keeps_the_table_of_results(view, monkeypatch):
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    with view:
        pass
    last = out.getvalue().rpartition("held-out")[2]
    assert view.configs[0].run_id in last and "2.5000" in last and "done" in last
    assert f"1/{len(view.configs)} runs done" in last


@pytest.fixture
def server(view, tmp_path):
    import threading

    server = watch.serve(watch.Board(view, "<b>mine</b>", tmp_path, price=3600.0))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def get(address: str, **headers) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_the_head_says_who_trains_what_and_what_it_cost(view, server):
    status, text = get(f"{server.address}state.json")
    state = json.loads(text)
    assert status == 200 and state["summary"].startswith(f"1/{len(view.configs)} runs done")
    (line,) = state["running"]
    assert line[0] == view.configs[1].run_id and line[4] == pytest.approx(0.5, abs=0.1) and "3.250" in line
    second = view.configs[1]
    money = view.fraction(second) * second.steps * second.batch_tokens / 1000.0  # a second costs one
    assert f"{money:.2f} in money" in state["cost"]


def test_runs_that_diverged_are_paid_for_and_packed_ones_are_of_one_worker(view, tmp_path):
    store, (second, third, fourth) = view.store, view.configs[1:]
    spent = {"device": "TPU v3", "devices": 4, "seconds": 60.0, "curve_sha256": "0", "loss": None}
    store.claim(third).release()
    store.write_record(third.run_id, spent | {"status": "diverged", "steps": 3})
    store.claim(fourth).beat(step=1)
    view.read(quiet=True)
    assert view.device_seconds == {"TPU v3": 240.0} and not view.timed
    assert [view.status[run.run_id] for run in (second, fourth)] == ["running"] * 2 and view.running == 1


def test_a_branch_whose_trunk_diverged_cost_nothing(view, tmp_path):
    alone = change(view.configs[2], optim__schedule="constant", optim__cooldown_fraction=0.2)
    branch = trunk.join_trunk(alone, alone.steps // 2)
    view.store.claim(branch).release()
    record = {"status": "diverged", "steps": 3, "loss": None, "seconds": 0.0, "curve_sha256": "0"}
    view.store.write_record(branch.run_id, record)
    assert "so far 0 of" in watch.Board(View(view.store, [branch], 1), "x", tmp_path).cost()


def test_only_who_knows_the_token_is_answered_and_nothing_can_be_commanded(server):
    assert server.server_address[0] == "127.0.0.1"
    status, shell = get(server.address)
    assert status == 200 and "&lt;b&gt;mine" in shell and "<b>mine" not in shell
    assert server.token not in shell and get(f"{server.address}page.html")[0] == 200
    root = f"http://127.0.0.1:{server.server_port}/"
    for wrong in ("", "state.json", f"{server.token[:-1]}/state.json", f"{server.token}/../runs"):
        assert get(root + wrong)[0] == 404
    assert get(server.address, Host="evil.example")[0] == 403
    for method in ("POST", "PUT", "DELETE"):
        asked = urllib.request.Request(server.address, data=b"x", method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=10)
        assert refused.value.code == 501


def test_the_page_grows_with_the_runs(view, server):
    board = server.board
    board.look()
    first = get(f"{server.address}page.html")[1]
    assert board.version == 2 and all(config.run_id in first for config in view.configs[:2])
    assert "status is running" in first and "Training curves" in first
    board.draw()
    assert board.version == 2  # nothing has changed
    view.store.add_to_curve(view.configs[1].run_id, point(2, 3.1))
    board.draw()
    assert board.version == 3


def test_a_port_that_is_taken_is_said(view, server, tmp_path):
    with pytest.raises(watch.CommandError, match="--port"):
        watch.serve(watch.Board(view, "x", tmp_path), server.server_port)

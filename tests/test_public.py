"""Tables from their public addresses: only the right bytes are used, and nothing hangs."""

import csv
import hashlib
import http.server
import os
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.papers.claims import Data, Missing
from analysis.papers.public import SOURCES, Downloads, Source, points
from analysis.tables import table

NAME = "chinchilla_fig4.csv"
TEXT = "Model Size,Training FLOP,loss\n" + "\n".join(
    f"{1e8 * (i + 1)},{6e18 * (i + 1)},{3 - 0.1 * i}" for i in range(12)
)


@pytest.fixture
def server(tmp_path):
    """The address of a folder that is served on this machine alone."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "data.csv").write_text(TEXT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            asked.append(self.path)

    asked: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


@pytest.fixture
def offered(monkeypatch, server):
    """The first table offered from that address."""
    sha = hashlib.sha256(TEXT.encode()).hexdigest()
    source = Source(f"{server[0]}/data.csv", sha256=sha, columns=points)
    monkeypatch.setitem(SOURCES, NAME, source)
    return source


def test_the_right_bytes_are_read_once_and_kept(offered, server, tmp_path):
    pytest.importorskip("pooch")
    data = Data(None, fetch=Downloads(tmp_path / "cache"))
    runs = data.table(NAME, where="outlier == 0")
    assert len(runs) == 7 and len(data.table(NAME)) == 12
    np.testing.assert_allclose(runs.flops, 6 * runs.params * runs.tokens, rtol=1e-15)
    Downloads(tmp_path / "cache")(NAME)  # a second command finds it in the cache
    assert len(server[1]) == 1


def test_other_bytes_are_refused(offered, monkeypatch, tmp_path):
    pytest.importorskip("pooch")
    monkeypatch.setitem(SOURCES, NAME, replace(offered, sha256="0" * 64))
    downloads = Downloads(tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(Missing, match=r"not used: its checksum is not 0{12}.*--data DIR"):
            downloads(NAME)
    assert list(downloads.failed) == [NAME] and not list((tmp_path / "cache").glob("*.csv"))


def test_a_cached_file_that_was_changed_is_fetched_again(offered, server, tmp_path):
    pytest.importorskip("pooch")
    Downloads(tmp_path)(NAME)
    kept = next(tmp_path.glob("*.csv"))
    kept.write_text(TEXT.replace("3.0", "9.0"))
    assert Downloads(tmp_path)(NAME).loss.max() == 3.0 and len(server[1]) == 2


def test_no_network_or_a_silent_server_ends_in_one_line_and_soon(offered, monkeypatch, tmp_path):
    pytest.importorskip("pooch")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        port = silent.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as closed:
            unused = closed.getsockname()[1]
        for at in (port, unused):
            source = replace(offered, url=f"http://127.0.0.1:{at}/data.csv")
            monkeypatch.setitem(SOURCES, NAME, source)
            start = time.perf_counter()
            with pytest.raises(Missing, match="could not be fetched") as caught:
                Downloads(tmp_path, timeout=0.5)(NAME)
            assert time.perf_counter() - start < 5 and "\n" not in str(caught.value)
    monkeypatch.setitem(SOURCES, NAME, replace(offered, url=offered.url + ".gone"))
    with pytest.raises(Missing, match="404"):
        Downloads(tmp_path)(NAME)


def test_the_command_fails_when_a_download_does_and_still_computes_the_rest(
    offered, monkeypatch, capsys, tmp_path
):
    pooch = pytest.importorskip("pooch")
    monkeypatch.delenv("SCALING_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setitem(SOURCES, NAME, replace(offered, url=offered.url + ".gone"))
    assert main(["reproduce", "hoffmann2022", "--download"]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "404" in said.err and "Traceback" not in said.err
    assert "pass" in said.out and "does not offer" in said.out


def test_without_pooch_the_command_says_so_in_a_line(offered, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert main(["reproduce", "kaplan2020", "--download"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["reproduce", "kaplan2020"]) == 0


def test_a_table_without_a_known_checksum_is_never_fetched():
    pytest.importorskip("pooch")
    for name, source in SOURCES.items():
        assert source.url.startswith("https://") and bool(source.sha256) != bool(source.why_not)
        if not source.sha256:
            with pytest.raises(Missing, match="does not offer"):
                Downloads()(name)
        else:
            assert len(source.sha256) == 64 and source.columns and "pickle" not in source.url


def test_a_folder_comes_before_a_download(offered, server, tmp_path):
    pytest.importorskip("pooch")
    (tmp_path / NAME).write_text("n_params,n_tokens,loss\n1e8,1e9,3\n")
    data = Data(tmp_path, fetch=Downloads(tmp_path / "cache"))
    assert len(data.table(NAME)) == 1 and not server[1]


def test_the_public_columns_give_the_tidy_table_row_by_row(tmp_path):
    if not os.environ.get("SCALING_DATA"):
        pytest.skip("SCALING_DATA names no folder of published tables")
    path = Path(os.environ["SCALING_DATA"], NAME)
    with path.open() as lines:
        rows = [(r["n_params"], r["flops"], r["loss"]) for r in csv.DictReader(lines)]
    text = "Model Size,Training FLOP,loss\n" + "\n".join(map(",".join, rows))
    tidy = table.read(path)
    for name, column in points(NAME, text).items():
        np.testing.assert_allclose(column, tidy.column(name), rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "Model Size,Training FLOP,loss\n1,x,3\n"])
def test_other_columns_are_refused(text):
    if text:
        with pytest.raises(ValueError, match="not the columns"):
            points(NAME, text)
    else:
        assert len(points(NAME, text)["loss"]) == 0

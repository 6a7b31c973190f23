"""What a launcher is asked for: the grid is dealt out whole, options are read or refused."""

import re
from argparse import Namespace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.commands import grow, means
from lab.commands.cli import parser
from lab.launch import local, processes
from lab.launch.launchers import LAUNCHERS
from lab.launch.order import LaunchError, Order, cost, engine, parts, read_options
from lab.models import counts
from lab.plan import grid
from lab.store.store import Store
from tests.conftest import change
from tests.grids import TINY


@pytest.mark.parametrize(
    ("cores", "devices", "expected"),
    [
        ([0, 1], 1, [[0], [1]]),
        ([0, 1], 2, [[0, 1]]),
        ([2, 3, 5, 7, 8], 2, [[2, 3], [5, 7]]),
        ([0, 1], 4, [[0, 1]]),  # more devices than cores share what there is
    ],
)
def test_a_worker_has_a_core_for_each_of_its_devices(monkeypatch, cores, devices, expected):
    monkeypatch.setattr(processes, "cores", lambda: cores)
    assert processes.shares(devices) == expected


@pytest.mark.parametrize(
    ("platform", "expected"), [("cpu", {(1, 1): 4, (2, 1): 2, (2, 2): 1}), ("cuda", {(1, 1): 1})]
)
def test_time_is_told_for_as_many_workers_as_are_started(config, tmp_path, monkeypatch, platform, expected):
    monkeypatch.setattr(processes, "cores", lambda: [0, 1, 2, 3])
    monkeypatch.setenv("JAX_PLATFORMS", platform)
    runs, store = [change(config, seed=seed) for seed in range(8)], Store(tmp_path)
    monkeypatch.setattr(Store, "status_and_record", lambda *_: ("done", {"seconds": 3.0}))
    rounds = SimpleNamespace(all_scored=lambda: [{"seconds": 40.0}], sealed=lambda number: {"flops": 1.0})
    for (devices, hosts), workers in expected.items():
        assert len(local.deal(store, runs, Order(devices=devices, hosts=hosts))) == workers
        options = Namespace(workers=0, devices=devices, hosts=hosts, flops=None, within=100.0)
        seconds = grid.seconds_left([(run, 1.0) for run in runs], workers)
        assert means.assumed_seconds(options, runs) == pytest.approx(seconds)
        study = SimpleNamespace(options=options, rounds=rounds, store=store, cells=runs)
        assert grow.flops_left(study, runs) == pytest.approx(60 * workers * counts.run_flops(config) / 3.0)


@given(widths=st.lists(st.sampled_from([8, 16, 32]), min_size=1, max_size=12), at_least=st.integers(0, 20))
def test_every_run_is_dealt_once_and_shapes_stay_together_where_they_can(config, widths, at_least):
    configs = [change(config, model__d_model=w, seed=i) for i, w in enumerate(widths)]
    dealt = parts(configs, at_least)
    ids = [run.run_id for part in dealt for run in part]
    assert sorted(ids) == sorted(run.run_id for run in configs)
    assert all(len({run.shape for run in part}) == 1 for part in dealt)
    assert len(dealt) == max(len(set(widths)), min(at_least, len(configs)))
    assert [cost(part) for part in dealt] == sorted(map(cost, dealt), reverse=True)
    assert sum(map(cost, dealt)) == sum(map(counts.run_flops, configs))


def test_options_are_read_as_an_engine_writes_them():
    read = read_options(["gpus-per-node=1", "--time=4:00", "comment=a=b", "exclusive="])
    assert read == {"gpus-per-node": "1", "time": "4:00", "comment": "a=b", "exclusive": ""}


@pytest.mark.parametrize("wrong", [["partition"], ["=gpu"], ["time=1", "--time=2"]])
def test_options_written_wrong_are_refused(wrong):
    with pytest.raises(ValueError, match="--launcher-option"):
        read_options(wrong)


def test_a_missing_engine_says_what_to_install():
    message = "this launcher needs no_engine: pip install 'scaling-law-lab[cluster]'"
    with pytest.raises(LaunchError, match=re.escape(message)):
        engine("no_engine")


def test_the_command_line_offers_every_launcher():
    for name in LAUNCHERS:
        assert parser().parse_args(["run", "x", "--launcher", name]).launcher == name
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["run", "x", "--launcher", "pbs"])


def test_this_machine_takes_no_options_of_a_cluster(tmp_path, config):
    with pytest.raises(LaunchError, match="partition"):
        LAUNCHERS["local"](Store(tmp_path), [config], Order(options={"partition": "gpu"}))


WRONG = [{"workers": -1}, {"devices": 0}, {"hosts": 2, "way": "pmap"}, {"devices": 2, "way": "jit"}]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_no_launcher_can_do_is_refused(wrong):
    with pytest.raises(ValueError, match=f"--{next(iter(wrong))} "):
        Order(**wrong)


def test_jit_is_of_one_device_or_of_a_pack_on_each():
    assert Order(devices=2, way="jit", pack="3").runs_a_device(on_cpu=True) == 3
    command = ["verify-resume", str(TINY), "0", "--devices", "1", "2", "--way", "jit"]
    options = parser().parse_args(command)
    with pytest.raises(ValueError, match="--devices 2 --way jit: jit trains on one device"):
        options.run(options)

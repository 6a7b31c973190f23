"""Runs trained together end as they do alone, and harm each other in nothing."""

import json
import os
import signal
import threading
import time
from collections import Counter
from types import SimpleNamespace

import jax
import pytest

from lab.config import to_json
from lab.data import corpora
from lab.launch import attempt, local, worker
from lab.launch.order import Order
from lab.launch.task import Task
from lab.store.store import Store
from lab.train import measures, parallel
from lab.train.keeper import LostClaim
from lab.train.lanes import Lanes
from lab.train.loop import Crew
from tests.conftest import change
from tests.grids import TINY, begun, processes
from tests.test_parallel import said, start
from tests.trained import Trainer, train

STEPS = 150  # more than the 64 of a dispatch


@pytest.fixture
def corpus(config):
    return corpora.prepare(config.data.corpus, quiet=True)


def grid_of(config, *, optimizer="adamw", steps=(STEPS,) * 4, rates=(0.01, 0.02, 0.005, 0.01)):
    """Runs of one shape that differ in rate, seed, order of data and horizon."""
    clip = 1.0 if optimizer == "adamw" else 0.0
    return [
        change(
            config,
            seed=i,
            data_seed=i,
            tokens=n * 128,
            optim__learning_rate=rate,
            optim__optimizer=optimizer,
            optim__clip=clip,
        )
        for i, (n, rate) in enumerate(zip(steps, rates, strict=True))
    ]


def trainer_in(folder, **options):
    return Trainer(Store(folder), jax.local_devices()[:1], **options)


def alone(folder, configs, corpus):
    trainer, found = trainer_in(folder), {}
    for config in configs:
        claim = trainer.store.claim(config)
        found[config.run_id] = train(trainer, config, corpus, claim)
        claim.release()
    return trainer.store, found


@pytest.fixture
def sizes(monkeypatch):
    """Lanes a device of the programs that are compiled."""
    compiled, compile = [], Lanes.compile

    def watched(lanes, *arguments):
        compiled.append(lanes.each)
        compile(lanes, *arguments)

    monkeypatch.setattr(Lanes, "compile", watched)
    return compiled


def packed(folder, configs, corpus, each=4, **options):
    """Runs through one pack: the store, and what became of each."""
    trainer, waiting, outcomes, claims = trainer_in(folder, **options), list(configs), {}, {}
    open_corpus = corpus if callable(corpus) else lambda: corpus

    def offer():
        if not waiting:
            return None
        config = waiting.pop(0)
        claims[config.run_id] = trainer.store.claim(config)
        return trainer.job(config, open_corpus, claims[config.run_id])

    def ended(config, outcome):
        assert config.run_id not in outcomes
        outcomes[config.run_id] = outcome
        claims[config.run_id].release()

    trainer.crew(configs[0].shape, offer, ended, each).train()
    return trainer.store, outcomes


def stopping_after(n):
    looks = iter(range(10**6))
    return lambda: next(looks) >= n


def check_same(configs, one, other, rel, measures=("loss", "grad_norm")):
    """Curves and records of two stores agree: losses within float error, the rest exactly."""
    (store, found), (other_store, others) = one, other
    for config in configs:
        a, b = found[config.run_id], others[config.run_id]
        assert (a["status"], a["steps"], set(a)) == (b["status"], b["steps"], set(b) - {"pack"})
        assert b["loss"] == pytest.approx(a["loss"], rel=rel)
        assert b["bits_per_byte"] == pytest.approx(a["bits_per_byte"], rel=rel)
        curves = [s.curve(config.run_id) for s in (store, other_store)]
        for name in ("step", "tokens", "flops", "learning_rate"):
            assert [row[name] for row in curves[0]] == [row[name] for row in curves[1]], name
        for name in measures:
            first, second = ([float(row[name]) for row in curve] for curve in curves)
            assert second == pytest.approx(first, rel=20 * rel), name


@pytest.mark.parametrize(
    ("optimizer", "rel"), [("sgd", 1e-6), pytest.param("adamw", 1e-4, marks=pytest.mark.long)]
)
def test_packed_runs_end_as_they_do_alone(tmp_path, config, corpus, sizes, optimizer, rel):
    configs = grid_of(config, optimizer=optimizer)
    one = alone(tmp_path / "alone", configs, corpus)
    sizes.clear()
    began = time.monotonic()
    store, told = packed(tmp_path / "packed", configs, corpus)
    elapsed = time.monotonic() - began
    check_same(configs, one, (store, told), rel, ("loss", "train_loss", "grad_norm"))
    assert len({record["loss"] for record in told.values()}) == 4 and sizes == [4]
    assert {record["way"] for record in told.values()} == {"pack"}
    assert 0 < sum(record["seconds"] for record in told.values()) < elapsed  # each its share


def test_shorter_runs_leave_and_the_pack_gets_smaller_once_for_each_size(tmp_path, config, corpus, sizes):
    steps = (150, 20, 70, 20, 150, 40)
    configs = grid_of(config, steps=steps, rates=(0.01,) * 6)
    one = alone(tmp_path / "alone", configs, corpus)
    sizes.clear()
    store, told = packed(tmp_path / "packed", configs, corpus)
    check_same(configs, one, (store, told), 1e-4, ("loss", "train_loss", "grad_norm"))
    assert sizes == [4, 2, 1]  # the fifth and the sixth took lanes that had become free
    assert [told[config.run_id]["steps"] for config in configs] == list(steps)


def test_a_run_that_diverges_leaves_its_neighbours_losses_as_they_are(tmp_path, config, corpus):
    tame = grid_of(config, optimizer="sgd", rates=(0.1, 0.2, 0.1, 0.1))
    wild = [*tame[:2], change(tame[2], optim__learning_rate=1e6, seed=9), tame[3]]
    store, told = packed(tmp_path / "tame", tame, corpus)
    other, found = packed(tmp_path / "wild", wild, corpus)
    for config in (*tame[:2], tame[3]):
        a, b = told[config.run_id], found[config.run_id]
        assert (a["loss"], a["curve_sha256"] is None) == (b["loss"], False)
        losses = [[row["loss"] for row in s.curve(config.run_id)] for s in (store, other)]
        assert losses[0] == losses[1]  # to the last bit
    _, expected = alone(tmp_path / "alone", wild[2:3], corpus)
    mad, expected = found[wild[2].run_id], expected[wild[2].run_id]
    assert mad["status"] == expected["status"] == "diverged" and mad["loss"] is None
    assert mad["last_good"]["step"] == expected["last_good"]["step"]


@pytest.mark.parametrize("looks", [pytest.param(1, marks=pytest.mark.long), 12])
def test_stopped_and_gone_on_with_each_from_its_own_checkpoint(tmp_path, config, corpus, looks):
    configs = grid_of(config, steps=(150, 150, 90, 20))
    one = alone(tmp_path / "alone", configs, corpus)
    options = {"stopping": stopping_after(looks), "save_seconds": 0.0}
    _, first = packed(tmp_path / "packed", configs, corpus, **options)
    left = [config for config in configs if first[config.run_id] is None]
    assert left
    ahead = left[0]  # one of them goes on alone for a while: the others are behind it then
    claim = Store(tmp_path / "packed").claim(ahead)
    single = trainer_in(tmp_path / "packed", stopping=stopping_after(2))
    assert train(single, ahead, corpus, claim) is None
    claim.release()
    store, second = packed(tmp_path / "packed", left, corpus)
    check_same(configs, one, (store, first | second), 1e-4)


def test_what_is_wrong_with_one_run_is_its_own(tmp_path, config, corpus):
    configs = grid_of(config)
    calls = iter(range(10))

    def sometimes():
        if next(calls) == 1:
            raise corpora.CorpusError("gone")
        return corpus

    _, told = packed(tmp_path / "a", configs, sometimes, each=3)
    assert isinstance(told[configs[1].run_id], corpora.CorpusError)
    assert [told[configs[i].run_id]["status"] for i in (0, 2, 3)] == ["done"] * 3


def test_a_run_taken_over_leaves_the_others(tmp_path, config, corpus):
    configs = grid_of(config)
    looks = iter(range(10**6))

    def taken():
        if next(looks) == 1:
            claim = Store(tmp_path).holder(configs[0].run_id)
            path = tmp_path / configs[0].run_id / "claim-1.json"
            path.write_text(json.dumps(claim))
        return False

    _, told = packed(tmp_path, configs, corpus, stopping=taken)
    assert isinstance(told[configs[0].run_id], LostClaim)
    assert [told[config.run_id]["status"] for config in configs[1:]] == ["done"] * 3


@pytest.mark.parametrize(("each", "way"), [(2, "pack"), (0, "mesh")])
def test_the_devices_of_a_record_are_those_whose_time_its_seconds_are_of(config, each, way):
    """A pack's seconds are shared by the runs on all its devices."""
    facts = Lanes(config.shape, "mesh", tuple(jax.devices()[:1]) * 4, each).facts()
    assert (facts["devices"], facts["way"]) == (4, way)


SPREAD = """
def states(config, seeds):
    hyper = step.hyper_of(config)
    return [step.init_state(config.shape, jax.random.key(seed), hyper) for seed in seeds]
config = config_of(optimizer="sgd", clip=0.0)
many = np.random.default_rng(1).integers(0, 32, (16, 6, 16, 17), np.int32)
packed, alone = parallel.compile_step(config.shape, devices=tuple(jax.devices()), each=2), []
all = packed.place(states(config, [99])[0])
for lane, state in enumerate(states(config, range(16))):
    all = packed.put(all, lane, state)
spread = {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(all)}
all, metrics = packed.step(all, many, np.int32(6))
found = []
single = parallel.compile_step(config.shape, "jit", tuple(jax.devices()[:1]))
for lane in range(16):
    (state,) = states(config, [lane])
    state, told = single.step(single.place(state), many[lane : lane + 1], np.int32(6))
    other = packed.fetch(all, lane)
    worst = max(float(abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (state, other))))
    found.append([np.asarray(told["loss"]).tolist(), metrics["loss"][lane].tolist(), worst])
print(json.dumps({"found": found, "spread": sorted(spread)}))
"""


def test_eight_devices_of_two_runs_each():
    told = said(start(SPREAD, 8))
    assert told["spread"] == [8] and len(told["found"]) == 16
    for one, other, worst in told["found"]:
        assert other == pytest.approx(one, rel=1e-6) and worst < 1e-6
    assert len({tuple(one) for one, _, _ in told["found"]}) == 16


def test_the_best_size_is_measured_once_and_kept(tmp_path, config, monkeypatch):
    rates = {1: 100.0, 2: 190.0, 4: 300.0, 8: 310.0, 16: 999.0}
    asked = []

    def measured(config, device, size, on):
        asked.append(size)
        return rates[size]

    monkeypatch.setattr(measures, "time_pack", measured)
    device = jax.local_devices()[0]
    best = lambda most: measures.best_pack(tmp_path, config, device, most)  # noqa: E731
    assert best(3) == 2 and asked == [1, 2]
    assert best(64) == 4 and asked == [1, 2, 4, 8]  # 8 gains less than a twentieth
    assert best(64) == 4 and best(1) == 1 and asked == [1, 2, 4, 8]
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace("300", "3000"))  # what is damaged is not believed
    assert best(2) == 2 and asked[4:] == [1, 2]
    rates[2] = 0.0  # does not fit
    path.unlink()
    assert best(64) == 1


def test_sizes_are_timed_for_real_and_memory_that_is_short_is_no_error(config, monkeypatch):
    device = jax.local_devices()[0]
    assert all(measures.time_pack(config, device, size) > 0 for size in (1, 2))

    made = parallel.pack.cache_info().misses
    Lanes(config.shape, "jit", (device,), 2).choose()
    assert parallel.pack.cache_info().misses == made, "what was timed is what trains"

    def short(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    monkeypatch.setattr(measures, "dispatch_seconds", short)
    assert measures.time_pack(config, device, 4) == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pack": "two"}, "--pack two: a number of runs a device"),
        ({"pack": "0"}, "from 1 on"),
        ({"pack": "2", "way": "mesh"}, "choose one of the two"),
        ({"pack": "auto", "hosts": 2}, "--hosts 2 spreads one run"),
    ],
)
def test_what_cannot_be_packed_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Order(**options)


def test_runs_are_packed_by_default_on_one_accelerator_only():
    assert Order().runs_a_device(on_cpu=True) is None
    assert Order().runs_a_device(on_cpu=False) == 0
    assert Order(devices=8).runs_a_device(on_cpu=False) is None
    assert Order(way="jit").runs_a_device(on_cpu=False) is None
    assert Order(pack="auto", devices=8).runs_a_device(on_cpu=True) == 0
    assert Order(pack="3").runs_a_device(on_cpu=True) == 3


def work_with(tmp_path, configs, monkeypatch, error, **options):
    """A worker whose packs fail: the sizes it tried, and the runs it then trained alone."""
    tried, single = [], []

    def train_crew(crew):
        each, lanes = crew.lanes.each, crew.lanes
        if each:
            tried.append((each, len([crew.offer() for _ in range(each)])))
            raise jax.errors.JaxRuntimeError(error)
        assert len(lanes.devices) == 1 and lanes.way == "jit"
        config = crew.offer().config
        single.append(config.run_id)
        Store(tmp_path).start_curve(config.run_id, 0)
        crew.ended(config, {"status": "done", "steps": config.steps, "loss": 1.0, "seconds": 1.0})

    monkeypatch.setattr(worker, "set_up", lambda task: None)
    monkeypatch.setattr(Crew, "train", train_crew)
    task = Task(str(tmp_path), [to_json(config) for config in configs], **options)
    return tried, single, lambda: worker.work(task, threading.Event())


def test_a_pack_that_fails_is_tried_in_halves_and_then_run_by_run(tmp_path, config, monkeypatch):
    configs = grid_of(config)
    full = "RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes"
    tried, single, work = work_with(tmp_path, configs, monkeypatch, full, pack=4)
    assert work() == 0 and tried == [(4, 4), (2, 2)]
    assert sorted(single) == sorted(config.run_id for config in configs)
    assert not list(tmp_path.glob("*/failure.json"))


def test_a_broken_device_is_no_run_s_fault_and_lets_all_of_them_go(tmp_path, config, monkeypatch):
    configs = grid_of(config)
    broken = "INTERNAL: the device fell over"
    tried, single, work = work_with(tmp_path, configs, monkeypatch, broken, pack=3)
    with pytest.raises(jax.errors.JaxRuntimeError, match="fell over"):
        work()
    assert tried == [(3, 3)] and not single
    status = sorted(Store(tmp_path).status(config.run_id) for config in configs)
    assert status == ["left", "stopped", "stopped", "stopped"]


@pytest.mark.parametrize("error", [None, ValueError("no such product")])
def test_while_packs_are_measured_the_claim_beats_and_an_error_is_the_run_s_own(
    tmp_path, config, monkeypatch, error
):
    beats, (one, other) = [], grid_of(config)[:2]

    def measured(*_):
        deadline = time.monotonic() + 10
        while not beats and time.monotonic() < deadline:
            time.sleep(0.01)
            beats.extend([beat] if (beat := store.holder(one.run_id)["beat"]) else [])
        if error:
            raise error
        return 2

    monkeypatch.setattr(attempt, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(measures, "best_pack", measured)
    monkeypatch.setattr(Crew, "train", lambda crew: crew.ended(crew.offer().config, None))
    store, task = Store(tmp_path), Task(str(tmp_path), [], pack=0)
    tries = attempt.Attempts(task, store, jax.devices()[:1], threading.Event(), [one, other])
    tries.train(one, store.claim(one))
    assert beats and not tries.hearts and store.holder(one.run_id)["released"]
    assert store.status(one.run_id) == ("failed" if error else "stopped")
    assert tries.failed == ({one.run_id} if error else set())


def test_a_worker_that_died_with_a_pack_is_followed_by_smaller_packs(tmp_path, config):
    configs, store = grid_of(config), Store(tmp_path)
    claims = [store.claim(one) for one in configs[:3]]
    deaths = Counter()
    process = SimpleNamespace(pid=os.getpid(), poll=lambda: -9, kill=lambda: None)
    log = tmp_path / "log"
    log.write_text("the end")
    tasks = [Task(str(tmp_path), [], pack=each) for each in (4, 2, 0)]
    dead = [local.Worker([process], task, log) for task in tasks]
    following = [local.next_task(store, configs, worker, deaths) for worker in dead]
    assert [task.pack for task in following] == [2, 1, None] and not deaths
    for claim in claims[1:]:
        claim.release()
    for _ in range(local.DEATHS):  # now one run alone is to blame
        assert local.next_task(store, configs, dead[-1], deaths) == tasks[-1]
    assert store.failure(configs[0].run_id)["kind"] == "died"
    assert not any(store.failure(one.run_id) for one in configs[1:])


@pytest.mark.slow
@pytest.mark.long  # of workers of single runs: tests/test_faults.py
def test_a_packed_grid_whose_worker_is_killed_ends_where_single_runs_do(
    tmp_path, config, corpus, lab_command
):
    configs = grid_of(config, steps=(1500, 1500, 900, 900))
    experiment, store = tmp_path / "grid.py", tmp_path / "runs"
    (tmp_path / "grid.json").write_text(json.dumps([to_json(config) for config in configs]))
    experiment.write_text(
        "import json\nfrom lab.config import from_json\ndef runs():\n"
        f"    return [from_json(run) for run in json.load(open({str(tmp_path / 'grid.json')!r}))]\n"
    )
    one = alone(tmp_path / "alone", configs, corpus)
    options = ("--store", store, "--pack", "4", "--workers", "1", "--save-seconds", "0.2")
    found = []

    def kill_once():
        deadline = time.monotonic() + 300
        while not found and time.monotonic() < deadline:
            time.sleep(0.05)
            if len(list(store.glob("*/checkpoints/[0-9]*"))) >= 4 and processes(store):
                found.extend(processes(store))
                os.kill(found[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_once)
    killer.start()
    lab_command("run", experiment, *options)
    killer.join()
    assert len(found) == 1
    records = {c.run_id: Store(store).record(c.run_id) for c in configs}
    assert {record["way"] for record in records.values()} == {"pack"}
    assert {record["pack"] for record in records.values()} <= {4, 2, 1}
    begun_twice = Counter(begun(store))
    assert set(begun_twice) == set(records) and max(begun_twice.values()) == 2
    told = {i: {name: records[i][name] for name in [*one[1][i], "pack"]} for i in records}
    check_same(configs, one, (Store(store), told), 2e-3)


@pytest.mark.long
def test_the_command_measures_how_many_pay(tmp_path, config, lab_command):
    assert "--pack two" in lab_command("run", TINY, "--pack", "two", code=1).stderr
    store = tmp_path / "runs"
    lab_command("run", TINY, "--store", store, "--pack", "auto", "--workers", "1")
    kept = [json.loads(path.read_text()) for path in (store / ".packs").iterdir()]
    assert len(kept) == 2 and all("1" in each["tokens_per_second"] for each in kept)
    done = [json.loads(path.read_text()) for path in store.glob("*/record.json")]
    assert len(done) == 4 and {record["way"] for record in done} <= {"jit", "pack"}

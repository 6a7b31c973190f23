"""A run stopped and resumed equals one left alone; a run that diverges harms nobody."""

import json
import math
import pickle
import shutil
import sys
from dataclasses import replace
from itertools import count

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from lab.data import corpora
from lab.store.files import sha256
from lab.store.store import Store
from lab.train import checkpoint, lanes
from lab.train.evaluate import Evaluator, eval_steps
from lab.train.keeper import LostClaim
from lab.train.parallel import compile_step, one_run
from lab.train.run import check_corpus
from lab.train.step import initial_state
from tests.conftest import change
from tests.trained import Trainer, train


@pytest.fixture
def corpus(config):
    return corpora.prepare(config.data.corpus, quiet=True)


@pytest.fixture
def longer(config):
    """More updates than one dispatch makes, so that there is a middle to stop in."""
    return change(config, tokens=300 * 128)


def trainer_in(folder, **options):
    return Trainer(Store(folder), jax.local_devices()[:1], **options)


def trained(trainer, config, corpus, claim=None):
    claim = claim or trainer.store.claim(config)
    record = train(trainer, config, corpus, claim)
    claim.release()
    return record


def without_times(store, config):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in store.curve(config.run_id)]


def stopping_after(n):
    looks = iter(range(10**6))
    return lambda: next(looks) >= n


def test_a_run_learns_and_says_what_it_cost(tmp_path, longer, corpus):
    trainer = trainer_in(tmp_path)
    record = trained(trainer, longer, corpus)
    curve = trainer.store.curve(longer.run_id)
    assert record["status"] == "done" and record["steps"] == 300
    assert corpus.baselines["entropy_rate"]["nats_per_token"] < record["loss"] < math.log(8)
    assert record["loss"] < float(curve[0]["loss"]) - 0.2
    # one symbol is one byte here
    assert record["bits_per_byte"] == pytest.approx(record["loss"] / math.log(2), rel=1e-12)
    assert record["held_out_tokens"] == corpus.n_held_out - 1
    assert [int(row["step"]) for row in curve] == eval_steps(300)


def test_stopped_anywhere_and_resumed_equals_left_alone_to_the_last_bit(tmp_path, longer, corpus):
    alone = trainer_in(tmp_path / "alone")
    whole = trained(alone, longer, corpus)
    for looks in (1, 4, 9):
        part = trainer_in(tmp_path / f"stopped-{looks}", stopping=stopping_after(looks))
        assert trained(part, longer, corpus) is None
        rest = trainer_in(tmp_path / f"stopped-{looks}")
        record = trained(rest, longer, corpus)
        for name in ("loss", "loss_se", "bits_per_byte", "steps"):
            assert record[name] == whole[name], (looks, name)
        assert without_times(rest.store, longer) == without_times(alone.store, longer)


def test_a_resumed_run_counts_its_seconds_on_from_its_checkpoint(tmp_path, longer, corpus, monkeypatch):
    ticks = count(1.0)
    monkeypatch.setattr(lanes.Clock, "now", lambda clock: next(ticks))  # each look takes a second
    part = trainer_in(tmp_path, stopping=stopping_after(4))
    assert trained(part, longer, corpus) is None
    at_point = float(part.store.curve(longer.run_id)[-1]["seconds"])
    monkeypatch.setattr(lanes.Clock, "now", lambda clock: 5.0)  # and the rest none
    record = trained(trainer_in(tmp_path), longer, corpus)
    assert record["seconds"] > at_point


def test_orbax_alone_reads_the_weights_by_their_names(tmp_path, longer, corpus):
    trainer = trainer_in(tmp_path)
    trained(trainer, longer, corpus)
    folder = trainer.store.folder(longer.run_id) / "checkpoints" / "300"
    names = json.loads((folder / "manifest" / "metadata").read_text())["names"]
    with ocp.StandardCheckpointer() as reader:
        arrays = {names[number]: array for number, array in reader.restore(folder / "state").items()}
    params = checkpoint.Checkpoints(folder.parent).restore(initial_state(longer)).state.params
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = "params/" + jax.tree_util.keystr(path, simple=True, separator="/")
        np.testing.assert_array_equal(np.asarray(arrays[name]), leaf)
    assert len(names) == len(set(names.values())) == len(arrays) > len(jax.tree.leaves(params))


def cut_every_file(checkpoint):
    for file in checkpoint.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_a_sum(checkpoint):
    """A manifest that is still JSON, of arrays that are whole: as if a weight had changed."""
    (file,) = [f for f in (checkpoint / "manifest").rglob("*") if b"arrays" in f.read_bytes()]
    found = file.read_bytes()
    place = found.index(b'"0001"') + 12
    file.write_bytes(found[:place] + (b"0" if found[place:][:1] != b"0" else b"1") + found[place + 1 :])


def lose_manifest(checkpoint):
    shutil.rmtree(checkpoint / "manifest")


@pytest.mark.parametrize("damage", [cut_every_file, flip_a_sum, lose_manifest])
def test_a_damaged_checkpoint_is_set_aside_and_the_run_ends_the_same(
    tmp_path, longer, corpus, capsys, damage
):
    alone = trainer_in(tmp_path / "alone")
    whole = trained(alone, longer, corpus)
    part = trainer_in(tmp_path / "hurt", stopping=stopping_after(6), save_seconds=0.0)
    assert trained(part, longer, corpus) is None
    folder = part.store.folder(longer.run_id) / "checkpoints"
    steps = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    assert len(steps) == 2
    damage(folder / str(steps[-1]))
    curve = part.store.folder(longer.run_id) / "curve.csv"
    curve.write_text(curve.read_text().replace("1", "2"))  # the checkpoint's own copy counts
    record = trained(trainer_in(tmp_path / "hurt"), longer, corpus)
    assert f"checkpoint {steps[-1]}" in capsys.readouterr().out
    assert without_times(part.store, longer) == without_times(alone.store, longer)
    assert record["curve_sha256"] == sha256(curve.read_bytes())
    assert (folder.parent / f"damaged-checkpoint-{steps[-1]}").exists()
    assert record["loss"] == whole["loss"]


@pytest.fixture
def two_saved(tmp_path):
    """A folder with two checkpoints of a small state, and what they are like."""
    like = {"weights": np.arange(6.0, dtype=np.float32), "step": np.int32(0)}
    checkpoints = checkpoint.Checkpoints(tmp_path / "run" / "checkpoints")
    for update in (20, 40):
        checkpoints.save(update, like | {"step": np.int32(update)}, f"curve {update}")
    checkpoints.wait()
    checkpoints.close()
    return tmp_path / "run" / "checkpoints", like


def test_every_checkpoint_that_was_refused_is_named_with_why(two_saved):
    folder, like = two_saved
    flip_a_sum(folder / "40")
    lose_manifest(folder / "20")
    found = checkpoint.Checkpoints(folder).restore(like)
    newest, older, last = found.warnings
    assert "checkpoint 40 of run" in newest and "manifest does not match its checksum" in newest
    assert "checkpoint 20 of run" in older and "manifest" in older
    assert f"{folder.parent}/damaged-checkpoint-20" in older
    assert "no checkpoint of run is whole" in last and (found.step, found.state) == (0, like)


def test_what_a_killed_writer_left_is_deleted_and_no_checkpoint_with_it(two_saved):
    folder, like = two_saved
    half = folder / "60.orbax-checkpoint-tmp" / "state"
    half.mkdir(parents=True)
    (half / "array").write_bytes(b"x" * 4096)
    found = checkpoint.Checkpoints(folder).restore(like)
    assert (found.step, found.warnings) == (40, ()) and half.exists()  # its writer may live
    mine = checkpoint.Checkpoints(folder, claimed=True)
    found = mine.restore(like)
    assert (found.step, found.warnings) == (40, ())
    mine.save(60, found.state)  # the library deletes beside the work, and before it saves is done
    mine.close()
    assert sorted(path.name for path in folder.iterdir()) == ["40", "60"]


def failing(monkeypatch, *errors):
    """The next reads of checkpoints fail so; those after them don't."""
    read, left = checkpoint.Checkpoints.read, list(errors)

    def stumbling(*arguments):
        if left:
            raise left.pop(0)
        return read(*arguments)

    monkeypatch.setattr(checkpoint.Checkpoints, "read", stumbling)


def test_a_read_that_fails_once_is_tried_again_and_told(two_saved, monkeypatch):
    folder, like = two_saved
    failing(monkeypatch, OSError(5, "Input/output error\nat 7f"))
    found = checkpoint.Checkpoints(folder).restore(like)
    assert (found.step, int(found.state["step"]), found.curve) == (40, 40, "curve 40")
    (said,) = found.warnings
    assert "checkpoint 40 of run was refused at first ([Errno 5] Input/output error)" in said


def test_what_was_wrong_at_each_try_is_told(two_saved, monkeypatch):
    folder, like = two_saved
    failing(monkeypatch, OSError("stale handle"), ValueError("array 0000 differs"))
    found = checkpoint.Checkpoints(folder).restore(like)
    (said,) = found.warnings
    assert "checkpoint 40 of run is damaged (stale handle; then: array 0000 differs)" in said
    assert (found.step, int(found.state["step"])) == (20, 20)


def test_a_checkpoint_of_before_manifests_is_read_and_said(tmp_path, longer, corpus, capsys):
    alone = trainer_in(tmp_path / "alone")
    whole = trained(alone, longer, corpus)
    part = trainer_in(tmp_path / "old", stopping=stopping_after(6))
    assert trained(part, longer, corpus) is None
    folder = part.store.folder(longer.run_id) / "checkpoints"
    with_manifest = checkpoint.Checkpoints(folder)
    found = with_manifest.restore(initial_state(longer))
    with_manifest.close()
    shutil.rmtree(folder)
    with ocp.CheckpointManager(folder) as manager:  # as it was written before
        arrays = checkpoint.as_dict(found.state)
        manager.save(found.step, args=ocp.args.StandardSave(arrays))
    record = trained(trainer_in(tmp_path / "old"), longer, corpus)
    assert "has no checksum" in capsys.readouterr().out
    assert record["loss"] == whole["loss"]
    assert without_times(part.store, longer) == without_times(alone.store, longer)


def test_nothing_is_unpickled_when_a_run_is_resumed(tmp_path, longer, corpus):
    part = trainer_in(tmp_path, stopping=stopping_after(6))
    assert trained(part, longer, corpus) is None
    unpickled, here = [], []
    sys.addaudithook(lambda event, args: here and event.startswith("pickle.") and unpickled.append(args))
    here.append(True)
    pickle.loads(pickle.dumps(np.dtype("f4")))  # the hook hears
    heard = len(unpickled)
    record = trained(trainer_in(tmp_path), longer, corpus)
    here.clear()
    assert heard and record["status"] == "done" and len(unpickled) == heard


def test_a_run_that_diverges_ends_with_its_last_good_values(tmp_path, longer, corpus):
    wild = change(
        longer, optim__learning_rate=1e6, optim__optimizer="sgd", optim__clip=0.0, optim__warmup_fraction=0.3
    )
    trainer = trainer_in(tmp_path)
    record = trained(trainer, wild, corpus)
    assert record["status"] == "diverged" and record["loss"] is None
    assert record["steps"] < 300
    assert record["last_good"]["loss"] is None or math.isfinite(record["last_good"]["loss"])
    assert trained(trainer, longer, corpus)["status"] == "done"
    often = trained(trainer_in(tmp_path / "often", save_seconds=0.0), wild, corpus)
    assert often["steps"] == record["steps"], "how often it is saved does not move its end"


def test_a_worker_that_lost_its_claim_writes_nothing_more(tmp_path, longer, corpus):
    trainer = trainer_in(tmp_path)
    claim = trainer.store.claim(longer)
    claim.release()
    assert trainer.store.claim(longer)  # another one holds it now
    draws = trainer.store.start_curve(longer.run_id, 0, "its line\n")
    with pytest.raises(LostClaim):
        train(trainer, longer, corpus, claim)
    assert trainer.store.record(longer.run_id) is None
    assert (claim.folder / "curve.csv").read_text() == draws


def test_changed_data_is_refused_before_training(tmp_path, longer, corpus):
    other = change(longer, data__sha256="0" * 64)
    with pytest.raises(ValueError, match=r"made for data 0{12}.* now holds"):
        check_corpus(other, corpus)
    with pytest.raises(ValueError, match="make it at least 8"):
        check_corpus(change(longer, model__vocab_size=5), corpus)


def test_a_run_whose_tokens_are_overwritten_meanwhile_keeps_no_state_and_no_record(tmp_path, longer, corpus):
    copied = shutil.copytree(corpus.path, tmp_path / "data" / corpus.path.name)
    corpus = corpora.open_corpus(corpus.name, directory=tmp_path / "data")
    tokens = (copied / "train.bin").read_bytes()
    looks = []

    def overwrite():  # in place, as a careless copy does it: what is mapped changes
        looks.append(1)
        if len(looks) == 2:
            with (copied / "train.bin").open("r+b") as file:
                file.write(tokens[: len(tokens) // 2][::-1])
        return False

    trainer = trainer_in(tmp_path / "runs", stopping=overwrite)
    claim = trainer.store.claim(longer)
    with pytest.raises(corpora.CorpusError, match=r"overwritten while they were trained on.*train.bin"):
        train(trainer, longer, corpus, claim)
    assert trainer.store.record(longer.run_id) is None
    assert not any((trainer.store.folder(longer.run_id) / "checkpoints").iterdir())


def test_tokens_replaced_by_others_leave_a_run_that_has_them_mapped_as_it_is(tmp_path, longer, corpus):
    left_alone = trained(trainer_in(tmp_path / "alone"), longer, corpus)
    copied = shutil.copytree(corpus.path, tmp_path / "data" / corpus.path.name)
    corpus = corpora.open_corpus(corpus.name, directory=tmp_path / "data")
    assert corpus.train.size and corpus.held_out.size  # mapped
    (copied / "new").write_bytes((copied / "train.bin").read_bytes()[::-1])
    (copied / "new").replace(copied / "train.bin")
    record = trained(trainer_in(tmp_path / "runs"), longer, corpus)
    assert record["loss"] == left_alone["loss"]


def test_runs_that_differ_in_rate_seed_and_length_share_one_program(tmp_path, longer, corpus):
    one_run.cache_clear()
    trainer = trainer_in(tmp_path)
    for other in (longer, change(longer, seed=1, tokens=90 * 128, optim__learning_rate=0.003)):
        assert trained(trainer, other, corpus)["status"] == "done"
    assert one_run.cache_info().misses == 1
    program = compile_step(longer.shape, "jit", tuple(trainer.devices))
    assert one_run.cache_info().misses == 1, "the very one"
    assert program.jitted._cache_size() == 1


def test_replicate_seeds_differ_and_equal_seeds_agree_to_the_bit(tmp_path, config, corpus):
    losses = [
        trained(trainer_in(tmp_path / str(i)), change(config, seed=seed), corpus)["loss"]
        for i, seed in enumerate((0, 0, 1))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_evaluation_is_the_mean_over_every_held_out_target(tmp_path, config, corpus):
    quick = Evaluator.from_corpus(corpus, 16, 1000)
    everything = Evaluator.from_corpus(corpus, 16)
    targets = everything.tokens_WL[:, 1:][everything.mask_WL]
    np.testing.assert_array_equal(targets, corpus.held_out[1:])
    assert 900 < quick.mask_WL.sum() < 1100


def test_a_state_that_lies_over_a_mesh_is_born_scored_saved_and_resumed_by_another_way(
    tmp_path, longer, corpus, monkeypatch
):
    """And never made whole on one device first."""
    trainer = trainer_in(tmp_path / "fsdp", way="fsdp", stopping=stopping_after(4))
    monkeypatch.setattr(lanes, "initial_state", None)
    assert trained(trainer, longer, corpus) is None
    monkeypatch.undo()
    there = replace(trainer, way="jit", stopping=lambda: False)
    record, whole = (trained(how, longer, corpus) for how in (there, trainer_in(tmp_path / "alone")))
    assert record["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    curves = [[float(row["loss"]) for row in how.store.curve(longer.run_id)] for how in (there, trainer)]
    assert len(curves[0]) == len(eval_steps(300)) and curves[0] == curves[1]

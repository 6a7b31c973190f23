import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import chdir, suppress
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]
hypothesis.settings.register_profile("quick", max_examples=40)
hypothesis.settings.load_profile("quick")
with suppress(ValueError):  # of another thread than the main one
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` ignores it, for all below it too
if find_spec("libtpu"):  # which compiles for `lab plan --on`: jax must not look for its chips
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
COMPILING = (  # is most of these files' time: LLVM leaves out what is dear, but for `make test-faults`
    "families objectives optimizers model kernels step sample recurrent noise lies parallel own_models infill"
).split()
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # compiled once for all tests and workers
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": tempfile.mkdtemp(prefix="compiled-"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
    }
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def compiled_for_a_test(request):
    """What is compiled in a file whose time is compiling, and in the processes that it starts. Nothing
    compiled one way is left to be run beside what is compiled the other: they differ in their last bits."""
    name = "JAX_DISABLE_MOST_OPTIMIZATIONS"
    if request.module.__name__.rpartition("test_")[2] not in COMPILING or name in os.environ:
        yield
        return
    import jax

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, "1")
        jax.config.update(name.lower(), True)
        jax.clear_caches()
        yield
    jax.config.update(name.lower(), False)
    jax.clear_caches()


@pytest.fixture(scope="session")
def config():
    """A run of seconds on a synthetic language: 1 x 16, 40 updates of 8 sequences of 16."""
    from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
    from lab.data import corpora

    corpus = corpora.prepare("markov:8-1-3-0", quiet=True)
    return RunConfig(
        model=ModelConfig(d_model=16, n_layer=1, n_head=2, vocab_size=8, seq_len=16),
        optim=OptimConfig(learning_rate=0.01),
        tokens=40 * 128,
        batch_tokens=128,
        data=DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train),
    )


@pytest.fixture
def lab_command(tmp_path):
    """Runs `python -m lab ...` in an empty folder, as a user would; gives back the process."""

    def run(*arguments, code=0, **environment):
        env = os.environ | {"PYTHONPATH": str(ROOT), "LAB_DATA": data_folder()} | environment
        done = subprocess.run(
            [sys.executable, "-m", "lab", *map(str, arguments)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A store in which the tiny grid was trained by `lab run`, and nothing happened to it."""
    from tests.grids import launch

    store = tmp_path_factory.mktemp("undisturbed") / "runs"
    process = launch(store)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    return store


def run_line(command: list[str], cwd: Path, env: dict[str, str]) -> int:
    """The exit status of `python -m analysis …`, in this process (imports are most of such a command's
    time), or of another command in its own."""
    if command[1:3] == ["-m", "analysis"]:
        from analysis.__main__ import main

        with chdir(cwd):
            return main(command[3:])
    done = subprocess.run(
        [sys.executable, *command[1:]], cwd=cwd, env=env, text=True, capture_output=True, timeout=500
    )
    print(done.stdout[-2000:], done.stderr)
    return done.returncode


def data_folder() -> str:
    return os.environ.get("LAB_DATA", str(ROOT / "data"))


def change(config, **fields):
    """`config` with fields replaced; those of a part are written part__field."""
    from lab.plan.grid import with_fields

    return with_fields(config, fields)

"""docs/extend.md: each file it shows works as it stands, by the command beside it."""

import re
import shlex
import shutil
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from analysis.laws.find import find_law
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "extend.md").read_text()
FILES = {
    code.split(":")[0].removeprefix("# "): code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S)
}
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_the_page_works_by_its_command(command, tmp_path):
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    shutil.copy(ROOT / "experiments" / "results" / "quickstart.csv", tmp_path / "runs.csv")
    env = {"LAB_DATA": str(tmp_path / "data"), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]], cwd=tmp_path, env=env, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    own = "ladder.py" in command
    runs = {"plan": "2 runs in 2 shapes", "run": "2/2 runs done"}
    expected = {"plan": "3 runs in 3 shapes", "run": "3/3 runs done", "fit": "ComputeLaw fit"} | (
        runs if own or "race.py" in command or "ahead.py" in command else {}
    )
    expected |= {"plan": "12 runs in 3 shapes"} if "melody.py" in command else {}
    assert expected[shlex.split(command)[3]] in done.stdout
    assert ("FLOPs within" in done.stdout) == own
    assert "not trained yet" not in done.stdout


def test_a_module_of_equinox_enters_by_the_page_s_wrapper(tmp_path):
    eqx = pytest.importorskip("equinox")

    class Model(eqx.Module):
        embed: eqx.nn.Embedding
        out: eqx.nn.Linear

        def __init__(self, cfg, key):
            one, two = jax.random.split(key)
            self.embed = eqx.nn.Embedding(cfg.vocab_size, cfg.d_model, key=one)
            self.out = eqx.nn.Linear(cfg.d_model, cfg.vocab_size, use_bias=False, key=two)

        def __call__(self, tokens_L):
            return jax.vmap(self.out)(jax.vmap(self.embed)(tokens_L))

    (wrapper,) = (code for code in re.findall(r"```py\n(.*?)```", PAGE, re.S) if "eqx" in code)
    names = {"jax": jax, "eqx": eqx, "Model": Model}
    exec(wrapper, names)
    cfg = SimpleNamespace(vocab_size=8, d_model=4)
    params = names["Net"].init(cfg, jax.random.key(0))
    tokens = jax.numpy.arange(6).reshape(2, 3)
    expected = jax.vmap(Model(cfg, jax.random.key(0)))(tokens)
    np.testing.assert_array_equal(names["Net"].apply(cfg, params, tokens), expected)
    assert sorted(leaf.shape for leaf in params.values()) == [(8, 4), (8, 4)]


def test_every_file_that_the_page_shows_is_asked_for_by_a_command_or_by_another_file():
    asked = [*COMMANDS, *(line for code in FILES.values() for line in code.splitlines() if line[0:1] != "#")]
    assert len(FILES) >= 5 and all(any(name in line for line in asked) for name in FILES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chincilla", "did you mean chinchilla?"),
        ("{folder}/none.py:Law", "there is no file"),
        ("{folder}/mylaw.py:Compute", "'Compute' is no class of analysis.laws.Law"),
        ("{folder}/mylaw.py:Term", "'Term' is no class of analysis.laws.Law"),
        ("{folder}/broken.py:Law", "broken.py cannot be read: SyntaxError"),
        ("{folder}/bare.py:Bare", "it wants @dataclass(frozen=True), parameters, inputs and a grid"),
    ],
)
def test_a_law_that_is_not_there_is_refused_with_what_is(text, words, tmp_path):
    (tmp_path / "mylaw.py").write_text(FILES["mylaw.py"])
    (tmp_path / "broken.py").write_text("class Law(:\n")
    (tmp_path / "bare.py").write_text("from analysis.laws import Law\n\n\nclass Bare(Law):\n    pass\n")
    (tmp_path / "later.py").write_text("from __future__ import annotations\n" + FILES["mylaw.py"])
    assert find_law(f"{tmp_path}/later.py:ComputeLaw").names()
    with pytest.raises(ValueError, match=re.escape(words)):
        find_law(text.format(folder=tmp_path))

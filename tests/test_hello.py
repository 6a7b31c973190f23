"""The smallest text model there is: an LSTM that learns to say "hello".

The example of Karpathy 2015 (The Unreasonable Effectiveness of Recurrent Neural Networks). The
vocabulary is four letters, the training text is one word, and the model has one layer of width 3:
small enough to write every number down. Each test can be read on its own, from top to bottom.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.config import ModelConfig, OptimConfig, Shape
from lab.models import counts, tree
from lab.train import step
from lab.trained import sample

LETTERS = "helo"
HELLO = jnp.array([[0, 1, 2, 2, 3]])  # h e l l o
HELL = HELLO[:, :-1]  # what the model reads; the letters after them are what it should say

CFG = ModelConfig(kind="lstm", d_model=3, n_layer=1, n_head=1, vocab_size=4, seq_len=4)
SAYS = jax.jit(lambda params, letters: tree.apply(CFG, params, letters))  # logits, letter by letter


@pytest.fixture(scope="module")
def taught():
    """The weights after 300 updates, each on the one word; and the loss (nats/letter) of each."""
    shape = Shape(CFG, OptimConfig(learning_rate=1.0), batch_size=1, micro_batch=0, steps_per_dispatch=300)
    hyper = {
        "learning_rate": 0.05,
        "weight_decay": 0.0,
        "warmup": 1.0,
        "horizon": 300.0,
        "cooldown": 0.0,
        "final": 0.1,
    }
    state = step.init_state(shape, jax.random.key(0), jax.tree.map(jnp.float32, hyper))
    batches = jnp.tile(HELLO, (300, 1, 1))
    state, metrics = jax.jit(lambda s: step.train_steps(shape, s, batches, 300))(state)
    return state.params, metrics["loss"]


def test_the_weights_can_be_counted_by_hand():
    # embedding: a row of 3 for each of 4 letters; readout: a column of 3 for each
    # four gates, each with 3 x 3 weights on the input, 3 x 3 on the last output, and 3 biases
    found = counts.count_params(CFG)
    assert (found.embed, found.hidden, found.readout) == (12, 4 * (9 + 9 + 3), 12)


def test_before_it_learns_all_letters_are_about_equally_likely(taught):
    assert float(taught[1][0]) == pytest.approx(np.log(4), abs=0.2)


def test_it_learns_to_say_hello(taught):
    params, losses = taught
    assert losses[-1] < 0.05
    said = sample.sample(CFG, params, np.array([0]), 4, temperature=0)  # the likeliest, after h
    assert "h" + "".join(LETTERS[i] for i in said) == "hello"


def test_what_it_says_after_an_l_it_can_only_know_by_remembering(taught):
    # After the first l comes l, after the second comes o. A model that sees the last letter alone
    # must give each a half: ln 2 at two of four letters, a mean of 0.347 nats.
    params, losses = taught
    p = jax.nn.softmax(SAYS(params, HELL))[0]
    assert p[2, LETTERS.index("l")] > 0.9 and p[3, LETTERS.index("o")] > 0.9
    assert losses[-1] < 0.347 / 5
    an_l = jnp.array([[LETTERS.index("l"), 0, 0, 0]])
    alone = SAYS(params, an_l)[0, 0]  # with nothing before it
    assert not np.allclose(jax.nn.softmax(alone), p[2], atol=0.05)


def test_every_number_of_its_first_steps_can_be_written_down(taught):
    """The whole model in NumPy: three lines a gate, no loop over anything but the letters."""
    params, logits_L4 = jax.tree.map(np.asarray, (taught[0], SAYS(taught[0], HELL)[0]))
    cells, sigmoid = params["cells_00"], lambda z: 1 / (1 + np.exp(-z))
    W_f, W_i, W_o, W_g = np.split(cells["w_x_DG"], 4, axis=1)  # on the input: forget, write ...
    U_f, U_i, U_o, U_g = np.split(cells["w_h_DG"], 4, axis=1)  # on the last output: ... read, new
    b_f, (b_i, b_o, b_g) = cells["bias_f_D"], np.split(cells["bias_iog_3D"], 3)
    h = c = np.zeros(3)  # what it says, and what it remembers
    for place, letter in enumerate(np.asarray(HELL)[0]):
        x = 3**0.5 * params["embed_VD"][letter]  # rows start with a spread of 3^-1/2
        forget = sigmoid(x @ W_f + h @ U_f + b_f)
        write = sigmoid(x @ W_i + h @ U_i + b_i)
        read = sigmoid(x @ W_o + h @ U_o + b_o)
        c = forget * c + write * np.tanh(x @ W_g + h @ U_g + b_g)
        h = read * np.tanh(c)
        logits = h @ params["readout_DV"]
        np.testing.assert_allclose(logits_L4[place], logits, atol=1e-4)

"""Tasks in context: their chances are chances, their answers follow, and their entropy is what they show."""

import numpy as np
import pytest

from lab.data.languages import parse_language
from lab.data.tasks import Bigrams, Copy, Recall, Sums

TASKS = [
    Copy(symbols=5, word=3),
    Recall(symbols=4, pairs=3, queries=2),
    Sums(modulus=4, digits=2),
    Bigrams(symbols=3, walk=9),
]
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)


@each_task
def test_what_may_follow_has_probabilities_that_sum_to_one(task):
    sentences = task.documents(20, task.sentence, seed=3)
    for place in range(task.sentence):
        others = np.repeat(sentences[:, None], task.n_symbols, 1)
        others[:, :, place] = np.arange(task.n_symbols)
        chances = np.exp(task.log_probs(others)[:, :, place])
        np.testing.assert_allclose(chances.sum(1), 1.0, rtol=1e-12)


@each_task
def test_the_entropy_rate_is_the_mean_surprise_of_a_sample(task):
    nats = -task.log_probs(task.documents(4000, task.sentence, seed=1)).mean(1)
    error = nats.std(ddof=1) / np.sqrt(len(nats))
    assert abs(nats.mean() - task.entropy_rate) < 4 * error + 1e-9


@pytest.mark.parametrize("task", TASKS[:3], ids=lambda task: type(task).__name__)
def test_an_answer_follows_from_its_sentence_and_nothing_else_does(task):
    chances = np.exp(task.log_probs(task.documents(50, task.sentence, seed=1)))
    marks = task.sentence - task.length
    free = ~task.asked & (np.arange(task.sentence) >= marks)
    assert (chances[:, task.asked] == 1).all() and (chances[:, :marks] == 1).all()
    assert (chances[:, free].max(0) < 1).all()


def test_sentences_say_what_the_task_is():
    (copied,) = Copy(symbols=5, word=3).documents(1, 8, 0)
    assert (copied[2:5] == copied[5:]).all() and (copied[:2] == 5).all()
    (recalled,) = Recall(symbols=4, pairs=3, queries=2).documents(1, 16, 0)[:, 6:]
    value = dict(zip(recalled[:6:2], recalled[1:6:2], strict=True))
    assert len(value) == 3 and all(value[k] == v for k, v in recalled[6:].reshape(-1, 2))
    a, b, total = Sums(modulus=4, digits=2).documents(1, 8, 0)[0, 2:].reshape(-1, 3).T
    assert (total == (a + b) % 4).all()


def test_a_walk_is_foretold_from_the_pairs_that_it_showed():
    walk = np.array([[4, 0, 1, 0, 1, 0, 2, 0]])  # a mark, then symbols of 4; of 0 came 1, 1, 2
    chances = np.exp(Bigrams(symbols=4, walk=7).log_probs(walk))[0]
    assert chances[:3] == pytest.approx([1, 1 / 4, 0.5 / 2])
    assert chances[6] == pytest.approx(0.5 / (2 + 2))  # 0 went to 1 twice, and never to 2


def test_names_make_tasks_and_cut_sentences_are_refused():
    assert parse_language("recall:4-3-2-0-5000") == (Recall(symbols=4, pairs=3, queries=2, seed=0), 5000)
    assert [task.sentence for task in TASKS] == [8, 16, 8, 16]
    with pytest.raises(ValueError, match="cut the sentences of 8"):
        TASKS[0].floor(12)
    with pytest.raises(ValueError, match="cut the sentences of 8"):
        TASKS[0].log_probs(np.zeros(12))
    with pytest.raises(ValueError, match="different keys, from 1 to 4"):
        parse_language("recall:4-5-2-0")

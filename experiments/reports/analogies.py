"""What vectors of words can answer, and what they can cost at least, of a language whose pairs are known."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, special


@dataclass(frozen=True, eq=False)
class NegativeSampling:
    """The loss of skip-gram with negative sampling over all pairs of a language, nats a target, where
    negatives are as likely as contexts are.

    Args:
      joint_WC: the probability of each pair of a word and a context.
      negatives: for each pair.
    """

    joint_WC: np.ndarray
    negatives: int

    @cached_property
    def apart_WC(self) -> np.ndarray:
        """How often each pair is met as a negative one, for each pair of the text."""
        return self.negatives * np.outer(self.joint_WC.sum(1), self.joint_WC.sum(0))

    @cached_property
    def optimum_WC(self) -> np.ndarray:
        """log P(w, c) / P(w) P(c) - log k: Levy & Goldberg 2014, equation 9."""
        return np.log(self.joint_WC / self.apart_WC)

    @property
    def floor(self) -> float:
        return self.loss(self.optimum_WC)

    def loss(self, score_WC: np.ndarray) -> float:
        nats = self.joint_WC * np.logaddexp(0, -score_WC) + self.apart_WC * np.logaddexp(0, score_WC)
        return float(nats.sum() / (1 + self.negatives))

    def best(self, width: int) -> float:
        """The least loss of any vectors of a width, by descent from the optimum's own first directions."""
        left, size, right = np.linalg.svd(self.optimum_WC, full_matrices=False)
        if width >= np.linalg.matrix_rank(self.optimum_WC):
            return self.floor
        W, root = len(left), np.sqrt(size[:width])

        def loss(flat):
            words, contexts = np.split(flat.reshape(-1, width), [W])
            score = words @ contexts.T
            slope = self.apart_WC * special.expit(score) - self.joint_WC * special.expit(-score)
            slopes = np.concatenate([slope @ contexts, slope.T @ words])
            return self.loss(score), slopes.ravel() / (1 + self.negatives)

        start = np.concatenate([left[:, :width] * root, right[:width].T * root])
        options = {"maxiter": 3000, "maxfun": 4000, "ftol": 1e-12, "gtol": 1e-9}
        return float(optimize.minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options).fun)


def right(values_WA: np.ndarray, vectors_WD: np.ndarray) -> float:
    """The share of all analogies that vectors answer: of words a, b that differ in one attribute alone, and
    any other c with a's value of it, b - a + c must be nearest by cosine, those three left out, to the word
    with b's value of it and else c's (Mikolov et al. 2013, arXiv 1301.3781, section 4).

    Args:
      values_WA: each word's values of attributes, every combination once, in lexical order.
    """
    unit_WD = vectors_WD / np.linalg.norm(vectors_WD, axis=1, keepdims=True)
    found = []
    for own_W in values_WA.T:
        for value in np.unique(own_W):
            a = np.flatnonzero(own_W == value)
            for other in np.unique(own_W[own_W != value]):
                b = np.flatnonzero(own_W == other)  # as a is ordered, by the others
                first, third = (each.ravel() for each in np.meshgrid(np.arange(len(a)), np.arange(len(a))))
                asked = first != third
                first, third = first[asked], third[asked]
                near = (unit_WD[b[first]] - unit_WD[a[first]] + unit_WD[a[third]]) @ unit_WD.T
                rows = np.arange(len(first))
                for given in (a[first], b[first], a[third]):
                    near[rows, given] = -np.inf
                found.append(near.argmax(1) == b[third])
    return float(np.concatenate(found).mean())

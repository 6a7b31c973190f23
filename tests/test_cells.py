"""What a byte of C stands in is told right, and a unit that was planted to follow it is found."""

import numpy as np
import pytest

from experiments import cells


def said(values):
    return "".join(f"{value:.0f}" for value in values)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("f(a[1], b);", "brackets", "00112211110"),
        ('f("(", c)', "brackets", "001111111"),
        ("f(\n;g", "brackets", "00110"),  # what is left open ends with its statement
        ('x "a\\"b" y', "string", "0001111100"),
        ("c = '\"'; d", "string", "0" * 10),
        ('"open\nz', "string", "0111110"),  # a string ends with its line
        ('a /* "b */ c', "comment", "000011111100"),
        ("ab\nc", "line", "0120"),
    ],
)
def test_a_byte_s_place_in_c(text, name, expected):
    assert said(cells.tracked(text.encode())[name]) == expected


def test_a_unit_that_follows_a_value_is_found_on_one_half_and_measured_on_the_other():
    rng = np.random.default_rng(0)
    value = rng.integers(0, 5, 4000).astype(float)
    states = rng.normal(size=(4000, 30))
    states[:, 7] = -value + rng.normal(size=4000) * value.std()  # correlation 1 / sqrt 2
    unit, alone, every = cells.follow(states, value)
    assert (
        unit == 7 and alone == pytest.approx(0.5**0.5, abs=0.03) and every == pytest.approx(alone, abs=0.02)
    )
    none = cells.follow(rng.normal(size=(4000, 30)), value)
    assert max(none[1:]) < 0.06

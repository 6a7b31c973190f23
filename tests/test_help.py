"""The help of every command of both programs: one style, no leaks, examples that are read as they stand."""

import re
import shlex

import pytest

from analysis.__main__ import parser as analysis_parser
from lab.commands.cli import parser as lab_parser
from tests.conftest import ROOT


def commands_of(parser, before: str = "") -> dict:
    found = {}
    for action in parser._actions:
        if isinstance(action.choices, dict):  # commands by their names
            for name, each in action.choices.items():
                found |= {before + name: each} | commands_of(each, f"{before}{name} ")
    return found


PARSERS = {"lab": lab_parser(), "analysis": analysis_parser()}
COMMANDS = {
    (top, name): each for top, parser in PARSERS.items() for name, each in commands_of(parser).items()
}
EVERY = pytest.mark.parametrize("key", COMMANDS, ids=" ".join)


@EVERY
def test_help_opens_with_a_line_and_two_examples_that_can_be_typed(key):
    top, name = key
    text = COMMANDS[key].format_help()
    usage, sentence, examples = text.split("\n\n")[:3]
    assert usage.startswith("usage: ") and len(usage.splitlines()) <= 2
    assert "\n" not in sentence and sentence[0].isupper() and sentence.endswith(".") and len(sentence) <= 100
    lines = examples.splitlines()
    assert len(lines) == 2
    for line in lines:
        program, _, words = line.strip().removeprefix("python -m ").partition(" ")
        assert program == top and set(name.split()) <= set(words.split())
        PARSERS[top].parse_args(shlex.split(words))  # or it ends the test


@EVERY
def test_every_option_says_what_it_does_and_nothing_leaks(key):
    text = COMMANDS[key].format_help()
    for leak in (
        "(default: '')",
        "(default: )",
        "(default: [])",
        "(default: None)",
        "==SUPPRESS==",
        "{,",
        "%(",
    ):
        assert leak not in text
    assert max(map(len, text.splitlines())) <= 110
    for action in COMMANDS[key]._actions:
        assert action.help, f"{action.option_strings or action.dest} has no words"


@EVERY
def test_what_is_asked_for_most_comes_before_what_is_rare(key):
    """--where and --set before the columns that hold a role and how workers are spread."""
    flags = re.findall(
        r"^  (?:-\w, )?(--[\w-]+)", COMMANDS[key].format_help().partition("options, ")[2], re.M
    )
    places = {flag: place for place, flag in enumerate(flags)}
    for first, later in (
        ("--where", "--params"),
        ("--figure", "--seed"),
        ("--set", "--hosts"),
        ("--store", "--way"),
    ):
        if first in places and later in places:
            assert places[first] < places[later]


@pytest.mark.parametrize(
    ("top", "words", "meant"),
    [
        ("lab", "stauts x", "was status meant?"),
        ("lab", "run x --lr 0.1", "was --set optim.learning_rate=... meant?"),
        ("lab", "run x --wd 0.1", "was --set optim.weight_decay=... meant?"),
        ("lab", "run x --batch-size 8", "was --set batch_tokens=... meant?"),
        ("lab", "run x --worker 2", "was --workers meant?"),
        ("analysis", "fitt x", "did you mean fit?"),
        ("analysis", "fit x --lr rate", "did you mean --learning_rate?"),
        ("analysis", "fit x --plot f.png", "did you mean --figure?"),
        ("analysis", "fit x --intervals profil", "did you mean profile?"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(capsys, top, words, meant):
    with pytest.raises(SystemExit) as ended:
        PARSERS[top].parse_args(words.split())
    assert ended.value.code == 2 and meant in capsys.readouterr().err


def test_every_command_of_a_page_can_be_typed(capsys):
    """Of README and docs, as far as parsing goes; what a page makes on the way (mylaw.py) aside."""
    typed = set()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), re.S | re.M):
            for line in block.replace("\\\n", " ").splitlines():
                said = re.match(r"(?:\$ |ray job submit -- )?(?:python -m )?(lab|analysis) ([a-z].*)", line)
                if said and "mylaw.py" not in line:
                    words = shlex.split(said[2], comments=True)
                    words = words[: next((i for i, word in enumerate(words) if word in "|>;&&"), None)]
                    typed.add(said[1])
                    try:
                        PARSERS[said[1]].parse_args(words)
                    except SystemExit:
                        pytest.fail(f"{page.name}: {line}: {capsys.readouterr().err}")
    assert typed == {"lab", "analysis"}

"""How every command's help reads: one line, two examples, common options before rare ones."""

import argparse
import textwrap

EXAMPLES = {  # of every command, what to type after `python -m lab`
    "plan": ("plan experiments.quickstart", "plan experiments.quickstart --on v5e:2x4"),
    "status": ("status experiments.quickstart", "status mine.py --store /scratch/runs"),
    "run": ("run experiments.quickstart", "run mine.py --set optim.learning_rate=0.01 --workers 4"),
    "rates": ("rates experiments.quickstart --plan", "rates experiments.quickstart --sizes 3 --rates 5"),
    "compare": (
        "compare experiments.quickstart --set model.activation=gelu --plan",
        "compare experiments.quickstart --arm change.py --within 30m",
    ),
    "grow": (
        "grow experiments.quickstart --until params_exponent±0.05 --within 2h",
        "grow mine.py --until params_exponent±0.1 --flops 1e14",
    ),
    "watch": ("watch experiments.quickstart", "watch mine.py --store /scratch/runs"),
    "export": ("export experiments.quickstart -o runs.csv", "export mine.py -o runs.csv --curves curves.csv"),
    "report": ("report experiments.quickstart", "report mine.py --out out/mine"),
    "release": ("release experiments.quickstart -o quickstart", "release mine.py -o ../mine --store runs"),
    "verify": ("verify quickstart", "verify quickstart a5d67b30f617"),
    "verify-resume": (
        "verify-resume experiments.quickstart a5d67b",
        "verify-resume experiments.quickstart a5d67b --devices 2 4 --way fsdp",
    ),
    "data": ("data list", "data prepare shakespeare --tokenizer bpe-1024"),
    "data list": ("data list", "data --tokenizer chars list"),
    "data prepare": ("data prepare shakespeare", "data prepare text:notes.txt --tokenizer bpe-4096"),
    "data show": ("data show shakespeare", "data show text:notes.txt --tokenizer bpe-4096"),
    "bench": ("bench", "bench --d-model 256 --layers 6 --batch 64 --json speed.json"),
    "sample": (
        "sample a5d67b --prompt 'To be'",
        "sample a5d67b --prompt 'To be' --temperature 0 --tokens 80",
    ),
    "compress": ("compress a5d67b notes.txt", "compress a5d67b notes.txt -o notes.lab"),
    "decompress": ("decompress notes.txt.lab", "decompress notes.lab -o notes.txt"),
}
COMMON = (  # options in the order in which they are asked for; what is not here comes after
    *("help", "set", "arm", "until", "within", "flops", "rates", "sizes", "lengths", "prompt", "tokens"),
    *("temperature", "plan", "workers", "store", "on", "out", "output", "curves", "tokenizer", "text_key"),
    *("devices", "way", "launcher", "retry", "json", "price"),
)


def arrange(commands: argparse._SubParsersAction, before: str = "") -> None:
    """Give every command's help its sentence, its examples, a short usage and its options in order."""
    rank = {name: place for place, name in enumerate(COMMON)}
    for listed in commands._choices_actions:
        listed.help = first_sentence(listed.help)
    for name, parser in commands.choices.items():
        name = before + name
        examples = "\n".join(f"  python -m lab {words}" for words in EXAMPLES[name])
        more = parser.description.partition(". ")[2]
        parser.description = f"{first_sentence(parser.description)}\n\n{examples}"
        parser.epilog = textwrap.fill(more, 98)
        needed = [action for action in parser._actions if action.option_strings and action.required]
        words = [f"{action.option_strings[-1]} {action.metavar}" for action in needed]
        for action in parser._actions:
            if not action.option_strings:
                text = action.metavar or "|".join(action.choices or [])
                words.append(f"[{text}]" if action.nargs == "?" else text)
            if isinstance(action, argparse._SubParsersAction):
                arrange(action, f"{name} ")
        parser.usage = " ".join(["%(prog)s", *words, "[options]"])
        parser._optionals.title = "options, those most asked for first"
        parser._optionals._group_actions.sort(key=lambda action: rank.get(action.dest, len(rank)))


def first_sentence(words: str) -> str:
    return words.partition(". ")[0].rstrip(".") + "."

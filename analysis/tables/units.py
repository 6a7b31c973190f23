"""The words of units: multiples such as M and billion, PF-days, and what a loss is measured in."""

import re

WORDS = {
    1e3: "k thousand kilo",
    1e6: "m mn mil million mega",
    1e9: "b g bn billion giga",
    1e12: "t tn trillion tera",
    1e15: "p peta",
    1e18: "e exa",
    1e21: "z zetta",
    1e24: "y",
}
MULTIPLES = {word: factor for factor, words in WORDS.items() for word in words.split()}
PETAFLOP_DAY = 8.64e19  # FLOPs: 1e15 a second for 86,400 seconds
DAYS = re.compile(r"(?:p|peta)[ _-]?f(?:lops?)?(?:[ _-]?/?[ _-]?s)?[ _-]*days?", re.I)
POWER = re.compile(r"[x×*]?\s*(?:1e\+?(\d{1,2})|10\s*(?:\^|\*\*)\s*(\d{1,2}))(?:\s*flops?)?")
BITS_PER_BYTE = {"bpb", "bits_per_byte", "bits_byte"}
UNSTATED = "nats/token as in the table"


def multiple(unit: str) -> float | None:
    """1e6 of M, million, MFLOPs, 1e6, ×10^6; None of what is no multiple."""
    text = unit.strip().lower().replace("parameters", "").replace("params", "")
    text = text.replace("tokens", "").strip(" _-")
    if DAYS.fullmatch(text):
        return PETAFLOP_DAY
    if power := POWER.fullmatch(text):
        return 10.0 ** int(power[1] or power[2])
    text = re.sub(r"[ _-]?flops?$", "", text)
    return MULTIPLES.get(text.removesuffix("s") if len(text) > 2 else text)


def loss_unit(name: str, unit: str) -> str:
    """What a loss is measured in, of the last word of its header and the unit stated there."""
    if name in BITS_PER_BYTE or unit in BITS_PER_BYTE:
        return "bits/byte"
    if unit.startswith("bit"):
        return "bits/token"
    if unit.startswith("nat"):
        return "nats/byte" if "byte" in unit else "nats/token"
    return UNSTATED

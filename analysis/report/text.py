"""Words from outside as text of a page: escaped, and without the power to turn the words around them."""

import re
import unicodedata
from html import escape

UNUSUAL = re.compile(r"[^\n\t -~]")
MARKS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories of characters that are no letters


def text(words: str) -> str:
    """Escaped for text and quoted attributes; marks that nobody sees, such as those that order text right to
    left, are written out (\\u202e). `words.js` does the same."""
    return escape(UNUSUAL.sub(lambda found: shown(found[0]), words))


def shown(character: str) -> str:
    if unicodedata.category(character) not in MARKS:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def paragraph(words: str) -> str:
    return f"<p>{text(words)}</p>"

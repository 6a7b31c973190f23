"""A file of the user's own that a run depends on: FILE.py:NAME, its identity, and when it is imported.

A config holds FILE.py:NAME@DIGEST. The digest is of the file's code and of what it imports from beside it,
comments, docstrings and layout aside; it enters the run_id, and where the file lies does not. It is made by
reading. A file is imported only where the user's own experiment or command has named it, in this process or
in the launcher that started it: a config that comes from a store or a table names none.
"""

import ast
import hashlib
import importlib.util
import io
import os
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

NAMED: dict[str, Path] = {}  # by their digests the files that may be imported
FOLDERS: list[Path] = []  # of the user's experiments: where a path is looked for, then the working directory
OURS = ("lab", "analysis")  # whose code is told in another way, see store/code.py
FORM = re.compile(r"(?P<file>[^:]+\.py):(?P<name>[^\W\d]\w*)(?:@(?P<digest>[0-9a-f]{12}))?")
# where a statement and a block end is told whatever the white space
WRITTEN = {tokenize.NEWLINE: ";", tokenize.INDENT: "{", tokenize.DEDENT: "}"}


def essential(source: str) -> str:
    """The code without comments, docstrings and white space: equal for versions of Python that cut it
    differently."""
    kept = [
        token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in (tokenize.COMMENT, tokenize.NL)
    ]
    parts, begins, end = [], True, None  # of a statement; of a docstring
    for token, following in pairwise([*kept, None]):
        if begins and token.type == tokenize.STRING and following.type == tokenize.NEWLINE:
            end = following
        elif token is not end:
            parts.append(WRITTEN.get(token.type, token.string))
        begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    return "".join("".join(parts).split())


def is_named(text: Any) -> bool:
    """Whether a value has the form FILE.py:NAME, with a digest or without."""
    return isinstance(text, str) and FORM.fullmatch(text) is not None


def has_digest(text: str) -> bool:
    return FORM.fullmatch(text)["digest"] is not None


def content(text: str) -> str:
    """NAME@DIGEST: what of it decides a run's numbers."""
    return text.partition(".py:")[2] if is_named(text) else text


def name(text: str) -> str:
    """FILE.py:NAME as the user's own experiment or command writes it, with the digest of what the file
    holds now, which may be imported from here on. One that has a digest is left as it is.

    Raises:
      ValueError: there is no such file, or it is no Python.
    """
    found = FORM.fullmatch(text)
    if found["digest"]:
        return text
    path = find(found["file"], text)
    digest = name_file(path)
    return f"{path.name}:{found['name']}@{digest}"


def find(file: str, what: str) -> Path:
    places = [folder / file for folder in (*FOLDERS, Path.cwd())]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise ValueError(f"{what}: there is no file {' or '.join(map(str, dict.fromkeys(places)))}")
    return path.resolve()


def name_file(path: Path) -> str:
    """The digest of a file, which may be imported from here on."""
    digest = identity(path)
    NAMED[digest] = path.resolve()
    return digest


def named() -> dict[str, str]:
    """The files that may be imported, for `allow` in another process of the same user's."""
    return {digest: str(path) for digest, path in NAMED.items()}


def allow(files: Mapping[str, str]) -> None:
    NAMED.update({digest: Path(path) for digest, path in files.items()})


def identity(path: Path) -> str:
    """First 12 hex digits of the SHA-256 of a file's code and of what it imports from beside it."""
    path, found = path.resolve(), parts_of(path)
    own = found.pop(path)  # first, and without its name
    parts = [own, *(f"{os.path.relpath(other, path.parent)}\n{found[other]}" for other in sorted(found))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def parts_of(path: Path) -> dict[Path, str]:
    """The code of a file and of what it imports from beside it, by their paths."""
    found: dict[Path, str] = {}
    read(path.resolve(), found, path.resolve().parent)
    return found


def copies(path: Path) -> dict[Path, Path]:
    """A file and what it imports from beside it, each with its place in a folder in which the file keeps its
    identity."""
    path, found = path.resolve(), parts_of(path)
    top = os.path.commonpath([above_packages(path), *(each.parent for each in found)])
    packages = {
        folder / "__init__.py" for each in found for folder in each.parents if folder.is_relative_to(top)
    }
    return {each: each.relative_to(top) for each in (*found, *(p for p in packages if p.is_file()))}


def above_packages(path: Path) -> Path:
    return next(folder for folder in path.parents if not (folder / "__init__.py").is_file())


def read(path: Path, found: dict[Path, str], root: Path) -> None:
    """Put the code of a file, and of those that it imports from beside it, from `root` or from the package
    that it is in, into `found`."""
    try:
        text = path.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(text, path.name)))
        found[path] = essential(text)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no Python: {error}") from error
    modules = {
        (0, tuple(alias.name.split("."))) for n in nodes if isinstance(n, ast.Import) for alias in n.names
    }
    for node in (node for node in nodes if isinstance(node, ast.ImportFrom)):
        module = tuple(node.module.split(".")) if node.module else ()
        modules |= {(node.level, module), *((node.level, (*module, alias.name)) for alias in node.names)}
    for level, words in sorted(modules):
        if level or words[0] not in OURS:
            for place in places(path, root, level, words):
                for other in (place.with_suffix(".py"), place / "__init__.py"):
                    if other.is_file() and other not in found:
                        read(other, found, root)


def places(path: Path, root: Path, level: int, words: tuple[str, ...]) -> Iterator[Path]:
    """Where a module that a file imports may lie, without its ending, and the packages that it names."""
    if level:
        bases = {*path.parents[level - 1 : level]}
    else:
        top = above_packages(path)
        bases = {root, path.parent} | ({top} if path.relative_to(top).parts[0] == words[0] else set())
    for base in sorted(bases):
        for n in range(len(words)):
            yield base.joinpath(*words[: n + 1])


def load(text: str) -> Any:
    """What FILE.py:NAME@DIGEST stands for.

    Raises:
      ValueError: the user named no such file; it has changed since; it holds no such name.
    """
    form = FORM.fullmatch(text)
    file, wanted, digest = form["file"], form["name"], form["digest"]
    if digest not in NAMED:
        now = [f"{path} holds {other}" for other, path in NAMED.items() if path.name == file]
        raise ValueError(
            f"{text} is code of a file, and a file is imported only where your own experiment or command "
            f"names it: name the {file} that it was made with, as it was then, in Python by "
            f'userfile.name("{file}:{wanted}") of lab.config, else by --code {file}'
            + (f" ({now[0]} now: a changed file makes runs of new ids)" if now else "")
        )
    module = module_of(NAMED[digest], digest)
    if not hasattr(module, wanted):
        raise ValueError(f"{text}: {NAMED[digest]} has no {wanted!r}")
    return getattr(module, wanted)


@cache
def module_of(path: Path, digest: str) -> Any:
    if not path.is_file() or identity(path) != digest:
        raise ValueError(
            f"{path} has changed since it was named (its code was {digest}): runs made from here on are "
            "others, with new ids; give the same command again"
        )
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(f"{path.stem}_{digest}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module

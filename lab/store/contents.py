"""What a store holds, read off the config.json of its runs, without asking any experiment."""

from collections import Counter
from collections.abc import Iterable

from lab.config import RunConfig, from_json, userfile
from lab.store.files import StoreError, read_json
from lab.store.store import Store


def learned_from(store: Store, corpora: Iterable[str]) -> bool:
    """Whether any of the store's runs learned from one of these corpora, by name. One whose
    config.json can't be read may have."""
    wanted = {*corpora}
    for path in store.root.glob("*/config.json"):
        try:
            data = (read_json(path) or {}).get("data")
        except StoreError:
            return True
        if not isinstance(data, dict) or data.get("corpus") in wanted:
            return True
    return False


def own_files(store: Store) -> Counter[str]:
    """How many of the store's runs were made with each FILE.py:NAME@DIGEST of a user's own."""
    sizes: Counter[str] = Counter()
    for path in store.root.glob("*/config.json"):
        try:
            parts = (read_json(path) or {}).values()
        except StoreError:
            continue
        values = [v for part in parts for v in (part.values() if isinstance(part, dict) else (part,))]
        sizes.update({value for value in values if userfile.is_named(value) and userfile.has_digest(value)})
    return sizes


def find(store: Store, prefix: str) -> RunConfig:
    """The run of the store whose id begins with `prefix`.

    Raises:
      StoreError: none or several do, or its config.json can't be believed.
    """
    ids = sorted(path.parent.name for path in store.root.glob("*/config.json"))
    if not ids:
        raise StoreError(f"the store {store.root} holds no runs; name another with --store")
    named = [run_id for run_id in ids if prefix and run_id.startswith(prefix)]
    if len(named) != 1:
        raise StoreError(
            f"{prefix!r} names {len(named)} runs of the store {store.root}; name one by its id or "
            f"its first digits, such as {', '.join((named or ids)[:4])}"
        )
    return read(store, named[0])


def every(store: Store) -> list[RunConfig]:
    """The runs of the store, by their ids.

    Raises:
      StoreError: there is no such folder, or a config.json can't be believed.
    """
    if not store.root.is_dir():
        raise StoreError(f"there is no store {store.root}; name the folder of runs")
    return [read(store, path.parent.name) for path in sorted(store.root.glob("*/config.json"))]


def read(store: Store, run_id: str) -> RunConfig:
    """The run of an id, from its config.json, if that can be believed."""
    path = store.root / run_id / "config.json"
    try:
        config = from_json(read_json(path) or {}, where=str(path))
    except ValueError as error:
        raise StoreError(
            f"{error}. Another version of the lab wrote it, or the file was changed; `lab run` of "
            "its experiment writes config.json anew where the run is not finished"
        ) from error
    if config.run_id != run_id:
        raise StoreError(
            f"{path} describes run {config.run_id} and not {run_id}: its results belong to another "
            "version of the lab, or the file was changed"
        )
    return config

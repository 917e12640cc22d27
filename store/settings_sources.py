"""The forms of a setting: a Python value, text in the environment, a line of a TOML file.

A `Kind` checks one value and says in words what it allows. A `Variable` is one environment name and
its reading. Nothing in here knows the fields: those are in `store.settings`.

A TOML file is edited by whole statements: the file is cut where a prefix parses, one statement is
exchanged, and the outcome is parsed again and compared before it replaces the file. A reader sees
the old file or the new one; of two writers at once, the later wins.

No message made here holds a value of a secret kind, nor an address with a password in it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from store.errors import UsageError

TRUE_WORDS: Final = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS: Final = frozenset({"0", "false", "no", "off"})
SECONDS_MAX: Final = 1e9  # waits longer than threading.TIMEOUT_MAX (9.2e9 s on Linux) overflow
COUNT_MAX: Final = 2**63 - 1
SHOWN_MAX: Final = 80  # characters of a value in a message


class Refused(ValueError):
    """A value is not of its kind; the sentence on it is made by `expected`."""


class Kind(NamedTuple):
    """The values of a field. `check` takes Python and TOML values, `parse` takes text; both return
    the value in its final type or raise ValueError (mostly `Refused`, without a text).
    """

    allowed: str
    check: Callable[[object], object]
    parse: Callable[[str], object]
    secret: bool = False


class Variable(NamedTuple):
    """An environment variable; `parse` gives a value of the field, or None: it says nothing."""

    name: str
    allowed: str
    parse: Callable[[str], object]


def expected(where: str, kind: Kind | Variable, value: object, *, secret: bool = False) -> str:
    """The sentence on a bad value: `where` names the argument, variable or file and key."""
    return f"{where}: expected {kind.allowed}, not {_shown(value, secret)}"


def closest(name: str, names: Iterable[str]) -> str | None:
    """The question "did you mean ...?" with the most similar of `names`, or None."""
    import difflib

    found = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {found[0]}?" if found else None


def _shown(value: object, secret: bool) -> str:
    text = repr(value)
    if secret or (":" in text and "@" in text):
        return "the value given"
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


def as_text(value: object, kind: Kind) -> str:
    """A value for a listing: empty where unset, keys masked."""
    if value is None:
        return ""
    if kind.secret:
        return _masked(str(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def _masked(key: str) -> str:
    """The last four characters of a key that is long enough to spare them."""
    start = "st-" if key.startswith("st-") else ""
    return f"{start}…{key[-4:] if len(key) >= 16 else ''}"


# ---------------------------------------------------------------------------- kinds


def _is_control(character: str) -> bool:
    return character < " " or character == "\x7f"


def _line(value: object) -> str:
    text = _text(value).strip()
    if not text or any(map(_is_control, text)):
        raise Refused
    return text


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise Refused
    value.encode()
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Refused
    return value


def flag_from_text(text: str) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off, in any case."""
    word = text.strip().lower()
    if word not in TRUE_WORDS and word not in FALSE_WORDS:
        raise Refused
    return word in TRUE_WORDS


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= COUNT_MAX:
        raise Refused
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused
    if not 0 < value <= SECONDS_MAX:
        raise Refused
    return float(value)


def _path(value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise Refused
    name = os.fspath(value)
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise Refused
    return Path(os.path.expanduser(name))


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = (value,)
    elif isinstance(value, set | frozenset):
        value = sorted(map(_line, value))
    if not isinstance(value, list | tuple):
        raise Refused
    return tuple(dict.fromkeys(map(_line, value)))


def _tags_from_text(text: str) -> tuple[str, ...]:
    return _tags([part for part in text.split(",") if part.strip()])


def _url(value: object) -> str:
    text = _line(value)
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in {"http", "https"}:
        host = rest.replace("?", "/").replace("#", "/").partition("/")[0]
        if not host or host.startswith(":") or "@" in host or any(map(str.isspace, text)):
            raise Refused
        return text
    if separator and scheme.lower() == "file" and rest.startswith("/"):
        return text
    folder = str(_path(text))
    if not os.path.isabs(folder):
        raise Refused
    return folder


def _key(value: object) -> str:
    text = _line(value)
    if not text.isascii() or any(map(str.isspace, text)):
        raise Refused
    return text


def choice(values: tuple[str, ...], aliases: Mapping[str, str] | None = None) -> Kind:
    """One word of `values`; `aliases` are further words for some of them."""

    def check(value: object) -> str:
        word = (aliases or {}).get(_line(value), value)
        if not isinstance(word, str) or word not in values:
            raise Refused
        return word

    return Kind(_either(values), check, lambda text: check(text.strip().lower()))


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


LINE: Final = Kind("a line of text", _line, _line)
TEXT: Final = Kind("text", _text, _text)
FLAG: Final = Kind("true or false", _flag, flag_from_text)
COUNT: Final = Kind("a whole number above 0", _count, lambda text: _count(int(text)))
SECONDS: Final = Kind("a number of seconds above 0", _seconds, lambda text: _seconds(float(text)))
PATH: Final = Kind("a path", _path, lambda text: _path(text.strip()))
TAGS: Final = Kind("a list of lines of text", _tags, _tags_from_text)
URL: Final = Kind(
    "an http:// or https:// address without user name and password, a file:// address"
    " or the absolute path of a folder",
    _url,
    _url,
)
KEY: Final = Kind("ASCII characters without blanks", _key, _key, secret=True)


# ---------------------------------------------------------------------------- files


def user_settings_file(environ: Mapping[str, str]) -> Path:
    """$XDG_CONFIG_HOME/runstore/settings.toml; without it in ~/.config, or in the folder that macOS
    and Windows have for it.
    """
    import sys

    configured = environ.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(configured):
        folder = Path(configured, "runstore")
    elif sys.platform == "darwin" or sys.platform == "win32":
        import platformdirs

        folder = platformdirs.user_config_path("runstore", appauthor=False)
    else:
        home = environ.get("HOME") or os.path.expanduser("~")
        folder = Path(home, ".config", "runstore")
    return folder / "settings.toml"


def project_settings_file(store_dir: Path) -> Path:
    """The settings file of the store in `store_dir`."""
    return store_dir / "settings.toml"


def read_toml(file: Path) -> tuple[str, dict[str, Any]]:
    """The text and the table of `file`, both empty where there is none.

    Raises UsageError where it cannot be read or parsed.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return "", {}
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    import tomllib

    try:
        text = data.decode("utf-8-sig")
        return text, tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{file} is not valid TOML: {error}"
    raise UsageError(message, hint="correct the file, or remove it")


def edit_toml(file: Path, key: str, value: object, *, secret_keys: frozenset[str]) -> None:
    """Set `key` to `value` at the top of `file`, or remove it where `value` is None.

    A file that holds one of `secret_keys` afterwards gets mode 0600. Raises UsageError where the
    file cannot be parsed or edited, OSError where it cannot be written.
    """
    target = Path(os.path.realpath(file))
    text, table = read_toml(target)
    if value is None and key not in table:
        return
    wanted = {name: old for name, old in table.items() if name != key}
    if value is not None:
        wanted[key] = list(value) if isinstance(value, tuple) else value
    changed = _exchange(text, key, None if value is None else f"{key} = {toml_literal(value)}")
    if not _parses_to(changed, wanted):
        raise UsageError(f"{file}: the key {key} cannot be changed here", hint="edit it by hand")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(target, changed.encode(), private=not secret_keys.isdisjoint(wanted))


def toml_literal(value: object) -> str:
    """`value` (text, number, flag or tuple of them) as TOML writes it; a quoted key, too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_literal, value))}]"
    import json

    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _exchange(text: str, key: str, line: str | None) -> str:
    """`text` with the statement of `key` replaced by `line`, or without it, or with it added."""
    newline = "\r\n" if "\r\n" in text else "\n"
    before: list[str] = []
    last = 0
    tail = ""
    for statement, names in _statements(text):
        if names is None:
            tail = statement
        elif key not in names:
            before.append(statement)
            last = len(before) if names else last
        elif line is not None:
            before.append(line + _comment(statement) + newline)
            line, last = None, len(before)
    if line is not None:
        last = last or len(before)
        if last and not before[last - 1].endswith("\n"):
            before[last - 1] += newline
        before.insert(last, line + newline)
    return "".join(before) + tail


def _statements(text: str) -> Iterator[tuple[str, frozenset[str] | None]]:
    """Each statement, comment and blank line above the first [table], with the keys that it sets;
    then all the rest, with None.
    """
    parts = text.split("\n")
    lines = [part + "\n" for part in parts[:-1]] + parts[-1:]
    statement = ""
    for index, line in enumerate(lines):
        if not statement and line.lstrip().startswith("["):
            yield "".join(lines[index:]), None
            return
        statement += line
        names = _keys(statement)
        if names is not None and statement:
            yield statement, names
            statement = ""


def _keys(text: str) -> frozenset[str] | None:
    import tomllib

    try:
        return frozenset(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return None


def _comment(statement: str) -> str:
    """The comment behind a statement with the blanks before it; empty where there is none."""
    names = _keys(statement)
    for index, character in enumerate(statement):
        if character == "#" and _keys(statement[:index]) == names:
            return statement[len(statement[:index].rstrip()) :].rstrip("\r\n")
    return ""


def _parses_to(text: str, table: dict[str, object]) -> bool:
    import tomllib

    try:
        return tomllib.loads(text.encode().decode()) == table
    except ValueError:
        return False


def replace_file(file: Path, data: bytes, *, private: bool) -> None:
    """Put `data` into `file`, whole or not at all; a private one gets mode 0600.

    Raises:
        OSError: it cannot be written, or its folder is not there.
    """
    temporary = file.with_name(f".{file.name}.{os.urandom(6).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o600 if private else 0o666)
    try:
        with open(descriptor, "wb") as stream:
            if not private:
                with contextlib.suppress(FileNotFoundError):
                    temporary.chmod(file.stat().st_mode & 0o777)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

"""Takes secrets out of text before it is kept: command lines, URLs, diffs, error messages.

Three kinds go, each replaced by `***`: what looks like a token wherever it stands (AWS, GitHub,
GitLab, Hugging Face, OpenAI, Slack, Google, Stripe, PyPI, npm, JWT, our own `st-` keys, private key
blocks), credentials in URLs, and the value that a secret name is given (`--api-key V`,
`password=V`, `"token": "V"`).

A name is split into words, so that `max_tokens`, `pad_token` and `sort_key` stay. In running text
a bare word after a secret name stays where it is plainly code (a call, another secret name, None).
Nothing here raises for any string. Text is worked on in pieces of whole lines, so that the GIL is
never held for long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

MASK: Final = "***"
_PIECE: Final = 4096


def _word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS: Final = _word_set(
    """
    password passwords passwd passphrase passcode secret secrets credential credentials bearer
    apikey accesskey secretkey privatekey apitoken authtoken accesstoken
    """
)
_KEY_OWNERS: Final = _word_set(
    """
    api access private secret auth account encryption signing master storage shared
    subscription
    """
)
_PASS_OWNERS: Final = _word_set(
    """
    db database user admin root mysql postgres pg redis mongo smtp mail email ftp proxy ssh
    sudo login auth http
    """
)
_MODEL_TOKENS: Final = _word_set(
    """
    pad padding eos bos eot sot eom unk unknown mask sep separator cls class start end stop
    begin special image video audio vision next prev previous first last per each by new added
    extra num n max min text word sub decoder prompt suffix prefix think blank space newline
    register patch target source src tgt input output query current cur sampled draft bad drop
    mean
    """
)
_HARMLESS_ENDS: Final = _word_set(
    """
    file path dir name names length len count size type types env var helper url uri policy
    prompt min max field required enabled ttl expiry expires
    """
)

_TOKEN_SHAPES: Final = re.compile(
    # In JSON the letter before may be that of an escape: "\\nghp_...".
    r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}"
    r"|glpat-[\w-]{20,255}"
    r"|hf_[A-Za-z0-9]{20,255}"
    r"|(?<!-)sk-(?=[A-Za-z_-]{0,64}[0-9])[\w-]{20,512}"
    r"|[srp]k_(?:live|test)_[A-Za-z0-9]{16,255}"
    r"|(?<!-)st-[0-9a-f]{40}(?![0-9a-f])"
    r"|xox[a-z]-[A-Za-z0-9-]{10,255}|xapp-[A-Za-z0-9-]{10,255}"
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,512}"
    r"|pypi-[\w-]{50,512}|npm_[A-Za-z0-9]{36}"
    r"|(?<!-)eyJ[\w-]{5,8192}\.[\w-]{5,8192}\.[\w-]{5,8192}"
    r")",
    re.ASCII,
)
_SHAPE_HINTS: Final = (
    *("AKIA", "ASIA", "ABIA", "ACCA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *("glpat-", "hf_", "sk-", "k_live_", "k_test_", "st-", "xox", "xapp-", "AIza", "ya29."),
    *("pypi-", "npm_", "eyJ"),
)
_SLACK_HOOK: Final = re.compile(r"(hooks\.slack\.com/services/)[\w/-]{8,200}", re.ASCII)
_SIGNATURE: Final = re.compile(
    r"([?&](?:sig|signature|x-(?:amz|goog)-(?:signature|credential|security-token))=)"
    r"[^&\s\"'<>]+",
    re.ASCII | re.IGNORECASE,
)
_AUTHORIZATION: Final = re.compile(
    r"(\bauthorization\\?[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\?[\"']?"
    r"(?:(?:bearer|basic|token|digest)[ \t]+)?)"
    r"[^\s\"'\\,;]{6,}",
    re.ASCII | re.IGNORECASE,
)
_BEARER: Final = re.compile(r"(\bBearer[ \t]+)(?=[^\s\"']{0,200}[0-9])[\w.~+/=-]{16,}", re.ASCII)
# A user alone is a secret before an HTTP host (a token), and only a name before any other.
_URL_LOGIN: Final = re.compile(
    r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{0,20}://)"
    r"([^\s/?#\"'<>@:]{0,256}:[^\s/\"'<>]{0,512}@|[^\s/?#\"'<>@:]{1,512}@)"
)
_SCP_LOGIN: Final = re.compile(r"^[^\s/@:\\]+:[^\s/@]+@(?=[^\s/@:]+:)")

_KEY_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINES: Final = re.compile(
    r"(?:[\s+\"',-]{0,16}(?:\\[nr]){0,2}[\s+\"',-]{0,16}[A-Za-z0-9/+=]{16,})*"
)
_KEY_CHARS: Final = 20_000

_NAME_HINTS: Final = ("passw", "passphrase", "passcode", "secret", "token", "key", "credential")
_NAME_HINTS_RARE: Final = ("pwd", "pass", "bearer")
_NAME: Final = re.compile(
    r"(?<![\w.-])[\w.-]{0,80}?(?:pass|secret|token|key|credential|pwd|bearer)[\w.-]{0,80}",
    re.ASCII | re.IGNORECASE,
)
# After the name: an end of quotes or brackets, perhaps a type annotation, and the sign.
_SIGN: Final = re.compile(
    r"\\?[\"']?\]?[ \t]{0,8}"
    r"(?::[ \t]?[\w.]{1,40}(?:\[[\w., |]{1,60}\])?(?:[ \t]?\|[ \t]?[\w.]{1,40})?[ \t]{0,4}(?==))?"
    r"(?::=|=>|=(?!=)|:(?![:=]))[ \t]{0,8}",
    re.ASCII,
)
_SPACE: Final = re.compile(r"[ \t]+")
_QUOTED: Final = re.compile(
    r"([rbfuRBFU]{0,2}(?P<quote>\\?(?:\"\"\"|'''|[\"'`])))"
    r"((?:(?!(?P=quote))(?:\\.|[^\\\n]))+)((?P=quote))?"
)
_BARE: Final = re.compile(r"[^\s\"'`,;&|()\[\]{}<>\\]+")
_REFERENCE: Final = re.compile(
    r"\$[A-Z_]{3,}|\$?\{[^}]*\}+|\$\([^)]*\)|%\w+%|<[^>]*>|\[[A-Z_]*\]|\*+", re.ASCII
)
_ALPHANUMERIC: Final = re.compile(r"[A-Za-z0-9]")
_CODE_WORD: Final = re.compile(
    r"none|null|nil|true|false|undefined|(?:\w+\.)*(?:u?int|b?float|complex|bool|str|bytes)[0-9]*",
    re.ASCII | re.IGNORECASE,
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_OPTION: Final = re.compile(r"--?[A-Za-z][\w.-]*(?:=.*)?", re.ASCII | re.DOTALL)
_ASSIGNED_NAME: Final = re.compile(r"[-+~/]*[A-Za-z_][\w./@-]*", re.ASCII)


def is_secret_name(name: str) -> bool:
    """Whether a setting, option or variable of this name holds a secret.

    `api_key`, `--hf-token`, `dbPassword` do; `max_tokens`, `pad_token`, `sort_key`,
    `password_file` do not.
    """
    words = [word.lower() for word in _WORDS.findall(name[:200])]
    if not words or words[-1] in _HARMLESS_ENDS:
        return False
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "token":
        return before not in _MODEL_TOKENS
    if last in {"pwd", "pass"}:
        return before in _PASS_OWNERS
    if last == "id":
        return False
    return any(second == "key" and first in _KEY_OWNERS for first, second in pairwise(words))


def redact_url(url: str) -> str:
    """`url` without user and password, and with `***` for secrets in its query.

    The user stays in `ssh://git@host/path` and `git@host:path`, where it is part of the address.
    """
    return redact_text(_SCP_LOGIN.sub("", _URL_LOGIN.sub(_without_login, url)))


def redact_command(argv: Sequence[str]) -> list[str]:
    """The arguments of a program, of the same number, with `***` for each secret value."""
    redacted: list[str] = []
    follows_secret = False
    for argument in argv:
        if follows_secret and not _OPTION.fullmatch(argument):
            redacted.append(MASK)
            follows_secret = False
            continue
        name, sign, value = argument.partition("=")
        is_name = _ASSIGNED_NAME.fullmatch(name) is not None and is_secret_name(name)
        follows_secret = is_name and not sign and argument.startswith("-")
        if is_name and sign:
            redacted.append(f"{name}={MASK if value else ''}")
        else:
            redacted.append(redact_text(argument))
    return redacted


def redact_text(text: str) -> str:
    """`text` with `***` for each secret found in it. Takes about 0.1 s for 1 MB of source code."""
    if "PRIVATE KEY" in text:
        text = _without_private_keys(text)
    return "".join(map(_redact_piece, _pieces(text)))


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start + _PIECE) + 1
        end = end or len(text)
        yield text[start:end]
        start = end


def _redact_piece(text: str) -> str:
    lower = text.lower()
    if "://" in text:
        text = _URL_LOGIN.sub(_masked_login, text)
        text = _SLACK_HOOK.sub(rf"\1{MASK}", text)
        text = _SIGNATURE.sub(rf"\1{MASK}", text)
    if any(hint in text for hint in _SHAPE_HINTS):
        text = _TOKEN_SHAPES.sub(MASK, text)
    if "authorization" in lower:
        text = _AUTHORIZATION.sub(rf"\1{MASK}", text)
    if "Bearer" in text:
        text = _BEARER.sub(rf"\1{MASK}", text)
    if any(hint in lower for hint in (*_NAME_HINTS, *_NAME_HINTS_RARE)):
        text = "".join(_without_values(text))
    return text


def _without_login(match: re.Match[str]) -> str:
    scheme, login = match.group(1, 2)
    user, colon, _ = login.partition(":")
    if scheme.lower().startswith("http"):
        return scheme
    return f"{scheme}{user}@" if colon and user else scheme if colon else match[0]


def _masked_login(match: re.Match[str]) -> str:
    scheme, login = match.group(1, 2)
    is_name_only = ":" not in login and not scheme.lower().startswith("http")
    return match[0] if is_name_only else f"{scheme}{MASK}@"


def _without_private_keys(text: str) -> str:
    parts: list[str] = []
    start = 0
    while begin := _KEY_BEGIN.search(text, start):
        parts += (text[start : begin.start()], MASK)
        if end := _KEY_END.search(text, begin.end(), begin.end() + _KEY_CHARS):
            start = end.end()
        elif lines := _KEY_LINES.match(text, begin.end(), begin.end() + _KEY_CHARS):
            start = lines.end()
        else:
            start = begin.end()
    return "".join((*parts, text[start:]))


def _without_values(text: str) -> Iterator[str]:
    """The parts of `text`, with `***` for the values of secret names."""
    done = 0
    scan = 0
    while name := _NAME.search(text, scan):
        scan = name.end()
        is_escape = text[name.start() - 1 : name.start()] == "\\" and name[0][0] in "nrt"
        label = name[0][1:] if is_escape else name[0]
        if not is_secret_name(label):
            continue
        sign = _SIGN.match(text, name.end())
        if sign is None and label.startswith("--"):
            sign = _SPACE.match(text, name.end())
        if sign is None:
            continue
        scan = sign.end()
        value = _secret_value(text, label, sign)
        if value is not None:
            start, end = value
            yield text[done:start]
            yield MASK
            done = scan = end
    yield text[done:]


def _secret_value(text: str, name: str, sign: re.Match[str]) -> tuple[int, int] | None:
    """Where in `text` the secret lies that `name` is given after `sign`; None = it is none."""
    if quoted := _QUOTED.match(text, sign.end()):
        # A token of text, not one that opens a door.
        is_text = name.lower().endswith("token") and (
            _SPACE.search(quoted[3]) or not _ALPHANUMERIC.search(quoted[3])
        )
        return None if is_text or _REFERENCE.fullmatch(quoted[3]) else quoted.span(3)
    bare = _BARE.match(text, sign.end())
    if bare is None or text[bare.end() : bare.end() + 1] in {"(", "[", "{"}:
        return None
    value = bare[0]
    if _REFERENCE.fullmatch(value) or _CODE_WORD.fullmatch(value) or value.startswith("$"):
        return None
    if not sign[0].strip():
        return None if value.startswith("-") else bare.span()
    if _IDENTIFIER.fullmatch(value) and is_secret_name(value):
        return None
    looks_random = len(value) >= 6 and any(map(str.isdigit, value)) and not value.isdigit()
    is_setting = sign[0] == "=" and (
        name.isupper() or text[bare.end() : bare.end() + 1] not in {",", ")"}
    )
    return bare.span() if is_setting or looks_random else None

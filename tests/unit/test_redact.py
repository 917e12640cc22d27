"""Secrets go, everything else stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.api.redact import is_secret_name, redact_command, redact_text, redact_url

DIGITS = "0123456789abcdef0123456789abcdef01234567"
# Put together here, so that no scanner takes this file for a leak.
TOKENS = {
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws-session": "ASIA" + "IOSFODNN7EXAMPLE",
    "github": "ghp_" + "a1B2" * 9,
    "github-server": "ghs_" + "a1B2" * 9,
    "github-fine": "github_pat_" + "11AAAAAAA0" + "_" + "x9" * 29,
    "gitlab": "glpat-" + "a1B2-" * 4,
    "hugging-face": "hf_" + "aBcD" * 8 + "ab",
    "openai": "sk-" + "a1B2" * 12,
    "openai-project": "sk-proj-" + "a1B2_" * 12,
    "anthropic": "sk-ant-api03-" + "a1B2_" * 12,
    "runstore": "st-" + DIGITS,
    "slack-bot": "xoxb-" + "123456789012-abcdefABCDEF",
    "slack-user": "xoxp-" + "123456789012-abcdefABCDEF",
    "google": "AIza" + "a1B2-" * 7,
    "stripe": "sk_" + "live_" + "a1B2" * 6,
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" * 4,
    "npm": "npm_" + "a1B2" * 9,
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "SflKxwRJSMeKKF2QT4fw",
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS.keys())
@pytest.mark.parametrize(
    "frame", ["{}", "see {} there", 'x = "{}"', "+f({})\n", "--name={}", "a\\n{}", "http://h/{}/x"]
)
def test_token_is_found_wherever_it_stands(token: str, frame: str) -> None:
    redacted = redact_text(frame.format(token))

    assert redacted == frame.format("***")


@pytest.mark.parametrize(
    "text",
    [
        f"commit {DIGITS}",
        "sk-learn and disk-usage-of-all-folders-2024",
        "the class sk-estimator-doc-link-container is for a page",
        "AKIA is a prefix, so are ghp_, hf_ and xoxb-",
        f"best-{DIGITS}",
        "hf_hub_download(repo_id, filename)",
    ],
)
def test_what_only_resembles_a_token_stays(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "--password",
        "DB_PASSWORD",
        "dbPassword",
        "passwd",
        "passphrase",
        "secret",
        "client_secret",
        "AWS_SECRET_ACCESS_KEY",
        "api_key",
        "--api-key",
        "apikey",
        "apiKey",
        "APIKey",
        "WANDB_API_KEY",
        "wandb.api_key",
        "token",
        "HF_TOKEN",
        "auth_token",
        "accessToken",
        "private_key",
        "AccountKey",
        "MYSQL_PWD",
        "db_pass",
        "credentials",
    ],
)
def test_name_of_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-",
        "lr",
        "key",
        "sort_key",
        "primary_key",
        "public_key",
        "keyboard",
        "monkey",
        "tokens",
        "max_tokens",
        "max_new_tokens",
        "tokenizer",
        "token_ids",
        "token_id",
        "pad_token",
        "--eos-token",
        "maskToken",
        "num_token",
        "token_type",
        "password_file",
        "--token-path",
        "secret_name",
        "PWD",
        "OLDPWD",
        "pass",
        "num_pass",
        "bypass",
        "compass",
        "secretary",
        "AWS_ACCESS_KEY_ID",
    ],
)
def test_name_of_something_else(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["train.py", "--api-key", "abc", "--lr", "0.1"], "train.py --api-key *** --lr 0.1"),
        (["--token", "abc"], "--token ***"),
        (["--password", "hunter2", "x"], "--password *** x"),
        (["--secret=abc"], "--secret=***"),
        (["--password="], "--password="),
        (["-token", "abc"], "-token ***"),
        (["wandb.api_key=abc", "model=big"], "wandb.api_key=*** model=big"),
        (["+db.password=a=b"], "+db.password=***"),
        (["API_KEY=abc", "run"], "API_KEY=*** run"),
        (["--use-auth-token", "--lr", "0.1"], "--use-auth-token --lr 0.1"),
        (["--api-key"], "--api-key"),
        (["--password", "-", "x"], "--password *** x"),
        (["password", "reset"], "password reset"),
        (["-p", "8080"], "-p 8080"),
        (["--pad-token", "<pad>", "--max-tokens=4"], "--pad-token <pad> --max-tokens=4"),
        (["--key", "loss", "--sort-key=loss"], "--key loss --sort-key=loss"),
        (["--token-file", "/run/t"], "--token-file /run/t"),
        (["--url", "https://me:pw@host/x"], "--url https://***@host/x"),
        (["--hook", TOKENS["github"]], "--hook ***"),
        (['{"api_key":"abc","lr":1}'], '{"api_key":"***","lr":1}'),
        (["Authorization: Bearer abcdef"], "Authorization: Bearer ***"),
        ([], ""),
    ],
)
def test_command(argv: list[str], expected: str) -> None:
    redacted = redact_command(argv)

    assert len(redacted) == len(argv)
    assert " ".join(redacted) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('password = "a b c"', 'password = "***"'),
        ("password='it\\'s'", "password='***'"),
        ('password = """abc"""', 'password = """***"""'),
        ("password = 'never closed\nlr = 1", "password = '***\nlr = 1"),
        ('api_key: str = "abc"', 'api_key: str = "***"'),
        ('api_key: str | None = "abc"', 'api_key: str | None = "***"'),
        ('{"token": "abc", "lr": 1}', '{"token": "***", "lr": 1}'),
        ('{\\"token\\": \\"abc\\"}', '{\\"token\\": \\"***\\"}'),
        ('environ["HF_TOKEN"] = "abc"', 'environ["HF_TOKEN"] = "***"'),
        ('"import x\\napi_key = \\"abc\\""', '"import x\\napi_key = \\"***\\""'),
        ('x = r"a"; secret = r"abc"', 'x = r"a"; secret = r"***"'),
        ("export WANDB_API_KEY=abcdef", "export WANDB_API_KEY=***"),
        ("+API_KEY=abc\n-API_KEY=old\n", "+API_KEY=***\n-API_KEY=***\n"),
        ("host=db password=hunter user=me", "host=db password=*** user=me"),
        ("password: hunter2", "password: ***"),
        ("password = hunter2", "password = ***"),
        ("http://h/x?token=abc&page=2", "http://h/x?token=***&page=2"),
        ("https://h/x?a=1&sig=Zm9v%3D&b=2", "https://h/x?a=1&sig=***&b=2"),
        ("python t.py --api-key abc --lr 1", "python t.py --api-key *** --lr 1"),
        ("postgres://me:p#w@db:5432/x", "postgres://***@db:5432/x"),
        ("https://me:p@w@host/x", "https://***@host/x"),
        ("https://onlytoken@host/x", "https://***@host/x"),
        ("AccountName=a;AccountKey=abc==;End=x", "AccountName=a;AccountKey=***;End=x"),
        ("-H 'Authorization: Basic dTpwYXNz'", "-H 'Authorization: Basic ***'"),
        ("https://hooks.slack.com/services/T0/B0/abcdef", "https://hooks.slack.com/services/***"),
    ],
)
def test_value_of_a_secret_name_in_text(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "password = getpass()",
        "token = tokens[3]",
        "login(user=user, token=token)",
        "login(password=args.password)",
        "login(\n    token=hf_token\n)",
        "def login(token: str, key: int = 3) -> None:",
        "api_key: str | None = None",
        "if token == other:",
        "password=$PASSWORD",
        'api_key = "${API_KEY}"',
        'token: "${{ secrets.TOKEN }}"',
        "sorted(rows, key=lambda row: row.step)",
        "max_tokens = 4096",
        'pad_token = "<pad>"',
        'token = "<s>"',
        "token: torch.int64",
        "class Token: pass",
        "ssh://git@host/me/x.git",
        "git@host:me/x.git",
        "https://host/@user and mail a@b.org",
        "the secret: it is none",
        "",
    ],
)
def test_code_and_prose_stay(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"),
        ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"),
    ],
)
def test_private_key_goes_whole_also_when_its_end_is_cut_off(begin: str, end: str) -> None:
    body = "\n".join(["+MIIEowIBAAKCAQEA" + "x" * 48] * 4)

    assert redact_text(f"a\n+{begin}\n{body}\n+{end}\nb") == "a\n+***\nb"
    assert "MIIE" not in redact_text(f"a\n+{begin}\n{body}")
    assert redact_text(f'if text.startswith("{begin}"):\n    pass').endswith('"):\n    pass')


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:pw@host/me/x.git", "https://host/me/x.git"),
        ("https://ghtoken@host/me/x.git", "https://host/me/x.git"),
        ("https://me:p@w@host/x", "https://host/x"),
        ("https://:pw@host/x", "https://host/x"),
        ("ssh://git@host:22/x.git", "ssh://git@host:22/x.git"),
        ("ssh://git:pw@host/x.git", "ssh://git@host/x.git"),
        ("git@host:me/x.git", "git@host:me/x.git"),
        ("me:pw@host:x.git", "host:x.git"),
        ("https://host/x?private_token=abc", "https://host/x?private_token=***"),
        ("https://[::1", "https://[::1"),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("C:\\repos\\x", "C:\\repos\\x"),
        ("file:///srv/x.git", "file:///srv/x.git"),
        ("", ""),
    ],
)
def test_url(url: str, expected: str) -> None:
    assert redact_url(url) == expected


_PARTS = st.sampled_from(
    [
        *TOKENS.values(),
        *("password", "--token", "api_key", "Bearer ", "eyJ", "-----BEGIN PRIVATE KEY-----"),
        *("=", ": ", '"', "'", "\\", "\n", " ", "@", "://", "https", "***", "[", "(", "\udcff"),
    ]
)
_TEXTS = st.text(st.characters()) | st.lists(_PARTS | st.text(max_size=3)).map("".join)


@given(_TEXTS)
def test_any_text_can_be_redacted(text: str) -> None:
    assert len(redact_text(text)) <= 3 * len(text)
    assert len(redact_url(text)) <= 3 * len(text)
    assert is_secret_name(text) in {True, False}


@given(before=_TEXTS, token=st.sampled_from(sorted(TOKENS.values())), after=_TEXTS)
def test_token_is_found_within_any_text(before: str, token: str, after: str) -> None:
    assert f" {token} " not in redact_text(f"{before} {token} {after}")


@given(st.lists(_TEXTS))
def test_any_command_can_be_redacted(argv: list[str]) -> None:
    assert len(redact_command(argv)) == len(argv)


def test_long_text_is_redacted_on_both_sides_of_every_cut() -> None:
    line = f'x = 1\ntoken = "{TOKENS["github"]}"\n'
    redacted = redact_text(line * 3000)

    assert redacted == 'x = 1\ntoken = "***"\n' * 3000

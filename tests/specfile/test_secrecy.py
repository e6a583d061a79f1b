"""What looks like a secret, and what only sounds like one."""

from __future__ import annotations

import pytest

from controller.specfile.secrecy import holds_secret, names_secret, token_in


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_TOKENS", "512"),
        ("TOKEN", "512"),
        ("TOKENIZER", "bpe-large"),
        ("PASSWORD_FILE", "/run/secrets/db"),
        ("DB_PASSWORD", "/run/secrets/db"),
        ("DB_PASSWORD", ""),
        ("SECRET_NAME", "gwas-credentials"),
        ("USE_TOKEN", "true"),
        ("PWD", "/work"),
        ("KEY", "abcdefgh"),
        ("MONKEY", "abcdefgh"),
        ("MODEL", "BLINK,FarmCPU"),
        ("URL", "https://example.org/a:b@c"),
        ("DISK", "disk-0123456789abcdefghij"),
        ("SEQUENCE", "ACGTAKIACGTACGTACGTACGT"),
        ("DIGEST", "sha256:4f1c0e7d9a3b58c2e6d4f7a09b8c1d2e3f405162738495a6b7c8d9e0f1a2b3c4"),
    ],
)
def test_harmless(name: str, value: str) -> None:
    """Sizes, paths, switches and science are no secrets."""
    assert not holds_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "ASIAIOSFODNN7EXAMPLE"),
        ("X", "github_pat_11ABCDEFG0abcdefghijklmnopqrstuv"),
        ("X", "glpat-abcdefghijklmnopqrst"),
        ("X", "sk-proj-abcdefghijklmnop0123"),
        ("X", "hf_abcdefghijklmnopqrstuvwxyzABCDEF"),
        ("X", "prefix ghs_abcdefghijklmnopqrstuvwxyz012345 suffix"),
        ("X", "postgres://me:pw@host/db"),
        ("X", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("apiKey", "x1y2z3"),
        ("private_key", "x1y2z3"),
        ("MY_PASSPHRASE", "correct horse"),
    ],
)
def test_secret(name: str, value: str) -> None:
    """Well-known tokens anywhere in a value, and values under a telling name."""
    assert holds_secret(name, value)


def test_the_first_look_misses_nothing() -> None:
    """The cheap look for marks never says no where the patterns say yes."""
    assert token_in("see xoxb-1234567890-abc")
    assert not token_in("see -----BEGIN CERTIFICATE-----")


def test_a_name_alone() -> None:
    """Columns are judged by name, whatever stands in them."""
    assert names_secret("USER_PASSWORD")
    assert not names_secret("PASSWORD_LENGTH")
    assert not names_secret("_")

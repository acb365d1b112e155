"""Secrets in code that is about to be stored with a run: known forms of keys, and values that are named as secrets.

The forms are those of https://github.com/gitleaks/gitleaks (MIT).
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from headframe.errors import ConfigurationError

_EXAMPLES = r"(?:secret|password|pass|[*\\]+)"
"""What stands for a password in documentation and tests."""

_FORMS = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s*$|\\n\w)",
    "an access key of AWS": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22})",
    "a token of GitLab": r"\bglpat-[\w-]{20}",
    "a token of Slack": r"\bxox[abeoprs]-[\w-]{10}",
    "a key of Google": r"\bAIza[\w-]{35}",
    "a key of a language model": r"\bsk-(?:ant-|proj-)?(?=[\w-]*\d)[\w-]{32}",
    "a token of Hugging Face": r"\bhf_[A-Za-z]{34}\b",
    "a key of Stripe": r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16}",
    "a token of PyPI": r"\bpypi-AgE[\w-]{50}",
    "a token of npm": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a JSON web token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10}",
    "a password in an address": rf"\b[a-z][a-z0-9+.]*://[^\s/:@'\"<>{{}}$]*:(?!{_EXAMPLES}@)[^\s/:@'\"<>{{}}$]{{3,}}@[\w\[]",
}
_KNOWN = {kind: re.compile(form) for kind, form in _FORMS.items()}
_NAMED = re.compile(
    r"(?i)(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|credential)s?(?:_(?:key|id|value|[a-z]{2,4}|\d+))?[\"']?"
    r"\s*(?:=|:)\s*[\"']?(?P<value>[^\s\"'`,;]{10,})"
)
_CODE = re.compile(r"[({<$\[\]]|\.\w+\.|^[\w.]*[A-Za-z_]\.[A-Za-z_][\w.]*$")  # a value that is computed, or a pattern
_RANDOM_BITS = 3.0
"""Bits a character: words have fewer in the short texts that passwords are, random ones of the same length more."""

_FILE = re.compile(r'^\+\+\+ "?b/(?P<name>.*?)"?\t?$')
_HUNK = re.compile(r"^@@ -\S+ \+(?P<line>\d+)")


def require_no_secrets(diff: bytes, waived: Collection[str]) -> None:
    """Check that what a diff adds holds no secret.

    Args:
        diff: in git's format.
        waived: patterns of `FILE:LINE`, for what looks like a secret and is none.

    Raises:
        ConfigurationError: it seems to hold one; the value is not quoted.
    """
    found = [each for each in find_secrets(diff) if not any(fnmatchcase(each[0], pattern) for pattern in waived)]
    if found:
        (place, kind), more = found[0], f" (and {len(found) - 1} more)" if found[1:] else ""
        raise ConfigurationError(
            f"{place} seems to hold {kind}{more}, and would be stored with the run in MLflow; move it to a file that "
            f"git ignores, or if it is no secret: 'tracking.code.waived_secrets=[{place}]'"
        )


def find_secrets(diff: bytes) -> Iterator[tuple[str, str]]:
    """Yield `FILE:LINE` and kind of what looks like a secret in the lines that a diff adds."""
    name, number = "", 0
    for text in diff.decode("utf-8", errors="replace").split("\n"):
        if (file := _FILE.match(text)) is not None:
            name = file["name"]
        elif (hunk := _HUNK.match(text)) is not None:
            number = int(hunk["line"])
        elif text.startswith("+"):
            kind = secret_in(text[1:])
            if kind is not None:
                yield f"{name}:{number}", kind
            number += 1
        elif text.startswith(" "):
            number += 1


def secret_in(text: str) -> str | None:
    """Return which kind of secret a line of text seems to hold; None where it holds none."""
    for kind, form in _KNOWN.items():
        if form.search(text):
            return kind
    for found in _NAMED.finditer(text):
        if _is_random(found["value"].rstrip(")}]>.,;:")):
            return "a value that is named as a secret"
    return None


def _is_random(value: str) -> bool:
    if _CODE.search(value) or not (any(map(str.isdigit, value)) and any(map(str.isalpha, value))):
        return False
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * math.log2(share) for share in shares) >= _RANDOM_BITS

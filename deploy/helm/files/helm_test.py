"""What `helm test` asks the Service: does it live, is somebody ready, and is the API closed to strangers?

Run by the chart's test pod with URL; it ends with 0, or says in one line what is wrong.
"""

import os
import sys
import urllib.error
import urllib.request

EXPECTED = {"/livez": (200,), "/readyz": (200,), "/metrics": (200,), "/api/v1/batches": (401, 404, 503)}
"""The API is closed to strangers, or not there (404), or not served since it could know nobody (503)."""


def ask(url: str) -> tuple[int, str]:
    """The status and the body; 0 and the reason where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)


def main() -> int:
    """Ask for everything; 1 when an answer is not the expected one."""
    wrong = []
    for path, expected in EXPECTED.items():
        code, body = ask(os.environ["URL"] + path)
        if code not in expected:
            wrong.append(f"{path}: {code or 'no answer'} instead of {expected[0]}: {body.strip()[:200]}")
        elif path == "/metrics" and "batchkeeper_build_info" not in body:
            wrong.append(f"{path}: not our metrics")
    sys.stderr.write("\n".join(wrong or ["it lives, is ready, and lets no stranger in"]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A recipient's process that pulls in a loop and writes down each answer: `PLAN OUTPUT STOP`.

Every fourth pull asks again for a delivery that it already has. Until the file STOP is there.
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from threading import Lock, Thread
from typing import Any, TextIO

import httpx

from tests.lane.proofs import proof


def main() -> None:
    plan, output, stop = (Path(argument) for argument in sys.argv[1:4])
    content = json.loads(plan.read_text())
    with output.open("w", buffering=1) as file:
        lock = Lock()
        threads = [
            Thread(target=_pull_until, args=(stop, content, file, lock)) for _ in range(content["threads"])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _pull_until(stop: Path, plan: dict[str, Any], file: TextIO, lock: Lock) -> None:
    random = Random()
    delivered: dict[str, str] = {}
    with httpx.Client(timeout=120) as http:
        while not stop.exists():
            grant_id = random.choice(list(plan["tokens"]))
            key = delivered.get(grant_id, "") if random.random() < 0.25 else ""
            attempt = _pull(http, plan, grant_id, key or random.randbytes(16).hex())
            if attempt is None:
                time.sleep(0.05)
                continue
            if attempt["status"] == httpx.codes.OK:
                delivered[grant_id] = attempt["key"]
            with lock:
                file.write(json.dumps(attempt) + "\n")


def _pull(http: httpx.Client, plan: dict[str, Any], grant_id: str, key: str) -> dict[str, Any] | None:
    """One pull; None if there is no server to ask."""
    url, token = f"{plan['issuer']}/v1/records", plan["tokens"][grant_id]
    headers = {
        "Authorization": f"DPoP {token}",
        "DPoP": proof(plan["key"], "GET", url, access_token=token, now=datetime.now(UTC)),
        "Idempotency-Key": key,
    }
    started_at = time.monotonic_ns()
    try:
        answer = http.get(url, headers=headers)
        body = answer.json()
    except httpx.TransportError:
        return None
    return {
        "started_at": started_at,
        "ended_at": time.monotonic_ns(),
        "status": answer.status_code,
        "code": body.get("code"),
        "grant_id": grant_id,
        "key": key,
        "delivery_id": body.get("delivery_id"),
        "payload_digest": body.get("payload_digest"),
    }


if __name__ == "__main__":
    main()

"""A 3D model from a picture, by the MakeIt3D door: upload or draw, ask, follow, fetch, see the credits.

    pip install requests
    DESK_USER=… DESK_PASSWORD=… python makeit3d.py chair.png

Without a picture of your own one is drawn first.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from typing import Any

import requests

DESK = os.environ.get("DESK", "http://127.0.0.1:4000").rstrip("/")
TASK = f"chair-{uuid.uuid4().hex[:8]}"  # your own name for what belongs together
session = requests.Session()


def call(method: str, path: str, **wishes: Any) -> Any:
    answer = session.request(method, DESK + path, timeout=60, **wishes)
    if not answer.ok:
        sys.exit(f"{method} {path} answered {answer.status_code}: {answer.text}")
    return answer.json()


def make(operation: str, **parameters: Any) -> str:
    """Ask, follow to the end, return the link of the result."""
    body = {"task_id": TASK, **parameters}
    # Should the answer get lost, the same call with the same key gets it again and is not charged twice.
    asked = call("POST", f"/generate/{operation}", json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
    last = None
    while True:
        found = call("GET", f"/tasks/{asked['task_id']}/status")
        if found != last:
            print(f"{operation}: {found['progress']:3d} % {found['status']}")
        if found["status"] == "failed":
            sys.exit(f"{found['error']} ({found['credits_refunded']} credits came back)")
        if found["status"] == "complete":
            return str(found["asset_url"])
        last = found
        time.sleep(1)


# Sign in. A personal token (the API page makes one) does as well, and no password has to lie around.
token = os.environ.get("DESK_TOKEN")
if not token:
    who = {"username": os.environ["DESK_USER"], "password": os.environ["DESK_PASSWORD"]}
    token = call("POST", "/api/auth/token", json=who)["access"]
session.headers["Authorization"] = f"Bearer {token}"

# A picture to begin with: uploaded, or drawn from words.
if len(sys.argv) > 1:
    with open(sys.argv[1], "rb") as file:
        picture_url = call("POST", "/api/assets", files={"file": file})["asset_url"]
else:
    picture_url = make("text-to-image", provider="provider_a", prompt="A wooden chair, plain background")

# The model. Every parameter of every provider stands in /api/docs.
model_url = make("image-to-model", provider="provider_c", input_image_asset_urls=[picture_url])

# Fetch. Links are signed, need no token, and end after a while: each look at the status makes a fresh one.
model = requests.get(model_url, timeout=60)
model.raise_for_status()
with open(f"{TASK}.glb", "wb") as file:
    file.write(model.content)
print(f"{TASK}.glb: {len(model.content)} bytes")

# See what it cost.
for line in call("GET", "/api/credits/history?limit=3"):
    print(f"{line['amount']:+5d}  {line['description']}")
print(f"{call('GET', '/api/credits/balance')['balance']} credits left")

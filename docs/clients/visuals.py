"""A picture from words, by the visual-generation door: ask, follow, fetch, see the credits.

    pip install requests websockets
    DESK_USER=… DESK_PASSWORD=… python visuals.py "A friendly dragon playing in a garden"

The same by polling alone, in curl: visuals.sh.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from typing import Any

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

DESK = os.environ.get("DESK", "http://127.0.0.1:4000").rstrip("/")
DOOR = "/api/visual-generation"
PROMPT = sys.argv[1] if len(sys.argv) > 1 else "A friendly dragon playing in a garden"
ENDS = ("completed", "failed", "cancelled")
session = requests.Session()


def call(method: str, path: str, **wishes: Any) -> Any:
    answer = session.request(method, DESK + path, timeout=60, **wishes)
    if not answer.ok:
        sys.exit(f"{method} {path} answered {answer.status_code}: {answer.text}")
    return answer.json()


# Sign in. A personal token (the API page makes one) does as well, and no password has to lie around.
token = os.environ.get("DESK_TOKEN")
if not token:
    who = {"username": os.environ["DESK_USER"], "password": os.environ["DESK_PASSWORD"]}
    token = call("POST", "/api/auth/token", json=who)["access"]
session.headers["Authorization"] = f"Bearer {token}"

# Ask. Should the answer get lost, the same call with the same key gets it again and is not charged twice.
wish = {"type": "illustration", "prompt": PROMPT, "metadata": {"aspectRatio": "square"}}
asked = call("POST", f"{DOOR}/submit", json=wish, headers={"Idempotency-Key": str(uuid.uuid4())})
request_id = asked["requestId"]
print(f"{request_id}: {asked['creditsCharged']} credits, number {asked['queuePosition']} in the queue")

# Follow. The first message says how things stand, each further one what changed.
address = DESK.replace("http", "ws", 1) + "/ws/visual-generation"
try:
    with connect(address, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        socket.send(json.dumps({"type": "subscribe", "requestId": request_id}))
        for frame in socket:
            update = json.loads(frame)["data"]
            print(f"{update['progress']:3d} % {update['status']}")
            if update["status"] in ENDS:
                break
except ConnectionClosed:
    print("the connection broke; asking instead")

# Fetch. The document is what counts; it is also the way for who cannot keep a socket open.
while (found := call("GET", f"{DOOR}/status/{request_id}?imageData=false"))["status"] not in ENDS:
    time.sleep(2)
if found["status"] != "completed":
    sys.exit(f"{found['status']}: {found['error']}")
picture = requests.get(found["result"]["imageUrl"], timeout=60)  # the link is signed: no token needed
picture.raise_for_status()
name = f"{request_id}.{picture.headers['Content-Type'].split('/')[1]}"
with open(name, "wb") as file:
    file.write(picture.content)
print(f"{name}: {len(picture.content)} bytes")

# See what it cost.
for line in call("GET", "/api/credits/history?limit=3"):
    print(f"{line['amount']:+5d}  {line['description']}")
print(f"{call('GET', '/api/credits/balance')['balance']} credits left")

"""A person in a pose of the library, by the pose-generator door: choose, ask, follow, fetch, see the credits.

    pip install requests "python-socketio[client]"
    DESK_USER=… DESK_PASSWORD=… python poses.py standing

The word is looked for in the library's names and tags. The door's plain socket is /ws/pose-generator.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from typing import Any

import requests
import socketio
from socketio.exceptions import SocketIOError

DESK = os.environ.get("DESK", "http://127.0.0.1:4000").rstrip("/")
DOOR = "/api/apps/pose-generator"
BUSY = ("pending", "processing")
SEARCH = sys.argv[1] if len(sys.argv) > 1 else "standing"
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

# Choose a pose, and a project to keep it in.
poses = call("GET", f"{DOOR}/library", params={"search": SEARCH, "limit": 1})["poses"]
if not poses:
    sys.exit(f"no pose of the library is called {SEARCH}")
avatar = {"avatarSource": "UPLOAD", "avatarImageUrl": "https://example.com/me.png"}
project = call("POST", f"{DOOR}/projects", json={"projectName": "First poses", **avatar})["project"]

# Connect, then ask: nothing is missed in between.
live = socketio.SimpleClient()
live.connect(DESK, namespace="/pose-generator", auth={"token": token})
wish = {
    "projectId": project["id"],
    "generationType": "GALLERY_REFERENCE",
    "selectedPoseIds": [poses[0]["id"]],
    "batchSize": 1,
    "exportFormats": ["instagram_feed"],
}
asked = call("POST", f"{DOOR}/generate", json=wish, headers={"Idempotency-Key": str(uuid.uuid4())})
generation_id = asked["generationId"]
print(f"{poses[0]['name']}: {asked['creditCharged']} credits. {asked['message']}")

# Follow: started, progress, and one completed or failed.
try:
    while True:
        event, *payload = live.receive(timeout=60)
        if event == "pose-generation-update" and payload[0]["generationId"] == generation_id:
            print(f"{payload[0]['type']}: {payload[0].get('completed', 0)} of {payload[0].get('total', 1)}")
            if payload[0]["type"] in ("completed", "failed"):
                break
except SocketIOError:
    print("nothing is heard; asking instead")
live.disconnect()

# Fetch. The document is what counts; it is also the way for who cannot keep a socket open.
while (found := call("GET", f"{DOOR}/generations/{generation_id}")["generation"])["status"] in BUSY:
    time.sleep(2)
if found["status"] != "completed":
    sys.exit(f"{found['status']}: {found['errorMessage']}")
for pose in call("GET", f"{DOOR}/generations/{generation_id}/results")["results"]:
    links = {f"{pose['id']}.png": pose["outputImageUrl"], f"{pose['id']}.jpg": pose["exportFormats"]["instagram_feed"]}
    for name, link in links.items():
        picture = requests.get(link, timeout=60)  # the link is signed: no token needed
        picture.raise_for_status()
        with open(name, "wb") as file:
            file.write(picture.content)
        print(f"{name}: {len(picture.content)} bytes")

# See what it cost.
for line in call("GET", "/api/credits/history?limit=3"):
    print(f"{line['amount']:+5d}  {line['description']}")
print(f"{call('GET', '/api/credits/balance')['balance']} credits left")

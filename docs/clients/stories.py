"""Checked pictures for a story, by the stories door: upload, ask, follow, fetch, see the credits.

    pip install requests websockets
    DESK_USER=… DESK_PASSWORD=… python stories.py segments.md

Without a story of your own a short one about tides is told.
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
STORY = f"tides-{uuid.uuid4().hex[:8]}"  # your own name for the session
SEGMENTS = """\
Template: How Tides Work

**Segment 1: Hook (0-8 seconds)**
- Narration text: Twice a day the sea comes and goes.
- Visual guidance: A quiet beach at dawn

**Segment 2: The Moon (8-20 seconds)**
- Narration text: The Moon pulls at the water.
- Visual guidance: The Moon above the sea
"""
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

# Upload. The answer is the outline as it was understood; a file with faults is refused with the line of each.
if len(sys.argv) > 1:
    with open(sys.argv[1], encoding="utf-8") as file:
        SEGMENTS = file.read()
stored = call("PUT", f"/api/story-sessions/{STORY}/files/segments.md", data=SEGMENTS.encode())
print(f"{stored['outline']['template_title']}: {stored['outline']['segments_total']} segments")

# Subscribe, then ask: nothing is missed in between.
wish = {"session_id": STORY, "s3_path": stored["s3_path"], "options": {"num_images": 1}}
address = DESK.replace("http", "ws", 1) + f"/ws/story-images?session_id={STORY}"
with connect(address, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
    call("POST", "/api/process-story-segments", json=wish, headers={"Idempotency-Key": str(uuid.uuid4())})
    try:
        for frame in socket:
            message = json.loads(frame)
            if message["type"] == "story_image_complete":
                break
            if message["type"] == "story_image_progress":
                progress = message["progress"]
                step = progress.get("current_segment_progress") or {}
                print(f"{progress['overall_percentage']:3d} % {step.get('current_step', '')}")
    except ConnectionClosed:
        print("the connection broke; asking instead")

# Fetch. The document is what counts; it is also the way for who cannot keep a socket open.
while (found := call("GET", f"/api/story-sessions/{STORY}"))["status"] == "in_progress":
    time.sleep(2)
print(f"{found['status']}: {found['segments_succeeded']} of {found['segments_total']} segments")
for segment in found["segment_results"]:
    for image in segment["images"]:
        picture = requests.get(image["url"], timeout=60)  # the link is signed: no token needed
        picture.raise_for_status()
        name = f"{STORY}_{segment['segment_number']}_{image['image_number']}.png"
        with open(name, "wb") as file:
            file.write(picture.content)
        print(f"{name}: {len(picture.content)} bytes")

# See what it cost.
for line in call("GET", "/api/credits/history?limit=3"):
    print(f"{line['amount']:+5d}  {line['description']}")
print(f"{call('GET', '/api/credits/balance')['balance']} credits left")
if not found["segments_succeeded"]:
    sys.exit("no segment could be made; its credits came back")

#!/usr/bin/env bash
# Checked pictures for a story, by the stories door: upload, ask, follow, fetch, see the credits.
#
#   DESK_USER=… DESK_PASSWORD=… bash stories.sh segments.md
#
# Without a story of your own a short one about tides is told.
set -euo pipefail

DESK=${DESK:-http://127.0.0.1:4000}
call() { curl --fail-with-body -sS -H "Authorization: Bearer ${TOKEN:-}" "$@"; }
field() { # what stands in a JSON document at a path such as poses.0.id
  python3 -c '
import json, sys
found = answer = json.load(sys.stdin)
try:
    for part in sys.argv[1].split("."):
        found = found[int(part) if part.isdigit() else part]
except (KeyError, IndexError):
    sys.exit(f"no {sys.argv[1]} in {answer}")
print(found)' "$1"
}

# Sign in. A personal token (the API page makes one) does as well, and no password has to lie around.
TOKEN=${DESK_TOKEN:-}
if [ -z "$TOKEN" ]; then
  TOKEN=$(call "$DESK/api/auth/token" -d "{\"username\": \"$DESK_USER\", \"password\": \"$DESK_PASSWORD\"}" | field access)
fi

# Upload. The answer is the outline as it was understood; a file with faults is refused with the line of each.
STORY=tides-$(date +%s)-$RANDOM # your own name for the session
SEGMENTS=${1:-}
if [ -z "$SEGMENTS" ]; then
  SEGMENTS=$STORY.md
  cat >"$SEGMENTS" <<'END'
Template: How Tides Work

**Segment 1: Hook (0-8 seconds)**
- Narration text: Twice a day the sea comes and goes.
- Visual guidance: A quiet beach at dawn
END
fi
KEY=$(call -X PUT "$DESK/api/story-sessions/$STORY/files/segments.md" --data-binary "@$SEGMENTS" | field s3_path)

# Ask. Should the answer get lost, the same call with the same key gets it again and is not charged twice.
call "$DESK/api/process-story-segments" -H "Idempotency-Key: $(date +%s)-$RANDOM" -d "{
  \"session_id\": \"$STORY\", \"s3_path\": \"$KEY\", \"options\": {\"num_images\": 1}
}"
echo

# Follow.
while
  FOUND=$(call "$DESK/api/story-sessions/$STORY")
  STATUS=$(field status <<<"$FOUND")
  echo "$STATUS: $(field segments_completed <<<"$FOUND") of $(field segments_total <<<"$FOUND") segments"
  [ "$STATUS" = in_progress ]
do sleep 1; done
[ "$(field segments_succeeded <<<"$FOUND")" -gt 0 ] || { field errors <<<"$FOUND"; exit 1; }

# Fetch the first picture. The link is signed: it needs no token.
curl --fail -sS -o "$STORY.png" "$(field segment_results.0.images.0.url <<<"$FOUND")"
ls -l "$STORY.png"

# See what it cost.
call "$DESK/api/credits/history?limit=3"
echo
echo "$(call "$DESK/api/credits/balance" | field balance) credits left"

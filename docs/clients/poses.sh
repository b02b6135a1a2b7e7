#!/usr/bin/env bash
# A person in a pose of the library, by the pose-generator door: choose, ask, follow, fetch, see the credits.
#
#   DESK_USER=… DESK_PASSWORD=… bash poses.sh standing
#
# The word is looked for in the library's names and tags.
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

# Choose a pose, and a project to keep it in.
DOOR=$DESK/api/apps/pose-generator
POSE=$(call -G "$DOOR/library" --data-urlencode "search=${1:-standing}" -d limit=1 | field poses.0.id)
PROJECT=$(call "$DOOR/projects" -d '{
  "projectName": "First poses", "avatarSource": "UPLOAD", "avatarImageUrl": "https://example.com/me.png"
}' | field project.id)

# Ask. Should the answer get lost, the same call with the same key gets it again and is not charged twice.
ID=$(call "$DOOR/generate" -H "Idempotency-Key: $(date +%s)-$RANDOM" -d "{
  \"projectId\": \"$PROJECT\",
  \"generationType\": \"GALLERY_REFERENCE\",
  \"selectedPoseIds\": [\"$POSE\"],
  \"batchSize\": 1,
  \"exportFormats\": [\"instagram_feed\"]
}" | field generationId)
echo "$ID"

# Follow.
while
  FOUND=$(call "$DOOR/generations/$ID")
  STATUS=$(field generation.status <<<"$FOUND")
  echo "$(field progress.percentage <<<"$FOUND") % $STATUS"
  [[ $STATUS == pending || $STATUS == processing ]]
do sleep 1; done
[ "$STATUS" = completed ] || { field generation.errorMessage <<<"$FOUND"; exit 1; }

# Fetch all poses and exports in one archive.
call -o "$ID.zip" "$DOOR/generations/$ID/export-zip"
ls -l "$ID.zip"

# See what it cost.
call "$DESK/api/credits/history?limit=3"
echo
echo "$(call "$DESK/api/credits/balance" | field balance) credits left"

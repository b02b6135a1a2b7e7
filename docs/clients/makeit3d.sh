#!/usr/bin/env bash
# A 3D model from a picture, by the MakeIt3D door: upload or draw, ask, follow, fetch, see the credits.
#
#   DESK_USER=… DESK_PASSWORD=… bash makeit3d.sh chair.png
#
# Without a picture of your own one is drawn first.
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

TASK=chair-$(date +%s)-$RANDOM # your own name for what belongs together
make() {                       # operation, parameters: ask, follow to the end, leave the result's link in LINK
  # Should the answer get lost, the same call with the same key gets it again and is not charged twice.
  local id found status
  id=$(call "$DESK/generate/$1" -H "Idempotency-Key: $(date +%s)-$RANDOM" -d "{\"task_id\": \"$TASK\", $2}" | field task_id)
  while
    found=$(call "$DESK/tasks/$id/status")
    status=$(field status <<<"$found")
    echo "$1: $(field progress <<<"$found") % $status"
    [[ $status == pending || $status == processing ]]
  do sleep 1; done
  [ "$status" = complete ] || { field error <<<"$found"; exit 1; }
  LINK=$(field asset_url <<<"$found")
}

# A picture to begin with: uploaded, or drawn from words.
if [ $# -gt 0 ]; then
  LINK=$(call "$DESK/api/assets" -F "file=@$1" | field asset_url)
else
  make text-to-image '"provider": "provider_a", "prompt": "A wooden chair, plain background"'
fi

# The model. Every parameter of every provider stands in /api/docs.
make image-to-model "\"provider\": \"provider_c\", \"input_image_asset_urls\": [\"$LINK\"]"

# Fetch. Links are signed, need no token, and end after a while: each look at the status makes a fresh one.
curl --fail -sS -o "$TASK.glb" "$LINK"
ls -l "$TASK.glb"

# See what it cost.
call "$DESK/api/credits/history?limit=3"
echo
echo "$(call "$DESK/api/credits/balance" | field balance) credits left"

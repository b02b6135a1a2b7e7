#!/usr/bin/env bash
# A picture from words, by the visual-generation door: ask, follow, fetch, see the credits.
#
#   DESK_USER=… DESK_PASSWORD=… bash visuals.sh
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

# Ask. Should the answer get lost, the same call with the same key gets it again and is not charged twice.
DOOR=$DESK/api/visual-generation
ID=$(call "$DOOR/submit" -H "Idempotency-Key: $(date +%s)-$RANDOM" -d '{
  "type": "illustration",
  "prompt": "A friendly dragon playing in a garden",
  "metadata": {"aspectRatio": "square"}
}' | field requestId)
echo "$ID"

# Follow.
while
  FOUND=$(call "$DOOR/status/$ID?imageData=false")
  STATUS=$(field status <<<"$FOUND")
  echo "$(field progress <<<"$FOUND") % $STATUS"
  [[ $STATUS == queued || $STATUS == in-progress ]]
do sleep 1; done
[ "$STATUS" = completed ] || { field error <<<"$FOUND"; exit 1; }

# Fetch. The link is signed: it needs no token.
curl --fail -sS -o "$ID.png" "$(field result.imageUrl <<<"$FOUND")"
ls -l "$ID.png"

# See what it cost.
call "$DESK/api/credits/history?limit=3"
echo
echo "$(call "$DESK/api/credits/balance" | field balance) credits left"

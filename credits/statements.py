"""The ledger's SQL, where the ORM would need several statements for what must be one."""

from __future__ import annotations

# Move the balance and write the line in one round trip. The conditional UPDATE is the lock.
#
# POSTED without a seq: nothing moved, because the account is missing or too poor. Without an id: the reference
# stands already, and UNDO must follow in the same transaction. Asking for the reference first would
# not do: an UPDATE that waited for the account does not see what was written meanwhile.
POST = """
moved AS (
    UPDATE credits_account
    SET balance = balance + %(amount)s,
        seq = seq + 1,
        total_purchased = total_purchased + %(purchased)s,
        total_earned = total_earned + %(earned)s,
        updated_at = clock_timestamp()
    WHERE owner_id = %(account_id)s
      AND balance + %(amount)s >= 0
    RETURNING owner_id, seq, balance, updated_at
), posted AS (
    INSERT INTO credits_entry (
        account_id, seq, kind, amount, balance_after, reference, subject,
        operation_key, cost_usd, description, actor, metadata, created_at
    )
    SELECT owner_id, seq, %(kind)s, %(amount)s, balance, %(reference)s, %(subject)s,
        %(operation_key)s, %(cost_usd)s::numeric, %(description)s, %(actor)s, %(metadata)s::jsonb, updated_at
    FROM moved
    ON CONFLICT (kind, reference) DO NOTHING
    RETURNING id
)
"""
POSTED = (
    "(SELECT id FROM posted)",
    "(SELECT seq FROM moved)",
    "(SELECT balance FROM moved)",
    "(SELECT updated_at FROM moved)",
)

UNDO = """
UPDATE credits_account
SET balance = balance - %(amount)s,
    seq = seq - 1,
    total_purchased = total_purchased - %(purchased)s,
    total_earned = total_earned - %(earned)s
WHERE owner_id = %(account_id)s
"""

# No row: no unlimited tier in force, or not so many units left.
TAKE_QUOTA = """
INSERT INTO credits_quotaday AS today (account_id, day, used, quota)
SELECT owner_id, %(day)s, %(units)s, unlimited_daily_quota
FROM credits_account
WHERE owner_id = %(owner)s
  AND unlimited_active
  AND (unlimited_expires_at IS NULL OR unlimited_expires_at > now())
  AND %(units)s <= unlimited_daily_quota
ON CONFLICT (account_id, day) DO UPDATE
SET used = today.used + EXCLUDED.used, quota = EXCLUDED.quota
WHERE today.used + EXCLUDED.used <= EXCLUDED.quota
"""

QUOTA_LEFT = """
SELECT account.unlimited_daily_quota - coalesce(today.used, 0)
FROM credits_account account
LEFT JOIN credits_quotaday today ON today.account_id = account.owner_id AND today.day = %(day)s
WHERE account.owner_id = %(owner)s
  AND account.unlimited_active
  AND (account.unlimited_expires_at IS NULL OR account.unlimited_expires_at > now())
"""

GIVE_BACK_QUOTA = """
UPDATE credits_quotaday SET used = used - %(units)s
WHERE account_id = %(owner)s AND day = %(day)s AND used >= %(units)s
"""

# expected and found are balances; where the entry before is missing, they are its number and the
# number that stands there instead.
CHAIN_FAULTS = """
SELECT entry.account_id, 'chain', entry.seq,
    CASE WHEN is_gap THEN entry.seq - 1 ELSE coalesce(previous.balance_after, 0) + entry.amount END,
    CASE WHEN is_gap THEN (
        SELECT coalesce(max(seq), 0) FROM credits_entry WHERE account_id = entry.account_id AND seq < entry.seq
    ) ELSE entry.balance_after END
FROM credits_entry entry
LEFT JOIN credits_entry previous ON previous.account_id = entry.account_id AND previous.seq = entry.seq - 1
CROSS JOIN LATERAL (SELECT entry.seq > 1 AND previous.id IS NULL AS is_gap) AS chain
WHERE (%(since)s::timestamptz IS NULL OR entry.created_at >= %(since)s::timestamptz)
  AND (is_gap OR entry.balance_after <> coalesce(previous.balance_after, 0) + entry.amount)
ORDER BY entry.account_id, entry.seq
"""

ACCOUNT_FAULTS = """
WITH summed AS (
    SELECT account_id,
        count(*) AS seq,
        sum(amount)::bigint AS balance,
        coalesce(sum(amount) FILTER (WHERE kind = 'purchase'), 0)::bigint AS purchased,
        coalesce(sum(amount) FILTER (WHERE kind = 'grant'), 0)::bigint AS earned
    FROM credits_entry
    WHERE %(since)s::timestamptz IS NULL
       OR account_id IN (SELECT account_id FROM credits_entry WHERE created_at >= %(since)s::timestamptz)
    GROUP BY account_id
)
SELECT account.owner_id, rule, NULL, expected, found
FROM credits_account account
LEFT JOIN summed ON summed.account_id = account.owner_id
CROSS JOIN LATERAL (VALUES
    ('balance', coalesce(summed.balance, 0), account.balance),
    ('seq', coalesce(summed.seq, 0), account.seq),
    ('total_purchased', coalesce(summed.purchased, 0), account.total_purchased),
    ('total_earned', coalesce(summed.earned, 0), account.total_earned)
) AS sums (rule, expected, found)
WHERE expected <> found
  AND (%(since)s::timestamptz IS NULL OR summed.account_id IS NOT NULL)
ORDER BY account.owner_id, rule
"""

"""Let the database itself keep the ledger's promise, for whoever writes SQL.

- Entries refuse UPDATE, DELETE and TRUNCATE.
- A new entry must be the account's next one: its number and balance are those to which the account
  has just moved, and they follow from the entry before.
- At commit an account must stand where its last entry left it, so a balance cannot move alone.

Together: the balance is the sum of the entries. Each check is one look-up by index.
"""

from __future__ import annotations

from django.db import migrations

FORWARD = """
CREATE FUNCTION credits_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger entries are never changed: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER entries_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON credits_entry
    FOR EACH STATEMENT EXECUTE FUNCTION credits_refuse_change();

CREATE FUNCTION credits_check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM credits_account account
        LEFT JOIN credits_entry previous ON previous.account_id = NEW.account_id AND previous.seq = NEW.seq - 1
        WHERE account.owner_id = NEW.account_id
          AND account.seq = NEW.seq
          AND account.balance = NEW.balance_after
          AND NEW.balance_after - NEW.amount = CASE WHEN NEW.seq = 1 THEN 0 ELSE previous.balance_after END;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'entry % of account % does not continue its chain', NEW.seq, NEW.account_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_continues_the_chain';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER entry_continues_the_chain
    BEFORE INSERT ON credits_entry
    FOR EACH ROW EXECUTE FUNCTION credits_check_entry();

CREATE FUNCTION credits_check_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM credits_account account
        LEFT JOIN LATERAL (
            SELECT seq, balance_after FROM credits_entry
            WHERE account_id = account.owner_id ORDER BY seq DESC LIMIT 1
        ) last ON true
        WHERE account.owner_id = NEW.owner_id
          AND (account.seq <> coalesce(last.seq, 0) OR account.balance <> coalesce(last.balance_after, 0));
    IF FOUND THEN
        RAISE EXCEPTION 'account % does not stand where its last entry left it', NEW.owner_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'balance_is_the_sum_of_entries';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER balance_is_the_sum_of_entries
    AFTER INSERT OR UPDATE OF balance, seq ON credits_account
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION credits_check_account();
"""

BACKWARD = """
DROP TRIGGER balance_is_the_sum_of_entries ON credits_account;
DROP TRIGGER entry_continues_the_chain ON credits_entry;
DROP TRIGGER entries_are_append_only ON credits_entry;
DROP FUNCTION credits_check_account();
DROP FUNCTION credits_check_entry();
DROP FUNCTION credits_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]

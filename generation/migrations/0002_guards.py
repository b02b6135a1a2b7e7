"""The database's own word on refunds: what an item says was refunded is what its entries say, at every commit."""

from __future__ import annotations

from django.db import migrations

FORWARD = """
CREATE FUNCTION generation_item_refunds_match() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE posted bigint; said bigint;
BEGIN
    SELECT refunded INTO said FROM generation_item WHERE id = NEW.id;
    SELECT COALESCE(sum(amount), 0) INTO posted FROM credits_entry
    WHERE subject = 'item:' || NEW.id AND kind = 'refund';
    IF posted <> said THEN
        RAISE EXCEPTION 'item % says % credits were refunded, its entries say %', NEW.id, said, posted
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER item_refunds_match AFTER UPDATE OF refunded ON generation_item
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.refunded IS DISTINCT FROM NEW.refunded)
    EXECUTE FUNCTION generation_item_refunds_match();

CREATE FUNCTION generation_entry_matches_item() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE posted bigint; said bigint;
BEGIN
    SELECT refunded INTO said FROM generation_item WHERE id = substr(NEW.subject, 6)::bigint;
    SELECT COALESCE(sum(amount), 0) INTO posted FROM credits_entry WHERE subject = NEW.subject AND kind = 'refund';
    IF posted <> said THEN
        RAISE EXCEPTION '% was refunded % credits, its row says %', NEW.subject, posted, said
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entry_matches_item AFTER INSERT ON credits_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind = 'refund' AND NEW.subject ~ '^item:[0-9]+$')
    EXECUTE FUNCTION generation_entry_matches_item();

CREATE FUNCTION generation_event_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER event_is_final BEFORE UPDATE ON generation_event
    FOR EACH ROW EXECUTE FUNCTION generation_event_is_final();
"""

BACKWARD = """
DROP TRIGGER event_is_final ON generation_event;
DROP FUNCTION generation_event_is_final();
DROP TRIGGER entry_matches_item ON credits_entry;
DROP FUNCTION generation_entry_matches_item();
DROP TRIGGER item_refunds_match ON generation_item;
DROP FUNCTION generation_item_refunds_match();
"""


class Migration(migrations.Migration):
    dependencies = [("generation", "0001_initial"), ("credits", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]

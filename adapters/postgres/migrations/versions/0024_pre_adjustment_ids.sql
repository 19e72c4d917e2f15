ALTER TABLE core.break_resolutions DROP CONSTRAINT break_resolutions_check2;
UPDATE core.break_resolutions SET entry_id = NULL, transfer_id = NULL WHERE approved_by IS NULL;
ALTER TABLE core.break_resolutions
    ADD CONSTRAINT break_resolutions_adjustment
        CHECK ((counter_account_id IS NULL) = (kind <> 'adjustment')),
    ADD CONSTRAINT break_resolutions_entry
        CHECK (num_nonnulls(entry_id, transfer_id) = CASE WHEN approved_by IS NULL THEN 0 ELSE 2 END);
GRANT UPDATE (entry_id, transfer_id) ON core.break_resolutions TO reli_app;

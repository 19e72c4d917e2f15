-- Keys aside, which their constraints explain; `\di+ core.` lists them. Newer indexes say it where
-- they are made.
COMMENT ON INDEX core.api_keys_secret_hash IS 'Who shows a secret, before the tenant is known.';
COMMENT ON INDEX core.attempts_one_fill IS 'One fill a trade, whatever the code above believes.';
COMMENT ON INDEX core.attempts_venue_order IS 'One execution of a venue settles one trade.';
COMMENT ON INDEX core.breaks_late_fill IS
    'An attempt is filled late once, whoever finds that out and however often.';
COMMENT ON INDEX core.dead_letters_id IS 'A dead letter by the id that the operator is told.';
COMMENT ON INDEX core.dead_letters_requested IS
    'Replays that wait for a worker, the longest first.';
COMMENT ON INDEX core.expiring_holds_due IS 'What lapses next.';
COMMENT ON INDEX core.late_checks_due IS 'Whose late look is due next.';
COMMENT ON INDEX core.outbox_unstamped IS
    'What waits for its stamp, in the order of one clock: empty but for a moment.';
COMMENT ON INDEX core.quotes_customer IS 'A customer''s quotes, the newest first.';
COMMENT ON INDEX core.trade_queue_due IS 'Which trade is due next, whoever owns it.';
COMMENT ON INDEX core.trade_resolutions_approved IS
    'One decision an attempt, however many were proposed.';
COMMENT ON INDEX core.trades_customer IS 'A customer''s trades, the newest first.';
COMMENT ON INDEX core.trades_unknown IS 'What the operator looks for, the oldest first.';
COMMENT ON INDEX core.transfers_credit IS 'An account''s lines on the credit side, by version.';
COMMENT ON INDEX core.transfers_debit IS 'An account''s lines on the debit side, by version.';
COMMENT ON INDEX core.transfers_entry IS 'An entry''s transfers.';

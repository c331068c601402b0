-- From its first real start on, the primary acknowledges no commit that its replica lacks: a failover then loses no part
-- of a transaction. The price: writes wait while the replica is down.
ALTER SYSTEM SET synchronous_standby_names = 'replica';

-- One durable commit for each unit of work: what a pull would cost without batches (pgbench -M prepared).
\set id random(1, 1000)
BEGIN;
SELECT body FROM commit_record WHERE id = :id;
INSERT INTO commit_audit (record_id, body) VALUES (:id, 'one pull of one record by one client under one consent');
COMMIT;

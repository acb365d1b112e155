"""What people do with a version: run its gates, approve, reject, promote, roll back, and verify the ledger."""

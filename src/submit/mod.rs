//! Admission: limits, schema, idempotency, then the queue.

"""One suite for every backend that folds a log: live on Kafka, embedded, replayed, the pure fold."""

"""What people do: inspect, reset, redrive. The only place that joins Kafka and SQS; no screens, no printing."""

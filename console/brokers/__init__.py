"""A real Kafka and a real SQS server started here, for the demo and for the tests."""

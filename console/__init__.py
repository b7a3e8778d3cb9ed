"""logq: one terminal console for the log and the queue, Apache Kafka and Amazon SQS side by side."""

__version__ = "0.1.0"

"""Everything that speaks to Amazon SQS; the only place that imports boto3."""

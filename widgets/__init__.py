"""Screen parts that know nothing of Kafka or SQS: grids, lines, panes and dialogs built on Textual."""

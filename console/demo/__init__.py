"""The demo's story: a photo shop's real traffic on a real Kafka and a real SQS server, and what goes wrong in it.

`plot` is the story line as a table, `orders` makes the orders up, `layout` names the topics, groups and queues,
`readers` and `workers` are the services, `story` runs them in a process of their own, `control` holds that process
from outside, `run` is the command.
"""

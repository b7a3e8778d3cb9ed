"""Kafka: our own control plane over Kafka's schemas, confluent-kafka for the data plane.

`client` is the blocking face the rest of the program uses. librdkafka's coordinator-targeted admin calls are used
nowhere: they abort the whole process when a coordinator dies (librdkafka #4605, #3663).
"""

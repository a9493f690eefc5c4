#!/bin/bash
# One broker of three, which is a controller too: its own lines after the locks of all (deploy/locked/kafka.properties),
# its storage formatted the first time, then the broker. NODE is its number, CLUSTER the same text for all three.
set -euo pipefail

cat /etc/field/kafka.properties - > /tmp/server.properties <<LINES
process.roles=broker,controller
node.id=$NODE
controller.quorum.voters=1@kafka-1:9094,2@kafka-2:9094,3@kafka-3:9094
listeners=CLIENTS://:9092,BROKERS://:9093,CONTROLLER://:9094
advertised.listeners=CLIENTS://kafka-$NODE:9092,BROKERS://kafka-$NODE:9093
log.dirs=/var/lib/kafka/data
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
unclean.leader.election.enable=false
group.min.session.timeout.ms=1000
message.max.bytes=10485760
replica.fetch.max.bytes=10485760
controlled.shutdown.enable=true
LINES

/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id "$CLUSTER" --config /tmp/server.properties
exec /opt/kafka/bin/kafka-server-start.sh /tmp/server.properties

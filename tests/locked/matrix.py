"""The role matrix: every action, and who may do it. Whoever is not named is refused."""

from __future__ import annotations

from typing import Final

from projections import membership
from streams import topics
from streams.settings import Settings
from tests.locked import actions_kafka as kafka
from tests.locked.actions_kafka import Action, aside, of


def projectors(settings: Settings) -> str:
    return membership.group(settings.generation, "state")


KAFKA: Final[dict[str, tuple[Action, str]]] = {
    "write events": (kafka.write(of("events")), "worker gateway operator restorer"),
    "read events": (kafka.read(of("events")), "worker projector listener operator backup restorer"),
    "write changes": (kafka.write(of("changes")), "worker restorer"),
    "read changes": (kafka.read(of("changes")), "projector operator"),
    "write dead letters": (kafka.write(of("rejected")), "worker operator restorer"),
    "read dead letters": (kafka.read(of("rejected")), "operator backup"),
    "write state": (kafka.write(aside), "worker operator restorer"),
    "read state": (kafka.read(topics.changelog_topic), "worker projector publisher listener operator backup restorer"),
    "join a group of workers": (kafka.join(kafka.ASIDE), "worker operator restorer"),
    "join a group of projectors": (kafka.join(kafka.PROJECTORS_ASIDE), "projector"),
    "join another group": (kafka.join("another"), ""),
    "look at the workers' group": (kafka.look_at(topics.app_id), "worker listener operator restorer"),
    "look at the projectors' group": (kafka.look_at(projectors), "projector listener"),
    "create a generation's topic": (kafka.create, "operator migrator restorer"),
    "create another topic": (kafka.create_foreign, ""),
    "delete the log": (kafka.delete(of("events")), ""),
    "delete dead letters": (kafka.delete(of("rejected")), ""),
    "delete records of the log": (kafka.delete_records(of("events")), ""),
    "delete records of the changes": (kafka.delete_records(of("changes")), "operator"),
    "delete records of the state": (kafka.delete_records(aside), "operator"),
    "see how the log is set": (kafka.see_settings, "operator"),
    "change the log's retention": (kafka.change_retention, ""),
    "change the broker": (kafka.change_broker, ""),
    "give rights": (kafka.give_rights, ""),
    "take rights": (kafka.take_rights, ""),
    "see rights": (kafka.see_rights, ""),
    "make an account": (kafka.make_account, ""),
}

POSTGRES: Final[dict[str, tuple[str, str]]] = {
    "read events": ("SELECT * FROM consciousness_events LIMIT 1", "projector gateway operator migrator backup"),
    "read sessions": ("SELECT * FROM room64_sessions_all LIMIT 1", "projector gateway operator migrator backup"),
    **{f"read what everybody may see, {view}": (f"SELECT * FROM {view} LIMIT 1", who) for view, who in {
        "consciousness_states": "operator migrator backup viewer",
        "consciousness_clusters": "operator migrator backup viewer",
        "consciousness_field_1min": "gateway operator migrator backup viewer",
        "consciousness_field_1h": "gateway operator migrator backup viewer",
        "consciousness_field_1d": "gateway operator migrator backup viewer",
    }.items()},
    "read states of all generations": (
        "SELECT * FROM consciousness_states_all LIMIT 1", "projector gateway operator migrator backup"),
    "read opt-outs": ("SELECT * FROM opt_toggles LIMIT 1", "projector gateway operator migrator backup"),
    "read which generation": (
        "SELECT name FROM current_generation", "projector publisher gateway operator migrator backup viewer"),
    "write events": (
        "INSERT INTO consciousness_events SELECT * FROM consciousness_events LIMIT 1 ON CONFLICT DO NOTHING",
        "projector migrator"),
    "correct events": ("UPDATE consciousness_events SET collective = collective WHERE false", "projector migrator"),
    "delete events": ("DELETE FROM consciousness_events WHERE false", "migrator"),
    "empty events": ("TRUNCATE consciousness_events", "migrator"),
    "write sessions": (
        "UPDATE room64_sessions_all SET final = final WHERE false", "projector migrator"),
    "delete sessions": ("DELETE FROM room64_sessions_all WHERE false", "projector operator migrator"),
    "delete state": ("DELETE FROM consciousness_states_all WHERE false", "operator migrator"),
    "forget an opt-out": ("DELETE FROM opt_toggles WHERE false", "migrator"),
    "change an opt-out": ("UPDATE opt_toggles SET out = false WHERE false", "migrator"),
    "move positions": (
        "UPDATE projection_positions SET log_offset = log_offset WHERE false", "projector migrator"),
    "switch generations": ("UPDATE current_generation SET name = name WHERE false", "operator migrator"),
    "make a generation": (
        "INSERT INTO generations (name, fold_version, settings) VALUES ('try', '', '{}')",
        "projector operator migrator"),
    "drop a generation": ("DELETE FROM generations WHERE false", "operator migrator"),
    "write migrations": ("DELETE FROM schema_migrations WHERE false", "migrator"),
    "use a temporary table": ("CREATE TEMPORARY TABLE try (a integer)", "projector migrator"),
    "make a table": ("CREATE TABLE try (a integer)", "migrator"),
    "change a table": ("ALTER TABLE opt_toggles ADD COLUMN try integer", "migrator"),
    "drop a table": ("DROP TABLE shard_positions_all CASCADE", "migrator"),
    "make a schema": ("CREATE SCHEMA try", "migrator"),
    "make an account": ("CREATE ROLE intruder", ""),
    "raise oneself": ("ALTER ROLE CURRENT_USER SUPERUSER", ""),
    "change another's password": ("ALTER ROLE field_admin PASSWORD 'x'", ""),
    "become the migrator": ("SET ROLE field_migrator", "migrator"),
    "become the admin": ("SET ROLE field_admin", ""),
    "write TimescaleDB's catalog": ("DELETE FROM _timescaledb_catalog.hypertable WHERE false", ""),
    "make a job another's": ("UPDATE _timescaledb_config.bgw_job SET owner = owner WHERE false", ""),
    "begin a restore": ("SELECT timescaledb_pre_restore()", ""),
    "read password hashes": ("SELECT rolpassword FROM pg_authid", ""),
    "look at the server's own log": ("SELECT count(*) FROM pg_ls_waldir()", "operator"),
    "read a file": ("SELECT pg_read_file('/etc/passwd')", ""),
    "run a program": ("COPY (SELECT 1) TO PROGRAM 'true'", ""),
    "change the server": ("SET LOCAL log_statement = 'all'", ""),
    "load an extension": ("CREATE EXTENSION file_fdw", ""),
    "give itself rights": ("GRANT field_migrator TO CURRENT_USER", ""),
}  # fmt: skip

REDIS: Final[dict[str, tuple[str, str]]] = {
    "read the field": ("GET field:current", "publisher gateway operator"),
    "read a generation's field": ("GET second:field:current", "publisher gateway operator"),
    "read which generation": ("GET field:generation", "publisher gateway operator"),
    "look for a field": ("EXISTS field:current", "gateway operator restorer"),
    "write the field": ("SETEX field:current 5 x", "publisher"),
    "write the field otherwise": ("SET field:current x", "publisher"),
    "name the generation": ("SET field:generation live", "publisher"),
    "write entanglements": ("HSET entanglements a b", "publisher"),
    "append to the stream": ("XADD consciousness:stream * a b", "publisher"),
    "tell listeners": ("PUBLISH consciousness:field x", "publisher"),
    "hear the publisher": ("SUBSCRIBE consciousness:field", "gateway"),
    "hear others": ("SUBSCRIBE another", ""),
    "tell others": ("PUBLISH another x", ""),
    "keep a copy": ("SET field:kept x EX 5", "gateway"),
    "copy the field": ("COPY field:current field:kept REPLACE", "gateway"),
    "overwrite the field by a copy": ("COPY field:kept field:current REPLACE", ""),
    "count a rate": ("HSET gateway:limit:device:ana level 1", "gateway"),
    "load a script": ("SCRIPT LOAD return", "publisher gateway"),
    "drop a generation": ("DEL second:field:current", "publisher operator"),
    "read pairs": ("HGETALL entanglements", "operator"),
    "ask for its state": ("INFO server", "operator"),
    "ask for its clock": ("TIME", "gateway operator"),
    "ping": ("PING", "publisher gateway operator restorer"),
    "write elsewhere": ("SET another x", ""),
    "read elsewhere": ("GET another", ""),
    **{f"command {words}": (words, "") for words in (
        "FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET save x", "KEYS *", "SCAN 0", "DEBUG SLEEP 0", "SHUTDOWN",
        "ACL LIST", "ACL SETUSER intruder", "MONITOR", "SAVE", "BGSAVE", "REPLICAOF 127.0.0.1 1", "SWAPDB 0 1",
        "CLIENT LIST", "CLIENT KILL TYPE normal", "SCRIPT FLUSH", "EVAL return 0", "FUNCTION LIST", "MODULE LIST",
        "MIGRATE 127.0.0.1 1 a 0 1", "RESTORE a 0 x", "SELECT 1", "SLOWLOG GET", "LATENCY DOCTOR", "CLUSTER INFO",
    )},
}  # fmt: skip

#!/bin/sh
# box.sh UID SECRETS HOME ARGV...: runs a program as a container of ours runs, in a mount namespace of its own: nothing can be
# written but HOME, secrets lie where they are mounted, no privileges but to read what the tests' user may read (the Python
# environment may lie in a folder that is closed to others). SECRETS is a folder on this machine, or "-".
set -eu
uid=$1 secrets=$2 home=$3
shift 3
mount -t tmpfs -o size=64m none /var/lib
mkdir -p "$home"
mount -t tmpfs -o size=64m,mode=0700,uid="$uid",gid="$uid" none "$home"
mkdir /var/lib/files # their folder may lie in what is hidden next
[ "$secrets" = - ] || cp "$secrets"/* /var/lib/files
mount -t tmpfs -o size=1m none /run
mkdir -p /run/secrets
mv /var/lib/files /run/secrets/field
chown -R "$uid:$uid" /run/secrets
chmod -R u=rX,g=rX,o= /run/secrets
awk '{print $5}' /proc/self/mountinfo | while read -r place; do
    case $place in
        "$home" | /proc | /proc/* | /dev | /dev/* | /sys | /sys/*) ;;
        *) mount -o remount,bind,ro "$place" ;;
    esac
done
cd /
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --inh-caps=-all,+dac_read_search \
    --ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search "$@"

#!/bin/bash
# The first process of a lab, PID 1 of a PID namespace around everything the lab runs: killing it ends the lab, whatever state it is in.
# It owns the lab's switch (a bridge in its own network namespace) and the shared file system (a mount in its own mount namespace), so
# that nothing of either exists on the machine itself. It never touches the machine's own network or mounts.
#   keeper.sh STATE_DIRECTORY
set -eu
state=$1
# /proc is still the machine's here, so this is the PID that the machine knows.
read -r pid _ </proc/self/stat
printf '%s\n' "$pid" >"$state/keeper.pid.new"

ip link set lo up
# a bridge without an address of its own takes one from its ports, and another one when they change: the hosts would lose sight of it
ip link add switch0 address 02:f0:00:00:00:02 type bridge stp_state 0 forward_delay 0
ip link set switch0 up

# One FUSE mount for all hosts: libvirt takes it for GlusterFS, and QEMU's image locks work across the hosts as they do on NFS.
bindfs -f -o subtype=glusterfs,fsname=lab:/shared,allow_other "$state/shared" "$state/shared-mount" &
until grep -q " $state/shared-mount fuse" /proc/self/mounts; do
  kill -0 $! || { echo "bindfs ended before its mount was there"; exit 1; }
  sleep 0.02
done

mv "$state/keeper.pid.new" "$state/keeper.pid"
# Orphans of the lab end up here; PID 1 has to reap them.
while :; do sleep 3600 & wait -n || :; done

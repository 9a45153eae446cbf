#!/bin/bash
# PID 1 of a lab host: it prepares the host's file system and network, starts libvirtd, then only reaps. It is the host's power plug:
# killing it ends the host's libvirtd and all of its guests at once. Runs in new mount, UTS, network and PID namespaces.
#   init.sh HOST_DIRECTORY NAME ADDRESS/PREFIX ADDRESS6/PREFIX COMMON_DIRECTORY BOOT_DIRECTORY PRELOAD [ROOT]
# PRELOAD: what the host's QEMU is started with, below /var/lib/libvirt/boot; may be empty.
# ROOT: the root file system of the host's release, shared by all hosts that run it; without it the host runs the machine's own.
set -eu
directory=$1 name=$2 address=$3 address6=$4 common=$5 boot=$6 preload=$7 root=${8:-}
# /proc is still the machine's here, so this is the PID that the machine knows.
read -r pid _ </proc/self/stat
printf '%s\n' "$pid" >"$directory/init.pid.new"
mv "$directory/init.pid.new" "$directory/init.pid"

hostname "$name"
if [ -n "$root" ]; then
  # All of the release's system under one overlay, with the lab's own folders and what hosts share with the machine at the same paths in it.
  system=$directory/system
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$directory/overlay,workdir=$directory/work/system" "$system"
  mount --rbind /dev "$system/dev"
  mount --bind /tmp "$system/tmp"
  mkdir -p "$system$common" "$system$boot"
  mount --bind "$common" "$system$common"
  mount --bind "$common/shared-mount" "$system$common/shared-mount"
  mount --bind "$boot" "$system$boot"
  pivot_root "$system" "$system/mnt"
  cd /
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
if [ -n "$root" ]; then
  umount -l /mnt
else
  # Whatever the host writes to these stays its own; the machine's are only looked at.
  for path in etc root var/lib var/log var/cache; do
    mount -t overlay overlay -o "lowerdir=/$path,upperdir=$directory/overlay/$path,workdir=$directory/work/$path" "/$path"
  done
fi
# A new /run at each power on: libvirtd would look for guests that died with the last one.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock

# Images and definitions live on a plain file system, not on an overlay.
mkdir -p /var/lib/libvirt /var/log/libvirt/serial
mount --bind "$directory/libvirt" /var/lib/libvirt
mkdir -p /var/lib/libvirt/images /var/lib/libvirt/shared /var/lib/libvirt/boot /var/lib/libvirt/lun
mount --bind "$common/shared-mount" /var/lib/libvirt/shared
mount --bind "$boot" /var/lib/libvirt/boot
mount --bind "$common/serial" /var/log/libvirt/serial
mount -t tmpfs -o mode=700 tmpfs /var/lib/libvirt/lun
# For QEMU, whoever starts it; other programs do not notice.
[ -z "$preload" ] || echo "/var/lib/libvirt/boot/$preload" >/etc/ld.so.preload

# Own device nodes for the lab's shared LUNs: over one common node QEMU's locks would work across hosts, which no SAN gives.
for lun in "$common"/luns/*; do
  [ -e "$lun" ] || continue
  read -r major minor <"$lun"
  mknod "/var/lib/libvirt/lun/${lun##*/}" b "$major" "$minor"
done

ip link set lo up
ip link add br0 type bridge stp_state 0 forward_delay 0
until [ -e /sys/class/net/eth0 ]; do sleep 0.02; done
# The bridge keeps the card's address, so that it stays the same when guests come and go.
ip link set br0 address "$(cat /sys/class/net/eth0/address)"
ip link set eth0 master br0 up
ip address add "$address" dev br0
ip address add "$address6" dev br0 nodad
ip link set br0 up

mkdir -p /run/sshd
chown -R 0:0 /root/.ssh /etc/ssh-lab
chmod -R go-rwx /root/.ssh /etc/ssh-lab
/usr/sbin/sshd -f /etc/ssh-lab/sshd_config

libvirtd -d -l
while :; do sleep 3600 & wait -n || :; done

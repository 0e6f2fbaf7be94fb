#!/bin/busybox sh
# The first process of a virtual machine for tests: makes it a small Linux, then obeys.
#
# Commands come through the virtio port `commands`, a line each: a number of the sender's choice and
# a line for the shell. Each is answered by a line with that number, the exit status and the lengths
# of what was said on standard output and standard error, and by these bytes. The first line says
# that the machine is ready, and which kernel it has. Whoever closes the port turns the machine off.
#
# `DHCP=eth0,eth1` on the kernel's command line has these interfaces configured before that.

/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec </dev/null >/dev/console 2>&1

while read -r module; do
    modprobe "$module" || echo "init: no module $module"
done </etc/modules

hostname vm
ip link set lo up
for interface in $(echo "$DHCP" | tr , ' '); do
    ip link set "$interface" up
    udhcpc -i "$interface" -t 20 -T 1 -n -s /etc/dhcp.sh || echo "init: $interface has no address"
done

port=
for candidate in /sys/class/virtio-ports/*; do
    [ "$(cat "$candidate/name")" = commands ] && port=/dev/${candidate##*/}
done
if [ -z "$port" ]; then
    echo "init: there is no port for commands"
    poweroff -f
fi

mkdir -p /run/commands
exec 3<>"$port"
echo "ready $(uname -r)" >&3
while read -r number command <&3; do
    said=/run/commands/$number
    sh -c "$command" >"$said.out" 2>"$said.err" 3>&- </dev/null
    status=$?
    # What a command leaves running may go on writing; what it had said by now is what counts.
    out=$(stat -c %s "$said.out")
    err=$(stat -c %s "$said.err")
    {
        echo "$number $status $out $err"
        head -c "$out" "$said.out"
        head -c "$err" "$said.err"
    } >&3
    rm -f "$said.out" "$said.err"
done
poweroff -f

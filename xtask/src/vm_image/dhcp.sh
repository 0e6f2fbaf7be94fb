#!/bin/busybox sh
# What udhcpc calls with what it was told: takes address, MTU, routers and name servers over.

case "$1" in
deconfig)
    ip address flush dev "$interface"
    ;;
bound | renew)
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    ip address replace "$ip/${mask:-32}" dev "$interface"
    for gateway in $router; do
        ip route replace default via "$gateway" dev "$interface" onlink
    done
    for server in $dns; do
        echo "nameserver $server"
    done >/etc/resolv.conf
    ;;
esac

#!/bin/busybox sh
# Two ends of a connection that carries data, each with a program of a guest as its way to it.
#
#   transfer.sh receive NAME PROGRAM...   sums up what the program says, in NAME.sum
#   transfer.sh send NAME BLOCK PROGRAM...   tells the program the block over and over, until there
#       is NAME.stop; how often that was is in NAME.rounds
#   transfer.sh expect NAME BLOCK   the sum of what was sent

end=$1
name=$2
shift 2
case "$end" in
receive)
    # An end that has nothing to say must not end its direction, and the other end by that.
    mkfifo "$name.silence"
    exec 4<>"$name.silence"
    "$@" <&4 2>"$name.receiver" | md5sum >"$name.sum"
    touch "$name.done"
    ;;
send)
    block=$1
    shift
    {
        rounds=0
        while [ ! -e "$name.stop" ] && cat "$block"; do
            rounds=$((rounds + 1))
            # The processors are for what is tested, not for what it carries.
            usleep 500000
        done
        echo $rounds >"$name.rounds"
    } | "$@" 2>"$name.sender"
    ;;
expect)
    for round in $(seq "$(cat "$name.rounds")"); do
        cat "$1"
    done | md5sum
    ;;
esac

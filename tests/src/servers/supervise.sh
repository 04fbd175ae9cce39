# Runs a server that ends when the test process does.
#
# $1: the server's directory; the rest: the server's command line. Its output goes to our stderr.
# stdin: a pipe whose other end only the test process holds. A line asks for the server's end; the end
#   of the pipe means that the test process is gone, and the directory then goes too.
# stdout: the server's process id.
# Exits with the server's status, after the server.

# A paused server in a group whose parent died makes the kernel hang up the whole group.
trap '' HUP INT QUIT

directory=$1
shift
exec 3<&0

"$@" </dev/null >&2 3<&- &
server=$!

(
    read -r _ <&3
    gone=$?
    trap '' TERM
    kill -KILL "$server"
    test "$gone" -ne 0
) &
watcher=$!

echo "$server"
wait "$server"
status=$?

# When the server ended by itself, the watcher still reads.
kill -TERM "$watcher"
wait "$watcher" && rm -rf -- "$directory"
exit "$status"

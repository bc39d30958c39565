# A PostgreSQL server in a directory of its own and on a socket there, with settings that it is given ($1). Says where that
# is, and as which process it runs; then carries out what it reads, one order a line, and says each again once it is done.
# When there is nothing more to read, since whoever would write it is gone, the server ends. Debian has the programs of
# each version in a directory that is not on PATH.
PATH="$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)"
directory=$(mktemp -d) || exit
settings=$1
export PGHOST="$directory" PGUSER=tutti

start() {
    pg_ctl -D "$directory/data" -l "$directory/log" -s -w start \
        -o "-k $directory -c listen_addresses= -c max_connections=1000 $settings"
}
# How: smart, fast, or immediate, as in a crash.
stop() {
    pg_ctl -D "$directory/data" -m "$1" -s -w stop
}
end() {
    stop immediate
    rm -rf "$directory"
}
trap end EXIT

initdb -D "$directory/data" -U tutti -A trust -E UTF8 --no-locale -N >"$directory/initdb" 2>&1 ||
    { cat "$directory/initdb" >&2; exit 1; }
start || { cat "$directory/log" >&2; exit 1; }
echo "$directory"
head -n 1 "$directory/data/postmaster.pid"

while read -r order what; do
    case $order in
    create) createdb "$what" ;;
    start) start ;;
    stop) stop "$what" ;;
    # All that is in memory alone goes into the files.
    checkpoint) psql -q -d "$what" -c checkpoint ;;
    back-up) pg_dump -Fc -f "$directory/$what.dump" "$what" ;;
    restore) dropdb "$what" && createdb "$what" && pg_restore -d "$what" "$directory/$what.dump" ;;
    *) false ;;
    esac && echo "$order $what" || exit
done

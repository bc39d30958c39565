# A PostgreSQL server in a directory of its own, for as long as there is somebody to tell it what to do. Says where it is,
# then makes a database of each name that it reads, or starts again as after a crash if that is `restart`, and says what it
# has done. Once there is nothing more to read, since whoever would write it is gone, the server ends.

# Debian has the programs of each version in a directory that is not on PATH.
PATH="$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)"
directory=$(mktemp -d) || exit
end() {
    pg_ctl -D "$directory/data" -m immediate -s stop
    rm -rf "$directory"
}
trap end EXIT
initdb -D "$directory/data" -U tutti -A trust -E UTF8 --no-locale -N >"$directory/initdb" 2>&1 ||
    { cat "$directory/initdb" >&2; exit 1; }
pg_ctl -D "$directory/data" -l "$directory/log" -s -w start \
    -o "-k $directory -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=1000" ||
    { cat "$directory/log" >&2; exit 1; }
echo "$directory"
while read -r order; do
    case $order in
    restart) pg_ctl -D "$directory/data" -l "$directory/log" -m immediate -s -w restart ;;
    *) createdb -h "$directory" -U tutti "$order" ;;
    esac && echo "$order"
done

//! A PostgreSQL server of the tests' own, in a directory of its own and on a socket there. It ends with the process that
//! has started it, however that ends.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{LazyLock, Mutex, PoisonError},
};

/// Says where the server is, then makes a database of each name that it reads and says that name. Once there is nothing
/// more to read, since whoever would write it is gone, the server ends. Debian has the programs of each version in a
/// directory that is not on PATH.
const SCRIPT: &str = r#"
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
while read -r name; do
    createdb -h "$directory" -U tutti "$name" && echo "$name"
done
"#;

struct Cluster {
    directory: String,
    databases: u32,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _shell: Child,
}

impl Cluster {
    fn start() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        // Whoever interrupts the tests does not interrupt what is to clean up after them.
        command.process_group(0);
        // PostgreSQL does not serve root, and who does it instead may not write into root's own directories.
        if id("root") == id("") {
            let user = id("postgres").or_else(|| id("nobody")).expect("a user who is not root");
            command.uid(user).env_remove("TMPDIR");
        }
        let mut shell = command.spawn().unwrap();
        let (orders, answers) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        let answers = BufReader::new(answers);
        let mut cluster = Self { directory: String::new(), databases: 0, orders, answers, _shell: shell };
        cluster.directory = cluster.answer();
        cluster
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "PostgreSQL is to be installed, with initdb, pg_ctl and createdb");
        line.trim_end().to_owned()
    }

    fn create(&mut self) -> String {
        self.databases += 1;
        let name = format!("test_{}", self.databases);
        writeln!(self.orders, "{name}").unwrap();
        assert_eq!(self.answer(), name);
        format!("postgres://tutti@localhost/{name}?host={}", self.directory)
    }
}

/// The number of a user; of who runs this, if there is no name.
fn id(user: &str) -> Option<u32> {
    let names = [user].into_iter().filter(|name| !name.is_empty());
    let output = Command::new("id").arg("-u").args(names).stderr(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().ok()
}

/// The address of a new database.
pub(crate) fn database() -> String {
    static CLUSTER: LazyLock<Mutex<Cluster>> = LazyLock::new(|| Mutex::new(Cluster::start()));
    // A test that failed has left it as it was.
    CLUSTER.lock().unwrap_or_else(PoisonError::into_inner).create()
}

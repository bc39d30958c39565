//! Seeded bugs: does the simulator find them? One after another is put into a copy of the code, and the
//! simulator is to catch it: by chance, or else in one of its tests, which play the histories that were kept, too.
//! One that it does not catch is a hole in what it does or looks at.

mod table;

use std::{
    fs,
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, command, each_line_until, elapsed, interrupted, root, run, target_dir};
use table::MUTANTS;

/// A bug: one text in one file becomes another.
struct Mutant {
    /// Says what is wrong, in words with hyphens.
    name: &'static str,
    /// From the workspace's folder.
    file: &'static str,
    /// It stands there once. Any white space is like any other.
    from: &'static str,
    to: &'static str,
}

/// What to do about which of them.
#[derive(Default)]
struct Options<'a> {
    names: Vec<&'a str>,
    list: bool,
    histories: Option<&'a str>,
    jobs: Option<&'a str>,
}

/// How many histories a bug may survive.
const HISTORIES: &str = "20000";
/// How long no history may end before that counts as caught.
const STUCK: Duration = Duration::from_secs(60);
/// Memory that a run may take, in KiB: some bugs are loops that collect something.
const MEMORY: u64 = 4 << 20;

/// What the workspace's manifest needs, and all that the simulator is made of.
const COPIED: [&str; 5] = ["Cargo.toml", "Cargo.lock", "crates", "src", "xtask"];

/// Prints how soon each is caught. Fails when one is not.
pub(crate) fn mutants(arguments: &[&str]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let all = MUTANTS.iter();
    let chosen = all.filter(|mutant| options.names.is_empty() || options.names.contains(&mutant.name));
    let chosen: Vec<&Mutant> = chosen.collect();
    if let Some(unknown) = options.names.iter().find(|name| chosen.iter().all(|it| it.name != **name)) {
        bail!("no seeded bug is called {unknown}; see `cargo xtask mutants --list`");
    }
    if options.list {
        chosen.iter().for_each(|mutant| println!("{:<48} {}", mutant.name, mutant.file));
        return Ok(());
    }

    let tree = Tree::copy(&options)?;
    println!("» the code as it is");
    let start = Instant::now();
    tree.build()?;
    if let Some(caught) = tree.simulate()? {
        bail!("the code as it is fails after {}: {}", caught.after, caught.how);
    }
    println!("  holds, {}", elapsed(start.elapsed()));

    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for (number, mutant) in chosen.iter().enumerate() {
        println!("» {} of {}: {}", number + 1, chosen.len(), mutant.name);
        let start = Instant::now();
        let caught = match tree.catch(mutant) {
            Ok(caught) => caught,
            Err(error) => {
                ensure!(!interrupted(), "interrupted");
                println!("  {error:#}");
                broken.push(mutant.name);
                continue;
            }
        };
        let what = caught.as_ref().map_or_else(|| "NOT CAUGHT".to_owned(), Caught::to_string);
        println!("  {what}, {}", elapsed(start.elapsed()));
        rows.push((mutant, caught));
    }
    println!("\n| seeded bug | where | caught after | as |\n| --- | --- | ---: | --- |");
    for (Mutant { name, file, .. }, caught) in &rows {
        let file = file.trim_start_matches("crates/").replace("/src/", "/");
        match caught {
            Some(Caught { after, how }) => println!("| {name} | {file} | {after} | {} |", brief(how)),
            None => println!("| {name} | {file} | **NOT CAUGHT** | |"),
        }
    }
    let missed = rows.iter().filter(|(_, caught)| caught.is_none()).count();
    println!("\n{} of {} caught", rows.len() - missed, chosen.len());
    ensure!(broken.is_empty(), "the table is wrong about {}", broken.join(", "));
    ensure!(missed == 0, "{missed} seeded bugs were not caught");
    Ok(())
}

impl<'a> Options<'a> {
    fn parse(arguments: &[&'a str]) -> Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter().copied();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let number = arguments.next().filter(|number| number.parse::<u64>().is_ok());
                number.with_context(|| format!("{argument} takes a number")).map(Some)
            };
            match argument {
                "--list" => options.list = true,
                "--histories" => options.histories = number()?,
                "--jobs" => options.jobs = number()?,
                option if option.starts_with('-') => bail!("`{option}` is no option of this command"),
                name => options.names.push(name),
            }
        }
        Ok(options)
    }
}

/// How a bug was caught.
struct Caught {
    /// So many histories, or the name of a test.
    after: String,
    how: String,
}

impl std::fmt::Display for Caught {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "caught after {}: {}", self.after, self.how)
    }
}

/// A copy of the workspace in which bugs can be put.
struct Tree<'a> {
    folder: PathBuf,
    target: PathBuf,
    histories: &'a str,
    jobs: Option<&'a str>,
}

impl<'a> Tree<'a> {
    fn copy(options: &Options<'a>) -> Result<Self> {
        let mutants = target_dir().join("mutants");
        let folder = mutants.join("tree");
        if folder.exists() {
            fs::remove_dir_all(&folder).context("the copy of the last time")?;
        }
        fs::create_dir_all(&folder)?;
        for name in COPIED {
            copy(&root().join(name), &folder.join(name)).with_context(|| format!("cannot copy {name}"))?;
        }
        let histories = options.histories.unwrap_or(HISTORIES);
        Ok(Self { folder, target: mutants.join("target"), histories, jobs: options.jobs })
    }

    /// Puts a bug in, lets the simulator look for it, and takes it out again.
    fn catch(&self, mutant: &Mutant) -> Result<Option<Caught>> {
        let file = self.folder.join(mutant.file);
        let text = fs::read_to_string(&file)?;
        fs::write(&file, mutant.apply(&text)?)?;
        let caught = self.build().context("it does not compile").and_then(|()| self.simulate());
        fs::write(&file, text)?;
        caught
    }

    fn build(&self) -> Result<()> {
        run(self.cargo("build").args(["--bin", "tutti-simulator"]))
    }

    fn cargo(&self, what: &str) -> Command {
        let mut cargo = cargo();
        cargo.args([what, "--quiet", "--release", "--package", "tutti-simulator"]);
        if let Some(jobs) = self.jobs {
            cargo.args(["--jobs", jobs]);
        }
        // Unused code is what many a bug leaves. To build in small steps and to optimise over them do not go
        // together.
        cargo.env("RUSTFLAGS", "-A warnings");
        cargo.env("CARGO_INCREMENTAL", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
        cargo.current_dir(&self.folder).env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    /// Lets chance look, and then the tests, for a bug that chance has not met.
    fn simulate(&self) -> Result<Option<Caught>> {
        self.by_chance()?.map_or_else(|| self.by_a_test(), |caught| Ok(Some(caught)))
    }

    fn by_chance(&self) -> Result<Option<Caught>> {
        let mut simulator = self.simulator();
        simulator.args(["--histories", self.histories, "--no-shrink"]);
        if let Some(jobs) = self.jobs {
            simulator.args(["--jobs", jobs]);
        }
        let mut caught = None;
        let mut progress = ("0".to_owned(), Instant::now());
        let status = each_line_until(&mut simulator, |line| {
            let words: Vec<&str> = line.splitn(7, ' ').collect();
            match words[..] {
                ["failed", "after", after, "histories:", "seed", _, how] => {
                    caught = Some(Caught { after: after.to_owned(), how: how.to_owned() });
                    return ControlFlow::Break(());
                }
                // How far it is.
                [done, "of", _, "histories,", ..] if done != progress.0 => {
                    progress = (done.to_owned(), Instant::now());
                }
                _ => {}
            }
            if progress.1.elapsed() < STUCK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        ensure!(!interrupted(), "interrupted");
        let died = |how| Some(Caught { after: progress.0, how });
        Ok(match status {
            Some(status) if status.success() => None,
            Some(status) => died(format!("it died ({status})")),
            None => caught.or_else(|| died("stuck: a history never ends".to_owned())),
        })
    }

    /// The tests play kept histories, and what chance is too weak for.
    fn by_a_test(&self) -> Result<Option<Caught>> {
        let mut tests = self.cargo("test");
        tests.args(["--tests", "--no-fail-fast"]);
        let output = tests.output()?;
        ensure!(!interrupted(), "interrupted");
        if output.status.success() {
            return Ok(None);
        }
        let told = String::from_utf8_lossy(&output.stdout);
        let mut lines = told.lines().skip_while(|line| !line.starts_with("---- "));
        let named = lines.next().and_then(|line| line.split(' ').nth(1)).context("its tests do not run")?;
        let how = lines.find(|line| !line.is_empty() && !line.starts_with("thread '")).unwrap_or("it died");
        Ok(Some(Caught { after: named.replace('_', " "), how: how.to_owned() }))
    }

    /// The program with the bug. It does not take all the memory there is.
    fn simulator(&self) -> Command {
        let mut shell = command("sh");
        // Not every system can be told.
        shell.args(["-c", &format!("ulimit -v {MEMORY} 2>/dev/null; exec \"$0\" \"$@\"")]);
        shell.arg(self.target.join("release/tutti-simulator"));
        shell
    }
}

impl Mutant {
    fn apply(&self, text: &str) -> Result<String> {
        let places = places(text, self.from);
        let [place] = &places[..] else {
            bail!("{}: `{}` stands {} times in {}", self.name, self.from, places.len(), self.file);
        };
        let mut text = text.to_owned();
        text.replace_range(place.clone(), self.to);
        Ok(text)
    }
}

/// Where a text stands in another, whatever white space lies between its words.
fn places(text: &str, wanted: &str) -> Vec<Range<usize>> {
    let mut words = wanted.split_whitespace();
    let Some(first) = words.next() else {
        return Vec::new();
    };
    let end = |start: usize| {
        words.clone().try_fold(start + first.len(), |end, word| {
            let rest = text[end..].trim_start();
            rest.starts_with(word).then(|| text.len() - rest.len() + word.len())
        })
    };
    text.match_indices(first).filter_map(|(start, _)| Some(start..end(start)?)).collect()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != "target" {
            copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

/// The first words of a message, for a table: without what was equal to what, without details and place.
fn brief(how: &str) -> String {
    let said = how.rsplit_once("failed: ").map_or(how, |(_, said)| said);
    let said = said.split(" (").next().and_then(|said| said.split('{').next()).unwrap_or_default();
    let said: String = said.chars().take(90).collect();
    said.trim_end_matches([' ', ':', ',']).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_bug_has_its_own_name_and_a_place_where_it_goes() {
        let names: BTreeSet<&str> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), MUTANTS.len(), "two have one name");
        for mutant in MUTANTS {
            let plain = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(mutant.name.chars().all(plain), "{}", mutant.name);
            let text = fs::read_to_string(root().join(mutant.file)).expect(mutant.file);
            assert_ne!(mutant.apply(&text).expect("it stands there once"), text, "{}", mutant.name);
        }
    }

    #[test]
    fn a_text_is_found_however_it_is_broken_into_lines() {
        assert_eq!(places("if a\n    && b {\n}", "a && b"), vec![3..13]);
        assert_eq!(places("aa ab", "a"), [0..1, 1..2, 3..4]);
        assert!(places("a c", "a b").is_empty());
    }
}

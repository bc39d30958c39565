//! `tutti-simulator`: see `--help`.

use std::{fs, num::NonZero, path::PathBuf, process::ExitCode, thread, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use tutti_simulator::{
    history::History,
    hunt::{Bag, Failed, Hunt, quietly},
    vocabulary::{Climate, VOCABULARY},
};

/// Histories are made of many small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Attempts to make a failing history shorter.
const ATTEMPTS: usize = 3_000;

/// Plays histories in which everything goes wrong, and looks whether all is as it must be in the end.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many histories to play.
    #[arg(long, default_value_t = 20_000)]
    histories: u64,
    /// The seed of the first history; the next has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How hostile the world is.
    #[arg(long, value_enum, default_value_t = Climate::Chaos)]
    profile: Climate,
    /// How many histories at a time; by default as many as there are processors.
    #[arg(long)]
    jobs: Option<usize>,
    /// Go on after a history that fails.
    #[arg(long)]
    keep_going: bool,
    /// Leave a failing history as long as it is.
    #[arg(long)]
    no_shrink: bool,
    /// Play the history in this file, and tell each step.
    #[arg(long, conflicts_with_all = ["histories", "seed", "profile", "jobs", "keep_going", "no_shrink"])]
    replay: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match &arguments.replay {
        Some(file) => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            quietly();
            Ok(code(replay(&text.parse()?).is_none()))
        }
        None => hunt(&arguments),
    }
}

fn hunt(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let jobs = arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
    let Arguments { histories, seed, profile: climate, keep_going, .. } = *arguments;
    let mut told = 0;
    let bag = Hunt { histories, seed, climate, jobs, keep_going }.run(|bag| {
        for Failed { number, history, why } in &bag.failures[told..] {
            println!("failed after {} histories: seed {}: {why}", number + 1, history.seed);
        }
        told = bag.failures.len();
        println!("{} of {histories} histories, {} a second", bag.histories, rate(bag.histories, bag.time));
    });
    report(&bag, jobs);
    let Some(Failed { history, .. }) = bag.failures.iter().min_by_key(|failed| failed.number) else {
        println!("lost 0, doubled 0, divergent 0, stuck 0");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{} failed", bag.failures.len());
    if !arguments.no_shrink {
        let short = history.shrink(ATTEMPTS);
        println!("\nof {} steps these {} are enough:\n", history.steps.len(), short.steps.len());
        let why = replay(&short).unwrap_or_default();
        let file = std::env::temp_dir().join(format!("tutti-{}.history", history.seed));
        fs::write(&file, format!("# {}\n{short}", why.lines().next().unwrap_or_default()))?;
        println!("\nagain: cargo xtask simulate --replay {}", file.display());
        println!(
            "to keep it as a case: move that file to crates/simulator/cases under a name that says what it shows"
        );
    }
    Ok(ExitCode::FAILURE)
}

/// Plays a history and tells each step. Says why it failed, if it did.
fn replay(history: &History) -> Option<String> {
    let outcome = history.play_in(&mut |_| {}, &mut |world, what| println!("{:>9} ms  {what}", world.now));
    match &outcome.failure {
        Some(why) => println!("{:>12}  failed: {why}", ""),
        None => println!("{:>12}  all is as it must be", ""),
    }
    outcome.failure
}

fn report(bag: &Bag, jobs: usize) {
    println!("\n{:<28}took effect in", "");
    for word in VOCABULARY {
        let histories = bag.words.get(word.name).copied().unwrap_or(0);
        println!("{:<28}{histories:>9} histories", word.name);
    }
    println!(
        "\n{} histories with {} promised messages and {} tabs compared, in {:.1} s: {} a second, {} a core",
        bag.histories,
        bag.promises,
        bag.tabs,
        bag.time.as_secs_f64(),
        rate(bag.histories, bag.time),
        rate(bag.histories, bag.time) / jobs as u64,
    );
}

fn rate(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64()) as u64
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

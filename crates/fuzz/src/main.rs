//! `cargo xtask fuzz`: hands decoders hostile bytes by the million, and says what became of them.

use std::{
    io::{self, IsTerminal as _, Write as _},
    num::NonZero,
    process::ExitCode,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use tutti_fuzz::{
    decoders::{DECODERS, Decoder},
    memory::Counting,
    runner::{self, Report},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HELP: &str = "\
Usage: cargo xtask fuzz [--decoder NAME] [--cases N] [--seed N] [--threads N]

  --decoder NAME   this one only; may be given more than once
  --cases N        inputs for each decoder, 10,000,000 unless told
  --seed N         of the first input; the next has the next. 0 unless told
  --threads N      as many as there are processors unless told
";

struct Options {
    decoders: Vec<&'static Decoder>,
    cases: u64,
    seed: u64,
    threads: u64,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    };
    runner::quiet_panics();
    println!(
        "{:<13}{:>12}{:>12}{:>12}{:>7}{:>8}{:>12}{:>12}{:>12}{:>11}",
        "", "cases", "refused", "read", "", "panics", "largest", "bound", "held", "inputs/s"
    );
    let mut failures = Vec::new();
    for decoder in &options.decoders {
        let start = Instant::now();
        let report = fuzz(decoder, &options);
        let speed = report.cases as f64 / start.elapsed().as_secs_f64();
        let share = report.read as f64 * 100.0 / report.cases.max(1) as f64;
        println!(
            "{:<13}{:>12}{:>12}{:>12}{share:>6.1}%{:>8}{:>12}{:>12}{:>12}{speed:>11.0}",
            decoder.name,
            report.cases,
            report.refused(),
            report.read,
            report.panics,
            report.peak.largest,
            decoder.bound(),
            report.peak.held,
        );
        failures.extend(report.failures);
    }
    println!("\nlargest: bytes of the largest allocation, which the bound is for; held: of all at a time");
    for failure in &failures {
        println!("\n{failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let mut options = Options { decoders: Vec::new(), cases: 10_000_000, seed: 0, threads };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{name}` is no option, or wants a value"))?;
        let number = || value.replace(['_', ','], "").parse().map_err(|_| format!("`{value}` is no number"));
        match name.as_str() {
            "--decoder" => options.decoders.push(Decoder::named(&value).ok_or_else(|| {
                let names: Vec<&str> = DECODERS.iter().map(|decoder| decoder.name).collect();
                format!("`{value}` is no decoder: {}", names.join(", "))
            })?),
            "--cases" => options.cases = number()?,
            "--seed" => options.seed = number()?,
            "--threads" => options.threads = number()?.max(1),
            _ => return Err(format!("`{name}` is no option")),
        }
    }
    if options.decoders.is_empty() {
        options.decoders.extend(DECODERS);
    }
    Ok(options)
}

/// Hands a decoder all its inputs, each thread a part of them.
fn fuzz(decoder: &'static Decoder, options: &Options) -> Report {
    let progress = AtomicU64::new(0);
    let part = options.cases.div_ceil(options.threads);
    // Each thread holds an end; the last to end closes it.
    let (working, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let parts = (0..options.threads).map(|thread| {
            let first = (thread * part).min(options.cases);
            let end = (first + part).min(options.cases);
            let seeds = options.seed.saturating_add(first)..options.seed.saturating_add(end);
            let (working, progress) = (working.clone(), &progress);
            scope.spawn(move || {
                let _working = working;
                runner::run(decoder, seeds, progress)
            })
        });
        let parts: Vec<_> = parts.collect();
        drop(working);
        // For someone who watches each second, for a log now and then.
        let (pause, end) = if io::stderr().is_terminal() { (1, "\r") } else { (10, "\n") };
        while ended.recv_timeout(Duration::from_secs(pause)) == Err(RecvTimeoutError::Timeout) {
            eprint!("{}: {} of {}{end}", decoder.name, progress.load(Relaxed), options.cases);
            let _ = io::stderr().flush();
        }
        let parts = parts.into_iter().map(|part| part.join().expect("panics are caught"));
        parts.fold(Report::default(), Report::and)
    })
}

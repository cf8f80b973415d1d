//! The command: reads the command line, runs the load, and says what went wrong with exit code 1.
#![forbid(unsafe_code)]

use loadgen::latency::{self, Failure};
use loadgen::options::{self, Parsed};
use loadgen::run;
use loadgen::search::command::Command;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match command() {
        Ok(code) => code,
        // Standard output is closed: nobody is left to tell more than standard error can.
        Err(error) => complain(&error.to_string()),
    }
}

fn command() -> io::Result<ExitCode> {
    let mut words = Vec::new();
    for word in std::env::args_os() {
        match word.into_string() {
            Ok(word) => words.push(word),
            Err(word) => return Ok(complain(&format!("not UTF-8: {}", word.display()))),
        }
    }
    let program = if words.is_empty() { "loadgen".to_owned() } else { words.remove(0) };
    let mut out = io::stdout().lock();
    if let Some(result) = latency::dispatch(&words, &mut out) {
        return Ok(result.map_or_else(|failure| tell(&failure), |()| ExitCode::SUCCESS));
    }
    if let Some(command) = words.first().and_then(|word| Command::named(word)) {
        return Ok(match command.run(&program, &words[1..], &mut out)? {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) if why.is_empty() => ExitCode::FAILURE,
            Err(why) => complain(&format!("{program}: {why}")),
        });
    }
    let Parsed { version, result } = options::parse(&program, &words);
    if version {
        out.write_all(options::version_text().as_bytes())?;
    }
    let options = match result {
        Ok(options) => options,
        Err(refusal) => {
            out.flush()?;
            let code = refusal.message.map_or(ExitCode::FAILURE, |message| complain(&message));
            out.write_all(options::usage_text(refusal.usage).as_bytes())?;
            out.flush()?;
            return Ok(code);
        }
    };
    for warning in &options.warnings {
        complain(warning);
    }
    Ok(match run::run(&options, &mut out) {
        Ok(limit) => {
            if let Some(sentence) = limit {
                complain(&sentence);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.message);
            ExitCode::from(error.exit_code)
        }
    })
}

/// Says why a latency mode ended: help goes to standard output, all else to standard error.
fn tell(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Usage(error) => {
            // Where neither can be written, the exit code still says it.
            drop(error.print());
        }
        other => drop(complain(&other.to_string())),
    }
    ExitCode::from(failure.exit_code())
}

/// Writes to standard error and returns the exit code of a failure.
#[expect(clippy::print_stderr, reason = "messages belong there")]
fn complain(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

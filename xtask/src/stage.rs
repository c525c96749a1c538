//! Progress lines and child processes.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

/// Numbers the stages of one command and tells how long each took.
pub struct Stages {
    count: usize,
    done: usize,
    started: Instant,
}

impl Stages {
    /// For a command of `count` stages.
    pub fn new(count: usize) -> Self {
        Self { count, done: 0, started: Instant::now() }
    }

    /// Runs one stage.
    pub fn run<T>(&mut self, title: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.done += 1;
        let started = Instant::now();
        println!("[{}/{}] {title} ...", self.done, self.count);
        let result = work().with_context(|| format!("stage {}/{}, {title}", self.done, self.count))?;
        println!("[{}/{}] {title}: {:.1} s", self.done, self.count, started.elapsed().as_secs_f32());
        Ok(result)
    }

    /// Seconds since the command began.
    pub fn seconds(&self) -> f32 {
        self.started.elapsed().as_secs_f32()
    }
}

/// Runs a child that writes to our own output; its failure is an error. It reads nothing.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = name(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Runs a child silently; on failure the end of what it wrote is part of the error.
pub fn run_quietly(command: &mut Command) -> anyhow::Result<String> {
    let name = name(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let tail: Vec<&str> = said.lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("{name} failed ({}):\n{}", output.status, tail.join("\n"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program answers at all.
pub fn exists(program: &str, argument: &str) -> bool {
    let silent =
        Command::new(program).arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    silent.is_ok_and(|status| status.success())
}

/// The program and its first argument, to name it in an error.
fn name(command: &Command) -> String {
    let first =
        command.get_args().next().map(|argument| format!(" {}", argument.to_string_lossy())).unwrap_or_default();
    format!("`{}{first}`", command.get_program().to_string_lossy())
}

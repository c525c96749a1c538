//! `docs`: the picture of the editor and the clips that README.md and docs/ show, made anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use crate::bundle::{self, cargo};
use crate::setup::{self, Extent};
use crate::stage::{self, Stages};
use crate::{demo, paths};

#[derive(clap::Args)]
pub struct Options {
    /// Only the picture; the clips need a release build and ffmpeg with LAME
    #[arg(long)]
    picture: bool,
    /// Fetch nothing: use what is cached
    #[arg(long)]
    offline: bool,
    /// Make the clips with this `coffre` instead of building one
    #[arg(long, value_name = "PROGRAM", conflicts_with = "picture")]
    coffre: Option<PathBuf>,
}

/// Voices that the clip is converted to; the files are named after them.
const VOICES: [&str; 2] = ["Celadon", "Basalt"];

/// What all clips may have together, in bytes.
const MAX_CLIPS: u64 = 300_000;

/// Draws the picture, converts the vocal that ships.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let program = options.coffre.clone();
    let clips = if options.picture { 0 } else { 1 + usize::from(program.is_none()) * (setup::STAGES + 1) };
    let mut stages = Stages::new(1 + clips);
    stages.run("Picture of the editor", picture)?;
    if options.picture {
        return Ok(());
    }
    let program = match program {
        Some(program) => program,
        None => {
            let runtime = setup::ensure(&mut stages, Extent::Build, options.offline)?;
            stages.run("Release bundles", || bundle::build(&runtime))?.command()
        }
    };
    stages.run("Clips", || make_clips(&program))
}

/// The test that compares the picture writes it when asked to.
fn picture() -> anyhow::Result<()> {
    let mut test = cargo();
    // The same features as in `cargo xtask test`, so that nothing is built twice.
    test.args(["test", "--workspace", "--features", "coffre/alloccheck", "--test", "editor"]);
    stage::run(test.args(["the_picture_in_the_documentation"]).env("COFFRE_WRITE_PICTURE", "1"))
}

/// The vocal as it is and as each voice at the default settings in mix mode, as MP3.
fn make_clips(program: &Path) -> anyhow::Result<()> {
    let dir = paths::target().join("docs");
    std::fs::create_dir_all(&dir)?;
    let folder = paths::root().join("docs");
    let mut clips = vec![(demo::clip(), folder.join("before.mp3"))];
    for voice in VOICES {
        let name = format!("after-{}", voice.to_lowercase());
        let output = dir.join(&name).with_extension("wav");
        let mut convert = Command::new(program);
        convert.args(["convert", "--force"]).arg(demo::clip()).arg("-o").arg(&output);
        stage::run_quietly(convert.args(["--voice", voice, "--mode", "mix", "--quiet"]))?;
        clips.push((output, folder.join(name).with_extension("mp3")));
    }
    let mut total = 0;
    for (from, to) in clips {
        let mut encode = Command::new("ffmpeg");
        encode.args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i"]).arg(from);
        // No tags: the same sound gives the same file.
        encode.args(["-map_metadata", "-1", "-fflags", "+bitexact", "-c:a", "libmp3lame", "-b:a", "128k"]);
        stage::run_quietly(encode.arg(&to))?;
        total += std::fs::metadata(&to)?.len();
    }
    ensure!(total <= MAX_CLIPS, "the clips have {total} bytes together, more than {MAX_CLIPS}");
    println!("      {total} bytes");
    Ok(())
}

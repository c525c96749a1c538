//! `install`: bundles and command line to where hosts and shells of this user look.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::bundle::{self, Bundle};
use crate::paths;
use crate::setup::{self, Extent};
use crate::stage::Stages;
use crate::target::Target;

#[derive(clap::Args)]
pub struct Options {
    /// Install below this folder instead of the home folder
    #[arg(long, value_name = "FOLDER")]
    home: Option<PathBuf>,
    /// Fetch nothing: use the cached runtime
    #[arg(long)]
    offline: bool,
}

/// The folders of this user: VST3, CLAP, programs.
fn places(home: &Path) -> Bundle {
    let mut places = Bundle::of(&Target::host());
    if cfg!(windows) {
        let common = home.join("AppData/Local/Programs/Common");
        places.vst3 = common.join("VST3/Coffre.vst3");
        places.clap = common.join("CLAP/Coffre");
        places.programs = home.join("AppData/Local/Programs/Coffre");
    } else {
        places.vst3 = home.join(".vst3/Coffre.vst3");
        places.clap = home.join(".clap/Coffre");
        places.programs = home.join(".local/bin");
    }
    places
}

/// Builds what is to be installed, installs it, says where.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut stages = Stages::new(setup::STAGES + 2);
    let runtime = setup::ensure(&mut stages, Extent::Build, options.offline)?;
    let built = stages.run("Release bundles", || bundle::build(&runtime))?;
    let home = match &options.home {
        Some(dir) => std::path::absolute(dir)?,
        None => paths::home().context("there is no home folder; name one with --home")?,
    };
    let to = places(&home);
    stages.run("Installing", || {
        paths::replace_folder(&built.vst3, &to.vst3)?;
        paths::replace_folder(&built.clap, &to.clap)?;
        // The programs find the runtime in the user's folder: a folder on the search path holds no libraries.
        let mut programs = Vec::new();
        for entry in std::fs::read_dir(&built.programs)? {
            let path = entry?.path();
            let name = path.file_name().context("a program has no name")?.to_owned();
            if path.is_file() && Some(name.as_os_str()) != runtime.library.file_name() {
                paths::replace_file(&path, &to.programs.join(&name))?;
                programs.push(to.programs.join(name));
            }
        }
        setup::install_runtime_below(&runtime, &home)?;
        programs.sort();
        println!("      VST3      {}", to.vst3.display());
        println!("      CLAP      {}", to.clap_file().display());
        for program in programs {
            println!("      program   {}", program.display());
        }
        Ok(())
    })?;
    let on_path =
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir == to.programs));
    if !on_path {
        println!(
            "{} is not on the search path (PATH): add it, or call the programs by their full name.",
            to.programs.display()
        );
    }
    println!("Rescan the plugins in your host; Coffre is listed as an effect.");
    Ok(())
}

//! Where ONNX Runtime's library may lie, in the order in which it is looked for.
//!
//! All paths are absolute: the loader resolves relative ones against the host's executable.

use std::path::{Path, PathBuf};

use super::RUNTIME_VERSION;
use super::module::resolved;

/// Environment variable that names the file to load, before and instead of all others.
pub const OVERRIDE_VARIABLE: &str = "COFFRE_ONNXRUNTIME";

/// Name of the shipped file.
#[cfg(target_os = "linux")]
pub const FILE_NAME: &str = "libonnxruntime.so.1.28.0";
/// Name of the shipped file.
#[cfg(target_os = "macos")]
pub const FILE_NAME: &str = "libonnxruntime.1.28.0.dylib";
/// Name of the shipped file.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub const FILE_NAME: &str = "onnxruntime.dll";

/// Names that are accepted too, after [`FILE_NAME`] in the same folder: what other installations call it.
#[cfg(target_os = "linux")]
const OTHER_NAMES: &[&str] = &["libonnxruntime.so.1", "libonnxruntime.so"];
#[cfg(target_os = "macos")]
const OTHER_NAMES: &[&str] = &["libonnxruntime.dylib"];
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
const OTHER_NAMES: &[&str] = &[];

/// Folder of the binaries inside a VST3 bundle.
const VST3_BINARIES: &str = if cfg!(target_os = "macos") {
    "Contents/MacOS"
} else if cfg!(all(target_os = "windows", target_arch = "aarch64")) {
    "Contents/arm64-win"
} else if cfg!(target_os = "windows") {
    "Contents/x86_64-win"
} else if cfg!(target_arch = "aarch64") {
    "Contents/aarch64-linux"
} else {
    "Contents/x86_64-linux"
};

/// Whose customs count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Linux,
    MacOs,
    Windows,
}

impl System {
    const HERE: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Linux
    };
}

/// A plugin format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A bundle: a folder.
    Vst3,
    /// One file.
    Clap,
}

impl Format {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vst3 => "VST3",
            Self::Clap => "CLAP",
        }
    }
}

/// What the look-up depends on, apart from the files themselves.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The library or executable that holds this code.
    pub module: Option<PathBuf>,
    /// The running executable: the host for a plugin.
    pub executable: Option<PathBuf>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// `XDG_DATA_HOME`, if set to an absolute path; on Windows `LOCALAPPDATA`.
    pub data_home: Option<PathBuf>,
    /// The folder of files that programs share, on Windows: `CommonProgramFiles`.
    pub common: Option<PathBuf>,
    /// The value of [`OVERRIDE_VARIABLE`], made absolute.
    pub chosen: Option<PathBuf>,
}

impl Places {
    /// The places of this process.
    pub fn current() -> Self {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            module: super::own_module_path(),
            executable: std::env::current_exe().ok().map(|path| resolved(&path).unwrap_or(path)),
            home: absolute(if cfg!(windows) { "USERPROFILE" } else { "HOME" }),
            data_home: absolute(if cfg!(windows) { "LOCALAPPDATA" } else { "XDG_DATA_HOME" }),
            common: absolute("CommonProgramFiles").filter(|_| cfg!(windows)),
            chosen: std::env::var_os(OVERRIDE_VARIABLE)
                .filter(|value| !value.is_empty())
                .and_then(|value| std::path::absolute(PathBuf::from(value)).ok()),
        }
    }

    /// The folders to search, in order, each once.
    ///
    /// 1. beside our own module, and `runtime/` beside it (also the `Frameworks` folder of a bundle on macOS): a VST3
    ///    bundle, a CLAP installed as a folder, the command line;
    /// 2. inside a VST3 bundle that lies beside us, for a lone `.clap`;
    /// 3. the user's own folders: the runtime folder, the installed VST3 bundle, the CLAP folder;
    /// 4. beside the executable, where it is not the module itself;
    /// 5. folders of the whole system.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        if let Some(dir) = self.module.as_deref().and_then(Path::parent) {
            folders.push(dir.to_path_buf());
            folders.push(dir.join("runtime"));
            if cfg!(target_os = "macos") {
                folders.extend(dir.parent().map(|contents| contents.join("Frameworks")));
            }
            folders.push(dir.join("Coffre.vst3").join(VST3_BINARIES));
            // `/usr/lib/clap/Coffre.clap` has its sibling in `/usr/lib/vst3`; `…/clap/Coffre/Coffre.clap` too.
            for above in dir.ancestors().skip(1).take(2) {
                for name in ["vst3", ".vst3"] {
                    folders.push(above.join(name).join("Coffre.vst3").join(VST3_BINARIES));
                }
            }
        }
        folders.extend(self.user_folder());
        for (format, path) in self.plugins() {
            folders.extend(match format {
                Format::Vst3 => Some(path.join(VST3_BINARIES)),
                Format::Clap => path.parent().map(Path::to_path_buf),
            });
        }
        if let Some(dir) = self.executable.as_deref().and_then(Path::parent) {
            folders.push(dir.to_path_buf());
            folders.push(dir.join("runtime"));
        }
        if cfg!(unix) {
            folders.push("/usr/local/lib/coffre".into());
            folders.push("/usr/lib/coffre".into());
        }
        let mut seen = std::collections::HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders
    }

    /// The per-user folder of the shipped version, where `cargo xtask setup` puts it.
    pub fn user_folder(&self) -> Option<PathBuf> {
        let data = match System::HERE {
            System::MacOs => self.home.as_ref().map(|home| home.join("Library/Application Support/Coffre")),
            System::Windows => self.local_data().map(|local| local.join("Coffre")),
            System::Linux => {
                let data = self.data_home.clone();
                data.or_else(|| self.home.as_ref().map(|home| home.join(".local/share"))).map(|dir| dir.join("coffre"))
            }
        };
        data.map(|dir| dir.join("runtime").join(RUNTIME_VERSION))
    }

    /// What is of this user and this computer on Windows. Without the variable, what it says everywhere.
    fn local_data(&self) -> Option<PathBuf> {
        self.data_home.clone().or_else(|| self.home.as_ref().map(|home| home.join("AppData").join("Local")))
    }

    /// Where hosts of this system look for Coffre: what is installed for the user, then for all users where it is
    /// installed by Coffre's own means.
    pub fn plugins(&self) -> Vec<(Format, PathBuf)> {
        self.plugins_of(System::HERE)
    }

    fn plugins_of(&self, system: System) -> Vec<(Format, PathBuf)> {
        let home = self.home.as_ref();
        let (vst3, clap): (Vec<_>, Vec<_>) = match system {
            System::Linux => home.map(|home| (home.join(".vst3"), home.join(".clap/Coffre"))).into_iter().unzip(),
            System::MacOs => home
                .map(|home| home.join("Library/Audio/Plug-Ins"))
                .map(|folder| (folder.join("VST3"), folder.join("CLAP")))
                .into_iter()
                .unzip(),
            System::Windows => self
                .local_data()
                .map(|local| local.join("Programs").join("Common"))
                .into_iter()
                .chain(self.common.clone())
                .map(|folder| (folder.join("VST3"), folder.join("CLAP").join("Coffre")))
                .unzip(),
        };
        let vst3 = vst3.into_iter().map(|folder| (Format::Vst3, folder.join("Coffre.vst3")));
        let clap = clap.into_iter().map(|folder| (Format::Clap, folder.join("Coffre.clap")));
        vst3.chain(clap).collect()
    }

    /// The files that exist, in the order in which they are tried. With an override, that file alone, existing or not.
    pub fn candidates(&self) -> Vec<PathBuf> {
        if let Some(chosen) = &self.chosen {
            return vec![chosen.clone()];
        }
        let names = || std::iter::once(&FILE_NAME).chain(OTHER_NAMES);
        let files = self.folders().into_iter().flat_map(|dir| names().map(move |name| dir.join(name)));
        files.filter(|file| file.is_file()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, b"").expect("a file");
    }

    /// Places under one temporary folder: a host elsewhere, the plugin at `module`.
    fn places(root: &Path, module: &str) -> Places {
        Places {
            module: Some(root.join(module)),
            executable: Some(root.join("opt/host/bin/host")),
            home: Some(root.join("home")),
            ..Places::default()
        }
    }

    /// Candidates below `root`, relative to it: a developer's machine may have system-wide ones too.
    fn found(places: &Places, root: &Path) -> Vec<PathBuf> {
        let all = places.candidates();
        all.iter().filter_map(|path| path.strip_prefix(root).ok()).map(Path::to_path_buf).collect()
    }

    #[test]
    fn the_file_name_carries_the_shipped_version() {
        assert!(cfg!(windows) || FILE_NAME.contains(RUNTIME_VERSION));
    }

    #[test]
    fn beside_the_module_comes_before_the_users_folder() {
        let root = tempfile::tempdir().expect("a folder");
        let installed = places(root.path(), "").plugins().into_iter().find(|(format, _)| *format == Format::Vst3);
        let vst3 = installed.expect("a home").1;
        let (folder, bundle) = (vst3.parent().expect("a folder"), vst3.join(VST3_BINARIES).join(FILE_NAME));
        let user = places(root.path(), "").user_folder().expect("a home").join(FILE_NAME);
        touch(&bundle);
        touch(&user);
        let below = |path: &Path| path.strip_prefix(root.path()).expect("below").to_path_buf();
        let (bundle, user) = (below(&bundle), below(&user));
        let with = |module: &Path| found(&places(root.path(), module.to_str().expect("UTF-8")), root.path());

        assert_eq!(with(&vst3.join(VST3_BINARIES).join("Coffre.so")), [bundle.clone(), user.clone()]);
        // A lone `.clap`, and one in its own folder, find the sibling bundle.
        let clap = folder.with_file_name(if cfg!(windows) { "CLAP" } else { ".clap" });
        assert_eq!(with(&clap.join("Coffre.clap"))[0], bundle);
        assert_eq!(with(&clap.join("Coffre").join("Coffre.clap"))[0], bundle);
        // From anywhere else the user's folder serves first.
        assert_eq!(with(Path::new("elsewhere/Coffre.clap")), [user, bundle]);
    }

    #[test]
    fn hosts_of_every_system_look_where_their_format_says() {
        let [home, local, common] = ["home", "local", "common"].map(|name| std::env::temp_dir().join(name));
        let places = Places {
            home: Some(home.clone()),
            data_home: Some(local.clone()),
            common: Some(common.clone()),
            ..Places::default()
        };
        for (system, expected) in [
            (System::Linux, vec![home.join(".vst3/Coffre.vst3"), home.join(".clap/Coffre/Coffre.clap")]),
            (
                System::MacOs,
                vec![
                    home.join("Library/Audio/Plug-Ins/VST3/Coffre.vst3"),
                    home.join("Library/Audio/Plug-Ins/CLAP/Coffre.clap"),
                ],
            ),
            (
                System::Windows,
                vec![
                    local.join("Programs/Common/VST3/Coffre.vst3"),
                    common.join("VST3/Coffre.vst3"),
                    local.join("Programs/Common/CLAP/Coffre/Coffre.clap"),
                    common.join("CLAP/Coffre/Coffre.clap"),
                ],
            ),
        ] {
            let found: Vec<PathBuf> = places.plugins_of(system).into_iter().map(|(_, path)| path).collect();
            assert_eq!(found, expected, "{system:?}");
        }
        // Without `LOCALAPPDATA` the home folder says where it is; without that too, only the shared one is left.
        let without = Places { data_home: None, ..places };
        let first = |places: &Places| places.plugins_of(System::Windows).into_iter().next().map(|(_, path)| path);
        assert_eq!(first(&without), Some(home.join("AppData/Local/Programs/Common/VST3/Coffre.vst3")));
        assert_eq!(first(&Places { home: None, ..without }), Some(common.join("VST3/Coffre.vst3")));
        assert!(Places::default().plugins_of(System::Windows).is_empty());
    }

    #[test]
    fn runtime_folder_beside_the_command_line_is_searched() {
        let root = tempfile::tempdir().expect("a folder");
        touch(&root.path().join("bin/runtime").join(FILE_NAME));
        assert_eq!(found(&places(root.path(), "bin/coffre"), root.path()), [Path::new("bin/runtime").join(FILE_NAME)]);
    }

    #[test]
    fn an_override_stands_alone_even_if_missing() {
        let root = tempfile::tempdir().expect("a folder");
        touch(&root.path().join("bin").join(FILE_NAME));
        let mut places = places(root.path(), "bin/coffre");
        let nowhere = root.path().join("nowhere").join(FILE_NAME);
        places.chosen = Some(nowhere.clone());
        assert_eq!(places.candidates(), [nowhere]);
    }

    #[test]
    fn every_folder_is_absolute_and_unique() {
        let folders = places(&std::env::temp_dir(), "bin/coffre").folders();
        assert!(folders.iter().all(|folder| folder.is_absolute()));
        let unique: std::collections::HashSet<_> = folders.iter().collect();
        assert_eq!(unique.len(), folders.len());
    }

    #[test]
    fn nothing_known_still_gives_the_systems_folders() {
        assert_eq!(Places::default().folders().len(), if cfg!(unix) { 2 } else { 0 });
    }
}

//! Folders of this machine: where voices are looked for, where new ones go, and where what can be made again is kept.
//!
//! Only says where they are: looks into none, because a folder on a network share may not answer.

use std::path::PathBuf;

use super::{FOLDERS_VARIABLE, Origin, PROJECT_FOLDER};

/// The user's own voice folder, where new voices are saved. `None` when the system names no home.
pub fn user_folder() -> Option<PathBuf> {
    data_home().map(|home| home.join(FOLDER_NAME).join("voices"))
}

/// Library folders, whether they exist or not: [`PROJECT_FOLDER`] in the working folder, those of [`FOLDERS_VARIABLE`],
/// the user's, those for all users.
pub fn default_folders() -> Vec<(Origin, PathBuf)> {
    let project = std::env::current_dir().ok().map(|folder| folder.join(PROJECT_FOLDER));
    let mut folders: Vec<_> = project.map(|path| (Origin::Project, path)).into_iter().collect();
    if let Some(list) = std::env::var_os(FOLDERS_VARIABLE) {
        folders.extend(std::env::split_paths(&list).filter(|path| path.is_absolute()).map(|p| (Origin::User, p)));
    }
    folders.extend(user_folder().map(|path| (Origin::User, path)));
    folders.extend(system_data().into_iter().map(|path| (Origin::System, path.join(FOLDER_NAME).join("voices"))));
    folders
}

/// The data folders' own customs on the three systems.
#[cfg(not(any(target_os = "macos", windows)))]
pub(super) const FOLDER_NAME: &str = "coffre";
/// The data folders' own customs on the three systems.
#[cfg(any(target_os = "macos", windows))]
pub(super) const FOLDER_NAME: &str = "Coffre";

/// An absolute path from an environment variable; the XDG specification says to ignore relative ones.
fn absolute_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(not(any(target_os = "macos", windows)))]
fn data_home() -> Option<PathBuf> {
    absolute_variable("XDG_DATA_HOME").or_else(|| absolute_variable("HOME").map(|home| home.join(".local/share")))
}

#[cfg(not(any(target_os = "macos", windows)))]
fn system_data() -> Vec<PathBuf> {
    let list = std::env::var_os("XDG_DATA_DIRS").filter(|list| !list.is_empty());
    let list = list.unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    std::env::split_paths(&list).filter(|path| path.is_absolute()).collect()
}

#[cfg(target_os = "macos")]
fn data_home() -> Option<PathBuf> {
    absolute_variable("HOME").map(|home| home.join("Library/Application Support"))
}

#[cfg(target_os = "macos")]
fn system_data() -> Vec<PathBuf> {
    vec![PathBuf::from("/Library/Application Support")]
}

#[cfg(windows)]
fn data_home() -> Option<PathBuf> {
    absolute_variable("APPDATA")
}

#[cfg(windows)]
fn system_data() -> Vec<PathBuf> {
    absolute_variable("PROGRAMDATA").into_iter().collect()
}

#[cfg(not(any(target_os = "macos", windows)))]
pub(super) fn cache_home() -> Option<PathBuf> {
    absolute_variable("XDG_CACHE_HOME").or_else(|| absolute_variable("HOME").map(|home| home.join(".cache")))
}

#[cfg(target_os = "macos")]
pub(super) fn cache_home() -> Option<PathBuf> {
    absolute_variable("HOME").map(|home| home.join("Library/Caches"))
}

#[cfg(windows)]
pub(super) fn cache_home() -> Option<PathBuf> {
    absolute_variable("LOCALAPPDATA")
}

//! Imports a voice of another program into the library or a file: one way for the editor and the command.
//!
//! Not for the audio thread.

use std::path::{Path, PathBuf};

use super::store::save_in;
use super::{Imported, Library};
use crate::new_file::{self, Existing};
use crate::voice::import::{RVC_EXTENSIONS, import_rvc, index_beside};
use crate::voice::{Delivery, Manifest, Voice, VoiceError, VoiceId};

/// What a person says about the voice; its own files do not say it.
#[derive(Clone, Debug, Default)]
pub struct ForeignWishes {
    /// Its retrieval index; `None` = one beside the voice that is named after it, if there is one.
    pub index: Option<PathBuf>,
    /// Display name; `None` = that of the file.
    pub name: Option<String>,
    /// Lowest and highest usual note in Hz; Register needs it.
    pub range_hz: Option<[f32; 2]>,
}

/// Where the voice goes.
#[derive(Clone, Copy, Debug)]
pub enum ForeignPlace<'a> {
    /// Into a library folder, unless the library holds the same file already.
    Library(&'a Path, &'a Library),
    /// Into this file.
    File(&'a Path, Existing),
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignStep {
    /// The files of the other program are read and checked.
    Reading,
    /// The voice is put into Coffre's form.
    Packing,
    /// The file is written.
    Writing,
}

/// A voice that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignImport {
    /// Where it is, and whether it was there already.
    pub place: Imported,
    /// Display name.
    pub name: String,
    /// Id of the file.
    pub id: VoiceId,
    /// Length of the file.
    pub len: usize,
    /// The index that was put in.
    pub index: Option<PathBuf>,
    /// The voice in a few words.
    pub description: String,
}

/// Whether a file has the ending of a voice of another program.
pub fn is_foreign(file: &Path) -> bool {
    let known = |extension: &std::ffi::OsStr| RVC_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
    file.extension().is_some_and(known)
}

/// Reads a voice of another program and keeps it in Coffre's form. `tell` hears of each step before it begins.
///
/// # Errors
/// What is wrong with the files, with the name, or with writing. Nothing is written then.
pub fn import_foreign(
    file: &Path,
    wishes: &ForeignWishes,
    place: ForeignPlace<'_>,
    tell: &mut dyn FnMut(ForeignStep),
) -> Result<ForeignImport, VoiceError> {
    tell(ForeignStep::Reading);
    let index = wishes.index.clone().or_else(|| index_beside(file));
    let voice = import_rvc(file, index.as_deref())?;
    let body = voice.rvc().ok_or_else(|| VoiceError::UnknownEngine { engine: voice.manifest().engine.clone() })?;
    let description = body.describe();

    tell(ForeignStep::Packing);
    let name = wishes.name.clone().unwrap_or_else(|| voice.name().to_owned());
    let mut manifest = Manifest { name: name.clone(), ..voice.manifest().clone() };
    if let Some(range_hz) = wishes.range_hz {
        // The middle of a range is its geometric mean: pitch is heard in ratios.
        (manifest.range_hz, manifest.median_f0_hz) = (range_hz, (range_hz[0] * range_hz[1]).sqrt());
        manifest.delivery = Delivery::Sung;
    }
    let bytes = Voice::write_rvc(manifest, body)?;
    let (id, len) = (VoiceId::of(&bytes), bytes.len());

    tell(ForeignStep::Writing);
    let place = match place {
        ForeignPlace::File(path, existing) => {
            new_file::write(path, &bytes, existing)?;
            Imported::New(path.to_owned())
        }
        ForeignPlace::Library(folder, library) => match library.holding(id, len as u64) {
            Some(known) => Imported::Known(known.path.clone()),
            None => Imported::New(save_in(folder, &name, &bytes)?),
        },
    };
    Ok(ForeignImport { place, name, id, len, index, description })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::Origin;

    fn checkpoint() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rvc_v2_40k.pth")
    }

    #[test]
    fn a_checkpoint_is_kept_once_and_every_step_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let folders = [(Origin::User, folder.path().to_owned())];
        let wishes =
            ForeignWishes { name: Some("Own".into()), range_hz: Some([100.0, 400.0]), ..ForeignWishes::default() };
        let mut steps = Vec::new();
        let mut take = |library: &Library| {
            let place = ForeignPlace::Library(folder.path(), library);
            import_foreign(&checkpoint(), &wishes, place, &mut |step| steps.push(step)).expect("a voice")
        };
        let first = take(&Library::scan_folders(&folders));
        let again = take(&Library::scan_folders(&folders));
        assert_eq!(steps[..3], [ForeignStep::Reading, ForeignStep::Packing, ForeignStep::Writing]);
        let Imported::New(path) = &first.place else { panic!("{first:?}") };
        assert_eq!(again.place, Imported::Known(path.clone()));
        let voice = Voice::open(path).expect("readable");
        assert_eq!((voice.id(), voice.name(), voice.median_f0_hz()), (first.id, "Own", 200.0));
        assert_eq!(voice.rvc().map(|body| body.describe()), Some(first.description));
    }

    #[test]
    fn what_cannot_be_imported_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("voice.coffre");
        let unnamed = ForeignWishes { name: Some(String::new()), ..ForeignWishes::default() };
        let stranger = ForeignWishes { index: Some(checkpoint()), ..ForeignWishes::default() };
        for wishes in [unnamed, stranger] {
            let place = ForeignPlace::File(&target, Existing::Keep);
            assert!(import_foreign(&checkpoint(), &wishes, place, &mut |_| ()).is_err());
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}

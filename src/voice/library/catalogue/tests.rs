//! Tests of the catalogue with folders that hang, and of what it keeps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::voice::extras::rewrite;
use crate::voice::package::MAX_FILE_BYTES;

const LONG: Duration = Duration::from_secs(60);
const LIST: Wants = Wants { hashes: false, hurries: false, keeps: false };
const HASH: Wants = Wants { hashes: true, hurries: true, keeps: false };
const KEEP: Wants = Wants { hashes: true, hurries: false, keeps: true };

/// A catalogue in which folders called `hung` do not answer until the sender goes; counts the looks.
fn catalogue(index: Option<PathBuf>) -> (Arc<Catalogue>, Sender<()>, Arc<AtomicUsize>) {
    let (release, hang) = channel::<()>();
    let (hang, looks) = (Mutex::new(hang), Arc::new(AtomicUsize::new(0)));
    let count = looks.clone();
    let list = move |folder: &Path| {
        count.fetch_add(1, Ordering::SeqCst);
        if folder.ends_with("hung") {
            let _ = hang.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
        list(folder)
    };
    (Arc::new(Catalogue::new(Box::new(list), index)), release, looks)
}

/// Puts a voice into a folder, changed long enough ago.
fn put(folder: &Path, file: &str, name: &str) -> (PathBuf, VoiceId) {
    let bytes = include_bytes!("../../../../models/voices/quartz.coffre");
    let bytes = rewrite(bytes, |manifest| manifest.name = name.to_owned()).expect("renamed");
    let path = folder.join(file);
    std::fs::write(&path, &bytes).expect("written");
    age(&path, 100);
    (path, VoiceId::of(&bytes))
}

fn age(path: &Path, seconds: u64) {
    let file = std::fs::File::options().write(true).open(path).expect("opens");
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("aged");
}

fn look(catalogue: &Arc<Catalogue>, folder: &Path, wants: Wants) -> Listing {
    let folders = [folder.to_owned()];
    assert!(catalogue.wait(&catalogue.request(&folders, wants), LONG));
    catalogue.wait_for_hashes(&folders, LONG);
    catalogue.listing(folder)
}

fn id(catalogue: &Catalogue, path: &Path) -> Option<VoiceId> {
    catalogue.id_of(path, Stamp::of(path).expect("a file"))
}

#[test]
fn a_folder_that_hangs_holds_up_nothing_but_itself() {
    let (catalogue, release, _) = catalogue(None);
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "a.coffre", "A");
    let hung = folder.path().join("hung");
    let folders = [hung.clone(), folder.path().to_owned()];
    let ticket = catalogue.request(&folders, LIST);
    assert!(!catalogue.wait(&ticket, Duration::from_millis(300)));
    assert_eq!(catalogue.listing(folder.path()).files.len(), 1, "the other folder is there");
    assert!(!catalogue.listing(&hung).has_answered);
    // However often it is asked for, it has one thread.
    for _ in 0..100 {
        catalogue.request(&folders, LIST);
    }
    assert!(look(&catalogue, folder.path(), LIST).is_there);
    assert!(catalogue.state().scanners <= 2, "{}", catalogue.state().scanners);
    // Once it is known to be slow, nobody waits for it at all.
    std::thread::sleep(OVERDUE);
    let ticket = catalogue.request(&folders[..1], LIST);
    let begin = Instant::now();
    assert!(!catalogue.wait(&ticket, LONG));
    assert!(begin.elapsed() < LONG / 2);
    let version = catalogue.version(&folders);
    drop(release);
    while !catalogue.is_done(&ticket) {
        catalogue.wait_for_news(Duration::from_millis(10));
    }
    assert!(catalogue.listing(&hung).has_answered && !catalogue.listing(&hung).is_there);
    assert!(catalogue.version(&folders) > version, "that is news");
}

#[test]
fn many_folders_that_hang_take_a_bounded_number_of_threads() {
    let (catalogue, release, looks) = catalogue(None);
    let folders: Vec<PathBuf> = (0..50).map(|n| PathBuf::from(format!("/absent/{n}/hung"))).collect();
    let ticket = catalogue.request(&folders, LIST);
    assert!(!catalogue.wait(&ticket, Duration::from_millis(100)));
    assert!(catalogue.state().scanners <= MAX_SCANNERS);
    drop(release);
    while !catalogue.is_done(&ticket) {
        catalogue.wait_for_news(Duration::from_millis(10));
    }
    assert_eq!(looks.load(Ordering::SeqCst), folders.len());
}

#[test]
fn those_who_ask_at_once_share_a_look() {
    let (catalogue, release, looks) = catalogue(None);
    let folder = PathBuf::from("/absent/hung");
    let tickets: Vec<Ticket> = (0..30).map(|_| catalogue.request(std::slice::from_ref(&folder), LIST)).collect();
    drop(release);
    for ticket in &tickets {
        while !catalogue.is_done(ticket) {
            catalogue.wait_for_news(Duration::from_millis(10));
        }
    }
    // One that was under way when they asked, and one that began after that.
    assert!(looks.load(Ordering::SeqCst) <= 2, "{looks:?}");
    for _ in 0..100 {
        catalogue.refresh(std::slice::from_ref(&folder), LIST, LONG);
    }
    assert!(looks.load(Ordering::SeqCst) <= 2, "{looks:?}");
}

#[test]
fn only_what_has_changed_is_read_again() {
    let (catalogue, ..) = catalogue(None);
    let folder = tempfile::tempdir().expect("a folder");
    let [(one, one_id), (two, two_id)] = [put(folder.path(), "1.coffre", "One"), put(folder.path(), "2.coffre", "Two")];
    let first = look(&catalogue, folder.path(), LIST);
    assert_eq!((id(&catalogue, &one), id(&catalogue, &two)), (None, None), "nobody wanted them");
    let second = look(&catalogue, folder.path(), HASH);
    assert!(first.is_same(&second));
    let manifest = |listing: &Listing, place: usize| listing.files[place].manifest.clone().expect("good");
    assert!(Arc::ptr_eq(&manifest(&first, 0), &manifest(&second, 0)), "the manifest was read once");
    assert_eq!((id(&catalogue, &one), id(&catalogue, &two)), (Some(one_id), Some(two_id)));
    let version = catalogue.version(&[folder.path().to_owned()]);
    // The same length, another time; then the same time, another length.
    let (_, new_id) = put(folder.path(), "1.coffre", "Six");
    age(&one, 200);
    let third = look(&catalogue, folder.path(), HASH);
    assert_eq!((manifest(&third, 0).name.as_str(), id(&catalogue, &one)), ("Six", Some(new_id)));
    assert!(Arc::ptr_eq(&manifest(&first, 1), &manifest(&third, 1)));
    assert!(catalogue.version(&[folder.path().to_owned()]) > version);
    let kept = std::fs::metadata(&two).and_then(|about| about.modified()).expect("a time");
    std::fs::write(&two, b"short").expect("written");
    std::fs::File::options().write(true).open(&two).and_then(|file| file.set_modified(kept)).expect("aged");
    let fourth = look(&catalogue, folder.path(), HASH);
    assert!(fourth.files[1].manifest.is_err());
}

#[test]
fn what_was_changed_just_now_is_not_believed() {
    let (catalogue, ..) = catalogue(None);
    let folder = tempfile::tempdir().expect("a folder");
    // Two contents of one length and one time, as a coarse clock leaves them.
    let (path, first) = put(folder.path(), "a.coffre", "One");
    age(&path, 0);
    let time = std::fs::metadata(&path).and_then(|about| about.modified()).expect("a time");
    look(&catalogue, folder.path(), HASH);
    assert_eq!(id(&catalogue, &path), Some(first));
    let (_, second) = put(folder.path(), "a.coffre", "Two");
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("set");
    let listing = look(&catalogue, folder.path(), HASH);
    assert_eq!(listing.files[0].manifest.as_ref().expect("good").name, "Two");
    assert_eq!(id(&catalogue, &path), Some(second));
}

#[test]
fn ids_are_kept_on_disk_and_a_lie_is_corrected() {
    let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let index = cache.path().join("coffre/voices.index");
    let (path, right) = put(folder.path(), "a.coffre", "A");
    let (first, ..) = catalogue(Some(index.clone()));
    look(&first, folder.path(), HASH);
    assert!(!index.exists(), "a folder that is not of this machine leaves no trace");
    look(&first, folder.path(), KEEP);
    let (file, known) = (path.clone(), first.state().ids.clone());
    first.state().is_dirty = true;
    first.save();
    assert_eq!(index::load(&index), known);
    // Another process has no need to hash.
    let (second, ..) = catalogue(Some(index.clone()));
    look(&second, folder.path(), Wants { hashes: false, hurries: false, keeps: true });
    assert_eq!(id(&second, &file), Some(right));
    // What the file says is believed until somebody reads the voice.
    let wrong = VoiceId::of(b"wrong");
    let stamp = Stamp::of(&file).expect("a file");
    index::save(&index, &[(file.clone(), (stamp, wrong))].into(), |_| false).expect("written");
    let (third, ..) = catalogue(Some(index));
    look(&third, folder.path(), KEEP);
    assert_eq!(id(&third, &file), Some(wrong));
    let version = third.version(&[folder.path().to_owned()]);
    third.learn(&file, stamp, right);
    assert_eq!(id(&third, &file), Some(right));
    assert!(third.version(&[folder.path().to_owned()]) > version, "that is news");
}

#[test]
fn what_is_no_file_is_left_out_and_what_is_bad_is_said() {
    let (catalogue, ..) = catalogue(None);
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "good.coffre", "Good");
    std::fs::create_dir(folder.path().join("folder.coffre")).expect("made");
    std::fs::write(folder.path().join("bad.coffre"), b"bad").expect("written");
    std::fs::File::create(folder.path().join("big.coffre"))
        .and_then(|file| file.set_len(MAX_FILE_BYTES + 1))
        .expect("sparse");
    #[cfg(unix)]
    {
        crate::voice::file::make_pipe(&folder.path().join("pipe.coffre"));
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero.coffre")).expect("linked");
        std::os::unix::fs::symlink("nowhere", folder.path().join("nowhere.coffre")).expect("linked");
    }
    let listing = look(&catalogue, folder.path(), HASH);
    let names: Vec<_> = listing.files.iter().map(|found| found.path.file_stem().expect("a name").to_owned()).collect();
    assert_eq!(names, if cfg!(unix) { ["bad", "big", "good", "nowhere"].as_slice() } else { &["bad", "big", "good"] });
    assert_eq!(listing.files.iter().filter(|found| found.manifest.is_ok()).count(), 1);
}

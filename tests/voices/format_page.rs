//! `models/FORMAT.md` against the code: its tables are read, and compared with limits, manifests and real files.

use std::collections::BTreeSet;
use std::path::Path;

use coffre::voice::Adaptation;
use coffre::voice::bank::MAX_BANK_FRAMES;
use coffre::voice::import::faiss::RetrievalIndex;
use coffre::voice::import::{import_rvc, rvc_from_bytes};
use coffre::voice::manifest::{
    ConsentGround, ElementType, MAX_MEMBER_BYTES, MAX_MEMBERS, MAX_PREVIOUS_IDS, MAX_TOTAL_BYTES, Member,
    UNKNOWN_RANGE_HZ,
};
use coffre::voice::package::{MAX_FILE_BYTES, MAX_MANIFEST_BYTES, MAX_UNPACKED_BYTES, PackageWriter};
use coffre::voice::rvc::RvcVoice;
use coffre::voice::{Consent, Delivery, Extras, Package, Portrait, Signer, extras, signature, tensors};

use super::*;

fn page() -> String {
    std::fs::read_to_string(root().join("models/FORMAT.md")).expect("the page")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the first table below a heading, cell by cell.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = page();
    let below = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}")).1;
    let rows = below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.skip(2).map(cells).collect();
    assert!(rows.len() > 2, "the table of {heading} has {} rows", rows.len());
    rows
}

/// The table whose first head is this.
fn table_of(head: &str) -> Vec<Vec<String>> {
    let page = page();
    let heading = page.lines().find(|line| line.starts_with(&format!("| {head} |")));
    let before = page.split_once(heading.unwrap_or_else(|| panic!("no table of {head}"))).expect("found").0;
    // The line above the table, so that the one reader of tables serves.
    table(before.trim_end().lines().last().expect("a line"))
}

/// What stands in backticks in a cell.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn names(rows: &[Vec<String>]) -> BTreeSet<String> {
    rows.iter().flat_map(|row| quoted(&row[0])).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

fn whole_manifest() -> Manifest {
    Manifest {
        consent: Some(Consent {
            ground: ConsentGround::OwnVoice,
            statement: "Mine.".to_owned(),
            date: Some("2026-01-31".to_owned()),
            recordings_sha256: Some("0".repeat(64)),
        }),
        previous_ids: vec!["1".repeat(64)],
        improved_from: Some("2".repeat(64)),
        delivery: Delivery::Sung,
        ..manifest("Whole")
    }
}

#[test]
fn the_page_names_every_field_of_the_manifest() {
    let version = format!("{FORMAT_MAJOR}.{FORMAT_MINOR}");
    assert!(page().starts_with(&format!("# The voice file `.coffre`, format {version}\n")));
    let rows = table("## `manifest.json`");
    let written = serde_json::to_value(whole_manifest()).expect("JSON");
    assert_eq!(names(&rows), keys(&written));
    assert_eq!(names(&table("### `consent`")), keys(&written["consent"]));
    let row = |name: &str| rows.iter().find(|row| row[0] == format!("`{name}`")).expect("a row");
    assert!(row("format")[2].contains(&version));
    let said = |values: &[Value]| -> Vec<String> {
        values.iter().map(|value| value.as_str().expect("a word").to_owned()).collect()
    };
    let word = |kind: Kind| serde_json::to_value(kind).expect("JSON");
    assert_eq!(quoted(&row("kind")[1]), said(&[word(Kind::Voice), word(Kind::Singer)]));
    let types = [ElementType::I8, ElementType::U8, ElementType::U16, ElementType::F32];
    let types = types.map(|kind| serde_json::to_value(kind).expect("JSON"));
    assert_eq!(quoted(&row("members")[2])[1..], said(&types));
    let grounds = [ConsentGround::OwnVoice, ConsentGround::WrittenConsent, ConsentGround::LicensedData];
    let grounds = grounds.map(|ground| serde_json::to_value(ground).expect("JSON"));
    assert_eq!(quoted(&table("### `consent`")[0][1]), said(&grounds));
    // What may be absent, and nothing else, is said to be.
    let is_read = |manifest: &Value| Manifest::from_json(&serde_json::to_vec(manifest).expect("JSON")).is_ok();
    let may_be_absent = |rows: &[Vec<String>], name: &String| {
        rows.iter().find(|row| quoted(&row[0]).contains(name)).expect("a row")[1].ends_with("or absent")
    };
    for name in keys(&written) {
        let mut without = written.clone();
        without.as_object_mut().expect("an object").remove(&name);
        assert_eq!(is_read(&without), may_be_absent(&rows, &name), "without `{name}`");
    }
    for name in keys(&written["consent"]) {
        let mut without = written.clone();
        without["consent"].as_object_mut().expect("an object").remove(&name);
        assert_eq!(is_read(&without), may_be_absent(&table("### `consent`"), &name), "consent without `{name}`");
    }
    for engine in quoted(&row("engine")[1]) {
        assert_eq!(Manifest { engine, ..manifest("Known") }.validate(), Ok(()));
    }
    assert!(Manifest { engine: "other".to_owned(), ..manifest("Unknown") }.validate().is_err());
}

#[test]
fn numbers_of_the_manifest_are_refused_where_the_page_says() {
    let rows = table("## `manifest.json`");
    let bounds = |name: &str| -> [f32; 2] {
        let row = rows.iter().find(|row| quoted(&row[0]).iter().any(|field| field == name)).expect("a row");
        range(row[2].rsplit(';').next().expect("a part")).unwrap_or_else(|| panic!("no range of {name}"))
    };
    type Set = fn(&mut Manifest, f32);
    let set: [(&str, Set); 5] = [
        ("median_f0_hz", |m, hz| m.median_f0_hz = hz),
        ("range_hz", |m, hz| m.range_hz[0] = hz),
        ("range_hz", |m, hz| m.range_hz[1] = hz),
        ("bandwidth_hz", |m, hz| m.bandwidth_hz = hz),
        ("voiced_seconds", |m, s| m.voiced_seconds = s),
    ];
    for (name, set) in set {
        let is_valid = |value: f32| {
            let mut manifest = manifest("Bounds");
            set(&mut manifest, value);
            manifest.validate().is_ok()
        };
        let [low, high] = bounds(name);
        assert!(is_valid(low) && is_valid(high), "{name}: {low} to {high}");
        assert!(!is_valid(low.next_down()) && !is_valid(high.next_up()), "{name}: beyond {low} to {high}");
    }
    let [low, high] = UNKNOWN_RANGE_HZ;
    assert!(page().contains(&format!("a `range_hz` of {low} to {high} and `voiced_seconds` of 0")));
}

/// `a to b` at the beginning of a text.
fn range(text: &str) -> Option<[f32; 2]> {
    let mut words = text.split_whitespace().map(|word| word.trim_end_matches([';', ',']));
    let low = words.next()?.parse().ok()?;
    (words.next()? == "to").then_some(())?;
    Some([low, words.next()?.parse().ok()?])
}

/// What a limit of the page says, in bytes or as a number.
fn number(cell: &str) -> u64 {
    let mut words = cell.split_whitespace();
    let value: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number: {cell}"));
    match words.next() {
        Some("MiB") => value << 20,
        Some("KiB") => value << 10,
        _ => value,
    }
}

/// Whether a limit is where the page says: what is at it is taken, what is beyond it is not.
fn is_at(limit: u64, is_taken: impl Fn(usize) -> bool) -> bool {
    let limit = usize::try_from(limit).expect("a small limit");
    is_taken(limit) && !is_taken(limit + 1)
}

fn takes(set: impl Fn(&mut Manifest, usize)) -> impl Fn(usize) -> bool {
    move |count| {
        let mut manifest = whole_manifest();
        set(&mut manifest, count);
        manifest.validate().is_ok()
    }
}

fn member(path: String, shape: Vec<u32>) -> Member {
    Member { path, dtype: ElementType::U8, shape, sha256: "0".repeat(64) }
}

#[test]
fn limits_are_where_the_page_says() {
    let text = |count: usize| "x".repeat(count);
    let one = |m: &mut Manifest, path: String, shape: Vec<u32>| m.members = vec![member(path, shape)];
    let consent = |m: &mut Manifest, set: fn(&mut Consent, String), words: String| {
        set(m.consent.as_mut().expect("there is one"), words);
    };
    for row in table("## Limits, checked before memory is taken") {
        let limit = number(&row[1]);
        let is_right = match row[0].as_str() {
            "file" => limit == MAX_FILE_BYTES,
            "all members together" => limit == MAX_TOTAL_BYTES,
            "one member" => limit == MAX_MEMBER_BYTES,
            "deflated members together, unpacked" => limit == MAX_UNPACKED_BYTES,
            "`manifest.json`" => limit == MAX_MANIFEST_BYTES,
            "`manifest.sig`" => limit == signature::MAX_BYTES,
            "preview" => limit == extras::MAX_PREVIEW as u64,
            "portrait" => is_at(limit, |len| {
                let mut picture = vec![0; len];
                picture[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
                Portrait::new(picture).is_ok()
            }),
            "side of a portrait" => is_at(limit, |side| {
                let side = (side as u32).to_be_bytes();
                let picture = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &side, &side, &[0; 40]].concat();
                Portrait::new(picture).is_ok()
            }),
            "members" => {
                limit == MAX_MEMBERS as u64
                    && is_at(
                        limit,
                        takes(|m, count| m.members = (0..count).map(|n| member(format!("m{n}"), vec![1])).collect()),
                    )
            }
            "entries of the archive" => {
                let many: Vec<(String, Vec<u8>)> = (0..=limit).map(|n| (format!("m{n}"), Vec::new())).collect();
                let said = error(&pack(&many)).to_string();
                said.contains(&format!("{} entries, at most {limit} are allowed", limit + 1))
            }
            "numbers of a shape" => is_at(limit, takes(|m, count| one(m, "m".to_owned(), vec![1; count]))),
            "path" => is_at(limit, takes(|m, count| one(m, text(count), vec![1]))),
            "`name`, `author`, `licence`, `content_space`" => {
                is_at(limit, takes(|m, count| m.name = text(count)))
                    && is_at(limit, takes(|m, count| m.author = text(count)))
                    && is_at(limit, takes(|m, count| m.licence = text(count)))
                    && is_at(limit, takes(|m, count| m.content_space = text(count)))
            }
            "`description`, `attribution`, `statement`" => {
                is_at(limit, takes(|m, count| m.description = text(count)))
                    && is_at(limit, takes(|m, count| m.attribution = text(count)))
                    && is_at(limit, takes(|m, count| consent(m, |c, words| c.statement = words, text(count))))
            }
            "`languages`" => is_at(limit, takes(|m, count| m.languages = vec!["en".to_owned(); count])),
            "one language, `date`" => {
                is_at(limit, takes(|m, count| m.languages = vec![text(count)]))
                    && is_at(limit, takes(|m, count| consent(m, |c, words| c.date = Some(words), text(count))))
            }
            "`previous_ids`" => {
                limit == MAX_PREVIOUS_IDS as u64
                    && is_at(limit, takes(|m, count| m.previous_ids = vec!["0".repeat(64); count]))
            }
            "frames of a bank" => limit == MAX_BANK_FRAMES as u64,
            "`refine/space`" => is_at(limit, |count| Adaptation::new(&text(count), [1, 1], vec![0.0]).is_some()),
            "side of `refine/adaptation`" => [[0, 1], [1, 0]].iter().all(|at| {
                let shape = |count| at.map(|at| if at == 0 { count } else { 1 });
                is_at(limit, |count| Adaptation::new("space", shape(count), vec![0.0; count]).is_some())
            }),
            "tensors of all `.safetensors` members" => limit == tensors::MAX_ARRAYS as u64,
            "table of a `.safetensors` member" => limit == tensors::MAX_TABLE_BYTES as u64,
            other => panic!("nothing checks the limit of {other}"),
        };
        assert!(is_right, "the limit of {} is not {}", row[0], row[1]);
    }
}

fn fixture(name: &str) -> std::path::PathBuf {
    root().join("tests/data").join(name)
}

/// A file of each kind that there is: those that ship, and written ones with all that is optional.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(root().join("models/voices"))
        .expect("voices")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "coffre"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("readable")))
        .collect();
    assert!(files.len() >= 8, "{} voices ship", files.len());
    files.push(("profile".to_owned(), std::fs::read(root().join("models/population.profile")).expect("a profile")));
    let extras = Extras {
        preview: Some(b"fLaC and more".to_vec()),
        recordings: Some(b"fLaC and more".to_vec()),
        portrait: Some(Portrait::new(vec![0xff, 0xd8, 0xff, 0xe0]).expect("a JPEG")),
    };
    let adaptation = Adaptation::new("space", [3, 5], vec![0.1; 15]);
    let parts = NativeVoice { absolute_share: 0.35, adaptation, ..parts() };
    let signed = Voice::write_with(whole_manifest(), &parts, extras, Some(&Signer::new(&[7; 32])));
    files.push(("whole".to_owned(), signed.expect("writable")));
    let checkpoint = import_rvc(&fixture("rvc_v1_32k_plain.pth"), None).expect("a checkpoint");
    let index = RetrievalIndex {
        dim: 256,
        centroids: vec![0.0; 256],
        starts: vec![0, 1],
        vectors: vec![0.1; 256],
        ids: vec![0],
    };
    let generator = checkpoint.rvc().expect("of RVC").generator.clone();
    let indexed = RvcVoice { generator, index: Some(index) };
    files.push(("rvc".to_owned(), Voice::write_rvc(checkpoint.manifest().clone(), &indexed).expect("writable")));
    let seeds = unpack(&std::fs::read(fixture("fuzz/onnx.zip")).expect("seeds"));
    let graph = seeds.into_iter().find(|(name, _)| name == "rvc").expect("an exported graph").1;
    let exported = rvc_from_bytes("exported", true, graph, None).expect("a graph");
    let parts = exported.rvc().expect("of RVC");
    files.push(("exported".to_owned(), Voice::write_rvc(exported.manifest().clone(), parts).expect("writable")));
    files
}

/// Type and shape as the page writes them: numbers as they are, names for what differs from file to file.
fn is_as_said(cell: &str, member: &Member) -> bool {
    let (dtype, shape) = cell.split_once(' ').expect("type and shape");
    let sizes: Vec<&str> = shape.trim_matches(['`', '[', ']']).split(", ").collect();
    serde_json::to_value(member.dtype).expect("JSON") == dtype
        && sizes.len() == member.shape.len()
        && sizes.iter().zip(&member.shape).all(|(said, found)| said.parse::<u32>().unwrap_or(*found) == *found)
}

#[test]
fn members_of_real_files_are_those_of_the_page() {
    let native = table("### Engine `native`, and singers");
    let (rvc, extras) = (table("### Engine `rvc`"), table("### Extras, with any engine"));
    let mut seen = BTreeSet::new();
    for (name, bytes) in files() {
        let package = Package::open(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let own = if package.manifest.engine == ENGINE_NATIVE { &native } else { &rvc };
        for member in &package.manifest.members {
            let row = own.iter().chain(&extras).find(|row| quoted(&row[0]) == [member.path.as_str()]);
            let row = row.unwrap_or_else(|| panic!("{name}: the page does not know `{}`", member.path));
            assert!(is_as_said(&row[1], member), "{name}: `{}` is {:?} {:?}", member.path, member.dtype, member.shape);
            seen.insert(member.path.clone());
        }
    }
    let said: BTreeSet<String> = [&native, &rvc, &extras].into_iter().flat_map(|rows| names(rows)).collect();
    assert_eq!(said, seen, "the page names what no file has");
    assert_eq!(unpack(&files().into_iter().find(|(name, _)| name == "whole").expect("it").1)[1].0, "manifest.sig");
}

#[test]
fn values_beyond_those_of_the_page_are_refused() {
    let mut checked = 0;
    let full =
        NativeVoice { absolute_share: 0.35, adaptation: Adaptation::new("space", [3, 5], vec![0.1; 15]), ..parts() };
    let voice = Voice::write(manifest("Values"), &full).expect("writable");
    let profile = std::fs::read(root().join("models/population.profile")).expect("a profile");
    for row in table("### Engine `native`, and singers") {
        let path = &quoted(&row[0])[0];
        let Some([low, high]) = range(&row[2]) else {
            assert!(!row[1].starts_with("f32"), "`{path}` has no values on the page");
            continue;
        };
        let is_singers = path == "stats/mean_key";
        let with_first = |value: f32| with_first_value(if is_singers { &profile } else { &voice }, path, value);
        let is_read = |bytes: &[u8]| match is_singers {
            true => coffre::engine::profile::SourceProfile::from_bytes(bytes).map(drop),
            false => Voice::from_bytes(bytes).map(drop),
        };
        for inside in [low, high] {
            assert_eq!(is_read(&with_first(inside)), Ok(()), "`{path}` with {inside}");
        }
        for outside in [low.next_down(), high.next_up(), f32::NAN] {
            let beyond = VoiceError::Value { member: path.clone(), position: 0 };
            assert_eq!(is_read(&with_first(outside)), Err(beyond), "`{path}` with {outside}");
        }
        checked += 1;
    }
    assert_eq!(checked, 8);
}

/// A file with another first value in one member, all else as it was.
fn with_first_value(bytes: &[u8], path: &str, value: f32) -> Vec<u8> {
    let package = Package::open(bytes).expect("a good file");
    let mut writer = PackageWriter::new(package.manifest.clone());
    let contents = unpack(bytes);
    for member in &package.manifest.members {
        let mut data = contents.iter().find(|(name, _)| *name == member.path).expect("listed").1.clone();
        if member.path == path {
            data[..4].copy_from_slice(&value.to_le_bytes());
        }
        let shape: Vec<usize> = member.shape.iter().map(|&size| size as usize).collect();
        writer.push(&member.path, member.dtype, &shape, data);
    }
    writer.finish().expect("writable")
}

#[test]
fn the_description_of_a_network_is_that_of_the_page() {
    let (_, bytes) = files().into_iter().find(|(name, _)| name == "rvc").expect("a checkpoint");
    let config = Package::open(&bytes).expect("good").bytes("rvc/config.json").expect("there").expect("bytes").to_vec();
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(keys(&config), BTreeSet::from(["network".to_owned(), "notes".to_owned()]));
    assert_eq!(names(&table_of("field of `network`")), keys(&config["network"]));
}

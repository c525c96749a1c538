//! Saved states in a CLAP host: what was saved comes back, and nothing that is loaded does harm or loses a voice.
#![cfg(feature = "plugin")]

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/reference.rs"]
mod reference;

use std::path::PathBuf;
use std::sync::OnceLock;

use coffre::engine::Mode;
use coffre::engine::profile::SourceProfile;
use coffre::voice::library::Origin;
use coffre::voice::{ConsentGround, Voice};
use coffre::worker::Backend as _;
use coffre::worker::backend::{NativeBackend, embedded_voices};
use host::{Host, Pace};
use reference::{assert_same, converted, default_params, rms};
use serde_json::{Value, json};

const RATE: u32 = 48_000;

/// A host whose plugin also looks for voices in [`folder`].
fn new_host() -> Host {
    folder();
    Host::mono()
}

/// A voice folder of this process. The first call sets it up.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder").keep();
        // SAFETY: nothing of this process reads the environment before this, because every test begins here.
        unsafe { std::env::set_var(coffre::voice::library::FOLDERS_VARIABLE, &folder) };
        folder
    })
}

/// The state as JSON, without its length.
fn parse(state: &[u8]) -> Value {
    serde_json::from_slice(&state[8..]).expect("JSON")
}

fn pack(json: &[u8]) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes(), json].concat()
}

/// A state that differs from a new instance's in what `edit` does.
fn edited(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut json = parse(&new_host().save());
    edit(&mut json);
    pack(json.to_string().as_bytes())
}

/// A field of the state; fields are JSON in strings.
fn field(state: &[u8], name: &str) -> Value {
    serde_json::from_str(parse(state)["fields"][name].as_str().expect("a field")).expect("JSON")
}

fn with_field(name: &str, value: &Value) -> Vec<u8> {
    edited(|json| json["fields"][name] = Value::String(value.to_string()))
}

/// Renders a moment and checks that it is sound at all.
fn assert_sound(host: &mut Host, what: &str) -> Vec<f32> {
    host.set_offline(true);
    host.activate(RATE, 512);
    let input = common::vocal_like(RATE, 24_000);
    let output = host.play_mono(&input, &common::partition(input.len(), &[512]), Pace::Free, &[]);
    let peak = output.iter().map(|sample| sample.abs()).fold(0.0, f32::max);
    assert!(output.iter().all(|sample| sample.is_finite()) && peak < 1_000.0, "{what}: a peak of {peak}");
    host.deactivate();
    output
}

fn assert_in_range(host: &mut Host, what: &str) {
    for (_, name, largest) in host.params() {
        let value = host.value(&name);
        assert!((0.0..=largest).contains(&value), "{what}: {name} is {value}");
    }
}

#[test]
fn every_value_comes_back() {
    let mut random = common::Random(5);
    for _ in 0..20 {
        let mut first = new_host();
        let mut wanted = Vec::new();
        for (_, name, largest) in first.params() {
            let value = f64::from(random.sample().abs()) * largest;
            let text = first.text(&name, if largest > 1.0 { value.round() } else { value });
            first.set(&name, &text);
            wanted.push((name.clone(), first.value(&name)));
        }
        let state = first.save();
        let mut second = new_host();
        assert!(second.load(&state));
        for (name, value) in &wanted {
            assert_eq!(second.value(name), *value, "{name}");
        }
        assert_eq!(second.save(), state, "saving again gives the same bytes");
        drop(first);
    }
}

#[test]
fn a_loaded_state_sounds_like_the_saved_one_and_acts_at_once() {
    let mut first = new_host();
    for (name, text) in [("Transpose", "+5"), ("Voice", "2"), ("Likeness", "100"), ("Output gain", "-3")] {
        first.set(name, text);
    }
    let wanted = assert_sound(&mut first, "saved");
    let mut second = new_host();
    assert_sound(&mut second, "before");
    assert!(second.load(&first.save()));
    assert_same(&assert_sound(&mut second, "loaded"), &wanted, "the sound");
}

#[test]
fn damaged_states_are_refused_or_harmless() {
    let mut host = new_host();
    host.set("Transpose", "+3");
    let good = host.save();
    let mut damaged: Vec<Vec<u8>> = (0..good.len()).step_by(37).map(|len| good[..len].to_vec()).collect();
    damaged.extend([Vec::new(), vec![0xff; 8], vec![0xff; 5_000], pack(b""), pack(b"null"), pack(b"[]"), pack(b"{}")]);
    damaged.push([&u64::MAX.to_le_bytes(), &good[8..]].concat());
    damaged.push(pack(&[b'['; 200_000]));
    let mut random = common::Random(6);
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next_u64() as u8;
        }
        damaged.push(bytes);
    }
    let mut refused = 0;
    for state in &damaged {
        let before = host.save();
        if host.load(state) {
            assert_in_range(&mut host, "damaged");
            assert!(host.load(&good), "a good one still loads");
        } else {
            refused += 1;
            assert_eq!(host.save(), before, "what was refused changed nothing");
        }
    }
    assert!(refused > 50, "{refused} of {} refused", damaged.len());
    assert_sound(&mut host, "after all of them");
    assert_eq!(host.save(), good);
}

#[test]
fn values_out_of_range_or_of_another_kind_do_no_harm() {
    let values =
        [json!(1e39), json!(-1e39), json!(1e9), json!(-1e9), json!(i32::MAX), json!(i32::MIN), json!(i64::MAX)];
    let others = [json!(null), json!(true), json!("live"), json!([1]), json!({"a": 1}), json!("\u{0}")];
    let ids: Vec<String> = parse(&new_host().save())["params"].as_object().expect("params").keys().cloned().collect();
    assert_eq!(ids.len(), 15);
    for value in values.iter().chain(&others) {
        let mut host = new_host();
        let state = edited(|json| {
            for id in &ids {
                for kind in ["f32", "i32", "bool", "string"] {
                    let old = &json["params"][id];
                    if old.get(kind).is_some() {
                        json["params"][id] = json!({ kind: value });
                    }
                }
            }
        });
        host.load(&state);
        assert_in_range(&mut host, &value.to_string());
        assert_sound(&mut host, &value.to_string());
        // One by one, of any kind that the format knows.
        for id in &ids {
            for kind in ["f32", "i32", "bool", "string"] {
                host.load(&edited(|json| json["params"][id] = json!({ kind: value })));
            }
        }
        assert_in_range(&mut host, &value.to_string());
    }
}

#[test]
fn states_of_a_later_version_and_of_an_earlier_one_keep_what_is_known() {
    let mut host = new_host();
    let later = edited(|json| {
        json["version"] = json!("99.0.0");
        json["params"]["breath"] = json!({ "f32": 0.5 });
        json["params"]["latency-mode"] = json!({ "string": "telepathic" });
        json["params"]["transpose"] = json!({ "f32": 4.0 });
        json["fields"]["duet"] = json!("{\"with\":\"somebody\"}");
        json["future"] = json!([1, 2, 3]);
    });
    assert!(host.load(&later));
    assert_eq!(host.text_now("Transpose"), "+4.00 st");
    assert_eq!(host.text_now("Latency mode"), "Live");
    let earlier = edited(|json| {
        json["params"] = json!({ "mix": { "f32": 25.0 } });
        json["fields"] = json!({});
    });
    assert!(host.load(&earlier));
    assert_eq!(host.text_now("Mix"), "25.0 %");
    assert_sound(&mut host, "later and earlier");
}

#[test]
fn a_state_from_before_octaves_sounds_as_it_was_saved() {
    // The register was a switch then, whose "on" were semitones.
    for (was_on, word) in [(true, "Semitones"), (false, "Off")] {
        let mut host = new_host();
        let old = edited(|json| {
            let params = json["params"].as_object_mut().expect("params");
            assert!(params.remove("register").is_some());
            params.insert("auto-register".to_owned(), json!({ "bool": was_on }));
        });
        assert!(host.load(&old));
        assert_eq!(host.text_now("Register"), word);
        // Saved again it is a state of today.
        assert_eq!(parse(&host.save())["params"]["register"], json!({ "string": word.to_lowercase() }));
    }
    assert_eq!(new_host().text_now("Register"), "Octaves");
}

#[test]
fn a_missing_voice_is_kept_and_named() {
    let id = "0".repeat(64);
    let voices = json!([{ "name": "Somebody Gone", "id": id }, null, embedded_voices()[1]]);
    let mut host = new_host();
    assert!(host.load(&with_field("voices", &voices)));
    assert!(host.text_now("Voice").contains("Somebody Gone"), "{}", host.text_now("Voice"));
    let output = assert_sound(&mut host, "without its voice");
    assert!(rms(&output[12_000..]) > 0.01, "it goes on without");
    assert_eq!(field(&host.save(), "voices"), voices, "nothing is lost");
    // The slot that is there sounds as itself.
    host.set("Voice", "3");
    let here = assert_sound(&mut host, "with the other one");
    let mut plain = new_host();
    plain.set("Voice", "2");
    assert_same(&here, &assert_sound(&mut plain, "plain"), "the voice of slot 3 is the second embedded one");
}

#[test]
fn a_missing_voice_b_is_kept_and_named_and_changes_nothing() {
    let voices = json!([embedded_voices()[0], { "name": "Somebody Gone", "id": "0".repeat(64) }]);
    let mut host = new_host();
    assert!(host.load(&with_field("voices", &voices)));
    host.set("Voice B", "2");
    host.set("Morph", "60");
    assert!(host.text_now("Voice B").contains("Somebody Gone"), "{}", host.text_now("Voice B"));
    let output = assert_sound(&mut host, "without voice B");
    assert_same(&output, &assert_sound(&mut new_host(), "plain"), "voice A alone");
    let state = host.save();
    assert_eq!(field(&state, "voices"), voices, "nothing is lost");
    let mut later = new_host();
    assert!(later.load(&state));
    assert_eq!((later.text_now("Morph"), later.save()), ("60.0 %".to_owned(), state));
}

#[test]
fn a_stated_origin_goes_into_the_file_and_the_old_hash_still_finds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = Voice::open(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/voices/quartz.coffre"));
    let embedded = embedded.expect("an embedded voice");
    let manifest = coffre::voice::Manifest { name: "Mystery".to_owned(), consent: None, ..embedded.manifest().clone() };
    std::fs::write(folder.path().join("mystery.coffre"), renamed(&embedded, manifest)).expect("a voice file");
    let mut backend = NativeBackend::with_folders(vec![(Origin::User, folder.path().to_owned())]);
    let found = |backend: &mut NativeBackend| {
        let choices = backend.scan();
        choices.into_iter().find(|choice| choice.voice.name == "Mystery").expect("it is there")
    };
    let old = found(&mut backend);
    assert_eq!(old.consent, "");
    let stated = backend.state_origin(&old.voice, ConsentGround::LicensedData, " CC0 ").expect("it is written");
    let new = found(&mut backend);
    assert_eq!((new.consent.as_str(), &new.voice), ("CC0", &stated));
    assert_ne!(old.voice.id, new.voice.id);
    assert!(backend.load_voice(&old.voice, Mode::Live.into()).is_ok(), "a session of before finds it");
    // What comes with Coffre is not changed.
    assert!(backend.state_origin(&embedded_voices()[0], ConsentGround::OwnVoice, "mine").is_err());
}

#[test]
fn a_voice_deleted_while_it_plays_plays_on() {
    let path = folder().join("Passing.coffre");
    let embedded = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/voices");
    let file = std::fs::read_dir(embedded).expect("voices").flatten().map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|it| it == "coffre")).expect("a voice");
    let voice = Voice::open(&file).expect("an embedded voice");
    // Another name makes another file.
    let manifest = coffre::voice::Manifest { name: "Passing".to_owned(), ..voice.manifest().clone() };
    let bytes = renamed(&voice, manifest);
    std::fs::write(&path, &bytes).expect("a voice file");
    let id = Voice::from_bytes(&bytes).expect("a voice").id().to_string();
    let voices = json!([{ "name": "Passing", "id": id }]);

    let mut host = new_host();
    assert!(host.load(&with_field("voices", &voices)));
    // The watermark names the file, and this is another one.
    host.set("Watermark", "off");
    host.set_offline(true);
    host.activate(RATE, 512);
    let input = common::vocal_like(RATE, 48_000);
    let parts = common::partition(24_000, &[512]);
    let mut output = host.play_mono(&input[..24_000], &parts, Pace::Free, &[]);
    std::fs::remove_file(&path).expect("it goes");
    output.extend(host.play_mono(&input[24_000..], &parts, Pace::Free, &[]));
    // The voice that it was made from: the same sound.
    let slot = embedded_voices().iter().position(|it| it.name == voice.name()).expect("embedded");
    let params = coffre::engine::HopParams { voice_slot: slot, is_marked: false, ..default_params() };
    let wanted = converted(&input, RATE, Mode::Live, host.latency(), &[(0, params)]);
    assert_same(&output, &wanted, "it plays on");
    let state = host.save();
    assert_eq!(field(&state, "voices"), voices);

    // A session that comes later finds it missing, names it and keeps it.
    let mut later = new_host();
    assert!(later.load(&state));
    assert_sound(&mut later, "later");
    assert!(later.text_now("Voice").contains("Passing"));
    assert_eq!(field(&later.save(), "voices"), voices);
}

/// The same voice under another manifest.
fn renamed(voice: &Voice, manifest: coffre::voice::Manifest) -> Vec<u8> {
    let body = voice.native().expect("of the native engine");
    let parts = coffre::voice::NativeVoice {
        absolute_share: 0.0,
        adaptation: None,
        bank: body.bank.clone(),
        shapes: body.shapes.clone(),
        restoration: body.restoration.clone(),
    };
    Voice::write(manifest, &parts).expect("a voice")
}

#[test]
fn the_source_profile_is_kept_whatever_it_is() {
    let good = SourceProfile::population().to_bytes("Somebody", "").expect("a profile");
    let mut host = new_host();
    for profile in [base64(&good), base64(b"no profile at all"), "not base64 !".to_owned(), String::new()] {
        assert!(host.load(&with_field("source-profile", &json!(profile))));
        assert_sound(&mut host, &profile[..profile.len().min(20)]);
        let kept = field(&host.save(), "source-profile");
        let wanted = if profile.contains('!') { base64(profile.as_bytes()) } else { profile };
        assert_eq!(kept, json!(wanted));
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

//! CLAP hosts that do what others do not: a start for every block, blocks before the activation.
#![cfg(feature = "plugin")]

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/reference.rs"]
mod reference;

use coffre::engine::Mode;
use host::{Host, Player};
use reference::{assert_same, converted, default_params};

const RATE: u32 = 48_000;
const BLOCK: usize = 512;

/// Starts and stops around each block; `resets` are the blocks with a reset of the host's before them.
fn play_in_brackets(host: &mut Host, player: &mut Player, input: &[f32], resets: &[usize]) -> Vec<f32> {
    let mut output = Vec::new();
    for (index, block) in input.chunks_exact(BLOCK).enumerate() {
        host.start();
        if resets.contains(&index) {
            host.reset();
        }
        player.block(host.processor(), &[block], None);
        output.extend_from_slice(&player.output(0)[..BLOCK]);
        host.stop();
    }
    output
}

fn offline() -> Host {
    let mut host = Host::mono();
    host.set_offline(true);
    host.try_activate(RATE, BLOCK as u32).expect("an activation");
    host
}

#[test]
fn a_host_that_starts_for_every_block_hears_what_others_hear() {
    let input = common::vocal_like(RATE, 60 * BLOCK);
    let mut host = offline();
    let latency = host.latency();
    let wanted = |input: &[f32]| converted(input, RATE, Mode::Live, latency, &[(0, default_params())]);

    let mut player = Player::new(1, 1, BLOCK);
    player.steady = Some(0);
    let output = play_in_brackets(&mut host, &mut player, &input, &[]);
    assert_same(&output, &wanted(&input), "with a steady time");
    // A jump in it is one, and so is a reset that the host asks for.
    player.steady = Some(1_000_000);
    let output = play_in_brackets(&mut host, &mut player, &input, &[20]);
    assert_same(&output[..20 * BLOCK], &wanted(&input[..20 * BLOCK]), "after a jump");
    assert_same(&output[20 * BLOCK..], &wanted(&input[20 * BLOCK..]), "after a reset");

    // A host without one has to show what it does first.
    host.try_activate(RATE, BLOCK as u32).expect("an activation");
    let output = play_in_brackets(&mut host, &mut Player::new(1, 1, BLOCK), &input, &[]);
    assert_same(&output[2 * BLOCK..], &wanted(&input[2 * BLOCK..]), "without a steady time");
}

#[test]
fn a_start_after_a_pause_begins_anew() {
    let input = common::vocal_like(RATE, 30 * BLOCK);
    let mut host = offline();
    let latency = host.latency();
    let wanted = converted(&input, RATE, Mode::Live, latency, &[(0, default_params())]);
    for turn in 0..3 {
        host.start();
        let output = host.play_mono(&input, &common::partition(input.len(), &[BLOCK]), host::Pace::Free, &[]);
        host.stop();
        assert_same(&output, &wanted, &format!("turn {turn}"));
    }
}

mod raw {
    use std::ffi::{CStr, c_char, c_void};
    use std::ptr::null;

    use clap_sys::audio_buffer::clap_audio_buffer;
    use clap_sys::entry::clap_plugin_entry;
    use clap_sys::factory::plugin_factory::{CLAP_PLUGIN_FACTORY_ID, clap_plugin_factory};
    use clap_sys::host::clap_host;
    use clap_sys::plugin::clap_plugin;
    use clap_sys::process::{CLAP_PROCESS_ERROR, clap_process};
    use clap_sys::version::CLAP_VERSION;

    const BLOCK: usize = 64;

    #[allow(clashing_extern_declarations, reason = "the same entry, by the binding's name")]
    unsafe extern "C" {
        static clap_entry: clap_plugin_entry;
    }

    unsafe extern "C" fn no_extension(_: *const clap_host, _: *const c_char) -> *const c_void {
        null()
    }

    unsafe extern "C" fn nothing(_: *const clap_host) {}

    fn process(plugin: &clap_plugin) -> i32 {
        let (mut input, mut output) = ([0.5f32; BLOCK], [0.0f32; BLOCK]);
        let (mut inputs, mut outputs) = ([input.as_mut_ptr(); 2], [output.as_mut_ptr(); 2]);
        let port = |channels: &mut [*mut f32; 2]| clap_audio_buffer {
            data32: channels.as_mut_ptr(),
            data64: std::ptr::null_mut(),
            channel_count: 2,
            latency: 0,
            constant_mask: 0,
        };
        let (inputs, mut outputs) = (port(&mut inputs), port(&mut outputs));
        let block = clap_process {
            steady_time: 0,
            frames_count: BLOCK as u32,
            transport: null(),
            audio_inputs: &raw const inputs,
            audio_outputs: &raw mut outputs,
            audio_inputs_count: 1,
            audio_outputs_count: 1,
            in_events: null(),
            out_events: null(),
        };
        // SAFETY: all of it lives through the call.
        unsafe { plugin.process.expect("a function")(plugin, &raw const block) }
    }

    #[test]
    fn what_comes_before_an_activation_is_refused_and_ends_nothing() {
        let host = clap_host {
            clap_version: CLAP_VERSION,
            host_data: std::ptr::null_mut(),
            name: c"rude".as_ptr(),
            vendor: c"".as_ptr(),
            url: c"".as_ptr(),
            version: c"0".as_ptr(),
            get_extension: Some(no_extension),
            request_restart: Some(nothing),
            request_process: Some(nothing),
            request_callback: Some(nothing),
        };
        // SAFETY: the calls follow CLAP but for their order, which is what is tested; the host outlives the plugin.
        unsafe {
            assert!(clap_entry.init.expect("a function")(c"/nowhere/Coffre.clap".as_ptr()));
            let id: &CStr = CLAP_PLUGIN_FACTORY_ID;
            let factory = clap_entry.get_factory.expect("a function")(id.as_ptr()).cast::<clap_plugin_factory>();
            let create = (*factory).create_plugin.expect("a function");
            assert!(create(factory, &raw const host, c"nobody".as_ptr()).is_null());
            let plugin = create(factory, &raw const host, c"audio.coffre.coffre".as_ptr());
            let table = &*plugin;
            assert!(table.init.expect("a function")(plugin));
            let start = table.start_processing.expect("a function");
            for _ in 0..2 {
                assert_eq!(process(table), CLAP_PROCESS_ERROR);
                assert!(!start(plugin));
                table.reset.expect("a function")(plugin);
                assert_eq!(process(table), CLAP_PROCESS_ERROR);
                table.stop_processing.expect("a function")(plugin);
                table.deactivate.expect("a function")(plugin);
                // In its order it works, and after that it is the same again.
                assert!(table.activate.expect("a function")(plugin, 48_000.0, 1, BLOCK as u32));
                assert!(start(plugin));
                assert_ne!(process(table), CLAP_PROCESS_ERROR);
                table.stop_processing.expect("a function")(plugin);
                table.deactivate.expect("a function")(plugin);
            }
            table.destroy.expect("a function")(plugin);
        }
    }
}

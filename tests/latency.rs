//! The delay is exactly the number that is reported, at every rate.

mod common;

use coffre::engine::stream::HostStream;
use coffre::engine::{HopParams, HopReport, IdentityEngine};

const RATES: [u32; 12] =
    [22_050, 32_000, 44_100, 44_101, 47_999, 48_000, 48_001, 88_200, 96_000, 176_400, 192_000, 37_123];

fn through(stream: &mut HostStream, input: &[f32], parts: &[usize]) -> Vec<f32> {
    let (mut output, mut position) = (Vec::new(), 0);
    for len in parts {
        stream.push(&input[position..position + len]);
        while let Some(result) = stream.run_hop() {
            assert_eq!(result.expect("the identity never fails"), HopReport::default());
        }
        // As many samples out as went in, at any moment: the latency covers every term.
        let mut part = vec![0.0; *len];
        assert_eq!(stream.read(&mut part), *len);
        output.extend(part);
        position += len;
    }
    output
}

#[test]
fn an_impulse_peaks_exactly_the_reported_latency_later() {
    for rate in RATES {
        for engine_latency in [0, 1, 1464, 1465, 9_999] {
            let mut stream = HostStream::new(Box::new(IdentityEngine::new(engine_latency)), rate).expect("a rate");
            for at in [0, 1, 999, 3_210] {
                stream.reset();
                let mut input = vec![0.0; at + stream.latency_len() + 2_000];
                input[at] = 1.0;
                let output = through(&mut stream, &input, &common::partition(input.len(), &[512]));
                let peak = common::peak_index(&output);
                assert_eq!(peak, at + stream.latency_len(), "{rate} Hz, engine {engine_latency}, impulse at {at}");
                assert!(output[peak] > 0.9 * (48_000.0 / rate as f32).min(1.0), "peak of {}", output[peak]);
                // Not only the peak: the sample beside it is as high on either side.
                let (before, after) = (output[peak - 1], output[peak + 1]);
                assert!((before - after).abs() < 2e-2, "{rate} Hz: {before} before and {after} after the peak");
            }
        }
    }
}

#[test]
fn a_sine_comes_back_as_it_went_in() {
    for rate in RATES {
        let mut stream = HostStream::new(Box::new(IdentityEngine::new(1464)), rate).expect("a rate");
        let input: Vec<f32> = (0..rate as usize / 2)
            .map(|n| (std::f64::consts::TAU * 3_000.0 * n as f64 / f64::from(rate)).sin() as f32)
            .collect();
        let output = through(&mut stream, &input, &common::random_partition(input.len(), 700, u64::from(rate)));
        let delay = stream.latency_len();
        let error = output[delay + 1_000..].iter().zip(&input[1_000..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 5e-4, "{rate} Hz: error {error}");
    }
}

#[test]
fn parameters_act_on_the_audio_that_entered_with_them() {
    /// Writes the transposition in force into its output.
    struct Probe;
    impl coffre::engine::Engine for Probe {
        fn latency_len(&self) -> usize {
            0
        }
        fn tail_len(&self) -> usize {
            0
        }
        fn put(&mut self, _: usize, _: Option<coffre::engine::Prepared>) {}
        fn reset(&mut self) {}
        fn process_hop(
            &mut self,
            params: &HopParams,
            _: &[f32],
            output: &mut [f32],
        ) -> Result<HopReport, coffre::engine::EngineError> {
            output.fill(params.transpose_st);
            Ok(HopReport::default())
        }
    }
    let mut stream = HostStream::new(Box::new(Probe), 48_000).expect("a rate");
    stream.set_params(0, HopParams { transpose_st: 1.0, ..HopParams::default() });
    stream.set_params(960, HopParams { transpose_st: 2.0, ..HopParams::default() });
    stream.set_params(961, HopParams { transpose_st: 3.0, ..HopParams::default() });
    stream.push(&[0.0; 4_800]);
    while stream.run_hop().is_some() {}
    let mut output = [0.0; 4_800];
    assert_eq!(stream.read(&mut output), 4_800);
    let output = &output[stream.latency_len()..];
    assert_eq!((output[0], output[959]), (1.0, 1.0));
    assert_eq!((output[960], output[1_439]), (2.0, 2.0));
    assert_eq!(output[1_440], 3.0, "961 is inside a hop: the next hop takes it");
}

#[test]
fn rates_out_of_range_are_refused() {
    for rate in [0, 999, 1_536_001, u32::MAX] {
        let refused = HostStream::new(Box::new(IdentityEngine::new(0)), rate).expect_err("refused");
        assert_eq!(refused.rate, rate);
    }
}

#[test]
fn bad_samples_become_silence_and_are_counted() {
    let mut stream = HostStream::new(Box::new(IdentityEngine::new(0)), 48_000).expect("a rate");
    let input = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, 1_000.0, -1_000.0, 0.5];
    let mut padded = vec![0.0; 960];
    padded[..input.len()].copy_from_slice(&input);
    let output = through(&mut stream, &padded, &[960]);
    assert_eq!(output[480..487], [0.0, 0.0, 0.0, 0.0, 32.0, -32.0, 0.5]);
    assert_eq!(stream.bad_samples(), 3);
}

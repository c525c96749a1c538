//! A stand-in for RMVPE, for tests.

use coffre::onnx::model::{Attribute, Dim, GraphWriter};

/// A graph with the outside of RMVPE in which each pitch hears the bands around `factor` times its frequency; so it
/// finds the strongest partial, divided by `factor`. `tests/rvc/fixtures.py` computes the same for 1.
pub fn rmvpe_stand_in(factor: f64) -> Vec<u8> {
    let mel = |hz: f64| 2_595.0 * (1.0 + hz / 700.0).log10();
    let step = (mel(8_000.0) - mel(30.0)) / 129.0;
    let band_hz = |band: usize| 700.0 * (10_f64.powf((mel(30.0) + step * (band + 1) as f64) / 2_595.0) - 1.0);
    let mut weights = Vec::with_capacity(360 * 128);
    for pitch in 0..360 {
        let heard_hz = factor * 10.0 * ((20.0 * f64::from(pitch) + 1_997.379_408_437_619) / 1_200.0).exp2();
        let row: Vec<f64> =
            (0..128).map(|band| (-((band_hz(band) / heard_hz).log2() / 0.06).powi(2)).exp() + 1e-9).collect();
        let sum: f64 = row.iter().sum();
        weights.extend(row.iter().map(|weight| (weight / sum) as f32));
    }
    let mut graph = GraphWriter::new();
    let sound = graph.input("input", &[Dim::Fixed(1), Dim::Fixed(128), Dim::Open("frames")]);
    let weights = graph.floats(&[360, 128], &weights);
    let heard = graph.node("MatMul", &[&weights, &sound], &[]);
    let heard = graph.node("Transpose", &[&heard], &[("perm", Attribute::Ints(&[0, 2, 1]))]);
    let salience = graph.node("Sigmoid", &[&heard], &[]);
    graph.output(&salience, "output", &[Dim::Fixed(1), Dim::Open("frames"), Dim::Fixed(360)]);
    graph.finish("rmvpe", &[])
}

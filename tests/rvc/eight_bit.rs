//! Matrix products in 8-bit whole numbers: which become so, how close they come, what is left alone.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use coffre::engine::rvc::contentvec::{self, ContentVec};
use coffre::engine::rvc::generator::{Generator, Network, Window};
use coffre::engine::rvc::geometry::Geometry;
use coffre::engine::rvc::loaded::Loaded;
use coffre::engine::rvc::{RvcEngine, RvcOptions};
use coffre::engine::stream::HostStream;
use coffre::engine::{Engine as _, HopParams, Mode, Prepared};
use coffre::onnx::model::{Attribute, Dim, Edge, GraphWriter};
use coffre::onnx::{Graph, LooseInput, Settings};
use coffre::voice::import::eight_bit::rewrite;
use coffre::voice::import::import_rvc;

use super::common::{self, Random};
use super::engine::{runtime, voice};
use super::{correlation, fixture, hubert, wave};

const WIDTH: usize = 256;

fn matrix(graph: &mut GraphWriter, random: &mut Random, shape: [usize; 2]) -> Edge {
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| 0.1 * random.sample()).collect();
    graph.floats(&shape, &values)
}

/// Attention and a layer after it: four products by constants, two of values that flow.
fn attention() -> Vec<u8> {
    let (mut graph, mut random) = (GraphWriter::new(), Random(8));
    let x = graph.input("x", &[Dim::Fixed(1), Dim::Open("frames"), Dim::Fixed(WIDTH)]);
    let [query, key, value] = [(); 3].map(|()| {
        let weight = matrix(&mut graph, &mut random, [WIDTH, WIDTH]);
        graph.node("MatMul", &[&x, &weight], &[])
    });
    let key = graph.node("Transpose", &[&key], &[("perm", Attribute::Ints(&[0, 2, 1]))]);
    let scores = graph.node("MatMul", &[&query, &key], &[]);
    let scale = graph.floats(&[1], &[1.0 / (WIDTH as f32).sqrt()]);
    let scores = graph.node("Mul", &[&scores, &scale], &[]);
    let shares = graph.node("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
    let y = graph.node("MatMul", &[&shares, &value], &[]);
    let y = graph.node("Add", &[&y, &x], &[]);
    let shape = graph.ints(&[-1, WIDTH as i64]);
    let y = graph.node("Reshape", &[&y, &shape], &[]);
    let (weight, bias) = (matrix(&mut graph, &mut random, [128, WIDTH]), graph.floats(&[128], &[0.5; 128]));
    let y = graph.node("Gemm", &[&y, &weight, &bias], &[("transB", Attribute::Int(1))]);
    graph.output(&y, "y", &[Dim::Open("frames"), Dim::Fixed(128)]);
    graph.finish("attention", &[("key", "kept")])
}

/// How often a word stands in a file.
fn count(file: &[u8], word: &str) -> usize {
    file.windows(word.len()).filter(|part| *part == word.as_bytes()).count()
}

/// The version of the operators, which stands once in what the writer makes.
fn with_opset(file: &[u8], version: u8) -> Vec<u8> {
    let place = file.windows(4).position(|part| part == [0x42, 2, 0x10, 17]).expect("an import");
    let mut file = file.to_vec();
    file[place + 3] = version;
    file
}

fn run(file: &[u8], shape: &[usize], values: &[f32]) -> Vec<f32> {
    let graph = Graph::open(runtime(), "eight", file).expect("ONNX Runtime takes it");
    let outputs = graph.run_loose(&[LooseInput { name: "x", shape, values }]).expect("it runs");
    outputs.into_iter().next().expect("an output").values
}

/// Distance relative to what is expected, both as root mean squares.
fn distance(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let energy = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>();
    let apart = energy(&mut found.iter().zip(wanted).map(|(a, b)| a - b));
    (apart / energy(&mut wanted.iter().copied())).sqrt() as f32
}

#[test]
fn products_by_constants_become_8_bit_and_those_of_two_flows_stay() {
    let mut random = Random(2);
    let x: Vec<f32> = (0..30 * WIDTH).map(|n| random.sample() * if n % WIDTH == 7 { 8.0 } else { 1.0 }).collect();
    for version in [17, 21] {
        let file = with_opset(&attention(), version);
        let eight = rewrite(&file).expect("there is something to gain");
        assert!(eight.len() < file.len() / 3, "{} of {} bytes", eight.len(), file.len());
        assert_eq!((count(&file, "MatMul"), count(&file, "Gemm")), (5, 1));
        assert_eq!((count(&eight, "MatMul"), count(&eight, "MatMulInteger"), count(&eight, "Gemm")), (6, 4, 0));
        // Three products of one input share its numbers.
        assert_eq!((count(&eight, "ReduceMax"), count(&eight, "kept")), (2, 1));
        let shape = [1, 30, WIDTH];
        let (wanted, found) = (run(&file, &shape, &x), run(&eight, &shape, &x));
        let apart = distance(&found, &wanted);
        println!("operators {version}: {:.2} %", 100.0 * apart);
        assert!(apart > 0.0 && apart < 0.02, "off by {apart}");
        assert!(run(&eight, &shape, &x) == found, "a second run gives other bits");
        assert_eq!(rewrite(&file), Some(eight.clone()), "the same file gives the same graph");
        assert_eq!(rewrite(&eight), None, "nothing is left to do");
    }
}

#[test]
fn no_frame_depends_on_how_loud_another_one_is() {
    let (mut graph, mut random) = (GraphWriter::new(), Random(4));
    let x = graph.input("x", &[Dim::Open("frames"), Dim::Fixed(WIDTH)]);
    let weight = matrix(&mut graph, &mut random, [WIDTH, WIDTH]);
    let y = graph.node("MatMul", &[&x, &weight], &[]);
    graph.output(&y, "y", &[Dim::Open("frames"), Dim::Fixed(WIDTH)]);
    let eight = rewrite(&graph.finish("rows", &[])).expect("there is something to gain");
    let quiet: Vec<f32> = (0..5 * WIDTH).map(|_| 1e-3 * random.sample()).collect();
    let alone = run(&eight, &[5, WIDTH], &quiet);
    let all = [&quiet[..], &[0.0; WIDTH], &[1e4; WIDTH]].concat();
    let together = run(&eight, &[7, WIDTH], &all);
    assert_eq!(alone, together[..5 * WIDTH]);
    assert!(together[5 * WIDTH..6 * WIDTH].iter().all(|v| *v == 0.0) && together.iter().all(|v| v.is_finite()));
}

/// A product whose matrix or node is made by `change`.
fn odd(change: impl FnOnce(&mut GraphWriter, &Edge) -> Edge) -> Vec<u8> {
    let mut graph = GraphWriter::new();
    let x = graph.input("x", &[Dim::Open("frames"), Dim::Fixed(WIDTH)]);
    let y = change(&mut graph, &x);
    graph.output(&y, "y", &[Dim::Open("frames"), Dim::Fixed(WIDTH)]);
    graph.finish("odd", &[])
}

#[test]
fn what_is_not_understood_or_does_not_pay_is_left_alone() {
    let square = |graph: &mut GraphWriter| matrix(graph, &mut Random(6), [WIDTH, WIDTH]);
    let gemm = |attribute: (&'static str, Attribute<'static>)| {
        move |graph: &mut GraphWriter, x: &Edge| {
            let weight = square(graph);
            graph.node("Gemm", &[x, &weight], &[attribute])
        }
    };
    let plain = odd(|graph, x| {
        let weight = square(graph);
        graph.node("MatMul", &[x, &weight], &[])
    });
    assert!(rewrite(&plain).is_some());
    let cases = [
        (
            "a matrix that something else takes too",
            odd(|graph, x| {
                let weight = square(graph);
                let y = graph.node("MatMul", &[x, &weight], &[]);
                let z = graph.node("ReduceSum", &[&weight], &[("keepdims", Attribute::Int(0))]);
                graph.node("Add", &[&y, &z], &[])
            }),
        ),
        (
            "a matrix both ways round",
            odd(|graph, x| {
                let weight = square(graph);
                let y = graph.node("MatMul", &[x, &weight], &[]);
                graph.node("Gemm", &[&y, &weight], &[("transB", Attribute::Int(1))])
            }),
        ),
        (
            "a constant before what flows",
            odd(|graph, x| {
                let weight = square(graph);
                let x = graph.node("Transpose", &[x], &[]);
                let y = graph.node("MatMul", &[&weight, &x], &[]);
                graph.node("Transpose", &[&y], &[])
            }),
        ),
        ("a scaled product", odd(gemm(("alpha", Attribute::Float(0.5))))),
        ("a turned flow", odd(gemm(("transA", Attribute::Int(1))))),
        (
            "weights that are not finite",
            odd(|graph, x| {
                let weight = graph.floats(&[WIDTH, WIDTH], &vec![f32::INFINITY; WIDTH * WIDTH]);
                graph.node("MatMul", &[x, &weight], &[])
            }),
        ),
        (
            "a small matrix",
            odd(|graph, x| {
                let (down, up) =
                    (matrix(graph, &mut Random(1), [WIDTH, 60]), matrix(graph, &mut Random(1), [60, WIDTH]));
                let y = graph.node("MatMul", &[x, &down], &[]);
                graph.node("MatMul", &[&y, &up], &[])
            }),
        ),
        ("old operators", with_opset(&plain, 10)),
        ("operators of the future", with_opset(&plain, 99)),
        ("a stand-in without products", super::stand_in::stand_in().to_vec()),
        ("no graph", b"\x08\x08".to_vec()),
        ("no file", Vec::new()),
    ];
    for (what, file) in cases {
        assert!(rewrite(&file).is_none(), "{what}");
    }
    for len in (0..plain.len()).step_by(509).chain(plain.len() - 300..plain.len()) {
        assert!(rewrite(&plain[..len]).is_none(), "cut to {len} bytes");
    }
    // Whatever comes out, nothing may panic.
    let mut random = Random(12);
    for _ in 0..2_000 {
        let mut file = plain.clone();
        for _ in 0..3 {
            let place = |random: &mut Random, len: usize| ((random.sample().abs() * len as f32) as usize).min(len - 1);
            let (head, len) = (place(&mut random, 2), file.len());
            let at = if head == 0 { place(&mut random, 400) } else { len - 1 - place(&mut random, 400) };
            file[at] = (random.sample().abs() * 256.0) as u8;
        }
        let _ = rewrite(&file);
    }
}

/// A stand-in for ContentVec with products, in 8 bits.
fn content() -> ContentVec {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let (mut graph, mut random) = (GraphWriter::new(), Random(3));
        let source = graph.input("source", &[Dim::Fixed(1), Dim::Fixed(1), Dim::Open("samples")]);
        let weights: Vec<f32> = (0..WIDTH * 400).map(|_| 0.3 * random.sample()).collect();
        let weights = graph.floats(&[WIDTH, 1, 400], &weights);
        let y = graph.node("Conv", &[&source, &weights], &[("strides", Attribute::Ints(&[320]))]);
        let y = graph.node("Transpose", &[&y], &[("perm", Attribute::Ints(&[0, 2, 1]))]);
        let weight = matrix(&mut graph, &mut random, [WIDTH, 768]);
        let y = graph.node("MatMul", &[&y, &weight], &[]);
        let y = graph.node("Tanh", &[&y], &[]);
        graph.output(&y, "embed", &[Dim::Fixed(1), Dim::Open("frames"), Dim::Fixed(768)]);
        rewrite(&graph.finish("contentvec", &[])).expect("there is something to gain")
    });
    let open = Graph::open_built(runtime(), contentvec::NAME, [0x88; 32], Settings::large(), || Ok(bytes.into()));
    ContentVec::new(open.expect("it loads"), 768).expect("it fits")
}

#[test]
fn any_partition_gives_the_same_bits_in_8_bits() {
    let render = |partition: &[usize]| {
        let mut engine = RvcEngine::new(Geometry::of(Mode::Live), RvcOptions::default());
        let loaded = Loaded::new(runtime(), content().into(), voice(), 0).expect("it loads");
        engine.put(0, Some(Prepared::Rvc(Arc::new(loaded))));
        let mut stream = HostStream::new(Box::new(engine), 48_000).expect("a usual rate");
        stream.set_params(0, HopParams { is_marked: false, ..HopParams::default() });
        let (input, mut output, mut at) = (common::vocal_like(48_000, 48_000), Vec::new(), 0);
        for &len in partition {
            stream.push(&input[at..at + len]);
            at += len;
            while let Some(report) = stream.run_hop() {
                report.expect("no failure");
            }
            let mut part = vec![0.0; stream.available()];
            stream.read(&mut part);
            output.extend(part);
        }
        output
    };
    let whole = render(&[48_000]);
    assert!(whole.iter().any(|v| v.abs() > 1e-3), "there is sound");
    assert!(render(&common::random_partition(48_000, 3_000, 7)) == whole);
}

/// Figures for [`super::FULL_SIZE_VARIABLE`] alone.
#[test]
fn a_graph_of_full_size_stays_close() {
    if std::env::var_os(super::FULL_SIZE_VARIABLE).is_none() {
        println!("not done: {} names no folder", super::FULL_SIZE_VARIABLE);
        return;
    }
    let file = hubert::full_size();
    let begin = std::time::Instant::now();
    let eight = rewrite(&file).expect("there is something to gain");
    println!("rewritten in {:.2} s", begin.elapsed().as_secs_f64());
    assert_eq!((count(&eight, "MatMulInteger"), eight.len() < file.len() / 2), (73, true));
    let geometry = Geometry { block: 10, crossfade: 4, margin: 3, context: 82, mode: Mode::Live };
    let sound = common::vocal_like(16_000, geometry.window() * 160);
    let [wanted, found] = [(file, 1), (eight, 2)].map(|(bytes, key)| {
        let open =
            Graph::open_built(runtime(), contentvec::NAME, [key; 32], Settings::large(), || Ok(Cow::Owned(bytes)));
        let content = ContentVec::new(open.expect("it loads"), 768).expect("it fits");
        let mut line = contentvec::ContentLine::new(content, geometry);
        line.update(&sound, 0).expect("it runs");
        line.phone().to_vec()
    });
    let voice = Arc::new(import_rvc(&fixture("rvc_full.pth"), None).expect("a voice"));
    let network = Network::new(runtime(), &voice, 0).expect("it loads");
    let f0_hz: Vec<f32> = wave(geometry.window(), 0.1).iter().map(|v| 200.0 + 20.0 * v).collect();
    let [wanted_sound, found_sound] = [&wanted, &found].map(|phone| {
        let window = Window { start: 0, phone, f0_hz: &f0_hz, phase: 0.0, formant: 1.0 };
        Generator::new(network.clone(), geometry).run(&window).expect("it runs")
    });
    let (apart, of_sound) = (distance(&found, &wanted), distance(&found_sound, &wanted_sound));
    let alike = correlation(&found_sound, &wanted_sound);
    println!("features {:.2} %, sound {:.2} %, correlation {alike:.5}", 100.0 * apart, 100.0 * of_sound);
    assert!(apart < 0.04 && alike > 0.99, "{apart}, {alike}");
}

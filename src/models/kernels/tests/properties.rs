//! Kernels against scalar references in f64, over random sizes: odd ones, ones below a vector and ones above a tile.
//!
//! The packed product, 3×3 convolutions, depthwise ones, response norm, grid sampling and the exponential have properties of
//! their own, beside them.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;

use super::super::conv::Conv;
use super::super::conv1d::Conv1d;
use super::super::instance_norm::Statistics;
use super::super::matrix::{Matrix, Target, Threads, product};
use super::super::nf4::Nf4;
use super::*;

/// The largest difference over the largest reference, or over 1 where that is smaller.
fn apart(ours: &[f32], exact: &[f64]) -> f64 {
    assert_eq!(ours.len(), exact.len());
    let most = exact.iter().fold(1.0f64, |most, value| most.max(value.abs()));
    let error = |(ours, exact): (&f32, &f64)| (f64::from(*ours) - exact).abs();
    ours.iter()
        .zip(exact)
        .map(error)
        .fold(0.0, |worst, error| if error.is_nan() { error } else { error.max(worst) })
        / most
}

fn wide(tensor: &Tensor) -> Vec<f64> {
    stock(tensor).flatten_all().unwrap().to_vec1().unwrap()
}

/// Sums of `depth` products in f32, in whatever order, stay within this of the exact ones.
fn rounding(depth: usize) -> f64 {
    2e-7 * (depth as f64 + 8.0)
}

/// x·Wᵀ + b, one number at a time.
fn linear(x: &[f64], weight: &[f64], bias: &[f64], depth: usize) -> Vec<f64> {
    let dot = |row: &[f64], weights: &[f64]| row.iter().zip(weights).map(|(a, b)| a * b).sum::<f64>();
    let outputs = |row| weight.chunks(depth).zip(bias).map(move |(weights, bias)| dot(row, weights) + bias);
    x.chunks(depth).flat_map(outputs).collect()
}

/// The same weights as `Linear` may keep them; blocks of 32 need rows of whole ones.
fn kept(weight: &Tensor, kind: usize) -> Weight {
    match kind {
        0 => Weight::Plain(weight.clone()),
        1 => Weight::Plain(weight.to_dtype(DType::BF16).unwrap()),
        2 => Weight::Plain(weight.to_dtype(DType::F16).unwrap()),
        3 => Weight::Nf4(Nf4::quantise(weight, false, &Device::Cpu).unwrap()),
        _ => {
            let blocks = QTensor::quantize(weight, GgmlDType::Q8_0).unwrap();
            Weight::Gguf(
                Gguf::from_bytes(
                    &blocks.data().unwrap(),
                    GgmlDType::Q8_0,
                    weight.dims2().unwrap(),
                    &Device::Cpu,
                )
                .unwrap(),
            )
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn layers_of_every_kept_form_give_the_product_of_what_they_stand_for(
        rows in 1usize..40, outputs in 1usize..70, blocks in 1usize..4, cut in 0usize..31, kind in 0usize..5, seed in 0u64..1000,
    ) {
        let depth = if kind == 4 { 32 * blocks } else { 32 * blocks - cut };
        let (x, weight, bias) = (random(&[rows, depth], seed), random(&[outputs, depth], seed + 1), random(&[outputs], seed + 2));
        let weight = kept(&weight, kind);
        let stood_for = weight.unpacked(DType::F32, &Device::Cpu).unwrap();
        let exact = linear(&wide(&x), &wide(&stood_for), &wide(&bias), depth);
        let ours = Linear::of_parts(vec![weight], Some(bias)).unwrap().forward(&x).unwrap();
        // Eight-bit products may round what comes in to eight bits too.
        let bound = if kind == 4 { 2e-2 } else { 4.0 * rounding(depth) };
        prop_assert!(apart(&values(&ours), &exact) < bound, "{}", apart(&values(&ours), &exact));
    }

    #[test]
    fn products_of_views_are_sums_of_products(
        (m, k, n) in (1usize..80, prop_oneof![1usize..40, 250usize..270], 1usize..150), gaps in (0usize..3, 0usize..3, 0usize..3),
        scale in prop_oneof![Just(1f32), -2f32..2.0], left_turned: bool, transposed: bool, onto: bool, all: bool, seed in 0u64..1000,
    ) {
        let (rows, columns) = if transposed { (n, k) } else { (k, n) };
        let (a_rows, a_columns) = if left_turned { (k, m) } else { (m, k) };
        let a = values(&random(&[a_rows, a_columns + gaps.0], seed));
        let b = values(&random(&[rows, columns + gaps.1], seed + 1));
        let before = values(&random(&[m, n + gaps.2], seed + 2));
        let left = Matrix::new(&a, (a_rows, a_columns), a_columns + gaps.0).unwrap();
        let right = Matrix::new(&b, (rows, columns), columns + gaps.1).unwrap();
        let left = if left_turned { left.t() } else { left };
        let right = if transposed { right.t() } else { right };
        let (mut out, stride) = (before.clone(), n + gaps.2);
        let target = if onto { Target::onto(&mut out, stride) } else { Target::over(&mut out, stride) };
        product(target, scale, left, right, if all { Threads::All } else { Threads::One }).unwrap();
        let at = |row: usize, column: usize| {
            let (row, column) = if transposed { (column, row) } else { (row, column) };
            f64::from(b[row * (columns + gaps.1) + column])
        };
        let of_left = |row: usize, step: usize| {
            let (row, column) = if left_turned { (step, row) } else { (row, step) };
            f64::from(a[row * (a_columns + gaps.0) + column])
        };
        let exact: Vec<f64> = (0..m * stride).map(|i| {
            let (row, column) = (i / stride, i % stride);
            if column >= n {
                return f64::from(before[i]); // between rows nothing is written
            }
            let sum: f64 = (0..k).map(|i| of_left(row, i) * at(i, column)).sum();
            f64::from(scale) * sum + if onto { f64::from(before[i]) } else { 0.0 }
        }).collect();
        prop_assert!(apart(&out, &exact) < 8.0 * rounding(k));
    }

    #[test]
    fn attention_is_what_the_operations_give_in_f64(
        heads in 1usize..4, (queries, more) in (1usize..150, 0usize..260), size in prop_oneof![1usize..20, 30usize..70, 255usize..260], mask in 0usize..3, seed in 0u64..1000,
    ) {
        // A causal mask is square.
        let keys = if mask == 1 { queries } else { queries + more };
        let rows = |count, stream| random(&[count, heads * size], seed + stream);
        let [q, k, v] = [rows(queries, 0), rows(keys, 1), rows(keys, 2)];
        let bias = random(&[heads, queries, keys], seed + 3);
        let wide_bias = stock(&bias);
        let of = |bias| match mask { 0 => Mask::None, 1 => Mask::Causal, _ => Mask::Bias(bias) };
        let ours = attention_of_rows(heads, 0.3, [&q, &k, &v], of(&bias));
        let exact = attention_of_rows(heads, 0.3, [&stock(&q), &stock(&k), &stock(&v)], of(&wide_bias));
        // A weight is as far off as its score, which is a sum of so many products.
        let bound = 5e-6 + rounding(size) / 4.0;
        match (ours, exact) {
            (Ok(ours), Ok(exact)) => prop_assert!(apart(&values(&ours), &wide(&exact)) < bound),
            (ours, exact) => prop_assert!(ours.is_err() && exact.is_err(), "only one of both refuses"),
        }
    }

    #[test]
    fn streams_that_attend_jointly_do_as_in_f64(
        heads in 1usize..4, half in 1usize..10, tokens in (1usize..90, 1usize..60), seed in 0u64..1000,
    ) {
        let width = 2 * half;
        let rows = [tokens.0, tokens.1].map(|tokens| random(&[tokens, 3 * heads * width + 1], seed + tokens as u64));
        let (query, key) = (random(&[width], seed), random(&[width], seed + 1));
        let turn = |stream| random(&[tokens.0 + tokens.1, half], seed + stream);
        let rotation = Rotation { cos: turn(2), sin: turn(3) };
        let joint = |rows: &[Tensor]| {
            let streams: Vec<Qkv<'_>> = rows.iter().map(|rows| Qkv { rows, query: &query, key: &key }).collect();
            joint_attention(&streams, heads, &rotation).unwrap()
        };
        prop_assert!(apart(&values(&joint(&rows)), &wide(&joint(&rows.each_ref().map(stock)))) < 2e-5);
    }

    #[test]
    fn norms_gates_and_activations_do_as_in_f64(rows in 1usize..9, width in 1usize..140, from in 0usize..5, seed in 0u64..1000) {
        let [x, y] = [0, 1].map(|stream| random(&[rows, width], seed + stream));
        let [a, b] = [2, 3].map(|stream| random(&[width], seed + stream));
        let pairs = [
            (modulated(&x, &a, &b, 1e-5), modulated(&stock(&x), &a, &b, 1e-5)),
            (LayerNorm::new(a.clone(), b.clone(), 1e-5).unwrap().forward(&x), LayerNorm::new(a.clone(), b, 1e-5).unwrap().forward(&stock(&x))),
            (rms_norm(&x, &a, 1e-5), rms_norm(&stock(&x), &a, 1e-5)),
            (gate_add(&x, &a, &y), gate_add(&stock(&x), &stock(&a), &stock(&y))),
            (gated_gelu(&x, &y), gated_gelu(&stock(&x), &stock(&y))),
            (beside_gelu(&x, &y, from.min(width - 1)), beside_gelu(&stock(&x), &stock(&y), from.min(width - 1))),
        ];
        for (index, (ours, exact)) in pairs.into_iter().enumerate() {
            let off = apart(&values(&ours.unwrap()), &wide(&exact.unwrap()));
            prop_assert!(off < 1e-4, "{index}: {off}");
        }
        for activation in [Activation::Relu, Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu, Activation::Silu] {
            let off = apart(&values(&activation.forward(&x).unwrap()), &wide(&activation.forward(&stock(&x)).unwrap()));
            prop_assert!(off < 1e-5, "{activation:?}: {off}");
        }
    }

    #[test]
    fn groups_and_instances_are_normalised_by_their_own_statistics(
        groups in 1usize..4, each in 1usize..4, (height, width) in (1usize..9, 1usize..40), silu: bool, seed in 0u64..1000,
    ) {
        let channels = groups * each;
        let x = random(&[1, channels, height, width], seed);
        let [weight, bias] = [1, 2].map(|stream| random(&[channels], seed + stream));
        let normal = |values: &[f64]| -> Vec<f64> {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
            values.iter().map(|value| (value - mean) / (variance + 1e-5).sqrt()).collect()
        };
        let plane = height * width;
        let (scales, shifts) = (wide(&weight), wide(&bias));
        let grouped: Vec<f64> = wide(&x).chunks(each * plane).flat_map(normal).enumerate().map(|(i, value)| {
            let y = value * scales[i / plane] + shifts[i / plane];
            if silu { y / (1.0 + (-y).exp()) } else { y }
        }).collect();
        let norm = GroupNorm::new(groups, weight, bias, 1e-5).unwrap();
        let ours = if silu { norm.forward_silu(&x) } else { norm.forward(&x) };
        prop_assert!(apart(&values(&ours.unwrap()), &grouped) < 1e-4);
        let instances: Vec<f64> = wide(&x).chunks(plane).flat_map(normal).collect();
        let ours = Statistics::of(&x, Kernels::Fused).unwrap().normalise(&x).unwrap();
        prop_assert!(apart(&values(&ours), &instances) < 1e-4);
    }

    #[test]
    fn pictures_are_convolved_as_in_f64(
        (inputs, outputs) in (1usize..9, 1usize..20), half in 0usize..4, (height, width) in (1usize..12, 1usize..40), seed in 0u64..1000,
    ) {
        let side = 2 * half + 1;
        let x = random(&[1, inputs, height, width], seed);
        let (weight, bias) = (random(&[outputs, inputs, side, side], seed + 1), random(&[outputs], seed + 2));
        let exact = stock(&x).conv2d(&stock(&weight), half, 1, 1, 1).unwrap();
        let exact = wide(&exact.broadcast_add(&stock(&bias).reshape((1, outputs, 1, 1)).unwrap()).unwrap());
        let bound = 8.0 * rounding(inputs * side * side);
        let ours = Conv::new(&weight, &bias, Kernels::Fused).unwrap().forward(&x, Activation::Identity).unwrap();
        prop_assert!(apart(&values(&ours), &exact) < bound);
        if side <= 3 {
            let ours = DirectConv::new(weight, bias).unwrap().forward(&x).unwrap();
            prop_assert!(apart(&values(&ours), &exact) < bound);
        }
    }

    #[test]
    fn sounds_are_convolved_as_in_f64(
        (inputs, outputs) in (1usize..40, 1usize..40), half in 0usize..6, dilation in 1usize..6, extra in 0usize..200, seed in 0u64..1000,
    ) {
        let (taps, padding) = (2 * half + 1, half * dilation);
        let x = random(&[1, inputs, 1 + 2 * padding + extra], seed);
        let (weight, bias) = (random(&[outputs, inputs, taps], seed + 1), random(&[outputs], seed + 2));
        let exact = stock(&x).conv1d(&stock(&weight), padding, 1, dilation, 1).unwrap();
        let exact = exact.broadcast_add(&stock(&bias).reshape((1, outputs, 1)).unwrap()).unwrap();
        let ours = Conv1d::new(&weight, Some(&bias), dilation, padding, Kernels::Fused).unwrap().forward(&x).unwrap();
        prop_assert!(apart(&values(&ours), &wide(&exact)) < 8.0 * rounding(inputs * taps));
    }

    #[test]
    fn sounds_are_made_longer_as_by_candle(
        (inputs, outputs) in (1usize..9, 1usize..9), (rate, padding) in (1usize..7, 0usize..4), len in 8usize..50, seed in 0u64..1000,
    ) {
        let taps = rate + 2 * padding;
        let tensors = [
            ("weight_g", random(&[inputs, 1, 1], seed)),
            ("weight_v", random(&[inputs, outputs, taps], seed + 1)),
            ("bias", random(&[outputs], seed + 2)),
        ];
        let tensors = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let x = random(&[1, inputs, len], seed + 3);
        let made = [Kernels::Fused, Kernels::Stock(DType::F32)].map(|kernels| Upsample::new((inputs, outputs), (taps, rate), &vb, kernels));
        // Both forms refuse the same layers.
        if let [Ok(ours), Ok(candles)] = &made {
            let [ours, candles] = [ours, candles].map(|layer| layer.forward(&x, 0.1).unwrap());
            prop_assert!(apart(&values(&ours), &wide(&candles)) < 1e-5);
        } else {
            prop_assert!(made.iter().all(Result::is_err));
        }
    }

    #[test]
    fn steps_of_an_lstm_are_candles(inputs in 1usize..30, hidden in 1usize..40, steps in 1usize..9, seed in 0u64..1000) {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let x = random(&[1, steps, inputs], seed);
        let [ours, candles] = [Kernels::Fused, Kernels::Stock(DType::F32)]
            .map(|kernels| BiLstm::new(inputs, hidden, &vb, kernels).unwrap().forward(&x).unwrap());
        prop_assert!(apart(&values(&ours), &wide(&candles)) < 1e-5);
    }

    #[test]
    fn four_bits_mean_their_level_times_their_blocks_largest(rows in 1usize..9, columns in 1usize..150, seed in 0u64..1000) {
        let matrix = random(&[rows, columns], seed);
        let packed = Nf4::quantise(&matrix, false, &Device::Cpu).unwrap();
        let ours = values(&packed.dequantise(DType::F32).unwrap());
        for (ours, exact) in ours.chunks(nf4::BLOCK).zip(values(&matrix).chunks(nf4::BLOCK)) {
            let most = exact.iter().fold(0f32, |most, value| most.max(value.abs()));
            for (ours, exact) in ours.iter().zip(exact) {
                let nearest = nf4::LEVELS.map(|level| (level * most - exact).abs()).into_iter().fold(f32::INFINITY, f32::min);
                prop_assert!(((ours - exact).abs() - nearest).abs() <= 1e-6 * most, "{exact} became {ours}");
            }
        }
    }
}

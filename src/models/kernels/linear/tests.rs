//! Every precision against candle's own f32 product, and what layers refuse.

use std::collections::HashMap;

use super::*;
use crate::models::kernels::nf4::Nf4;
use crate::models::noise::Noise;
use crate::models::weights::spec::record;

fn tensor(shape: &[usize], stream: u64) -> Tensor {
    Tensor::from_vec(Noise::new(9, stream).normals(shape.iter().product()), shape, &Device::Cpu).unwrap()
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    x.broadcast_matmul(&weight.t().unwrap()).unwrap().broadcast_add(bias).unwrap()
}

#[test]
fn every_precision_keeps_its_error() {
    let (x, weight, bias) = (tensor(&[2, 5, 64], 0), tensor(&[40, 64], 1), tensor(&[40], 2));
    let exact = plain(&x, &weight, &bias);
    // The share of the largest output: f32's rounding, then 2^-11, 2^-8 and 1/127 of a weight, averaged over 64 terms.
    for (precision, allowed) in
        [(Precision::F32, 1e-6), (Precision::F16, 5e-4), (Precision::Bf16, 4e-3), (Precision::Q8_0, 2e-2)]
    {
        let layer = Linear::from_tensors(&weight, Some(&bias), precision).unwrap();
        let ours = layer.forward(&x).unwrap();
        assert_eq!(ours.dims(), [2, 5, 40]);
        let error = largest(&(ours - &exact).unwrap()) / largest(&exact);
        assert!(error < allowed, "{precision:?}: {error}");
        assert!(precision == Precision::F32 || error > 0.0, "{precision:?} is not what it says");
    }
}

#[test]
fn activation_and_residual_are_added_in_order() {
    let (x, weight, bias) = (tensor(&[7, 64], 0), tensor(&[64, 64], 1), tensor(&[64], 2));
    let exact = plain(&x, &weight, &bias);
    for precision in [Precision::F32, Precision::Q8_0] {
        let allowed = if precision == Precision::F32 { 1e-5 } else { 0.5 };
        let layer = Linear::from_tensors(&weight, Some(&bias), precision).unwrap();
        let then = layer.forward_then(&x, Activation::Gelu).unwrap();
        assert!(largest(&(then - exact.gelu_erf().unwrap()).unwrap()) < allowed);
        let onto = layer.forward_onto(&x, &x).unwrap();
        assert!(largest(&(onto - (&exact + &x).unwrap()).unwrap()) < allowed);
    }
}

#[test]
fn joined_layers_answer_side_by_side() {
    let tensors = HashMap::from([
        ("q.weight".to_owned(), tensor(&[3, 8], 0)),
        ("q.bias".to_owned(), tensor(&[3], 1)),
        ("k.weight".to_owned(), tensor(&[5, 8], 2)),
        ("k.bias".to_owned(), tensor(&[5], 3)),
    ]);
    let vb = VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu);
    let joined = Linear::join(8, &[3, 5], true, Precision::F32, &[vb.pp("q"), vb.pp("k")]).unwrap();
    let x = tensor(&[4, 8], 4);
    let both = joined.forward(&x).unwrap();
    for (name, first, count) in [("q", 0, 3), ("k", 3, 5)] {
        let alone = plain(&x, &tensors[&format!("{name}.weight")], &tensors[&format!("{name}.bias")]);
        assert!(largest(&(both.narrow(1, first, count).unwrap() - alone).unwrap()) < 1e-5);
    }
}

#[test]
fn listing_a_networks_tensors_packs_nothing() {
    // 4 TB if it were packed.
    let build = |vb: VarBuilder<'_>| {
        Linear::join(1 << 20, &[1 << 19, 1 << 19], true, Precision::Q8_0, &[vb.pp("a"), vb.pp("b")])
    };
    let specs = record(DType::F32, build).unwrap();
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["a.weight", "b.weight", "a.bias", "b.bias"]);
}

#[test]
fn rows_that_do_not_divide_into_blocks_keep_half_precision() {
    let layer = Linear::from_tensors(&tensor(&[32, 48], 0), None, Precision::Q8_0).unwrap();
    assert_eq!(layer.size(), 32 * 48 * 2);
}

#[test]
fn wrong_shapes_are_refused() {
    let layer = Linear::from_tensors(&tensor(&[4, 8], 0), None, Precision::F32).unwrap();
    let error = layer.forward(&tensor(&[2, 7], 1)).unwrap_err().to_string();
    assert!(error.contains("8 inputs") && error.contains("[2, 7]"), "{error}");
    assert!(layer.forward_onto(&tensor(&[2, 8], 1), &tensor(&[2, 5], 2)).is_err());
}

/// Matrices of every kind of weight, `rows` by `inputs`.
fn weights(rows: usize, inputs: usize, stream: u64) -> Vec<Weight> {
    let matrix = tensor(&[rows, inputs], stream);
    let plain = |dtype| Weight::Plain(matrix.to_dtype(dtype).unwrap());
    let mut weights = vec![plain(DType::F32), plain(DType::F16), plain(DType::BF16)];
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        let rounded = matrix.to_dtype(dtype).unwrap();
        weights.push(Weight::Nf4(Nf4::quantise(&rounded, dtype == DType::BF16, &Device::Cpu).unwrap()));
    }
    for dtype in [GgmlDType::Q4_0, GgmlDType::Q5_1, GgmlDType::Q8_0, GgmlDType::Q4K, GgmlDType::Q6K] {
        if inputs.is_multiple_of(dtype.block_size()) {
            let packed = QTensor::quantize(&matrix, dtype).unwrap();
            let bytes = packed.data().unwrap();
            weights
                .push(Weight::Gguf(Gguf::from_bytes(&bytes, dtype, (rows, inputs), &Device::Cpu).unwrap()));
        }
    }
    weights
}

#[test]
fn weights_of_every_kind_multiply_as_what_they_unpack_to() {
    for (outputs, inputs) in [(1, 1), (33, 7), (70, 65), (32, 256), (100, 1100), (40, 1024)] {
        let (x, bias) = (tensor(&[9, inputs], 0), tensor(&[outputs], 1));
        for weight in weights(outputs, inputs, 2) {
            let name = format!("{outputs}x{inputs} of {weight:?}");
            let name = &name[..name.len().min(40)];
            let unpacked = weight.unpacked(DType::F32, &Device::Cpu).unwrap();
            let packed = Linear::from_tensors(&unpacked, Some(&bias), Precision::F32).unwrap();
            let stored = Linear::of_parts(vec![weight], Some(bias.clone())).unwrap();
            // The same chain of sums: not one bit may differ.
            let bits = |layer: &Linear| {
                let y = layer.forward_then(&x, Activation::GeluTanh).unwrap();
                y.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            assert_eq!(bits(&stored), bits(&packed), "{name}");
            let exact = plain(&x, &unpacked, &bias);
            let error = largest(&(stored.forward(&x).unwrap() - &exact).unwrap()) / largest(&exact);
            assert!(error < 1e-5, "{name}: {error}");
        }
    }
}

#[test]
fn parts_of_different_kinds_stand_below_each_other() {
    let x = tensor(&[5, 256], 0);
    let mut first = 0;
    let parts =
        || [3, 40, 17].into_iter().zip([7, 2, 4]).map(|(rows, kind)| weights(rows, 256, 3).swap_remove(kind));
    let bias = tensor(&[60], 1);
    let residual = tensor(&[5, 60], 4);
    let joined = Linear::of_parts(parts().collect(), Some(bias.clone())).unwrap();
    let joined = joined.forward_onto(&x, &residual).unwrap();
    for part in parts() {
        let rows = part.dims().unwrap().0;
        let bias = bias.narrow(0, first, rows).unwrap();
        let alone = Linear::of_parts(vec![part], Some(bias)).unwrap().forward(&x).unwrap();
        let alone = (residual.narrow(1, first, rows).unwrap() + alone).unwrap();
        let difference = largest(&(joined.narrow(1, first, rows).unwrap() - alone).unwrap());
        assert_eq!(difference, 0.0, "from {first}");
        first += rows;
    }
    let layer = Linear::of_parts(parts().collect(), None).unwrap();
    assert!(layer.forward_onto(&x, &tensor(&[5, 61], 2)).is_err());
}

#[test]
fn a_matrix_that_does_not_lie_in_order_is_refused() {
    let turned = Weight::Plain(tensor(&[8, 6], 0).t().unwrap());
    let layer = Linear::of_parts(vec![turned], None).unwrap();
    let error = layer.forward(&tensor(&[2, 8], 1)).unwrap_err().to_string();
    assert!(error.contains("in one piece"), "{error}");
}

use candle_core::{DType, Device};

use super::*;
use crate::models::noise::Noise;

fn random(dims: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(Noise::new(seed, 0).normals(dims.iter().product()), dims, &Device::Cpu).unwrap()
}

#[test]
fn every_size_gives_what_the_formula_gives() {
    for (inputs, outputs, height, width) in
        [(1, 1, 1, 1), (3, 2, 5, 4), (2, 7, 1, 9), (4, 3, 13, 2), (2, 3, 3, 64), (30, 14, 4, 33)]
    {
        for side in [1, 3, 5] {
            let (x, weight) =
                (random(&[1, inputs, height, width], 1), random(&[outputs, inputs, side, side], 2));
            let bias = random(&[outputs], 3);
            let ours = DirectConv::new(weight.clone(), bias.clone()).unwrap().forward(&x).unwrap();
            assert_eq!(ours.dims(), [1, outputs, height, width]);
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let (ours, x, weight, bias) = (flat(&ours), flat(&x), flat(&weight), flat(&bias));
            for o in 0..outputs {
                for y in 0..height {
                    for c in 0..width {
                        let mut exact = f64::from(bias[o]);
                        for n in 0..inputs * side * side {
                            let (i, dy, dx) = (n / (side * side), n % (side * side) / side, n % side);
                            let at = |place: usize, shift: usize| (place + shift).wrapping_sub(side / 2);
                            let (sy, sx) = (at(y, dy), at(c, dx));
                            if sy < height && sx < width {
                                exact += f64::from(x[(i * height + sy) * width + sx])
                                    * f64::from(weight[o * inputs * side * side + n]);
                            }
                        }
                        let found = f64::from(ours[(o * height + y) * width + c]);
                        assert!(
                            (found - exact).abs() < 1e-4,
                            "{side} at {o},{y},{c}: {found} is not {exact}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(DirectConv::new(random(&[1, 1, 2, 2], 1), random(&[1], 2)).is_err());
    let conv = DirectConv::new(random(&[1, 2, 3, 3], 1), random(&[1], 2)).unwrap();
    assert!(conv.forward(&random(&[1, 1, 4, 4], 3)).unwrap_err().to_string().contains("2 channels"));
    assert!(conv.forward(&random(&[2, 2, 4, 4], 3)).is_err());
}

#[test]
fn half_precision_takes_the_general_way() {
    let (x, weight, bias) = (random(&[1, 2, 5, 4], 1), random(&[3, 2, 3, 3], 2), random(&[3], 3));
    let full = DirectConv::new(weight.clone(), bias.clone()).unwrap().forward(&x).unwrap();
    let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
    let other = DirectConv::new(wide(&weight), wide(&bias)).unwrap().forward(&wide(&x)).unwrap();
    let worst = (wide(&full) - other).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(worst < 1e-5, "{worst:e}");
}

#[test]
fn a_convolution_in_bands_is_the_whole_one() {
    // 40 channels of 3000 columns unfold to 4.3 MB a row: bands of 31 rows.
    let (x, weight) = (random(&[1, 40, 70, 3000], 1), random(&[2, 40, 3, 3], 1));
    let (bands, whole) = (in_bands(&x, &weight, 1).unwrap(), x.conv2d(&weight, 1, 1, 1, 1).unwrap());
    assert_eq!(bands.dims(), whole.dims());
    let worst = (bands - whole).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(worst < 1e-3, "{worst:e}");
}

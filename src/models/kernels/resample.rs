//! Nearest-neighbour enlargement and 2×2 averaging of pictures and volumes, by stock operations on any device.
//!
//! Of volumes only height and width change. Owns no kernels: where speed matters the convolution beside it reads
//! enlarged pixels or averages as it writes.

use candle_core::{Result, Tensor};

/// Every pixel becomes `factor` × `factor`; `[batch, channels, (depth,) height, width]`.
pub(crate) fn enlarge(x: &Tensor, factor: usize) -> Result<Tensor> {
    if factor == 1 {
        return Ok(x.clone());
    }
    let mut dims = x.dims().to_vec();
    let [.., height, width] = dims[..] else { candle_core::bail!("{dims:?} is no picture") };
    let planes: usize = dims[..dims.len() - 2].iter().product();
    let rank = dims.len();
    dims[rank - 2] *= factor;
    dims[rank - 1] *= factor;
    x.reshape((planes, height, 1, width, 1))?
        .broadcast_as((planes, height, factor, width, factor))?
        .contiguous()?
        .reshape(dims)
}

/// Means of whole 2×2 windows; an odd last row or column belongs to none.
pub(crate) fn average_pool(x: &Tensor) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    let [.., height, width] = dims[..] else { candle_core::bail!("{dims:?} is no picture") };
    let planes: usize = dims[..dims.len() - 2].iter().product();
    let rank = dims.len();
    dims[rank - 2] /= 2;
    dims[rank - 1] /= 2;
    x.reshape((1, planes, height, width))?.avg_pool2d(2)?.reshape(dims)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn enlarging_repeats_pixels_and_leaves_the_depth() {
        let x = Tensor::arange(0f32, 8.0, &Device::Cpu).unwrap().reshape((1, 1, 2, 2, 2)).unwrap();
        let big = enlarge(&x, 2).unwrap();
        assert_eq!(big.dims(), [1, 1, 2, 4, 4]);
        let values: Vec<f32> = big.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(values[..8], [0., 0., 1., 1., 0., 0., 1., 1.]);
        assert_eq!(values[24..], [6., 6., 7., 7., 6., 6., 7., 7.]);
    }

    #[test]
    fn averaging_drops_an_odd_last_row() {
        let x = Tensor::arange(0f32, 10.0, &Device::Cpu).unwrap().reshape((1, 1, 5, 2)).unwrap();
        let small = average_pool(&x).unwrap().to_dtype(DType::F64).unwrap();
        assert_eq!(small.dims(), [1, 1, 2, 1]);
        assert_eq!(small.flatten_all().unwrap().to_vec1::<f64>().unwrap(), [1.5, 5.5]);
    }
}
